"""Recency, frequency and monetary value, scored so that equal customers have equal scores."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import ibis
import pandas as pd
from pydantic import Field

from crmlab.base.orders import MONEY
from crmlab.contract import Basis, Params, Result, Sentence, mark


class RFMParams(Params):
    """How customers are scored."""

    scores: int = Field(default=5, ge=2, le=9)
    """Scores from 1 to this; the highest is best."""


@dataclass(frozen=True)
class RFM(Result):
    """table: customer_id, recency_days, frequency, monetary, r_score, f_score, m_score, cell; one row a customer."""

    table: pd.DataFrame
    basis: Basis
    scores: int
    """The highest score there can be."""

    title: ClassVar[str] = "Recency × frequency"
    note: ClassVar[str] = (
        "R counts days since the last order, F all orders, M total spend. A score is the share of customers who are "
        "strictly worse, in equal steps; customers who are equal share a score, so groups need not be of equal size."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "r_score": ("R", ".0f"),
        "f_score": ("F", ".0f"),
        "customers": ("customers", ",.0f"),
        "share": ("share of customers", ".1%"),
        "orders": ("orders", ",.0f"),
        "spend_share": ("share of spend", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """Customers, orders and spend by R and F score, best first."""
        grouped = self.table.groupby(["r_score", "f_score"], sort=True)
        frame = grouped.agg(
            customers=("customer_id", "size"), orders=("frequency", "sum"), spend=("monetary", "sum")
        ).reset_index()
        frame["share"] = frame["customers"] / max(len(self.table), 1)
        total = frame["spend"].sum()
        frame["spend_share"] = frame["spend"] / total if total > 0 else float("nan")
        frame = frame[["r_score", "f_score", "customers", "share", "orders", "spend", "spend_share"]]
        return frame.sort_values(["r_score", "f_score"], ascending=False, ignore_index=True)

    def sentences(self) -> list[Sentence]:
        """Who the best are, and which scores do not exist because too many customers are equal."""
        said = []
        if self.table.empty:
            return [Sentence("Nobody has ordered yet: there is nothing to score.", tone="warn")]
        best = (self.table["r_score"] == self.scores) & (self.table["f_score"] == self.scores)
        spend = self.table["monetary"]
        if best.sum() >= 5:
            said.append(
                Sentence(
                    "The customers best in both R and F are {share:.1%} of all and {spend:.1%} of spend.",
                    {"share": float(best.mean()), "spend": float(spend[best].sum() / spend.sum())},
                )
            )
        for column, letter in (("r_score", "R"), ("f_score", "F"), ("m_score", "M")):
            there = sorted(self.table[column].unique())
            if len(there) < self.scores:
                said.append(
                    Sentence(
                        "{letter} has {there} scores of {scores}: too many customers are equal to be told apart "
                        "(given: {which}).",
                        {
                            "letter": letter,
                            "there": len(there),
                            "scores": self.scores,
                            "which": ", ".join(map(str, there)),
                        },
                        "warn",
                    )
                )
        return said


def rfm(orders: ibis.Table, *, as_of: date, params: RFMParams | None = None) -> RFM:
    """Recency in days, frequency of all orders and total spend of each customer, with scores from 1 to k.

    A score is ``1 + floor(k · w / n)``, w of n customers being strictly worse: integer arithmetic, no quantile to
    interpolate, and ties cannot be told apart by it [against scoring by row number, which splits ties by customer id].

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen; recency counts days from the last order to it.
    params
        How many scores.
    """
    params = params or RFMParams()
    frame = scored(orders, as_of=as_of, params=params).order_by("customer_id").to_pandas()
    table = pd.DataFrame({"customer_id": frame["customer_id"].astype("str")})
    for column in ("recency_days", "frequency"):
        table[column] = frame[column].astype("int64")
    table["monetary"] = frame["monetary"].astype("float64")
    for column in ("r_score", "f_score", "m_score"):
        table[column] = frame[column].astype("int64")
    table["cell"] = frame["cell"].astype("str")
    start = frame["first"].min() if len(frame) else None
    basis = Basis(len(table), mark("customers"), start=pd.Timestamp(start).date() if len(frame) else None, end=as_of)
    return RFM(table=table, basis=basis, scores=params.scores)


def scored(orders: ibis.Table, *, as_of: date, params: RFMParams) -> ibis.Table:
    """`rfm` as a lazy table, one row a customer; ``first`` is the day of the first order."""
    return ranked(buyers(orders, as_of=as_of), params)


def buyers(orders: ibis.Table, *, as_of: date) -> ibis.Table:
    """customer_id, recency_days, frequency, spent (exact) and first, one row a customer with an order by `as_of`."""
    seen = orders.filter(orders.date <= ibis.literal(as_of))
    return seen.group_by("customer_id").agg(
        recency_days=ibis.literal(as_of).delta(seen.date.max(), unit="day"),
        frequency=seen.count(),
        spent=seen.amount.cast(MONEY).sum(),
        first=seen.date.min(),
    )


def ranked(each: ibis.Table, params: RFMParams) -> ibis.Table:
    """`buyers` with their scores and cell."""

    def score(worst_first: ibis.Value) -> ibis.Value:
        # rank() counts from 0 in ibis: the number of customers strictly worse
        worse = ibis.rank().over(order_by=worst_first)
        return (1 + (worse * params.scores) // each.count().over()).cast("int64")

    scored = each.mutate(
        r_score=score(each.recency_days.desc()),
        f_score=score(each.frequency.asc()),
        m_score=score(each.spent.asc()),
        monetary=each.spent.cast("float64"),
    )
    cell = scored.r_score.cast("string") + scored.f_score.cast("string") + scored.m_score.cast("string")
    return scored.mutate(cell=cell).drop("spent")
