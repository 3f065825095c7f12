"""A profile card for each segment: who they are, what they buy and when, what they are worth, and what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, localise, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.answered import Answered
from crmlab.segments.card_words import ALL
from crmlab.segments.differences import UNKNOWN, compared
from crmlab.segments.figures import FIGURES, PERMITS
from crmlab.segments.flows import Flows
from crmlab.segments.mix import PARTS, Mixes
from crmlab.segments.nodes import Tree
from crmlab.segments.profile import Profile
from crmlab.segments.tree import rule

TRAITS = 8
"""Differences of a card: the surest."""

WORTH_TELLING = 0.01
"""Categories and channels are told of from this share on, in the segment or among all."""


@dataclass(frozen=True, eq=False)
class Card(Result):
    """One segment.

    Attributes
    ----------
    table
        figure, value, low, high, base: the key figures.
    segment, name, rule
        Its id, its name, and who belongs to it.
    alone
        Every customer is in it: there is nobody to compare with.
    differences
        The surest standardised differences, at most `TRAITS`.
    parts
        ``category``, ``channel``, ``weekday``, ``month`` → level, buyers, share, base, lift, low, high, sure.
    tenths, answers, moves
        Its rows of `figures.tenths`, `Answered.table` and `Flows.table`.
    overall
        Its row of `Answered.overall`; None where nothing was tried on anybody.
    design
        How customers came to be contacted.
    rounded
        The number of customers is to the next ten, because the exact one would tell that of a segment of very few.
    """

    table: pd.DataFrame
    basis: Basis
    segment: str
    name: str
    rule: str
    alone: bool
    differences: pd.DataFrame
    parts: Mapping[str, pd.DataFrame]
    tenths: pd.DataFrame
    answers: pd.DataFrame
    overall: pd.Series | None
    moves: pd.DataFrame
    design: str = ""
    rounded: bool = False

    def figure(self, name: str) -> pd.Series | None:
        """One key figure: value, low, high, base; None where it is not known."""
        rows = self.table[self.table["figure"] == name]
        return None if rows.empty else rows.iloc[0]

    def sentences(self) -> list[Sentence]:
        """What the card's numbers say."""
        return [sentence for say_of in ALL for sentence in say_of(self)]

    def shown(self) -> pd.DataFrame:
        """The key figures as they are read: figure, here, interval, all."""
        rows = []
        for row in self.table.itertuples():
            label, spec = FIGURES.get(row.figure, ("", ".0%"))
            permit = say("Permit {channel}", channel=row.figure.removeprefix(PERMITS))
            few = row.figure.startswith(PERMITS) and 0 < row.value * self.basis.n < FEWEST - 0.5
            interval = "" if np.isnan(row.low) or few else f"[{_told(row.low, spec)}, {_told(row.high, spec)}]"
            here = say("fewer than five") if few else _told(row.value, spec)
            rows.append((say(label) if label else permit, here, interval, _told(row.base, spec)))
        return pd.DataFrame(rows, columns=["figure", "here", "interval", "all"])

    def html(self, picture: str = "") -> str:
        """The card as HTML: name, rule, what its numbers say beside the key figures, and below its picture."""
        heads = (
            ("text", say("Medians and shares")),
            ("number", say("here")),
            ("number", say("90 % interval")),
            ("number", say("all")),
        )
        head = "".join(f'<th class="{kind}">{escape(text)}</th>' for kind, text in heads)
        body = "".join(
            "<tr>"
            + "".join(f'<td class="{k}">{escape(c)}</td>' for (k, _), c in zip(heads, row, strict=True))
            + "</tr>"
            for row in self.shown().itertuples(index=False)
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        said = "".join(sentence._repr_html_() for sentence in self.sentences())
        rests_on = escape(" · ".join(part for part in (self.rule, str(self.basis)) if part))
        return (
            f'<div class="sheet"><h3>{escape(self.name)}</h3><p class="basis">{rests_on}</p>'
            f'<div class="top"><div>{said}</div><div class="scroll">{table}</div></div>{picture}</div>'
        )

    def _repr_html_(self) -> str:
        return self.html()


@dataclass(frozen=True, eq=False)
class Cards(Result):
    """One row a segment, by share of value.

    table: segment, name, customers, share, spend_share, value_share, clv, clv_low, clv_high (median), alive, alive_low,
    alive_high, overdue, overdue_low, overdue_high, and what stands out. `cards` holds one card for each segment of at
    least five customers, in the same order; `figures` all their key figures.
    """

    table: pd.DataFrame
    basis: Basis
    figures: pd.DataFrame
    cards: tuple[Card, ...]
    absent: tuple[Sentence, ...] = field(default=())

    title: ClassVar[str] = "The segments at a glance"
    note: ClassVar[str] = "By share of value. Intervals of 90 %, over customers."
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "customers": ("Customers", ",.0f"),
        "share": ("Share of customers", ".0%"),
        "value_share": ("Share of value", ".0%"),
        "spend_share": ("Share of spend", ".0%"),
        "clv_said": ("Median CLV", ""),
        "overdue_said": ("Overdue", ""),
        "stands_out": ("Differs most in", ""),
    }

    def shown(self) -> pd.DataFrame:
        """The segments that have a card, with the surest difference of each in words; what is not known left out."""
        rows = self.table[self.table["customers"] >= FEWEST].set_index("segment")
        for card in self.cards:
            rows.loc[card.segment, "customers"] = card.basis.n
            first = card.differences.head(1).itertuples()
            said = [compared(r.trait, r.level, r.meaning) + f" ({_told(r.difference, '+.1f')})" for r in first]
            rows.loc[card.segment, "stands_out"] = said[0] if said else None
        for figure, spec in (("clv", ",.0f"), ("overdue", ".0%")):
            ends = rows[[figure, f"{figure}_low", f"{figure}_high"]].to_numpy(dtype="float64")
            rows[f"{figure}_said"] = [
                f"{_told(m, spec)} [{_told(a, spec)}, {_told(b, spec)}]" if np.isfinite(m) else None for m, a, b in ends
            ]
        rows = rows.dropna(axis=1, how="all")
        return rows.drop(columns="spend_share") if "value_share" in rows and "spend_share" in rows else rows

    def card(self, name: str) -> Card:
        """The card of a segment by its name or id."""
        return next(c for c in self.cards if name in (c.name, c.segment))

    def sentences(self) -> list[Sentence]:
        """Where value and risk lie, which segments have no card, and what the data cannot tell."""
        if not len(self.table):
            return [Sentence("There is no customer in any segment.", tone="warn")]
        said, shown = [], self.table[self.table["customers"] >= FEWEST]
        worth = "value_share" if shown["value_share"].notna().any() else "spend_share"
        if len(shown) > 1 and shown[worth].notna().any():
            top = shown.iloc[0]
            values = {"name": top["name"], "share": top["share"], "part": top[worth]}
            if top[worth] >= 1.5 * top["share"]:
                text = mark("“{name}”: {share:.0%} of the customers, {part:.0%} of the value.")
                if worth == "spend_share":
                    text = mark("“{name}”: {share:.0%} of the customers, {part:.0%} of the spend.")
                said.append(Sentence(text, values))
            else:
                said.append(Sentence("No segment holds much more than its share: value is spread evenly.", values))
        overdue = shown.dropna(subset=["overdue"])
        if len(overdue) > 1:
            worst = overdue.iloc[int(overdue["overdue"].round(9).to_numpy().argmax())]
            others = overdue[overdue["segment"] != worst["segment"]]
            if worst["overdue_low"] > others["overdue_high"].max():
                values = {"name": worst["name"], "share": worst["overdue"]}
                said.append(Sentence("Most often overdue: “{name}” ({share:.0%} of them).", values, "warn"))
        few = self.table[self.table["customers"] < FEWEST]
        if len(few):
            values = {"names": ", ".join(few["name"])}
            said.append(Sentence("Too few for a card (fewer than five customers): {names}.", values))
        return [*said, *self.absent]


