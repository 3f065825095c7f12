"""What a validation found, as a result."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.fit import Fit
from crmlab.clv.validation.agreement import Coverage, Tenths
from crmlab.clv.validation.tracking import Tracking
from crmlab.clv.validation.validate_spend import SpendValidation
from crmlab.contract import Basis, Result, Sentence

MOST_OF_A_FEW = 0.5
"""Share of the squared errors above which the five largest are named."""


@dataclass(frozen=True, eq=False)
class Validation(Result):
    """Repeat purchases of the validation period: predicted against actual, by purchases before it.

    Attributes
    ----------
    table
        before (repeat purchases in the calibration period, a band), from_x, to_x, customers, predicted, low, high
        (mean a customer, 90 % predictive interval of that mean), actual (mean a customer). Empty where the history is
        too short or the fit failed its gate.
    weeks
        Length of the validation period.
    predicted, low, high
        Repeat purchases of all customers: predictive mean and 90 % interval.
    actual
        Their actual repeat purchases.
    mae, rmse
        Errors a customer, of the predictive mean.
    rank_correlation
        Spearman, predicted with actual over customers.
    gini
        Normalised Gini of the predicted order: 1 for the actual order, 0 for chance.
    naive_mae, naive_rank_correlation
        The same for "everyone goes on at the pace so far".
    largest_errors
        Share of the squared errors that the five largest make up.
    fit
        The fit on the calibration period; None where there is none.
    unfit
        Why there is no table.
    tenths, coverage, tracking, spend
        The same prediction by tenths of customers, by how often its intervals hold, week by week, and in money; None
        where there is no table.
    """

    table: pd.DataFrame
    basis: Basis
    weeks: int
    predicted: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    actual: float = float("nan")
    mae: float = float("nan")
    rmse: float = float("nan")
    rank_correlation: float = float("nan")
    gini: float = float("nan")
    naive_mae: float = float("nan")
    naive_rank_correlation: float = float("nan")
    largest_errors: float = float("nan")
    fit: Fit | None = None
    unfit: tuple[Sentence, ...] = ()
    tenths: Tenths | None = None
    coverage: Coverage | None = None
    tracking: Tracking | None = None
    spend: SpendValidation | None = None

    title: ClassVar[str] = "Validation: predicted against actual repeat purchases"
    note: ClassVar[str] = (
        "The model saw nothing of the validation period. Customers are grouped by their repeat purchases before it; "
        "means a customer, with the 90 % predictive interval of the group's mean."
    )
    columns: ClassVar = {
        "before": ("repeat purchases before", ""),
        "customers": ("customers", ",.0f"),
        "predicted": ("predicted", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "actual": ("actual", ",.2f"),
    }

    def sentences(self) -> list[Sentence]:
        """How good the prediction was: the total, the customers, and against the simplest rule."""
        if self.unfit:
            return list(self.unfit)
        values = {
            "weeks": self.weeks,
            "predicted": self.predicted,
            "low": self.low,
            "high": self.high,
            "actual": self.actual,
            "error": abs(self.predicted / self.actual - 1) if self.actual else float("nan"),
        }
        return [self._total(values), *self._customers(), *self._few()]

    def _total(self, values: dict) -> Sentence:
        if not self.actual:
            return Sentence(
                "Nobody bought in the {weeks} weeks withheld, though {predicted:,.0f} purchases were predicted (90 % "
                "interval {low:,.0f} to {high:,.0f}).",
                values,
                tone="warn",
            )
        if self.low <= self.actual <= self.high:
            return Sentence(
                "In the {weeks} weeks withheld, {actual:,.0f} repeat purchases happened; {predicted:,.0f} were "
                "predicted (90 % interval {low:,.0f} to {high:,.0f}): the interval holds the actual total.",
                values,
                tone="good",
            )
        if self.actual > self.high:
            return Sentence(
                "In the {weeks} weeks withheld, {actual:,.0f} repeat purchases happened; {predicted:,.0f} were "
                "predicted (90 % interval {low:,.0f} to {high:,.0f}): the interval misses, the model predicted too "
                "few, by {error:.0%}. It knows no calendar: do not trust its totals.",
                values,
                tone="warn",
            )
        return Sentence(
            "In the {weeks} weeks withheld, {actual:,.0f} repeat purchases happened; {predicted:,.0f} were "
            "predicted (90 % interval {low:,.0f} to {high:,.0f}): the interval misses, the model predicted too many, "
            "by {error:.0%}. It knows no calendar: do not trust its totals.",
            values,
            tone="warn",
        )

    def _customers(self) -> list[Sentence]:
        values = {
            "mae": self.mae,
            "rmse": self.rmse,
            "rank": self.rank_correlation,
            "naive": self.naive_mae,
            "naive_rank": self.naive_rank_correlation,
        }
        if not np.isfinite(self.rank_correlation):
            return [
                Sentence(
                    "A customer's purchases are missed by {mae:.2f} on average (root mean square {rmse:.2f}); carrying "
                    "on the pace so far misses by {naive:.2f}. There is no order of customers to compare.",
                    values,
                )
            ]
        if self.mae < self.naive_mae:
            return [
                Sentence(
                    "A customer's purchases are missed by {mae:.2f} on average (root mean square {rmse:.2f}); carrying "
                    "on the pace so far misses by {naive:.2f}. Predicted and actual rank customers alike with "
                    "correlation {rank:.2f} (pace so far: {naive_rank:.2f}).",
                    values,
                )
            ]
        return [
            Sentence(
                "A customer's purchases are missed by {mae:.2f} on average (root mean square {rmse:.2f}); carrying on "
                "the pace so far misses by {naive:.2f}: the model is no better than that rule here. Predicted and "
                "actual rank customers alike with correlation {rank:.2f} (pace so far: {naive_rank:.2f}).",
                values,
                tone="warn",
            )
        ]

    def _few(self) -> list[Sentence]:
        if not self.largest_errors > MOST_OF_A_FEW:
            return []
        return [
            Sentence(
                "The five customers missed most make up {share:.0%} of the squared error: the root mean square speaks "
                "of them, not of the base.",
                {"share": self.largest_errors},
                tone="warn",
            )
        ]
