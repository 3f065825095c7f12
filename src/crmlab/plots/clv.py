"""Pictures of customer lifetime value."""

import numpy as np
from matplotlib.axes import Axes

from crmlab.clv.by_segment import SegmentValue
from crmlab.clv.validate import Validation
from crmlab.clv.value import LifetimeValue, NoValue
from crmlab.contract import Sentence, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot


@plot
def tracking(validation: Validation) -> Axes | None:
    """Predicted against actual repeat purchases of the validation period, by purchases before it."""
    table = validation.table
    if table.empty:
        return None
    ax = axes(Sentence("Repeat purchases in the {weeks} weeks withheld", {"weeks": validation.weeks}), validation.basis)
    where = np.arange(len(table))
    ax.fill_between(where, table["low"], table["high"], color=PALETTE[0], alpha=0.2, label=say("90 % interval"))
    ax.plot(where, table["predicted"], color=PALETTE[0], marker="o", label=say("predicted"))
    ax.plot(where, table["actual"], color=PALETTE[1], marker="s", linestyle="none", label=say("actual"))
    ax.set_ylim(bottom=0)
    ax.set_xticks(where, table["before"])
    ax.legend(frameon=False)
    inside = int(((table["actual"] >= table["low"]) & (table["actual"] <= table["high"])).sum())
    alt = Sentence(
        "Predicted and actual repeat purchases a customer over {weeks} weeks, by repeat purchases before: in {inside} "
        "of {groups} groups the actual mean lies within the 90 % interval. In the last group {predicted:.1f} were "
        "predicted and {actual:.1f} happened.",
        {
            "weeks": validation.weeks,
            "inside": inside,
            "groups": len(table),
            "predicted": table["predicted"].iloc[-1],
            "actual": table["actual"].iloc[-1],
        },
    )
    return finish(ax, alt=alt, x="repeat purchases before the validation period", y="mean purchases a customer")


@plot
def lifetime_value(ltv: LifetimeValue | NoValue) -> Axes | None:
    """Distribution of CLV over customers, up to its 99 % quantile; nothing where there is no CLV."""
    if isinstance(ltv, NoValue):
        return None
    values = ltv.table["clv"].to_numpy()
    ax = axes("Customer lifetime value over customers", ltv.basis)
    most = np.quantile(values, 0.99)
    counts, edges = np.histogram(values[values <= most], bins=40)
    counts = np.where(counts < FEWEST, 0, counts)
    ax.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=PALETTE[0], edgecolor="white", linewidth=0.3)
    median, mean = float(np.median(values)), float(values.mean())
    ax.axvline(median, color=PALETTE[1], label=say("median"))
    ax.axvline(mean, color=PALETTE[3], linestyle="--", label=say("mean"))
    ax.legend(frameon=False)
    alt = Sentence(
        "Histogram of expected value a customer over {weeks} weeks: median {median:,.0f}, mean {mean:,.0f}; nine in "
        "ten customers lie between {low:,.0f} and {high:,.0f}. The highest 1 % and bars of fewer than 5 customers are "
        "not drawn.",
        {
            "weeks": ltv.horizon_weeks,
            "median": median,
            "mean": mean,
            "low": float(np.quantile(values, 0.05)),
            "high": float(np.quantile(values, 0.95)),
        },
    )
    return finish(ax, alt=alt, x="CLV, currency", y="customers", thousands="xy")


@plot
def segment_value(value: SegmentValue | NoValue) -> Axes | None:
    """Mean CLV of each segment with its 90 % interval, highest on top; nothing where there is no CLV."""
    if isinstance(value, NoValue):
        return None
    table = value.table[value.table["customers"] >= FEWEST].sort_values("clv", kind="stable")
    if table.empty:
        return None
    ax = axes("Mean customer lifetime value by segment", value.basis, height=1.4 + 0.42 * len(table))
    where = np.arange(len(table))
    errors = np.abs(table[["low", "high"]].to_numpy().T - table["clv"].to_numpy())
    ax.errorbar(table["clv"], where, xerr=errors, fmt="o", color=PALETTE[0], capsize=3)
    ax.set_yticks(where, [label(n) for n in table["name"]])
    ax.set_xlim(left=0)
    first, last = table.iloc[-1], table.iloc[0]
    alt = Sentence(
        "Mean value a customer of {segments} segments with 90 % intervals: highest {first} ({high:,.0f}), lowest "
        "{last} ({low:,.0f}).",
        {
            "segments": len(table),
            "first": first["name"],
            "high": first["clv"],
            "last": last["name"],
            "low": last["clv"],
        },
    )
    return finish(ax, alt=alt, x="mean CLV, currency (90 % interval)", thousands="x")
