"""When each customer is due: the next purchase with its interval, the silence so far, and how right that was before."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd

from crmlab.base.foretold import calibrated, withheld_days
from crmlab.base.intervals import jeffreys
from crmlab.base.ipt import ALL, IPTParams
from crmlab.base.renewal import Renewal, expected
from crmlab.base.silence import REPEATING, histories, learnt, regularity
from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST

LONGEST = 5 * 365
"""No purchase is foretold for a day later than this."""
FAIR = 0.05
"""Coverage that differs by no more than this is what was promised."""


@dataclass(frozen=True)
class NextPurchase(Result):
    """table: one row a customer with an order.

    customer_id, segment, purchases (days with one), open_days (since the last), regularity (of own gaps, drawn towards
    all; 1: at random; missing with fewer than two gaps), used_up (share of the customer's gaps that would have ended by
    now), overdue (it is more than the quantile asked for), still (probability of being a customer still), next_days,
    low_80, high_80, low_90, high_90 (days from `as_of` to the next purchase of a customer who has not left: median and
    intervals), next_on, low_on, high_on (the days of the median and of the 90 %), due_days and late_days (silence after
    which half of the customer's gaps, and the quantile asked for, would have ended). Missing beyond five years.

    `by_segment`: what a page shows. `calibration`: key, measure, expected, observed, low, high, n: what the model said
    before the last days, and what came. `bands`: customers by their probability of coming back, expected and observed.
    """

    table: pd.DataFrame
    basis: Basis
    by_segment: pd.DataFrame = field(default_factory=pd.DataFrame)
    calibration: pd.DataFrame = field(default_factory=pd.DataFrame)
    bands: pd.DataFrame = field(default_factory=pd.DataFrame)
    model: Renewal | None = None
    withheld_days: int = 0
    overdue_quantile: float = 0.90

    title: ClassVar[str] = "When customers are due"
    note: ClassVar[str] = (
        "Every customer has an own rate of buying; gaps vary about it; after each purchase some leave unseen. Due: "
        "half of the customer's gaps would have ended by now; overdue: nearly all, by a model that lends everybody the "
        "habits of all, where the table above takes long histories by themselves. The days to the next purchase are "
        "those of customers who have not left. The time to remind is between the two silences, in days since the last "
        "purchase. Intervals of 90 % count customers as independent and take the model as known."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("segment", ""),
        "customers": ("customers", ",.0f"),
        "still": ("customers still, estimated", ".0%"),
        "next_days": ("days to the next purchase, median", ",.0f"),
        "next_low": ("90 % low", ",.0f"),
        "next_high": ("90 % high", ",.0f"),
        "due": ("due by now", ".1%"),
        "overdue": ("overdue", ".1%"),
        "overdue_low": ("90 % low", ".1%"),
        "overdue_high": ("90 % high", ".1%"),
        "remind_from": ("remind after a silence of", ",.0f"),
        "remind_to": ("and before", ",.0f"),
    }

    def shown(self) -> pd.DataFrame:
        """One row a segment, the first named in the reader's language; never one row a person."""
        names = [
            say("all customers") if s == ALL else n
            for s, n in self.by_segment[["segment", "name"]].itertuples(index=False)
        ]
        return self.by_segment.assign(name=names)

    def sentences(self) -> list[Sentence]:
        """How many are due and overdue, where most, and whether the intervals held."""
        if self.model is None:
            text = "Fewer than {n} customers have bought on two days: when the next purchase is due cannot be learnt."
            return [Sentence(text, {"n": REPEATING}, "warn")]
        whole = self.by_segment.iloc[0]
        values = {k: float(whole[k]) for k in ("due", "overdue", "still")}
        said = [
            Sentence(
                "{due:.0%} of the customers are due and {overdue:.0%} overdue; {still:.0%} are estimated to be "
                "customers still.",
                values,
            )
        ]
        parts = self.by_segment.iloc[1:]
        parts = parts[(parts["customers"] >= FEWEST) & (parts["overdue_low"] > whole["overdue_high"])]
        if len(parts):
            worst = parts.sort_values(["overdue", "segment"], ascending=[False, True]).iloc[0]
            text = "Most overdue is “{name}”: {share:.0%} of its customers [{low:.0%}, {high:.0%}]."
            values = {"name": worst["name"], "share": float(worst["overdue"])}
            said.append(
                Sentence(text, values | {"low": float(worst["overdue_low"]), "high": float(worst["overdue_high"])})
            )
        return [*said, *self._held()]

    def _held(self) -> list[Sentence]:
        """Whether the withheld days bear the model out."""
        if self.calibration.empty:
            text = "Too few days or customers to withhold some: whether the intervals hold is not known."
            return [Sentence(text, tone="warn")]
        found = self.calibration.set_index("key")
        inside, back = found.loc["within_90"], found.loc["back"]
        values = {"days": self.withheld_days, "share": float(inside["observed"])}
        if inside["low"] <= 0.90 + FAIR and inside["high"] >= 0.90 - FAIR:
            text = (
                "In the last {days} days, withheld, {share:.0%} of the next purchases fell within their 90 % interval."
            )
            said = [Sentence(text, values, "good")]
        else:
            text = (
                "In the last {days} days, withheld, {share:.0%} of the next purchases fell within their 90 % interval: "
                "take the dates as rough."
            )
            said = [Sentence(text, values, "warn")]
        values = {"came": float(back["observed"]), "said": float(back["expected"])}
        if abs(back["observed"] - back["expected"]) <= FAIR:
            said.append(Sentence("{came:.0%} of the customers came back in them; {said:.0%} were expected.", values))
        else:
            text = "{came:.0%} of the customers came back in them, and {said:.0%} were expected."
            said.append(Sentence(text, values, "warn"))
        return said


def next_purchase(
    orders: ibis.Table,
    *,
    as_of: date,
    params: IPTParams | None = None,
    segments: pd.Series | None = None,
    names: dict[str, str] | None = None,
    seed: int = 0,
) -> NextPurchase:
    """When each customer buys next, given the gaps and the silence so far.

    The model is `crmlab.base.renewal`; its parameters are the posterior mode on at most 20,000 customers. It is fitted
    again to all but the last days, a quarter of those observed, and held against them.

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen.
    params
        When a customer is overdue.
    segments
        customer_id → segment id; customers without one are in no segment's row.
    names
        Segment id → name.
    seed
        Draws the customers the model is learnt from.
    """
    params = params or IPTParams()
    each = histories(orders, as_of=as_of)
    start = None if each.empty else as_of - timedelta(days=int(each["seen"].max()))
    basis = Basis(len(each), mark("customers"), start=start, end=as_of)
    model = learnt(orders, each, as_of, seed)
    each["segment"] = pd.Series(None, index=each.index, dtype="str")
    if segments is not None:
        each["segment"] = each["customer_id"].map(segments).astype("str")
    table = _customers(each, model, as_of, params.overdue_quantile)
    shown = _by_segment(table, names or {})
    days = withheld_days(each)
    calibration, bands = pd.DataFrame(), pd.DataFrame()
    if model is not None and days:
        calibration, bands = calibrated(orders, as_of=as_of, days=days, seed=seed)
    return NextPurchase(table, basis, shown, calibration, bands, model, days, params.overdue_quantile)


def _customers(each: pd.DataFrame, model: Renewal | None, as_of: date, quantile: float) -> pd.DataFrame:
    """The published table."""
    table = each[["customer_id", "segment"]].assign(purchases=each["n"] + 1, open_days=each["open"])
    missing = np.full(len(each), np.nan)
    of = expected(model, each) if model else None
    table["regularity"] = regularity(each)
    table["used_up"] = np.round(1 - of.waiting, 9) if of else missing
    table["overdue"] = table["used_up"] > quantile
    table["still"] = np.round(of.still, 9) if of else missing
    asked = {"next_days": 0.5, "low_80": 0.1, "high_80": 0.9, "low_90": 0.05, "high_90": 0.95}
    for name, share in asked.items():
        table[name] = _whole(of.quantile(share)) if of else missing
    for name, days in {"next_on": "next_days", "low_on": "low_90", "high_on": "high_90"}.items():
        table[name] = (pd.Timestamp(as_of) + pd.to_timedelta(table[days], unit="D")).astype("datetime64[s]")
    table["due_days"] = _whole(of.gap(0.5)) if of else missing
    table["late_days"] = _whole(of.gap(quantile)) if of else missing
    return table


def _whole(days: np.ndarray) -> np.ndarray:
    """The day a purchase is seen on; missing beyond what is foretold."""
    return np.where(days <= LONGEST, np.maximum(np.ceil(np.round(days, 6)), 1.0), np.nan)


def _by_segment(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    rows = []
    for segment in [ALL, *sorted(table["segment"].dropna().unique())]:
        part = table if segment == ALL else table[table["segment"] == segment]
        n = int(part["used_up"].notna().sum())
        overdue = int(part["overdue"].sum())
        due = int((part["used_up"] >= 0.5).sum()) - overdue
        low, high = jeffreys(overdue, n)
        median, at, to = _median(part["next_days"].to_numpy())
        rows.append(
            {"segment": segment, "name": names.get(segment, segment), "customers": len(part)}
            | {"still": part["still"].mean(), "next_days": median, "next_low": at, "next_high": to}
            | {"due": due / n if n else np.nan, "overdue": overdue / n if n else np.nan}
            | {"overdue_low": float(low), "overdue_high": float(high)}
            | {"remind_from": _median(part["due_days"].to_numpy())[0]}
            | {"remind_to": _median(part["late_days"].to_numpy())[0]}
        )
    return pd.DataFrame(rows).astype({"segment": "str", "name": "str"})


def _median(days: np.ndarray) -> tuple[float, float, float]:
    """Median with the 90 % interval of order statistics; days that are missing are later than all others."""
    ranked = np.sort(np.where(np.isnan(days), np.inf, days))
    n = len(ranked)
    if not n:
        return np.nan, np.nan, np.nan
    half = 1.645 * np.sqrt(n) / 2
    at = [n // 2, int(np.floor(n / 2 - half)), int(np.ceil(n / 2 + half))]
    found = [ranked[i] if 0 <= i < n else np.inf for i in at]
    return tuple(float(d) if np.isfinite(d) else np.nan for d in found)
