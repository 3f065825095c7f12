"""Simulation-based calibration: whether the fit of a model returns the posterior it claims to.

Talts, Betancourt, Simpson, Vehtari & Gelman (2018), Validating Bayesian Inference Algorithms with Simulation-Based
Calibration, arXiv:1804.06788; the log-likelihood as a further quantity: Modrák et al. (2023), Bayesian Analysis.

Draw parameters from the prior, customers from the model, and fit them: the rank of the truth among the draws of its
posterior is uniform, for every parameter, whatever the model. Where the data are too little (nobody bought again) or
the fit fails its gate there is no rank, which is counted. Both depend on the data, not on the truth behind them, so
that what remains is uniform all the same.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import chi2

from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Model, Values
from crmlab.clv.params import CLVParams
from crmlab.contract import generator

RANKED = 99
"""Draws of a posterior among which the truth is ranked, evenly spaced over the chains: 100 ranks, 0 to 99."""

LONGEST_WEEKS, MOST_PERIODS = 52, 12
ORDER = 4
"""Polynomials of the smooth test: location, spread, skewness, tails."""

OUTCOMES = ("set", "outcome")


def calibrate(model: Model, *, sets: int, customers: int, seed: int, params: CLVParams) -> pd.DataFrame:
    """Ranks of the true parameters and of their log-likelihood among posterior draws, over simulated data sets.

    Parameters
    ----------
    model
        The model. Constants it takes from the data, as the unit of money, are fixed before anything is simulated: a
        prior that depends on the data is not one that parameters can be drawn from.
    sets, customers
        Data sets, and customers in each; observed for 1 to 52 weeks, contracts for 1 to 12 periods.
    seed
        The same seed gives the same ranks.
    params
        Sampler and gate of each fit.

    Returns
    -------
    DataFrame, one row a data set
        set; outcome: how it was fitted (``"importance sampling"``, ``"NUTS"``), ``"too little"`` data, or a gate
        ``"failed"``; a column for each parameter and log_likelihood: rank, 0 to `RANKED`, missing without a fit.
    """
    base = watched(customers, generator(seed, "clv", "calibration", "customers"))
    known = model.constants(base)
    model = replace(model, constants=lambda history: known)
    records = []
    for number in range(sets):
        rng = generator(seed, "clv", "calibration", str(number))
        theta = {name: rng.normal(mean, sd) for name, (mean, sd) in model.priors.items()}
        truth = model.natural(theta, known, NUMPY)
        history = model.simulate(truth, base, rng)
        found = fit(history, model, seed=seed, name=f"calibration {number}", params=params)
        if found.passed:
            records.append({"set": number, "outcome": found.method} | ranks(truth, found, model, history))
        else:
            records.append({"set": number, "outcome": "failed" if found.draws else "too little"})
    return pd.DataFrame(records, columns=[*OUTCOMES, *model.parameters, "log_likelihood"])


def watched(customers: int, rng: np.random.Generator) -> pd.DataFrame:
    """Customers and how long each is observed, in the columns that any model's simulation reads."""
    weeks = rng.integers(1, LONGEST_WEEKS + 1, customers)
    x = rng.geometric(0.3, customers) - 1
    return pd.DataFrame(
        {
            "customer_id": np.arange(customers).astype(str),
            "x": x.astype(float),
            "t_x": np.where(x > 0, weeks / 2, 0.0),
            "T": weeks.astype(float),
            "n": weeks.astype(float),
            "period_weeks": 1.0,
            "z_bar": np.where(x > 0, 1.0, np.nan),
            "litt": 0.0,
            "observed": rng.integers(1, MOST_PERIODS + 1, customers),
        }
    ).assign(periods=lambda base: base["observed"], ended=0)


def ranks(truth: Values, found: Fit, model: Model, history: pd.DataFrame) -> dict[str, int]:
    """How many of `RANKED` draws lie below the truth: each parameter, and the log-likelihood as the paper writes it."""
    total = log_likelihood(model, history)
    size = next(iter(found.draws.values())).size
    where = np.linspace(0, size - 1, RANKED).round().astype(int)
    draws = {name: found.draws[name].reshape(-1)[where] for name in model.parameters}
    below = {name: int((draws[name] < truth[name]).sum()) for name in model.parameters}
    values = np.array([total({name: draws[name][i] for name in draws}) for i in range(RANKED)])
    return below | {"log_likelihood": int((values < total(truth)).sum())}


def log_likelihood(model: Model, history: pd.DataFrame) -> Callable[[Values], float]:
    """The log-likelihood of a history as a function of the paper's parameters."""
    data = model.collapsed(history)
    return lambda parameters: float((data["weight"] * model.log_likelihood(parameters, data, NUMPY)).sum())


def joint_p(ranks: pd.DataFrame, draws: int = RANKED) -> float:
    """One p-value for "all ranks are uniform".

    Each column by Neyman's smooth test of order 4: the polynomials orthonormal under the uniform distribution of ranks,
    their sums over data sets squared and added, χ² with 4 degrees of freedom. A wrong place, spread or shape of the
    posterior each moves one of them. Columns are not independent, since the parameters of one posterior are not, so the
    smallest p-value counts, times their number (Bonferroni): valid under any dependence.

    Parameters
    ----------
    ranks
        One row a data set, one column a quantity: 0 to `draws`; rows with missing ranks are left out.
    draws
        Posterior draws among which was ranked.
    """
    table = ranks.drop(columns=[c for c in OUTCOMES if c in ranks]).dropna().to_numpy(dtype=int)
    grid = np.linspace(-1, 1, draws + 1)
    basis, _ = np.linalg.qr(np.vander(grid, ORDER + 1, increasing=True))
    polynomials = basis[:, 1:] * np.sqrt(draws + 1)
    sums = polynomials[table].sum(axis=0) / np.sqrt(len(table))
    return float(min(1.0, table.shape[1] * chi2.sf((sums**2).sum(axis=1), ORDER).min()))
