"""Splits that were found and what the other half said: the table, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.segments.tree import Condition, Tree


@dataclass(frozen=True)
class Refinement(Result):
    """Splits that were found, what the other half said, and the tree that follows.

    table
        segment, name, trait, rule, n_find, p_find, difference_find, n_confirm, difference, low, high, p, q, confirmed,
        artefact, adopted: one row a proposal. p is one-sided in the direction found; q is p over the proposals
        [Benjamini & Hochberg 1995], artefacts apart.
    tree
        The tree before, and the splits adopted.
    rules
        The condition of each row.
    looked
        Segments with enough contacted customers to look for a split.
    """

    table: pd.DataFrame
    basis: Basis
    tree: Tree
    rules: tuple[Condition, ...]
    looked: int
    kind: str

    title: ClassVar[str] = mark("Splits found on one half of the customers, and what the other half says")
    note: ClassVar[str] = mark(
        "The rule was chosen on the finding half, so its difference there is flattering; the difference on the other "
        "half, with its interval, is the one to believe. p is one-sided, adjusted over proposals."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": (mark("segment"), ""),
        "rule": (mark("split by"), ""),
        "n_find": (mark("customers, finding half"), ",.0f"),
        "p_find": (mark("p, finding half"), ".2g"),
        "difference_find": (mark("difference, finding half"), "+.3f"),
        "n_confirm": (mark("customers, other half"), ",.0f"),
        "difference": (mark("difference, other half"), "+.3f"),
        "low": (mark("low"), "+.3f"),
        "high": (mark("high"), "+.3f"),
        "q": (mark("p, other half"), ".2g"),
        "decision": (mark("decision"), "word"),
    }
    people: ClassVar[tuple[str, ...]] = ("n_find", "n_confirm")

    def shown(self) -> pd.DataFrame:
        """The table, rules in the reader's language, with the decision in words."""
        decision = np.select(
            [self.table["adopted"], self.table["artefact"]],
            [mark("adopted"), mark("artefact of data collection")],
            default=mark("not confirmed"),
        )
        rules = pd.Series([r.words() for r in self.rules], index=self.table.index, dtype=object)
        return self.table.assign(rule=rules, decision=decision)

    def sentences(self) -> list[Sentence]:
        """What was adopted, what was not, and what is an artefact."""
        if not self.looked:
            return [Sentence("No segment had enough contacted customers, or traits, to look for a split.", {}, "warn")]
        told = []
        for row in self.shown().itertuples(index=False):
            values = {"name": row.name, "rule": row.rule, "difference": 100 * row.difference, "p": row.q}
            values |= {"low": 100 * row.low, "high": 100 * row.high}
            if row.adopted:
                text = mark(
                    "{name} is split by {rule}: a difference of {difference:+.1f} points [{low:+.1f}, {high:+.1f}] on "
                    "the half that did not choose it (p = {p:.2g})."
                )
                told.append(Sentence(text, values, "good"))
            elif row.artefact and row.confirmed:
                text = mark(
                    "{name} also splits by {rule} ({difference:+.1f} points). That says whose data was collected, not "
                    "what people are like: an artefact of data collection, not adopted."
                )
                told.append(Sentence(text, values, "warn"))
            elif row.artefact:
                text = mark(
                    "{name} seemed to split by {rule}: an artefact of data collection, and not confirmed either."
                )
                told.append(Sentence(text, values))
            else:
                text = mark(
                    "{name} seemed to split by {rule}, but the other half does not confirm it: {difference:+.1f} "
                    "points [{low:+.1f}, {high:+.1f}] (p = {p:.2g})."
                )
                told.append(Sentence(text, values))
        if not self.table["adopted"].any():
            if self.table.empty:
                text = mark("No trait stood out in any of the {n} segments looked at: the segments stay as they are.")
            else:
                text = mark("Nothing was adopted in the {n} segments looked at: the segments stay as they are.")
            told.append(Sentence(text, {"n": self.looked}))
        return told
