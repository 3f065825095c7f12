"""Pictures of the life cycle: how customers moved between its states, and the states of the past months."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from crmlab.base.lifecycle_result import ACTIVE, AT_RISK, LAPSED, NEW, PROSPECT, STATES, UNKNOWN, WON_BACK, LifeCycle
from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, plot

COLOURS = {UNKNOWN: "#dddddd", PROSPECT: PALETTE[7], NEW: PALETTE[6], ACTIVE: PALETTE[0], WON_BACK: PALETTE[2]}
COLOURS |= {AT_RISK: PALETTE[1], LAPSED: PALETTE[3]}
TICKS = 8
"""More months than this are not all named."""
WIDE, GAP = 0.05, 0.02
"""Width of a column, and the space between two states, as shares of the picture."""


@plot
def flows(result: LifeCycle) -> Axes:
    """States before and now as two columns, bands between them as wide as the customers who moved."""
    ax = axes("How customers moved through the life cycle", result.basis, height=4.6)
    ax.set_axis_off()
    drawn = result.flows
    if not len(drawn) or not drawn["customers"].sum():
        return finish(ax, alt=Sentence("There is nobody whose movement could be shown."))
    was, now = _column(drawn, "before"), _column(drawn, "now")
    n = drawn["customers"].sum()
    for x, column, side in ((0.0, was, "right"), (1.0, now, "left")):
        for state, (bottom, count) in column.items():
            start = x - WIDE if side == "right" else x
            ax.bar(start, count / n, bottom=bottom, width=WIDE, align="edge", color=COLOURS[state], linewidth=0)
            name = say(state) if count < FEWEST else f"{say(state)} {localise(f'{count / n:.0%}')}"
            at = start - 0.02 if side == "right" else start + WIDE + 0.02
            ax.text(at, bottom + count / n / 2, name, ha=side, va="center", fontsize=8)
    _bands(ax, drawn[drawn["customers"] > 0], was, now, n)
    for x, day in ((-WIDE, result.before), (1 + WIDE, result.basis.end)):
        ax.text(x, -GAP, str(day), ha="center", va="top", fontsize=8, fontweight="bold")
    ax.set_xlim(-0.32, 1.32)
    same = int(drawn.loc[drawn["before"] == drawn["now"], "customers"].sum())
    apart = drawn[~drawn["before"].isin([UNKNOWN]) & (drawn["before"] != drawn["now"]) & (drawn["customers"] >= FEWEST)]
    values = {"n": int(n), "same": same / n, "before": str(result.before)}
    alt = Sentence("Flows of {n:,} customers since {before}: {same:.0%} are in the same state.", values)
    if len(apart):
        top = apart.sort_values(["customers", "before"], ascending=[False, True]).iloc[0]
        alt = Sentence(
            "Flows of {n:,} customers since {before}: {same:.0%} are in the same state; most moved from {a} to {b}, "
            "{share:.0%} of those who were {a}.",
            values | {"a": Sentence(top["before"]), "b": Sentence(top["now"]), "share": float(top["share"])},
        )
    return finish(ax, alt=alt)


def _column(drawn: pd.DataFrame, side: str) -> dict[str, tuple[float, int]]:
    """State → where its box begins from below, and how many are in it; the first state on top."""
    counts = drawn.groupby(side)["customers"].sum()
    n, at, found = counts.sum(), 0.0, {}
    for state in reversed([s for s in STATES if counts.get(s, 0) > 0]):
        found[state] = (at, int(counts[state]))
        at += counts[state] / n + GAP
    return found


def _bands(ax: Axes, drawn: pd.DataFrame, was: dict, now: dict, n: int) -> None:
    """One band a pair of states of five people or more; smaller ones leave their place empty."""
    left = {s: bottom + count / n for s, (bottom, count) in was.items()}
    right = {s: bottom + count / n for s, (bottom, count) in now.items()}
    x = np.linspace(0, 1, 60)
    bend = x**2 * (3 - 2 * x)
    order = {s: i for i, s in enumerate(STATES)}
    for row in drawn.sort_values(["before", "now"], key=lambda c: c.map(order)).to_dict("records"):
        wide = row["customers"] / n
        top = left[row["before"]] + (right[row["now"]] - left[row["before"]]) * bend
        left[row["before"]] -= wide
        right[row["now"]] -= wide
        if row["customers"] >= FEWEST:
            ax.fill_between(x, top - wide, top, color=COLOURS[row["before"]], alpha=0.45, linewidth=0)


@plot
def states(result: LifeCycle) -> Axes | None:
    """Customers in each state at the end of the past months, stacked; nothing with fewer than two such months."""
    if result.history["day"].nunique() < 2:
        return None
    grid = result.history.pivot_table(index="day", columns="state", values="customers", observed=True)
    grid = grid[[s for s in reversed(STATES) if s in grid.columns and grid[s].sum() > 0]]
    grid = grid.where(grid >= FEWEST, 0)
    ax = axes("States of the life cycle over the past months", result.basis)
    ax.stackplot(grid.index, grid.T, colors=[COLOURS[s] for s in grid.columns], labels=[say(s) for s in grid.columns])
    ticks = grid.index[:: -(-len(grid) // TICKS)]
    ax.set_xticks(ticks, [f"{day:%Y-%m}" for day in ticks])
    handles, names = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], names[::-1], frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    ax.margins(x=0)
    lapsed = grid.get(LAPSED, pd.Series(0, index=grid.index)) / grid.sum(axis=1).replace(0, np.nan)
    alt = Sentence(
        "Stacked areas over {n} months: {a:.0%} of those who had bought were lapsed in {first}, {b:.0%} in {last}.",
        {"n": len(grid), "a": float(lapsed.iloc[0]), "b": float(lapsed.iloc[-1])}
        | {"first": f"{grid.index[0]:%Y-%m}", "last": f"{grid.index[-1]:%Y-%m}"},
    )
    return finish(ax, alt=alt, y="customers who have bought", thousands="y")
