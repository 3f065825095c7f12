"""What an order is worth: Gamma-Gamma, its assumption tested, and the model that drops it where it fails.

Gamma-Gamma (Fader & Hardie 2013) assumes that what a customer spends on an order is independent of how often the
customer orders. The test: Spearman's correlation of x and z_bar over repeat buyers, against the one that customers
simulated from the fitted model show at the same x. (Under the model it is not 0: the mean of a few skewed orders has a
lower median; with p = 1 and q = 3 it is 0.13.) The assumption fails where the two differ by more than `NOTABLE` and by
more than chance at `LEVEL`; then `crmlab.clv.models.gamma_gamma_frequency` is fitted and used.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr

from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models import gamma_gamma, gamma_gamma_frequency
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Sentence, generator

NOTABLE, SLIGHT, LEVEL = 0.1, 0.2, 0.05
FEWEST_COMPARED = 10
REPLICATES, SIMULATED = (20, 200), 50_000
"""Simulated bases: fewest and most; in between so many that they hold this number of customers in all."""


@dataclass(frozen=True)
class Dependence:
    """How order value goes with frequency.

    Attributes
    ----------
    correlation
        Spearman's, of x and z_bar among customers with x > 0 and z_bar > 0; not a number where it cannot be computed.
    expected
        The correlation under independence: the mean over bases simulated from the fitted model.
    error
        Standard error of their difference, large-sample: 1/√(n − 1), and that of the simulation.
    """

    correlation: float
    expected: float
    error: float

    @property
    def p_value(self) -> float:
        """Two-sided, of the difference."""
        return float(2 * ndtr(-abs(self.correlation - self.expected) / self.error))

    @property
    def fails(self) -> bool:
        """Whether independence is to be given up: a notable difference, beyond chance."""
        return abs(self.correlation - self.expected) > NOTABLE and self.p_value < LEVEL

    @property
    def holds(self) -> bool:
        """Whether the difference is small, and its 90 % interval rules out more than a slight one."""
        off = abs(self.correlation - self.expected)
        return off <= NOTABLE and off + 1.645 * self.error < SLIGHT


def spend_fit(history: pd.DataFrame, *, seed: int, name: str, params: CLVParams, basis: Basis | None = None) -> Fit:
    """Fit the study's model of spend; where Gamma-Gamma's assumption fails, the one that drops it.

    The fit's notes say what the test found and what was done.

    Parameters
    ----------
    history
        One row a customer: x, z_bar in currency (missing where x = 0).
    seed, name, params, basis
        As in `crmlab.clv.fitting.fit.fit`.
    """
    plain = fit(history, params.spend, seed=seed, name=name, params=params, basis=basis)
    if plain.model == gamma_gamma_frequency.MODEL.name:
        return replace(plain, notes=(*plain.notes, slope(plain)))
    if plain.model != gamma_gamma.MODEL.name or not plain.passed:
        return plain
    found = dependence(history, plain, rng=generator(seed, "clv", "dependence", name))
    if not found.fails:
        return replace(plain, notes=(*plain.notes, _held(found)))
    freed = fit(history, gamma_gamma_frequency.MODEL.name, seed=seed, name=name, params=params, basis=basis)
    return remedy(found, plain, freed)


def remedy(found: Dependence, plain: Fit, freed: Fit) -> Fit:
    """Where independence fails: the fit that drops it if that passed its gate, else the plain one; its notes say so."""
    if freed.passed:
        return replace(freed, notes=(*freed.notes, _related(found), slope(freed)))
    return replace(plain, notes=(*plain.notes, _related(found), *freed.failures, _all_the_same(found)))


def dependence(history: pd.DataFrame, fitted: Fit, *, rng: np.random.Generator) -> Dependence:
    """Spearman's correlation of x and z_bar, against customers simulated from a fit of Gamma-Gamma."""
    used = fitted.fitted.rows(history)
    n = len(used)
    if n < FEWEST_COMPARED or used["x"].nunique() < 2 or used["z_bar"].nunique() < 2:
        return Dependence(float("nan"), float("nan"), float("nan"))
    ranks = used["x"].rank()
    replicates = int(np.clip(SIMULATED // n, *REPLICATES))
    draws = {k: v.reshape(-1) for k, v in fitted.draws.items()}
    simulated = np.empty(replicates)
    for i, draw in enumerate(rng.integers(next(iter(draws.values())).size, size=replicates)):
        drawn = fitted.fitted.simulate({k: v[draw] for k, v in draws.items()}, used, rng)
        simulated[i] = _correlation(ranks, drawn["z_bar"])
    observed, expected = _correlation(ranks, used["z_bar"]), float(simulated.mean())
    return Dependence(observed, expected, float(np.sqrt((1 + 1 / replicates) / (n - 1))))


def slope(fitted: Fit) -> Sentence:
    """δ of the model that lets order value move with frequency, in words."""
    delta = fitted.draws["delta"]
    low, high = np.quantile(delta, INTERVAL)
    return Sentence(
        "The spend model's mean order value moves with frequency: twice the purchases go with orders of {ratio:.2f} "
        "times the value (δ = {delta:.2f}, 90 % interval {low:.2f} to {high:.2f}; without a relation 1 and 0).",
        {"ratio": float((2**delta).mean()), "delta": float(delta.mean()), "low": float(low), "high": float(high)},
        tone="warn",
    )


def _correlation(ranks: pd.Series, values: pd.Series) -> float:
    return float(np.corrcoef(ranks, values.rank())[0, 1])


def _values(found: Dependence) -> dict[str, float]:
    return {"r": found.correlation, "expected": found.expected, "p": found.p_value}


def _held(found: Dependence) -> Sentence:
    if not np.isfinite(found.correlation):
        return Sentence("Too few repeat buyers to check that order value does not depend on frequency.")
    if not found.holds:
        return Sentence(
            "Whether order value depends on frequency cannot be told here (rank correlation {r:.2f}, {expected:.2f} "
            "expected if not; p = {p:.2f}); the spend model assumes that it does not.",
            _values(found),
        )
    return Sentence(
        "Order value hardly depends on frequency (rank correlation {r:.2f}, {expected:.2f} expected if not at all), as "
        "the spend model assumes.",
        _values(found),
        tone="good",
    )


def _related(found: Dependence) -> Sentence:
    if found.correlation > found.expected:
        return Sentence(
            "Frequent buyers place larger orders (rank correlation {r:.2f}); Gamma-Gamma takes the two to be "
            "unrelated, and would show {expected:.2f}.",
            _values(found),
            tone="warn",
        )
    return Sentence(
        "Frequent buyers place smaller orders (rank correlation {r:.2f}); Gamma-Gamma takes the two to be unrelated, "
        "and would show {expected:.2f}.",
        _values(found),
        tone="warn",
    )


def _all_the_same(found: Dependence) -> Sentence:
    if found.correlation > found.expected:
        return Sentence(
            "Gamma-Gamma is used all the same: it overstates the value of customers with few orders.", tone="warn"
        )
    return Sentence(
        "Gamma-Gamma is used all the same: it understates the value of customers with few orders.", tone="warn"
    )
