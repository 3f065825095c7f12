"""Pictures of customer lifetime value."""

import numpy as np
from matplotlib.axes import Axes

from crmlab.clv.company.equity import CustomerEquity
from crmlab.clv.value.by_segment import SegmentValue
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot


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


@plot
def customer_equity(equity: CustomerEquity | NoValue) -> Axes | None:
    """Share of the customers and of their total CLV by what they did; nothing where there is no CLV."""
    if isinstance(equity, NoValue):
        return None
    table = equity.table[equity.table["customers"] >= FEWEST].iloc[::-1]
    if table.empty:
        return None
    ax = axes("Who carries the customer equity", equity.basis, height=1.6 + 0.55 * len(table))
    where = np.arange(len(table))
    people = table["customers"] / equity.table["customers"].sum()
    ax.barh(where + 0.19, people, height=0.36, color=PALETTE[7], label=say("share of customers"))
    ax.barh(where - 0.19, table["share"], height=0.36, color=PALETTE[0], label=say("share of total CLV"))
    for y, share in (*zip(where + 0.19, people, strict=True), *zip(where - 0.19, table["share"], strict=True)):
        ax.text(share + 0.01, y, localise(f"{share:.0%}"), va="center", fontsize=8, color="#444")
    ax.set_yticks(where, [label(say(state)) for state in table["state"]])
    ax.set_xlim(0, 1)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    most = table.loc[table["share"].idxmax()]
    alt = Sentence(
        "Bars of the share of customers and of total lifetime value in {states} groups: customers who {state} carry "
        "most of it, {share:.0%}, and are {people:.0%} of all.",
        {
            "states": len(table),
            "state": say(most["state"]),
            "share": most["share"],
            "people": people.loc[table["share"].idxmax()],
        },
    )
    return finish(ax, alt=alt, percent="x")
