"""Pictures of time: who is due, whether that was foretold right, weekdays and months."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from crmlab.base.ipt import ALL
from crmlab.base.rhythm import Rhythm
from crmlab.base.timing import NextPurchase
from crmlab.contract import Sentence, localise, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, label, plot

SEGMENTS = 20
"""Segments of a picture: the largest."""


@plot
def due(result: NextPurchase) -> Axes:
    """Share of each segment's customers who are not yet due, due, and overdue."""
    table = result.by_segment
    parts = table[(table["customers"] >= FEWEST) & table["due"].notna()].head(SEGMENTS)
    ax = axes("Who is due, who is overdue", result.basis, height=1.4 + 0.36 * max(len(parts), 2))
    if parts.empty:
        ax.set_axis_off()
        return finish(ax, alt=Sentence("Nothing is known of when customers are due."))
    at, left = np.arange(len(parts)), np.zeros(len(parts))
    early = 1 - parts["due"] - parts["overdue"]
    drawn = (
        (early, PALETTE[7], say("not due by now")),
        (parts["due"], PALETTE[0], say("due by now")),
        (parts["overdue"], PALETTE[1], say("overdue")),
    )
    for share, colour, what in drawn:
        ax.barh(at, share, left=left, color=colour, label=what)
        for y, (x, wide) in enumerate(zip(left, share, strict=True)):
            if wide >= 0.06:
                text = {"color": "black" if colour == PALETTE[7] else "white", "ha": "center", "va": "center"}
                ax.text(x + wide / 2, y, localise(f"{wide:.0%}"), fontsize=7, **text)
        left = left + share.to_numpy()
    names = [say("all customers") if s == ALL else label(n) for s, n in parts[["segment", "name"]].to_numpy()]
    ax.set_yticks(at, names)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.grid(visible=False)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    worst = parts.sort_values(["overdue", "segment"], ascending=[False, True]).iloc[0]
    whole = parts.iloc[0]
    alt = Sentence(
        "Bars: {due:.0%} of all customers are due and {overdue:.0%} overdue; most overdue is {name} with {most:.0%}.",
        {"due": float(whole["due"]), "overdue": float(whole["overdue"]), "most": float(worst["overdue"])}
        | {"name": say("all customers") if worst["segment"] == ALL else worst["name"]},
    )
    return finish(ax, alt=alt, x="share of the segment's customers", percent="x")


@plot
def foretold(result: NextPurchase) -> Axes | None:
    """Customers by their probability of coming back in the days withheld, and how many did."""
    if result.bands.empty:
        return None
    bands = result.bands[result.bands["customers"] >= FEWEST]
    title = Sentence("Were returns foretold? The last {days} days, withheld", {"days": result.withheld_days})
    ax = axes(title, result.basis, width=5.4, height=4.2)
    ax.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--", label=say("as foretold"))
    error = [bands["observed"] - bands["low"], bands["high"] - bands["observed"]]
    ax.errorbar(bands["expected"], bands["observed"], yerr=np.abs(error), fmt="o", color=PALETTE[0], capsize=2)
    ax.legend(frameon=False, loc="upper left")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    back = result.calibration.set_index("key").loc["back"]
    alt = Sentence(
        "Points of {n} groups of customers: {said:.0%} were expected to come back, {came:.0%} did.",
        {"n": len(bands), "said": float(back["expected"]), "came": float(back["observed"])},
    )
    return finish(ax, alt=alt, x="expected to come back", y="came back, 90 % interval", percent="xy")


@plot
def rhythm(result: Rhythm) -> Axes:
    """Share of the purchases of each segment by weekday, as a heat map around an even day."""
    whole = result.table.groupby("segment", sort=False)["customers"].transform("max")
    table = result.table[whole >= FEWEST]
    segments = list(dict.fromkeys(table["segment"]))[:SEGMENTS]
    ax = axes("On which days customers buy", result.basis, height=1.6 + 0.34 * max(len(segments), 1))
    if not segments:
        ax.set_axis_off()
        return finish(ax, alt=Sentence("There is no weekday pattern to show."))
    shares = table["share"].where((table["customers"] >= FEWEST) | (table["customers"] == 0))
    grid = table.assign(share=shares).pivot(index="segment", columns="weekday", values="share").loc[segments]
    names = dict(zip(table["segment"], table["name"], strict=True)) | {ALL: say("all customers")}
    days = table.drop_duplicates("weekday").set_index("weekday")["day"]
    text = grid.map(lambda v: "" if np.isnan(v) else localise(f"{v:.0%}"))
    grid = grid.set_axis([label(names[s]) for s in segments]).set_axis([say(days[d]) for d in grid.columns], axis=1)
    limit = max(float(np.nanmax(np.abs(grid.to_numpy() - 1 / 7))), 0.05)
    norm = TwoSlopeNorm(1 / 7, 1 / 7 - limit, 1 / 7 + limit)
    sns.heatmap(grid, ax=ax, annot=text, fmt="", cmap="RdBu_r", norm=norm, cbar=False, linewidths=0.5)
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=30)
    top = table[table["segment"] == segments[0]].sort_values(["share", "weekday"], ascending=[False, True])
    alt = Sentence(
        "Heat map of {n} rows by weekday: of all purchases {most:.0%} fall on {day}, {least:.0%} on {low}.",
        {"n": len(segments), "most": float(top["share"].iloc[0]), "day": say(top["day"].iloc[0])}
        | {"least": float(top["share"].iloc[-1]), "low": say(top["day"].iloc[-1])},
    )
    return finish(ax, alt=alt)


@plot
def season(result: Rhythm) -> Axes | None:
    """Purchases of each month of the year against an average month, beside the trend; nothing before two years."""
    if result.season.empty:
        return None
    table = result.season[result.season["segment"] == ALL]
    ax = axes("In which months customers buy", result.basis)
    ax.axhline(1, color="#888", linewidth=1)
    ax.fill_between(table["month"], table["low"], table["high"], color=PALETTE[0], alpha=0.2, linewidth=0)
    ax.plot(table["month"], table["index"], color=PALETTE[0], marker="o")
    ax.set_xticks(table["month"], [say(m)[:3] for m in table["called"]])
    ax.set_ylim(bottom=0)
    top, low = (table.iloc[int(place(table["index"].round(9)))] for place in (np.argmax, np.argmin))
    alt = Sentence(
        "Line with 90 % band: {most:.0%} of an average month's purchases in {top}, {least:.0%} in {low}.",
        {"most": float(top["index"]), "top": say(top["called"])}
        | {"least": float(low["index"]), "low": say(low["called"])},
    )
    return finish(ax, alt=alt, y="purchases against an average month, 90 % band", percent="y")
