"""Traits of the person, as the customers table gives them: age, time since acquisition, and every further column."""

from collections.abc import Callable, Mapping

import ibis

from crmlab.base.built_in.buying import ago
from crmlab.base.register import NEVER, Data, Trait, relation, trait
from crmlab.contract import mark

OLDEST = 120
"""Years beyond which a year of birth is a slip of the pen."""

OF_AGE = ("birth_year",)
"""Columns that tell the age, and are as sensitive."""


@relation("customers", source="customers", one_each=True)
def _(data: Data) -> ibis.Table | None:
    return data.tables.get("customers")


@trait(
    "age",
    kind="number",
    over="customers",
    sensitive=True,
    meaning=mark("years of age reached in the year of this cycle"),
)
def _(customers: ibis.Table, data: Data) -> ibis.Value | None:
    if "birth_year" not in customers.columns:
        return None
    years = data.as_of.year - customers.birth_year.cast("int64")
    return years.between(0, OLDEST).ifelse(years, ibis.null("int64"))


@trait("tenure_acquired_days", kind="number", over="customers", meaning=mark("days since the customer was acquired"))
def _(customers: ibis.Table, data: Data) -> ibis.Value | None:
    if "acquired_on" not in customers.columns:
        return None
    days = ago(customers.acquired_on.cast("date"), data)
    return (days >= 0).ifelse(days, ibis.null("int64"))


def covariates(tables: Mapping[str, ibis.Table]) -> dict[str, Trait]:
    """A trait for each further column of the customers table that is a number, a text or a yes/no.

    A whole-number column that holds nothing but 0 and 1 is a flag; dates and identity columns are no traits.
    """
    if "customers" not in tables:
        return {}
    customers = tables["customers"]
    schema = {c: kind for c, kind in customers.schema().items() if c not in NEVER}
    whole = [c for c, kind in schema.items() if kind.is_integer()]
    flags = {c for c, kind in schema.items() if kind.is_boolean()}
    if whole:
        beyond = {c: (~customers[c].isin([0, 1])).sum() for c in whole}
        counts = customers.agg(**beyond).to_pandas().iloc[0]
        flags |= {c for c in whole if counts[c] == 0}
    found = {}
    for name, kind in schema.items():
        if kind.is_string():
            of = "category"
        elif name in flags:
            of = "flag"
        elif kind.is_numeric():
            of = "number"
        else:
            continue
        meaning, sensitive = mark("as given in the customers table"), name in OF_AGE
        found[name] = Trait(name, of, "customers", meaning, _column(name), over="customers", sensitive=sensitive)
    return found


def _column(name: str) -> Callable[[ibis.Table, Data], ibis.Value]:
    return lambda customers, data: customers[name]
