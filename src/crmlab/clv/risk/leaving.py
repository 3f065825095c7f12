"""The risk of leaving where leaving is not seen: P(alive), and the probability of no purchase within a horizon."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from crmlab.clv.models.model import Arrays
from crmlab.clv.params import CLVParams
from crmlab.clv.risk.result import Risk, share_of
from crmlab.clv.risk.silence import silence
from crmlab.clv.value.lifetime import NoValue
from crmlab.clv.value.predict import Fits, Part, distinct, each, no_value, parts, pieces, summary
from crmlab.contract import Basis, mark

NUMBERS, FEWEST_DRAWS = 60_000_000, 50
"""Customers times draws worked on: fewer draws where customers are many."""


def risk_of_leaving(
    history: pd.DataFrame,
    purchases: Fits,
    *,
    params: CLVParams,
    horizon_weeks: int | None = None,
    basis: Basis | None = None,
    segment: pd.Series | None = None,
) -> Risk | NoValue:
    """P(alive) now and P(no purchase within the horizon) of each customer; without a sound fit, the reason why not.

    Parameters
    ----------
    history
        As of `crmlab.clv.chosen.history_of`.
    purchases
        Fit of a model of purchases, or a mapping from segment to fit.
    params
        Draws to keep.
    horizon_weeks
        Weeks ahead; by default as many as are withheld to check the models (``validation_weeks``), so that the check
        of `crmlab.clv.risk.calibration` speaks of the same horizon.
    basis
        What the history rests on; by default its number of customers.
    segment
        customer_id → segment, where fits are by segment.

    Raises
    ------
    Refused
        When the history is at fault, or a customer's segment has no fit.
    """
    fits = each(purchases)
    if not all(f.passed for f in fits):
        return no_value(*fits).again()
    weeks = params.validation_weeks if horizon_weeks is None else horizon_weeks
    number = max(min(params.kept_draws, NUMBERS // max(len(history), 1)), FEWEST_DRAWS)
    history, found = parts(history, purchases, purchases, number=number, segment=segment)  # nothing is asked of spend
    columns: dict[str, np.ndarray] = {}
    repeat = (history["x"] > 0).to_numpy()
    gone, silent, lost_in_all = 0.0, 0.0, 0.0
    for part, at, alive, lost in _each(found, weeks):
        where, back = part.position[at], lost[1]
        named = summary(alive, "alive", "alive") | summary(lost[0], "risk", "risk")
        for name, values in named.items():
            columns.setdefault(name, np.empty(len(history)))[where] = values[back]
        times = np.bincount(back[repeat[where]], minlength=len(alive))[:, None]
        all_times = np.bincount(back, minlength=len(alive))[:, None]
        lost_in_all = lost_in_all + (lost[0] * all_times).sum(axis=0)
        gone, silent = gone + ((1 - alive) * times).sum(axis=0), silent + (lost[0] * times).sum(axis=0)

    def expected(groups: np.ndarray) -> np.ndarray:
        return _expected(found, groups, weeks)

    table = pd.DataFrame({"customer_id": history["customer_id"].to_numpy()} | columns)
    return Risk(
        table=table.assign(next=np.nan),
        basis=basis or Basis(len(history), mark("customers")),
        expected=expected,
        lost=np.atleast_1d(lost_in_all),
        horizon=weeks,
        unit="week",
        contractual=False,
        silent=share_of(np.atleast_1d(silent), int(repeat.sum())),
        gone=share_of(np.atleast_1d(gone), int(repeat.sum())),
    )


def _each(found: list[Part], weeks: float) -> Iterator[tuple[Part, slice, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Blocks of customers: a part, where in it, P(alive) and risk of its distinct rows, each customer's row."""
    for part, at in pieces(found):
        rows, back = distinct(part.timing, part.history.iloc[at])
        draws: Arrays = part.purchase_draws
        alive = part.timing.p_alive(draws, rows)
        yield part, at, alive, (silence(part.timing, draws, rows, weeks, alive), back)


def _expected(found: list[Part], groups: np.ndarray, weeks: float) -> np.ndarray:
    """(groups, draws): how many of each group are expected to buy nothing, computed anew in blocks."""
    number = next(iter(found[0].purchase_draws.values())).shape[-1]
    totals = np.zeros((int(groups.max(initial=-1)) + 1, number))
    for part, at, _, (lost, back) in _each(found, weeks):
        group = groups[part.position[at]]
        for one in np.unique(group[group >= 0]):
            there, times = np.unique(back[group == one], return_counts=True)
            totals[one] += (lost[there] * times[:, None]).sum(axis=0)
    return totals
