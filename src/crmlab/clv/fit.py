"""Fit a CLV model in PyMC, and the gate that a fit must pass before anything is computed from it."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.model import Arrays, Model
from crmlab.clv.models import model as registered
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Fault, GateFailed, Result, Sentence, generator, mark

INTERVAL = (0.05, 0.95)
HESSIAN_STEP = 1e-4
LEAST_CURVATURE = 1e-2
EXAMPLE = pd.DataFrame({"x": [0, 1, 2], "t_x": [0.0, 1.0, 2.0], "T": 3.0, "z_bar": [np.nan, 1.0, 2.0]})
"""Any data: what the models are compiled with before the first data are set."""


@dataclass(frozen=True, eq=False)
class Fit(Result):
    """A posterior sample and its diagnostics.

    Attributes
    ----------
    table
        parameter, mean, sd, low, high (90 %), r_hat, ess_bulk, ess_tail.
    model
        Name of the model in the registry.
    draws
        Parameter → (chains, draws).
    divergences
        Divergent transitions after tuning.
    passed
        Whether the gate was passed.
    failures
        One sentence a statistic that fails the gate.
    set_aside
        Customers that could not inform the model, e.g. mean value not above 0.
    """

    table: pd.DataFrame
    basis: Basis
    model: str
    draws: Arrays
    divergences: int
    passed: bool
    failures: tuple[Sentence, ...]
    set_aside: int = 0

    title: ClassVar[str] = "Parameters of the model"
    note: ClassVar[str] = (
        "Posterior of each parameter, in weeks and the study's currency. R-hat compares the chains: near 1 they agree. "
        "The effective sample size says how many independent draws the sample is worth."
    )
    columns: ClassVar = {
        "model": ("model", ""),
        "parameter": ("parameter", ""),
        "mean": ("mean", ",.4g"),
        "sd": ("sd", ",.3g"),
        "low": ("low (90 %)", ",.4g"),
        "high": ("high (90 %)", ",.4g"),
        "r_hat": ("R-hat", ".4f"),
        "ess_bulk": ("effective draws, bulk", ",.0f"),
        "ess_tail": ("effective draws, tail", ",.0f"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def sentences(self) -> list[Sentence]:
        """Whether the gate was passed, and every statistic that fails it."""
        said = []
        if self.passed:
            said.append(
                Sentence(
                    "{model} passed the convergence gate: largest R-hat {r_hat:.4f}, fewest effective draws "
                    "{ess:,.0f}, no divergences.",
                    {
                        "model": registered(self.model).title,
                        "r_hat": self.table["r_hat"].max(),
                        "ess": self.table[["ess_bulk", "ess_tail"]].min().min(),
                    },
                    tone="good",
                )
            )
        said.extend(self.failures)
        if self.set_aside:
            said.append(
                Sentence(
                    "{n:,} repeat buyers have a mean value of 0 or below (returns); they do not inform {model}.",
                    {"n": self.set_aside, "model": registered(self.model).title},
                )
            )
        return said


def fit(
    history: pd.DataFrame, model: str, *, seed: int, name: str, params: CLVParams, basis: Basis | None = None
) -> Fit:
    """Sample the posterior of a registered model by NUTS.

    The chains start around the posterior's mode and use the inverse Hessian there as their mass matrix, so that they
    only have to tune the step size. The same seed and name give the same bytes, whatever the number of threads.

    Parameters
    ----------
    history
        One row a customer: customer_id, x, t_x, T in weeks, z_bar (missing where x = 0).
    model
        Name in `crmlab.clv.models.MODELS`.
    seed
        The study's seed.
    name
        What the fit is for, e.g. ``"full"`` or ``"calibration"``: another name, another stream.
    params
        Sampler and gate.
    basis
        What the history rests on: its days are kept, its number becomes that of the customers who inform the model.
    """
    chosen = registered(model)
    chosen.check(history)
    used = chosen.rows(history)
    data = chosen.statistics(used)
    rng = generator(seed, "clv", model, name)
    theta, divergences = _sample(chosen, data, rng, params)
    draws = {k: np.ascontiguousarray(v, dtype=float) for k, v in chosen.natural(theta, data, np).items()}
    table = diagnostics(draws, model=chosen.title)
    failures = gate(table, divergences, params=params, model=chosen.title)
    return Fit(
        table=table,
        basis=replace(basis or Basis(0, mark("customers")), n=len(used)),
        model=model,
        draws=draws,
        divergences=divergences,
        passed=not failures,
        failures=tuple(failures),
        set_aside=int((history["x"] > 0).sum() - (used["x"] > 0).sum()),
    )


def diagnostics(draws: Arrays, *, model: str) -> pd.DataFrame:
    """Posterior summary, R-hat and effective sample sizes of each parameter (rank-normalised; Vehtari et al. 2021)."""
    import arviz as az

    records = []
    for name, sample in draws.items():
        low, high = np.quantile(sample, INTERVAL)
        records.append(
            {
                "model": model,
                "parameter": name,
                "mean": float(sample.mean()),
                "sd": float(sample.std(ddof=1)),
                "low": float(low),
                "high": float(high),
                "r_hat": float(az.rhat(sample)),
                "ess_bulk": float(az.ess(sample, method="bulk")),
                "ess_tail": float(az.ess(sample, method="tail", prob=INTERVAL)),
            }
        )
    return pd.DataFrame(records)


def gate(table: pd.DataFrame, divergences: int, *, params: CLVParams, model: str) -> list[Sentence]:
    """One sentence a statistic that fails; a statistic that is not a number fails."""
    failures = []
    for row in table.to_dict("records"):
        values = {"model": model, "parameter": row["parameter"]}
        if not row["r_hat"] <= params.r_hat:
            failures.append(
                Sentence(
                    "{model} failed the convergence gate: R-hat of {parameter} is {r_hat:.3f}, above {bound}.",
                    values | {"r_hat": row["r_hat"], "bound": params.r_hat},
                    tone="bad",
                )
            )
        if not row["ess_bulk"] >= params.ess:
            failures.append(
                Sentence(
                    "{model} failed the convergence gate: {parameter} has {ess:,.0f} effective draws (bulk), "
                    "below {bound:,}.",
                    values | {"ess": row["ess_bulk"], "bound": params.ess},
                    tone="bad",
                )
            )
        if not row["ess_tail"] >= params.ess:
            failures.append(
                Sentence(
                    "{model} failed the convergence gate: {parameter} has {ess:,.0f} effective draws (tail), "
                    "below {bound:,}.",
                    values | {"ess": row["ess_tail"], "bound": params.ess},
                    tone="bad",
                )
            )
    if divergences:
        failures.append(
            Sentence(
                "{model} failed the convergence gate: {n:,} divergent transitions, none are allowed.",
                {"model": model, "n": divergences},
                tone="bad",
            )
        )
    return failures


def require_passed(*fits: Fit) -> None:
    """Raise `GateFailed`, naming every statistic, unless all fits passed."""
    faults = [Fault(registered(f.model).title, str(s)) for f in fits for s in f.failures]
    if faults:
        raise GateFailed("customer lifetime value", faults)


def _sample(model: Model, data: Arrays, rng: np.random.Generator, params: CLVParams) -> tuple[Arrays, int]:
    """Draws of the unconstrained coordinates, each (chains, draws), and the number of divergences."""
    import pymc as pm
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

    built, logp_dlogp = _compiled(model.name)
    pm.set_data(data, model=built)
    names = list(model.priors)
    mode, covariance = laplace(logp_dlogp, np.array([model.priors[n][0] for n in names]))
    starts = mode + rng.normal(size=(params.chains, len(names))) @ np.linalg.cholesky(covariance).T
    points = [{n: np.asarray(v) for n, v in zip(names, start, strict=True)} for start in starts]
    with built:
        step = pm.NUTS(
            potential=QuadPotentialFull(covariance), target_accept=params.target_accept, initial_point=points[0]
        )
        tree = pm.sample(
            draws=params.draws,
            tune=params.tune,
            chains=params.chains,
            cores=1,
            step=step,
            initvals=points,
            nuts_sampler="pymc",
            random_seed=int(rng.integers(2**31)),
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
    theta = {n: np.asarray(tree["posterior"][n].values, dtype=float) for n in names}
    return theta, int(np.asarray(tree["sample_stats"]["diverging"].values).sum())


@cache
def _compiled(name: str) -> tuple[Any, Any]:
    """The PyMC model and its compiled log-posterior with gradient: once a process, data are set before each use."""
    import pymc as pm
    import pytensor.tensor as pt

    model = registered(name)
    with pm.Model() as built:
        theta = {k: pm.Normal(k, mean, sd) for k, (mean, sd) in model.priors.items()}
        data = {k: pm.Data(k, values) for k, values in model.statistics(EXAMPLE).items()}
        pm.Potential("log_likelihood", model.graph(model.natural(theta, data, pt), data))
    function = built.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    return built, function


def laplace(logp_dlogp: Any, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mode of a log-posterior and the inverse of its negative Hessian there.

    Parameters
    ----------
    logp_dlogp
        (k,) → value, gradient (k,).
    start
        (k,) where the search begins.

    Returns
    -------
    tuple
        mode (k,), covariance (k, k): positive definite, directions of less curvature than `LEAST_CURVATURE` bounded.
    """
    from scipy.optimize import minimize

    def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = logp_dlogp(theta)
        if not np.isfinite(value):
            return 1e300, np.zeros_like(theta)
        return -float(value), -np.asarray(gradient, dtype=float)

    mode = minimize(negative, start, jac=True, method="BFGS", options={"gtol": 1e-5}).x
    steps = HESSIAN_STEP * np.eye(len(start))
    hessian = np.array([(negative(mode + h)[1] - negative(mode - h)[1]) / (2 * HESSIAN_STEP) for h in steps])
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    covariance = (vectors / np.maximum(values, LEAST_CURVATURE)) @ vectors.T
    return mode, (covariance + covariance.T) / 2