def cards(
    portrait: Profile,
    key_figures: pd.DataFrame,
    by_tenth: pd.DataFrame,
    *,
    bought: Mixes,
    tried: Answered,
    moved: Flows,
    tree: Tree | None = None,
) -> Cards:
    """A card for each segment of at least five customers, by share of value.

    Parameters
    ----------
    portrait
        Sizes and differences of the segments.
    key_figures, by_tenth
        From `crmlab.segments.figures`.
    bought, tried, moved
        What they buy, how they answered, where they came from and went.
    tree
        The tree in force, for the rules.
    """
    wide = key_figures.pivot_table(index="segment", columns="figure", values=["value", "low", "high"], dropna=False)
    names = portrait.table[["segment", "name"]]
    table = names.assign(customers=portrait.table["customers"], share=portrait.table["share"])
    for figure in ("spend_share", "value_share", "clv", "alive", "overdue"):
        for column, end in (("value", ""), ("low", "_low"), ("high", "_high")):
            if end and figure.endswith("share"):
                continue
            there = (column, figure) in wide
            table[figure + end] = table["segment"].map(wide[column, figure]) if there else np.nan
    worth = table["value_share"].where(table["value_share"].notna(), table["spend_share"])
    order = table.assign(_worth=-worth.fillna(table["share"]).round(9), _id=table["segment"].str[1:].str.zfill(9))
    table = table.loc[order.sort_values(["_worth", "_id"]).index].reset_index(drop=True)
    large = table[table["customers"] >= FEWEST]
    few = table["customers"].sum() - large["customers"].sum()
    smallest = large["customers"].min() if 0 < few < FEWEST else -1
    made = tuple(
        _card(row, portrait, key_figures, by_tenth, bought, tried, moved, tree, rounded=row.customers == smallest)
        for row in large.itertuples()
    )
    absent = (*bought.sentences(), *tried.sentences(), *moved.sentences())
    if not key_figures["figure"].eq("clv").any() and len(table):
        absent = (Sentence("There is no lifetime value: what they are worth is not shown.", tone="warn"), *absent)
    if not key_figures["figure"].str.startswith(PERMITS).any() and len(table):
        absent = (*absent, Sentence("No consent is on record: who may be contacted is not shown."))
    return Cards(table, portrait.basis, key_figures, made, absent)


