"""How the data open: whether the customers were there before the first day, or are seen to come.

Transactions alone do not say when somebody became a customer, only when they were first seen. Where everybody was
there before the data begin (left truncation), "first seen" measures how often somebody buys and no acquisition.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import ibis
import pandas as pd

from crmlab.contract import Sentence

LONGEST_WEEKS = 8
"""The first weeks are a quarter of the time observed, but no more than these."""
FEWEST_WEEKS = 8
"""Over fewer weeks than these nothing is said."""
NEW_ENOUGH = 0.20
"""Share of customers first seen in the second half from which on customers are seen to come."""
AS_BUSY = 0.50
"""Customers of a later stretch, as a share of those of the first, from which on activity has not diminished."""

Kind = Literal["already there", "one cohort", "coming", "too short"]


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether acquisitions are seen, and the three numbers that decide it."""

    kind: Kind
    start: date | None
    """Day of the first order."""
    weeks: int
    """Length of the first stretch in weeks."""
    first_share: float
    """Share of customers who were seen within the first stretch."""
    new_share: float
    """Share of customers who were first seen in the second half of the time observed."""
    busy: float
    """Customers seen in a stretch of the second half (mean), as a share of those seen in the first stretch."""

    def sentence(self) -> Sentence:
        """What this means for age, cohorts and T."""
        values = {"share": self.first_share, "weeks": self.weeks, "new": self.new_share, "busy": self.busy}
        if self.kind == "already there":
            return Sentence(
                "{share:.0%} of the customers are seen within the first {weeks} weeks, and later weeks see as many: "
                "they were there before the data begin. T is therefore time observed, not age, and acquisition cohorts "
                "would mean nothing.",
                values,
                "warn",
            )
        if self.kind == "one cohort":
            return Sentence(
                "{new:.0%} of the customers are first seen in the second half, and a later stretch sees only "
                "{busy:.0%} of the customers of the first {weeks} weeks: the data follow customers who all came "
                "at the beginning.",
                values,
            )
        if self.kind == "coming":
            return Sentence(
                "{new:.0%} of the customers are first seen in the second half: customers are seen to come. Those "
                "already seen in the first {weeks} weeks ({share:.0%}) may have been there before.",
                values,
            )
        return Sentence("The data are too short to tell new customers from old ones.", {}, "warn")


def opening(orders: ibis.Table, *, as_of: date) -> Opening:
    """Judge how the data open.

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen.
    """
    seen = orders.filter(orders.date <= ibis.literal(as_of))
    first_day = seen.date.min().to_pandas()
    if first_day is None or pd.isna(first_day):
        return Opening("too short", None, 0, float("nan"), float("nan"), float("nan"))
    start = pd.Timestamp(first_day).date()
    days = (as_of - start).days + 1
    weeks = min(LONGEST_WEEKS, days // 28)
    if days < FEWEST_WEEKS * 7:
        return Opening("too short", start, weeks, float("nan"), float("nan"), float("nan"))
    middle = start + timedelta(days=days // 2)
    firsts = seen.group_by("customer_id").agg(first=seen.date.min())
    counted = firsts.agg(
        n=firsts.count(),
        early=(firsts["first"] < ibis.literal(start + timedelta(weeks=weeks))).sum(),
        new=(firsts["first"] >= ibis.literal(middle)).sum(),
    ).to_pandas()
    n, early, new = (int(counted[c].iloc[0]) for c in ("n", "early", "new"))
    busy = _busy(seen, start, middle, as_of, weeks) / early
    return Opening(_kind(new / n, busy), start, weeks, early / n, new / n, busy)


def _kind(new_share: float, busy: float) -> Kind:
    if new_share >= NEW_ENOUGH:
        return "coming"
    return "already there" if busy >= AS_BUSY else "one cohort"


def _busy(seen: ibis.Table, start: date, middle: date, as_of: date, weeks: int) -> float:
    """Mean number of customers seen in the whole stretches of `weeks` weeks that end on `as_of`, back to `middle`."""
    length = weeks * 7
    whole = max(((as_of - middle).days + 1) // length, 1)
    stretch = ibis.literal(as_of).delta(seen.date, unit="day") // length
    active = (
        seen.mutate(stretch=stretch).filter(lambda t: t.stretch < whole).select("customer_id", "stretch").distinct()
    )
    return int(active.count().to_pandas()) / whole
