"""A comparison of segmentations as a result: table, recommendation, and its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Refused, Result, Sentence, localise, mark, say
from crmlab.contract.result import FEWEST, frame_html
from crmlab.segments.candidates import shown_label, told_label
from crmlab.segments.explained import WORTH, Explained, in_points, interval
from crmlab.segments.future import OUTCOMES, RESPONSE
from crmlab.segments.stability import Stability

SURE = 0.8
"""Probability from which a customer surely belongs to a segment."""

USE, LEVEL, LESS, NOTHING, DISSOLVES, ONE, UNTRIED = (
    mark("use this"),
    mark("not clearly worse, less simple"),
    mark("explains less"),
    mark("explains nothing worth having"),
    mark("has a segment that dissolves"),
    mark("one segment only"),
    mark("cannot be tried on the past"),
)


@dataclass(frozen=True)
class Comparison(Result):
    """One row a segmentation, in the order compared.

    Attributes
    ----------
    table
        candidate, label, in_force, segments, smallest (customers of the smallest that is not empty), traits (that a
        person must know), modelled (whether a fitted model says who belongs where), sure (share of customers in their
        segment with probability .8 or more), reach, reach_name (share that may be contacted of the least reachable
        segment of at least five customers), dissolved (segments), weakest (least mean Jaccard), ari, ari_low, ari_high
        (over resamples), share, low, high (of the headline outcome explained), verdict.
    explained, stability
        What each explains of later behaviour; whether its segments come again.
    weeks, wanted
        Weeks withheld, and those asked for.
    left_out
        (label, refusal) of segmentations that cannot be made of this base's traits.
    learnt
        Labels of trees some of whose branches rest on past answers.
    reachable
        Share of all customers that may be contacted.
    """

    table: pd.DataFrame
    basis: Basis
    explained: Explained
    stability: Stability
    weeks: int = 0
    wanted: int = 0
    left_out: tuple[tuple[str, Refused], ...] = field(default=())
    learnt: tuple[str, ...] = ()
    reachable: float = float("nan")

    title: ClassVar[str] = "Segmentations side by side"
    note: ClassVar[str] = (
        "Used is the simplest segmentation that explains what customers do next not clearly worse than the best, and "
        "none of whose segments dissolves in resamples. Simpler is what rules alone say, then what asks for fewer "
        "traits, then what has fewer segments. Below one per cent explained, no segmentation is worth having."
    )
    people: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "label": ("Segmentation", ""),
        "verdict": ("Verdict", "word"),
        "explained": ("Explained, 90 % interval", ""),
        "weakest": ("Weakest segment (Jaccard)", ".2f"),
        "sizes": ("Segments (smallest)", ""),
        "known": ("Traits to know", ""),
        "sure": ("Surely placed", ".0%"),
        "reach": ("Reachable, where fewest", ".0%"),
    }

    def shown(self) -> pd.DataFrame:
        """The table in the language in use."""
        t = self.table
        labels, several = [shown_label(label) for label in t["label"]], t["segments"] > 1
        shares = t[["share", "low", "high"]].clip(lower=0.0).where(several)
        words = {
            "label": [
                say("{label} (in force)", label=label) if there else label
                for label, there in zip(labels, t["in_force"], strict=True)
            ],
            "explained": [interval(*row) for row in shares.itertuples(index=False)],
            "sizes": [_sizes(*row) for row in t[["segments", "smallest"]].itertuples(index=False)],
            "known": [
                None if not n else say("{n} and a model", n=n) if modelled else say("{n}, by rules", n=n)
                for n, modelled in zip(t["traits"], t["modelled"], strict=True)
            ],
        }
        return t.assign(**words, weakest=t["weakest"].where(several))

    def recommended(self) -> str | None:
        """The key of the segmentation to use; None where none is worth having."""
        found = self.table.loc[self.table["verdict"] == USE, "candidate"]
        return found.iloc[0] if len(found) else None

    def row(self, candidate: str) -> dict[str, Any]:
        """The row of a segmentation."""
        return self.table[self.table["candidate"] == candidate].iloc[0].to_dict()

    def _repr_html_(self) -> str:
        """As every result, but what to use stands above the table."""
        said, shown = [s._repr_html_() for s in self.sentences()], self.shown()
        first = len(self._advice())
        parts = [f"<h4>{escape(say(self.title))}</h4>", *said[:first]]
        if len(shown):
            parts.append(frame_html(shown, self.columns, people=self.people))
        parts.append(f'<p class="basis">{escape(str(self.basis))}</p>')
        if len(shown):
            parts.append(f'<p class="note">{escape(say(self.note))}</p>')
        return f'<div class="result">{"".join([*parts, *said[first:]])}</div>'

    def sentences(self) -> list[Sentence]:
        """What to use and why; what dissolves, what is one segment only, what could not be made; what is reachable."""
        return [*self._advice(), *self._past(), *self._others(), *self._response(), *self._reach()]

    def _advice(self) -> list[Sentence]:
        outcome, key = self.explained.headline_outcome(), self.recommended()
        if outcome is None:
            text = "No segmentation can be recommended: nothing that customers did later tells them apart."
            return [Sentence(text, tone="warn")]
        if key is None:
            return [self._none(outcome)]
        own, best = self.row(key), self.row(_best(self.table[_holds(self.table)]))
        values = _figures(own) | {"outcome": Sentence(OUTCOMES[outcome]), "weeks": self.weeks}
        values |= {"traits": own["traits"], "segments": own["segments"]}
        if key == best["candidate"]:
            text = (
                "Use “{label}”: of the segmentations none of whose segments dissolves it explains most of what "
                "customers did in the {weeks} weeks withheld ({outcome}: {share:.1%} [{low:.1%}, {high:.1%}]), and no "
                "simpler one does about as well. Traits to know: {traits}, segments: {segments}."
            )
        else:
            less, low, high = self.explained.less(outcome, key, best["candidate"])
            values |= {"best": told_label(best["label"]), "most": best["share"]}
            values |= in_points(less=less, less_low=low, less_high=high)
            text = (
                "Use “{label}”: it is the simplest (traits to know: {traits}, segments: {segments}) none of whose "
                "segments dissolves and that is not clearly worse than the best. It explains {share:.1%} [{low:.1%}, "
                "{high:.1%}] of what customers did in the {weeks} weeks withheld ({outcome}); “{best}” explains "
                "{most:.1%}, which is {less:.1f} points [{less_low:.1f}, {less_high:.1f}] more."
            )
        return [Sentence(text, values, "good"), *self._against_force(outcome, own)]

    def _none(self, outcome: str) -> Sentence:
        holding = self.table[_holds(self.table) & self.table["share"].notna()]
        if holding.empty:
            text = "No segmentation holds: each has a segment that a resample dissolves, or is one segment only."
            return Sentence(text, tone="bad")
        best = self.row(_best(holding))
        values = _figures(best) | {"outcome": Sentence(OUTCOMES[outcome]), "weeks": self.weeks}
        text = (
            "None of these segmentations is worth having: the best that holds, “{label}”, explains {share:.1%} "
            "[{low:.1%}, {high:.1%}] of what customers did in the {weeks} weeks withheld ({outcome}). Treat everybody "
            "alike, or look for other traits."
        )
        return Sentence(text, values, "bad")

    def _against_force(self, outcome: str, own: dict[str, Any]) -> list[Sentence]:
        """What the segmentation in force does, where another is recommended."""
        force = self.table[self.table["in_force"].astype(bool) & self.table["share"].notna()]
        if own["in_force"]:
            return [Sentence("It is the one in force.", tone="good")]
        if force.empty:
            return []
        force = force.iloc[0].to_dict()
        less, low, high = self.explained.less(outcome, force["candidate"], own["candidate"])
        values = {"force": told_label(force["label"]), **in_points(less=abs(less), low=low, high=high)}
        if low > 0:
            text = (
                "That is more than what is in force, “{force}”, explains, by {less:.1f} points [{low:.1f}, {high:.1f}]."
            )
            return [Sentence(text, values)]
        if high < 0:
            values |= in_points(low=-high, high=-low)
            text = (
                "What is in force, “{force}”, explains {less:.1f} points [{low:.1f}, {high:.1f}] more, but does not "
                "hold."
            )
            return [Sentence(text, values, "warn")]
        text = "What is in force, “{force}”, explains about as much: changing is a matter of simplicity, not of need."
        return [Sentence(text, values)]

    def _past(self) -> list[Sentence]:
        """How many weeks were withheld, where fewer than asked for."""
        if self.weeks >= self.wanted:
            return []
        values = {"weeks": self.weeks, "wanted": self.wanted}
        text = "{weeks} weeks were withheld, not {wanted}: the data begin too late for more."
        return [Sentence(text, values, "warn")]

    def _others(self) -> list[Sentence]:
        told = []
        for row in self.table.to_dict("records"):
            label = told_label(row["label"])
            names = self.stability.dissolved(row["candidate"])
            if names:
                values = {"label": label, "names": ", ".join(names)}
                text = "“{label}”: {names}: no segments, for a resample of the customers dissolves them."
                told.append(Sentence(text, values, "warn"))
            if row["segments"] == 1:
                text = "“{label}” finds nothing that parts the customers: everybody is in one segment."
                told.append(Sentence(text, {"label": label}))
        for label, why in self.left_out:
            values = {"label": told_label(label), "why": "; ".join(f.what for f in why.faults)}
            told.append(Sentence("“{label}” cannot be made here: {why}", values))
        for label in self.learnt:
            text = (
                "“{label}” has branches that were found in past answers, some of which are among those explained here: "
                "its figures flatter it."
            )
            told.append(Sentence(text, {"label": told_label(label)}, "warn"))
        return told

    def _response(self) -> list[Sentence]:
        """Where what is recommended tells clearly less of who answers than another that holds."""
        key, rows = self.recommended(), self.explained.table
        rows = rows[(rows["outcome"] == RESPONSE) & rows["share"].notna()]
        if key is None or self.explained.headline_outcome() == RESPONSE or key not in set(rows["candidate"]):
            return []
        holding = rows[rows["candidate"].isin(self.table.loc[_holds(self.table), "candidate"])]
        best = self.row(_best(holding))
        less, low, high = self.explained.less(RESPONSE, key, best["candidate"])
        values = {"best": told_label(best["label"]), **in_points(less=less, low=low, high=high)}
        own = rows[rows["candidate"] == best["candidate"]].iloc[0]
        if not own["low"] > WORTH:
            values |= {"n": own["customers"], "share": max(own["share"], 0.0), "low": max(own["low"], 0.0)}
            values |= {"high": max(own["high"], 0.0)}
            text = (
                "Who answers contacts is told by none that holds: of {n:,} customers contacted in the weeks withheld, "
                "the best, “{best}”, explains {share:.1%} [{low:.1%}, {high:.1%}]."
            )
            return [Sentence(text, values)]
        if not low > 0:
            text = "For who answers contacts, too, no other that holds is clearly better."
            return [Sentence(text, values)]
        text = "Who answers contacts is told better by “{best}”, by {less:.1f} points [{low:.1f}, {high:.1f}]."
        return [Sentence(text, values, "warn")]

    def _reach(self) -> list[Sentence]:
        key = self.recommended()
        row = self.row(key) if key else {}
        if np.isnan(self.reachable) or not row or np.isnan(row["reach"]):
            return []
        values = {"all": self.reachable, "reach": row["reach"], "name": row["reach_name"]}
        if row["reach"] < self.reachable / 2:
            text = "Few of “{name}” may be contacted: {reach:.0%}, of all customers {all:.0%}."
            return [Sentence(text, values, "warn")]
        if row["reach"] == 1:
            return [Sentence("All customers of all its segments may be contacted.")]
        text = "In each of its segments customers may be contacted: {reach:.0%} or more (of all {all:.0%})."
        return [Sentence(text, values)]


def _sizes(segments: int, smallest: int) -> str:
    least = localise(f"{smallest:,.0f}") if smallest >= FEWEST else f"< {FEWEST}"
    return f"{segments} ({least})" if smallest else f"{segments}"


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    shares = {c: max(row[c], 0.0) for c in ("share", "low", "high")}
    return {"label": told_label(row["label"]), **shares}


def _holds(table: pd.DataFrame) -> pd.Series:
    return (table["dissolved"] == 0) & (table["segments"] > 1)


def _best(rows: pd.DataFrame) -> str:
    """The key of the row that explains most; of two alike the first."""
    return rows.loc[rows["share"].round(9).idxmax(), "candidate"]


def verdicts(table: pd.DataFrame, told: Explained) -> list[str]:
    """What is to be said of each segmentation: one is used, the others are not, each for a reason.

    Parameters
    ----------
    table
        Columns of `Comparison.table` but the verdict.
    told
        What each explains.
    """
    outcome = told.headline_outcome()
    words = dict(zip(table["candidate"], _flaws(table), strict=True))
    sound = table[[words[c] is None for c in table["candidate"]]]
    if not sound.empty and outcome is not None:
        best = _best(sound)
        order = sound.assign(_place=range(len(sound))).sort_values(["modelled", "traits", "segments", "_place"])
        level = [c for c in order["candidate"] if not told.less(outcome, c, best)[1] > 0]
        words |= dict.fromkeys(order["candidate"], LESS) | dict.fromkeys(level, LEVEL)
        worth = sound.set_index("candidate")["low"] > WORTH
        words |= dict.fromkeys(worth.index[~worth], NOTHING)
        if worth[best]:
            words[next(c for c in level if worth[c])] = USE
    return [words[c] for c in table["candidate"]]


def _flaws(table: pd.DataFrame) -> list[str | None]:
    """Why a segmentation is out of the question, whatever it explains."""
    rows = zip(table["segments"], table["dissolved"], table["share"], strict=True)
    return [ONE if n == 1 else DISSOLVES if out else UNTRIED if np.isnan(share) else None for n, out, share in rows]
