"""Were probabilities kept? Predicted chances against what happened: groups, Brier score, calibration slope."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri

from crmlab.base.intervals import jeffreys, mean_interval
from crmlab.contract.result import FEWEST

GROUPS = 10
CLIP = 1e-4
"""Probabilities nearer to 0 or 1 are taken as this near when logits are compared."""

STEPS, CONVERGED = 50, 1e-10
FARTHEST = 50.0
"""Half an interval so wide is that of outcomes which the probabilities part: there is no slope."""

Interval = tuple[float, float, float]
"""Estimate, low, high (90 %)."""

NONE: Interval = (float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Reliability:
    """How probabilities fared.

    Attributes
    ----------
    groups
        group (1: the highest probabilities), customers, predicted (mean), actual (share it happened to), low, high
        (90 % interval of the share, Jeffreys). Customers of one probability are in one group.
    predicted, actual
        Mean probability; share that it happened to, with its interval.
    brier
        Mean squared error of the probabilities [Brier 1950].
    gained
        Brier score of one probability for everybody, the actual share, less `brier`: above 0 they tell people apart.
    slope, intercept
        Of the logistic regression of what happened on the logit of the probability [Cox 1958]: slope 1 and intercept 0
        where probabilities are right; a slope below 1 says they are too extreme.
    """

    groups: pd.DataFrame
    predicted: float
    actual: Interval
    brier: Interval
    gained: Interval
    slope: Interval
    intercept: Interval


def reliability(predicted: np.ndarray, happened: np.ndarray) -> Reliability:
    """Compare probabilities with what happened, customer by customer.

    Parameters
    ----------
    predicted
        (customers,) probabilities.
    happened
        (customers,) whether it happened.
    """
    p, y = np.asarray(predicted, dtype=float), np.asarray(happened, dtype=float)
    errors, naive = (y - p) ** 2, (y - y.mean()) ** 2
    low, high = jeffreys(np.array([y.sum()]), np.array([len(y)]))
    slope, intercept = recalibration(p, y)
    return Reliability(
        groups=grouped(p, y),
        predicted=float(p.mean()),
        actual=(float(y.mean()), float(low[0]), float(high[0])),
        brier=mean_interval(errors),
        gained=mean_interval(naive - errors),
        slope=slope,
        intercept=intercept,
    )


def grouped(predicted: np.ndarray, happened: np.ndarray) -> pd.DataFrame:
    """About ten groups of customers by probability, the highest first; equal probabilities in one group."""
    of = tied_groups(predicted)
    numbers, sums = np.bincount(of), np.bincount(of, weights=happened)
    low, high = jeffreys(sums, numbers)
    return pd.DataFrame(
        {"group": np.arange(1, len(numbers) + 1), "customers": numbers}
        | {"predicted": np.bincount(of, weights=predicted) / numbers}
        | {"actual": sums / numbers, "low": low, "high": high}
    )


def tied_groups(predicted: np.ndarray, groups: int = GROUPS) -> np.ndarray:
    """(customers,) number of each one's group, 0 for the highest: groups as equal as ties allow, none below `FEWEST`.

    A customer's place is the middle of those of equal probability, so that no order of rows matters.
    """
    values, at, sizes = np.unique(-np.asarray(predicted).round(9), return_inverse=True, return_counts=True)
    middle = sizes.cumsum() - sizes / 2
    of = np.minimum((middle / sizes.sum() * groups).astype(int), groups - 1)
    joined, kept = np.zeros(len(values), dtype=int), 0
    filled = 0
    for place, size in enumerate(sizes):
        if place and filled >= FEWEST and of[place] != of[place - 1]:
            kept, filled = kept + 1, 0
        joined[place] = kept
        filled += size
    if kept and filled < FEWEST:
        joined[joined == kept] = kept - 1
    return joined[at]


def recalibration(predicted: np.ndarray, happened: np.ndarray) -> tuple[Interval, Interval]:
    """Slope and intercept, by Newton's method; not numbers where all probabilities, or all outcomes, are the same."""
    x, y = logit(np.clip(predicted, CLIP, 1 - CLIP)), np.asarray(happened, dtype=float)
    if np.ptp(x) < 1e-6 or np.ptp(y) == 0:
        return NONE, NONE
    beta = np.zeros(2)
    for _ in range(STEPS):
        mean = expit(beta[0] + beta[1] * x)
        weight, left = np.maximum(mean * (1 - mean), 1e-12), y - mean
        cross = (weight * x).sum()
        information = np.array([[weight.sum(), cross], [cross, (weight * x**2).sum()]])
        step = np.linalg.solve(information, np.array([left.sum(), (left * x).sum()]))
        beta = beta + step
        if np.abs(step).max() < CONVERGED:
            break
    reach = ndtri(0.95) * np.sqrt(np.diag(np.linalg.inv(information)))
    if np.abs(step).max() >= CONVERGED or reach.max() > FARTHEST:
        return NONE, NONE
    ends = [(float(b), float(b - r), float(b + r)) for b, r in zip(beta, reach, strict=True)]
    return ends[1], ends[0]
