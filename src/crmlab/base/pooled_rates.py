"""Rates of several groups that borrow from one another as far as they are alike, and no further."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, betaln, expit, gammaln, logit, xlog1py, xlogy

from crmlab.base.intervals import LEVEL, jeffreys

NODES = (15, 36)
"""Points of the grid: of the mean within each spread, and of the spread."""
ZOOMS = 3
"""So often the points of the mean are drawn together about where the posterior is."""
SMALLEST = 1e-4
"""Groups whose rates' correlation √ρ is below this are equal."""
DEEP = 9.0
"""What lies this far below the highest log posterior is left out."""
STEPS = 6
"""Newton's steps to a limit."""
TAIL = (1 - LEVEL) / 2
BY_CHANCE = 2.706
"""Likelihood ratio that equal groups exceed once in twenty: ½χ²₁, the spread being at its bound of 0."""


@dataclass(frozen=True)
class PooledRates:
    """What each group's rate is, given all groups.

    Attributes
    ----------
    rate, low, high
        Each group's rate with its interval of 90 %: (G,) arrays.
    typical
        Mean rate of the groups that might have been: mean, low, high.
    range
        Between which limits the rates of nine groups in ten lie.
    differ
        Whether the groups differ by more than chance (one test in twenty says so of equal ones).
    """

    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    typical: tuple[float, float, float]
    range: tuple[float, float]
    differ: bool


def pooled_rates(successes: np.ndarray, trials: np.ndarray) -> PooledRates:
    """Rates under a beta distribution of groups, whose two parameters are integrated over, not plugged in.

    kᵢ ~ Binomial(nᵢ, pᵢ), pᵢ ~ Beta(a, b) [Gelman et al. 2013, section 5.3]. With m = a/(a + b) and the correlation
    within groups ρ = 1/(a + b + 1), m has Jeffreys' prior and √ρ, to which the standard deviation of the rates is
    proportional, a uniform one on (0, 1) [Gelman 2006, section 3.2]. A plug-in estimate would forget that few groups
    hardly tell a and b. The posterior of (m, √ρ) is summed over a grid; given a node pᵢ is Beta(a + kᵢ, b + nᵢ − kᵢ),
    and the limits are those of the mixture over nodes.

    Parameters
    ----------
    successes, trials
        Counts of each group, trials ≥ 1. One group alone has nobody to borrow from: its interval is Jeffreys'.
    """
    k, n = np.asarray(successes, dtype="float64"), np.asarray(trials, dtype="float64")
    if len(k) == 1:
        low, high = jeffreys(k, n)
        alone = (float(k[0] / n[0]), float(low[0]), float(high[0]))
        return PooledRates(k / n, low, high, alone, alone[1:], differ=False)
    m, r, weight, highest = _posterior(k, n)
    size = 1 / r**2 - 1
    a, b = (m * size)[:, None], ((1 - m) * size)[:, None]
    mean = (a + k) / (a + b + n)
    rate, low, high = _beta(weight, mean, mean * (1 - mean) / (a + b + n + 1))
    low, high = (_quantile(weight, a + k, b + n - k, *at) for at in ((low, TAIL), (high, 1 - TAIL)))
    typical = _beta(weight, m[:, None], np.zeros((len(m), 1)))
    new = _beta(weight, m[:, None], (m * (1 - m) * r**2)[:, None])
    share = k.sum() / n.sum()
    equal = float((xlogy(k, share) + xlog1py(n - k, -share)).sum())
    return PooledRates(
        rate=rate,
        low=low,
        high=high,
        typical=tuple(float(limit[0]) for limit in typical),
        range=(float(new[1][0]), float(new[2][0])),
        differ=2 * (highest - equal) > BY_CHANCE,
    )


def _posterior(k: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Nodes m and √ρ with their weights, and the highest log-likelihood met.

    √ρ on a scale of logarithms; for each, logit m evenly over where its own posterior is.
    """
    points, spreads = NODES
    r = np.geomspace(SMALLEST, 1, spreads + 1)
    r = np.sqrt(r[1:] * r[:-1])
    raw = logit((k + 0.5) / (n + 1))
    left, right = np.full(spreads, raw.min() - 3), np.full(spreads, raw.max() + 3)
    for zoom in range(ZOOMS + 1):
        step = (right - left) / points
        u = left + (np.arange(points)[:, None] + 0.5) * step
        likelihood = _log_likelihood(expit(u), r[None, :], k, n)
        # Jeffreys' Beta(½, ½) in logit m
        posterior = likelihood + 0.5 * (np.log(expit(u)) + np.log(expit(-u)))
        if zoom < ZOOMS:
            inside = posterior > posterior.max(axis=0) - DEEP
            low, high = inside.argmax(axis=0), points - 1 - inside[::-1].argmax(axis=0)
            at = np.arange(spreads)
            left, right = u[low, at] - 1.5 * step, u[high, at] + 1.5 * step
    posterior += np.log(step) + np.log(r)
    weight = np.exp(posterior - posterior.max())
    weight /= weight.sum()
    kept = weight > 1e-5 * weight.max()
    weight = weight[kept] / weight[kept].sum()
    return expit(u)[kept], np.broadcast_to(r, u.shape)[kept], weight, float(likelihood.max())


def _log_likelihood(m: np.ndarray, r: np.ndarray, k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Beta-binomial, without the binomial coefficients; equal groups count once."""
    counts, times = np.unique(np.stack([k, n]), axis=1, return_counts=True)
    size = 1 / r**2 - 1
    a, b = np.broadcast_arrays(m * size, (1 - m) * size)
    total = np.zeros(a.shape)
    for (hits, tried), often in zip(counts.T, times, strict=True):
        of = gammaln(a + hits) + gammaln(b + tried - hits) - gammaln(a + b + tried)
        total += often * (of - gammaln(a) - gammaln(b) + gammaln(a + b))
    return total


def _beta(weight: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and limits of mixtures, by the beta distribution of equal mean and variance: (nodes, groups) → (groups,)."""
    centre = weight @ mean
    spread = weight @ (variance + (mean - centre) ** 2)
    size = np.maximum(centre * (1 - centre) / np.maximum(spread, 1e-300) - 1, 1e-9)
    a, b = centre * size, (1 - centre) * size
    return centre, betaincinv(a, b, TAIL), betaincinv(a, b, 1 - TAIL)


def _quantile(weight: np.ndarray, a: np.ndarray, b: np.ndarray, start: np.ndarray, share: float) -> np.ndarray:
    """Where mixtures of betas reach `share`, by Newton's steps in the logit: (nodes, groups) → (groups,)."""
    x = logit(np.clip(start, 1e-6, 1 - 1e-6))
    constant = betaln(a, b)
    for _ in range(STEPS):
        p = expit(x)
        slope = weight @ np.exp(xlogy(a, p) + xlog1py(b, -p) - constant)
        x -= np.clip((weight @ betainc(a, b, p) - share) / np.maximum(slope, 1e-12), -1, 1)
        x = np.clip(x, -25, 25)
    return expit(x)
