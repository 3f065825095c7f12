"""The probability of each tier of value, customer by customer: of the expected value, and of what is brought."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import Fits, distinct, expected, parts, pieces, weekly
from crmlab.contract import generator

NUMBERS, FEWEST_DRAWS = 40_000_000, 50
"""Customers times draws worked on: fewer draws where customers are many."""


def tier_probabilities(
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    cuts: Sequence[float],
    tier: np.ndarray,
    *,
    params: CLVParams,
    seed: int,
    segment: pd.Series | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of each tier: of the expected value, and of what a customer brings; in blocks of customers.

    Parameters
    ----------
    history, purchases, spend, params, segment
        As in `crmlab.clv.value.predict.lifetime_value`, the history sorted by customer_id.
    cuts
        Lower bounds of all tiers but the lowest, ascending.
    tier
        (customers,) tier of each, 1 for the highest.
    seed
        The study's seed.

    Returns
    -------
    belongs, brings : (customers, tiers), tier 1 first; rows sum to 1.
    totals : (tiers, draws), value of the customers of each tier under each posterior draw.
    """
    kept = max(min(params.kept_draws, NUMBERS // max(len(history), 1)), FEWEST_DRAWS)
    history, found = parts(history, purchases, spend, number=kept, segment=segment)
    rng, bounds, count = generator(seed, "segments", "tiers"), np.asarray(cuts, dtype=float), len(cuts) + 1
    belongs, brings = np.empty((len(history), count)), np.empty((len(history), count))
    totals: np.ndarray | float = 0.0
    for part, at in pieces(found):
        block, where = part.history.iloc[at], part.position[at]
        rows, back = distinct(part.timing, block)
        weeks = params.horizon_weeks
        _, (orders, discounted) = expected(part.timing, part.purchase_draws, rows, weeks, (0.0, weekly(params)))
        clv = discounted[back] * part.worth.expected_value(part.spend_draws, block) * params.margin_share
        counts = part.timing.future_purchases(part.purchase_draws, block, weeks, rng)
        spent = part.worth.future_spend(part.spend_draws, block, counts, rng)
        margin = spent * (discounted / np.where(orders > 0, orders, 1))[back] * params.margin_share
        belongs[where], brings[where] = _shares(clv, bounds), _shares(margin, bounds)
        totals = totals + np.stack([clv[tier[where] == k].sum(axis=0) for k in range(1, count + 1)])
    return belongs, brings, totals


def _shares(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """(customers, tiers), highest first: share of each row's draws between the bounds."""
    above = np.stack([np.ones(len(values)), *((values >= b).mean(axis=1) for b in bounds)], axis=1)
    return np.append(above[:, :-1] - above[:, 1:], above[:, -1:], axis=1)[:, ::-1]
