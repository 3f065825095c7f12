"""What a profile card says, computed from its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from crmlab.contract import Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.differences import compared
from crmlab.segments.figures import PERMITS
from crmlab.segments.flows import ELSEWHERE, other_words
from crmlab.segments.mix import level_words

if TYPE_CHECKING:
    from crmlab.segments.cards import Card

LITTLE = 50
"""Customers below which little can be learned of a segment."""

NAMED = 2
"""Levels named each way in a sentence."""

STRENGTH = (
    (0.8, mark("{what} (far above)"), mark("{what} (far below)")),
    (0.5, mark("{what} (clearly above)"), mark("{what} (clearly below)")),
    (0.0, mark("{what} (somewhat above)"), mark("{what} (somewhat below)")),
)
"""From which standardised difference on which words are used [Cohen 1988, section 2.2]."""


def size(card: Card) -> list[Sentence]:
    """How many they are, and what part of the value or the spend is theirs."""
    n, values = int(card.figure("customers")["value"]), {}
    values = {"n": n, "share": card.figure("share")["value"]}
    text = mark("{n:,} customers, {share:.0%} of all.")
    for figure, with_it in (
        ("value_share", mark("{n:,} customers, {share:.0%} of all, with {part:.0%} of the expected lifetime value.")),
        ("spend_share", mark("{n:,} customers, {share:.0%} of all, with {part:.0%} of all spend.")),
    ):
        if (found := card.figure(figure)) is not None:
            text, values = with_it, values | {"part": found["value"]}
            break
    few = [Sentence("The number of customers is rounded to tens.")] if card.rounded else []
    if n < LITTLE:
        few.append(Sentence("Fewer than {few} customers: little can be learned of them.", {"few": LITTLE}, "warn"))
    return [Sentence(text, values), *few]


def who(card: Card) -> list[Sentence]:
    """In what they differ from all customers, the surest first."""
    if card.alone:
        return [Sentence("Every customer is in this segment: there is nobody to compare them with.")]
    rows = card.differences.head(2 * NAMED)
    if rows.empty:
        return [Sentence("But for what defines them, they differ from all customers in nothing that is sure.")]
    told = "; ".join(strength(compared(r.trait, r.level, r.meaning), r.difference) for r in rows.itertuples())
    return [Sentence("Against all customers they differ most in: {told}.", {"told": told})]


def strength(what: str, difference: float) -> str:
    """A difference in words: far, clearly or somewhat above or below."""
    above, below = next((a, b) for limit, a, b in STRENGTH if abs(difference) >= limit)
    return say(above if difference > 0 else below, what=what)


def buys(card: Card) -> list[Sentence]:
    """On what, through which channel and on which days more, and less, than others."""
    return [
        *_against(
            card, "category",
            both=mark("They spend more of their money than others on {more}; less on {less}."),
            more=mark("They spend more of their money than others on {more}."),
            less=mark("They spend less of their money than others on {less}."),
            none=mark("No category stands out: they spend as all do."),
        ),
        *_against(
            card, "channel",
            both=mark("More of their orders than others' come through {more}; fewer through {less}."),
            more=mark("More of their orders than others' come through {more}."),
            less=mark("Fewer of their orders than others' come through {less}."),
            none=mark("No channel stands out: they use those that all use."),
        ),
        *_against(
            card, "weekday",
            both=mark("They buy more than others on {more}; less on {less}."),
            more=mark("They buy more than others on {more}."),
            less=mark("They buy less than others on {less}."),
            none=mark("No weekday stands out: they buy when all do."),
        ),
        *_against(
            card, "month",
            both=mark("They buy more than others in {more}; less in {less}."),
            more=mark("They buy more than others in {more}."),
            less=mark("They buy less than others in {less}."),
            none=mark("No season stands out: they buy when all do."),
        ),
    ]  # fmt: skip


def _against(card: Card, part: str, *, both: str, more: str, less: str, none: str) -> list[Sentence]:
    rows = card.parts.get(part)
    if rows is None or card.alone or len(rows) < 2:
        return []
    sure = rows[rows["sure"]]
    above = sure[sure["lift"] > 1].sort_values(["low", "level"], ascending=[False, True])
    below = sure[sure["lift"] < 1].sort_values(["high", "level"])
    told = {"more": _lifts(part, above), "less": _lifts(part, below)}
    text = {(True, True): both, (True, False): more, (False, True): less, (False, False): none}
    return [Sentence(text[bool(told["more"]), bool(told["less"])], told)]


def _lifts(part: str, rows: pd.DataFrame) -> str:
    said = mark("{what} (×{lift:.2f} [{low:.2f}, {high:.2f}])")
    return ", ".join(
        say(said, what=level_words(part, r.level), lift=r.lift, low=r.low, high=r.high)
        for r in rows.head(NAMED).itertuples()
    )


def worth(card: Card) -> list[Sentence]:
    """What they are worth, and how many are among the most valuable tenth."""
    clv = card.figure("clv")
    if clv is None:
        return []
    q25, q75 = card.figure("clv_q25"), card.figure("clv_q75")
    values = {"q25": q25["value"], "q75": q75["value"], "median": clv["value"], "all": clv["base"]}
    said = [
        Sentence(
            "Half of them are worth between {q25:,.0f} and {q75:,.0f}, the median {median:,.0f}; that of all customers "
            "is {all:,.0f}.",
            values,
        )
    ]
    top = card.tenths[(card.tenths["tenth"] == 10) & (card.tenths["customers"] >= FEWEST)]
    for row in top.itertuples():
        values = {"share": row.share, "low": row.low, "high": row.high}
        if not card.alone:
            said.append(
                Sentence("{share:.0%} [{low:.0%}, {high:.0%}] are among the most valuable tenth of all.", values)
            )
    return said


def risk(card: Card) -> list[Sentence]:
    """Whether they are still there, and overdue more or less often than all."""
    said, values = [], {}
    if (leaving := card.figure("risk")) is not None:
        values = {k: leaving[k] for k in ("value", "low", "high", "base")}
        tone = "warn" if leaving["low"] > leaving["base"] else "plain"
        text = mark("{value:.0%} [{low:.0%}, {high:.0%}] are expected not to buy within the horizon; all: {base:.0%}.")
        said.append(Sentence(text, values, tone))
    elif (alive := card.figure("alive")) is not None:
        values = {k: alive[k] for k in ("value", "low", "high", "base")}
        text = mark("They are still customers with probability {value:.0%} [{low:.0%}, {high:.0%}]; all: {base:.0%}.")
        said.append(Sentence(text, values))
    overdue = card.figure("overdue")
    if overdue is None or card.alone:
        return said
    values = {k: overdue[k] for k in ("value", "low", "high", "base")}
    if overdue["low"] > overdue["base"]:
        text = mark("Of those who can be judged {value:.0%} [{low:.0%}, {high:.0%}] are overdue; of all {base:.0%}.")
        return [*said, Sentence(text, values, "warn")]
    if overdue["high"] < overdue["base"]:
        text = mark("Only {value:.0%} [{low:.0%}, {high:.0%}] are overdue; of all {base:.0%}.")
        return [*said, Sentence(text, values, "good")]
    text = mark("As many are overdue as of all: {value:.0%} [{low:.0%}, {high:.0%}], of all {base:.0%}.")
    return [*said, Sentence(text, values)]


def permission(card: Card) -> list[Sentence]:
    """Through which channels how many may be contacted."""
    rows = card.table[card.table["figure"].str.startswith(PERMITS)]
    if rows.empty:
        return []
    if not (rows["value"] > 0).any():
        return [Sentence("None of them has permitted contact through any channel.", tone="warn")]
    told = ", ".join(
        say("{channel} {share:.0%}", channel=r.figure.removeprefix(PERMITS), share=r.value)
        for r in rows.sort_values(["value", "figure"], ascending=[False, True]).itertuples()
        if not 0 < r.value * card.basis.n < FEWEST - 0.5
    )
    return [Sentence("They permit contact through: {told}.", {"told": told})] if told else []


def tried(card: Card) -> list[Sentence]:
    """How they answered to what was tried, against all in the same campaigns."""
    o = card.overall
    if o is None or o["customers"] < FEWEST:
        return [Sentence("Few of them or none were contacted in a campaign that is over.")] if o is not None else []
    values: Mapping = {k: o[k] for k in ("contacts", "rate", "expected", "ratio", "low", "high")}
    if 0 < o["answers"] < FEWEST:
        return [Sentence("Of {contacts:,} contacts fewer than five were answered.", values)]
    if not o["low"] >= 0:
        return [Sentence("Of {contacts:,} contacts {rate:.1%} were answered.", values)]
    if o["low"] > 1:
        text = mark(
            "Of {contacts:,} contacts {rate:.1%} were answered: {ratio:.1f} times [{low:.1f}, {high:.1f}] as often as "
            "by all customers of the same campaigns."
        )
        return [Sentence(text, values, "good")]
    if o["high"] < 1:
        text = mark(
            "Of {contacts:,} contacts {rate:.1%} were answered: less often than by all customers of the same campaigns "
            "({ratio:.2f} times [{low:.2f}, {high:.2f}])."
        )
        return [Sentence(text, values)]
    text = mark(
        "Of {contacts:,} contacts {rate:.1%} were answered: about as often as by all customers of the same campaigns "
        "({ratio:.2f} times [{low:.2f}, {high:.2f}])."
    )
    return [Sentence(text, values)]


MOVED = {
    "from": (
        mark("{stayed:.0%} of them were here in the last cycle; of the others most: {other} ({share:.0%})."),
        mark("{stayed:.0%} of them were here in the last cycle."),
        mark("None of them was here in the last cycle; most of them: {other} ({share:.0%})."),
    ),
    "to": (
        mark("Of those here in the last cycle {stayed:.0%} stayed; of the others most are now: {other} ({share:.0%})."),
        mark("Of those here in the last cycle {stayed:.0%} stayed."),
        mark("Of those here in the last cycle nobody stayed; most are now: {other} ({share:.0%})."),
    ),
}
"""Direction → what is said where some stayed and others moved, where these are too few to tell, where none stayed."""


def moved(card: Card) -> list[Sentence]:
    """Where they came from since the last cycle, and where those who left went."""
    said = []
    for way, (some, most, none) in MOVED.items():
        rows = card.moves[(card.moves["direction"] == way) & (card.moves["customers"] >= FEWEST)]
        if rows.empty:
            continue
        stayed, others = float(rows.loc[rows["stayed"], "share"].sum()), rows[~rows["stayed"]]
        if others.empty:
            said.append(Sentence(most, {"stayed": stayed}))
            continue
        last = others.assign(last=others["other"] == ELSEWHERE)
        first = last.sort_values(["last", "share", "other"], ascending=[True, False, True]).head(1)
        values = {"stayed": stayed, "other": other_words(first)[0], "share": float(first["share"].iloc[0])}
        said.append(Sentence(some if stayed else none, values))
    return said


ALL: tuple[Callable[[Card], list[Sentence]], ...] = (size, who, buys, worth, risk, permission, tried, moved)
"""What a card says, in this order."""
