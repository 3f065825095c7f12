"""Pictures of segmentations held against each other: what each explains, and whether its segments come again."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crmlab.contract import Sentence
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot
from crmlab.segments.candidates import shown_label, told_label
from crmlab.segments.explained import SHOWN, Explained
from crmlab.segments.future import OUTCOMES
from crmlab.segments.stability import DISSOLVED, STABLE, Stability

MOST_SEGMENTS = 40
"""Segments of a picture, the weakest first of each segmentation."""


@plot
def explained(result: Explained) -> Axes:
    """Share of each outcome's variance that each segmentation explains, with its interval: a panel an outcome."""
    rows = result.table[result.table["share"].notna()]
    rows = rows[rows["segments"] > 1] if (rows["segments"] > 1).any() else rows
    there = [o for o in SHOWN if o in set(rows["outcome"])]
    keys = list(dict.fromkeys(rows["candidate"]))
    height = 1.7 + 0.36 * len(keys)
    ax = axes("What each segmentation explains of later behaviour", result.basis, width=8.4, height=height)
    if not there:
        ax.set_axis_off()
        return finish(ax, alt=Sentence("There is nothing later that a segmentation could explain."))
    ax.figure.suptitle(ax.get_title(loc="left"), x=0.01, ha="left", fontweight="bold", fontsize=11)
    ax.set_title("", loc="left")
    called = rows.drop_duplicates("candidate").set_index("candidate")["label"]
    grid = ax.figure.add_gridspec(1, len(there))
    ax.set_subplotspec(grid[0])
    panels = [ax, *(ax.figure.add_subplot(grid[0, i], sharey=ax) for i in range(1, len(there)))]
    for panel, outcome in zip(panels, there, strict=True):
        part = rows[rows["outcome"] == outcome].set_index("candidate").reindex(keys)
        _points(panel, part, {0.0: "#888"})
        panel.xaxis.set_major_locator(MaxNLocator(4))
        if panel is not ax:
            panel.tick_params(labelleft=False)
    ax.set_yticks(range(len(keys)), [label(shown_label(called[k])) for k in keys])
    ax.set_ylim(len(keys) - 0.5, -0.5)
    first = rows[rows["outcome"] == there[0]]
    best = first.loc[first["share"].round(9).idxmax()]
    alt = Sentence(
        "Points with 90 % intervals, a panel an outcome. Of {outcome}, “{best}” explains most: {share:.1%} [{low:.1%}, "
        "{high:.1%}].",
        {
            "outcome": Sentence(OUTCOMES[there[0]]),
            "best": told_label(best["label"]),
            **{c: max(best[c], 0.0) for c in ("share", "low", "high")},
        },
    )
    for panel, outcome in zip(panels, there, strict=True):
        finish(panel, alt=alt, x=OUTCOMES[outcome], percent="x")
    return ax


@plot
def stability(result: Stability) -> Axes:
    """How well each segment comes again in resamples: mean Jaccard and the range of 90 % of the resamples."""
    rows = result.table[(result.table["customers"] >= FEWEST) & result.table["jaccard"].notna()]
    many = rows.groupby("candidate", sort=False).size()
    rows = rows[rows["candidate"].map(many) > 1]
    rows = rows.assign(_place=rows["candidate"].map({k: i for i, k in enumerate(many.index)}))
    rows = rows.sort_values(["_place", "jaccard", "segment"], kind="stable").head(MOST_SEGMENTS)
    ax = axes("Do the segments come again?", result.basis, height=1.5 + 0.26 * max(len(rows), 1))
    if rows.empty:
        ax.set_axis_off()
        return finish(ax, alt=Sentence("There are no two segments whose stability could be shown."))
    labels = [f"{shown_label(r.label)}: {r.name}" for r in rows.itertuples(index=False)]
    _points(ax, rows.rename(columns={"jaccard": "share"}), {DISSOLVED: PALETTE[3], STABLE: "#888"})
    ax.set_yticks(range(len(rows)), [label(text, 46) for text in labels], fontsize=8)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, 1.02)
    ax.grid(visible=False, axis="y")
    weakest = rows.loc[rows["jaccard"].round(9).idxmin()]
    values = {"n": len(rows), "out": int((rows["jaccard"] < DISSOLVED).sum()), "name": weakest["name"]}
    values |= {"label": told_label(weakest["label"]), "jaccard": weakest["jaccard"]}
    alt = Sentence(
        "Points of {n} segments with lines at .5, below which a segment dissolves, and .75. {out} dissolve; the "
        "weakest is {name} of “{label}” at {jaccard:.2f}.",
        values,
    )
    return finish(ax, alt=alt, x="mean Jaccard coefficient over resamples")


def _points(ax: Axes, rows: pd.DataFrame, lines: dict[float, str]) -> None:
    """Points with intervals, one a row from above, and vertical lines."""
    place = np.arange(len(rows))
    ends = np.abs(rows[["low", "high"]].to_numpy(float).T - rows["share"].to_numpy(float))
    ax.errorbar(rows["share"], place, xerr=ends, fmt="o", color=PALETTE[0], ecolor=PALETTE[0], markersize=5, capsize=2)
    for at, colour in lines.items():
        ax.axvline(at, color=colour, linewidth=0.9, linestyle="--")
