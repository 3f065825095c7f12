"""Fit a CLV model: importance sampling by default, PyMC where that is not reliable."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.gate import gate_importance, gate_nuts, no_start
from crmlab.clv.fitting.importance import FARTHEST, Weighted, log_likelihood, moments, resampled, sample
from crmlab.clv.fitting.nuts import sample_nuts
from crmlab.clv.fitting.tables import chains_table, importance_table, natural_draws
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, Model
from crmlab.clv.models.registry import family
from crmlab.clv.models.registry import model as registered
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Fault, GateFailed, Refused, Result, Sentence, generator, mark

OFTEN = 0.5
"""Purchases a customer and week above which counting by the day shows in the evidence."""

LONGER, WORTH_GOING_ON = (1, 4), 1.05
"""Chains that agree roughly and are only too short are run again, so many times as long."""

NOBODY = Sentence("Nobody has bought yet: there is nothing to fit.", tone="bad")

KEPT = 2_000
"""Draws of equal weight that importance sampling hands on."""


@dataclass(frozen=True, eq=False)
class Fit(Result):
    """A posterior sample and its diagnostics.

    Attributes
    ----------
    table
        model, parameter, mean, sd, low, high (90 %), ess_bulk, ess_tail; r_hat, missing for importance sampling.
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
    method
        ``"importance sampling"``, ``"NUTS"``; of segments fitted together ``"Gibbs"``; ``"none"``: too little is known.
    k_hat
        Shape of the importance weights' tail; of the attempt that was given up where the method is NUTS.
    log_evidence
        Logarithm of the marginal likelihood; not a number for NUTS.
    notes
        What else is to be said: a fallback and its reason, a choice among a family.
    definition
        The model itself where it is not a registered one, e.g. with covariates.
    """

    table: pd.DataFrame
    basis: Basis
    model: str
    draws: Arrays
    divergences: int
    passed: bool
    failures: tuple[Sentence, ...]
    set_aside: int = 0
    method: str = "NUTS"
    k_hat: float = float("nan")
    log_evidence: float = float("nan")
    notes: tuple[Sentence, ...] = ()
    definition: Model | None = None

    title: ClassVar[str] = "Parameters of the model"
    note: ClassVar[str] = (
        "Posterior of each parameter; times are in weeks, or in the periods a model counts, money in the study's "
        "currency. The effective number of draws says how many independent draws the sample is worth. R-hat, where the "
        "model was sampled by Markov chains, compares them: near 1 they agree."
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

    @property
    def fitted(self) -> Model:
        """The model these are the parameters of."""
        return self.definition or registered(self.model)

    def shown(self) -> pd.DataFrame:
        """Without R-hat where there are no chains."""
        return self.table.drop(columns="r_hat") if self.method == "importance sampling" else self.table

    def sentences(self) -> list[Sentence]:
        """Whether the gate was passed, and every statistic that fails it."""
        said = list(self.notes)
        values = {
            "model": self.fitted.title,
            "k_hat": self.k_hat,
            "r_hat": self.table["r_hat"].max(),
            "ess": self.table[["ess_bulk", "ess_tail"]].min().min(),
        }
        if self.passed and self.method != "importance sampling":
            said.append(
                Sentence(
                    "{model} passed the convergence gate: largest R-hat {r_hat:.4f}, fewest effective draws "
                    "{ess:,.0f}, no divergences.",
                    values,
                    tone="good",
                )
            )
        elif self.passed:
            said.append(
                Sentence(
                    "{model} passed the gate of its fit: Pareto k̂ of the importance weights {k_hat:.2f}, fewest "
                    "effective draws {ess:,.0f}.",
                    values,
                    tone="good",
                )
            )
        said.extend(self.failures)
        if self.set_aside:
            said.append(
                Sentence(
                    "{n:,} repeat buyers have a mean value of 0 (free orders); they do not inform {model}.",
                    {"n": self.set_aside, "model": self.fitted.title},
                )
            )
        return said


def fit(
    history: pd.DataFrame, model: str | Model, *, seed: int, name: str, params: CLVParams, basis: Basis | None = None
) -> Fit:
    """Sample the posterior of a model.

    By Student-t importance sampling around the mode; where Pareto k̂ or the effective draws fail the gate, by NUTS in
    PyMC, and the fit says so. Of a family every member is fitted and the one of most evidence kept. The same seed and
    name give the same bytes, whatever the number of threads.

    Parameters
    ----------
    history
        One row a customer, with the model's columns: x, t_x, T in weeks, z_bar (missing where x = 0) …
    model
        Name of a model or family in `crmlab.clv.models.registry`, or a model.
    seed
        The study's seed.
    name
        What the fit is for, e.g. ``"full"`` or ``"calibration"``: another name, another stream.
    params
        Sampler and gate.
    basis
        What the history rests on: its days are kept, its number becomes that of the customers who inform the model.

    Raises
    ------
    Refused
        When the history is not one the model can be fitted to, naming every fault.
    """
    if isinstance(model, str) and (members := family(model)):
        fits = [fit(history, m, seed=seed, name=name, params=params, basis=basis) for m in members]
        return most_evidence(fits, history)
    chosen = registered(model) if isinstance(model, str) else model
    if len(history):
        chosen.check(history)
    used = chosen.rows(history)
    rests_on = replace(basis or Basis(0, mark("customers")), n=len(used))
    if lacking := chosen.too_little(history) if len(history) else [NOBODY]:
        empty = pd.DataFrame(columns=[*Fit.columns])
        return Fit(empty, rests_on, chosen.name, {}, 0, False, tuple(lacking), method="none")
    rng = generator(seed, "clv", chosen.name, name)
    found = sample(chosen, history, rng)
    theta = resampled(found, KEPT, rng)[None]
    draws = natural_draws(chosen, theta, history)
    table = importance_table(chosen, found, draws, history)
    failures = gate_importance(table, found.k_hat, params=params, model=chosen.title)
    divergences, method, notes, evidence = 0, "importance sampling", [], found.log_evidence
    if failures:
        notes = [_gave_way(chosen, found, table)]
        method, evidence = "NUTS", float("nan")
        for longer in LONGER:
            how = params.model_copy(update={"draws": longer * params.draws})
            theta, divergences = sample_nuts(chosen, history, _around(chosen, found), rng, how)
            draws = natural_draws(chosen, theta, history)
            if not theta.size:
                failures = [*failures, no_start(chosen.title)]
                break
            table = chains_table(chosen, draws)
            failures = gate_nuts(table, divergences, params=params, model=chosen.title)
            if not failures or divergences or table["r_hat"].max() > WORTH_GOING_ON:
                break
    return Fit(
        table=table,
        basis=rests_on,
        model=chosen.name,
        draws=draws,
        divergences=divergences,
        passed=not failures,
        failures=tuple(failures),
        set_aside=int((history["x"] > 0).sum() - (used["x"] > 0).sum()) if "x" in history else 0,
        method=method,
        k_hat=found.k_hat,
        log_evidence=evidence,
        notes=tuple(notes),
        definition=None if isinstance(model, str) else chosen,
    )


def most_evidence(fits: list[Fit], history: pd.DataFrame) -> Fit:
    """Of a family's fits the one of most evidence, saying how probable its rivals are.

    Purchases are counted by the day, so two never coincide; of customers who buy often that alone looks regular.
    """
    passed = [f for f in fits if f.passed and np.isfinite(f.log_evidence)]
    if not passed:
        return next((f for f in fits if f.passed), fits[0])
    evidence = np.array([f.log_evidence for f in passed])
    shares = np.exp(evidence - evidence.max())
    best = passed[int(shares.argmax())]
    note = Sentence(
        "Of {tried} models of one family, {model} has the most evidence: probability {share:.0%} among them, equal "
        "odds before.",
        {"tried": len(passed), "model": best.fitted.title, "share": shares.max() / shares.sum()},
    )
    notes = (note, *best.notes)
    often = history["x"].sum() / history["T"].sum() if {"x", "T"} <= set(history) else 0.0
    if best.model != fits[0].model and often > OFTEN:
        frequent = Sentence(
            "With {rate:.2f} purchases a customer and week, counting them by the day makes buying look regular even "
            "where it is not: judge {model} by the weeks withheld, not by this probability.",
            {"rate": often, "model": best.fitted.title},
            tone="warn",
        )
        notes = (notes[0], frequent, *notes[1:])
    return replace(best, notes=notes)


def maximum_likelihood(history: pd.DataFrame, model: str | Model) -> dict[str, float]:
    """The parameters that maximise the likelihood, and ``log_likelihood``, its value there.

    Looked for within five standard deviations of the prior: a parameter whose maximum lies at infinity is left there.
    """
    from scipy.optimize import minimize

    chosen = registered(model) if isinstance(model, str) else model
    chosen.check(history)
    if lacking := chosen.too_little(history):
        raise Refused("purchase history", [Fault("", str(s)) for s in lacking])
    target, names = log_likelihood(chosen, history), list(chosen.priors)
    start, sd = np.array(list(chosen.priors.values()), dtype=float).T
    at_start, within = target(start), [(-FARTHEST, FARTHEST)] * len(start)
    how = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}
    z = minimize(lambda z: min(at_start - target(start + sd * z), 1e12), 0 * start, method="L-BFGS-B", bounds=within).x
    limits = [(m - FARTHEST * s, m + FARTHEST * s) for m, s in zip(start, sd, strict=True)]

    def below(theta: np.ndarray) -> float:
        return min(at_start - target(theta), 1e12)

    at = minimize(below, start + sd * z, method="Nelder-Mead", bounds=limits, options=how).x
    found = chosen.natural(dict(zip(names, at, strict=True)), chosen.constants(history), NUMPY)
    return {k: float(v) for k, v in found.items()} | {"log_likelihood": target(at)}


def require_passed(*fits: Fit) -> None:
    """Raise `GateFailed`, naming every statistic, unless all fits passed."""
    faults = [Fault(f.fitted.title, str(s)) for f in fits for s in f.failures]
    if faults:
        raise GateFailed("customer lifetime value", faults)


def _around(model: Model, found: Weighted) -> tuple[np.ndarray, np.ndarray]:
    return moments(found, np.diag([sd**2 for _, sd in model.priors.values()]))


def _gave_way(model: Model, found: Weighted, table: pd.DataFrame) -> Sentence:
    return Sentence(
        "{model}: importance sampling was not reliable (Pareto k̂ {k_hat:.2f}, fewest effective draws {ess:,.0f}), so "
        "the model was sampled by Markov chains in PyMC instead.",
        {"model": model.title, "k_hat": found.k_hat, "ess": table[["ess_bulk", "ess_tail"]].min().min()},
    )
