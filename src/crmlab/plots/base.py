"""Pictures of the customer base: orders over time, retention, inter-purchase times, RFM."""

from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from crmlab.base.ipt import ALL, IPT
from crmlab.base.retention import Retention
from crmlab.base.rfm import RFM
from crmlab.base.summary import Summary
from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot

MOST_LINES = 8
"""More curves than this cannot be told apart."""
MOST_TICKS = 13
"""More period names than this do not fit beside one another."""


@plot
def orders_over_time(result: Summary) -> Axes:
    """Orders of each month that is over, and how many of its customers were first seen in it."""
    months = result.by_month[result.by_month["whole"]]
    ax = axes("Customers by month", result.basis)
    names = [f"{m:%Y-%m}" for m in months["month"]]
    old = (months["customers"] - months["new"]).to_numpy()
    at = np.arange(len(names))
    ax.bar(at, old, color=PALETTE[0], label=say("seen before"))
    ax.bar(at, months["new"], bottom=old, color=PALETTE[1], label=say("first seen"))
    _ticks(ax, names)
    if not len(months):
        return finish(ax, alt=Sentence("No month is over yet."))
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    first, last = months.iloc[0], months.iloc[-1]
    alt = Sentence(
        "Bars: {a:,.0f} customers in {first}, {b:,.0f} in {last}; {new:,.0f} of the last were first seen then.",
        {"a": int(first["customers"]), "b": int(last["customers"]), "first": names[0], "last": names[-1]}
        | {"new": int(last["new"])},
    )
    return finish(ax, alt=alt, y="customers who ordered", thousands="y")


@plot
def retention(result: Retention) -> Axes:
    """Retention rate by period with its interval."""
    table = result.table[result.table["customers"] >= FEWEST]
    ax = axes("Customer retention rate by period (CRR)", result.basis)
    at = np.arange(len(table))
    ax.fill_between(at, table["low"], table["high"], color=PALETTE[0], alpha=0.2, linewidth=0)
    ax.plot(at, table["crr"], color=PALETTE[0], marker="o")
    _ticks(ax, list(table["period"]))
    ax.set_ylim(0, 1)
    if table.empty:
        return finish(ax, alt=Sentence("There is no retention rate yet."), percent="y")
    first, last = table.iloc[0], table.iloc[-1]
    alt = Sentence(
        "Line with 90 % band, {n} periods: {a:.1%} in {first}, {b:.1%} in {last}, between {low:.1%} and {high:.1%}.",
        {"n": len(table), "a": float(first["crr"]), "b": float(last["crr"]), "first": first["period"]}
        | {"last": last["period"], "low": float(table["crr"].min()), "high": float(table["crr"].max())},
    )
    return finish(ax, alt=alt, x="period", y="order again in the next, 90 % band", percent="y")


@plot
def cohorts(result: Retention) -> Axes | None:
    """Share of each acquisition cohort active at each age; nothing where the base shows no acquisitions."""
    if result.cohorts is None:
        return None
    table = result.cohorts[result.cohorts["customers"] >= FEWEST]
    grid = table.pivot(index="cohort", columns="age", values="crr")
    ax = axes("Retention by cohort and age", result.basis, height=1.2 + 0.28 * max(len(grid), 4))
    if grid.empty:
        return finish(ax, alt=Sentence("No cohort has an age that is over."))
    few = grid.shape[1] <= MOST_TICKS
    text = grid.map(lambda v: "" if np.isnan(v) else localise(f"{v:.0%}")) if few else False
    sns.heatmap(grid, ax=ax, annot=text, fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False, linewidths=0.5)
    oldest = table[table["cohort"] == grid.index[0]]
    alt = Sentence(
        "Heat map of {n} cohorts: of cohort {first}, {a:.1%} order at age 1 and {b:.1%} at age {age}.",
        {"n": len(grid), "first": grid.index[0], "a": float(oldest["crr"].iloc[0])}
        | {"b": float(oldest["crr"].iloc[-1]), "age": int(oldest["age"].iloc[-1])},
    )
    return finish(ax, alt=alt, x="age in periods", y="first order in")


