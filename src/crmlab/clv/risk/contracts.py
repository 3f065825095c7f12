"""The risk of leaving where leaving is seen: the hazard of a contract's next renewals."""

import numpy as np
import pandas as pd

from crmlab.base.periods import Period
from crmlab.clv.fitting.fit import Fit
from crmlab.clv.models.model import ContractModel
from crmlab.clv.params import CLVParams
from crmlab.clv.risk.result import Risk, share_of
from crmlab.clv.value.lifetime import NoValue
from crmlab.clv.value.predict import interval, kept, no_value
from crmlab.contract import Basis, Fault, Refused, mark


def contract_risk(
    history: pd.DataFrame,
    fitted: Fit,
    *,
    periods_ahead: int,
    period: Period,
    params: CLVParams,
    basis: Basis | None = None,
) -> Risk | NoValue:
    """Hazard of the next renewal, and the probability of ending at one of the next `periods_ahead`, a running contract.

    After t renewals survived the hazard is 1 − S(t+1)/S(t), the probability of ending within h renewals
    1 − S(t+h)/S(t) [Fader & Hardie 2007, section 3].

    Parameters
    ----------
    history
        One row a contract: customer_id, periods, ended; running, where ``ended`` does not say it all.
    fitted
        A fit of a model of contracts.
    periods_ahead, period
        The horizon, and the length of a period.
    params
        Draws to keep.
    basis
        What the history rests on; by default its number of running contracts.

    Raises
    ------
    Refused
        When the model is not one of contracts, or the horizon holds no renewal.
    """
    if not fitted.passed:
        return no_value(fitted).again()
    model = fitted.fitted
    if not isinstance(model, ContractModel):
        raise Refused("contracts", f"{model.title} is not a model of contracts; fit 'sbg', 'bdw' or 'contracts'")
    if periods_ahead < 1:
        raise Refused("contracts", [Fault("periods_ahead", f"got {periods_ahead}; look at least one renewal ahead")])
    model.check(history)
    running = history[(history["ended"] == 0) & history.get("running", default=True)]
    running = running.sort_values(["customer_id", "periods"], kind="stable")
    tenures, at = np.unique(running["periods"].to_numpy(int), return_inverse=True)
    distinct = pd.DataFrame({"periods": tenures, "ended": 0})
    draws = kept(fitted.draws, params.kept_draws)
    number = len(next(iter(draws.values())))
    hazard = 1 - model.survival(draws, distinct, 1) if len(distinct) else np.empty((0, number))
    lost = 1 - model.survival(draws, distinct, periods_ahead) if len(distinct) else np.empty((0, number))
    low, high = interval(lost)
    table = pd.DataFrame(
        {"customer_id": running["customer_id"].to_numpy(), "periods": running["periods"].to_numpy(int)}
        | {"alive": np.nan, "alive_low": np.nan, "alive_high": np.nan, "next": hazard.mean(axis=1)[at]}
        | {"risk": lost.mean(axis=1)[at], "risk_low": low[at], "risk_high": high[at]}
    )

    def expected(groups: np.ndarray) -> np.ndarray:
        totals = np.zeros((int(groups.max(initial=-1)) + 1, number))
        for one in range(len(totals)):
            times = np.bincount(at[groups == one], minlength=len(lost))
            totals[one] = (lost * times[:, None]).sum(axis=0)
        return totals

    ends = expected(np.zeros(len(table), dtype=int)) if len(table) else np.zeros((1, number))
    return Risk(
        table=table,
        basis=basis or Basis(len(table), mark("contracts")),
        expected=expected,
        lost=ends[0],
        horizon=periods_ahead,
        unit=period,
        contractual=True,
        silent=share_of(ends[0], len(table)),
        gone=(0.0, 0.0, 0.0),
    )
