"""The tree in force, and what changed in it since the last cycle and why: as tables one can read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.segments.nodes import Node, Tree
from crmlab.segments.tree import changes, leaves, members
from crmlab.segments.wording import in_english, rule, shown_name

MOST = 0.8
"""Share of the customers above which one segment leaves little to tell apart."""

REANALYSIS, BY_HAND = mark("re-analysis"), mark("by hand")
"""Where a change of the tree comes from."""


@dataclass(frozen=True)
class TreeInForce(Result):
    """One row a node, parents before their children: segment, parent, depth, name, rule, is_segment, customers."""

    table: pd.DataFrame
    basis: Basis
    tree: Tree

    title: ClassVar[str] = "The segment tree in force"
    note: ClassVar[str] = (
        "Read from the top: a customer belongs to the first branch whose rule is met, then to the first of its "
        "branches, and so on. Rows without a dot are split further."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "segment": ("Id", ""),
        "name": ("Segment", ""),
        "rule": ("Rule", ""),
        "customers": ("Customers", ",.0f"),
        "parent": ("Within", ""),
        "evidence": ("Evidence", ""),
    }

    def shown(self) -> pd.DataFrame:
        """The table with names, rules and evidence in the language in use, children set in."""
        nodes = [self.tree.node(s) for s in self.table["segment"]]
        inset = ["\u2003" * d + ("• " if leaf else "") for d, leaf in self.table[["depth", "is_segment"]].to_numpy()]
        return self.table.assign(
            name=[space + shown_name(self.tree, n) for space, n in zip(inset, nodes, strict=True)],
            rule=[rule(self.tree, n) for n in nodes],
            evidence=[evidence_words(n) or None for n in nodes],
        )

    def sentences(self) -> list[Sentence]:
        """How many segments there are, and those in which nobody is."""
        segments = self.table[self.table["is_segment"]]
        told = [Sentence("The tree has {n} segments.", {"n": len(segments)})]
        if len(segments) == 1:
            told = [Sentence("The tree has one segment only: everybody is treated alike.", tone="warn")]
        top = segments.loc[segments["customers"].idxmax()]
        if len(segments) > 1 and top["customers"] > MOST * max(self.basis.n, 1):
            values = {
                "name": shown_name(self.tree, self.tree.node(top["segment"])),
                "share": top["customers"] / self.basis.n,
            }
            told.append(
                Sentence("“{name}” holds {share:.0%} of the customers: this tree tells few apart.", values, "warn")
            )
        empty = [shown_name(self.tree, self.tree.node(s)) for s in segments.loc[segments["customers"] == 0, "segment"]]
        if empty:
            told.append(Sentence("In these segments there is nobody now: {names}.", {"names": ", ".join(empty)}))
        return told


def tree_table(tree: Tree, membership: pd.Series) -> TreeInForce:
    """The tree in force with the customers of each node.

    Parameters
    ----------
    tree
        The tree.
    membership
        Segment id of each customer, as `assign` gives it.
    """
    counts, ends = members(tree, membership), set(leaves(tree))
    rows = [
        {
            "segment": node.id,
            "parent": node.parent,
            "depth": depth,
            "name": node.name,
            "rule": in_english(lambda node=node: rule(tree, node)),
            "is_segment": node.id in ends,
            "customers": int(counts[node.id]),
            "evidence": in_english(lambda node=node: evidence_words(node)),
        }
        for node, depth in tree.walk()
    ]
    table = pd.DataFrame(rows).astype({"parent": "str"})
    return TreeInForce(table=table, basis=Basis(n=len(membership), what=mark("customers")), tree=tree)


@dataclass(frozen=True)
class TreeChanges(Result):
    """One row a difference between two trees: change, origin, segment, name, parent, rule, evidence.

    `origin` is ``re-analysis`` or ``by hand``; `left` is the tree between the two, as the re-analysis left it.
    """

    table: pd.DataFrame
    basis: Basis
    old: Tree | None
    new: Tree
    left: Tree | None = None

    title: ClassVar[str] = "What changed in the segment tree, and why"
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "change": ("Change", "word"),
        "origin": ("By", "word"),
        "segment": ("Id", ""),
        "name": ("Segment", ""),
        "parent": ("Within", ""),
        "rule": ("Rule", ""),
        "evidence": ("Evidence", ""),
    }

    def shown(self) -> pd.DataFrame:
        """The table with names, rules and evidence in the language in use."""
        rows = []
        for row in self.table.to_dict("records"):
            before, after = self._step(row["origin"])
            tree = after if row["change"] != "removed" else before
            node = tree.node(row["segment"])
            parent = shown_name(tree, tree.node(node.parent)) if node.parent else None
            said = {"name": shown_name(tree, node), "rule": rule(tree, node), "evidence": evidence_words(node) or None}
            rows.append(row | said | {"parent": parent})
        return pd.DataFrame(rows, columns=self.table.columns)

    def sentences(self) -> list[Sentence]:
        """Whether the tree is the first, unchanged, grown by splits, or changed by hand."""
        if self.old is None:
            return [Sentence("This is the first tree: no earlier cycle has changed it.")]
        before, after = self._step(REANALYSIS)
        added = self.table[(self.table["change"] == "added") & (self.table["origin"] == REANALYSIS)]
        split_ones = sorted(set(added["parent"]) & {n.id for n in before.nodes}, key=lambda s: int(s[1:]))
        told: list[Sentence] = []
        if split_ones:
            names = ", ".join(shown_name(before, before.node(s)) for s in split_ones)
            values = {"n": len(split_ones), "names": names, "now": len(leaves(after)), "was": len(leaves(before))}
            what = "Split: {names}. There are {now} segments now; there were {was}."
            if self.other:
                what = "Split: {names}. The re-analysis made {now} segments of {was}."
            told.append(Sentence(what, values, "good"))
        elif not self.other:
            told.append(Sentence("No split was confirmed: the tree is unchanged."))
        elif self.left is not None:
            told.append(Sentence("No split was confirmed."))
        if self.other:
            told.append(Sentence("The tree was also changed by hand, as follows.", tone="warn"))
            told.extend(self.other)
        return told

    @property
    def other(self) -> list[Sentence]:
        """The differences that no re-analysis made, a sentence each."""
        if self.old is None:
            return []
        told = changes(*self._step(BY_HAND))
        if self.left is not None:
            return told
        grown = set(self.table.loc[self.table["origin"] == REANALYSIS, "segment"])
        said = [(s, dict(s.values)) for s in told]
        return [s for s, values in said if {"id", "ids"} & values.keys() and values.get("id") not in grown]

    def _step(self, origin: str) -> tuple[Tree, Tree]:
        """The trees before and after what the re-analysis did, or what was then done by hand."""
        if self.left is None:
            return self.old, self.new
        return (self.old, self.left) if origin == REANALYSIS else (self.left, self.new)


def changes_table(old: Tree | None, new: Tree, *, left: Tree | None = None) -> TreeChanges:
    """What differs between the last cycle's tree and this one's, with the evidence for it, and who changed it.

    Parameters
    ----------
    old
        The tree before; None in a first cycle, whose table is empty.
    new
        The tree after.
    left
        The tree that the re-analysis left: what differs from it was changed by hand. Where it is not at hand, a new
        node below an old one is taken for a split, and everything else for a change by hand.
    """
    rows: list[dict[str, Any]] = []
    if old is not None and left is None:
        rows = [
            row | {"origin": REANALYSIS if row["change"] == "added" and row["parent"] else BY_HAND}
            for row in _differences(old, new)
        ]
    elif old is not None:
        steps = ((old, left, REANALYSIS), (left, new, BY_HAND))
        rows = [row | {"origin": origin} for one, other, origin in steps for row in _differences(one, other)]
    columns = ["change", "origin", "segment", "name", "parent", "rule", "evidence"]
    table = pd.DataFrame(rows, columns=columns).astype("str")
    return TreeChanges(table, Basis(n=len(leaves(new)), what=mark("segments")), old, new, left)


def _differences(old: Tree, new: Tree) -> list[dict[str, Any]]:
    before, after = {n.id: n for n in old.nodes}, {n.id: n for n in new.nodes}
    rows = [_row(new, node, _kind(before.get(node.id), node)) for node in new.nodes]
    rows += [_row(old, node, mark("removed")) for node in old.nodes if node.id not in after]
    return [row for row in rows if row["change"]]


def _kind(was: Node | None, now: Node) -> str:
    if was is None:
        return mark("added")
    if was.when != now.when or was.parent != now.parent:
        return mark("other rule")
    if was.name != now.name:
        return mark("other name")
    return mark("other evidence") if was.evidence != now.evidence else ""


def _row(tree: Tree, node: Node, change: str) -> dict[str, Any]:
    return {
        "change": change,
        "segment": node.id,
        "name": node.name,
        "parent": node.parent,
        "rule": in_english(lambda: rule(tree, node)),
        "evidence": in_english(lambda: evidence_words(node)),
    }


def evidence_words(node: Node) -> str:
    """The evidence of a node on one line; a confirmed difference is said with its interval and its p-value."""
    evidence = dict(node.evidence or {})
    numbers = {k for k, v in evidence.items() if isinstance(v, int | float)} | {"cycle"}
    if not evidence:
        return ""
    parts = []
    if {"difference", "low", "high"} <= numbers:
        values = {k: evidence.pop(k) for k in ("difference", "low", "high")}
        parts.append(say("difference {difference:+.3f} [{low:+.3f}, {high:+.3f}]", **values))
    phrases = {
        "n_confirm": lambda n: say("among {n:,} who confirm", n=n),
        "p_confirm": lambda p: say("p = {p:.2g} on the confirming half", p=p),
        "q": lambda q: say("q = {q:.2g} over all proposals", q=q),
        "difference_find": lambda d: say("found at {d:+.3f}", d=d),
        "n_find": lambda n: say("among {n:,} who find", n=n),
        "p_find": lambda p: say("found with p = {p:.2g}", p=p),
        "cycle": lambda cycle: say("cycle {cycle}", cycle=cycle),
    }
    parts += [phrase(evidence.pop(key)) for key, phrase in phrases.items() if key in evidence and key in numbers]
    if evidence.get("kind") in ("level", "effect"):
        level = evidence.pop("kind") == "level"
        parts.insert(0, say("of the level") if level else say("of the effect"))
    parts += [say("{key}: {value}", key=key, value=value) for key, value in evidence.items()]
    return " · ".join(parts)
