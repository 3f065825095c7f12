"""Segmentations that are held against each other: each made now, made at an earlier day, and made anew at will."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from crmlab.base.traits import Traits
from crmlab.clv.params import CLVParams
from crmlab.contract import Params, Refused, Sentence, mark
from crmlab.segments.again import remade
from crmlab.segments.branches import class_rules
from crmlab.segments.models import as_plain
from crmlab.segments.models import named as named_model
from crmlab.segments.nodes import Node, Tree
from crmlab.segments.params import CLASSES, SegmentsSpec
from crmlab.segments.start import EVERYONE, start
from crmlab.segments.tree import add, assign, traits_used

IN_FORCE = "in_force"
WAYS = ("rfm", "value", *CLASSES)
LABELS = {
    IN_FORCE: mark("the tree in force"),
    "rfm": mark("RFM"),
    "value": mark("value tiers"),
    "mixture": mark("mixture"),
    "kmeans": mark("k-means"),
}


class JudgingParams(Params):
    """Which segmentations are compared, and how."""

    candidates: dict[str, SegmentsSpec] | None = None
    """Name → how it is made: compared with the one in force. Default: rfm, value, mixture and kmeans, of the study's
    bands and sizes."""
    outcome_weeks: int = Field(26, ge=1, le=520)
    """Weeks withheld, whose behaviour is to be explained; fewer where less than 13 would remain before them."""
    resamples: int = Field(20, ge=2, le=1000)
    """Resamples of the customers in each of which every segmentation is made anew."""


@dataclass(frozen=True)
class Candidate:
    """A segmentation: what it is called, how it is made, and the trees that this gave.

    Attributes
    ----------
    spec
        How it is made; None where a tree stands as it is, because re-analysis or a person has changed it.
    tree, before
        The tree made of today's traits, and of those at the beginning of the weeks withheld; None where it cannot be.
    why
        Why it cannot be made here; None where it can.
    in_force
        Whether it is the tree that this cycle uses.
    found
        What a search for classes has found.
    """

    key: str
    label: str
    spec: SegmentsSpec | None
    tree: Tree | None
    before: Tree | None = None
    why: Refused | None = None
    in_force: bool = False
    found: tuple[Any, ...] = ()

    def traits(self) -> list[str]:
        """The traits a person must know to say in which segment a customer is."""
        return traits_used(self.tree)

    def modelled(self) -> bool:
        """Whether a fitted model, and not rules alone, says so."""
        return bool(self.tree.models)

    def learnt_from_answers(self) -> bool:
        """Whether branches rest on answers of the past, of which some may be those now explained."""
        return self.spec is None and any(node.evidence for node in self.tree.nodes)


def shown_label(label: str) -> str:
    """What a segmentation is called, in the language in use; a name that the study gives stays as it is."""
    return str(told_label(label))


def told_label(label: str) -> Sentence | str:
    """The same, to stand in a sentence."""
    return Sentence(label) if label in LABELS.values() else label


def candidates(
    spec: SegmentsSpec,
    named: Mapping[str, SegmentsSpec] | None,
    *,
    in_force: Tree | None,
    traits: Traits,
    then: Traits | None,
    seed: int,
    clv: CLVParams | None,
) -> list[Candidate]:
    """The segmentations to compare, each made now and then.

    Parameters
    ----------
    spec
        What the study's segments are made of; its bands, sizes and tiers hold for the others.
    named
        Name → how it is made; by default RFM, value tiers, a mixture and k-means.
    in_force
        The tree of this cycle.
    traits, then
        Traits as of now, and as of the beginning of the weeks withheld.
    seed, clv
        For the models.
    """
    bare = {"within": {}, **({"tree": None, "trees": {}} if hasattr(spec, "trees") else {})}
    if named is None:
        named = {way: spec.model_copy(update={"by": (way,), **bare}) for way in WAYS}
    how, made = {"seed": seed, "clv": clv}, []
    for key, given in named.items():
        label = LABELS.get(key, key)
        sought = next((c for c in made if _sought_together(c.spec, given)), None)
        made.append(_other(sought, key, label, given) if sought else _made(key, label, given, traits, **how))
    if in_force is not None:
        made = _with_in_force(made, in_force, spec, traits, **how)
    return [c if c.tree is None or then is None else _made_before(c, then, **how) for c in made]


def _made(key: str, label: str, spec: SegmentsSpec, traits: Traits, *, seed: int, clv: CLVParams | None) -> Candidate:
    try:
        begun = start(traits, spec, seed=seed, clv=clv)
        return Candidate(key, label, spec, begun.tree, found=begun.found)
    except Refused as refused:
        return Candidate(key, label, spec, None, why=refused)


def _sought_together(one: SegmentsSpec, other: SegmentsSpec) -> bool:
    """Whether both are classes that one search has found, by the mixture and by k-means."""
    alike = one.mixture == other.mixture and not one.within and not other.within
    return one.by[0] in CLASSES and other.by[0] in CLASSES and alike


def _other(sought: Candidate, key: str, label: str, spec: SegmentsSpec) -> Candidate:
    """The segmentation by the other method of a search for classes, which tries both."""
    [found] = sought.found
    model = (found.nearest if spec.by[0] == "kmeans" else found.mixture).model
    if model is None:
        return Candidate(key, label, spec, add(Tree(next_id=1, nodes=()), [Node(id="s1", name=EVERYONE)]))
    rules = class_rules(name := named_model(model), model.classes)
    nodes = [Node(id=f"s{i + 1}", name=called or "?", when=when) for i, (called, when) in enumerate(rules)]
    return Candidate(key, label, spec, add(Tree(next_id=1, nodes=()), nodes, {name: as_plain(model.plain())}))


def _with_in_force(
    made: list[Candidate], in_force: Tree, spec: SegmentsSpec, traits: Traits, *, seed: int, clv: CLVParams | None
) -> list[Candidate]:
    """The list with the tree in force: one that is there already, the study's own made now, or as it stands."""
    if any(c.tree == in_force for c in made):
        return [replace(c, in_force=c.tree == in_force) for c in made]
    made_of = None
    if spec.within or spec.by[0] not in WAYS or getattr(spec, "tree", None) is not None:
        own = _made(IN_FORCE, LABELS[IN_FORCE], spec, traits, seed=seed, clv=clv)
        made_of = spec if own.tree == in_force and getattr(spec, "tree", None) is None else None
    return [Candidate(IN_FORCE, LABELS[IN_FORCE], made_of, in_force, in_force=True), *made]


def _made_before(c: Candidate, then: Traits, *, seed: int, clv: CLVParams | None) -> Candidate:
    try:
        before = remade(c.tree, c.spec, then, f"{c.key} before", seed=seed, clv=clv)
        assign(before, then.table)
    except Refused as refused:
        return replace(c, why=refused)
    return replace(c, before=before)
