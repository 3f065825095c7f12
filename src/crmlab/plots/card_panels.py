"""The panels of a card's picture: each is drawn only where its part is known."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from crmlab.contract import localise, mark, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE
from crmlab.segments.cards import Card
from crmlab.segments.differences import compared
from crmlab.segments.flows import other_words
from crmlab.segments.mix import level_words

LEVELS = 7
"""Categories or channels of a panel."""

CAMPAIGNS = 6
"""Campaigns of a panel: the latest."""

MOVES = 4
"""Other segments named each way."""

SURE, PLAIN, BASE = PALETTE[0], "#9aa5ae", PALETTE[1]


@dataclass(frozen=True)
class Panel:
    """A title, how many lines it needs, and how it is drawn."""

    title: str
    rows: float
    draw: Callable[[Axes], None]


def who(card: Card) -> Panel | None:
    """Standardised differences as a forest."""
    rows = card.differences
    if rows.empty or card.alone:
        return None
    labels = [compared(r.trait, r.level, r.meaning) + "*" * r.defines for r in rows.itertuples()]

    def draw(ax: Axes) -> None:
        _forest(ax, labels, rows["difference"], rows["low"], rows["high"], np.full(len(rows), SURE), at=0.0)
        made = say("standard deviations from all; *: made the segments")
        ax.set_xlabel(made if rows["defines"].any() else say("standard deviations from all customers"))

    return Panel(say("Who they are, against all"), _lines(labels), draw)


def worth(card: Card) -> Panel | None:
    """Share of the segment in each tenth of all customers by value."""
    rows = card.tenths
    if rows.empty or card.alone:
        return None
    shown = rows.assign(share=rows["share"].where((rows["customers"] >= FEWEST) | (rows["customers"] == 0)))

    def draw(ax: Axes) -> None:
        known = shown.dropna(subset=["share"])
        ends = np.abs(known[["low", "high"]].to_numpy().T - known["share"].to_numpy())
        error = {"ecolor": "#444", "elinewidth": 0.8, "capsize": 2}
        ax.bar(known["tenth"], known["share"], yerr=ends, color=SURE, width=0.75, error_kw=error)
        ax.axhline(0.1, color=BASE, linestyle="--", linewidth=1.2)
        ax.set_xticks(range(1, 11))
        ax.set_xlim(0.4, 10.6)
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(lambda v, _: localise(f"{v:.0%}"))
        ax.grid(visible=False, axis="x")
        ax.set_xlabel(say("tenths of all customers by value; dashed: all"))

    return Panel(say("What they are worth"), 5, draw)


def category(card: Card) -> Panel | None:
    """Lifts of categories."""
    return _lifts(card, "category", say("What they buy"), say("spend, times the share of all (sizes in brackets)"))


def channel(card: Card) -> Panel | None:
    """Lifts of channels."""
    unit = say("orders, times the share of all (sizes in brackets)")
    return _lifts(card, "channel", say("Through which channel"), unit)


def weekday(card: Card) -> Panel | None:
    """Shares of purchase days by weekday, beside those of all."""
    return _shares(card, "weekday", say("On which days they buy"))


def month(card: Card) -> Panel | None:
    """Shares of purchase days by month, beside those of all."""
    return _shares(card, "month", say("In which months they buy"))


def answers(card: Card) -> Panel | None:
    """Response rates of the latest campaigns, beside those of all."""
    told = (card.answers["customers"] >= FEWEST) & ~card.answers["responders"].between(1, FEWEST - 1)
    rows = card.answers[told].head(CAMPAIGNS)
    if rows.empty:
        return None
    labels = [f"{r.campaign_id} · {r.arm} · {r.sent:%Y-%m-%d}" for r in rows.itertuples()]

    def draw(ax: Axes) -> None:
        sure = (rows["low"] > rows["base"]) | (rows["high"] < rows["base"])
        _forest(ax, labels, rows["rate"], rows["low"], rows["high"], np.where(sure, SURE, PLAIN))
        ax.plot(rows["base"], np.arange(len(rows)), "|", color=BASE, markersize=11, markeredgewidth=2)
        ax.set_xlim(left=-0.02 * ax.get_xlim()[1])
        ax.xaxis.set_major_formatter(lambda v, _: localise(f"{v:.0%}"))
        ax.set_xlabel(say("answered; orange: all of the campaign"))

    return Panel(say("How they answered"), _lines(labels), draw)


def moves(card: Card) -> Panel | None:
    """Where they came from since the last cycle, and where those who were here went."""
    told = card.moves[(card.moves["customers"] >= FEWEST) & ~card.moves["stayed"]]
    ways = {"from": say("from: {other}"), "to": say("to: {other}")}
    parts = [told[told["direction"] == way].head(MOVES) for way in ways]
    rows = pd.concat(parts)
    if rows.empty:
        return None
    others = other_words(rows)
    labels = [ways[w].replace("{other}", o) for w, o in zip(rows["direction"], others, strict=True)]

    def draw(ax: Axes) -> None:
        colors = rows["direction"].map({"from": PALETTE[2], "to": PALETTE[3]}).to_numpy()
        _forest(ax, labels, rows["share"], rows["low"], rows["high"], colors)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(lambda v, _: localise(f"{v:.0%}"))
        ax.set_xlabel(say("of those here now (from), of those here before (to)"))

    return Panel(say("Who came, and who left"), _lines(labels), draw)


def _lifts(card: Card, part: str, title: str, unit: str) -> Panel | None:
    """Lifts as a forest on a logarithmic axis: the sure ones first, then the largest."""
    rows = card.parts.get(part)
    if rows is None or card.alone or len(rows) < 2 or (len(rows) > 2 * LEVELS and not rows["sure"].any()):
        return None
    rows = rows.dropna(subset=["low"])
    rows = rows.assign(far=np.abs(np.log(rows["lift"])).round(9))
    sure = rows[rows["sure"]].sort_values(["far", "level"], ascending=[False, True]).head(LEVELS)
    others = rows[~rows["level"].isin(sure["level"])].sort_values(["base", "level"], ascending=[False, True])
    rows = pd.concat([sure, others.head(max(LEVELS - len(sure), 0))]).sort_values(["lift", "level"], ascending=False)
    if rows.empty:
        return None
    labels = [
        say("{what} ({share:.1%}; {base:.1%})", what=level_words(part, r.level), share=r.share, base=r.base)
        for r in rows.itertuples()
    ]

    def draw(ax: Axes) -> None:
        ax.set_xscale("log")
        _forest(ax, labels, rows["lift"], rows["low"], rows["high"], np.where(rows["sure"], SURE, PLAIN), at=1.0)
        ax.set_xlabel(unit)
        _times(ax, float(rows["low"].min()), float(rows["high"].max()))

    return Panel(title, _lines(labels), draw)


def _times(ax: Axes, low: float, high: float) -> None:
    """Few readable ticks on an axis of ratios."""
    low, high = max(min(low, 1 / 1.25) / 1.05, 0.04), min(max(high, 1.25) * 1.05, 25.0)
    marks = [t for t in (0.05, 0.1, 0.2, 0.5, 0.8, 1, 1.25, 2, 5, 10, 20) if low <= t <= high]
    if high / low > 6:
        marks = [t for t in marks if t not in (0.8, 1.25)]
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(FixedLocator(marks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda v, _: localise(f"×{v:g}"))


def _shares(card: Card, part: str, title: str) -> Panel | None:
    """Bars of shares beside the shares of all."""
    rows = card.parts.get(part)
    if rows is None or len(rows) < 2:
        return None
    rows = rows.assign(at=rows["level"].astype("int64")).sort_values("at")

    def draw(ax: Axes) -> None:
        ends = np.nan_to_num(
            np.abs(rows[["low", "high"]].to_numpy().T - rows["lift"].to_numpy()) * rows["base"].to_numpy()
        )
        colors = np.where(rows["sure"], SURE, PLAIN)
        error = {"ecolor": "#444", "elinewidth": 0.8, "capsize": 2}
        ax.bar(rows["at"], rows["share"], yerr=ends, color=colors, width=0.7, error_kw=error)
        if not card.alone:
            ax.plot(rows["at"], rows["base"], "_", color=BASE, markersize=16, markeredgewidth=2)
        names = [level_words(part, v) for v in rows["level"]]
        ax.set_xticks(rows["at"], [n[:3] for n in names])
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(lambda v, _: localise(f"{v:.0%}"))
        ax.grid(visible=False, axis="x")
        ax.set_xlabel(say("share of purchase days; orange: all customers"))

    return Panel(title, 5, draw)


def _forest(
    ax: Axes, labels: list[str], middle: pd.Series, low: pd.Series, high: pd.Series, colors: np.ndarray,
    at: float | None = None,
) -> None:  # fmt: skip
    """Points with their intervals, the first on top."""
    place = np.arange(len(labels))
    for y, m, a, b, color in zip(place, middle, low, high, colors, strict=True):
        ax.plot([a, b], [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
        ax.plot([m], [y], "o", color=color, markersize=4.5)
    if at is not None:
        ax.axvline(at, color="#555", linewidth=0.9)
    ax.set_yticks(place, [_label(text) for text in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def _label(text: str) -> str:
    """A label on one or two lines."""
    return textwrap.fill(text, 32, max_lines=2, placeholder="…")


def _lines(labels: list[str]) -> float:
    """Height of a panel in lines: all are as far apart as the tallest label needs."""
    return 1 + len(labels) * (1.4 if any("\n" in _label(text) for text in labels) else 1.0)


PANELS = (who, worth, category, channel, weekday, month, answers, moves)
"""The panels of a card, in this order."""

COLOURS = mark("90 % intervals · blue: sure, grey: may be chance")
"""How the colours of every panel are read."""
