"""Fit on the past, predict a period withheld from fitting, compare with what happened."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd

from crmlab.base.history import history as purchase_history
from crmlab.clv.fit import INTERVAL, Fit, fit
from crmlab.clv.models import purchase_model
from crmlab.clv.params import CLVParams
from crmlab.clv.predict import blocks, kept
from crmlab.contract import Basis, Result, Sentence, generator, mark
from crmlab.contract.result import FEWEST

FEWEST_WEEKS, FEWEST_CALIBRATION_WEEKS = 4, 8
FEWEST_CUSTOMERS = 50
LAST_SINGLE = 7
OCTILES = 8


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
    naive_mae, naive_rank_correlation
        The same for "everyone goes on at the pace so far".
    fit
        The fit on the calibration period; None where there is none.
    unfit
        Why there is no table.
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
    naive_mae: float = float("nan")
    naive_rank_correlation: float = float("nan")
    fit: Fit | None = None
    unfit: tuple[Sentence, ...] = ()

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
        return [self._total(values), self._customers()]

    def _total(self, values: dict) -> Sentence:
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

    def _customers(self) -> Sentence:
        values = {
            "mae": self.mae,
            "rmse": self.rmse,
            "rank": self.rank_correlation,
            "naive": self.naive_mae,
            "naive_rank": self.naive_rank_correlation,
        }
        if self.mae < self.naive_mae:
            return Sentence(
                "A customer's purchases are missed by {mae:.2f} on average (root mean square {rmse:.2f}); carrying on "
                "the pace so far misses by {naive:.2f}. Predicted and actual rank customers alike with correlation "
                "{rank:.2f} (pace so far: {naive_rank:.2f}).",
                values,
            )
        return Sentence(
            "A customer's purchases are missed by {mae:.2f} on average (root mean square {rmse:.2f}); carrying on the "
            "pace so far misses by {naive:.2f}: the model is no better than that rule here. Predicted and actual rank "
            "customers alike with correlation {rank:.2f} (pace so far: {naive_rank:.2f}).",
            values,
            tone="warn",
        )


def validate(orders: ibis.Table, *, as_of: date, params: CLVParams, seed: int) -> Validation:
    """Fit on the orders before the validation period and predict it.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen; the validation period ends with it.
    params
        Models, sampler, length of the validation period.
    seed
        The study's seed.
    """
    seen = orders.filter(orders["date"] <= as_of)
    first = seen["date"].min().execute()
    start = pd.Timestamp(first).date() if pd.notna(first) else as_of
    weeks = withheld_weeks(start, as_of, params=params)
    whole = Basis(0, mark("customers"), start, as_of)
    if not weeks:
        return nothing(whole, Sentence("The history is too short to withhold a period and validate the model."))
    until = as_of - timedelta(weeks=weeks)
    before = purchase_history(orders, as_of=until)
    if len(before) < FEWEST_CUSTOMERS or (before["x"] > 0).sum() < FEWEST_CUSTOMERS / 2:
        return nothing(whole, Sentence("Too few customers bought again before the validation period to fit the model."))
    seen_by_fit = Basis(len(before), mark("customers"), start, until)
    fitted = fit(before, params.purchases, seed=seed, name="calibration", params=params, basis=seen_by_fit)
    basis = Basis(len(before), mark("customers"), start, as_of)
    if not fitted.passed:
        return nothing(basis, *fitted.failures, fitted=fitted)
    days = seen.filter(seen["date"] > until).select("customer_id", "date").distinct()
    counts = days.group_by("customer_id").agg(purchases=days.count()).execute()
    actual = counts.set_index("customer_id")["purchases"].reindex(before["customer_id"], fill_value=0)
    return compare(before, actual.to_numpy(), fitted, weeks=weeks, params=params, seed=seed, basis=basis)


def withheld_weeks(start: date, as_of: date, *, params: CLVParams) -> int:
    """Weeks to withhold of the days from `start` to `as_of`; 0 where they do not suffice."""
    observed = ((as_of - start).days + 1) // 7
    weeks = min(params.validation_weeks, int(observed * params.validation_share))
    return weeks if weeks >= FEWEST_WEEKS and observed - weeks >= FEWEST_CALIBRATION_WEEKS else 0


def nothing(basis: Basis, *why: Sentence, fitted: Fit | None = None) -> Validation:
    """A validation without a table, saying why."""
    return Validation(pd.DataFrame(columns=BAND_COLUMNS), basis, 0, fit=fitted, unfit=why)


BAND_COLUMNS = ("before", "from_x", "to_x", "customers", "predicted", "low", "high", "actual")


def compare(
    before: pd.DataFrame,
    actual: np.ndarray,
    fitted: Fit,
    *,
    weeks: int,
    params: CLVParams,
    seed: int,
    basis: Basis,
) -> Validation:
    """Predictive distribution of the validation period against actual purchases.

    Parameters
    ----------
    before
        History up to the validation period, one row a customer.
    actual
        (customers,) purchases in the validation period.
    fitted
        Fit of a model of purchases to `before`.
    weeks
        Length of the validation period.
    params, seed, basis
        Draws to keep; the study's seed; what the comparison rests on.
    """
    model = purchase_model(fitted.model)
    draws = kept(fitted.draws, params.kept_draws)
    rng = generator(seed, "clv", "validation")
    parts = list(blocks(before))
    expected = np.concatenate([model.expected_purchases(draws, b, weeks)[0].mean(axis=1) for b in parts])
    drawn = np.concatenate([model.future_purchases(draws, b, weeks, rng) for b in parts])
    x, T = before["x"].to_numpy(), before["T"].to_numpy(float)
    pace = np.where(T > 0, x / np.where(T > 0, T, 1), 0) * weeks
    low, high = np.quantile(drawn.sum(axis=0), INTERVAL)
    return Validation(
        table=by_band(x, expected, drawn, actual),
        basis=basis,
        weeks=weeks,
        predicted=float(expected.sum()),
        low=float(low),
        high=float(high),
        actual=float(actual.sum()),
        mae=float(np.abs(expected - actual).mean()),
        rmse=float(np.sqrt(((expected - actual) ** 2).mean())),
        rank_correlation=rank_correlation(expected, actual),
        naive_mae=float(np.abs(pace - actual).mean()),
        naive_rank_correlation=rank_correlation(pace, actual),
        fit=fitted,
    )


def by_band(x: np.ndarray, expected: np.ndarray, drawn: np.ndarray, actual: np.ndarray) -> pd.DataFrame:
    """Means a customer in each band of x; `drawn` is (customers, draws), the others (customers,)."""
    records = []
    edges = bands(x)
    for lowest, highest in edges:
        inside = (x >= lowest) & (x <= highest)
        low, high = np.quantile(drawn[inside].mean(axis=0), INTERVAL)
        last = highest == edges[-1][1]
        several = f"{lowest}+" if last else f"{lowest}–{highest}"
        records.append(
            {
                "before": str(lowest) if lowest == highest else several,
                "from_x": lowest,
                "to_x": highest,
                "customers": int(inside.sum()),
                "predicted": float(expected[inside].mean()),
                "low": float(low),
                "high": float(high),
                "actual": float(actual[inside].mean()),
            }
        )
    return pd.DataFrame(records, columns=BAND_COLUMNS)


def bands(x: np.ndarray) -> list[tuple[int, int]]:
    """Bands of x as (lowest, highest): 0, 1, … 6, 7+; eighths of the customers where most have 7 or more.

    A band of fewer than `FEWEST` customers is joined to the one below it (the first, to the one above).
    """
    if (x >= LAST_SINGLE).mean() > 0.5:
        starts = np.unique(np.quantile(x, np.arange(OCTILES) / OCTILES).astype(int))
    else:
        starts = np.unique(np.minimum(x, LAST_SINGLE)).astype(int)
    starts[0] = x.min()
    chosen: list[int] = []
    for k, start in enumerate(starts):
        end = starts[k + 1] if k + 1 < len(starts) else np.inf
        if not chosen or ((x >= start) & (x < end)).sum() >= FEWEST:
            chosen.append(int(start))
    if len(chosen) > 1 and (x < chosen[1]).sum() < FEWEST:
        del chosen[1]
    ends = [s - 1 for s in chosen[1:]] + [int(x.max())]
    return list(zip(chosen, ends, strict=True))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; ties share a rank; not a number where one side does not vary."""
    ranks = pd.Series(a).round(9).rank().to_numpy(), pd.Series(b).rank().to_numpy()
    if any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
