"""The company forecast of a study, or the reason why there is none."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import ibis
import pandas as pd

from crmlab.clv.chosen import counts_chances
from crmlab.clv.company.forecast import FEWEST_WEEKS, forecast
from crmlab.clv.company.forecast_result import CompanyForecast
from crmlab.clv.company.rolling import past_origins, rolling_origins
from crmlab.clv.company.rolling_result import RollingOrigins
from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.fitting.pooled_result import PooledFit
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Refused, Result, Sentence

NO_WEEKS = Sentence("The model in use counts chances to buy, not days: it has no weeks to hold against a calendar.")


@dataclass(frozen=True, eq=False)
class NoForecast(Result):
    """What stands where the company forecast would stand."""

    table: pd.DataFrame
    basis: Basis
    why: tuple[Sentence, ...]

    title: ClassVar[str] = "No company forecast"
    note: ClassVar[str] = "It needs a fitted model of purchases in continuous time, and weeks to compare it with."
    columns: ClassVar = {}
    people: ClassVar[tuple[str, ...]] = ()

    def sentences(self) -> list[Sentence]:
        """Why there is none."""
        return list(self.why)

    def by_segment(self) -> None:
        """There is none for segments either."""


def forecast_or_reason(
    orders: ibis.Table,
    known: pd.DataFrame,
    purchases: Fit | PooledFit,
    *,
    as_of: date,
    params: CLVParams,
    seed: int,
    segments: pd.Series | None = None,
) -> CompanyForecast | NoForecast:
    """Repeat purchases of today's customers over the horizon, coherent with those of segments.

    The forecast moves one model of all customers: where the study fits segments apart or uses covariates, that model is
    fitted here without them.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    known
        As of `crmlab.clv.chosen.history_of`.
    purchases
        The study's fit.
    as_of
        Last day that is seen.
    params, seed, segments
        Horizon, sampler, draws to keep, campaigns; the study's seed; customer_id → segment.
    """
    if counts_chances(params):
        return NoForecast(pd.DataFrame(), purchases.basis, (NO_WEEKS,))
    plain = purchases
    if isinstance(purchases, PooledFit) or purchases.definition:
        plain = fit(known, params.purchases, seed=seed, name="company", params=params, basis=purchases.basis)
    if not plain.passed:
        return NoForecast(pd.DataFrame(), plain.basis, plain.failures)
    campaigns = pd.DataFrame([c.model_dump() for c in params.campaigns], columns=["start", "end", "reach"])
    told = {"as_of": as_of, "params": params, "seed": seed, "segments": segments, "campaigns": campaigns}
    try:
        return forecast(orders, known, plain, weeks=params.horizon_weeks, **told)
    except Refused:
        why = Sentence(
            "Fewer than {weeks} whole weeks have been seen: too few to tell how all customers stray from the model.",
            {"weeks": FEWEST_WEEKS},
            tone="warn",
        )
        return NoForecast(pd.DataFrame(), plain.basis, (why,))


def past_or_reason(
    orders: ibis.Table, *, as_of: date, params: CLVParams, seed: int, basis: Basis
) -> RollingOrigins | NoForecast:
    """The forecasts of the past against what happened, from origins every four weeks.

    Parameters
    ----------
    orders, as_of, params, seed
        As of `forecast_or_reason`.
    basis
        What stands below where there is none.
    """
    if counts_chances(params):
        return NoForecast(pd.DataFrame(), basis, (NO_WEEKS,))
    days = past_origins(orders, as_of=as_of)
    return rolling_origins(orders, as_of=as_of, origins=days, params=params, seed=seed)
