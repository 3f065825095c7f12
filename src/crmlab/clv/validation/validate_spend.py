"""Spend in the period withheld: predicted against actual."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.fit import Fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.model import Arrays, SpendModel
from crmlab.clv.models.registry import spend_model
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.drawn import BLOCK, mean_purchases
from crmlab.clv.validation.scores import covered, gini, rank_correlation, ranks
from crmlab.clv.validation.withheld import Withheld, pace
from crmlab.clv.value.lifetime import tenths
from crmlab.clv.value.predict import blocks, kept
from crmlab.clv.value.spend import spend_fit
from crmlab.contract import Basis, Result, Sentence, generator
from crmlab.contract.result import FEWEST

SPEND_COLUMNS = ("group", "customers", "predicted", "actual", "order_predicted", "order_actual")
MOST_OF_A_FEW = 0.5
"""Share of the spend above which the five largest are named."""


@dataclass(frozen=True, eq=False)
class SpendValidation(Result):
    """Spend of the validation period, by a model of purchases and one of spend fitted to what came before.

    Attributes
    ----------
    table
        group (1: most spend predicted), customers, predicted, actual (spend a customer, currency), order_predicted,
        order_actual (mean value of a purchase of those of the group who bought). Empty where there is no fit.
    predicted, low, high, actual
        Spend of all customers: mean, 90 % predictive interval, what happened.
    mae, naive_mae
        Mean absolute error of a customer's spend; of carrying on the spend so far.
    rank_correlation, gini
        Order of customers by predicted against actual spend.
    covered_50, covered_90
        Share of customers' spend within their predictive intervals.
    order_mae, order_mean
        Mean absolute error of the value of a purchase, a customer, among those who bought; its actual mean.
    largest
        Share of the spend that the five customers who spent most made.
    model
        Title of the model of spend.
    unfit
        Why there is no table.
    """

    table: pd.DataFrame
    basis: Basis
    predicted: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    actual: float = float("nan")
    mae: float = float("nan")
    naive_mae: float = float("nan")
    rank_correlation: float = float("nan")
    gini: float = float("nan")
    covered_50: float = float("nan")
    covered_90: float = float("nan")
    order_mae: float = float("nan")
    order_mean: float = float("nan")
    largest: float = float("nan")
    model: str = ""
    unfit: tuple[Sentence, ...] = ()

    title: ClassVar[str] = "Validation: predicted against actual spend"
    note: ClassVar[str] = (
        "Customers ranked by the spend predicted for the weeks withheld. The value of a purchase is compared among "
        "those who bought."
    )
    columns: ClassVar = {
        "group": ("group", ",.0f"),
        "customers": ("customers", ",.0f"),
        "predicted": ("predicted spend", ",.2f"),
        "actual": ("actual spend", ",.2f"),
        "order_predicted": ("predicted value of a purchase", ",.2f"),
        "order_actual": ("actual value of a purchase", ",.2f"),
    }

    def sentences(self) -> list[Sentence]:
        """The total, the customers, and the value of a purchase."""
        if self.unfit:
            return list(self.unfit)
        values = {
            "model": self.model,
            "predicted": self.predicted,
            "low": self.low,
            "high": self.high,
            "actual": self.actual,
            "mae": self.mae,
            "naive": self.naive_mae,
            "half": self.covered_50,
            "most": self.covered_90,
            "order_mae": self.order_mae,
            "order_mean": self.order_mean,
        }
        return [self._total(values), self._customers(values), *self._orders(values), *self._few()]

    def _total(self, values: dict) -> Sentence:
        if self.low <= self.actual <= self.high:
            return Sentence(
                "These customers spent {actual:,.0f}; {predicted:,.0f} was predicted by {model} (90 % interval "
                "{low:,.0f} to {high:,.0f}): the interval holds it.",
                values,
                tone="good",
            )
        return Sentence(
            "These customers spent {actual:,.0f}; {predicted:,.0f} was predicted by {model} (90 % interval "
            "{low:,.0f} to {high:,.0f}): the interval misses.",
            values,
            tone="warn",
        )

    def _customers(self, values: dict) -> Sentence:
        if self.mae < self.naive_mae:
            return Sentence(
                "A customer's spend is missed by {mae:,.2f} on average, carrying on the spend so far misses by "
                "{naive:,.2f}; 90 % intervals hold {most:.0%} of customers' spend, 50 % intervals {half:.0%}.",
                values,
            )
        return Sentence(
            "A customer's spend is missed by {mae:,.2f} on average, no better than carrying on the spend so far "
            "({naive:,.2f}); 90 % intervals hold {most:.0%} of customers' spend, 50 % intervals {half:.0%}.",
            values,
            tone="warn",
        )

    def _orders(self, values: dict) -> list[Sentence]:
        if not np.isfinite(self.order_mae):
            return []
        return [
            Sentence(
                "Among those who bought, the value of a purchase is missed by {order_mae:,.2f} on average, of "
                "{order_mean:,.2f}.",
                values,
            )
        ]

    def _few(self) -> list[Sentence]:
        if not self.largest > MOST_OF_A_FEW:
            return []
        return [
            Sentence(
                "Five customers made {share:.0%} of this spend: its total and its errors hang on them.",
                {"share": self.largest},
                tone="warn",
            )
        ]


def validate_spend(withheld: Withheld, purchases: Fit, *, params: CLVParams, seed: int) -> SpendValidation:
    """Fit spend to the calibration and predict each customer's spend in the validation period.

    Parameters
    ----------
    withheld
        Calibration and validation.
    purchases
        Fit of a model of purchases to the calibration.
    params, seed
        Model of spend, draws to keep; the study's seed.
    """
    basis = withheld.basis()
    before = withheld.before
    faults = spend_model(params.spend).faults(before)
    if faults:
        why = Sentence("Spend cannot be validated: {why}.", {"why": faults[0].what}, tone="warn")
        return SpendValidation(pd.DataFrame(columns=SPEND_COLUMNS), basis, unfit=(why,))
    fitted = spend_fit(before, seed=seed, name="calibration", params=params, basis=withheld.basis(withheld.until))
    if not fitted.passed:
        return SpendValidation(pd.DataFrame(columns=SPEND_COLUMNS), basis, unfit=fitted.failures)
    worth = fitted.fitted
    number = min(params.kept_draws, *(next(iter(f.draws.values())).size for f in (purchases, fitted)))
    spend_draws = kept(fitted.draws, number)
    value = order_value(worth, spend_draws, before)
    timing, draws = purchases.fitted, kept(purchases.draws, number)
    predicted = mean_purchases(timing, draws, before, withheld.weeks) * value
    rng = generator(seed, "clv", "validation", "spend")
    below, upto, totals = np.empty(len(before)), np.empty(len(before)), 0.0
    for start in range(0, len(before), BLOCK):
        here = slice(start, start + BLOCK)
        counts = timing.future_purchases(draws, before.iloc[here], withheld.weeks, rng)
        spent = worth.future_spend(spend_draws, before.iloc[here], counts, rng)
        below[here], upto[here] = ranks(spent, withheld.spent[here])
        totals = totals + spent.sum(axis=0)
    found = _against(withheld, predicted, value, below, upto, totals, basis=basis)
    return replace(found, model=worth.title)


def order_value(worth: SpendModel, draws: Arrays, history: pd.DataFrame) -> np.ndarray:
    """(customers,) posterior mean of the expected value of a purchase."""
    parts = [worth.expected_value(draws, block).mean(axis=1) for block in blocks(history, BLOCK)]
    return np.concatenate(parts)


def _against(
    withheld: Withheld,
    predicted: np.ndarray,
    value: np.ndarray,
    below: np.ndarray,
    upto: np.ndarray,
    totals: np.ndarray,
    *,
    basis: Basis,
) -> SpendValidation:
    before, spent, actual = withheld.before, withheld.spent, withheld.actual
    low, high = np.quantile(totals, INTERVAL)
    so_far = pace(before, withheld.weeks) * np.nan_to_num(before["z_bar"])
    bought = actual > 0
    errors = np.abs(value[bought] - spent[bought] / actual[bought])
    enough = bought.sum() >= FEWEST
    return SpendValidation(
        table=_groups(predicted, spent, value, actual),
        basis=basis,
        predicted=float(predicted.sum()),
        low=float(low),
        high=float(high),
        actual=float(spent.sum()),
        mae=float(np.abs(predicted - spent).mean()),
        naive_mae=float(np.abs(so_far - spent).mean()),
        rank_correlation=rank_correlation(predicted, spent),
        gini=gini(predicted, spent),
        covered_50=covered(below, upto, 0.5),
        covered_90=covered(below, upto, 0.9),
        largest=float(np.sort(spent)[::-1][:FEWEST].sum() / spent.sum()) if spent.sum() else float("nan"),
        order_mae=float(errors.mean()) if enough else float("nan"),
        order_mean=float((spent[bought] / actual[bought]).mean()) if enough else float("nan"),
    )


def _groups(predicted: np.ndarray, spent: np.ndarray, value: np.ndarray, actual: np.ndarray) -> pd.DataFrame:
    of, records = tenths(predicted), []
    for number in range(1, of.max(initial=0) + 2):
        where = np.flatnonzero(of == number - 1)
        bought = where[actual[where] > 0]
        few = len(bought) < FEWEST
        records.append(
            {
                "group": number,
                "customers": len(where),
                "predicted": predicted[where].mean(),
                "actual": spent[where].mean(),
                "order_predicted": np.nan if few else value[bought].mean(),
                "order_actual": np.nan if few else (spent[bought] / actual[bought]).mean(),
            }
        )
    return pd.DataFrame(records, columns=SPEND_COLUMNS)
