"""Where each segment's customers came from since the last cycle, and where those it had went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from crmlab.base.intervals import jeffreys
from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.movement import origin
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import names

NEW, GONE, ELSEWHERE = "new", "gone", "elsewhere"
OTHERS = {NEW: mark("new to the base"), GONE: mark("no longer in the base"), ELSEWHERE: mark("other segments")}
"""What stands for no segment → how it is said."""

LEAST = 0.03
"""Smaller shares are told together."""


@dataclass(frozen=True)
class Flows(Result):
    """One row a segment, direction and other segment.

    table: segment, direction (``from``: of those in it now, where they were; ``to``: of those in it before, where they
    are), other (segment id, ``new``, ``gone`` or ``elsewhere``), other_name, customers, share, low, high (90 %), stayed
    (nobody moved: the segment itself, or the one it was split from).
    """

    table: pd.DataFrame
    basis: Basis

    title: ClassVar[str] = "Where customers came from, and where they went"
    note: ClassVar[str] = "Since the last cycle, with 90 % intervals; moves of few customers stand together."
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "way": ("Direction", "word"),
        "said": ("Other segment", ""),
        "customers": ("Customers", ",.0f"),
        "share": ("Share", ".1%"),
        "low": ("90 % from", ".1%"),
        "high": ("to", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """The table in words."""
        way = self.table["direction"].map({"from": mark("came from"), "to": mark("went to")})
        return self.table.assign(way=way, said=other_words(self.table))

    def sentences(self) -> list[Sentence]:
        """That there is nothing to compare with in a first cycle."""
        return [] if len(self.table) else [Sentence("This is the first cycle: nobody has moved yet.")]


def other_words(rows: pd.DataFrame) -> list[str]:
    """The other segments of some rows in words."""
    pairs = zip(rows["other"], rows["other_name"], strict=True)
    return [say(OTHERS[other]) if other in OTHERS else name for other, name in pairs]


def flows(
    was: pd.Series, now: pd.Series, called: Mapping[str, str], *, tree: Tree | None = None, before: Tree | None = None
) -> Flows:
    """Who came into each segment and who left it, since the last cycle.

    Parameters
    ----------
    was, now
        Segment id of each customer, index customer_id; `was` is empty in a first cycle.
    called
        Segment id → name.
    tree, before
        The trees in force now and in the last cycle: a segment that was split since is the one before of all its
        branches.
    """
    called = (names(before) if before else {}) | dict(called)
    rows = []
    if len(was):
        both = pd.DataFrame({"was": was.astype("str"), "now": now.astype("str")})
        for segment in sorted(set(both["now"].dropna()), key=lambda s: (s[1:].zfill(9), s)):
            earlier = origin(segment, set(was), tree) if tree else segment
            inside = both.loc[both["now"] == segment, "was"].fillna(NEW)
            rows += [(segment, "from", *row) for row in _together(inside, earlier)]
            outside = both.loc[both["was"] == earlier, "now"].fillna(GONE)
            rows += [(segment, "to", *row) for row in _together(outside, segment)]
    table = pd.DataFrame(rows, columns=["segment", "direction", "other", "customers", "of", "stayed"])
    table = table.astype({"customers": "int64", "of": "int64", "stayed": "bool"})
    table["share"] = table["customers"] / table["of"]
    table["low"], table["high"] = jeffreys(table["customers"], table["of"])
    for column, of in (("other_name", "other"), ("name", "segment")):
        table[column] = [called.get(s, s) for s in table[of]]
    order = ["segment", "name", "direction", "other", "other_name", "customers", "share", "low", "high", "stayed"]
    return Flows(table[order], Basis(len(was.index.intersection(now.index)), mark("customers in both cycles")))


def _together(others: pd.Series, stayed: str) -> list[tuple[str, int, int, bool]]:
    """other, customers, of, stayed: the largest first; small moves in one row, never of one to four people alone."""
    counts, n = others.value_counts(), len(others)
    ordered = sorted(counts.index, key=lambda s: (s != stayed, -int(counts[s]), s))
    kept = [s for s in ordered if counts[s] >= max(FEWEST, LEAST * n)]
    rest = n - int(counts[kept].sum())
    while kept and 0 < rest < FEWEST:
        rest += int(counts[kept.pop()])
    rows = [(s, int(counts[s]), n, s == stayed) for s in kept]
    return [*rows, (ELSEWHERE, rest, n, False)] if rest else rows
