"""Intervals of 90 % for the statistics of a customer base, customers being what was drawn."""

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

LEVEL = 0.90
"""Coverage of every interval in this room; the headings say it."""

GROUPS = 40
"""Groups of customers that the jackknife leaves out in turn."""


def jeffreys(successes: np.ndarray, trials: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a share by the Beta(½, ½) prior [Brown, Cai & DasGupta 2001, eq. 8].

    Parameters
    ----------
    successes, trials
        Counts, of one shape.
    level
        Coverage.

    Returns
    -------
    low, high : float64 arrays; 0 where there was no success, 1 where there was nothing else, NaN without trials.
    """
    k, n = np.asarray(successes, dtype="float64"), np.asarray(trials, dtype="float64")
    tail = (1 - level) / 2
    some = np.where(n > 0, n, 1.0)
    low = np.where(k > 0, betaincinv(k + 0.5, some - k + 0.5, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 0.5, some - k + 0.5, 1 - tail), 1.0)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def mean_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float, float]:
    """Mean of independent values with its normal interval: mean, low, high."""
    values = np.asarray(values, dtype="float64")
    if len(values) < 2:
        return (float(values.mean()) if len(values) else np.nan), np.nan, np.nan
    mean, se = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    z = float(ndtri((1 + level) / 2))
    return mean, mean - z * se, mean + z * se


def ratio_interval(top: np.ndarray, bottom: np.ndarray, level: float = LEVEL) -> tuple[float, float, float]:
    """Σ top / Σ bottom over customers, linearised: ratio, low, high [Cochran 1977, eq. 6.13].

    A customer's orders are alike, so it is customers, not orders, that are counted as independent.
    """
    top, bottom = np.asarray(top, dtype="float64"), np.asarray(bottom, dtype="float64")
    if not bottom.sum() > 0:
        return np.nan, np.nan, np.nan
    ratio = float(top.sum() / bottom.sum())
    if len(top) < 2:
        return ratio, np.nan, np.nan
    se = float((top - ratio * bottom).std(ddof=1) / np.sqrt(len(top)) / bottom.mean())
    z = float(ndtri((1 + level) / 2))
    return ratio, ratio - z * se, ratio + z * se


def jackknife_se(left_out: np.ndarray) -> np.ndarray:
    """Standard error from estimates that leave one of G groups of customers out [Shao & Tu 1995, eq. 2.3].

    Parameters
    ----------
    left_out
        (G, …): row g is the estimate without group g.
    """
    groups = len(left_out)
    spread = ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    return np.sqrt((groups - 1) / groups * spread)


def t_quantile(groups: int, level: float = LEVEL) -> float:
    """Half-width of a jackknife interval, in standard errors."""
    return float(stdtrit(groups - 1, (1 + level) / 2))
