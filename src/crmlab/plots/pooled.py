"""Pictures of segments fitted together."""

import numpy as np
from matplotlib.axes import Axes

from crmlab.clv.fitting.pooled_result import PooledFit
from crmlab.contract import Sentence, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot

APART = 0.16
"""Half the distance between the two intervals of a segment, in rows."""


@plot
def pooled(fit: PooledFit) -> Axes | None:
    """What is expected of a new customer of each segment, pooled and by itself, the largest segment on top."""
    table = fit.expected[fit.expected["customers"] >= FEWEST].sort_values(["customers", "segment"], kind="stable")
    if table.empty:
        return None
    ax = axes("Segments fitted together and each by itself", fit.basis, height=1.6 + 0.42 * len(table))
    where = np.arange(len(table))
    for name, low, high, shift, colour, marker, words in (
        ("expected", "low", "high", APART, PALETTE[0], "o", say("together")),
        ("apart", "apart_low", "apart_high", -APART, PALETTE[7], "s", say("by itself")),
    ):
        ax.hlines(where + shift, table[low], table[high], color=colour, linewidth=2)
        ax.plot(table[name], where + shift, marker, color=colour, markersize=5, label=words)
    ax.set_yticks(where, [label(s) for s in table["segment"]])
    ax.set_xlim(left=0)
    ax.set_ylim(-0.6, len(table) + 0.1)
    ax.axvline(fit.typical, color=PALETTE[1], linestyle="--", linewidth=1, label=say("a typical segment"))
    ax.legend(frameon=False, loc="upper center", ncols=3)
    narrower = int(((table["high"] - table["low"]) < (table["apart_high"] - table["apart_low"])).sum())
    alt = Sentence(
        "What is expected of a new customer of {segments} segments, with 90 % intervals, fitted together and each by "
        "itself: in {narrower} of them the interval is narrower together. The smallest, {segment}, has {together:,.2f} "
        "together and {apart:,.2f} by itself.",
        {
            "segments": len(table),
            "narrower": narrower,
            "segment": table["segment"].iloc[0],
            "together": table["expected"].iloc[0],
            "apart": table["apart"].iloc[0],
        },
    )
    return finish(ax, alt=alt, x="expected of a new customer (90 % interval)")
