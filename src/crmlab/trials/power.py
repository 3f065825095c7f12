"""What a trial can see: minimum detectable effects (MDE), printed before any result.

Every function returns the smallest true value that a test of size `alpha` finds with probability `power`; nan where
nobody, or no value at all, would do.
"""

from collections.abc import Iterable
from math import isfinite, nan, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

CANDIDATES = 20
"""Splits a search over traits tries in a segment, about: each gets one share of alpha."""


def power_two_proportions(n_t: int, n_c: int, p_t: float, p_c: float, *, alpha: float = 0.05) -> float:
    """Power of the two-sided z-test of two proportions, pooled under the null (Fleiss, Levin & Paik 2003, eq. 4.14).

    Parameters
    ----------
    n_t, n_c
        Customers contacted and withheld.
    p_t, p_c
        Their true rates, in [0, 1].
    alpha
        Two-sided size of the test.
    """
    if min(n_t, n_c) < 1:
        return nan
    pooled = (n_t * p_t + n_c * p_c) / (n_t + n_c)
    null = sqrt(pooled * (1 - pooled) * (1 / n_t + 1 / n_c))
    alternative = sqrt(p_t * (1 - p_t) / n_t + p_c * (1 - p_c) / n_c)
    if alternative == 0:
        return float(abs(p_t - p_c) > norm.isf(alpha / 2) * null)
    z = norm.isf(alpha / 2) * null
    gap = abs(p_t - p_c)
    return float(norm.sf((z - gap) / alternative) + norm.sf((z + gap) / alternative))


def mde_two_proportions(n_t: int, n_c: int, p: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest increase of a rate over `p` found with the given power: absolute, in rate points / 100.

    Parameters
    ----------
    n_t, n_c
        Customers contacted and withheld.
    p
        Rate of those withheld, in [0, 1).
    alpha, power
        Two-sided size and power of the z-test, see `power_two_proportions`.

    Returns
    -------
    float
        The difference; nan where even a rate of 1 would be found less often, or an arm is empty.
    """
    if min(n_t, n_c) < 1 or not 0 <= p < 1:
        return nan

    def short_of(gap: float) -> float:
        return power_two_proportions(n_t, n_c, p + gap, p, alpha=alpha) - power

    most = (1 - p) * (1 - 1e-9)
    return float(brentq(short_of, 1e-9, most, xtol=1e-9)) if short_of(most) > 0 else nan


def rho_min(contacts: Iterable[int], *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest intra-customer correlation found by Tarone's Z or the pair score: 2.49 / √Σ m(m−1)/2.

    A pair of standardised responses of one customer has mean rho and, under the null, variance one; the score sums
    Σ m(m−1)/2 pairs and is one-sided, so rho_min = (z₁₋α + z_power) / √pairs, 2.49 at the defaults.

    Parameters
    ----------
    contacts
        m, contacts of each customer.
    """
    m = np.asarray(list(contacts), dtype=np.float64)
    pairs = float((m * (m - 1) / 2).sum())
    return float((norm.isf(alpha) + norm.ppf(power)) / sqrt(pairs)) if pairs > 0 else nan


def spread_min(contacts: Iterable[int], p: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest standard deviation of customers' true rates found: √(rho_min p(1−p)), on the scale of rates.

    Parameters
    ----------
    contacts
        m, contacts of each customer.
    p
        Mean rate, in [0, 1].
    """
    rho = rho_min(contacts, alpha=alpha, power=power)
    return sqrt(rho * p * (1 - p)) if isfinite(rho) and rho <= 1 else nan


def mde_split_level(
    n: int,
    sd: float,
    *,
    share_split: float = 0.5,
    candidates: int = CANDIDATES,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Smallest difference in level between the two sides of a split that a search over candidates finds.

    δ = (z_{1−α/2K} + z_power) · sd / √(n q(1−q)).

    Parameters
    ----------
    n
        Customers of the segment.
    sd
        Standard deviation of the outcome, √(p(1−p)) for a response.
    share_split
        q, share of the customers on one side.
    candidates
        K, splits tried, each at alpha / K.
    """
    information = n * share_split * (1 - share_split)
    return _critical(candidates, alpha, power) * sd / sqrt(information) if information > 0 else nan


def mde_split_effect(
    n: int,
    sd: float,
    *,
    share_contacted: float,
    share_split: float = 0.5,
    candidates: int = CANDIDATES,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Smallest difference in effect between the two sides of a split that a search over candidates finds.

    δ = (z_{1−α/2K} + z_power) · sd / √(π(1−π) n q(1−q)).

    Parameters
    ----------
    n
        Customers of the segment, both arms.
    sd
        Standard deviation of the outcome within an arm.
    share_contacted
        π, share contacted.
    share_split, candidates, alpha, power
        See `mde_split_level`.
    """
    information = share_contacted * (1 - share_contacted) * n * share_split * (1 - share_split)
    return _critical(candidates, alpha, power) * sd / sqrt(information) if information > 0 else nan


def _critical(candidates: int, alpha: float, power: float) -> float:
    return float(norm.isf(alpha / (2 * candidates)) + norm.ppf(power))
