"""What a trait is, what it is computed from, and the register of those there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import ibis
from pydantic import Field

from crmlab.contract import Params, mark

Kind = Literal["number", "category", "flag"]
KINDS = (mark("number"), mark("category"), mark("flag"))
"""The kinds as words that a page shows."""

NEVER = ("customer_id", "email", "name", "phone", "parent_id", "customer_id_right")
"""Columns of customers that identify somebody: never a trait."""


class TraitsParams(Params):
    """Which traits there are, and what they may be used for."""

    include: tuple[str, ...] | None = None
    """Only these traits; all where not given."""
    exclude: tuple[str, ...] = ()
    """Not these: a column that was written after the contact (how long the call lasted), for one."""
    sensitive: tuple[str, ...] = ()
    """Traits whose use needs care (age, health, belief ...): marked wherever they are shown."""
    not_for_splits: tuple[str, ...] = ()
    """Traits that describe but may not split a segment."""
    scores: int = Field(default=5, ge=2, le=9)
    """Scores of R, F and M, from 1 to this."""
    most_levels: int = Field(default=30, ge=2)
    """A category of more values than this describes nobody well and is not allowed to split."""


@dataclass(frozen=True)
class Data:
    """What a trait is computed from: canonical tables and orders, none of them later than `as_of`."""

    tables: Mapping[str, ibis.Table]
    orders: ibis.Table | None
    as_of: date
    params: TraitsParams
    buyers: ibis.Table | None = None
    """Of the orders, one row a customer: recency_days, frequency, spent (exact), first (day)."""


@dataclass(frozen=True)
class Relation:
    """Rows that several traits are aggregates of, so that the engine passes over them once for all of these."""

    name: str
    source: str
    """The canonical table it comes from."""
    rows: Callable[[Data], ibis.Table | None]
    """The rows, with a customer_id; None where the tables or columns they need are absent."""
    one_each: bool = False
    """Whether there is one row a customer already: traits are then columns, not aggregates."""


@dataclass(frozen=True)
class Trait:
    """A registered trait."""

    name: str
    kind: Kind
    source: str
    meaning: str
    compute: Callable[..., Any]
    """``(rows, data) -> Value`` where there is a relation, else ``(data) -> Table`` of customer_id and value; or None
    where the columns it needs are absent."""
    over: str | None = None
    """The relation it is an aggregate of."""
    fill: int | float | None = None
    """Value of a customer who has no row; None: missing."""
    allowed_for_splits: bool = True
    sensitive: bool = False


REGISTRY: dict[str, Trait] = {}
"""Name → trait, in the order in which they are shown."""

RELATIONS: dict[str, Relation] = {}
"""Name → relation."""


def relation(name: str, *, source: str, one_each: bool = False) -> Callable[..., Callable[[Data], ibis.Table | None]]:
    """Register the function below, from `Data` to rows with a customer_id, as the relation `name`."""

    def register(rows: Callable[[Data], ibis.Table | None]) -> Callable[[Data], ibis.Table | None]:
        if name in RELATIONS:
            raise ValueError(f"relation {name!r} is registered twice")
        RELATIONS[name] = Relation(name, source, rows, one_each)
        return rows

    return register


def trait(
    name: str,
    *,
    kind: Kind,
    meaning: str,
    over: str | None = None,
    source: str = "",
    fill: int | float | None = None,
    allowed_for_splits: bool = True,
    sensitive: bool = False,
    registry: dict[str, Trait] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function below as the trait `name`.

    Parameters
    ----------
    name
        What it is called in parameters, tables and rules.
    kind
        ``number``, ``category`` or ``flag`` (0 or 1).
    meaning
        What it says, in a few marked words.
    over
        The relation (``orders``, ``lines``, ``contacts`` ...) whose rows of a customer the function aggregates: it is
        given those rows and `Data`, and returns one value. All traits over one relation cost one pass. Without it the
        function is given `Data` alone and returns a table of customer_id and value.
    source
        The table it comes from; that of the relation where there is one.
    fill
        Value of customers who have no row, where that is known (0 orders); None where it is missing.
    allowed_for_splits, sensitive
        Defaults, which a study's parameters may only tighten.
    registry
        Another registry than the common one.
    """
    if over is not None and over not in RELATIONS:
        raise ValueError(f"trait {name!r} is over {over!r}; there are {', '.join(RELATIONS)}")
    source = source or (RELATIONS[over].source if over else "")

    def register(compute: Callable[..., Any]) -> Callable[..., Any]:
        kept = REGISTRY if registry is None else registry
        if name in kept:
            raise ValueError(f"trait {name!r} is registered twice")
        kept[name] = Trait(name, kind, source, meaning, compute, over, fill, allowed_for_splits, sensitive)
        return compute

    return register
