"""Traits of what customers wrote: that they wrote and when, never what."""

import ibis

from crmlab.base.built_in.buying import ago, since
from crmlab.base.register import Data, relation, trait
from crmlab.contract import mark


@relation("texts", source="texts")
def _(data: Data) -> ibis.Table | None:
    texts = data.tables.get("texts")
    return None if texts is None else texts.select("customer_id", "date")


@trait("texts_52w", kind="number", over="texts", meaning=mark("messages written in the last 52 weeks"), fill=0)
def _(texts: ibis.Table, data: Data) -> ibis.Value:
    return texts.count(where=since(texts, "date", data, 52))


@trait("days_since_text", kind="number", over="texts", meaning=mark("days since the last message"))
def _(texts: ibis.Table, data: Data) -> ibis.Value:
    return ago(texts.date.max(), data)
