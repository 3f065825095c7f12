"""How far customers' true response rates spread, over campaigns of different rates.

y_ij ~ Bernoulli(expit(α_j + σ u_i)), u_i ~ N(0, 1): a customer's inclination is one number, campaigns have their own
levels. The integral over u is a trapezoid sum over a grid of the normal, exact to far below the data's noise, on the
distinct patterns of contacts and answers. σ is profiled; the spread is the standard deviation over customers of
their rate averaged over the campaigns as contacted, Σ_j w_j expit(α_j + σu).

Chosen after simulation (90 % intervals, 200 and 1,000 customers, 4 to 8 campaigns at .05 to .25, rates logit-normal,
Beta or of two classes): it covers 88–94 %, while the moment Σ r_ij r_ik / pairs with a customer bootstrap covers
83–92 % and errs above. Where one class of customers hardly ever answers, and the other at three times the mean rate,
the estimate is 3 % too large and the interval covers 82 % at 1,000 customers. Sparse data (125 to 400 customers, 2 to
3 contacts each over 14 to 19 campaigns at .01 to .05): upper ends are too low in 2–10 %, lower ends too high in 6–11 %.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special, stats

from crmlab.contract import Refused

Array = NDArray[np.float64]

NODES = np.linspace(-5.0, 5.0, 41)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
LARGEST = 6.0
"""Largest σ looked at: rates are then nearly all 0 or 1."""


class Spread(NamedTuple):
    """Standard deviation of customers' true rates, with its profile-likelihood interval, and the likelihood ratio."""

    sd: float
    low: float
    high: float
    lr: float


class Patterns(NamedTuple):
    """Distinct rows: answered and contacted (patterns × campaigns), customers of each, weights of the campaigns."""

    yes: Array
    known: Array
    count: Array
    weight: Array


def spread(y: Array, *, interval: float = 0.90) -> Spread:
    """The sd of true rates with its profile interval; NaN where nobody has two informative contacts.

    The interval takes in every σ whose deviance is within χ²₁'s `interval` quantile of the best, so its lower end is 0
    unless one-sided p < (1 − interval)/2. Where even the largest σ is within it, the upper end is √(p̄ q̄), the largest
    spread that any rates of that mean can have.

    Parameters
    ----------
    y
        customers × campaigns, 0/1; NaN where a customer was not contacted.
    interval
        Its nominal coverage.
    """
    data = patterns(y)
    if not data.count.size or not (data.known.sum(axis=1) > 1).any():
        return Spread(np.nan, np.nan, np.nan, np.nan)
    alpha = special.logit((data.count @ data.yes) / (data.count @ data.known))
    profile: dict[float, tuple[float, Array]] = {}

    def at(sigma: float) -> tuple[float, Array]:
        """Smallest deviance at σ and its campaign levels, from the nearest start known."""
        if sigma not in profile:
            near = min(profile, key=lambda s: abs(s - sigma), default=None)
            start = alpha if near is None else profile[near][1]
            profile[sigma] = _levels(data, sigma, start)
        return profile[sigma]

    null = at(0.0)[0]
    grid = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, LARGEST]
    values = [at(s)[0] for s in grid]
    k = int(np.argmin(values))
    found = optimize.minimize_scalar(
        lambda s: at(float(s))[0],
        bounds=(grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]),
        method="bounded",
        options={"xatol": 1e-5},
    )
    best = float(found.x) if found.fun < values[k] else grid[k]
    floor = at(best)[0]
    limit = floor + float(stats.chi2.ppf(interval, 1))
    low = 0.0 if null <= limit else _crossing(at, limit, 0.0, best)
    sd, lower = (rate_sd(at(s)[1], s, data.weight) for s in (best, low))
    if at(LARGEST)[0] <= limit:
        mean = float(np.nanmean(y))
        upper = float(np.sqrt(mean * (1 - mean)))
    else:
        high = _crossing(at, limit, LARGEST, best)
        upper = rate_sd(at(high)[1], high, data.weight)
    return Spread(sd, lower, upper, max(null - floor, 0.0))


def matrix(contacts: pd.DataFrame, outcome: str) -> tuple[pd.Index, Array]:
    """Customers (sorted) and their answers, customers × campaigns (sorted); NaN where not contacted."""
    if contacts.duplicated(["customer_id", "campaign_id"]).any():
        raise Refused("contacts", "a customer has more than one row in one campaign")
    wide = contacts.set_index(["customer_id", "campaign_id"])[outcome].unstack().sort_index().sort_index(axis=1)  # noqa: PD010
    return wide.index, wide.to_numpy(dtype=float)


def patterns(y: Array) -> Patterns:
    """Distinct patterns of contacts and answers.

    A campaign that nobody answered has no level of its own: it shares that of the campaign answered least (and one
    that everybody answered, that of the campaign answered most). No campaign with a level: nothing to fit.
    """
    known = ~np.isnan(y)
    contacts, yes = known.sum(axis=0), np.nansum(y, axis=0)
    rate = yes / np.maximum(contacts, 1)
    live = np.flatnonzero((yes > 0) & (yes < contacts))
    if not len(live):
        none = np.empty((0, 0))
        return Patterns(none, none, np.empty(0), np.empty(0))
    level = np.where(rate <= 0.5, live[rate[live].argmin()], live[rate[live].argmax()])
    level[live] = live
    group = (level[:, None] == live).astype(float)
    both = np.hstack([np.nan_to_num(y) @ group, known @ group]).astype(np.int16)
    rows, count = np.unique(both, axis=0, return_counts=True)
    yes_rows, known_rows = np.split(rows.astype(float), 2, axis=1)
    return Patterns(yes_rows, known_rows, count.astype(float), contacts @ group / contacts.sum())


def rate_sd(alpha: Array, sigma: float, weight: Array) -> float:
    """Sd over u of Σ_j w_j expit(α_j + σu)."""
    if sigma == 0:
        return 0.0
    rate = special.expit(alpha[:, None] + sigma * NODES).T @ weight
    mean = WEIGHTS @ rate
    return float(np.sqrt(max(WEIGHTS @ (rate - mean) ** 2, 0.0)))


def deviance(data: Patterns, alpha: Array, sigma: float) -> tuple[float, Array]:
    """−2 log-likelihood and its gradient in α."""
    at = alpha[:, None] + sigma * NODES
    joint = data.yes @ at - data.known @ np.logaddexp(0.0, at) + np.log(WEIGHTS)
    top = joint.max(axis=1, keepdims=True)
    share = np.exp(joint - top)
    total = share.sum(axis=1, keepdims=True)
    share *= data.count[:, None] / total
    expected = ((data.known.T @ share) * special.expit(at)).sum(axis=1)
    value = -2 * float(data.count @ (np.log(total) + top)[:, 0])
    return value, -2 * (data.count @ data.yes - expected)


def _levels(data: Patterns, sigma: float, start: Array) -> tuple[float, Array]:
    found = optimize.minimize(
        lambda a: deviance(data, a, sigma), start, jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-5}
    )
    return float(found.fun), found.x


def _crossing(at: Callable[[float], tuple[float, Array]], limit: float, outside: float, inside: float) -> float:
    """The σ between at which the profile deviance is `limit`."""
    return float(optimize.brentq(lambda s: at(float(s))[0] - limit, outside, inside, xtol=1e-4))
