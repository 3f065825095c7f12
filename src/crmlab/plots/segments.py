"""Pictures of the segments: how large they are, and in what they differ."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot
from crmlab.segments.differences import compared
from crmlab.segments.movement import Movement
from crmlab.segments.profile import Profile

ROWS = 14
"""Traits of the heat map: those that differ most."""

SEGMENTS = 20
"""Segments of a picture: the largest."""


@plot
def profile(result: Profile) -> Axes:
    """Standardised differences of the segments from all customers, as a heat map of traits by segments.

    Only sure differences carry their number. Of traits that say the same, one stands for all.
    """
    segments = result.table[result.table["customers"] >= FEWEST].head(SEGMENTS)
    known = result.differences.dropna(subset=["difference"])
    known = known[known["segment"].isin(segments["segment"])]
    if known.empty:
        ax = axes("In what the segments differ", result.basis, height=1.6)
        ax.set_axis_off()
        ax.text(0, 0.5, say("There is no trait in which the segments could differ."))
        return finish(ax, alt=Sentence("There is no trait in which the segments could differ."))
    told = [result.largest(segment, ROWS) for segment in segments["segment"]]
    rows = _rows(pd.concat(told), known)
    words = [compared(t, v, m) for t, v, m in rows]
    known = known.assign(key=list(zip(known["trait"], known["level"], known["meaning"], strict=True)))
    known = known[known["key"].isin(rows)].assign(key=lambda k: [rows.index(key) for key in k["key"]])
    grid = known.pivot_table(index="key", columns="segment", values="difference").reindex(columns=segments["segment"])
    ax = axes(
        "In what the segments differ",
        result.basis,
        width=max(5.0, 2.6 + 0.75 * len(segments)),
        height=1.9 + 0.27 * len(rows),
    )
    limit = float(np.clip(np.nanmax(np.abs(grid.to_numpy())), 0.5, 2.0))
    sure = known.assign(told=known["difference"].where(known["sure"]))
    told = sure.pivot_table(index="key", columns="segment", values="told", dropna=False).reindex_like(grid)
    labels = told.map(lambda d: "" if np.isnan(d) else localise(f"{d:+.1f}")).to_numpy()
    sns.heatmap(
        grid.set_axis([label(n) for n in segments["name"]], axis=1).set_axis([label(w, 44) for w in words]),
        ax=ax, cmap="RdBu_r", center=0, vmin=-limit, vmax=limit, annot=labels, fmt="", annot_kws={"size": 7},
        linewidths=0.5, cbar_kws={"label": say("standard deviations from all customers"), "extend": "both"},
    )  # fmt: skip
    ax.set_ylabel("")
    ax.tick_params(axis="x", rotation=40)
    for tick in ax.get_xticklabels():
        tick.set_ha("right")
    top = known.loc[known["difference"].abs().round(9).idxmax()]
    names = dict(zip(segments["segment"], segments["name"], strict=True))
    alt = Sentence(
        "Heat map of {rows} traits by {columns} segments; only sure differences carry their number. The largest "
        "difference is that of “{name}” in {trait}: {d:+.1f} standard deviations from all customers.",
        {
            "rows": len(rows),
            "columns": len(segments),
            "name": names[top["segment"]],
            "trait": words[top["key"]],
            "d": top["difference"],
        },
    )
    return finish(ax, alt=alt)


def _rows(told: pd.DataFrame, known: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The traits to show, the largest sure difference first; where none is sure, the largest of all."""
    shown = told if len(told) else known
    most = shown.assign(size=shown["difference"].abs().round(9)).groupby(["trait", "level", "meaning"])["size"].max()
    ordered = sorted(most.items(), key=lambda item: (-item[1], item[0]))
    return [key for key, _ in ordered[:ROWS]]


@plot
def sizes(result: Profile) -> Axes:
    """Share of customers and share of spend of each segment."""
    table = result.table.head(SEGMENTS)
    ax = axes("Customers and spend by segment", result.basis, height=1.3 + 0.42 * max(len(table), 1))
    place = np.arange(len(table))
    ax.barh(place - 0.2, table["share"], height=0.38, color=PALETTE[0], label=say("share of customers"))
    ax.barh(place + 0.2, table["spend_share"].fillna(0), height=0.38, color=PALETTE[1], label=say("share of spend"))
    ax.set_yticks(place, [label(n) for n in table["name"]])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.legend(frameon=False, loc="lower right")
    if table.empty:
        return finish(ax, alt=Sentence("There is no customer in any segment."), percent="x")
    first = table.iloc[0]
    values = {"n": len(table), "name": first["name"], "share": first["share"]}
    if table["spend_share"].isna().all():
        alt = Sentence("Bars of {n} segments. The largest, “{name}”, has {share:.0%} of the customers.", values)
        return finish(ax, alt=alt, percent="x")
    rich = table.loc[table["spend_share"].idxmax()]
    alt = Sentence(
        "Bars of {n} segments. The largest, “{name}”, has {share:.0%} of the customers; the most spend, {spend:.0%}, "
        "is that of “{rich}”.",
        values | {"spend": rich["spend_share"], "rich": rich["name"]},
    )
    return finish(ax, alt=alt, percent="x")


@plot
def movement(result: Movement) -> Axes:
    """Share of each former segment by where its customers are now."""
    ax = axes("Where customers moved", result.basis, width=6.4, height=4.4)
    shares = result.table.assign(share=result.table["share"].where(result.table["customers"] >= FEWEST))
    grid = shares.pivot_table(index="before_name", columns="after_name", values="share")
    order = list(dict.fromkeys([*result.table["before_name"], *result.table["after_name"]]))
    grid = grid.reindex(index=[n for n in order if n in grid.index], columns=[n for n in order if n in grid.columns])
    if grid.empty:
        ax.set_axis_off()
        return finish(ax, alt=Sentence("Nobody is in both cycles: there is no movement to show."))
    labels = grid.map(lambda s: "" if np.isnan(s) else localise(f"{s:.0%}")).to_numpy()
    sns.heatmap(grid, ax=ax, cmap="Blues", vmin=0, vmax=1, annot=labels, fmt="", cbar=False, linewidths=0.5)
    ax.tick_params(axis="x", rotation=40)
    for tick in ax.get_xticklabels():
        tick.set_ha("right")
    alt = Sentence(
        "Table of shares of {rows} former segments by {columns} present ones; {stay:.0%} of the customers stayed.",
        {"rows": len(grid), "columns": grid.shape[1], "stay": result.stay[0]},
    )
    return finish(ax, alt=alt, x="Now", y="Before")
