"""Picture of the company forecast."""

import numpy as np
from matplotlib.axes import Axes

from crmlab.clv.company.ahead import NoForecast
from crmlab.clv.company.forecast_result import CompanyForecast
from crmlab.contract import Sentence, say
from crmlab.plots.frame import PALETTE, axes, finish, plot


@plot
def company_forecast(forecast: CompanyForecast | NoForecast) -> Axes | None:
    """Repeat purchases of the weeks observed, and the weeks ahead: median, 50 % and 90 %, the model alone as a band."""
    if isinstance(forecast, NoForecast):
        return None
    ax = axes("Repeat purchases a week, of all customers acquired so far", forecast.basis)
    past, table = forecast.past, forecast.table
    ends = table["ends"].to_numpy()
    ax.plot(past["ends"], past["repeats"], color=PALETTE[5], linewidth=1.2, label=say("observed"))
    ax.plot(
        past["ends"],
        past["expected"],
        color=PALETTE[3],
        linewidth=0.9,
        linestyle=":",
        label=say("expected by the model"),
    )
    ax.fill_between(ends, table["low_90"], table["high_90"], color=PALETTE[0], alpha=0.15, label=say("90 % interval"))
    ax.fill_between(ends, table["low_50"], table["high_50"], color=PALETTE[0], alpha=0.3, label=say("50 % interval"))
    ax.plot(ends, table["median"], color=PALETTE[0], label=say("forecast (median)"))
    ax.fill_between(
        ends,
        table["plain_low"],
        table["plain_high"],
        facecolor="none",
        edgecolor=PALETTE[3],
        linewidth=0.9,
        linestyle="--",
        label=say("model alone, 90 %"),
    )
    highest = max(past["repeats"].max(), float(np.quantile(table["high_90"], 0.95)), table["plain_high"].max())
    ax.set_ylim(0, 1.05 * highest or 1)
    ax.tick_params(axis="x", rotation=30)
    ax.legend(frameon=False, fontsize=7, ncols=2)
    last = table.iloc[-1]
    alt = Sentence(
        "Repeat purchases a week: {past} weeks observed, the last with {repeats:,.0f}; {weeks} weeks ahead, the last "
        "with a median of {median:,.0f} (90 % interval {low:,.0f} to {high:,.0f}; the model alone {plain_low:,.0f} to "
        "{plain_high:,.0f}).",
        {
            "past": len(past),
            "repeats": past["repeats"].iloc[-1],
            "weeks": len(table),
            "median": last["median"],
            "low": last["low_90"],
            "high": last["high_90"],
            "plain_low": last["plain_low"],
            "plain_high": last["plain_high"],
        },
    )
    return finish(ax, alt=alt, x="week ending", y="repeat purchases", thousands="y")
