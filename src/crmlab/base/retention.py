"""Customer retention: who of a period's customers orders again in the next."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import ClassVar, Literal

import ibis
import numpy as np
import pandas as pd

from crmlab.base.intervals import jeffreys
from crmlab.base.opening import Opening, opening
from crmlab.contract import Basis, Params, Result, Sentence, mark

MONTHS = {"M": 1, "Q": 3}
GRACE = {"W": 1, "M": 3, "Q": 9}
"""Days by which the first order may miss the first day of a period that still counts as whole."""


class RetentionParams(Params):
    """How time is cut."""

    period: Literal["W", "M", "Q"] = "M"
    """Calendar weeks from Monday (W), months (M) or quarters (Q)."""


@dataclass(frozen=True)
class Retention(Result):
    """table: period, start, end, customers, new, returned, crr, low, high; one row a period whose next one is over.

    A period that is not over, or whose next one is not, has no rate: its row is absent, never 0. `new` counts
    customers first seen in the period. `cohorts` (cohort, start, age, customers, active, crr, low, high; ages not
    yet over are absent) is None where the base shows no acquisitions; `opening` says why.
    """

    table: pd.DataFrame
    basis: Basis
    cohorts: pd.DataFrame | None = None
    opening: Opening | None = field(default=None)
    left_out: int = 0
    """First periods left out because the data begin within them."""

    title: ClassVar[str] = "Customer retention rate by period (CRR)"
    note: ClassVar[str] = (
        "Share of the customers of a period who order again in the next one. Periods that are not over are absent. "
        "Intervals are Jeffreys intervals of 90 %."
    )
    people: ClassVar[tuple[str, ...]] = ("customers", "returned", "new")
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "period": ("period", ""),
        "customers": ("customers", ",.0f"),
        "new": ("first seen", ",.0f"),
        "returned": ("order again in the next", ",.0f"),
        "crr": ("CRR", ".1%"),
        "low": ("90 % low", ".1%"),
        "high": ("90 % high", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """The usual rate, whether it moved, and whether there are cohorts."""
        said = []
        if self.table.empty:
            return [Sentence("No period is followed by another that is over: there is no rate yet.", tone="warn")]
        pooled = self.table["returned"].sum() / max(self.table["customers"].sum(), 1)
        said.append(
            Sentence(
                "Over all periods {rate:.1%} of a period's customers order again in the next one.",
                {"rate": float(pooled)},
            )
        )
        if self.opening is not None and self.opening.kind == "one cohort":
            said.append(
                Sentence(
                    "Later rates are those of the customers who still buy; how many of all come back, the cohorts say."
                )
            )
        elif len(seen := self.table[self.table["customers"] > 0]) >= 2:
            first, last = seen.iloc[0], seen.iloc[-1]
            values = {"first": first["period"], "last": last["period"], "a": first["crr"], "b": last["crr"]}
            if last["high"] < first["low"]:
                said.append(Sentence("The rate fell from {a:.1%} ({first}) to {b:.1%} ({last}).", values, "bad"))
            elif last["low"] > first["high"]:
                said.append(Sentence("The rate rose from {a:.1%} ({first}) to {b:.1%} ({last}).", values, "good"))
            else:
                said.append(
                    Sentence(
                        "The intervals of the first rate ({a:.1%}, {first}) and the last ({b:.1%}, {last}) overlap.",
                        values,
                    )
                )
        if self.left_out:
            said.append(Sentence("The first period is left out: the data begin within it."))
        if self.opening is not None and self.cohorts is None:
            said.append(self.opening.sentence())
        return said


def retention(orders: ibis.Table, *, as_of: date, params: RetentionParams | None = None) -> Retention:
    """Retention from each calendar period to the next, and of each acquisition cohort at each age.

    CRR_t = customers active in t and in t + 1, by customers active in t [Kumar & Reinartz 2018, chapter 5].

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen; the period it falls in counts only if it is that period's last day.
    params
        The period.
    """
    params = params or RetentionParams()
    how = opening(orders, as_of=as_of)
    if how.start is None:
        return Retention(_no_periods(), Basis(0, mark("customers"), end=as_of), None, how)
    first, last = periods_over(how.start, as_of, params.period)
    left_out = first - _index(how.start, params.period)
    active = _active(orders, as_of, params.period, last)
    table = _by_period(active, first, last, params.period)
    cohorts = _by_cohort(active, first, last, params.period) if how.kind in ("coming", "one cohort") else None
    n = int(active.customer_id.nunique().to_pandas())
    start, end = _start(first, params.period), _start(last + 1, params.period) - pd.Timedelta(days=1)
    basis = Basis(n, mark("customers"), start=max(start, how.start), end=max(end, how.start))
    return Retention(table, basis, cohorts, how, left_out)


def periods_over(start: date, as_of: date, period: str) -> tuple[int, int]:
    """Numbers of the first and the last period that were seen whole; none where the last is before the first.

    The first period counts where the data begin within a few days of it; the last, where it was over on `as_of`.
    """
    first, last = _index(start, period), _index(as_of, period)
    first += (start - _start(first, period)).days > GRACE[period]
    return first, last - (_start(last + 1, period) > as_of + timedelta(days=1))


def _index(day: date, period: str) -> int:
    """Number of the period that holds `day`: months or quarters since year 0, weeks since 1 January 1, a Monday."""
    if period == "W":
        return (day.toordinal() - 1) // 7
    return (day.year * 12 + day.month - 1) // MONTHS[period]


def _start(index: int, period: str) -> date:
    """First day of the period of that number."""
    if period == "W":
        return date.fromordinal(index * 7 + 1)
    month = index * MONTHS[period]
    return date(month // 12, month % 12 + 1, 1)


def _name(index: int, period: str) -> str:
    start = _start(index, period)
    if period == "W":
        return "{}-W{:02d}".format(*start.isocalendar()[:2])
    return f"{start:%Y-%m}" if period == "M" else f"{start.year}-Q{(start.month + 2) // 3}"


def _active(orders: ibis.Table, as_of: date, period: str, last: int) -> ibis.Table:
    """Distinct customer_id, p (number of the period), first (that of the first order), up to period `last`."""
    day = orders.date
    if period == "W":
        p = (day.delta(ibis.literal(date(2000, 1, 3)), unit="day") + (date(2000, 1, 3).toordinal() - 1)) // 7
    else:
        p = (day.year().cast("int64") * 12 + day.month().cast("int64") - 1) // MONTHS[period]
    each = orders.filter(day <= ibis.literal(as_of)).select("customer_id", p=p.cast("int64")).distinct()
    each = each.filter(each.p <= last)
    return each.mutate(first=each.p.min().over(group_by="customer_id"))


def _by_period(active: ibis.Table, first: int, last: int, period: str) -> pd.DataFrame:
    within = active.mutate(next=active.p.lead().over(group_by="customer_id", order_by=active.p))
    counted = within.group_by("p").agg(
        customers=within.count(),
        new=(within.p == within["first"]).sum(),
        returned=(within.next == within.p + 1).sum(),
    )
    found = counted.to_pandas().set_index("p").astype("float64").reindex(range(first, last), fill_value=0)
    return _rates(found.fillna(0).astype("int64").reset_index(), period)


def _rates(found: pd.DataFrame, period: str) -> pd.DataFrame:
    if found.empty:
        return _no_periods()
    low, high = jeffreys(found["returned"], found["customers"])
    customers = found["customers"].to_numpy(dtype="float64")
    return pd.DataFrame(
        {
            "period": pd.Series([_name(p, period) for p in found["p"]], dtype="str"),
            "start": pd.to_datetime([_start(p, period) for p in found["p"]]).as_unit("s"),
            "end": (pd.to_datetime([_start(p + 1, period) for p in found["p"]]) - pd.Timedelta(days=1)).as_unit("s"),
            "customers": found["customers"],
            "new": found["new"],
            "returned": found["returned"],
            "crr": np.divide(found["returned"], customers, out=np.full(len(found), np.nan), where=customers > 0),
            "low": low,
            "high": high,
        }
    )


def _no_periods() -> pd.DataFrame:
    types = {"period": "str", "start": "datetime64[s]", "end": "datetime64[s]", "customers": "int64", "new": "int64"}
    types |= {"returned": "int64", "crr": "float64", "low": "float64", "high": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def _by_cohort(active: ibis.Table, first: int, last: int, period: str) -> pd.DataFrame:
    """Active customers of each cohort at each age that is over; ages at which nobody was active are a true 0."""
    within = active.filter(active["first"] >= first)
    counted = within.group_by(["first", "p"]).agg(active=within.count()).to_pandas()
    counts = {(int(c), int(p)): int(n) for c, p, n in counted.itertuples(index=False)}
    rows = [
        {"p": c, "age": age, "customers": counts[c, c], "active": counts.get((c, c + age), 0)}
        for c in range(first, last + 1)
        if (c, c) in counts
        for age in range(1, last - c + 1)
    ]
    found = pd.DataFrame(rows, columns=["p", "age", "customers", "active"]).astype("int64")
    low, high = jeffreys(found["active"], found["customers"])
    return pd.DataFrame(
        {
            "cohort": pd.Series([_name(p, period) for p in found["p"]], dtype="str"),
            "start": pd.to_datetime([_start(p, period) for p in found["p"]]).as_unit("s"),
            "age": found["age"],
            "customers": found["customers"],
            "active": found["active"],
            "crr": found["active"] / found["customers"],
            "low": low,
            "high": high,
        }
    )
