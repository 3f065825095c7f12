"""The canonical tables: what the rest of the laboratory may rely on, whatever the source was called."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import ibis

from crmlab.contract import mark

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

IDENTITY = ("email", "name", "first_name", "last_name", "phone")
"""Columns that say who somebody is: dropped at reading, wherever they stand."""

IDENTIFYING = frozenset(
    (
        "email", "mail", "emailaddress", "postaelettronica", "name", "fullname", "firstname", "lastname", "givenname",
        "familyname", "surname", "customername", "nom", "nome", "cognome", "nominativo", "nomecliente",
        "ragionesociale", "nomeecognome", "phone", "phonenumber", "telephone", "tel", "telefon", "telefono", "handy",
        "mobile", "mobilephone", "cellulare", "posta", "address", "addressline1", "streetaddress", "street",
        "indirizzo", "iban", "taxcode", "codicefiscale", "ssn",
        "passport", "password", "ip", "ipaddress", "username", "vorname", "nachname", "prenom", "nombre", "apellido",
    )
)  # fmt: skip
"""Names, without case, blanks, hyphens and accents, of further columns that say who somebody is: never covariates."""

NO_ID = mark("no customer id")
"""Why a row that names nobody is set aside."""

NOBODY = "neither 'transactions' nor 'customers' is there; a study needs one of them to know whom it speaks of"
"""What is said of data without anybody."""

PRODUCT = ("quantity", "price")
"""Columns of transactions whose product is the amount of a line, where no column holds it."""

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
        Columns that must be there.
    date
        The column that places a row in time; None where rows have no date.
    open
        Whether further columns are kept as covariates.
    optional
        Required columns that may be empty on a row: a refusal counts whatever else is missing from it.
    any_of
        Columns of which one must be there, and filled in on every row.
    """

    columns: Mapping[str, Kind]
    required: tuple[str, ...]
    date: str | None = None
    open: bool = field(default=False)
    optional: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    @property
    def filled(self) -> tuple[str, ...]:
        """Columns that must be filled in on every row."""
        return tuple(c for c in self.required if c not in self.optional)


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
            "price": "money",
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
        optional=("channel", "state", "date"),
    ),
    "suppression": TableSchema(
        {"customer_id": "text", "email_sha256": "text", "reason": "text", "date": "date"},
        required=(),
        date="date",
        any_of=("customer_id", "email_sha256"),
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
"""Table → its columns. Our additions to transactions: `coupon_discount`, money off by coupons; `price`, of a unit."""

KEYS: Mapping[str, str] = {"customers": "customer_id", "offers": "offer_id", "products": "product_id"}
"""Tables that hold one row a key → the key."""


def identifies(column: str) -> bool:
    """Whether a column says by its name that it holds who somebody is."""
    bare = unicodedata.normalize("NFD", column.lower())
    return "".join(c for c in bare if c.isascii() and c.isalnum()) in IDENTIFYING


def nothing(name: str) -> ibis.Table:
    """The canonical table `name` without a row."""
    columns = {column: TYPES[kind] for column, kind in SCHEMA[name].columns.items() if column in SCHEMA[name].required}
    return ibis.memtable([], schema=ibis.schema(columns))
