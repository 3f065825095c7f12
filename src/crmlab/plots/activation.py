"""Pictures of the activation: what the list is worth down its ranking, and our list against history's."""

import numpy as np
from matplotlib.axes import Axes

from crmlab.activation.plan import Plan
from crmlab.activation.replayed import ReplayComparison
from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, plot


@plot
def plan(result: Plan) -> Axes:
    """Cumulative expected value down the ranking, with its 90 % interval and the place where the list ends."""
    ax = axes("Expected value down the ranking", result.basis)
    curve, cut = result.curve, result.chosen
    ax.fill_between(curve["customers"], curve["low"], curve["high"], color=PALETTE[0], alpha=0.18, linewidth=0)
    ax.plot(curve["customers"], curve["expected"], color=PALETTE[0])
    ax.axhline(0, color="#888", linewidth=0.8)
    ax.axvline(cut, color=PALETTE[1], linestyle="--")
    right = cut > 0.6 * curve["customers"].max()
    label = say("the list ends: {n:,}", n=cut)
    ax.annotate(
        label,
        (cut, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, -3),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        color=PALETTE[1],
    )
    return finish(
        ax,
        alt=_plan_alt(result),
        x="Customers, best first",
        y="Cumulative value less cost, 90 % interval",
        thousands="xy",
    )


def _plan_alt(result: Plan) -> Sentence:
    last = result.curve.iloc[-1]
    values = {"n": result.chosen, "all": int(last["customers"]), "end": float(last["expected"])} | result.total
    if result.chosen == 0:
        return Sentence(
            "Cumulative expected value down the ranking of {all:,} customers: there is no list; it would come to "
            "{end:,.0f} if all were contacted.",
            values,
        )
    return Sentence(
        "Cumulative expected value down the ranking: {expected:,.0f} (90 % interval {low:,.0f} to "
        "{high:,.0f}) where the list ends, at {n:,} customers; {end:,.0f} if all {all:,} were "
        "contacted.",
        values,
    )


@plot
def comparison(result: ReplayComparison) -> Axes:
    """Mean prior spend of those on both lists, on one and on none, with 90 % intervals."""
    ax = axes("Prior spend of our list and of those really contacted", result.basis, height=2.8)
    groups = result.table[result.table["customers"] >= FEWEST].reset_index(drop=True)
    place = np.arange(len(groups))[::-1]
    reach = np.vstack([groups["spend"] - groups["low"], groups["high"] - groups["spend"]])
    ax.errorbar(groups["spend"], place, xerr=np.nan_to_num(reach), fmt="o", color=PALETTE[0], capsize=3)
    labels = [f"{say(r.group)} ({localise(f'{r.customers:,}')})" for r in groups.itertuples()]
    ax.set_yticks(place, labels)
    ax.set_ylim(-0.6, len(groups) - 0.4)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    return finish(ax, alt=_comparison_alt(result), x="Mean spend before the contact, 90 % interval", thousands="x")


def _comparison_alt(result: ReplayComparison) -> Sentence:
    groups = result.table[result.table["customers"] >= FEWEST].dropna(subset=["spend"])
    if groups.empty:
        return Sentence("Prior spend by list: every group is too small to be shown.")
    top, bottom = groups.loc[groups["spend"].idxmax()], groups.loc[groups["spend"].idxmin()]
    values = {"high": top["spend"], "top": Sentence(top["group"]), "n_top": int(top["customers"])}
    values |= {"low": bottom["spend"], "bottom": Sentence(bottom["group"]), "n_bottom": int(bottom["customers"])}
    return Sentence(
        "Mean prior spend is highest, {high:,.0f}, on: {top} ({n_top:,} customers), and lowest, "
        "{low:,.0f}, on: {bottom} ({n_bottom:,} customers).",
        values,
    )
