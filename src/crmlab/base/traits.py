"""Traits: one row a customer of what may describe, split or predict, from nothing later than `as_of`.

Adding a trait is one function below the decorator `trait` in `built_in.py`, or anywhere that is imported:

    @trait("orders_on_sunday", kind="number", source="transactions", meaning=mark("orders on a Sunday"), fill=0)
    def _(data: Data) -> ibis.Table | None:
        ...
        return a table of customer_id, value      # or None where the columns it needs are absent
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import ibis
import pandas as pd

from crmlab.base import built_in  # noqa: F401  registers the built-in traits
from crmlab.base.orders import orders as orders_of
from crmlab.base.register import NEVER, REGISTRY, Data, Trait, TraitsParams, trait
from crmlab.contract import Basis, Fault, Refused, Result, Sentence, mark

__all__ = ["REGISTRY", "Data", "Trait", "Traits", "TraitsParams", "trait", "traits"]


@dataclass(frozen=True)
class Traits(Result):
    """One row a customer in `table`: customer_id and the traits; `catalogue` says what each is.

    Numbers and flags are int64 where every customer has one by definition (0 orders), float64 where they may be
    missing (NaN); categories are text, missing where not known.
    """

    table: pd.DataFrame
    basis: Basis
    catalogue: pd.DataFrame = field(default_factory=pd.DataFrame)
    """name, kind, source, allowed_for_splits, sensitive, meaning; one row a trait, in the table's order."""

    title: ClassVar[str] = "What is known of each customer"
    note: ClassVar[str] = (
        "Traits describe, split or predict. Each is computed from rows dated no later than this cycle's last day; "
        "a row dated later would have stopped the analysis."
    )
    people: ClassVar[tuple[str, ...]] = ("known",)
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("trait", ""),
        "meaning": ("meaning", "word"),
        "known": ("customers with a value", ",.0f"),
        "missing": ("missing", ".1%"),
        "typical": ("median, or share of the most frequent", ",.4g"),
        "most": ("most frequent", ""),
        "splits": ("may split", "word"),
        "care": ("sensitive", "word"),
    }

    def shown(self) -> pd.DataFrame:
        """One row a trait: what it is, how many have it, what is typical."""
        rows = []
        for entry in self.catalogue.to_dict("records"):
            values = self.table[entry["name"]].dropna()
            row = {**entry, "known": len(values), "missing": 1 - len(values) / max(len(self.table), 1)}
            row |= {"typical": float("nan"), "most": None}
            if entry["kind"] == "category" and len(values):
                counts = values.value_counts(normalize=True).rename_axis("value").reset_index(name="share")
                top = counts.sort_values(["share", "value"], ascending=[False, True]).iloc[0]
                row |= {"typical": float(top["share"]), "most": str(top["value"])}
            elif len(values):
                row["typical"] = float(values.mean() if entry["kind"] == "flag" else values.median())
            row["splits"] = mark("yes") if entry["allowed_for_splits"] else mark("no")
            row["care"] = mark("yes") if entry["sensitive"] else mark("no")
            rows.append(row)
        return pd.DataFrame(rows)

    def sentences(self) -> list[Sentence]:
        """Which traits are sensitive, and which are known of so few that their absence itself would split."""
        said = []
        sensitive = self.catalogue.loc[self.catalogue["sensitive"], "name"]
        if len(sensitive):
            names = ", ".join(sensitive)
            said.append(Sentence("Sensitive, to be used with care: {names}.", {"names": names}, "warn"))
        shown = self.shown()
        sparse = shown.loc[(shown["missing"] > 0.5) & (shown["source"] == "customers"), "name"] if len(shown) else []
        if len(sparse):
            said.append(
                Sentence(
                    "Unknown for more than half of the customers: {names}. Who is known was not drawn at random: a "
                    "difference between known and unknown is an artefact of how the data were collected.",
                    {"names": ", ".join(sparse)},
                    "warn",
                )
            )
        return said


def traits(
    tables: Mapping[str, ibis.Table],
    *,
    as_of: date,
    params: TraitsParams | None = None,
    orders: ibis.Table | None = None,
    registry: Mapping[str, Trait] | None = None,
) -> Traits:
    """Every trait of every customer, strictly from rows dated no later than `as_of`.

    Customers are those of the customers table and those who ordered. Every further column of the customers table is a
    trait of its own name, and replaces a computed trait of that name: what the company declares wins.

    Parameters
    ----------
    tables
        Canonical tables, cut at `as_of`.
    as_of
        Last day that is seen. A row dated later, in whatever table, refuses the whole: it would leak the future.
    params
        Which traits, and what they may be used for.
    orders
        The orders of ``tables["transactions"]``, where the caller has them at hand.
    registry
        The traits to compute; the built-in ones where not given.
    """
    params = params or TraitsParams()
    with _at_hand(orders, tables) as at_hand:
        refuse_later({**tables, **({} if orders is None else {"orders": orders})}, as_of)
        data = Data(tables, at_hand, as_of, params)
        offered = dict(REGISTRY if registry is None else registry)
        offered |= covariates(tables["customers"]) if "customers" in tables else {}
        wanted = _wanted(offered, params)
        ids = _customer_ids(data)
        columns = {}
        for one in wanted:
            computed = one.compute(data)
            if computed is not None:
                columns[one.name] = _column(one, computed, ids)
            elif params.include is not None:
                raise Refused("traits", [Fault("traits.include", f"{one.name!r}: {one.source} lacks its columns")])
    table = pd.DataFrame({"customer_id": pd.Series(ids, dtype="str"), **columns})
    catalogue = _catalogue([one for one in wanted if one.name in columns], table, params)
    return Traits(table=table, basis=Basis(len(table), mark("customers"), end=as_of), catalogue=catalogue)


