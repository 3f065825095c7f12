"""Where customers stand between first hearing of the company and being lost to it, and how they moved."""

from collections.abc import Mapping
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from crmlab.base.gaps import purchase_days
from crmlab.base.intervals import jeffreys
from crmlab.base.lifecycle_result import (
    ACTIVE,
    AT_RISK,
    LAPSED,
    NEW,
    PROSPECT,
    STATES,
    UNKNOWN,
    WON_BACK,
    LifeCycle,
)
from crmlab.base.opening import opening
from crmlab.contract import Basis, Params, mark

AT_RISK_SHARE, LAPSED_SHARE = 0.75, 0.90
"""Of the gaps that end: within how many days so many do, each customer counting once."""
ONE_PERIOD = 91
"""Days from the cycle before to this one, where there is none before."""
MONTHS_BACK = 24
"""Months of the past that are shown, at most."""


class LifeCycleParams(Params):
    """When a silent customer is at risk, and when lapsed; both from the data's own gaps where not given."""

    at_risk_days: int | None = Field(default=None, ge=1)
    """Days without a purchase after which a customer is at risk."""
    lapsed_days: int | None = Field(default=None, ge=2)
    """Days without a purchase after which a customer has lapsed."""

    @model_validator(mode="after")
    def _in_order(self) -> "LifeCycleParams":
        if (self.at_risk_days is None) != (self.lapsed_days is None):
            raise ValueError("at_risk_days and lapsed_days go together: give both, or neither")
        if self.at_risk_days is not None and self.at_risk_days >= self.lapsed_days:
            raise ValueError(f"lapsed_days is {self.lapsed_days}; expected more than at_risk_days, {self.at_risk_days}")
        return self


def life_cycle(
    tables: Mapping[str, ibis.Table],
    orders: ibis.Table,
    *,
    as_of: date,
    before: date | None = None,
    params: LifeCycleParams | None = None,
) -> LifeCycle:
    """Each customer's state now and before, the flows between states, and the states of the past months.

    A prospect is known and has never bought. A customer is new for `at_risk_days` after the first purchase, won back
    for as long after one that ended a silence of more than `lapsed_days`, else active for as long after any; then at
    risk until `lapsed_days`, then lapsed. Nobody is new where the customers were there before the data begin.

    The thresholds are quantiles, .75 and .90, of the gaps that end within the time observed: those of the product-limit
    curve over its last value (the latency of a cure model, Maller & Zhou 1992). Each customer counts once: by each of g
    ended gaps 1/g, or, with none, by the open one [Wang & Chang 1999, JASA 94:146]. The open gap after others is
    left out: a day falls into a long gap rather than a short one, and counted so it would make the thresholds a quarter
    too long.

    Parameters
    ----------
    tables
        Canonical tables: `customers` where there is one, with acquired_on where known.
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen.
    before
        The day to compare with: the last cycle's. Default: 91 days earlier.
    params
        The thresholds.
    """
    params = params or LifeCycleParams()
    before = before or as_of - timedelta(days=ONE_PERIOD)
    how = opening(orders, as_of=as_of)
    days = purchase_days(orders, as_of)
    given = params.at_risk_days is not None
    at_risk, lapsed = (params.at_risk_days, params.lapsed_days) if given else thresholds(days, as_of=as_of)
    newcomers = how.kind in ("coming", "one cohort")
    past = _months_back(how.start, before, as_of, lapsed)
    stretches = _stretches(days, lapsed)
    each = _at(stretches, [before, as_of], at_risk, lapsed, newcomers=newcomers)
    customers = _customers(each, _known(tables, as_of), before, as_of)
    history = _history(stretches, past, at_risk, lapsed, newcomers=newcomers)
    return LifeCycle(
        table=_now(customers),
        basis=Basis(len(customers), mark("customers and prospects"), start=how.start, end=as_of),
        customers=customers,
        flows=_flows(customers),
        history=history,
        before=before,
        at_risk_days=at_risk,
        lapsed_days=lapsed,
        given=given,
        newcomers=newcomers,
        comparable=how.start is not None and before >= how.start,
        lapse_seen=how.start is not None and (before - how.start).days > lapsed,
    )


