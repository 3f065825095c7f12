"""What a fit says of each customer of a base in the weeks ahead, held against what they did."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crmlab.clv.models.model import Arrays, PurchaseModel
from crmlab.clv.validation.scores import ranks
from crmlab.clv.value.predict import blocks, expected

BLOCK = 2_000
"""Customers worked on at a time."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws from the predictive distribution, reduced while they are made.

    Attributes
    ----------
    below, upto
        (customers,) where the actual counts lie among their draws: see `crmlab.clv.validation.scores.ranks`.
    sums
        Grouping → (groups, draws): purchases of each group.
    """

    below: np.ndarray
    upto: np.ndarray
    sums: dict[str, np.ndarray]


def mean_purchases(model: PurchaseModel, draws: Arrays, history: pd.DataFrame, weeks: float) -> np.ndarray:
    """(customers,) posterior mean of the purchases expected in (T, T + weeks]; equal histories are worked on once."""
    group = history.groupby(model.read, sort=True).ngroup().to_numpy()
    distinct = history.iloc[np.unique(group, return_index=True)[1]]
    means = [expected(model, draws, rows, weeks, (0.0,))[1][0].mean(axis=1) for rows in blocks(distinct, BLOCK)]
    return np.concatenate(means)[group]


def drawn(
    model: PurchaseModel,
    draws: Arrays,
    history: pd.DataFrame,
    actual: np.ndarray,
    weeks: float,
    rng: np.random.Generator,
    groupings: Mapping[str, np.ndarray],
) -> Drawn:
    """Draw every customer's purchases in (T, T + weeks].

    Parameters
    ----------
    model, draws
        The model, and parameter → (draws,).
    history
        One row a customer.
    actual
        (customers,) what happened.
    weeks
        Length of the period.
    rng
        Where the draws come from.
    groupings
        Name → (customers,) number of each customer's group, from 0; −1 for none.
    """
    number = len(next(iter(draws.values())))
    sums = {name: np.zeros((int(codes.max()) + 1, number)) for name, codes in groupings.items()}
    below, upto = np.empty(len(history)), np.empty(len(history))
    for start in range(0, len(history), BLOCK):
        here = slice(start, start + BLOCK)
        counts = model.future_purchases(draws, history.iloc[here], weeks, rng)
        below[here], upto[here] = ranks(counts, actual[here])
        for name, codes in groupings.items():
            for group in np.unique(codes[here][codes[here] >= 0]):
                sums[name][group] += counts[codes[here] == group].sum(axis=0)
    return Drawn(below, upto, sums)
