"""The tree a study starts from: RFM cells, tiers of value, classes who behave alike, bands of any trait, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Fault, GateFailed, Refused, Result, Sentence, mark, say
from crmlab.segments.branches import Rules, class_rules, cut_points, rfm_rules, tier_rules, trait_rules
from crmlab.segments.models import as_plain, named, with_models
from crmlab.segments.nodes import Node, Tree
from crmlab.segments.params import RFM, SCORES, VALUE, WHOLE, SegmentsParams, SegmentsSpec
from crmlab.segments.tree import add, checked, leaves, meets, traits_used
from crmlab.segments.wording import shown_name
from crmlab.segments.written import from_plain, unknown_trait

if TYPE_CHECKING:
    from crmlab.base.traits import Traits

__all__ = ["SegmentsParams", "Start", "cut_points", "rfm_tree", "start"]

EVERYONE = mark("Everyone")

LEAKS = "was written after the answer, by the answers of the past: leave it out, or bring it in with its date"
"""What is said of a trait that may not part customers."""

WAYS = {RFM: mark("RFM scores"), VALUE: mark("tiers of lifetime value")}
WAYS |= {"mixture": mark("classes of a mixture model"), "kmeans": mark("classes of k-means")}
"""Way to make segments → what a page calls it."""


@dataclass(frozen=True)
class Start(Result):
    """One row a branching: within, by, customers, segments; `tree` is what they make together.

    Attributes
    ----------
    found
        What was sought where classes were: `crmlab.segments.mixture.classes.Classes`, one a branching.
    told
        What is to be said of how the tree came about.
    """

    table: pd.DataFrame
    basis: Basis
    tree: Tree
    found: tuple[Any, ...] = ()
    told: tuple[Sentence, ...] = ()

    title: ClassVar[str] = "How the segments were made"
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "within": ("Within", ""),
        "by": ("By", ""),
        "customers": ("Customers", ",.0f"),
        "segments": ("Segments", ",.0f"),
    }

    def shown(self) -> pd.DataFrame:
        """The table with names in the language in use."""
        within = [shown_name(self.tree, self.tree.node(s)) if s else say(EVERYONE) for s in self.table["within"]]
        by = [say(WAYS[b]) if b in WAYS else b for b in self.table["by"]]
        return self.table.assign(within=within, by=by)

    def sentences(self) -> list[Sentence]:
        """What the tree is, and where nothing was found to part customers by."""
        return list(self.told)

    def _repr_html_(self) -> str:
        own = super()._repr_html_() if len(self.table) else "".join(s._repr_html_() for s in self.told)
        return "\n".join([own, *(one._repr_html_() for one in self.found)])


def start(
    traits: Traits,
    params: SegmentsSpec,
    *,
    seed: int = 0,
    clv: CLVParams | None = None,
    left: Tree | None = None,
    by_hand: Tree | None = None,
) -> Start:
    """The tree of a cycle; its cut points and models are frozen, so the same rules hold for later and new customers.

    Parameters
    ----------
    traits
        Traits as of the cycle; `by` names traits of its catalogue.
    params
        Which segmentation.
    seed
        For what is fitted by chance.
    clv
        How lifetime value is computed, where segments are its tiers.
    left, by_hand
        The tree that the last re-analysis left, and one edited by hand for this cycle: the latter comes first, and
        where there is either nothing is made anew.
    """
    catalogue = traits.catalogue
    basis = Basis(len(traits.table), mark("customers"), end=traits.basis.end)
    made = pd.DataFrame(columns=["within", "by", "customers", "segments"])
    written = getattr(params, "tree", None)
    if by_hand is not None:
        told = Sentence("The tree of this cycle was edited by hand.", tone="warn")
        return Start(made, basis, _without_leaks(checked(by_hand, traits=catalogue), catalogue), told=(told,))
    if left is not None:
        told = Sentence("The tree is the one that the last re-analysis left.")
        return Start(made, basis, left, told=(told, *_leaks_told(left, catalogue)))
    growth = _Growth(traits.table, catalogue, seed, clv or CLVParams())
    if written is not None:
        growth.tree = _without_leaks(from_plain(written, subject="segments.tree", traits=catalogue), catalogue)
        growth.told.append(Sentence("The tree was written by hand."))
        growth.split_further(None, params)
    else:
        growth.grow(None, params)
    tree = checked(growth.tree, traits=catalogue)
    made = pd.DataFrame(growth.made, columns=made.columns).astype({"customers": "int64", "segments": "int64"})
    return Start(made, basis, tree, tuple(growth.found), tuple(growth.told))


def rfm_tree(scores: int) -> Tree:
    """The named cells of RFM as a tree; see `crmlab.segments.branches.rfm_rules`."""
    return checked(_added(Tree(next_id=1, nodes=()), None, rfm_rules(scores)))


@dataclass
class _Growth:
    """A tree that grows: what it is grown from, and what is found and to be said on the way."""

    table: pd.DataFrame
    catalogue: pd.DataFrame
    seed: int
    clv: CLVParams
    tree: Tree = field(default_factory=lambda: Tree(next_id=1, nodes=()))
    made: list[dict[str, Any]] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    told: list[Sentence] = field(default_factory=list)
    value: Any = None

    def grow(self, parent: str | None, spec: SegmentsSpec) -> None:
        """Branch one segment (None: everyone) as `spec` says, and then its branches."""
        here = self._inside(parent)
        if parent is not None and here.sum() < 2 * spec.min_size:
            self._stays(parent, mark("“{name}” is not split further: it has {n:,} customers only."), n=int(here.sum()))
            return
        if spec.by[0] in WHOLE:
            self._branch(parent, spec.by[0], *self._whole(spec, here, parent))
        else:
            refuse_unknown(self.catalogue, spec.by, where="segments.by")
            kinds = dict(zip(self.catalogue["name"], self.catalogue["kind"], strict=True))
            before = self.tree.next_id
            self._nest(parent, here, [(t, kinds[t]) for t in spec.by], spec)
            if parent is not None and self.tree.next_id == before:
                what = mark("“{name}” is not split further: {by} parts no two groups of {n:,} customers or more.")
                self._stays(parent, what, by=spec.by[0], n=spec.min_size)
        if not self.tree.nodes:
            self.tree = _added(self.tree, None, [(EVERYONE, ())])
        self.split_further(parent, spec)

    def split_further(self, parent: str | None, spec: SegmentsSpec) -> None:
        """Split the segments that `spec.within` names."""
        there = {n.name: n.id for n, _ in self.tree.walk(parent)} | {n.id: n.id for n, _ in self.tree.walk(parent)}
        ends = set(leaves(self.tree))
        faults = []
        for name in spec.within:
            if there.get(name) not in ends:
                near = get_close_matches(name, there, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(n for n in there if n)}"
                faults.append(Fault(f"segments.within.{name}", f"no such segment; {hint}"))
        if faults:
            raise Refused("segments", faults)
        for name, inner in spec.within.items():
            self.grow(there[name], inner)

    def _whole(self, spec: SegmentsSpec, here: np.ndarray, parent: str | None) -> tuple[Rules, dict[str, Any]]:
        """The branches of a way that stands alone, and the models they ask for; none where it parts nobody."""
        [way] = spec.by
        if way == RFM:
            refuse_unknown(self.catalogue, SCORES, where="segments.by")
            return rfm_rules(int(max(self.table[list(SCORES)].max().fillna(0).max(), 2))), {}
        if way == VALUE:
            return self._tiers(spec, here, parent)
        return self._classes(spec, here, parent)

    def _classes(self, spec: SegmentsSpec, here: np.ndarray, parent: str | None) -> tuple[Rules, dict[str, Any]]:
        from crmlab.segments.mixture.classes import fit_classes

        refuse_unknown(self.catalogue, spec.mixture.traits or (), where="segments.mixture.traits")
        how = spec.mixture.model_copy(update={"kind": spec.by[0]})
        inside = self.table[here].reset_index(drop=True)
        found = fit_classes(inside, self.catalogue, how, seed=self.seed, name=parent or "everyone")
        self.found.append(found)
        if found.model is None:
            what = mark("No clusters: no classes of customers were found in “{name}” that hold, so it stays whole.")
            self._stays(parent, what)
            return [], {}
        name = named(found.model)
        return class_rules(name, found.model.classes), {name: as_plain(found.model.plain())}

    def _tiers(self, spec: SegmentsSpec, here: np.ndarray, parent: str | None) -> tuple[Rules, dict[str, Any]]:
        from crmlab.segments.tiers import tier_cuts, tier_names, value_model

        try:
            self.value = self.value or value_model(self.table, self.clv, seed=self.seed)
        except GateFailed as failed:
            why = " ".join(fault.what for fault in failed.faults)
            self._stays(parent, mark("“{name}” has no tiers of value: {why}"), why=why)
            return [], {}
        name = named(self.value)
        cuts = tier_cuts(self.value.derived(self.table[here]), spec.tiers, spec.min_size)
        if not cuts:
            self._stays(parent, mark("“{name}” is one tier of value: nothing parts its customers."))
            return [], {}
        return tier_rules(name, cuts, tier_names(len(cuts) + 1)), {name: as_plain(self.value.plain())}

    def _nest(self, parent: str | None, here: np.ndarray, by: list[tuple[str, str]], spec: SegmentsSpec) -> None:
        """Branch by the first trait of `by`, and each branch by the others.

        A segment too small to be cut in two of at least `min_size` is not cut.
        """
        if not by or (parent is not None and here.sum() < 2 * spec.min_size):
            return
        (trait, kind), *rest = by
        rules = trait_rules(trait, kind, self.table.loc[here, trait], spec)
        if parent is not None and len(rules) < 3:  # one branch and the missing: nothing to tell apart
            return
        for child in self._branch(parent, trait, rules, {}):
            self._nest(child, self._inside(child), rest, spec)

    def _branch(self, parent: str | None, by: str, rules: Rules, models: dict[str, Any]) -> list[str]:
        """Put branches below a segment; ids of the new nodes."""
        customers, first = int(self._inside(parent).sum()), self.tree.next_id
        self.tree = _added(self.tree, parent, rules, models)
        segments = max(len(rules), 1)
        self.made.append({"within": parent or "", "by": by, "customers": customers, "segments": segments})
        return [f"s{first + i}" for i in range(len(rules))]

    def _stays(self, parent: str | None, text: str, **values: Any) -> None:
        name = shown_name(self.tree, self.tree.node(parent)) if parent else say(EVERYONE)
        self.told.append(Sentence(text, {"name": name, **values}, "warn"))

    def _inside(self, node_id: str | None) -> np.ndarray:
        """Who is in a node of the tree so far: bool, shape (len(table),)."""
        inside = np.ones(len(self.table), dtype=bool)
        table = with_models(self.tree, self.table) if node_id else self.table
        for node in self.tree.path(node_id) if node_id else []:
            for branch in self.tree.children(node.parent):
                met = inside & meets(branch.when, table)
                if branch.id == node.id:
                    inside = met
                    break
                inside = inside & ~met
        return inside


def _added(tree: Tree, parent: str | None, rules: Rules, models: Mapping[str, dict[str, Any]] | None = None) -> Tree:
    """The tree with branches below `parent`: named as they are, within it, or else by their rule."""
    above = f"{tree.node(parent).name}: " if parent else ""
    nodes = [
        Node(id=f"s{tree.next_id + i}", parent=parent, name=above + name if name else "?", when=when)
        for i, (name, when) in enumerate(rules)
    ]
    return add(tree, nodes, models)


def refuse_unknown(catalogue: pd.DataFrame, wanted: tuple[str, ...], *, where: str) -> None:
    """Refuse traits that do not exist, that are declared sensitive, or written after the answer: all at once."""
    there = list(catalogue["name"])
    faults = [Fault(where, f"'{t}': {unknown_trait(there, t)}") for t in wanted if t not in there]
    sensitive = set(catalogue.loc[catalogue["sensitive"].astype(bool), "name"])
    faults += [
        Fault(where, f"'{t}' is declared sensitive: take it off traits.sensitive or segment by another")
        for t in wanted
        if t in sensitive
    ]
    faults += [Fault(where, f"'{t}' {LEAKS}") for t in wanted if t in _leaking(catalogue)]
    if faults:
        raise Refused("segments", faults)


def _leaking(catalogue: pd.DataFrame) -> set[str]:
    """Traits that were found to be written after the answer; see `crmlab.base.leaks`."""
    return set(catalogue.loc[catalogue["leak"].astype(bool), "name"]) if "leak" in catalogue else set()


def _without_leaks(tree: Tree, catalogue: pd.DataFrame) -> Tree:
    """The tree itself, refused where it reads what was written after the answer."""
    leaks = _leaking(catalogue)
    faults = [Fault(n.id, f"'{c.trait}' {LEAKS}") for n in tree.nodes for c in n.when if c.trait in leaks]
    direct = {c.trait for n in tree.nodes for c in n.when}
    faults += [Fault("models", f"'{t}' {LEAKS}") for t in traits_used(tree) if t in leaks - direct]
    if faults:
        raise Refused("segment tree", faults)
    return tree


def _leaks_told(tree: Tree, catalogue: pd.DataFrame) -> list[Sentence]:
    """What is to be said of a tree of earlier cycles that reads what is now found to be written after the answer."""
    leaks = _leaking(catalogue)
    what = "It parts customers by {trait}, which was written after the answer: edit the tree by hand."
    return [Sentence(what, {"trait": t}, "bad") for t in traits_used(tree) if t in leaks]