def thresholds(days: ibis.Table, *, as_of: date) -> tuple[int, int]:
    """Days of silence after which a customer is at risk, and has lapsed; 91 and 182 where nobody has bought twice."""
    after = ibis.window(group_by="customer_id", order_by="date")
    steps = days.mutate(next=days.date.lead().over(after), size=days.count().over(group_by="customer_id"))
    gap = ibis.coalesce(steps.next, ibis.literal(as_of)).delta(steps.date, unit="day").cast("int64")
    counted = steps.group_by(size=steps["size"], days=gap, ended=steps.next.notnull()).agg(n=lambda t: t.count())
    found = counted.to_pandas().sort_values(["size", "days", "ended"], ignore_index=True)
    if not found["ended"].any():
        return ONE_PERIOD, 2 * ONE_PERIOD
    single = found["size"] == 1
    weight = found["n"].where(single | found["ended"], 0) / np.maximum(found["size"] - 1, 1)
    top = int(found["days"].max()) + 1
    length, over = found["days"].to_numpy(), found["ended"].to_numpy(dtype=bool)
    ended = np.bincount(length, np.where(over, weight, 0.0), top)
    total = np.bincount(length, weight, top)
    risk = np.maximum(np.cumsum(total[::-1])[::-1], 1e-12)
    waiting = np.cumprod(1 - np.minimum(ended / risk, 1.0))
    done = (1 - waiting) / (1 - waiting[-1])
    first = [int(np.argmax(np.round(done, 9) >= share)) for share in (AT_RISK_SHARE, LAPSED_SHARE)]
    return max(first[0], 1), max(first[1], first[0] + 1, 2)


def _months_back(start: date | None, before: date, as_of: date, lapsed: int) -> list[date]:
    """The last days of the months that are over by `as_of` and lie long enough after the start to see a lapse."""
    if start is None:
        return []
    ends = pd.period_range(start, as_of, freq="M").end_time.date
    return [d for d in ends if d <= as_of and (d - start).days > lapsed][-MONTHS_BACK:]


def _stretches(days: ibis.Table, lapsed: int) -> ibis.Table:
    """One row a purchase day: customer_id, date, next, first, and the last day so far that ended a lapse."""
    after = ibis.window(group_by="customer_id", order_by="date")
    cut = days.mutate(
        next=days.date.lead().over(after),
        gap=days.date.delta(days.date.lag().over(after), unit="day").cast("int64"),
        first=days.date.min().over(group_by="customer_id"),
    )
    so_far = ibis.cumulative_window(group_by="customer_id", order_by="date")
    ended = ibis.ifelse(cut.gap > lapsed, cut.date, ibis.null("date"))
    return cut.select("customer_id", "date", "next", "first", returned=ended.max().over(so_far))


def _at(stretches: ibis.Table, days: list[date], at_risk: int, lapsed: int, *, newcomers: bool) -> ibis.Table:
    """customer_id, day, state: one row a customer and day, from the first purchase on."""
    asked = ibis.memtable(pd.DataFrame({"day": pd.to_datetime(days)}))
    asked = asked.select(day=asked.day.cast("date"))
    held = stretches.join(asked, [stretches.date <= asked.day, stretches.next.isnull() | (stretches.next > asked.day)])

    def since(column: str) -> ibis.Value:
        return held.day.delta(held[column], unit="day").cast("int64")

    silent = since("date")
    state = ibis.cases(
        (silent > lapsed, LAPSED),
        (silent > at_risk, AT_RISK),
        ((since("first") <= at_risk) & newcomers, NEW),
        ((since("returned") <= at_risk).fill_null(False), WON_BACK),
        else_=ACTIVE,
    )
    return held.select("customer_id", "day", state=state)