def _card(row, portrait, key_figures, by_tenth, bought, tried, moved, tree, *, rounded) -> Card:
    segment, n = row.segment, int(row.customers)
    n = max(round(n, -1), 10) if rounded else n

    def of(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["segment"] == segment].reset_index(drop=True)

    known = portrait.differences[portrait.differences["level"] != UNKNOWN]
    parts = {part: bought.of(segment, part) for part in PARTS}
    for part in ("category", "channel"):
        large = parts[part][["share", "base"]].max(axis=1) >= WORTH_TELLING
        parts[part] = parts[part][large]
    overall = tried.overall[tried.overall["segment"] == segment]
    nobody = pd.Series({"customers": 0}) if len(tried.table) else None
    own = {n.id for n in tree.nodes} if tree else set()
    own_figures = of(key_figures)[["figure", "value", "low", "high", "base"]]
    own_figures.loc[own_figures["figure"] == "customers", "value"] = n
    return Card(
        table=own_figures,
        rounded=bool(rounded),
        basis=Basis(n, portrait.basis.what, portrait.basis.start, portrait.basis.end),
        segment=segment,
        name=row.name,
        rule="; ".join(rule(tree, node, portrait.called) for node in tree.path(segment)) if segment in own else "",
        alone=bool(row.customers == portrait.basis.n),
        differences=portrait.largest(segment, TRAITS, differences=known),
        parts={part: rows.reset_index(drop=True) for part, rows in parts.items() if len(rows)},
        tenths=of(by_tenth),
        answers=of(tried.table),
        overall=overall.iloc[0] if len(overall) else nobody,
        moves=of(moved.table),
        design=tried.basis.design,
    )


def _told(value: float, spec: str) -> str:
    return "–" if np.isnan(value) else localise(format(value, spec))
