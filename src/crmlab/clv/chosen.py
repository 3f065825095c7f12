"""The models a study chose: the history they read, and their fits."""

import difflib
from datetime import date

import ibis
import pandas as pd

from crmlab.base.history import history
from crmlab.base.periods import WEEKS, in_periods
from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.fitting.pooled import fit_by_segment
from crmlab.clv.fitting.pooled_result import PooledFit, fits
from crmlab.clv.models.covariates import described, with_covariates
from crmlab.clv.models.model import Model, PurchaseModel, SpendModel
from crmlab.clv.models.registry import FAMILIES, MODELS, family, model
from crmlab.clv.params import CLVParams
from crmlab.clv.value.spend import spend_fit
from crmlab.contract import Basis, Fault, Refused


def clv_faults(params: CLVParams) -> list[Fault]:
    """Everything in the parameters of lifetime value that no data could mend, by its name in a params file."""
    able = sorted(n for n in (*MODELS, *FAMILIES) if isinstance(model((*family(n), n)[0]), PurchaseModel))
    spends = sorted(n for n, m in MODELS.items() if isinstance(m, SpendModel))
    faults = [
        Fault(f"clv.{name}", f"got {got!r}{_likely(got, known)}, expected one of {', '.join(known)}")
        for name, got, known in (("purchases", params.purchases, able), ("spend", params.spend, spends))
        if got not in known
    ]
    if faults:
        return faults
    if counts_chances(params):
        if params.period is None:
            what = f"missing; {params.purchases} counts chances to buy: is one a week, month, quarter or year?"
            faults.append(Fault("clv.period", what))
        elif round(params.horizon_weeks / WEEKS[params.period]) < 1:
            whole = round(WEEKS[params.period])
            what = f"got {params.horizon_weeks}, which holds no whole {params.period}; expected {whole} or more"
            faults.append(Fault("clv.horizon_weeks", what))
    rates = params.covariates.purchase or params.covariates.dropout
    if rates and family(params.purchases):
        members = ", ".join(family(params.purchases))
        what = f"{params.purchases} is a family, and covariates need one model; name one of {members}"
        faults.append(Fault("clv.purchases", what))
    elif rates or params.covariates.value:
        try:
            _with_covariates(params)
            _with_value(params)
        except Refused as refused:
            faults += [Fault(f"clv.covariates.{f.where}", f.what) for f in refused.faults]
    return faults


def _likely(got: str, known: list[str]) -> str:
    found = difflib.get_close_matches(got, known, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


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
    if faults := clv_faults(params):
        raise Refused("params", faults)
    if not counts_chances(params):
        found = history(orders, as_of=as_of)
    else:
        found = in_periods(orders, as_of=as_of, period=params.period)
    names = (*params.covariates.purchase, *params.covariates.dropout, *params.covariates.value)
    if not names:
        return found
    return described(found, pd.DataFrame({"customer_id": []}) if traits is None else traits, names)


def counts_chances(params: CLVParams) -> bool:
    """Whether the model of purchases is one of chances to buy, period by period."""
    return "n" in model((*family(params.purchases), params.purchases)[0]).columns


def fit_purchases(
    known: pd.DataFrame, *, segment: pd.Series, seed: int, name: str, params: CLVParams, basis: Basis | None = None
) -> Fit | PooledFit:
    """Fit the study's model of purchases: with its covariates, and by segment where it says so and there are two.

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
    if not params.by_segment or known["customer_id"].map(segment).nunique() < 2:
        return fit(known, chosen, seed=seed, name=name, params=params, basis=basis)
    return fit_by_segment(known, segment, chosen, seed=seed, name=name, params=params, basis=basis)


def fit_spend(known: pd.DataFrame, *, seed: int, name: str, params: CLVParams, basis: Basis | None = None) -> Fit:
    """Fit the study's model of spend: with its covariates, or its assumption tested where it has none."""
    if not params.covariates.value:
        return spend_fit(known, seed=seed, name=name, params=params, basis=basis)
    return fit(known, _with_value(params), seed=seed, name=name, params=params, basis=basis)


def fits_of(purchases: Fit | PooledFit) -> Fit | dict[str, Fit]:
    """What customers' predictions come from: one fit, or their segment's."""
    return fits(purchases) if isinstance(purchases, PooledFit) else purchases


def _with_covariates(params: CLVParams) -> str | Model:
    purchase, dropout = params.covariates.purchase, params.covariates.dropout
    if not purchase and not dropout:
        return params.purchases
    return with_covariates(model(params.purchases), purchase=purchase, dropout=dropout)


def _with_value(params: CLVParams) -> Model:
    chosen = model(params.spend)
    return with_covariates(chosen, value=params.covariates.value) if params.covariates.value else chosen
