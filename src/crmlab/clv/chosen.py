"""The models a study chose: the history they read, and their fits."""

from datetime import date

import ibis
import pandas as pd

from crmlab.base.history import history
from crmlab.base.periods import in_periods
from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.fitting.pooled import fit_by_segment
from crmlab.clv.fitting.pooled_result import PooledFit, fits
from crmlab.clv.models.covariates import described, with_covariates
from crmlab.clv.models.model import Model
from crmlab.clv.models.registry import family, model
from crmlab.clv.params import CLVParams
from crmlab.clv.value.spend import spend_fit
from crmlab.contract import Basis, Fault, Refused


def history_of(
    orders: ibis.Table, *, as_of: date, params: CLVParams, traits: pd.DataFrame | None = None
) -> pd.DataFrame:
    """What the study's models read of each customer, covariates joined.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen.
    params
        The models, the period of those that count chances to buy, the covariates.
    traits
        customer_id and the traits that serve as covariates.
    """
    if not counts_chances(params):
        found = history(orders, as_of=as_of)
    elif params.period is None:
        what = f"{params.purchases} counts chances to buy; say which calendar period is one: week, month, quarter, year"
        raise Refused("params", [Fault("clv.period", what)])
    else:
        found = in_periods(orders, as_of=as_of, period=params.period)
    names = (*params.covariates.purchase, *params.covariates.dropout, *params.covariates.value)
    if not names:
        return found
    return described(found, pd.DataFrame({"customer_id": []}) if traits is None else traits, names)


def counts_chances(params: CLVParams) -> bool:
    """Whether the model of purchases is one of chances to buy, period by period."""
    return "n" in model((family(params.purchases) or (params.purchases,))[0]).columns


def fit_purchases(
    known: pd.DataFrame, *, segment: pd.Series, seed: int, name: str, params: CLVParams, basis: Basis | None = None
) -> Fit | PooledFit:
    """Fit the study's model of purchases: with its covariates, and by segment where it says so.

    Parameters
    ----------
    known
        As of `history_of`.
    segment
        customer_id → segment id.
    seed, name, params, basis
        As in `crmlab.clv.fitting.fit.fit`.
    """
    chosen = _with_covariates(params)
    if not params.by_segment:
        return fit(known, chosen, seed=seed, name=name, params=params, basis=basis)
    return fit_by_segment(known, segment, chosen, seed=seed, name=name, params=params, basis=basis)


def fit_spend(known: pd.DataFrame, *, seed: int, name: str, params: CLVParams, basis: Basis | None = None) -> Fit:
    """Fit the study's model of spend: with its covariates, or its assumption tested where it has none."""
    if not params.covariates.value:
        return spend_fit(known, seed=seed, name=name, params=params, basis=basis)
    chosen = with_covariates(model(params.spend), value=params.covariates.value)
    return fit(known, chosen, seed=seed, name=name, params=params, basis=basis)


def fits_of(purchases: Fit | PooledFit) -> Fit | dict[str, Fit]:
    """What customers' predictions come from: one fit, or their segment's."""
    return fits(purchases) if isinstance(purchases, PooledFit) else purchases


def _with_covariates(params: CLVParams) -> str | Model:
    purchase, dropout = params.covariates.purchase, params.covariates.dropout
    if not purchase and not dropout:
        return params.purchases
    if family(params.purchases):
        what = f"{params.purchases} is a family; name one of its models: {', '.join(family(params.purchases))}"
        raise Refused("params", [Fault("clv.purchases", what)])
    return with_covariates(model(params.purchases), purchase=purchase, dropout=dropout)
