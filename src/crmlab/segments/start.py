"""The tree a study starts from: RFM cells with names, or the bands and categories of any trait."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, model_validator

from crmlab.contract import Fault, Params, Refused, mark
from crmlab.segments.nodes import Condition, Node, Tree, default_name, in_english
from crmlab.segments.tree import checked, meets
from crmlab.segments.written import from_plain, unknown_trait

if TYPE_CHECKING:
    from crmlab.base.traits import Traits

SCORES = ("r_score", "f_score", "m_score")
RFM = "rfm"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class SegmentsParams(Params):
    """What the first cycle's segments are made of; later cycles go on from the tree of the last re-analysis."""

    by: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(default=(RFM,), min_length=1)
    """rfm, or a trait, or several traits of which each splits the segments of those before it."""
    bands: int = Field(default=4, ge=2, le=20)
    """Bands of a numeric trait, cut at its quantiles; ties share a band, so there may be fewer."""
    min_size: int = Field(default=50, ge=1)
    """Customers below which a category is joined with others, and a band with the next."""
    tree: dict[str, Any] | None = None
    """A tree written by hand (next_id, nodes), instead of `by`."""

    @model_validator(mode="after")
    def _one_way(self) -> SegmentsParams:
        if self.tree is not None and self.by != (RFM,):
            raise ValueError("segments: give by or tree, not both ('tree: null' takes back an inherited tree)")
        if RFM in self.by and len(self.by) > 1:
            raise ValueError(f"segments.by: rfm stands alone; name its traits instead, for example {', '.join(SCORES)}")
        if len(set(self.by)) < len(self.by):
            raise ValueError("segments.by: a trait is named twice")
        return self


def start(traits: Traits, params: SegmentsParams) -> Tree:
    """The tree of a first cycle; its cut points are frozen, so the same rules hold for later and for new customers.

    Parameters
    ----------
    traits
        Traits as of the cycle; `by` names traits of its catalogue.
    params
        Which segmentation.
    """
    catalogue = traits.catalogue
    if params.tree is not None:
        return from_plain(params.tree, subject="segments.tree", traits=catalogue)
    if params.by == (RFM,):
        _refuse_unknown(catalogue, SCORES)
        return rfm_tree(int(max(traits.table[list(SCORES)].max().fillna(0).max(), 2)))
    _refuse_unknown(catalogue, params.by)
    kinds = dict(zip(catalogue["name"], catalogue["kind"], strict=True))
    tree = Tree(next_id=1, nodes=())
    everyone = np.ones(len(traits.table), dtype=bool)
    tree = _grow(tree, None, traits.table, everyone, [(t, kinds[t]) for t in params.by], params)
    return checked(tree, traits=catalogue)


def rfm_tree(scores: int) -> Tree:
    """Eight named segments over recency, frequency and monetary scores of 1 (worst) to `scores` (best).

    High is the upper third of the scores (4 and 5 of five), low the lower third (1 and 2 of five). Every customer is
    in exactly one, customers without an order too.
    """
    high = 2 * scores // 3 + 1
    middle = max(scores + 2 - high, 2)
    r_high, f_high, m_high = (Condition(trait=t, at_least=high) for t in SCORES)
    r_middle, f_middle, _ = (Condition(trait=t, at_least=middle) for t in SCORES)
    named = [
        (mark("No orders yet"), [Condition(trait="r_score", missing=True)]),
        (mark("Champions"), [r_high, f_high, m_high]),
        (mark("Loyal"), [r_middle, f_high]),
        (mark("Big spenders"), [r_middle, m_high]),
        (mark("Promising"), [r_high]),
        (mark("Needs attention"), [r_middle]),
        (mark("At risk"), [f_middle]),
        (mark("Hibernating"), []),
    ]
    kept: list[Node] = []
    for name, when in named:
        node = Node(id=f"s{len(kept) + 1}", name=name, when=tuple(when))
        if name != "Needs attention" or middle < high:
            kept.append(node)
    return checked(Tree(next_id=len(kept) + 1, nodes=tuple(kept)))


def _refuse_unknown(catalogue: pd.DataFrame, wanted: tuple[str, ...]) -> None:
    there = list(catalogue["name"])
    faults = [Fault("segments.by", f"'{t}': {unknown_trait(there, t)}") for t in wanted if t not in there]
    sensitive = set(catalogue.loc[catalogue["sensitive"].astype(bool), "name"])
    faults += [
        Fault("segments.by", f"'{t}' is declared sensitive: take it off traits.sensitive or segment by another")
        for t in wanted
        if t in sensitive
    ]
    if faults:
        raise Refused("segments", faults)