def _known(tables: Mapping[str, ibis.Table], as_of: date) -> pd.DataFrame:
    """customer_id and the day somebody became known (missing where it is not recorded), known by `as_of`."""
    customers = tables.get("customers")
    if customers is None:
        return pd.DataFrame({"customer_id": pd.Series(dtype="str"), "known": pd.Series(dtype="datetime64[s]")})
    has = "acquired_on" in customers.columns
    known = customers.acquired_on.cast("date") if has else ibis.null("date")
    rows = customers.select(customer_id=customers.customer_id.cast("string"), known=known)
    each = rows.group_by("customer_id").agg(known=rows.known.min()).to_pandas()
    each["known"] = pd.to_datetime(each["known"]).astype("datetime64[s]")
    return each[~(each["known"] > pd.Timestamp(as_of))].reset_index(drop=True)


def _customers(each: ibis.Table, known: pd.DataFrame, before: date, as_of: date) -> pd.DataFrame:
    """customer_id, before, now; everybody who has ordered or is known, by id."""
    found = each.to_pandas()
    day = pd.to_datetime(found["day"])
    was, now = (found[day == pd.Timestamp(d)].set_index("customer_id")["state"] for d in (before, as_of))
    known = known.set_index("customer_id")["known"]
    table = pd.DataFrame(index=pd.Index(sorted({*now.index, *known.index}), dtype="str", name="customer_id"))
    table["now"] = now.reindex(table.index).fillna(PROSPECT)
    prospect = known.reindex(table.index) <= pd.Timestamp(before)
    table["before"] = was.reindex(table.index).fillna(prospect.map({True: PROSPECT, False: UNKNOWN}))
    return table.reset_index()[["customer_id", "before", "now"]].astype("str")


def _now(customers: pd.DataFrame) -> pd.DataFrame:
    """state, customers, share, low, high, customers_before, share_before; one row a state, in their order."""
    states = [s for s in STATES if s != UNKNOWN]
    now = customers["now"].value_counts().reindex(states, fill_value=0).to_numpy()
    was = customers["before"].value_counts().reindex(states, fill_value=0).to_numpy()
    low, high = jeffreys(now, np.full(len(states), now.sum()))
    share = [x / x.sum() if x.sum() else np.full(len(states), np.nan) for x in (now, was)]
    return pd.DataFrame(
        {"state": pd.Series(states, dtype="str"), "customers": now, "share": share[0], "low": low, "high": high}
        | {"customers_before": was, "share_before": share[1]}
    )


def _flows(customers: pd.DataFrame) -> pd.DataFrame:
    """before, now, customers, share (of those before), low, high (Jeffreys); one row a pair with somebody in it."""
    pairs = customers.groupby(["before", "now"]).size().rename("customers").reset_index()
    order = {s: i for i, s in enumerate(STATES)}
    pairs = pairs.sort_values(["before", "now"], key=lambda c: c.map(order), ignore_index=True)
    whole = pairs.groupby("before")["customers"].transform("sum")
    low, high = jeffreys(pairs["customers"], whole)
    return pairs.assign(share=pairs["customers"] / whole, low=low, high=high)


def _history(stretches: ibis.Table, past: list[date], at_risk: int, lapsed: int, *, newcomers: bool) -> pd.DataFrame:
    """day, state, customers: those who have bought, at the end of each past month."""
    if not past:
        empty = {"day": pd.to_datetime([]), "state": pd.Series(dtype="str"), "customers": pd.Series(dtype="int64")}
        return pd.DataFrame(empty)
    counted = _at(stretches, past, at_risk, lapsed, newcomers=newcomers)
    counted = counted.group_by("day", "state").agg(customers=lambda t: t.count()).to_pandas()
    counted["day"] = pd.to_datetime(counted["day"]).astype("datetime64[s]")
    states = [s for s in STATES if s not in (UNKNOWN, PROSPECT)]
    every = pd.MultiIndex.from_product([sorted(counted["day"].unique()), states], names=["day", "state"])
    filled = counted.set_index(["day", "state"])["customers"].reindex(every, fill_value=0)
    return filled.reset_index().astype({"customers": "int64", "state": "str"})