@contextmanager
def _at_hand(orders: ibis.Table | None, tables: Mapping[str, ibis.Table]) -> Iterator[ibis.Table | None]:
    """The orders: those given, or computed once into a temporary table of the engine for the many that read them."""
    if orders is not None or "transactions" not in tables:
        yield orders
        return
    engine = tables["transactions"].get_backend()
    name = "crmlab_orders_of_traits"
    engine.raw_sql(f"DROP TABLE IF EXISTS {name}")
    try:
        yield engine.create_table(name, orders_of(tables["transactions"]), temp=True)
    finally:
        engine.raw_sql(f"DROP TABLE IF EXISTS {name}")


def refuse_later(tables: Mapping[str, ibis.Table], as_of: date) -> None:
    """Refuse tables that hold a row dated after `as_of`.

    Every column of dates is looked at, but those of customers: they describe the person, not when a row came to be.
    """
    faults = []
    for name, table in tables.items():
        dated = [c for c, kind in table.schema().items() if kind.is_date() or kind.is_timestamp()]
        if name in ("customers", "products", "offers", "subscriptions") or not dated:
            continue
        latest = table.agg(**{c: table[c].cast("date").max() for c in dated}).to_pandas().iloc[0]
        for column in dated:
            if pd.notna(latest[column]) and pd.Timestamp(latest[column]) > pd.Timestamp(as_of):
                last = pd.Timestamp(latest[column]).date()
                faults.append(Fault(f"{name}.{column}", f"reaches {last}: cut the table at {as_of} before traits"))
    if faults:
        raise Refused("traits would see the future", faults)


def covariates(customers: ibis.Table) -> dict[str, Trait]:
    """A trait for each further column of the customers table that is a number, a text or a yes/no.

    A whole-number column that holds nothing but 0 and 1 is a flag; dates and identity columns are no traits.
    """
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
        meaning = mark("as given in the customers table")
        found[name] = Trait(name, of, "customers", meaning, _covariate(name))
    return found


def _covariate(name: str) -> Callable[[Data], ibis.Table]:
    def compute(data: Data) -> ibis.Table:
        customers = data.tables["customers"]
        return customers.select(customers.customer_id, value=customers[name])

    return compute


def _wanted(offered: Mapping[str, Trait], params: TraitsParams) -> list[Trait]:
    """The traits asked for; names that do not exist are refused, all at once."""
    faults = []
    for role in ("include", "exclude", "sensitive", "not_for_splits"):
        for name in getattr(params, role) or ():
            if name not in offered:
                near = difflib.get_close_matches(name, offered, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(offered)}"
                faults.append(Fault(f"traits.{role}", f"no trait {name!r}; {hint}"))
    if faults:
        raise Refused("traits", faults)
    return [
        one
        for name, one in offered.items()
        if (params.include is None or name in params.include) and name not in params.exclude
    ]


def _customer_ids(data: Data) -> list[str]:
    """Everybody in the customers table or with an order, sorted as text."""
    known = [data.tables["customers"].select("customer_id")] if "customers" in data.tables else []
    known += [data.orders.select("customer_id")] if data.orders is not None else []
    if not known:
        raise Refused("traits", "there is neither a customers nor a transactions table")
    ids = set()
    for each in known:
        ids.update(each.distinct().to_pandas()["customer_id"].dropna())
    return sorted(ids)


def _column(one: Trait, computed: ibis.Table, ids: list[str]) -> pd.Series:
    """A trait's values in the order of `ids`, in the plain type of its kind."""
    value = computed.value if one.kind == "category" else computed.value.cast("float64")
    frame = computed.select("customer_id", value=value).to_pandas()
    if frame["customer_id"].duplicated().any():
        raise ValueError(f"trait {one.name!r} returns a customer twice")
    values = frame.set_index("customer_id")["value"].reindex(ids).reset_index(drop=True)
    if one.kind == "category":
        return values.astype("str")
    values = values.astype("float64")
    if one.fill is not None:
        values = values.fillna(one.fill)
        return values.astype("int64") if isinstance(one.fill, int) else values
    return values


def _catalogue(kept: list[Trait], table: pd.DataFrame, params: TraitsParams) -> pd.DataFrame:
    rows = []
    for one in kept:
        many = one.kind == "category" and table[one.name].nunique() > params.most_levels
        rows.append(
            {
                "name": one.name,
                "kind": one.kind,
                "source": one.source,
                "allowed_for_splits": one.allowed_for_splits and one.name not in params.not_for_splits and not many,
                "sensitive": one.sensitive or one.name in params.sensitive,
                "meaning": one.meaning,
            }
        )
    names = ["name", "kind", "source", "allowed_for_splits", "sensitive", "meaning"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({"allowed_for_splits": "bool", "sensitive": "bool"})
