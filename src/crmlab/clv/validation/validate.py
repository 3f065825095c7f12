"""Fit on the past, predict a period withheld from fitting, compare with what happened."""

from dataclasses import replace
from datetime import date

import ibis
import numpy as np
import pandas as pd

from crmlab.clv.chosen import counts_chances
from crmlab.clv.company.forecast import forecast
from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.agreement import in_tenths, interval_coverage, with_calendar
from crmlab.clv.validation.bands import BAND_COLUMNS, by_band, in_bands
from crmlab.clv.validation.drawn import drawn, mean_purchases
from crmlab.clv.validation.scores import gini, rank_correlation
from crmlab.clv.validation.tracking import track
from crmlab.clv.validation.validate_spend import validate_spend
from crmlab.clv.validation.validation_result import Validation
from crmlab.clv.validation.withheld import pace, withhold
from crmlab.clv.value.lifetime import tenths
from crmlab.clv.value.predict import kept
from crmlab.contract import Basis, Sentence, generator
from crmlab.contract.result import FEWEST

NUMBERS = 2_000_000
"""Purchases drawn, customers times draws, from which intervals are read: more draws where customers are few."""


def validate(
    orders: ibis.Table, *, as_of: date, params: CLVParams, seed: int, segments: pd.Series | None = None
) -> Validation:
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
    segments
        customer_id → segment, by nothing later than the calibration's last day: the groups whose intervals are
        checked. By default customers are grouped by their purchases before.
    """
    withheld = withhold(orders, as_of=as_of, params=params)
    if withheld.why:
        return nothing(withheld.basis(), withheld.why)
    before, basis = withheld.before, withheld.basis()
    rests_on = withheld.basis(withheld.until)
    fitted = fit(before, params.purchases, seed=seed, name="calibration", params=params, basis=rests_on)
    if not fitted.passed:
        return nothing(basis, *fitted.failures, fitted=fitted)
    found = compare(
        before,
        withheld.actual,
        fitted,
        weeks=withheld.weeks,
        params=params,
        seed=seed,
        basis=basis,
        segments=segments,
    )
    spend = validate_spend(withheld, fitted, params=params, seed=seed)
    if counts_chances(params):
        return replace(found, spend=spend)
    told = {"as_of": withheld.until, "weeks": withheld.weeks, "params": params, "seed": seed}
    ahead = forecast(orders, before, fitted, **told)
    return replace(
        found,
        coverage=with_calendar(found.coverage, ahead.table.iloc[-1]),
        tracking=track(orders, withheld, fitted, ahead.table, params=params),
        spend=spend,
    )


def nothing(basis: Basis, *why: Sentence, fitted: Fit | None = None) -> Validation:
    """A validation without a table, saying why."""
    return Validation(pd.DataFrame(columns=BAND_COLUMNS), basis, 0, fit=fitted, unfit=why)


def compare(
    before: pd.DataFrame,
    actual: np.ndarray,
    fitted: Fit,
    *,
    weeks: int,
    params: CLVParams,
    seed: int,
    basis: Basis,
    segments: pd.Series | None = None,
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
    segments
        customer_id → segment; by default customers are grouped by x.
    """
    model, draws = fitted.fitted, kept(fitted.draws, params.kept_draws)
    mean = mean_purchases(model, draws, before, weeks)
    x = before["x"].to_numpy()
    by_x, by_rank = in_bands(x), tenths(mean)
    groups = by_x if segments is None else pd.factorize(before["customer_id"].map(segments), sort=True)[0]
    groupings = {"all": np.zeros_like(by_x), "bands": by_x, "tenths": by_rank, "groups": groups}
    drawn_from = kept(fitted.draws, max(params.kept_draws, NUMBERS // len(before)))
    found = drawn(model, drawn_from, before, actual, weeks, generator(seed, "clv", "validation"), groupings)
    naive = pace(before, weeks)
    low, high = np.quantile(found.sums["all"][0], INTERVAL)
    order = gini(mean, actual)
    return Validation(
        table=by_band(x, mean, actual, found.sums["bands"]),
        basis=basis,
        weeks=weeks,
        predicted=float(mean.sum()),
        low=float(low),
        high=float(high),
        actual=float(actual.sum()),
        mae=float(np.abs(mean - actual).mean()),
        rmse=float(np.sqrt(((mean - actual) ** 2).mean())),
        rank_correlation=rank_correlation(mean, actual),
        gini=order,
        naive_mae=float(np.abs(naive - actual).mean()),
        naive_rank_correlation=rank_correlation(naive, actual),
        largest_errors=largest((mean - actual) ** 2),
        fit=fitted,
        tenths=in_tenths(mean, actual, by_rank, found.sums["tenths"], gini=order, basis=basis),
        coverage=interval_coverage(found, actual, groups, forecast=model.title, basis=basis),
    )


def largest(squared: np.ndarray) -> float:
    """Share of the squared errors that the `FEWEST` largest make up."""
    return float(np.sort(squared)[::-1][:FEWEST].sum() / squared.sum()) if squared.sum() else float("nan")
