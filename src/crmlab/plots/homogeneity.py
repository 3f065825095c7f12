"""Pictures of alikeness: spread within segments, response by segment, splits found and confirmed."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot
from crmlab.reanalysis.homogeneity import (
    HETEROGENEOUS,
    HOMOGENEOUS,
    NOT_IDENTIFIABLE,
    TRACE,
    UNDECIDED,
    Homogeneity,
)
from crmlab.reanalysis.levels import Between
from crmlab.reanalysis.refinement import Refinement

COLOURS = {
    HETEROGENEOUS: PALETTE[3],
    TRACE: PALETTE[1],
    HOMOGENEOUS: PALETTE[2],
    UNDECIDED: PALETTE[0],
    NOT_IDENTIFIABLE: PALETTE[7],
}
"""Verdict → colour."""


@plot
def spread(homogeneity: Homogeneity) -> Axes:
    """Interval of the spread within each segment, against the tolerance, coloured by verdict."""
    table = homogeneity.table
    ax = axes("How far people’s true rates spread within a segment", homogeneity.basis, height=_height(len(table)))
    tolerance = homogeneity.params.tolerance
    ax.axvspan(0, tolerance, color="#5b8c5a", alpha=0.12, lw=0)
    ax.axvline(tolerance, color="#5b8c5a", lw=1, ls="--")
    ends = table[["spread", "high", "low"]].to_numpy(dtype=float)
    right = np.nanmax([1.5 * tolerance, *ends[np.isfinite(ends)]])
    for at, row in enumerate(table.itertuples(index=False)):
        colour = COLOURS[row.verdict]
        if np.isnan(row.spread):
            ax.text(tolerance * 0.05, at, say(row.verdict), va="center", fontsize=8, color="#666")
            continue
        high = right * 1.03 if np.isnan(row.high) else row.high
        ax.plot([row.low, high], [at, at], color=colour, lw=2.5, solid_capstyle="butt")
        ax.plot([row.spread], [at], "o", color=colour, ms=6)
        if np.isnan(row.high):
            ax.plot([high], [at], ">", color=colour, ms=7)
    _segments(ax, table["name"])
    ax.set_xlim(0, right * 1.05)
    shown = [v for v in COLOURS if (table["verdict"] == v).any()]
    handles = [Line2D([], [], color=COLOURS[v], lw=2.5, label=say(v)) for v in shown]
    if handles:
        ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    counts = ", ".join(f"{say(v)} {int((table['verdict'] == v).sum())}" for v in shown)
    alt = Sentence(
        "Spread of true response rates within {n} segments with intervals, against a tolerance of {tolerance:.3f}. "
        "Verdicts: {counts}.",
        {"n": len(table), "tolerance": tolerance, "counts": counts},
    )
    return _decimals(finish(ax, alt=alt, x="standard deviation of true response rates"), "{:.2f}")


@plot
def response_by_segment(between: Between) -> Axes:
    """Response rate of each segment with its interval, and the rate over all."""
    few = between.table["responses"].between(1, FEWEST - 1)
    table = between.table[~few]
    ax = axes("Response by segment", between.basis, height=_height(len(table)))
    at = np.arange(len(table))
    rate, low, high = (table[c].to_numpy(dtype=float) for c in ("rate", "low", "high"))
    ax.errorbar(rate, at, xerr=[np.maximum(rate - low, 0), np.maximum(high - rate, 0)], fmt="o", color=PALETTE[0], lw=2)
    everybody = between.table[["responses", "contacts"]].sum()
    overall = everybody["responses"] / everybody["contacts"] if everybody["contacts"] else float("nan")
    if np.isfinite(overall):
        ax.axvline(overall, color="#888", lw=1, ls=":")
    _segments(ax, table["name"])
    ax.set_xlim(left=0)
    if table.empty:
        return finish(ax, alt=Sentence("No segment has enough answers to be drawn."), x="response rate", percent="x")
    best, least = table.loc[table["rate"].idxmax()], table.loc[table["rate"].idxmin()]
    alt = Sentence(
        "Response rates of {n} segments with intervals: from {low:.1%} in {least} to {high:.1%} in {most}; "
        "{overall:.1%} over all.",
        {
            "n": len(table),
            "low": least["rate"],
            "least": least["name"],
            "high": best["rate"],
            "most": best["name"],
            "overall": overall,
        },
    )
    return finish(
        ax,
        alt=alt,
        x="response rate; segments of one to four responses are not drawn" if few.any() else "response rate",
        percent="x",
    )


@plot
def splits(refinement: Refinement) -> Axes:
    """Difference across each proposed split: on the half that found it, and on the half that tests it."""
    table = refinement.shown()
    ax = axes("Splits: as found, and as the other half sees them", refinement.basis, height=_height(len(table)))
    ax.axvline(0, color="#888", lw=1)
    for at, row in enumerate(table.itertuples(index=False)):
        colour = PALETTE[2] if row.adopted else PALETTE[1] if row.artefact else PALETTE[7]
        ax.plot([row.difference_find], [at - 0.15], "o", mfc="white", mec=colour, ms=6)
        ax.plot([row.low, row.high], [at + 0.15] * 2, color=colour, lw=2.5, solid_capstyle="butt")
        ax.plot([row.difference], [at + 0.15], "o", color=colour, ms=6)
    _segments(ax, [f"{label(n, 34)}\n{r}" for n, r in zip(table["name"], table["rule"], strict=True)], cut=False)
    if table.empty:
        ax.text(0.5, 0.5, say("No split was proposed."), transform=ax.transAxes, ha="center", va="center")
        return finish(ax, alt=Sentence("No split was proposed."), x="difference across the split")
    handles = [
        Line2D([], [], ls="", marker="o", mfc="white", mec="#555", label=say("finding half")),
        Line2D([], [], marker="o", color="#555", lw=2.5, label=say("other half, with interval")),
        Line2D([], [], color=PALETTE[2], lw=2.5, label=say("adopted")),
        Line2D([], [], color=PALETTE[1], lw=2.5, label=say("artefact of data collection")),
        Line2D([], [], color=PALETTE[7], lw=2.5, label=say("not confirmed")),
    ]
    ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    alt = Sentence(
        "{n} proposed splits, {adopted} adopted, {artefacts} artefacts of data collection: their differences on the "
        "half that found them and on the other half with intervals. The largest on the other half is {most:+.3f}.",
        {
            "n": len(table),
            "adopted": int(table["adopted"].sum()),
            "artefacts": int(table["artefact"].sum()),
            "most": float(table.loc[table["difference"].abs().idxmax(), "difference"]),
        },
    )
    return _decimals(finish(ax, alt=alt, x="difference across the split"), "{:+.2f}")


def _decimals(ax: Axes, form: str) -> Axes:
    """Numbers of the x axis in the language's marks."""
    ax.xaxis.set_major_formatter(lambda value, _: localise(form.format(value)))
    return ax


def _height(rows: int) -> float:
    return 1.5 + 0.42 * max(rows, 2)


def _segments(ax: Axes, names: list[str], *, cut: bool = True) -> None:
    """Segments down the y axis, the first on top."""
    ax.set_yticks(range(len(names)), [label(n, 30) if cut else n for n in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
