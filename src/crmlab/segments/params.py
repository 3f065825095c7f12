"""What the segments of a study are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from crmlab.contract import Fault, Params, Refused
from crmlab.segments.mixture.params import MixtureParams
from crmlab.segments.written import from_plain

RFM, VALUE, CLASSES = "rfm", "value", ("mixture", "kmeans")
WHOLE = (RFM, VALUE, *CLASSES)
"""Ways to make segments that stand alone; every other name is a trait's."""

SCORES = ("r_score", "f_score", "m_score")


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class SegmentsSpec(Params):
    """One way to make segments, and how single ones of them are split further."""

    by: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(default=(RFM,), min_length=1)
    """rfm, value (tiers of lifetime value), mixture or kmeans (classes of customers who behave alike); or a trait, or
    several traits of which each splits the segments of those before it."""
    bands: int = Field(default=4, ge=2, le=20)
    """Bands of a numeric trait, cut at its quantiles; ties share a band, so there may be fewer."""
    min_size: int = Field(default=50, ge=1)
    """Customers below which a category is joined with others, and a band or tier with the next."""
    tiers: int = Field(default=4, ge=2, le=10)
    """Tiers of lifetime value."""
    mixture: MixtureParams = MixtureParams()
    """How classes are sought."""
    within: dict[str, SegmentsSpec] = Field(default_factory=dict)
    """Name (English) or id of a segment → how it is split further, in the same words."""

    @model_validator(mode="after")
    def _one_way(self) -> SegmentsSpec:
        for whole in WHOLE:
            if whole in self.by and len(self.by) > 1:
                hint = f"name its traits instead, for example {', '.join(SCORES)}" if whole == RFM else "use within"
                raise ValueError(f"by: {whole} stands alone; {hint}")
        if len(set(self.by)) < len(self.by):
            raise ValueError("by: a trait is named twice")
        return self


class SegmentsParams(SegmentsSpec):
    """What the first cycle's segments are made of; later cycles go on from the tree of the last re-analysis."""

    tree: dict[str, Any] | None = None
    """A tree written by hand (next_id, nodes), instead of `by`."""
    trees: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Cycle → the tree, edited by hand, that it starts from: the path of a file that `crmlab tree` wrote."""

    @field_validator("tree", "trees")
    @classmethod
    def _sound(cls, given: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        trees = {f"trees.{cycle}": tree for cycle, tree in (given or {}).items()}
        trees = {"tree": given} if info.field_name == "tree" and given else trees
        if faults := [fault for at, tree in trees.items() for fault in _faults(tree, f"segments.{at}")]:
            raise ValueError("; ".join(f"{fault.where}: {fault.what}" for fault in faults))
        return given

    @model_validator(mode="after")
    def _not_both(self) -> SegmentsParams:
        if self.tree is not None and self.by != (RFM,):
            raise ValueError("give by or tree, not both ('tree: null' takes back an inherited tree)")
        return self


def ways(spec: SegmentsSpec) -> set[str]:
    """All that segments are made by, those within others included."""
    return set(spec.by).union(*(ways(inner) for inner in spec.within.values()))


def _faults(tree: Mapping[str, Any], at: str) -> list[Fault]:
    try:
        from_plain(tree)
    except Refused as refused:
        return placed_in(tree, refused.faults, at)
    return []


def placed_in(tree: Mapping[str, Any], faults: Iterable[Fault], at: str) -> list[Fault]:
    """Faults of a tree that stands below `at` in a params file: a node by its place in the list, where lines are known.

    What is said then begins with the node's id.
    """
    ids = {n["id"]: i for i, n in enumerate(tree.get("nodes") or []) if isinstance(n, dict) and "id" in n}
    found = []
    for fault in faults:
        head, _, rest = fault.where.partition(".")
        if head in ids:
            where = f"{at}.nodes.{ids[head]}" + (f".{rest}" if rest else "")
            found.append(Fault(where, f"{head}: {fault.what}"))
        else:
            found.append(Fault(re.sub(r"[\s:;]", "_", f"{at}.{fault.where}".rstrip(".")), fault.what))
    return found
