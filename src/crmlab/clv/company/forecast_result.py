"""The company forecast as a result: table, draws, and what may be said of them."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.tables import INTERVAL
from crmlab.contract import Basis, Result, Sentence
from crmlab.contract.result import FEWEST

MIDDLE = (0.25, 0.75)
YEAR_SEEN = 52
HORIZONS = (4, 13, 26, 52)
CLEARLY_WIDER = 1.2
NOTABLE_SHIFT = 0.02


@dataclass(frozen=True, eq=False)
class CompanyForecast(Result):
    """Repeat purchases of the customers acquired so far, week by week.

    Attributes
    ----------
    table
        One row a week ahead: week, ends; median, low_50, high_50, low_90, high_90 of the week's purchases; plain,
        plain_low, plain_low_50, plain_high_50, plain_high (by the model without a calendar); the same with ``total_``
        before the name, of all purchases up to the week's end.
    past
        One row a whole week observed: ends, repeats, expected (by the model, given when customers came).
    draws
        (draws, weeks): purchases.
    segment_names, segment_customers, segment_draws
        Names; customers; (segments, draws, weeks), which add up to `draws`.
    observed_weeks
        Whole weeks of history.
    widened
        Whether the variance of the log was raised, the history being short.
    campaign_effect
        (draws,): effect on the log of purchases of a campaign that reaches everybody; empty without campaigns.
    planned_reach
        Largest share of the base that planned campaigns contact in a week ahead.
    """

    table: pd.DataFrame
    basis: Basis
    past: pd.DataFrame
    draws: np.ndarray
    segment_names: tuple[str, ...]
    segment_customers: np.ndarray
    segment_draws: np.ndarray
    observed_weeks: int
    widened: bool
    campaign_effect: np.ndarray
    planned_reach: float

    title: ClassVar[str] = "Repeat purchases ahead, of all customers acquired so far"
    note: ClassVar[str] = (
        "Cumulative from the day after the last one observed. The forecast moves the model's expectation by the drift, "
        "the season and the shocks seen in past weeks; beside it the interval of the model alone, which knows no "
        "calendar. Customers not yet acquired are not in it."
    )
    columns: ClassVar = {
        "week": ("weeks ahead", ",.0f"),
        "total_median": ("purchases (median)", ",.0f"),
        "total_low_50": ("low (50 %)", ",.0f"),
        "total_high_50": ("high (50 %)", ",.0f"),
        "total_low_90": ("low (90 %)", ",.0f"),
        "total_high_90": ("high (90 %)", ",.0f"),
        "total_plain_low": ("model alone, low (90 %)", ",.0f"),
        "total_plain_high": ("model alone, high (90 %)", ",.0f"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def shown(self) -> pd.DataFrame:
        """The totals after 4, 13, 26 and 52 weeks, and at the end."""
        return self.table[self.table["week"].isin((*HORIZONS, len(self.table)))]

    def headline(self) -> Sentence:
        """The total and its interval."""
        return self._total()

    def sentences(self) -> list[Sentence]:
        """The total, how it compares with the model alone and why, what the history has not seen, campaigns."""
        return [self._total(), self._against_model(), *self._history(), *self._campaigns()]

    def _total(self) -> Sentence:
        last = self.table.iloc[-1]
        return Sentence(
            "In the next {weeks} weeks the customers acquired so far will make about {median:,.0f} repeat purchases: "
            "between {low_50:,.0f} and {high_50:,.0f} with even odds, between {low:,.0f} and {high:,.0f} with nine in "
            "ten.",
            {
                "weeks": len(self.table),
                "median": last["total_median"],
                "low_50": last["total_low_50"],
                "high_50": last["total_high_50"],
                "low": last["total_low_90"],
                "high": last["total_high_90"],
            },
        )

    def _against_model(self) -> Sentence:
        last = self.table.iloc[-1]
        plain_width = last["total_plain_high"] - last["total_plain_low"]
        times = (last["total_high_90"] - last["total_low_90"]) / max(plain_width, 1.0)
        shift = last["total_median"] / max(last["total_plain"], 1.0) - 1
        values = {
            "low": last["total_plain_low"],
            "high": last["total_plain_high"],
            "times": times,
            "shift": abs(shift),
            "weeks": self.observed_weeks,
        }
        if times <= CLEARLY_WIDER:
            return Sentence(
                "The model alone would say {low:,.0f} to {high:,.0f}: about as wide, since purchases of the past "
                "{weeks} weeks kept to what it expects.",
                values,
            )
        if shift > NOTABLE_SHIFT:
            return Sentence(
                "The model alone would say {low:,.0f} to {high:,.0f}. This interval is {times:.1f} times as wide: it "
                "counts the drift, season and shocks that move all customers together, as far as {weeks} weeks tell "
                "of them. It is {shift:.0%} higher, as purchasing or its season stands above the model.",
                values,
            )
        if shift < -NOTABLE_SHIFT:
            return Sentence(
                "The model alone would say {low:,.0f} to {high:,.0f}. This interval is {times:.1f} times as wide: it "
                "counts the drift, season and shocks that move all customers together, as far as {weeks} weeks tell "
                "of them. It is {shift:.0%} lower, as purchasing or its season stands below the model.",
                values,
            )
        return Sentence(
            "The model alone would say {low:,.0f} to {high:,.0f}. This interval is {times:.1f} times as wide: it "
            "counts the drift, season and shocks that move all customers together, as far as {weeks} weeks tell of "
            "them.",
            values,
        )

    def _history(self) -> list[Sentence]:
        values = {"weeks": self.observed_weeks}
        if self.observed_weeks < YEAR_SEEN:
            return [
                Sentence(
                    "Cold start: with {weeks} weeks of history this forecast has not seen a whole year. A season still "
                    "to come is unknown to it; its interval is widened, and may still be too narrow.",
                    values,
                    tone="warn",
                )
            ]
        if self.widened:
            return [
                Sentence(
                    "{weeks} weeks of history hold each season once at most: the interval is widened for that.", values
                )
            ]
        return []

    def _campaigns(self) -> list[Sentence]:
        if not len(self.campaign_effect):
            return []
        low, high = np.expm1(np.quantile(self.campaign_effect, INTERVAL))
        values = {"low": low, "high": high, "reach": self.planned_reach}
        if low > 0 or high < 0:
            first = Sentence(
                "Weeks in which a campaign reached everybody would see purchases change by {low:+.0%} to {high:+.0%} "
                "(90 % interval): more than chance, though other things may have happened in the same weeks.",
                values,
            )
        else:
            first = Sentence(
                "Weeks in which a campaign reached everybody would see purchases change by {low:+.0%} to {high:+.0%} "
                "(90 % interval): past campaigns do not show whether they moved the total.",
                values,
            )
        if not self.planned_reach:
            return [first]
        return [first, Sentence("Planned campaigns, up to {reach:.0%} of customers in a week, are counted in.", values)]

    def by_segment(self) -> "SegmentForecast":
        """Totals of the segments over the whole horizon."""
        totals = self.segment_draws.sum(axis=2)
        low, median, high = np.quantile(totals, (INTERVAL[0], 0.5, INTERVAL[1]), axis=1)
        table = pd.DataFrame(
            {
                "segment": self.segment_names,
                "customers": self.segment_customers,
                "median": median,
                "low": low,
                "high": high,
                "share": totals.mean(axis=1) / max(totals.sum(axis=0).mean(), 1.0),
            }
        )
        return SegmentForecast(table=table, basis=self.basis, weeks=len(self.table))


@dataclass(frozen=True, eq=False)
class SegmentForecast(Result):
    """Repeat purchases ahead by segment: segment, customers, median, low, high (90 %), share of the company's."""

    table: pd.DataFrame
    basis: Basis
    weeks: int

    title: ClassVar[str] = "Repeat purchases ahead by segment"
    note: ClassVar[str] = (
        "Segments share the calendar's drift, season and shocks, and add up to the company, draw by draw."
    )
    columns: ClassVar = {
        "segment": ("segment", ""),
        "customers": ("customers", ",.0f"),
        "median": ("purchases (median)", ",.0f"),
        "low": ("low (90 %)", ",.0f"),
        "high": ("high (90 %)", ",.0f"),
        "share": ("share of purchases", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """Which segment the purchases will come from."""
        seen = self.table[self.table["customers"] >= FEWEST]
        if len(seen) < 2:
            return []
        first = seen.sort_values("share", ascending=False, kind="stable").iloc[0]
        return [
            Sentence(
                "Most purchases of the next {weeks} weeks will come from {segment}: {share:.0%}, by {n:,} customers.",
                {"weeks": self.weeks, "segment": first["segment"], "share": first["share"], "n": first["customers"]},
            )
            if first["share"] > 0.5
            else Sentence(
                "No segment carries half of the next {weeks} weeks' purchases; most, {share:.0%}, come from {segment}.",
                {"weeks": self.weeks, "segment": first["segment"], "share": first["share"]},
            )
        ]


def interval_table(ends: list[date], purchases: np.ndarray, plain: np.ndarray) -> pd.DataFrame:
    """Medians and intervals by week and cumulative; `purchases` and `plain` are (draws, weeks)."""
    columns = {"week": np.arange(1, len(ends) + 1), "ends": ends}
    levels = (INTERVAL[0], MIDDLE[0], 0.5, MIDDLE[1], INTERVAL[1])
    for prefix, own, model in (("", purchases, plain), ("total_", purchases.cumsum(axis=1), plain.cumsum(axis=1))):
        names = [f"{prefix}{name}" for name in ("low_90", "low_50", "median", "high_50", "high_90")]
        columns |= dict(zip(names, np.quantile(own, levels, axis=0), strict=True))
        names = [f"{prefix}plain{name}" for name in ("_low", "_low_50", "", "_high_50", "_high")]
        columns |= dict(zip(names, np.quantile(model, levels, axis=0), strict=True))
    return pd.DataFrame(columns)