def _grow(
    tree: Tree, parent: str | None, table: pd.DataFrame, here: np.ndarray, by: list[tuple[str, str]], p: SegmentsParams
) -> Tree:
    """The tree with the branches of the first trait of `by` under `parent`, and those of the others under each.

    A segment too small to be cut in two of at least `min_size` is not cut.
    """
    if not by or (parent is not None and here.sum() < 2 * p.min_size):
        return tree
    (trait, kind), *rest = by
    values = table.loc[here, trait]
    named = _category_rules(trait, values, p) if kind == "category" else _band_rules(trait, kind, values, p)
    if parent is not None and len(named) < 3:  # one branch and the missing: nothing to tell apart
        return tree
    nodes = tuple(
        Node(id=f"s{tree.next_id + i}", parent=parent, name=(name if parent is None else "") or "?", when=when)
        for i, (name, when) in enumerate(named)
    )
    tree = Tree(next_id=tree.next_id + len(nodes), nodes=(*tree.nodes, *nodes))
    composed = {n.id: in_english(lambda n=n: default_name(tree, n)) for n in nodes if n.name == "?"}
    tree = Tree(
        next_id=tree.next_id, nodes=tuple(n.model_copy(update={"name": composed.get(n.id, n.name)}) for n in tree.nodes)
    )
    for node in nodes:
        inside = here & meets(node.when, table)
        here = here & ~inside
        tree = _grow(tree, node.id, table, inside, rest, p)
    return tree


def _category_rules(trait: str, values: pd.Series, p: SegmentsParams) -> list[tuple[str, tuple[Condition, ...]]]:
    """One branch a category of at least `min_size`, largest first; the missing; all others together."""
    sizes = values.dropna().astype(str).value_counts()
    large = sorted((s for s in sizes.index if sizes[s] >= p.min_size), key=lambda s: (-int(sizes[s]), s))
    rules: list[tuple[str, tuple[Condition, ...]]] = [(s, (Condition(trait=trait, is_=(s,)),)) for s in large]
    return [*rules, ("", (Condition(trait=trait, missing=True),)), (mark("Other"), ())]


def _band_rules(trait: str, kind: str, values: pd.Series, p: SegmentsParams) -> list[tuple[str, tuple[Condition, ...]]]:
    """Bands from high to low, each with both its ends; the missing; the lowest band last."""
    missing = ("", (Condition(trait=trait, missing=True),))
    cuts = cut_points(pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan), p.bands, p.min_size)
    if kind == "flag":
        cuts = [1] if cuts else []
    rules: list[tuple[str, tuple[Condition, ...]]] = []
    for i in range(len(cuts) - 1, -1, -1):
        ends = [Condition(trait=trait, at_least=cuts[i])]
        if i + 1 < len(cuts):
            ends.append(Condition(trait=trait, below=cuts[i + 1]))
        rules.append(("", tuple(ends)))
    return [*rules, missing, ("", ())]


def cut_points(values: np.ndarray, bands: int, min_size: int) -> list[float | int]:
    """Lower ends of all bands but the lowest: quantiles moved up to the next value, so that ties share a band.

    Parameters
    ----------
    values
        float64, shape (n,); missing values do not count.
    bands
        Bands wanted; heavy ties and `min_size` give fewer.
    min_size
        Fewest customers of a band.

    Returns
    -------
    list
        Ascending, of three significant digits where that tells the two neighbouring values apart.
    """
    known = np.sort(values[np.isfinite(values)])
    cuts: list[float | int] = []
    start = 0
    for j in range(1, bands):
        below = known[-(-j * len(known) // bands) - 1] if len(known) else np.inf
        place = int(np.searchsorted(known, below, side="right"))
        if place - start >= min_size and len(known) - place >= min_size:
            cuts.append(_short_number(below, known[place]))
            start = place
    return cuts


def _short_number(below: float, at: float) -> float | int:
    """A number of few digits above `below` and at most `at`: it cuts between two neighbouring values."""
    for digits in range(3, 18):
        scale = digits - 1 - (floor(log10(abs(at))) if at else 0)
        if scale > 300:  # beyond what a power of ten can hold
            break
        cut = round(float(np.floor(at * 10.0**scale) / 10.0**scale), max(scale, 0))
        if below < cut <= at:
            return int(cut) if cut == int(cut) else cut
    return float(at)
