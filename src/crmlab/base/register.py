"""What a trait is, what it is computed from, and the register of those there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

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
    """Not these."""
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


@dataclass(frozen=True)
class Trait:
    """A registered trait."""

    name: str
    kind: Kind
    source: str
    meaning: str
    compute: Callable[[Data], ibis.Table | None]
    fill: int | float | None = None
    """Value of a customer whom `compute` does not return; None: missing."""
    allowed_for_splits: bool = True
    sensitive: bool = False


REGISTRY: dict[str, Trait] = {}
"""Name → trait, in the order in which they are shown."""


def trait(
    name: str,
    *,
    kind: Kind,
    source: str,
    meaning: str,
    fill: int | float | None = None,
    allowed_for_splits: bool = True,
    sensitive: bool = False,
    registry: dict[str, Trait] | None = None,
) -> Callable[[Callable[[Data], ibis.Table | None]], Callable[[Data], ibis.Table | None]]:
    """Register the function below as the trait `name`.

    Parameters
    ----------
    name
        What it is called in parameters, tables and rules.
    kind
        ``number``, ``category`` or ``flag`` (0 or 1).
    source
        The table it comes from.
    meaning
        What it says, in a few marked words.
    fill
        Value of customers whom the function does not return, where that is known (0 orders); None where it is missing.
    allowed_for_splits, sensitive
        Defaults, which a study's parameters may only tighten.
    registry
        Another registry than the common one.
    """

    def register(compute: Callable[[Data], ibis.Table | None]) -> Callable[[Data], ibis.Table | None]:
        kept = REGISTRY if registry is None else registry
        if name in kept:
            raise ValueError(f"trait {name!r} is registered twice")
        kept[name] = Trait(name, kind, source, meaning, compute, fill, allowed_for_splits, sensitive)
        return compute

    return register
