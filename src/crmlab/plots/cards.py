"""Pictures of profile cards: all segments on one line each, and one composed picture a segment."""

import io
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from PIL import Image

from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.card_panels import COLOURS, PANELS, Panel
from crmlab.plots.frame import PALETTE, axes, label, plot
from crmlab.segments.cards import Card, Cards

SHEETS = 20
"""Cards with a picture: those of the largest share of value."""

DPI = 144
COLOURS_KEPT = 48
"""So that a page of twenty cards stays small."""

WIDTH = 8.8
"""Inches of a card's picture."""


@dataclass(frozen=True)
class Sheets:
    """Cards with their pictures, one under the other; each begins a new page when printed."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


@plot
def overview(result: Cards) -> Axes:
    """Size, value and risk of each segment, one line each, by share of value."""
    table = result.table[result.table["customers"] >= FEWEST].head(SHEETS)
    ax = axes("The segments at a glance", result.basis, width=WIDTH, height=1.5 + 0.4 * max(len(table), 1))
    if table.empty:
        ax.set_axis_off()
        ax.alt = Sentence("There is no segment of five customers or more.")
        return ax
    title, figure = ax.get_title(loc="left"), ax.figure
    ax.remove()
    columns = [c for c in ("value_share", "spend_share") if table[c].notna().any()][:1]
    dots = [c for c in ("clv", "overdue") if table[c].notna().any()]
    panels = np.atleast_1d(figure.subplots(1, 1 + len(dots), sharey=True, width_ratios=[1.6, *[1] * len(dots)]))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    place, first = np.arange(len(table)), panels[0]
    first.barh(
        place - 0.19 * len(columns), table["share"], height=0.36, color=PALETTE[7], label=say("share of customers")
    )
    for column in columns:
        words = say("share of value") if column == "value_share" else say("share of spend")
        first.barh(place + 0.19, table[column], height=0.36, color=PALETTE[0], label=words)
    first.set_yticks(place, [label(n) for n in table["name"]])
    first.invert_yaxis()
    first.xaxis.set_major_formatter(lambda v, _: localise(f"{v:.0%}"))
    for ax, column in zip(panels[1:], dots, strict=True):
        ends = np.nan_to_num(np.abs(table[[f"{column}_low", f"{column}_high"]].to_numpy().T - table[column].to_numpy()))
        ax.errorbar(table[column], place, xerr=ends, fmt="o", color=PALETTE[0], capsize=2.5, markersize=4)
        base = result.figures.loc[result.figures["figure"] == column, "base"]
        ax.axvline(float(base.iloc[0]), color=PALETTE[1], linestyle="--", linewidth=1.2, label=say("all customers"))
        ax.set_xlim(left=-0.02 * ax.get_xlim()[1])
        words = {"clv": say("lifetime value (median)"), "overdue": say("overdue")}[column]
        ax.set_title(words, fontsize=8, loc="left")
        spec = ",.0f" if column == "clv" else ".0%"
        ax.xaxis.set_major_formatter(lambda v, _, spec=spec: localise(format(v, spec)))
    named = {}
    for ax in panels:
        named |= {text: handle for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
        ax.grid(visible=False, axis="y")
        ax.tick_params(labelsize=8)
        sns.despine(ax=ax)
    figure.legend(named.values(), named.keys(), frameon=False, fontsize=8, loc="outside upper right", ncols=3)
    top = table.iloc[0]
    first.alt = Sentence(
        "One line for each of {n} segments: share of customers and of value, lifetime value and share overdue where "
        "known. First “{name}” with {share:.0%} of the customers.",
        {"n": len(table), "name": top["name"], "share": top["share"]},
    )
    return first


@plot
def card(result: Card) -> Axes | None:
    """One segment: who they are, what they are worth, what they buy and when, how they answered, how they moved.

    A part of which nothing is known is left out; None where nothing is known at all.
    """
    panels = _panels(result)
    if not panels:
        return None
    rows = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    heights = [0.62 + 0.2 * max(p.rows for p in pair) for pair in rows]
    figure = plt.figure(figsize=(WIDTH, 0.35 + sum(heights)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, hspace=0.02, wspace=0.03)
    grid = figure.add_gridspec(len(rows), 2, height_ratios=heights)
    drawn = []
    for i, pair in enumerate(rows):
        for j, panel in enumerate(pair):
            ax = figure.add_subplot(grid[i, j])
            panel.draw(ax)
            ax.set_title(panel.title, loc="left", fontweight="bold", fontsize=9)
            ax.tick_params(labelsize=7.5)
            ax.xaxis.label.set_size(7.5)
            sns.despine(ax=ax)
            drawn.append(ax)
    figure.supxlabel(f"{result.basis} · {say(COLOURS)}", x=0.01, ha="left", fontsize=7, color="#666")
    drawn[0].alt = Sentence(
        "{n} panels on “{name}”: {titles}. The sentences beside them say what they show.",
        {"n": len(panels), "name": result.name, "titles": "; ".join(p.title for p in panels)},
    )
    return drawn[0]


def _panels(result: Card) -> list[Panel]:
    made: list[Callable[[Card], Panel | None]] = list(PANELS)
    return [panel for make in made if (panel := make(result)) is not None]


@plot
def cards(result: Cards) -> Sheets:
    """Every card with its picture, in the order of the overview; those after the first `SHEETS` without."""
    parts = []
    for place, one in enumerate(result.cards):
        picture = _embedded(card(one)) if place < SHEETS else ""
        parts.append(one.html(picture))
    return Sheets("".join(parts))


def _embedded(ax: Axes | None) -> str:
    """A picture as HTML that holds it, with its alt text."""
    if ax is None:
        return ""
    buffer, (width, height) = io.BytesIO(), ax.figure.get_size_inches() * DPI
    ax.figure.savefig(buffer, format="png", dpi=DPI)
    plt.close(ax.figure)
    few = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(COLOURS_KEPT, dither=Image.Dither.NONE).save(few, "png", optimize=True)
    source = "data:image/png;base64," + b64encode(few.getvalue()).decode()
    size = f'width="{round(width)}" height="{round(height)}"'
    return f'<figure class="picture"><img src="{source}" alt="{escape(str(ax.alt))}" {size}></figure>'
