"""What contracts are worth: expected discounted margin of those that run, and of one that begins now."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.periods import WEEKS, Period
from crmlab.base.survival import observed
from crmlab.clv.fitting.fit import Fit, require_passed
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.model import ContractModel
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import kept, weekly
from crmlab.contract import Basis, Fault, Refused, Result, Sentence, mark
from crmlab.contract.result import FEWEST

GROUPS = 10
LEFT_OUT = 1e-6
"""Renewals, undiscounted at most, that a whole residual lifetime may leave out beyond its last one."""

NOTABLE = 0.1
"""Shares of value from here on are worth a sentence."""


@dataclass(frozen=True, eq=False)
class ContractValue(Result):
    """Expected discounted margin of each running contract's renewals.

    Attributes
    ----------
    table
        One row a running contract: customer_id, periods (renewals so far), fee (a period, currency), stays (probability
        of renewing next), renewals (expected within the horizon), lifetime (the same, discounted: DERL), clv, clv_low,
        clv_high (currency; 90 % interval of the expectation).
    totals
        (draws,): CLV of all of them under each kept posterior draw.
    newcomer
        Mean, low, high (90 %): worth of a contract that begins now at the mean fee, its first fee included.
    naive
        CLV of all of them, were the retention rate the same for everybody.
    longest, later
        Most renewals of a contract on record; share of the value that is due more than so many renewals from now.
    period, periods_ahead, annual_discount_rate, margin_share
        Length of a period; renewals counted, None for all there will ever be; as in the parameters.
    """

    table: pd.DataFrame
    basis: Basis
    totals: np.ndarray
    newcomer: tuple[float, float, float]
    naive: float
    longest: int
    later: float
    period: Period
    periods_ahead: int | None
    annual_discount_rate: float
    margin_share: float

    title: ClassVar[str] = "Value of running contracts by renewals so far"
    note: ClassVar[str] = (
        "Expected discounted margin of the renewals to come; the period that is already paid is not counted. Intervals "
        "(90 %) are those of the expectation under the model: a single contract varies far more."
    )
    columns: ClassVar = {
        "tenure": ("renewals so far", ""),
        "customers": ("contracts", ",.0f"),
        "stays": ("renew next", ".1%"),
        "renewals": ("renewals expected", ",.1f"),
        "lifetime": ("discounted (DERL)", ",.1f"),
        "clv": ("mean CLV", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "share": ("share of total CLV", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """About ten groups of contracts by renewals so far, of five contracts or more each."""
        table = self.table.sort_values("periods", kind="stable")
        of = table["periods"].map(banded(table["periods"], max(FEWEST, len(table) // GROUPS)))
        whole = max(float(table["clv"].sum()), 1e-300)
        records = []
        for _, part in table.groupby(of.to_numpy()):
            first, last = int(part["periods"].min()), int(part["periods"].max())
            means = part[["stays", "renewals", "lifetime", "clv", "clv_low", "clv_high"]].mean()
            records.append(
                {"tenure": f"{first}" if first == last else f"{first}–{last}", "customers": len(part)}
                | means.rename({"clv_low": "low", "clv_high": "high"}).to_dict()
                | {"share": part["clv"].sum() / whole}
            )
        return pd.DataFrame(records, columns=[*self.columns])

    def sentences(self) -> list[Sentence]:
        """What the base and a new contract are worth, and what a constant retention rate would make of it."""
        if self.table.empty:
            return [Sentence("No contract runs: there is nothing left to be worth anything.", tone="warn")]
        low, high = np.quantile(self.totals, INTERVAL)
        total = float(self.totals.mean())
        values = {"n": len(self.table), "total": total, "low": low, "high": high, "rate": self.annual_discount_rate}
        if self.periods_ahead is None:
            first = Sentence(
                "All renewals to come of the {n:,} running contracts, discounted at {rate:.1%} a year, are worth "
                "{total:,.0f} (90 % interval {low:,.0f} to {high:,.0f}).",
                values,
            )
        else:
            first = Sentence(
                "The next {periods:,} renewals of the {n:,} running contracts, discounted at {rate:.1%} a year, are "
                "worth {total:,.0f} (90 % interval {low:,.0f} to {high:,.0f}).",
                values | {"periods": self.periods_ahead},
            )
        mean, new_low, new_high = self.newcomer
        said = [first]
        short = 1 - self.naive / total if total > 0 else 0.0
        if abs(short) >= NOTABLE:
            said.append(
                Sentence(
                    "One retention rate for everybody would make that {share:.0%} less: those who stayed so long leave "
                    "less easily than a new subscriber.",
                    {"share": short},
                    tone="warn",
                )
                if short > 0
                else Sentence(
                    "One retention rate for everybody would make that {share:.0%} more: those who stayed so long leave "
                    "more easily than the average.",
                    {"share": -short},
                    tone="warn",
                )
            )
        if self.later >= NOTABLE:
            said.append(
                Sentence(
                    "{share:.0%} of it is due more than {n:,} renewals from now, longer than any contract on record: "
                    "that part is the model's word alone.",
                    {"share": self.later, "n": self.longest},
                    tone="warn",
                )
            )
        said.append(
            Sentence(
                "A contract that begins now at the mean fee is worth {mean:,.2f} ({low:,.2f} to {high:,.2f}), its "
                "first fee included: no more than that should be spent to win one.",
                {"mean": mean, "low": new_low, "high": new_high},
            )
        )
        said.append(
            Sentence("A margin of {share:.1%} of the fee is assumed.", {"share": self.margin_share})
            if self.margin_share < 1
            else Sentence("The whole fee counts as margin: no margin share is declared in the parameters.")
        )
        return said


def contract_value(
    history: pd.DataFrame,
    fitted: Fit,
    *,
    period: Period,
    periods_ahead: int | None,
    params: CLVParams,
    basis: Basis | None = None,
) -> ContractValue:
    """CLV of running contracts: discounted expected renewals × fee × margin share [Fader & Hardie 2010].

    Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring Heterogeneity, Marketing Science 29(1),
    85–93. There the renewal that is just due counts whole; here contracts have just renewed, and the next renewal, a
    period ahead, is discounted by one period.

    Parameters
    ----------
    history
        One row a contract: customer_id, periods, ended, fee (a period); running, where ``ended`` does not say it all.
    fitted
        A fit of a model of contracts.
    period
        Length of a period, by which the yearly discount rate is divided up.
    periods_ahead
        Renewals counted; None for the whole residual lifetime, which is summed until at most `LEFT_OUT` renewals are
        left out and needs a discount rate above 0.
    params
        Discount rate, margin share, draws to keep.
    basis
        What the history rests on; by default its number of running contracts.

    Raises
    ------
    GateFailed
        When the fit did not pass its gate.
    Refused
        When fees are missing, or the lifetime has no end.
    """
    require_passed(fitted)
    model = fitted.fitted
    if not isinstance(model, ContractModel):
        raise Refused("contracts", f"{model.title} is not a model of contracts; fit 'sbg', 'bdw' or 'contracts'")
    model.check(history)
    running = history[(history["ended"] == 0) & history.get("running", default=True)]
    faults = _faults(running, periods_ahead, params)
    if faults:
        raise Refused("contracts", faults)
    discount = weekly(params) * WEEKS[period]
    ahead = whole_lifetime(discount) if periods_ahead is None else periods_ahead
    draws = kept(fitted.draws, params.kept_draws)
    tenures, at = np.unique(running["periods"].to_numpy(int), return_inverse=True)
    distinct = pd.DataFrame({"periods": tenures, "ended": 0})
    plain, lifetime = model.expected_renewals(draws, distinct, ahead, (0.0, discount))
    stays = model.survival(draws, distinct, 1).mean(axis=1)
    low, high = np.quantile(lifetime, INTERVAL, axis=1)
    fee = running["fee"].to_numpy(float) if len(running) else np.empty(0)
    margin = fee * params.margin_share
    table = pd.DataFrame(
        {"customer_id": running["customer_id"].to_numpy(), "periods": running["periods"].to_numpy(int), "fee": fee}
        | {"stays": stays[at], "renewals": plain.mean(axis=1)[at], "lifetime": lifetime.mean(axis=1)[at]}
        | {"clv": margin * lifetime.mean(axis=1)[at], "clv_low": margin * low[at], "clv_high": margin * high[at]}
    )
    worth = np.bincount(at, weights=margin, minlength=len(distinct))
    totals = (worth[:, None] * lifetime).sum(axis=0)
    longest = max(int(history["periods"].max()), 1)
    (soon,) = model.expected_renewals(draws, distinct, min(ahead, longest), (discount,))
    later = 1 - (worth[:, None] * soon).sum() / max(totals.sum(), 1e-300) if ahead > longest else 0.0
    begun = pd.DataFrame({"periods": [0], "ended": [0]})
    new = (1 + model.expected_renewals(draws, begun, ahead, (discount,))[0, 0]) * (margin.mean() if len(fee) else 0.0)
    return ContractValue(
        table=table.sort_values("customer_id", kind="stable").reset_index(drop=True),
        basis=basis or Basis(len(table), mark("contracts")),
        totals=totals,
        newcomer=(float(new.mean()), *map(float, np.quantile(new, INTERVAL))),
        naive=float(margin.sum()) * _constant(history, ahead, discount),
        longest=longest,
        later=float(later),
        period=period,
        periods_ahead=periods_ahead,
        annual_discount_rate=params.annual_discount_rate,
        margin_share=params.margin_share,
    )


def banded(periods: pd.Series, least: int) -> dict[int, int]:
    """Tenure → number of its band: neighbours joined until a band holds `least`; what is left joins the last."""
    bands, band, filled = {}, 0, 0
    for tenure, size in periods.value_counts().sort_index().items():
        if filled >= least:
            band, filled = band + 1, 0
        bands[tenure], filled = band, filled + size
    return {t: min(b, band - 1) if filled < least and band else b for t, b in bands.items()}


def whole_lifetime(discount: float) -> int:
    """Renewals after which at most `LEFT_OUT` are left out, even if nobody ever left: e^{−δH}/(e^δ − 1) ≤ LEFT_OUT."""
    return max(int(np.ceil(-np.log(LEFT_OUT * np.expm1(discount)) / discount)), 1)


def _constant(history: pd.DataFrame, ahead: int, discount: float) -> float:
    """Discounted renewals expected of a contract at the retention rate of all renewals so far."""
    seen = observed(history)
    each = (1 - seen["ended"].sum() / max(seen["customers"].sum(), 1)) * np.exp(-discount)
    return float((each ** np.arange(1, ahead + 1)).sum())


def _faults(running: pd.DataFrame, periods_ahead: int | None, params: CLVParams) -> list[Fault]:
    found = []
    if "fee" not in running:
        found.append(Fault("fee", "this column is missing; it holds the fee a period of each contract"))
    elif not (running["fee"] >= 0).all():
        bad = int((~(running["fee"] >= 0)).sum())
        found.append(Fault("fee", f"{bad} running contracts without a fee from 0 up; fill it in or leave them out"))
    if periods_ahead is None and params.annual_discount_rate == 0:
        found.append(Fault("annual_discount_rate", "0 with no horizon; a whole lifetime needs a rate above 0"))
    elif periods_ahead is not None and periods_ahead < 1:
        found.append(Fault("periods_ahead", f"got {periods_ahead}; count at least one renewal"))
    return found
