"""What data allow to be computed, and what they do not: the smallest amounts that each kind of figure needs."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import ibis
import pandas as pd

from crmlab.base.active import periods_over
from crmlab.base.history import history
from crmlab.contract import Basis, Result, Sentence, localise, mark
from crmlab.contract.result import FEWEST

REPEATING = 10
"""Customers who must have bought again, at a value, before what orders are worth can be learnt."""
WEEKS, COMPARED = 12, 50
"""Whole weeks, and customers, before a period can be withheld to test predictions."""

FIGURES = {
    "orders": (mark("any figure"), mark("orders"), 1),
    "people": (mark("counts of customers"), mark("customers who ordered"), FEWEST),
    "periods": (mark("retention (CRR)"), mark("periods that are over"), 2),
    "again": (mark("interpurchase times (IPT)"), mark("customers with orders on two days"), FEWEST),
    "learnt": (mark("purchases ahead, lifetime value (CLV)"), mark("customers with orders on two days"), 1),
    "paid": (mark("revenue and its concentration"), mark("orders above 0"), 1),
    "worth": (mark("what orders are worth"), mark("customers who bought again, above 0"), REPEATING),
    "values": (mark("how order values differ"), mark("different order values"), 2),
    "weeks": (mark("a test of the predictions"), mark("whole weeks observed"), WEEKS),
    "compared": (mark("a test of the predictions"), mark("customers who ordered"), COMPARED),
}
"""Key → the figure, what it needs, and how many of that at least."""

PEOPLE = ("people", "again", "learnt", "worth", "compared")


@dataclass(frozen=True)
class Enough(Result):
    """table: key, figure, needs (what), least, found (int64), possible (bool); one row a need.

    `days` are the first and the last day with an order, `returns` the baskets below zero.
    """

    table: pd.DataFrame
    basis: Basis
    as_of: date
    days: tuple[date | None, date | None] = (None, None)
    returns: int = 0

    title: ClassVar[str] = "What these data can say"
    note: ClassVar[str] = (
        "The least that each kind of figure needs, beside what there is. Where it is not reached the figure is empty "
        "or hidden; reaching it does not make a figure precise: that is what its interval or gate says."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "figure": ("Figure", "word"),
        "needs": ("Needs", "word"),
        "least": ("At least", ",.0f"),
        "here": ("Here", ""),
        "answer": ("Can be computed", "word"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def can(self, key: str) -> bool:
        """Whether the need that `FIGURES` calls `key` is met."""
        return bool(self.table.set_index("key").loc[key, "possible"])

    def shown(self) -> pd.DataFrame:
        """Each need, the answer in a word; counts of fewer than five people are not told."""
        here = [
            f"< {FEWEST}" if key in PEOPLE and 0 < found < FEWEST else localise(f"{found:,}")
            for key, found in self.table[["key", "found"]].itertuples(index=False)
        ]
        answer = self.table["possible"].map({True: mark("yes"), False: mark("no")})
        return self.table.assign(here=pd.Series(here, dtype="str"), answer=answer)

    def sentences(self) -> list[Sentence]:
        """What cannot be computed, and why; or that everything can."""
        if not self.can("orders"):
            if self.returns:
                text = "All amounts up to {as_of} are returns: without an order nothing can be computed."
            else:
                text = "No order is dated on or before {as_of}: nothing can be computed."
            return [Sentence(text, {"as_of": self.as_of}, tone="bad")]
        said = [*self._people_and_days(), *self._values(), *self._predictions()]
        return said or [Sentence("There is enough of everything to compute the figures of this page.", tone="good")]

    def _people_and_days(self) -> list[Sentence]:
        said = []
        if not self.can("people"):
            text = "Fewer than {n} customers have ordered: figures about them are computed but not shown."
            said.append(Sentence(text, {"n": FEWEST}, "bad"))
        if self.days[0] == self.days[1]:
            text = "All orders are of one day, {day}: whether anybody comes back cannot be known from them."
            said.append(Sentence(text, {"day": self.days[0]}, "bad"))
        elif not self.can("learnt"):
            text = "Nobody has ordered on two days: there is no time between orders, and nothing to predict others by."
            said.append(Sentence(text, tone="bad"))
        if not self.can("periods"):
            said.append(Sentence("Fewer than two periods are over: there is no retention rate yet.", tone="warn"))
        return said

    def _values(self) -> list[Sentence]:
        if not self.can("paid"):
            return [Sentence("Every order is worth 0: nothing can be said about revenue or value.", tone="bad")]
        if not self.can("values"):
            return [Sentence("Every order has the same value: how values differ cannot be learnt.", tone="warn")]
        return []

    def _predictions(self) -> list[Sentence]:
        said = []
        if not (self.can("learnt") and self.can("worth") and self.can("values")):
            text = "Lifetime value cannot be computed, and without it no list is made."
            said.append(Sentence(text, tone="bad"))
        elif not (self.can("weeks") and self.can("compared")):
            text = "Predictions cannot be tested: that needs {weeks} weeks and {customers} customers at least."
            said.append(Sentence(text, {"weeks": WEEKS, "customers": COMPARED}, "warn"))
        return said


def enough(orders: ibis.Table, *, as_of: date, period: str = "M", returns: ibis.Table | None = None) -> Enough:
    """Compare what each kind of figure needs with what there is.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen.
    period
        The period of retention: W, M or Q.
    returns
        Baskets that add up to less than zero (`crmlab.base.orders.returns`).
    """
    seen = orders.filter(orders.date <= ibis.literal(as_of))
    totals = seen.aggregate(
        orders=seen.count(),
        paid=(seen.amount > 0).sum(),
        values=seen.amount.nunique(),
        first=seen.date.min(),
        last=seen.date.max(),
    )
    whole = totals.to_pandas().iloc[0]
    known = history(seen, as_of=as_of)
    found = {key: int(whole[key]) if whole["orders"] else 0 for key in ("orders", "paid", "values")}
    found |= {"people": len(known), "compared": len(known), "worth": int((known["z_bar"] > 0).sum())}
    found |= dict.fromkeys(("again", "learnt"), int((known["x"] > 0).sum()))
    days = (None, None)
    if found["orders"]:
        days = (pd.Timestamp(whole["first"]).date(), pd.Timestamp(whole["last"]).date())
        first, last = periods_over(days[0], as_of, period)
        found |= {"periods": max(last - first + 1, 0), "weeks": (as_of - days[0]).days // 7}
    rows = [(key, *FIGURES[key], found.get(key, 0)) for key in FIGURES]
    table = pd.DataFrame(rows, columns=["key", "figure", "needs", "least", "found"])
    table = table.astype({"key": "str", "figure": "str", "needs": "str", "least": "int64", "found": "int64"})
    table["possible"] = table["found"] >= table["least"]
    below = int(returns.filter(returns.date <= ibis.literal(as_of)).count().to_pandas()) if returns is not None else 0
    return Enough(table, Basis(len(known), mark("customers"), days[0], as_of), as_of, days, below)
