"""Difference between contacted and control customers: numbers only."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True, slots=True)
class Difference:
    """Uplift of one outcome in one group of customers.

    Attributes
    ----------
    treated, control
        Rows (customers × campaigns) in strata with both arms, by arm.
    treated_mean, control_mean
        Mean outcome of each arm; with several strata both weighted by the strata's sizes.
    uplift, se, low, high
        treated_mean − control_mean, its HC2 standard error and its interval.
    p
        Two-sided p of no difference, from uplift / se.
    mde
        Smallest true difference found with the stated power by a two-sided test of size alpha.
    left_out
        Rows in strata without at least two customers in each arm.
    """

    treated: int
    control: int
    treated_mean: float
    control_mean: float
    uplift: float
    se: float
    low: float
    high: float
    p: float
    mde: float
    left_out: int


def difference(
    y: np.ndarray,
    treated: np.ndarray,
    *,
    stratum: np.ndarray | None = None,
    customer: np.ndarray | None = None,
    level: float = 0.90,
    alpha: float = 0.05,
    power: float = 0.80,
) -> Difference:
    """Uplift of contacted over control customers, compared only within strata.

    Σ_s (n_s / n)(ȳ_ts − ȳ_cs): strata (campaigns, segments) may have been held out at different shares, so arms are
    never pooled across them. The standard error is HC2, s²_t/n_t + s²_c/n_c in one stratum [MacKinnon and White 1985],
    summed over a customer's rows where customers were in several campaigns. An arm in which all outcomes are equal
    and 0 or 1 gets the variance p̃(1 − p̃), p̃ = (x + ½)/(n + 1), so that no estimate is certain.

    The interval is Newcombe's hybrid score [Newcombe 1998, method 10; strata by summing squares, Yan and Su 2010] for
    a 0/1 outcome of customers seen once, otherwise normal.

    Parameters
    ----------
    y
        Outcome, (n,).
    treated
        True for contacted, (n,).
    stratum, customer
        Labels of what each row belongs to, (n,); None: one stratum, every row another customer.
    level, alpha, power
        Coverage of the interval; size and power of the MDE.
    """
    y, treated = np.asarray(y, float), np.asarray(treated, bool)
    s = np.zeros(len(y), int) if stratum is None else pd.factorize(np.asarray(stratum), sort=True)[0]
    strata = int(s.max()) + 1 if len(s) else 0
    n = np.array([np.bincount(s[treated == arm], minlength=strata) for arm in (False, True)])
    usable = (n >= 2).all(axis=0)
    kept = usable[s] if len(s) else np.zeros(0, bool)
    left_out = int((~kept).sum())
    if not usable.any():
        nothing = [np.nan] * 8
        return Difference(int(n[1].sum()), int(n[0].sum()), *nothing, left_out)
    y, treated, s = y[kept], treated[kept], s[kept]
    a = treated.astype(int)
    n = np.where(usable, n, 1)
    weight = np.bincount(s, minlength=strata) / len(s)
    total = np.zeros((2, strata))
    np.add.at(total, (a, s), y)
    mean = total / n
    residual = y - mean[a, s]
    square = np.zeros((2, strata))
    np.add.at(square, (a, s), residual**2)
    variance = square / np.maximum(n - 1, 1)
    flat = usable & (square == 0) & ((mean == 0) | (mean == 1))
    smooth = (total + 0.5) / (n + 1)
    added = np.where(flat & _binary(y), smooth * (1 - smooth), 0.0)

    influence = weight[s] * residual / n[a, s] * np.sqrt(n[a, s] / (n[a, s] - 1)) * np.where(treated, 1, -1)
    who = np.arange(len(y)) if customer is None else pd.factorize(np.asarray(customer)[kept])[0]
    repeated = int(who.max()) + 1 < len(y)
    se = float(np.sqrt(np.sum(np.bincount(who, influence) ** 2) + np.sum(weight**2 * (added / n))))
    means = (weight * np.where(usable, mean, 0)).sum(axis=1)
    uplift = float(means[1] - means[0])
    z = norm.ppf((1 + level) / 2)
    low, high = uplift - z * se, uplift + z * se
    if _binary(y) and not repeated:
        down, up = _newcombe(mean, n, level)
        low = uplift - float(np.sqrt(np.sum(weight**2 * np.where(usable, down, 0))))
        high = uplift + float(np.sqrt(np.sum(weight**2 * np.where(usable, up, 0))))
    pooled = ((n - 1) * (variance + added)).sum(axis=0) / np.maximum(n.sum(axis=0) - 2, 1)
    detectable = norm.isf(alpha / 2) + norm.ppf(power)
    null = float(np.sqrt(np.sum(weight**2 * np.where(usable, pooled * (1 / n).sum(axis=0), 0))))
    return Difference(
        treated=int(treated.sum()),
        control=int((~treated).sum()),
        treated_mean=float(means[1]),
        control_mean=float(means[0]),
        uplift=uplift,
        se=se,
        low=low,
        high=high,
        p=float(2 * norm.sf(abs(uplift) / se)) if se > 0 else np.nan,
        mde=float(detectable * null) if null > 0 else np.nan,
        left_out=left_out,
    )


def _binary(y: np.ndarray) -> bool:
    return bool(np.isin(y, (0.0, 1.0)).all())


def _newcombe(p: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances down and up from the difference p[1] − p[0] by Wilson's limits of both, (strata,) each."""
    low, high = proportion_confint(p * n, n, alpha=1 - level, method="wilson")
    down = (p[1] - low[1]) ** 2 + (high[0] - p[0]) ** 2
    up = (high[1] - p[1]) ** 2 + (p[0] - low[0]) ** 2
    return down, up
