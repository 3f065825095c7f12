"""Pictures of the customer base: orders over time, retention, inter-purchase times, RFM."""

from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from crmlab.base.cohorts import Cohorts
from crmlab.base.ipt import ALL, IPT
from crmlab.base.retention import Retention
from crmlab.base.rfm import RFM
from crmlab.base.summary import Summary
from crmlab.base.survival import ALL as WHOLE
from crmlab.base.survival import ContractSurvival
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
def cohorts(result: Cohorts) -> Axes | None:
    """Pooled share of each cohort that orders at each age; nothing where the base shows no acquisitions."""
    if result.table.empty:
        return None
    table = result.table[result.table["customers"] >= FEWEST]
    grid = table.pivot_table(index="cohort", columns="age", values="pooled")
    few = grid.shape[1] <= MOST_TICKS
    ax = axes("Retention by cohort and age", result.basis, height=1.2 + (0.28 if few else 0.14) * max(len(grid), 4))
    if grid.empty:
        return finish(ax, alt=Sentence("No cohort of five customers has an age that is over."))
    sizes = table.drop_duplicates("cohort").set_index("cohort")["customers"]
    grid.index = [localise(f"{cohort}  n = {sizes[cohort]:,}") for cohort in grid.index] if few else grid.index
    text = grid.map(lambda v: "" if np.isnan(v) else localise(f"{v:.0%}")) if few else False
    top = max(float(grid.max().max()), 0.01)
    bar = None if few else {"format": lambda share, _: localise(f"{share:.0%}")}
    ax.grid(False)
    sns.heatmap(
        grid, ax=ax, annot=text, fmt="", cmap="Blues", vmin=0, vmax=top, cbar=not few, cbar_kws=bar, linewidths=0.5
    )
    oldest = table[table["cohort"] == table["cohort"].iloc[0]]
    alt = Sentence(
        "Heat map of {n} cohorts: of cohort {first}, {a:.1%} order at age 1 and {b:.1%} at age {age}, pooled.",
        {"n": len(grid), "first": oldest["cohort"].iloc[0], "a": float(oldest["pooled"].iloc[0])}
        | {"b": float(oldest["pooled"].iloc[-1]), "age": int(oldest["age"].iloc[-1])},
    )
    return finish(ax, alt=alt, x="age in periods", y="first order in")


@plot
def contract_survival(result: ContractSurvival) -> Axes | None:
    """Share of contracts left after each renewal, of all or by group; nothing where fewer than five are on record."""
    shown = result.table[result.table["contracts"] >= FEWEST]
    parts = shown[shown["group"] != WHOLE] if (shown["group"] != WHOLE).any() else shown
    if parts.empty:
        return None
    ax = axes("Contracts left after each renewal", result.basis)
    for place, row in enumerate(parts.head(MOST_LINES).to_dict("records")):
        curve = result.curve[(result.curve["group"] == row["group"]) & (result.curve["customers"] >= FEWEST)]
        curve = curve[(curve["renewal"] >= result.begins) & curve["stayed"].notna()]
        at = np.r_[result.begins - 1, curve["renewal"]]
        name = say(row["name"]) if row["group"] == WHOLE else label(row["name"], 24)
        ax.step(at, np.r_[1, curve["stayed"]], where="post", color=PALETTE[place], label=name)
        low, high = np.r_[1, curve["stayed_low"]], np.r_[1, curve["stayed_high"]]
        ax.fill_between(at, low, high, step="post", color=PALETTE[place], alpha=0.15, linewidth=0)
    ax.set_ylim(0, 1)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    known = parts.dropna(subset=["stayed"]).sort_values(["stayed", "group"])
    if known.empty:
        alt = Sentence("Curves of contracts left; no renewal was reached by enough of every group.")
    elif len(known) == 1:
        values = {"share": float(known["stayed"].iloc[0]), "n": int(known["renewal"].iloc[0])}
        alt = Sentence("Falling step curve: {share:.0%} of contracts are left after renewal {n}.", values)
    else:
        short, long = known.iloc[0], known.iloc[-1]
        values = {"k": min(len(parts), MOST_LINES), "n": int(long["renewal"]), "long": long["name"]}
        values |= {"short": short["name"], "a": float(long["stayed"]), "b": float(short["stayed"])}
        text = "{k} falling step curves: after renewal {n} {a:.0%} are left of {long} and {b:.0%} of {short}."
        alt = Sentence(text, values)
    return finish(ax, alt=alt, x="renewal", y="contracts left, 90 % band", percent="y")


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
