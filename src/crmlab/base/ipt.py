"""Inter-purchase times: how long until the next purchase, the open gap counted."""

from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
from pydantic import Field

from crmlab.base.gaps import LEFT_OUT, band, gaps, quantile, survival
from crmlab.base.intervals import jackknife_se, jeffreys, t_quantile
from crmlab.contract import Basis, Params, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST

ALL = "all"
"""The segment id of the row that holds every customer."""


class IPTParams(Params):
    """When a customer is overdue."""

    overdue_quantile: float = Field(default=0.90, ge=0.5, le=0.99)
    """A customer whose open gap is longer than this share of the customer's gaps is overdue."""


@dataclass(frozen=True)
class IPT(Result):
    """table: one row for all customers (segment ``all``) and one a segment.

    Columns: segment, name, customers, gaps (completed; each customer has one more that is open), q25, median, low,
    high, q75, q90 (days), days_per_purchase (days waited by a repeat purchase), cv, cv_low, cv_high (1: at random),
    judged, overdue, overdue_low, overdue_high. A quantile the gaps do not reach is missing.
    `curve`: segment, days, waiting, low, high: share still waiting after so many days.
    """

    table: pd.DataFrame
    basis: Basis
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    overdue_quantile: float = 0.90

    title: ClassVar[str] = "Time between purchases (IPT)"
    note: ClassVar[str] = (
        "In days; several orders on one day are one purchase. Every gap counts once, so frequent buyers weigh more; "
        "the gap since the last purchase counts as not yet ended (product limit). Regularity: 1 is purchases at random "
        "days, 0 a fixed rhythm, above 1 purchases in bursts. Intervals of 90 % by leaving out groups of customers."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("segment", ""),
        "customers": ("customers", ",.0f"),
        "gaps": ("gaps", ",.0f"),
        "q25": ("quarter within", ",.0f"),
        "median": ("half within", ",.0f"),
        "low": ("90 % low", ",.0f"),
        "high": ("90 % high", ",.0f"),
        "q75": ("three quarters within", ",.0f"),
        "q90": ("nine tenths within", ",.0f"),
        "days_per_purchase": ("days per purchase", ",.1f"),
        "cv": ("regularity", ".2f"),
        "cv_low": ("90 % low", ".2f"),
        "cv_high": ("90 % high", ".2f"),
        "overdue": ("overdue", ".1%"),
        "overdue_low": ("90 % low", ".1%"),
        "overdue_high": ("90 % high", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """The table with its first row named in the reader's language; too few judged, and no share is shown."""
        names = [
            say("all customers") if s == ALL else n for s, n in self.table[["segment", "name"]].itertuples(index=False)
        ]
        share = ["overdue", "overdue_low", "overdue_high"]
        hidden = self.table[share].where(self.table["judged"] >= FEWEST)
        return self.table.assign(name=names, **{c: hidden[c] for c in share})

    def sentences(self) -> list[Sentence]:
        """The usual gap, whether purchases are regular, and how many are overdue."""
        row = self.table.iloc[0] if len(self.table) else None
        if row is None or row["gaps"] == 0:
            return [Sentence("Nobody has bought on two days yet: there is no gap to measure.", tone="warn")]
        said = []
        if np.isnan(row["median"]):
            said.append(
                Sentence("Fewer than half of the gaps have ended: the usual gap is longer than the time observed.")
            )
        elif row[["low", "high"]].isna().any():
            said.append(
                Sentence(
                    "Half of the gaps end within {median:.0f} days; there are too few to say how sure that is.",
                    {"median": float(row["median"])},
                )
            )
        else:
            said.append(
                Sentence(
                    "Half of the gaps end within {median:.0f} days (90 % interval {low:.0f} to {high:.0f}).",
                    {k: float(row[k]) for k in ("median", "low", "high")},
                )
            )
        if row["cv_high"] < 1:
            said.append(
                Sentence(
                    "Customers buy more regularly than at random (regularity {cv:.2f}, at random 1).",
                    {"cv": float(row["cv"])},
                )
            )
        elif row["cv_low"] > 1:
            said.append(
                Sentence(
                    "Customers buy in bursts, more irregularly than at random (regularity {cv:.2f}, at random 1).",
                    {"cv": float(row["cv"])},
                )
            )
        return [*said, *self._late(row)]

    def _late(self, row: pd.Series) -> list[Sentence]:
        """How many are overdue, of those who can be judged."""
        if row["judged"] < FEWEST:
            return []
        chance = 1 - self.overdue_quantile
        values = {"share": float(row["overdue"]), "chance": chance, "n": int(row["judged"])}
        more = bool(row["overdue_low"] > chance)
        if row["judged"] == row["customers"]:
            texts = (
                mark(
                    "{share:.1%} of the customers are overdue, no more than the {chance:.0%} to be expected were "
                    "nobody's buying to change."
                ),
                mark(
                    "{share:.1%} of the customers are overdue, more than the {chance:.0%} to be expected were "
                    "nobody's buying to change."
                ),
            )
        else:
            texts = (
                mark(
                    "Of the {n:,} customers with gaps enough of their own to judge, {share:.1%} are overdue, no more "
                    "than the {chance:.0%} to be expected were nobody's buying to change."
                ),
                mark(
                    "Of the {n:,} customers with gaps enough of their own to judge, {share:.1%} are overdue, more than "
                    "the {chance:.0%} to be expected were nobody's buying to change."
                ),
            )
        return [Sentence(texts[more], values, "warn" if more else "plain")]


def ipt(
    orders: ibis.Table,
    *,
    as_of: date,
    params: IPTParams | None = None,
    segments: pd.Series | None = None,
    names: dict[str, str] | None = None,
) -> IPT:
    """Distribution of inter-purchase times, of all customers and by segment.

    Quantiles are of the product-limit estimate [Kaplan & Meier 1958] over all gaps, the open one censored, with
    intervals from its log(-log) band [Kalbfleisch & Prentice 2002, eq. 1.18], its standard error by the jackknife over
    groups of customers, because the gaps of one customer are alike. Regularity is the coefficient of variation
    1/√k of the Erlang-k gaps that would spread M = gap₁/(gap₁ + gap₂) as observed [Wheat & Morrison 1990, eq. 4]; our
    change: M's spread is compared with that of days drawn at random given gap₁ + gap₂, so that whole days and
    differing rates do not pass for regularity.

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
    """
    params = params or IPTParams()
    found = gaps(orders, as_of=as_of, segments=segments, quantile=params.overdue_quantile)
    limit = quantile(survival(found.counts[found.counts["few"]]), params.overdue_quantile)[0]
    rows, curves = [], []
    for segment in [ALL, *found.segments]:
        counts, late = found.counts, found.late
        if segment != ALL:
            counts, late = counts[counts["segment"] == segment], late[late["segment"] == segment]
        curve = survival(counts)
        rows.append(
            {"segment": segment, "name": (names or {}).get(segment, segment)}
            | _distribution(counts, curve)
            | _regularity(counts)
            | _overdue(counts, late, limit)
        )
        low, high = band(curve)
        at = pd.DataFrame({"days": curve.days, "waiting": curve.whole, "low": low, "high": high})
        curves.append(at.assign(segment=segment)[["segment", "days", "waiting", "low", "high"]])
    table = pd.DataFrame(rows).astype({"segment": "str", "name": "str"})
    curve = pd.concat(curves, ignore_index=True).astype({"segment": "str", "days": "int64"})
    n = int(table["customers"].iloc[0])
    return IPT(table, Basis(n, mark("customers"), start=found.start, end=as_of), curve, params.overdue_quantile)


def _distribution(counts: pd.DataFrame, curve: object) -> dict[str, float]:
    ended = counts.loc[counts["ended"], "n"].sum()
    waited = (counts["days"] * counts["n"]).sum()
    median, low, high = quantile(curve, 0.5)
    return {
        "customers": int(counts.loc[~counts["ended"], "n"].sum()),
        "gaps": int(ended),
        "q25": quantile(curve, 0.25)[0],
        "median": median,
        "low": low,
        "high": high,
        "q75": quantile(curve, 0.75)[0],
        "q90": quantile(curve, 0.90)[0],
        "days_per_purchase": float(waited / ended) if ended else np.nan,
    }


def _regularity(counts: pd.DataFrame) -> dict[str, float]:
    """CV of the gaps about each customer's own rate, 1 where purchases fall on days at random."""
    pairs = counts[counts["expected"] > 0].groupby("grp", sort=True)[["spread", "expected"]].sum()
    spread, expected = pairs["spread"].to_numpy(), pairs["expected"].to_numpy()
    if not expected.sum() > 0:
        return {"cv": np.nan, "cv_low": np.nan, "cv_high": np.nan}
    cv = _cv(spread.sum() / expected.sum())
    if len(pairs) < LEFT_OUT:
        return {"cv": cv, "cv_low": np.nan, "cv_high": np.nan}
    without = (spread.sum() - spread) / (expected.sum() - expected)
    half = t_quantile(len(pairs)) * float(jackknife_se(_cv(without)))
    return {"cv": cv, "cv_low": max(cv - half, 0.0), "cv_high": cv + half}


def _cv(ratio: np.ndarray | float) -> np.ndarray | float:
    """1/√k where Var M = ratio/12 = 1/(4(2k + 1)): k = (3 − ratio)/(2·ratio)."""
    return np.sqrt(2 * ratio / (3 - np.minimum(ratio, 2.999)))


def _overdue(counts: pd.DataFrame, late: pd.DataFrame, limit: float) -> dict[str, float]:
    """Share of customers whose open gap is longer than the quantile of their own gaps.

    Customers with too few gaps to have one (fewer than nine for nine tenths) share that of their like.
    """
    judged, overdue = int(late["judged"].sum()), int(late["late"].sum())
    if not np.isnan(limit):
        few = counts[counts["few"] & ~counts["ended"]]
        judged += int(few["n"].sum())
        overdue += int(few.loc[few["days"] > limit, "n"].sum())
    low, high = jeffreys(overdue, judged)
    return {
        "judged": judged,
        "overdue": overdue / judged if judged else np.nan,
        "overdue_low": float(low),
        "overdue_high": float(high),
    }
