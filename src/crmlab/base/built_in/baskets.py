"""Traits of baskets: what is in them, where they are bought, with which coupons, and what goes back."""

import ibis

from crmlab.base.built_in.buying import share, since
from crmlab.base.orders import MONEY
from crmlab.base.register import Data, relation, trait
from crmlab.contract import mark

EXACT = "decimal(38, 12)"
"""Sums of logarithms are sums of decimals: a sum of doubles depends on the order the engine takes them in."""


@relation("lines", source="transactions")
def _(data: Data) -> ibis.Table | None:
    return data.tables.get("transactions")


@relation("tastes", source="transactions")
def _(data: Data) -> ibis.Table | None:
    """One row a customer and category bought, with its lines."""
    return _tallied(data.tables.get("transactions"), "category")


@relation("places", source="transactions")
def _(data: Data) -> ibis.Table | None:
    """One row a customer and channel, with its orders."""
    return _tallied(data.orders, "channel")


def _tallied(rows: ibis.Table | None, column: str) -> ibis.Table | None:
    if rows is None or column not in rows.columns:
        return None
    known = rows.filter(rows[column].notnull())
    return known.group_by(["customer_id", column]).agg(n=known.count())


def _most(tally: ibis.Table, column: str) -> ibis.Value:
    """The value of the largest `n`, the first by name where several are equal."""
    return ibis.struct({"fewer": -tally.n, column: tally[column]}).min()[column]


@trait("items_per_order", kind="number", over="orders", meaning=mark("mean number of items (lines) in an order"))
def _(orders: ibis.Table, data: Data) -> ibis.Value | None:
    return share(orders.lines.sum(), orders.count()) if "lines" in orders.columns else None


@trait("categories", kind="number", over="tastes", meaning=mark("different categories bought"), fill=0)
def _(tastes: ibis.Table, data: Data) -> ibis.Value:
    return tastes.count()


@trait(
    "category_entropy",
    kind="number",
    over="tastes",
    meaning=mark("spread of items over all categories sold: 0 all in one, 1 evenly over all"),
)
def _(tastes: ibis.Table, data: Data) -> ibis.Value:
    n = tastes.n.cast("float64")
    within = n.sum().ln() - (n * n.ln()).cast(EXACT).sum().cast("float64") / n.sum()
    sold = data.tables["transactions"].category.nunique().to_pyarrow().as_py()
    return (within / ibis.literal(float(max(sold, 2))).ln()).round(9).clip(0.0, 1.0)


@trait(
    "top_category",
    kind="category",
    over="tastes",
    meaning=mark("category of most items; the first by name where two are equal"),
)
def _(tastes: ibis.Table, data: Data) -> ibis.Value:
    return _most(tastes, "category")


@trait(
    "channel",
    kind="category",
    over="places",
    meaning=mark("channel of most orders; the first by name where two are equal"),
)
def _(places: ibis.Table, data: Data) -> ibis.Value:
    return _most(places, "channel")


@trait("channels_used", kind="number", over="places", meaning=mark("different channels ordered through"), fill=0)
def _(places: ibis.Table, data: Data) -> ibis.Value:
    return places.count()


@trait(
    "coupon_orders_17w",
    kind="number",
    over="orders",
    meaning=mark("orders with a coupon in the last 17 weeks"),
    fill=0,
)
def _(orders: ibis.Table, data: Data) -> ibis.Value | None:
    with_coupon = _with_coupon(orders)
    return None if with_coupon is None else orders.count(where=with_coupon & since(orders, "date", data, 17))


@trait("coupon_ever", kind="flag", over="orders", meaning=mark("has ever used a coupon"), fill=0)
def _(orders: ibis.Table, data: Data) -> ibis.Value | None:
    with_coupon = _with_coupon(orders)
    return None if with_coupon is None else with_coupon.max()


@trait("coupon_share", kind="number", over="orders", meaning=mark("share of orders with a coupon"))
def _(orders: ibis.Table, data: Data) -> ibis.Value | None:
    with_coupon = _with_coupon(orders)
    return None if with_coupon is None else share(orders.count(where=with_coupon), orders.count())


def _with_coupon(orders: ibis.Table) -> ibis.Value | None:
    return (orders.coupon_discount.fill_null(0) > 0) if "coupon_discount" in orders.columns else None


@trait("discount_share", kind="number", over="orders", meaning=mark("share of the price that coupons took off"))
def _(orders: ibis.Table, data: Data) -> ibis.Value | None:
    if "coupon_discount" not in orders.columns:
        return None
    off, paid = orders.coupon_discount.cast(MONEY).fill_null(0).sum(), orders.amount.cast(MONEY).sum()
    return share(off, off + paid)


@trait(
    "returns_share",
    kind="number",
    over="lines",
    meaning=mark("money given back over money taken; missing where the data hold no returns of anybody"),
)
def _(lines: ibis.Table, data: Data) -> ibis.Value:
    amount = lines.amount.cast(MONEY)
    back, taken = (-amount).sum(where=amount < 0).fill_null(0), amount.sum(where=amount > 0).fill_null(0)
    booked = bool((lines.amount < 0).any().to_pyarrow().as_py())
    return ibis.literal(booked).ifelse(share(back, taken), ibis.null("float64"))
