"""The canonical tables: what the rest of the laboratory may rely on, whatever the source was called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import ibis

Kind = Literal["text", "date", "money", "number", "count"]
"""What a column holds. Money and numbers are exact decimals, so that sums do not depend on the order of rows."""

TYPES: Mapping[Kind, str] = {
    "text": "string",
    "date": "date",
    "money": "decimal(18, 4)",
    "number": "decimal(18, 4)",
    "count": "int64",
}
"""Kind → the type of the engine."""

IDENTITY = ("email", "name", "phone")
"""Columns that say who somebody is: dropped at reading, wherever they stand."""

Tables = dict[str, ibis.Table]
"""Canonical tables by name; a table the source does not have is an absent key."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One canonical table.

    Parameters
    ----------
    columns
        Column → kind, in the order in which they are kept.
    required
        Columns that must be there, and filled in on every row.
    date
        The column that places a row in time; None where rows have no date.
    open
        Whether further columns are kept as covariates.
    """

    columns: Mapping[str, Kind]
    required: tuple[str, ...]
    date: str | None = None
    open: bool = field(default=False)


SCHEMA: Mapping[str, TableSchema] = {
    "transactions": TableSchema(
        {
            "customer_id": "text",
            "date": "date",
            "amount": "money",
            "order_id": "text",
            "product_id": "text",
            "quantity": "number",
            "channel": "text",
            "margin": "money",
            "category": "text",
            "coupon_discount": "money",
        },
        required=("customer_id", "date", "amount"),
        date="date",
    ),
    "customers": TableSchema(
        {
            "customer_id": "text",
            "country": "text",
            "region": "text",
            "birth_year": "count",
            "acquired_on": "date",
            "acquired_by": "text",
            "parent_id": "text",
        },
        required=("customer_id",),
        open=True,
    ),
    "consents": TableSchema(
        {"customer_id": "text", "channel": "text", "state": "text", "date": "date", "source": "text"},
        required=("customer_id", "channel", "state", "date"),
        date="date",
    ),
    "suppression": TableSchema(
        {"customer_id": "text", "reason": "text", "date": "date"},
        required=("customer_id",),
        date="date",
    ),
    "contacts": TableSchema(
        {
            "customer_id": "text",
            "campaign_id": "text",
            "arm": "text",
            "sent_at": "date",
            "channel": "text",
            "direction": "text",
            "offer": "text",
            "coupon": "text",
            "cost": "money",
        },
        required=("customer_id", "campaign_id", "arm", "sent_at"),
        date="sent_at",
    ),
    "outcomes": TableSchema(
        {
            "customer_id": "text",
            "campaign_id": "text",
            "date": "date",
            "response": "count",
            "spend": "money",
            "coupon": "text",
        },
        required=("customer_id", "campaign_id", "date", "response"),
        date="date",
    ),
    "offers": TableSchema(
        {
            "offer_id": "text",
            "channel": "text",
            "cost": "money",
            "discount": "money",
            "product_id": "text",
            "stock": "count",
            "capacity": "count",
        },
        required=("offer_id",),
    ),
    "survey": TableSchema(
        {"customer_id": "text", "date": "date", "item": "text", "score": "number"},
        required=("customer_id", "date", "item", "score"),
        date="date",
    ),
    "texts": TableSchema(
        {"customer_id": "text", "date": "date", "text": "text", "channel": "text", "language": "text"},
        required=("customer_id", "date", "text"),
        date="date",
    ),
    "products": TableSchema(
        {"product_id": "text", "category": "text", "margin": "money", "price": "money"},
        required=("product_id",),
    ),
    "subscriptions": TableSchema(
        {"customer_id": "text", "started_on": "date", "ended_on": "date", "plan": "text", "fee": "money"},
        required=("customer_id", "started_on"),
        date="started_on",
    ),
}
"""Table → its columns. `coupon_discount` (money off by coupons) is our addition to transactions."""

KEYS: Mapping[str, str] = {"customers": "customer_id", "offers": "offer_id", "products": "product_id"}
"""Tables that hold one row a key → the key."""
