"""Pictures of the risk of leaving: by segment, and whether it was right before."""

import numpy as np
from matplotlib.axes import Axes

from crmlab.clv.risk.by_segment import SegmentRisk
from crmlab.clv.risk.calibration import Calibration
from crmlab.clv.value.lifetime import NoValue
from crmlab.contract import Sentence, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot


@plot
def calibration(found: Calibration) -> Axes | None:
    """Share that came back against the probability given before, group by group; nothing where there is no check."""
    table = found.table[found.table["customers"] >= FEWEST]
    if found.found is None or table.empty:
        return None
    ax = axes("Did those come back who were said to?", found.basis, width=5.4, height=4.4)
    ax.plot([0, 1], [0, 1], color="#888", linestyle="--", linewidth=1, label=say("as it was said"))
    errors = np.abs(table[["low", "high"]].to_numpy().T - table["actual"].to_numpy())
    named = say("came back, 90 % interval")
    ax.errorbar(
        table["predicted"], table["actual"], yerr=errors, fmt="o", ms=5, color=PALETTE[0], capsize=3, label=named
    )
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.legend(frameon=False, loc="upper left")
    inside = int(((table["low"] <= table["predicted"]) & (table["predicted"] <= table["high"])).sum())
    first, last = table.iloc[0], table.iloc[-1]
    alt = Sentence(
        "Share that came back (of contracts: renewed) against the probability given before, in {groups} groups: "
        "{inside} agree with what was said. In the first it had been said of {predicted:.0%} and {actual:.0%} did, in "
        "the last of {low:.0%} and {high:.0%}.",
        {"groups": len(table), "inside": inside, "predicted": first["predicted"], "actual": first["actual"]}
        | {"low": last["predicted"], "high": last["actual"]},
    )
    return finish(ax, alt=alt, x="probability of coming back, as said before", y="share that came back", percent="xy")


@plot
def risk_by_segment(risk: SegmentRisk | NoValue) -> Axes | None:
    """Mean risk of each segment with its 90 % interval, highest on top, beside that of all."""
    if isinstance(risk, NoValue):
        return None
    table = risk.table[risk.table["customers"] >= FEWEST].sort_values(["risk", "segment"], kind="stable")
    if table.empty:
        return None
    title = Sentence("Risk of leaving within {length}, by segment", {"length": risk.length})
    ax = axes(title, risk.basis, height=1.6 + 0.42 * len(table))
    where = np.arange(len(table))
    errors = np.abs(table[["low", "high"]].to_numpy().T - table["risk"].to_numpy())
    ax.errorbar(table["risk"], where, xerr=errors, fmt="o", color=PALETTE[3], capsize=3)
    ax.axvline(risk.whole, color="#888", linestyle="--", linewidth=1)
    ax.annotate(say("all"), (risk.whole, len(table) - 0.55), textcoords="offset points", xytext=(4, 0), fontsize=8)
    ax.set_yticks(where, [label(name) for name in table["name"]])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlim(0, min(1.0, max(1.15 * float(table["high"].max()), 0.05)))
    first, last = table.iloc[-1], table.iloc[0]
    alt = Sentence(
        "Mean risk of leaving of {segments} segments with 90 % intervals, {whole:.0%} for all: highest {first} "
        "({high:.0%}), lowest {last} ({low:.0%}).",
        {"segments": len(table), "whole": risk.whole, "first": first["name"], "high": first["risk"]}
        | {"last": last["name"], "low": last["risk"]},
    )
    return finish(ax, alt=alt, x="mean risk (90 % interval)", percent="x")
