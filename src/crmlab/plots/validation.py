"""Pictures of how predictions fared in the weeks withheld."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from crmlab.clv.validation.comparison_result import CLEARLY, Comparison
from crmlab.clv.validation.tracking import Tracking
from crmlab.clv.validation.validation_result import Validation
from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, plot

APART = 0.09
"""How far a predicted and an actual value stand from their common place."""


@plot
def tracking(validation: Validation | Tracking) -> Axes | None:
    """Repeat purchases over calibration and validation: cumulative, the weeks withheld alone, and week by week."""
    found = validation if isinstance(validation, Tracking) else validation.tracking
    if found is None:
        return None
    table, ahead = found.table, found.ahead()
    whole = axes("Repeat purchases over time: expected and actual", found.basis, height=6.0)
    grid = whole.figure.add_gridspec(2, 2, height_ratios=(3, 2), width_ratios=(3, 2))
    whole.set_subplotspec(grid[0, 0])
    withheld, weekly = whole.figure.add_subplot(grid[0, 1]), whole.figure.add_subplot(grid[1, :])
    days = pd.to_datetime(table["ending"])
    fitted, boundary = table["week"] <= 0, days[table["week"] == 0].iloc[0]
    _lines(whole, days[fitted], table.loc[fitted, "cumulative_actual"], table.loc[fitted, "cumulative_expected"])
    few = table["actual"].between(1, FEWEST - 1)
    _lines(weekly, days, table["actual"].mask(few), table["expected"])
    so_far = float(table.loc[fitted, "cumulative_actual"].iloc[-1])
    for ax, base in ((whole, 0.0), (withheld, so_far)):
        _ahead(ax, found, boundary, so_far, base)
    low, high = (found.calendar[c].to_numpy() for c in ("low_90", "high_90"))
    weekly.fill_between(days[~fitted], low, high, color=PALETTE[2], alpha=0.15, linewidth=0)
    for ax in (whole, weekly):
        ax.axvline(boundary, color="#555", linewidth=0.8)
        ax.set_ylim(bottom=0)
    withheld.set_ylim(0, 1.45 * withheld.get_ylim()[1])
    named = say("the weeks withheld")
    withheld.text(0.97, 0.03, named, transform=withheld.transAxes, ha="right", fontsize=9, color="#555")
    withheld.legend(frameon=False, loc="upper left", fontsize=7)
    for ax, ticks in ((weekly, 9), (whole, 6), (withheld, 4)):
        locator = AutoDateLocator(minticks=2, maxticks=ticks)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    last = table.iloc[-1]
    alt = Sentence(
        "Cumulative and weekly repeat purchases, expected and actual. In the {weeks} weeks withheld {actual:,.0f} "
        "happened and {expected:,.0f} were expected by the model; by their end the actual number is {side} its 90 % "
        "interval.",
        {
            "weeks": len(ahead),
            "actual": ahead["actual"].sum(),
            "expected": ahead["expected"].sum(),
            "side": _side(float(last["cumulative_actual"]), float(last["low"]), float(last["high"])),
        },
    )
    finish(withheld, alt=alt, thousands="y")
    finish(weekly, alt=alt, y="purchases a week", thousands="y")
    return finish(whole, alt=alt, y="purchases since the first day", thousands="y")


def _ahead(ax: Axes, found: Tracking, boundary: pd.Timestamp, so_far: float, base: float) -> None:
    """Cumulative purchases of the weeks withheld less `base`, with both intervals."""
    ahead = found.ahead()
    days = [boundary, *pd.to_datetime(ahead["ending"])]
    low, high = (np.append(0, found.calendar[c]) + so_far - base for c in ("total_low_90", "total_high_90"))
    named = say("90 % interval with drift and season")
    ax.fill_between(days, low, high, color=PALETTE[2], alpha=0.15, linewidth=0, label=named)
    low, high = (np.append(so_far, ahead[c]) - base for c in ("low", "high"))
    named = say("90 % interval of the model")
    ax.fill_between(days, low, high, color=PALETTE[0], alpha=0.3, linewidth=0, label=named)
    actual, expected = (np.append(so_far, ahead[c]) - base for c in ("cumulative_actual", "cumulative_expected"))
    _lines(ax, days, actual, expected)


def _lines(ax: Axes, days: Sequence, actual: Sequence[float], expected: Sequence[float]) -> None:
    ax.plot(days, actual, color=PALETTE[1], linewidth=1.4, label=say("actual"))
    ax.plot(days, expected, color=PALETTE[0], linestyle="--", linewidth=1.4, label=say("expected by the model"))


@plot
def by_frequency(validation: Validation) -> Axes | None:
    """Predicted against actual repeat purchases of the validation period, by purchases before it."""
    table = validation.table
    if table.empty:
        return None
    ax = axes(Sentence("Repeat purchases in the {weeks} weeks withheld", {"weeks": validation.weeks}), validation.basis)
    inside = _bars(ax, table, table["before"])
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
def tenths(validation: Validation) -> Axes | None:
    """Predicted against actual purchases of customers in tenths by prediction, and the share each tenth made."""
    found = validation.tenths
    if found is None:
        return None
    table = found.table
    ax = axes("Do those predicted to buy most buy most?", found.basis)
    inside = _bars(ax, table, table["tenth"])
    small = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": "#555"}
    for place, row in enumerate(table.itertuples()):
        if np.isfinite(row.share):
            ax.annotate(localise(f"{row.share:.0%}"), (place, max(row.high, row.actual)), xytext=(0, 5), **small)
    first, last = table.iloc[0], table.iloc[-1]
    alt = Sentence(
        "Mean purchases of customers in {groups} groups, from those predicted to buy most to those predicted to buy "
        "least: {first:.1f} in the first, {last:.1f} in the last. In {inside} of {groups} groups the actual mean lies "
        "within the 90 % interval. Above each group its share of all purchases.",
        {"groups": len(table), "first": first["actual"], "last": last["actual"], "inside": inside},
    )
    return finish(ax, alt=alt, x="tenth of customers, most predicted purchases first", y="mean purchases a customer")


@plot
def model_scores(comparison: Comparison) -> Axes | None:
    """Log score of each model less that of the model in use, with twice its standard error."""
    table = comparison.table[comparison.table["difference"].notna()].iloc[::-1]
    if len(table) < 2:
        return None
    ax = axes("Which model predicted best?", comparison.basis, height=1.6 + 0.36 * len(table))
    where = np.arange(len(table))
    ax.axvline(0, color="#555", linewidth=0.8)
    ax.errorbar(
        table["difference"], where, xerr=CLEARLY * table["se"], fmt="none", ecolor=PALETTE[0], capsize=3, linewidth=1.4
    )
    chosen = (table["model"] == comparison.recommended).to_numpy()
    for marked, color, name in ((chosen, PALETTE[1], say("recommended")), (~chosen, PALETTE[0], say("others"))):
        ax.plot(table["difference"][marked], where[marked], "o", color=color, label=name)
    ax.set_yticks(where, table["title"])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.legend(frameon=False, loc="best")
    best = table.iloc[-1]
    alt = Sentence(
        "Log score a customer of {models} models less that of the model in use, with two standard errors: {best} is "
        "best ({difference:+.3f} ± {se:.3f}).",
        {
            "models": len(table),
            "best": best["title"],
            "difference": best["difference"],
            "se": best["se"],
        },
    )
    return finish(ax, alt=alt, x="log score a customer, difference from the model in use (right is better)")


def _bars(ax: Axes, table: pd.DataFrame, names: pd.Series) -> int:
    """Predicted means with intervals and actual means, side by side; how many actual ones lie within."""
    where = np.arange(len(table))
    errors = np.abs(table[["low", "high"]].to_numpy().T - table["predicted"].to_numpy())
    ax.errorbar(
        where,
        table["predicted"],
        yerr=errors,
        fmt="o",
        color=PALETTE[0],
        capsize=4,
        label=say("predicted, 90 % interval"),
    )
    ax.plot(where + APART, table["actual"], "s", color=PALETTE[1], markersize=5, label=say("actual"))
    ax.set_ylim(0, 1.1 * max(table[["high", "actual"]].to_numpy().max(), 1e-9))
    ax.set_xticks(where, names)
    ax.legend(frameon=False)
    return int(((table["actual"] >= table["low"]) & (table["actual"] <= table["high"])).sum())


def _side(actual: float, low: float, high: float) -> Sentence:
    if actual > high:
        return Sentence("above")
    return Sentence("below") if actual < low else Sentence("within")
