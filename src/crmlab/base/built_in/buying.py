"""Traits of buying: when, how often, for how much; one row an order, or one a day with an order."""

from datetime import date, timedelta

import ibis

from crmlab.base.orders import MONEY
from crmlab.base.register import Data, relation, trait
from crmlab.contract import mark


def since(rows: ibis.Table, column: str, data: Data, weeks: int) -> ibis.Value:
    """Whether a row is of the `weeks` weeks that end on `as_of`, that day included."""
    return rows[column] > ibis.literal(_back(data, weeks))


def _back(data: Data, weeks: int) -> date:
    return data.as_of - timedelta(weeks=weeks)


def ago(day: ibis.Value, data: Data) -> ibis.Value:
    """Days from `day` to `as_of`."""
    return ibis.literal(data.as_of).delta(day, unit="day")


def share(part: ibis.Value, whole: ibis.Value) -> ibis.Value:
    """`part` of `whole`; missing where the whole is nothing."""
    whole = whole.cast("float64")
    return part.cast("float64") / (whole > 0).ifelse(whole, ibis.null("float64"))


@relation("orders", source="transactions")
def _(data: Data) -> ibis.Table | None:
    return data.orders


@relation("buyers", source="transactions", one_each=True)
def _(data: Data) -> ibis.Table | None:
    return data.buyers


@relation("days", source="transactions")
def _(data: Data) -> ibis.Table | None:
    """One row a customer and day with an order: models of buying count days [Fader, Hardie & Lee 2005, section 3]."""
    if data.orders is None:
        return None
    return data.orders.group_by(["customer_id", "date"]).agg(spent=data.orders.amount.cast(MONEY).sum().cast(MONEY))


@trait("recency_days", kind="number", over="buyers", meaning=mark("days since the last order"))
def _(buyers: ibis.Table, data: Data) -> ibis.Value:
    return buyers.recency_days


@trait("frequency", kind="number", over="buyers", meaning=mark("orders so far"), fill=0)
def _(buyers: ibis.Table, data: Data) -> ibis.Value:
    return buyers.frequency


@trait("monetary", kind="number", over="buyers", meaning=mark("money spent so far"), fill=0.0)
def _(buyers: ibis.Table, data: Data) -> ibis.Value:
    return buyers.spent


@trait("orders_13w", kind="number", over="orders", meaning=mark("orders of the last 13 weeks"), fill=0)
def _(orders: ibis.Table, data: Data) -> ibis.Value:
    return orders.count(where=since(orders, "date", data, 13))


@trait("spend_13w", kind="number", over="orders", meaning=mark("money spent in the last 13 weeks"), fill=0.0)
def _(orders: ibis.Table, data: Data) -> ibis.Value:
    return orders.amount.cast(MONEY).sum(where=since(orders, "date", data, 13)).fill_null(0)


@trait("mean_order_value", kind="number", over="buyers", meaning=mark("mean value of an order"))
def _(buyers: ibis.Table, data: Data) -> ibis.Value:
    return share(buyers.spent, buyers.frequency)


@trait(
    "ipt_mean_days",
    kind="number",
    over="days",
    meaning=mark("mean days between two days with an order; missing with fewer than two"),
)
def _(days: ibis.Table, data: Data) -> ibis.Value:
    return days.date.max().delta(days.date.min(), unit="day") / (days.count() - 1).nullif(0)


@trait("tenure_days", kind="number", over="buyers", meaning=mark("days since the first order seen"))
def _(buyers: ibis.Table, data: Data) -> ibis.Value:
    return ago(buyers["first"], data)


@trait(
    "spend_trend",
    kind="number",
    over="orders",
    meaning=mark("spend of the last 13 weeks against the 13 before, as a logarithm; missing where one is 0"),
)
def _(orders: ibis.Table, data: Data) -> ibis.Value:
    amount, late, half = orders.amount.cast(MONEY), since(orders, "date", data, 13), since(orders, "date", data, 26)
    recent, before = (amount.sum(where=late), amount.sum(where=half & ~late))
    known = (recent > 0) & (before > 0)
    first = data.buyers["first"].min().to_pyarrow().as_py()
    reaches_back = first is not None and first <= _back(data, 26)
    return (known & reaches_back).ifelse(share(recent, before).ln(), ibis.null("float64"))


@trait("weekend_share", kind="number", over="orders", meaning=mark("share of orders on a Saturday or Sunday"))
def _(orders: ibis.Table, data: Data) -> ibis.Value:
    return share(orders.count(where=orders.date.day_of_week.index() >= 5), orders.count())


@trait(
    "x", kind="number", over="days", meaning=mark("repeat purchases: days with an order after the first"),
    allowed_for_splits=False,
)  # fmt: skip
def _(days: ibis.Table, data: Data) -> ibis.Value:
    return days.count() - 1


@trait(
    "t_x", kind="number", over="days", meaning=mark("weeks from the first purchase to the last"),
    allowed_for_splits=False,
)  # fmt: skip
def _(days: ibis.Table, data: Data) -> ibis.Value:
    return days.date.max().delta(days.date.min(), unit="day").cast("float64") / 7


@trait("T", kind="number", over="days", meaning=mark("weeks since the first purchase seen"), allowed_for_splits=False)
def _(days: ibis.Table, data: Data) -> ibis.Value:
    return ago(days.date.min(), data).cast("float64") / 7


@trait(
    "z_bar", kind="number", over="days", meaning=mark("mean value of a repeat purchase; missing without one"),
    allowed_for_splits=False,
)  # fmt: skip
def _(days: ibis.Table, data: Data) -> ibis.Value:
    repeats = days.spent.sum() - days.spent.argmin(days.date)
    return repeats.cast("float64") / (days.count() - 1).nullif(0)
