"""What forecasts of the past were worth, as a result: table, records, and what may be said of them."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from scipy.stats import beta

from crmlab.contract import Basis, Result, Sentence, mark

FORECAST, MODEL, NAIVE = mark("forecast"), mark("model alone"), mark("the last weeks again")
NOMINAL = 0.9
FEWEST_CASES = 5
"""Forecasts of the past below which nothing is said of coverage."""

USEFUL = 2 / 3
"""Share of the naive forecast's width that the forecast should not exceed."""


@dataclass(frozen=True, eq=False)
class RollingOrigins(Result):
    """Forecasts made at many dates of the past, against what then happened.

    Attributes
    ----------
    table
        horizon (weeks), method, origins, coverage_50, coverage_90, width (of the 90 % interval over the actual total,
        mean), interval_score (of the 90 % interval over the actual total, mean; Gneiting & Raftery 2007, eq. 43;
        lower is better).
    records
        One row an origin × horizon × method: origin, horizon, method, actual, median, low_50, high_50, low_90, high_90.
    independent
        Periods that fit between the first origin and the last forecast's end without overlapping: mean over horizons.
    left_out
        Origins at which the model could not be fitted.
    """

    table: pd.DataFrame
    basis: Basis
    records: pd.DataFrame
    independent: float
    left_out: int = 0

    title: ClassVar[str] = "Forecasts of the past against what happened"
    note: ClassVar[str] = (
        "At each origin everything was fitted on what had been seen by then. Coverage: how often the interval held the "
        "actual total of repeat purchases. Width and interval score are shares of the actual total; the score adds a "
        "penalty for every miss, lower is better. The last weeks again: as many purchases as in the same number of "
        "weeks before, with the errors it made at the other origins."
    )
    columns: ClassVar = {
        "horizon": ("weeks ahead", ",.0f"),
        "method": ("method", "word"),
        "origins": ("origins", ",.0f"),
        "coverage_50": ("held by 50 % interval", ".0%"),
        "coverage_90": ("held by 90 % interval", ".0%"),
        "width": ("width (90 %)", ".2f"),
        "interval_score": ("interval score", ".2f"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def mean(self, method: str) -> pd.Series:
        """A method's coverage, width and score, each the mean over all its forecasts."""
        own = self.table[self.table["method"] == method]
        figures = own[["coverage_50", "coverage_90", "width", "interval_score"]]
        return figures.mul(own["origins"], axis=0).sum() / own["origins"].sum()

    def sentences(self) -> list[Sentence]:
        """Whether the nominal coverage holds, what the model alone does, and whether the width is of use."""
        if self.table.empty and self.left_out:
            return self._left_out()
        if self.table.empty:
            return [
                Sentence("The history is too short to make forecasts of its own past and check them.", tone="warn"),
            ]
        return [self._coverage(), self._model(), *self._width(), *self._left_out()]

    def _coverage(self) -> Sentence:
        covered = self.mean(FORECAST)["coverage_90"]
        low, high = compatible(covered, self.independent)
        values = {
            "covered": covered,
            "cases": int((self.records["method"] == FORECAST).sum()),
            "origins": self.records["origin"].nunique(),
            "independent": max(round(self.independent), 1),
        }
        if values["cases"] < FEWEST_CASES:
            return Sentence(
                "The history allows only {cases:,} forecasts of its own past, too few to say how far the interval can "
                "be trusted: {covered:.0%} of them held.",
                values,
                tone="warn",
            )
        if low <= NOMINAL <= high:
            return Sentence(
                "The forecast's 90 % interval held the actual total in {covered:.0%} of {cases:,} cases from "
                "{origins:,} origins: compatible with 90 %. The periods overlap and are worth about {independent:,} "
                "separate ones, so this is no proof.",
                values,
                tone="good",
            )
        if covered < NOMINAL:
            return Sentence(
                "The forecast's 90 % interval held the actual total in only {covered:.0%} of {cases:,} cases from "
                "{origins:,} origins, too seldom even though the periods overlap and are worth only about "
                "{independent:,} separate ones: do not trust its width.",
                values,
                tone="bad",
            )
        return Sentence(
            "The forecast's 90 % interval held the actual total in {covered:.0%} of {cases:,} cases from {origins:,} "
            "origins: more often than it claims, so it is wider than need be.",
            values,
            tone="warn",
        )

    def _model(self) -> Sentence:
        own, alone = self.mean(FORECAST), self.mean(MODEL)
        values = {"alone": alone["coverage_90"], "score": alone["interval_score"], "own": own["interval_score"]}
        if own["interval_score"] < alone["interval_score"]:
            return Sentence(
                "The model alone held {alone:.0%} of them with its 90 % interval; by interval score the forecast is "
                "better ({own:.2f} against {score:.2f}).",
                values,
            )
        return Sentence(
            "The model alone held {alone:.0%} of them with its 90 % interval; by interval score the forecast is no "
            "better ({own:.2f} against {score:.2f}).",
            values,
            tone="warn",
        )

    def _width(self) -> list[Sentence]:
        naive = self.table[self.table["method"] == NAIVE]
        if naive.empty:
            return []
        own = self.table[(self.table["method"] == FORECAST) & self.table["horizon"].isin(naive["horizon"])]
        values = {"own": own["width"].mean(), "naive": naive["width"].mean()}
        values["ratio"] = values["own"] / values["naive"]
        if values["ratio"] <= USEFUL:
            return [
                Sentence(
                    "Its 90 % interval is {own:.0%} of the actual total wide, {ratio:.0%} of the width that expecting "
                    "the last weeks again would need ({naive:.0%}).",
                    values,
                    tone="good",
                )
            ]
        if values["ratio"] < 1:
            return [
                Sentence(
                    "Its 90 % interval is {own:.0%} of the actual total wide, not much narrower than expecting the "
                    "last weeks again would need ({naive:.0%}).",
                    values,
                )
            ]
        return [
            Sentence(
                "Its 90 % interval is {own:.0%} of the actual total wide, no narrower than expecting the last weeks "
                "again would need ({naive:.0%}): for the total, the model is of no use here.",
                values,
                tone="warn",
            )
        ]

    def _left_out(self) -> list[Sentence]:
        if not self.left_out:
            return []
        return [Sentence("{n:,} origins are left out: the model could not be fitted there.", {"n": self.left_out})]


def compatible(share: float, number: float) -> tuple[float, float]:
    """95 % interval of a share seen in `number` independent cases (Clopper & Pearson 1934), number not whole too."""
    hits = share * number
    low = beta.ppf(0.025, hits, number - hits + 1) if hits > 0 else 0.0
    high = beta.ppf(0.975, hits + 1, number - hits) if hits < number else 1.0
    return float(low), float(high)
