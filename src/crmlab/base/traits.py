"""Traits: one row a customer of what may describe, split or predict, from nothing later than `as_of`.

Adding a trait is one function below the decorator `trait`, in `built_in/` or anywhere that is imported:

    @trait("orders_on_sunday", over="orders", kind="number", meaning=mark("orders on a Sunday"), fill=0)
    def _(orders: ibis.Table, data: Data) -> ibis.Value | None:
        return orders.count(where=orders.date.day_of_week.index() == 6)   # or None where a column it needs is absent
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import ibis
import pandas as pd

from crmlab.base import built_in  # noqa: F401  registers the built-in traits
from crmlab.base.built_in.people import covariates
from crmlab.base.built_in.survey import items
from crmlab.base.provenance import refuse_later
from crmlab.base.register import REGISTRY, Data, Trait, TraitsParams, trait
from crmlab.base.trait_values import seen, values_of
from crmlab.contract import Basis, Fault, Refused, Result, Sentence, localise, mark, say
from crmlab.contract.result import FEWEST

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
        "a row dated later, or a trait that reads anything else, would have stopped the analysis."
    )
    people: ClassVar[tuple[str, ...]] = ("known",)
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("trait", ""),
        "meaning": ("meaning", ""),
        "known": ("customers with a value", ",.0f"),
        "missing": ("missing", ".1%"),
        "typical": ("median, or the most frequent", ""),
        "use": ("use", "word"),
    }

    def shown(self) -> pd.DataFrame:
        """One row a trait that anybody has: what it is in the reader's language, how many have it, what is typical."""
        rows = []
        for entry in self.catalogue.to_dict("records"):
            values = self.table[entry["name"]].dropna()
            if len(values):
                use = mark("splits") if entry["allowed_for_splits"] else mark("describes")
                row = {**entry, "meaning": say(entry["meaning"]).split(";")[0], "known": len(values)}
                row |= {"missing": 1 - len(values) / len(self.table), "typical": _typical(values, entry["kind"])}
                rows.append(row | {"use": mark("sensitive") if entry["sensitive"] else use})
        names = [*self.catalogue.columns, "known", "missing", "typical", "use"]
        return pd.DataFrame(rows, columns=names)

    def sentences(self) -> list[Sentence]:
        """Which traits are sensitive, which nobody has, and which so few that their absence itself would split."""
        said = []
        sensitive = self.catalogue.loc[self.catalogue["sensitive"], "name"]
        if len(sensitive):
            names = ", ".join(sensitive)
            said.append(Sentence("Sensitive, to be used with care: {names}.", {"names": names}, "warn"))
        shown = self.shown()
        nobody = [name for name in self.catalogue["name"] if name not in set(shown["name"])]
        if nobody and len(self.table):
            said.append(Sentence("Known of nobody so far, and not shown: {names}.", {"names": ", ".join(nobody)}))
        sparse = shown.loc[(shown["missing"] > 0.5) & (shown["source"] == "customers"), "name"]
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


def _typical(values: pd.Series, kind: str) -> str:
    """The median, the share of yes, or the most frequent value with its share; nothing that would tell of a few."""
    if len(values) < FEWEST:
        return "·"
    if kind == "flag":
        return localise(f"{values.mean():.1%}")
    if kind == "number":
        return localise(f"{values.median():,.4g}")
    counts = values.value_counts().rename_axis("value").reset_index(name="n")
    top = counts.sort_values(["n", "value"], ascending=[False, True]).iloc[0]
    return localise(f"{top['n'] / len(values):.1%}") + f" {top['value']}" if top["n"] >= FEWEST else "·"


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
        Last day that is seen. A row dated later, in whatever table, refuses the whole: it would leak the future. So
        does a trait that reads anything but these tables.
    params
        Which traits, and what they may be used for.
    orders
        The orders of ``tables["transactions"]``, where the caller has them at hand.
    registry
        The traits to compute; the built-in ones where not given.
    """
    params = params or TraitsParams()
    refuse_later({**tables, **({} if orders is None else {"orders": orders})}, as_of)
    offered = dict(REGISTRY if registry is None else registry) | items(tables) | covariates(tables)
    wanted = _wanted(offered, params)
    with seen(tables, orders, as_of, params) as data:
        columns = values_of(wanted, data)
    absent = [one for one in wanted if one.name not in columns]
    if params.include is not None and absent:
        raise Refused("traits", [Fault("traits.include", f"{t.name!r}: {t.source} lacks its columns") for t in absent])
    table = pd.DataFrame(columns)
    catalogue = _catalogue([one for one in wanted if one.name in columns], table, params)
    return Traits(table=table, basis=Basis(len(table), mark("customers"), end=as_of), catalogue=catalogue)


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
