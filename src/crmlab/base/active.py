"""Who is active in which calendar period, counted once for the rates by period and by cohort."""

from datetime import date, timedelta
from typing import Literal

import ibis
import pandas as pd

from crmlab.contract import Params

MONTHS = {"M": 1, "Q": 3}
GRACE = {"W": 1, "M": 3, "Q": 9}
"""Days by which the first order may miss the first day of a period that still counts as whole."""
MONDAY = date(2000, 1, 3)


class RetentionParams(Params):
    """How time is cut."""

    period: Literal["W", "M", "Q"] = "M"
    """Calendar weeks from Monday (W), months (M) or quarters (Q)."""


def periods_over(start: date, as_of: date, period: str) -> tuple[int, int]:
    """Numbers of the first and the last period that were seen whole; none where the last is before the first.

    The first period counts where the data begin within a few days of it; the last, where it was over on `as_of`.
    """
    first, last = number(start, period), number(as_of, period)
    first += (start - first_day(first, period)).days > GRACE[period]
    return first, last - (first_day(last + 1, period) > as_of + timedelta(days=1))


def number(day: date, period: str) -> int:
    """Number of the period that holds `day`: months or quarters since year 0, weeks since 1 January 1, a Monday."""
    if period == "W":
        return (day.toordinal() - 1) // 7
    return (day.year * 12 + day.month - 1) // MONTHS[period]


def first_day(index: int, period: str) -> date:
    """First day of the period of that number."""
    if period == "W":
        return date.fromordinal(index * 7 + 1)
    month = index * MONTHS[period]
    return date(month // 12, month % 12 + 1, 1)


def label(index: int, period: str) -> str:
    """The period's name: 2024-W05, 2024-02, 2024-Q1."""
    start = first_day(index, period)
    if period == "W":
        return "{}-W{:02d}".format(*start.isocalendar()[:2])
    return f"{start:%Y-%m}" if period == "M" else f"{start.year}-Q{(start.month + 2) // 3}"


def active(orders: ibis.Table, as_of: date, period: str, last: int) -> pd.DataFrame:
    """How many customers first seen in one period order in another.

    Returns
    -------
    DataFrame
        first, p (numbers of periods, p ≤ last), active (customers first seen in `first` who order in p), returned
        (those of them who order in p + 1, where p < last); absent where nobody does.
    """
    day = orders.date
    if period == "W":
        p = (day.delta(ibis.literal(MONDAY), unit="day") + (MONDAY.toordinal() - 1)) // 7
    else:
        p = (day.year().cast("int64") * 12 + day.month().cast("int64") - 1) // MONTHS[period]
    until = min(as_of, first_day(last + 1, period) - timedelta(days=1))
    each = orders.filter(day <= ibis.literal(until)).select("customer_id", p=p.cast("int32")).distinct()
    inside = ibis.window(group_by="customer_id", order_by="p")
    stepped = each.mutate(first=each.p.first().over(inside), next=each.p.lead().over(inside))
    counted = stepped.group_by("first", "p").agg(
        active=stepped.count(), returned=(stepped.next == stepped.p + 1).sum().fill_null(0)
    )
    found = counted.to_pandas().astype("int64")
    return found.sort_values(["first", "p"], ignore_index=True)
