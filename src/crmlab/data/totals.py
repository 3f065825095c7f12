"""What canonical tables hold in all: customers, amounts, campaigns, and who never bought."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import ibis

from crmlab.data.consents import GRANTED, channel_named
from crmlab.data.held import held
from crmlab.data.schema import Tables


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of one table; None where it has no such column.

    Parameters
    ----------
    customers
        Different customers.
    amount
        Sum of `amount`, exact.
    returning
        Customers seen on more than one day.
    """

    customers: int | None = None
    amount: Decimal | None = None
    returning: int | None = None


def people_of(table: ibis.Table, con: ibis.BaseBackend) -> ibis.Table | None:
    """One row a customer of `table`, kept in the engine: `customer_id`, `amount`, `first`, `last`.

    All that is counted of people is counted on this, for there are fewer of them than rows.
    """
    if "customer_id" not in table.columns:
        return None
    sums = {"amount": table["amount"].sum()} if "amount" in table.columns else {}
    days = {"first": table["date"].min(), "last": table["date"].max()} if "date" in table.columns else {}
    each = table.group_by("customer_id").agg(**sums, **days) if sums or days else table.select("customer_id").distinct()
    return held(con, each)


def totals(people: ibis.Table | None) -> Totals:
    """Totals of a table from its `people_of`."""
    if people is None:
        return Totals()
    counts = {"customers": people.count()}
    if "amount" in people.columns:
        counts["amount"] = people.amount.sum()
    if "first" in people.columns:
        counts["returning"] = (people["first"] < people["last"]).sum().fill_null(0)
    return Totals(**people.aggregate(**counts).to_pyarrow().to_pylist()[0])


def idle(people: Mapping[str, ibis.Table]) -> int:
    """Customers listed who never bought."""
    if not {"customers", "transactions"} <= set(people):
        return 0
    return _count(people["customers"].anti_join(people["transactions"], "customer_id"))


def campaigns(tables: Tables) -> set[str]:
    """The campaigns that contacts know."""
    if "contacts" not in tables:
        return set()
    return set(tables["contacts"].select("campaign_id").distinct().to_pyarrow()["campaign_id"].to_pylist())


def permitting(tables: Tables, channel: str) -> int:
    """Customers of whom some consent permits `channel`, whatever came later."""
    consents = tables["consents"]
    given = consents.filter((consents.state == GRANTED) & (consents.channel == channel_named(channel)))
    return _count(given.select("customer_id").distinct())


def _count(table: ibis.Table) -> int:
    return table.count().to_pyarrow().as_py()