@plot
def ipt(result: IPT, *, by: Literal["segment"] | None = None) -> Axes:
    """Share of gaps that have ended after so many days, of all customers or by segment."""
    shown = result.table[result.table["customers"] >= FEWEST]
    parts = shown[shown["segment"] != ALL]
    if by is None or parts.empty:
        parts = shown[shown["segment"] == ALL]
    parts = parts.head(MOST_LINES)
    ax = axes("Time between purchases (IPT)", result.basis)
    for place, row in enumerate(parts.to_dict("records")):
        curve = result.curve[result.curve["segment"] == row["segment"]]
        days = np.r_[0, curve["days"]]
        ended = 1 - np.r_[1, curve["waiting"]]
        name = say("all customers") if row["segment"] == ALL else label(row["name"], 24)
        ax.step(days, ended, where="post", color=PALETTE[place], label=name)
        if curve["low"].notna().any():
            low, high = 1 - np.r_[1, curve["high"]], 1 - np.r_[1, curve["low"]]
            ax.fill_between(days, low, high, step="post", color=PALETTE[place], alpha=0.15, linewidth=0)
    ax.set_ylim(0, 1)
    longest = float(result.curve["days"].max()) if len(result.curve) else 1.0
    most = float((parts["q90"] * 1.5).fillna(longest).max()) if len(parts) else 1.0
    ax.set_xlim(0, max(min(most, longest), 1.0))
    if parts.empty or parts["median"].isna().all():
        alt = Sentence("Curves of gaps ended by days waited; none reaches one half.")
        return finish(ax, alt=alt, x="days since the last purchase", y="gaps ended, 90 % band", percent="y")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    known = parts.dropna(subset=["median"]).sort_values(["median", "segment"])
    fast, slow = known.iloc[0], known.iloc[-1]
    if len(known) == 1:
        text = Sentence("Step curve: half of the gaps end within {days:.0f} days.", {"days": float(fast["median"])})
    else:
        text = Sentence(
            "{n} step curves: half of the gaps end within {a:.0f} days in {fast} and within {b:.0f} days in {slow}.",
            {"n": len(parts), "a": float(fast["median"]), "b": float(slow["median"])}
            | {"fast": fast["name"], "slow": slow["name"]},
        )
    return finish(ax, alt=text, x="days since the last purchase", y="gaps ended, 90 % band", percent="y")


@plot
def rfm(result: RFM) -> Axes:
    """Share of customers by recency and frequency score."""
    cells = result.shown()
    cells = cells[cells["customers"] >= FEWEST]
    scores = range(1, result.scores + 1)
    grid = cells.pivot(index="r_score", columns="f_score", values="share")
    grid = grid.reindex(index=list(scores)[::-1], columns=list(scores)).astype("float64")
    ax = axes("Customers by recency and frequency", result.basis, height=4)
    text = grid.map(lambda v: "" if np.isnan(v) else localise(f"{v:.1%}"))
    if cells.empty:
        return finish(ax, alt=Sentence("No group is large enough to be shown."))
    sns.heatmap(grid, ax=ax, annot=text, fmt="", cmap="Blues", cbar=False, linewidths=0.5, vmin=0)
    top = cells.sort_values(["customers", "r_score", "f_score"], ascending=False).iloc[0]
    alt = Sentence(
        "Heat map: the largest group is R {r}, F {f} with {share:.1%} of the customers.",
        {"r": int(top["r_score"]), "f": int(top["f_score"]), "share": float(top["share"])},
    )
    return finish(ax, alt=alt, x="F: frequency score (highest orders most)", y="R: recency score (highest is latest)")


def _ticks(ax: Axes, names: list[str]) -> None:
    """Name the periods, every k-th where they are many."""
    step = max(-(-len(names) // MOST_TICKS), 1)
    ax.set_xticks(np.arange(len(names))[::step], names[::step], rotation=45 if len(names) > 6 else 0)
