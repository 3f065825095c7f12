"""Pictures of what contact added."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from crmlab.contract import Sentence, say
from crmlab.plots.frame import PALETTE, axes, finish, plot
from crmlab.reanalysis.effects import ALL, PHRASES, Effects, amount


@plot
def effects(result: Effects, *, outcome: str | None = None) -> Axes:
    """Forest plot: uplift of each segment and overall with its interval, and the range expected of one more segment.

    Without a control group it draws no uplift: the picture says that there is none to draw.

    Parameters
    ----------
    result
        What `reanalysis.effects.effects` returned.
    outcome
        Which outcome; None: the primary one.
    """
    outcome = result.params.outcomes[0] if outcome is None else outcome
    rows = result.table[(result.table["outcome"] == outcome) & result.table["uplift"].notna()]
    if not result.identified or rows.empty:
        return _nothing(result)
    scale = 100 if outcome == "response" else 1
    rows = rows[rows["segment"] != ALL].sort_values(["uplift", "segment"], ascending=[True, False])
    overall = result.table[(result.table["outcome"] == outcome) & (result.table["segment"] == ALL)].iloc[0]
    at = np.arange(len(rows)) + 1
    ax = axes("What contact added, by segment", result.basis, height=1.8 + 0.32 * (len(rows) + 1))
    ax.axvline(0, color="#555", linewidth=1, zorder=1)
    between = result.between.table
    between = between[between["outcome"] == outcome]
    ends = scale * rows[["low", "high"]].to_numpy(float)
    left, right = min(np.nanmin(ends), 0.0), max(np.nanmax(ends), 0.0)
    pad = 0.08 * (right - left) or 1.0
    if len(between) and np.isfinite(between["predicted_low"].iloc[0]):
        expected = np.clip(scale * between[["predicted_low", "predicted_high"]].iloc[0], left - pad, right + pad)
        ax.axvspan(*expected, color=PALETTE[7], alpha=0.3, zorder=0, label=say("one more segment"))
    for place, frame, colour, marker, label in (
        (at, rows, PALETTE[0], "o", say("segment")),
        (np.zeros(1), overall.to_frame().T, PALETTE[1], "D", say("all customers")),
    ):
        centre = scale * frame["uplift"].to_numpy(float)
        span = np.abs(scale * frame[["low", "high"]].to_numpy(float).T - centre)
        ax.errorbar(centre, place, xerr=span, fmt=marker, color=colour, capsize=3, label=label, zorder=3)
    ax.set_xlim(left - pad, right + pad)
    ax.set_yticks([0, *at], [say("All customers"), *(name.replace("$", r"\$") for name in rows["name"])])
    ax.set_ylim(-0.6, len(rows) + 0.6)
    ax.grid(visible=False, axis="y")
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    if outcome == "response":
        return finish(ax, alt=_alt(rows, overall, outcome), x="Uplift of the response rate, percentage points")
    if outcome == "orders":
        return finish(ax, alt=_alt(rows, overall, outcome), x="Uplift of orders a customer")
    if outcome == "margin":
        return finish(ax, alt=_alt(rows, overall, outcome), x="Uplift of margin a customer")
    return finish(ax, alt=_alt(rows, overall, outcome), x="Uplift of spend a customer")


def _alt(rows: pd.DataFrame, overall: pd.Series, outcome: str) -> Sentence:
    """What the forest plot shows, from its numbers."""
    values = {
        "outcome": Sentence(PHRASES[outcome]),
        "segments": len(rows),
        "overall": amount(outcome, overall["uplift"]),
        "overall_low": amount(outcome, overall["low"]),
        "overall_high": amount(outcome, overall["high"]),
        "least": amount(outcome, rows["uplift"].iloc[0]),
        "least_name": rows["name"].iloc[0],
        "most": amount(outcome, rows["uplift"].iloc[-1]),
        "most_name": rows["name"].iloc[-1],
    }
    if len(rows) == 1:
        return Sentence(
            "Effect of contact on {outcome}: {overall} overall, interval {overall_low} to {overall_high}.", values
        )
    return Sentence(
        "Effect of contact on {outcome} in {segments} segments, from {least} ({least_name}) to {most} ({most_name}); "
        "overall {overall}, interval {overall_low} to {overall_high}.",
        values,
    )


def _nothing(result: Effects) -> Axes:
    """A picture that says there is no uplift to draw."""
    ax = axes("What contact added, by segment", result.basis, height=1.6)
    ax.set_axis_off()
    reason = Sentence("No uplift to draw: nobody was withheld at random.")
    ax.text(0.5, 0.5, str(reason), ha="center", va="center", transform=ax.transAxes, color="#666")
    return finish(ax, alt=reason)
