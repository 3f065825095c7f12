"""The traits that come with the laboratory; each is one function over what was seen up to `as_of`."""

from datetime import timedelta

import ibis

from crmlab.base.orders import MONEY
from crmlab.base.register import Data, trait
from crmlab.base.rfm import RFMParams, scored
from crmlab.contract import mark


def _last(table: ibis.Table, column: str, data: Data, weeks: int) -> ibis.Table:
    """Rows of the `weeks` weeks that end on `as_of`, that day included."""
    return table.filter(
        table[column] > ibis.literal(data.as_of - timedelta(weeks=weeks)), table[column] <= ibis.literal(data.as_of)
    )


def _each(orders: ibis.Table | None, **value: ibis.Value) -> ibis.Table | None:
    return None if orders is None else orders.group_by("customer_id").agg(**value)


@trait("recency_days", kind="number", source="transactions", meaning=mark("days since the last order"))
def _(data: Data) -> ibis.Table | None:
    return _each(data.orders, value=lambda o: ibis.literal(data.as_of).delta(o.date.max(), unit="day"))


@trait("frequency", kind="number", source="transactions", meaning=mark("orders so far"), fill=0)
def _(data: Data) -> ibis.Table | None:
    return _each(data.orders, value=lambda o: o.count())


@trait("monetary", kind="number", source="transactions", meaning=mark("money spent so far"), fill=0.0)
def _(data: Data) -> ibis.Table | None:
    return _each(data.orders, value=lambda o: o.amount.cast(MONEY).sum())


@trait("orders_13w", kind="number", source="transactions", meaning=mark("orders of the last 13 weeks"), fill=0)
def _(data: Data) -> ibis.Table | None:
    return (
        data.orders if data.orders is None else _each(_last(data.orders, "date", data, 13), value=lambda o: o.count())
    )


@trait("spend_13w", kind="number", source="transactions", meaning=mark("money spent in the last 13 weeks"), fill=0.0)
def _(data: Data) -> ibis.Table | None:
    recent = data.orders if data.orders is None else _last(data.orders, "date", data, 13)
    return _each(recent, value=lambda o: o.amount.cast(MONEY).sum())


@trait("mean_order_value", kind="number", source="transactions", meaning=mark("mean value of an order"))
def _(data: Data) -> ibis.Table | None:
    return _each(data.orders, value=lambda o: o.amount.cast(MONEY).sum().cast("float64") / o.count())


@trait(
    "ipt_mean_days",
    kind="number",
    source="transactions",
    meaning=mark("mean days between two days with an order; missing with fewer than two"),
)
def _(data: Data) -> ibis.Table | None:
    def mean_gap(o: ibis.Table) -> ibis.Value:
        return o.date.max().delta(o.date.min(), unit="day") / (o.date.nunique() - 1).nullif(0)

    return _each(data.orders, value=mean_gap)


@trait("tenure_days", kind="number", source="transactions", meaning=mark("days since the first order seen"))
def _(data: Data) -> ibis.Table | None:
    return _each(data.orders, value=lambda o: ibis.literal(data.as_of).delta(o.date.min(), unit="day"))


def _score(letter: str):
    def compute(data: Data) -> ibis.Table | None:
        if data.orders is None:
            return None
        each = scored(data.orders, as_of=data.as_of, params=RFMParams(scores=data.params.scores))
        return each.select("customer_id", value=each[f"{letter}_score"])

    return compute


_SCORES = {
    "r": mark("score of recency, the highest is the most recent"),
    "f": mark("score of frequency, the highest orders most"),
    "m": mark("score of spend, the highest spends most"),
}
for _letter, _meaning in _SCORES.items():
    trait(f"{_letter}_score", kind="number", source="transactions", meaning=_meaning)(_score(_letter))


@trait("categories", kind="number", source="transactions", meaning=mark("different categories bought"), fill=0)
def _(data: Data) -> ibis.Table | None:
    lines = data.tables.get("transactions")
    if lines is None or "category" not in lines.columns:
        return None
    return lines.group_by("customer_id").agg(value=lines.category.nunique())


@trait(
    "channel",
    kind="category",
    source="transactions",
    meaning=mark("channel of most orders, the first by name where two are equal"),
)
def _(data: Data) -> ibis.Table | None:
    if data.orders is None or "channel" not in data.orders.columns:
        return None
    known = data.orders.filter(data.orders.channel.notnull())
    counted = known.group_by(["customer_id", "channel"]).agg(n=known.count())
    by_size = [ibis.desc(counted.n), counted.channel]
    ranked = counted.mutate(place=ibis.row_number().over(group_by="customer_id", order_by=by_size))
    return ranked.filter(ranked.place == 0).select("customer_id", value="channel")


@trait(
    "coupon_orders_17w",
    kind="number",
    source="transactions",
    meaning=mark("orders with a coupon in the last 17 weeks"),
    fill=0,
)
def _(data: Data) -> ibis.Table | None:
    with_coupon = _with_coupon(data)
    return None if with_coupon is None else _each(_last(with_coupon, "date", data, 17), value=lambda o: o.count())


@trait("coupon_ever", kind="flag", source="transactions", meaning=mark("has ever used a coupon"), fill=0)
def _(data: Data) -> ibis.Table | None:
    return _each(_with_coupon(data), value=ibis.literal(1))


def _with_coupon(data: Data) -> ibis.Table | None:
    if data.orders is None or "coupon_discount" not in data.orders.columns:
        return None
    return data.orders.filter(data.orders.coupon_discount > 0)


@trait("contacts_26w", kind="number", source="contacts", meaning=mark("contacts in the last 26 weeks"), fill=0)
def _(data: Data) -> ibis.Table | None:
    contacts = data.tables.get("contacts")
    if contacts is None:
        return None
    contacts = contacts.filter(contacts.arm != "control")
    if "direction" in contacts.columns:
        contacts = contacts.filter(contacts.direction.fill_null("outbound") != "inbound")
    recent = _last(contacts, "sent_at", data, 26)
    return _each(recent, value=lambda c: c.count())


@trait(
    "responses_26w",
    kind="number",
    source="outcomes",
    meaning=mark("campaigns answered in the last 26 weeks"),
    fill=0,
)
def _(data: Data) -> ibis.Table | None:
    outcomes = data.tables.get("outcomes")
    if outcomes is None:
        return None
    recent = _last(outcomes.filter(outcomes.response > 0), "date", data, 26)
    return _each(recent, value=lambda o: o.campaign_id.nunique())
