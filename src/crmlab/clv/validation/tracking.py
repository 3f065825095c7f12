"""Repeat purchases week by week, over calibration and validation: expected against actual."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator
from scipy.stats import binom

from crmlab.clv.company.forecast import acquired, repeats_before
from crmlab.clv.company.rolling import repeats_after
from crmlab.clv.fitting.fit import Fit
from crmlab.clv.models.model import Arrays, PurchaseModel
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.drawn import mean_purchases
from crmlab.clv.validation.withheld import Withheld
from crmlab.clv.value.predict import kept
from crmlab.contract import Basis, Result, Sentence, mark

KNOTS_AHEAD = 8
UNLIKELY = 0.05
NEAR, BUSY = 0.1, 1.5
SETTLED_WEEKS = 4


@dataclass(frozen=True, eq=False)
class Tracking(Result):
    """Repeat purchases a week of the customers acquired before the validation period.

    Attributes
    ----------
    table
        week (its number; 0 is the last of the calibration), ending (date), period, actual, expected,
        cumulative_actual, cumulative_expected (both from the first day on); low, high (the model's 90 % interval of
        the cumulative number, in the validation period). Expected in the calibration: from first purchase days alone;
        in the validation period: given each history.
    calendar
        The company forecast of the same weeks, which knows drift and season: `crmlab.clv.company.forecast_result`.
    """

    table: pd.DataFrame
    basis: Basis
    calendar: pd.DataFrame

    title: ClassVar[str] = "Repeat purchases week by week in the period withheld"
    note: ClassVar[str] = (
        "Purchases of the customers who were there when the period began. The interval is that of the number since "
        "then."
    )
    columns: ClassVar = {
        "ending": ("week ending", ""),
        "actual": ("actual", ",.0f"),
        "expected": ("expected", ",.1f"),
        "since_expected": ("expected since the start", ",.0f"),
        "since_low": ("low (90 %)", ",.0f"),
        "since_high": ("high (90 %)", ",.0f"),
    }
    people: ClassVar[tuple[str, ...]] = ("actual",)

    def shown(self) -> pd.DataFrame:
        """The weeks of the validation period, counted from its start."""
        ahead = self.ahead()
        so_far = self.table.loc[self.table["week"] <= 0, "cumulative_actual"].iloc[-1]
        return ahead.assign(
            since_expected=ahead["expected"].cumsum(),
            since_low=ahead["low"] - so_far,
            since_high=ahead["high"] - so_far,
        )

    def ahead(self) -> pd.DataFrame:
        """The weeks of the validation period."""
        return self.table[self.table["week"] > 0]

    def sentences(self) -> list[Sentence]:
        """Whether the past is described, whether the gap builds up, and how busy the busiest week was."""
        return [self._past(), *self._gap(), *self._busiest()]

    def _past(self) -> Sentence:
        last = self.table[self.table["week"] <= 0].iloc[-1]
        actual, implied = float(last["cumulative_actual"]), float(last["cumulative_expected"])
        values = {"actual": actual, "expected": implied, "error": implied / actual - 1}
        if abs(values["error"]) <= NEAR:
            return Sentence(
                "Before the period withheld the model implies {expected:,.0f} repeat purchases; {actual:,.0f} happened "
                "({error:+.1%}): it describes the past.",
                values,
            )
        return Sentence(
            "Before the period withheld the model implies {expected:,.0f} repeat purchases; {actual:,.0f} happened "
            "({error:+.1%}): it does not even describe the past it was fitted to.",
            values,
            tone="warn",
        )

    def _gap(self) -> list[Sentence]:
        ahead = self.ahead()
        more, weeks = int((ahead["actual"] > ahead["expected"]).sum()), len(ahead)
        values = {"weeks": weeks, "above": more / weeks, "below": 1 - more / weeks}
        if binom.sf(more - 1, weeks, 0.5) < UNLIKELY:
            return [
                Sentence(
                    "In {above:.0%} of the {weeks} weeks withheld more happened than expected: the gap is not that of "
                    "single weeks.",
                    values,
                    tone="warn",
                )
            ]
        if binom.cdf(more, weeks, 0.5) < UNLIKELY:
            return [
                Sentence(
                    "In {below:.0%} of the {weeks} weeks withheld less happened than expected: the gap is not that of "
                    "single weeks.",
                    values,
                    tone="warn",
                )
            ]
        return [
            Sentence("The {weeks} weeks withheld lie on both sides of what was expected ({above:.0%} above).", values)
        ]

    def _busiest(self) -> list[Sentence]:
        settled = self.table[(self.table["expected"] > 0) & (self.table.index >= SETTLED_WEEKS)]
        if settled.empty:
            return []
        ratio = settled["actual"] / settled["expected"]
        top = ratio.idxmax()
        if not ratio[top] >= BUSY:
            return []
        return [
            Sentence(
                "The busiest week for its time ended on {ending} with {ratio:.1f} times what was expected: the model "
                "knows no season and no campaign.",
                {"ending": str(settled.loc[top, "ending"]), "ratio": float(ratio[top])},
            )
        ]


def track(
    orders: ibis.Table,
    withheld: Withheld,
    fitted: Fit,
    calendar: pd.DataFrame,
    *,
    params: CLVParams,
) -> Tracking:
    """Expected and actual repeat purchases of each week.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    withheld
        Calibration and validation.
    fitted
        Fit of a model of purchases to the calibration.
    calendar
        Table of the company forecast for the validation period: `crmlab.clv.company.forecast.forecast`.
    params
        Draws to keep.
    """
    model, draws = fitted.fitted, kept(fitted.draws, params.kept_draws)
    ages = (withheld.before["T"].to_numpy() * 7).round().astype(int)
    oldest = -(-int(ages.max()) // 7)
    weeks = np.arange(1 - oldest, withheld.weeks + 1)
    past, since = repeats_before(orders, withheld.until, oldest), repeats_after(orders, withheld.until, withheld.weeks)
    actual = np.concatenate([past, since])
    days, numbers = np.unique(ages, return_counts=True)
    curve = acquired(model, draws, withheld.before, longest=days[-1] / 7)
    ends = np.arange(-oldest, 1)[:, None] * 7 + days  # age at the end of each week, days
    implied = (numbers * curve(np.maximum(ends, 0) / 7)).sum(axis=1)
    ahead = conditional(model, draws, withheld)
    per_week = np.concatenate([np.diff(implied), np.diff(ahead)])
    so_far = actual[:oldest].sum()
    nothing = np.full(oldest, np.nan)
    table = pd.DataFrame(
        {
            "week": weeks,
            "ending": [withheld.until + timedelta(weeks=int(w)) for w in weeks],
            "period": np.where(weeks > 0, mark("validation"), mark("calibration")),
            "actual": actual,
            "expected": per_week,
            "cumulative_actual": actual.cumsum(),
            "cumulative_expected": np.concatenate([implied[1:], so_far + ahead[1:]]),
            "low": np.concatenate([nothing, so_far + calendar["total_plain_low"]]),
            "high": np.concatenate([nothing, so_far + calendar["total_plain_high"]]),
        }
    )
    return Tracking(table, withheld.basis(), calendar)


def conditional(model: PurchaseModel, draws: Arrays, withheld: Withheld) -> np.ndarray:
    """(weeks + 1,) purchases expected by the end of weeks 0, 1, … of the validation period, given each history."""
    knots = np.unique(np.linspace(1, withheld.weeks, min(withheld.weeks, KNOTS_AHEAD)).round())
    sums = [mean_purchases(model, draws, withheld.before, t).sum() for t in knots]
    return PchipInterpolator(np.append(0, knots), np.append(0, sums))(np.arange(withheld.weeks + 1))
