"""The list as a result: the ranked customers, whom it chooses, and what it is expected to be worth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

import pandas as pd

from crmlab.activation.believed import PRIOR, UPLIFT
from crmlab.contract import Basis, Result, Sentence
from crmlab.contract.result import FEWEST


@dataclass(frozen=True)
class Plan(Result):
    """The ranked customers and the list chosen among them.

    table, one row an eligible customer: customer_id, segment, expected_value (margin expected of the contact less its
    cost, money), value_low, value_high (90 %), p_profit (probability that the contact pays its cost), cost (money, as
    if contacted), chosen, rank (1 = first). `by_segment` and `curve` (cumulative over the ranking) are what is shown.
    `total`: expected, low, high, p_profit of the whole list.
    """

    table: pd.DataFrame
    basis: Basis
    by_segment: pd.DataFrame
    curve: pd.DataFrame
    total: dict[str, float]
    kind: str
    budget: Decimal
    spent: Decimal
    affordable: int
    worth: int
    unvalued: int = 0
    margin_share: float = 1.0
    orders_per_response: float = 1.0
    names: dict[str, str] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    mode: str = "live"

    title = "The list under the budget"
    note = (
        "Expected value: margin expected of the contacts less their cost. Every customer on the list counts towards "
        "the budget as if contacted, those withheld at random too, so that arms never change the list. Intervals hold "
        "what is unknown about the response, not about the size of the next order."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "eligible": ("Eligible", ",.0f"),
        "chosen": ("On the list", ",.0f"),
        "expected": ("Expected value", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "cost": ("Cost", ",.2f"),
        "p_profit": ("P(profit)", ".0%"),
    }
    people = ("eligible", "chosen")

    @property
    def chosen(self) -> int:
        """Customers on the list."""
        return int(self.table["chosen"].sum())

    def shown(self) -> pd.DataFrame:
        """One row a segment."""
        return self.by_segment

    def sentences(self) -> list[Sentence]:
        """Whether there is a list, whether the budget binds, what the list is worth and what that rests on."""
        if self.chosen == 0:
            if self.worth and self.affordable == 0:
                return [Sentence("The budget does not pay for one contact: there is no list.", tone="bad")]
            return [Sentence("No contact is expected to be worth its cost: there is no list.", tone="bad")]
        return [self._budget(), self._worth(), self._rests_on(), *self._left_out()]

    def _budget(self) -> Sentence:
        values = {"n": self.chosen, "spent": self.spent}
        if self.worth > self.affordable:
            return Sentence(
                "The budget binds: {n:,} customers are on the list for {spent:,.2f}, and {more:,} more would be worth "
                "their contact.",
                values | {"more": self.worth - self.chosen},
            )
        return Sentence(
            "The budget does not bind: all {n:,} customers worth their contact are on the list for {spent:,.2f}; "
            "{left:,.2f} stays unspent.",
            values | {"left": self.budget - self.spent},
        )

    def _worth(self) -> Sentence:
        p = self.total["p_profit"]
        return Sentence(
            "The list is worth {expected:,.2f} after its cost (90 % interval {low:,.2f} to {high:,.2f}); P(it pays) = "
            "{p_profit:.0%}.",
            dict(self.total),
            tone="good" if p >= 0.9 else "warn" if p >= 0.5 else "bad",
        )

    def _rests_on(self) -> Sentence:
        values = {"margin": self.margin_share, "orders": self.orders_per_response}
        if self.kind == UPLIFT:
            return Sentence(
                "This rests on uplift measured against a control group, on {orders:.2f} orders an additional response "
                "and a margin of {margin:.0%} (both assumed).",
                values,
            )
        if self.kind == PRIOR:
            return Sentence(
                "This rests on a declared prior, not on data, on {orders:.2f} orders a response and a margin of "
                "{margin:.0%} (all assumed): the ranking is by order value alone.",
                values,
                tone="warn",
            )
        return Sentence(
            "This counts every response as {orders:.2f} additional orders at a margin of {margin:.0%} (both assumed). "
            "Orders that would have come anyway are counted too: it says who answers, not what the contact adds.",
            values,
            tone="warn",
        )

    def _left_out(self) -> list[Sentence]:
        if not self.unvalued:
            return []
        if self.unvalued < FEWEST:
            return [
                Sentence("Fewer than five eligible customers have no value or no segment: they are not on the list.")
            ]
        return [
            Sentence(
                "{n:,} eligible customers have no value or no segment and cannot be ranked: they are not on the list.",
                {"n": self.unvalued},
                tone="warn",
            )
        ]
