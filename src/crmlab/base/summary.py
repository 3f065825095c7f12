"""Who the customers are: a customer base in one table."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
from pydantic import Field

from crmlab.base.intervals import GROUPS, jackknife_se, jeffreys, mean_interval, ratio_interval, t_quantile
from crmlab.base.opening import Opening, opening
from crmlab.base.orders import MONEY
from crmlab.contract import Basis, Params, Result, Sentence, localise, mark, say
from crmlab.contract.result import FEWEST

FORMATS = {"customers": ",.0f", "orders": ",.0f", "money": ",.2f", "share": ".1%", "days": ",.0f", "number": ",.1f"}
"""Unit → how a value of it is shown."""
UNITS = {"customers": mark("customers"), "orders": mark("orders"), "money": mark("money"), "days": mark("days")}
"""Units that are named beside the value."""

STAYED, NEARLY_ALL, HALF = "stayed", 0.90, 0.50


class SummaryParams(Params):
    """What counts as active."""

    active_days: int = Field(default=91, ge=1)
    """A customer who ordered within this many days, the last of them `as_of`, is active."""


@dataclass(frozen=True)
class Summary(Result):
    """table: key, measure, value, low, high, unit; `by_month`: month, whole, customers, new, orders, revenue."""

    table: pd.DataFrame
    basis: Basis
    by_month: pd.DataFrame = field(default_factory=pd.DataFrame)
    opening: Opening | None = None

    title: ClassVar[str] = "The customer base"
    note: ClassVar[str] = (
        "Intervals of 90 % count customers, not orders, as independent; totals are counted and have none. "
        "An order is a basket of zero or more; a basket below zero is a return."
    )
    people: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "measure": ("measure", "word"),
        "value": ("value", ""),
        "low": ("90 % low", ""),
        "high": ("90 % high", ""),
        "unit": ("unit", ""),
    }

    def value(self, key: str) -> float:
        """The value of one measure."""
        return float(self.table.set_index("key").loc[key, "value"])

    def shown(self) -> pd.DataFrame:
        """Each measure in the format of its unit."""
        few = 0 < self.basis.n < FEWEST
        rows = []
        for row in self.table.to_dict("records"):
            spec = FORMATS[row["unit"]]
            texts = {c: "–" if pd.isna(row[c]) else localise(format(row[c], spec)) for c in ("value", "low", "high")}
            if row["unit"] == "customers" and 0 < row["value"] < FEWEST:
                texts = {"value": f"< {FEWEST}", "low": "–", "high": "–"}
            elif few:
                texts = dict.fromkeys(texts, "·")
            rows.append(
                {"measure": row["measure"], **texts, "unit": say(UNITS[row["unit"]]) if row["unit"] in UNITS else ""}
            )
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "unit"])

    def sentences(self) -> list[Sentence]:
        """Whether customers leave, whether they are seen to come, and on how few the revenue rests."""
        if self.table.empty:
            return [Sentence("Nobody has ordered yet.", tone="warn")]
        said = []
        stayed = self.value(STAYED)
        if stayed >= NEARLY_ALL:
            said.append(
                Sentence(
                    "Hardly anyone leaves: {share:.1%} of the customers seen in the first half of the period order "
                    "again in the second. Of P(alive) there is little to learn here: it will be near one.",
                    {"share": stayed},
                    "warn",
                )
            )
        elif stayed < HALF:
            said.append(
                Sentence(
                    "Most customers do not come back: only {share:.1%} of those seen in the first half of the period "
                    "order again in the second.",
                    {"share": stayed},
                    "warn",
                )
            )
        elif not np.isnan(stayed):
            said.append(
                Sentence(
                    "{share:.1%} of the customers seen in the first half of the period order again in the second.",
                    {"share": stayed},
                )
            )
        if self.opening is not None:
            said.append(self.opening.sentence())
        if np.isnan(share := self.value("top_10")):
            return [*said, Sentence("Nobody has paid anything yet: every order is worth 0.", tone="warn")]
        return [
            *said,
            Sentence("The tenth of the customers who spend most bring {share:.0%} of the revenue.", {"share": share}),
        ]


def summary(
    orders: ibis.Table, *, as_of: date, params: SummaryParams | None = None, returns: ibis.Table | None = None
) -> Summary:
    """Counts, means and shares that say what kind of customer base this is.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen.
    params
        What counts as active.
    returns
        Baskets that add up to less than zero (`crmlab.base.orders.returns`), to be counted apart.
    """
    params = params or SummaryParams()
    seen = orders.filter(orders.date <= ibis.literal(as_of))
    how = opening(orders, as_of=as_of)
    if how.start is None:
        return Summary(_table([]), Basis(0, mark("customers"), end=as_of), _by_month(seen, None, as_of), how)
    days = (as_of - how.start).days + 1
    middle = how.start + timedelta(days=days // 2)
    each = _customers(seen, middle)
    n = len(each)
    rows = [
        ("customers", mark("customers who ordered"), (n,), "customers"),
        ("days", mark("days observed"), (days,), "days"),
        ("orders", mark("orders"), (each["orders"].sum(),), "orders"),
        ("free_orders", mark("of these without payment (free, or paid by coupons)"), (each["free"].sum(),), "orders"),
    ]
    if returns is not None:
        below = int(returns.filter(returns.date <= ibis.literal(as_of)).count().to_pandas())
        rows.append(("returns", mark("returns on their own, not counted as orders"), (below,), "orders"))
    since = (pd.Timestamp(as_of) - each["last"]).dt.days
    was_there = each["first"] < pd.Timestamp(middle)
    in_second = each["last"] >= pd.Timestamp(middle)
    order_value = ratio_interval(each["revenue"], each["orders"])
    rows += [
        ("revenue", mark("revenue"), (each["revenue"].sum(),), "money"),
        ("orders_median", mark("orders of a customer, median"), (each["orders"].median(),), "number"),
        ("orders_mean", mark("orders of a customer, mean"), mean_interval(each["orders"]), "number"),
        ("spend_mean", mark("spend of a customer, mean"), mean_interval(each["revenue"]), "money"),
        ("order_value", mark("value of an order, mean"), order_value, "money"),
        ("one_order", mark("customers with a single order"), _share(each["orders"] == 1), "share"),
        ("top_10", mark("revenue of the tenth who spend most"), _top(each["revenue"], 10), "share"),
        ("top_20", mark("revenue of the fifth who spend most"), _top(each["revenue"], 5), "share"),
        ("active", mark("customers active in the last days"), _share(since < params.active_days), "share"),
        ("second_half", mark("customers active in the second half of the period"), _share(in_second), "share"),
        (
            STAYED,
            mark("of those seen in the first half: active in the second"),
            _share(in_second[was_there]),
            "share",
        ),
        ("new", mark("customers first seen in the second half"), _share(~was_there), "share"),
    ]
    basis = Basis(n, mark("customers"), start=how.start, end=as_of)
    return Summary(_table(rows), basis, _by_month(seen, how.start, as_of), how)


def _customers(seen: ibis.Table, middle: date) -> pd.DataFrame:
    """One row a customer: orders, revenue, first, last."""
    each = seen.group_by("customer_id").agg(
        orders=seen.count(),
        free=(seen.amount == 0).sum(),
        revenue=seen.amount.cast(MONEY).sum().cast("float64"),
        first=seen.date.min(),
        last=seen.date.max(),
    )
    frame = each.order_by("customer_id").to_pandas()
    return frame.assign(first=pd.to_datetime(frame["first"]), last=pd.to_datetime(frame["last"]))


def _table(rows: list[tuple]) -> pd.DataFrame:
    filled = [(key, measure, *map(float, (*value, np.nan, np.nan)[:3]), unit) for key, measure, value, unit in rows]
    frame = pd.DataFrame(filled, columns=["key", "measure", "value", "low", "high", "unit"])
    return frame.astype(
        dict.fromkeys(("key", "measure", "unit"), "str") | dict.fromkeys(("value", "low", "high"), "float64")
    )


def _share(yes: pd.Series) -> tuple[float, float, float]:
    k, n = int(yes.sum()), len(yes)
    low, high = jeffreys(k, n)
    return (k / n if n else np.nan), float(low), float(high)


def _top_share(spend: np.ndarray, part: int) -> float:
    """Share of revenue of the 1/part who spend most; a customer on the border counts in proportion."""
    if not spend.sum() > 0:
        return np.nan
    ranked = np.sort(spend)[::-1]
    whole, rest = divmod(len(ranked), part)
    return float((ranked[:whole].sum() + (ranked[whole] * rest / part if rest else 0.0)) / ranked.sum())


def _top(spend: pd.Series, part: int) -> tuple[float, float, float]:
    """`_top_share` with its interval by the jackknife over groups of customers."""
    values = spend.to_numpy(dtype="float64")
    share = _top_share(values, part)
    if len(values) < 2 * GROUPS:
        return share, np.nan, np.nan
    group = np.arange(len(values)) % GROUPS
    half = t_quantile(GROUPS) * float(
        jackknife_se(np.array([_top_share(values[group != g], part) for g in range(GROUPS)]))
    )
    return share, max(share - half, 0.0), min(share + half, 1.0)


def _by_month(seen: ibis.Table, start: date | None, as_of: date) -> pd.DataFrame:
    """Orders, revenue, customers and customers first seen by calendar month; `whole` where the month is over."""
    first = seen.mutate(month=seen.date.truncate("M"), first=seen.date.min().over(group_by="customer_id").truncate("M"))
    counted = first.group_by("month").agg(
        customers=first.customer_id.nunique(),
        new=ibis.ifelse(first["first"] == first.month, first.customer_id, ibis.null()).nunique(),
        orders=first.count(),
        revenue=first.amount.cast(MONEY).sum().cast("float64"),
    )
    found = counted.to_pandas()
    found.index = pd.PeriodIndex(pd.to_datetime(found["month"]), freq="M")
    months = pd.period_range(start, as_of, freq="M") if start else pd.PeriodIndex([], freq="M")
    found = found.drop(columns="month").reindex(months, fill_value=0)
    whole = [
        m.end_time.date() <= as_of and (m.start_time.date() >= start or m.start_time.date() + timedelta(3) >= start)
        for m in months
    ]
    frame = pd.DataFrame({"month": months.to_timestamp().as_unit("s"), "whole": np.array(whole, dtype="bool")})
    for name, kind in {"customers": "int64", "new": "int64", "orders": "int64", "revenue": "float64"}.items():
        frame[name] = found[name].to_numpy(dtype=kind)
    return frame
