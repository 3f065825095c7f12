"""What customers are worth, as a result: table, draws, and what may be said of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.fit import Fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.contract import Basis, Result, Sentence
from crmlab.contract.result import FEWEST

GROUPS = 10
HARDLY_ANYONE = 0.05

Sums = Callable[[np.ndarray], np.ndarray]
"""(customers,) group of each, from 0, −1 for none → (groups, draws): the groups' CLV under each draw."""


@dataclass(frozen=True, eq=False)
class LifetimeValue(Result):
    """Expected discounted margin of each customer over the horizon, from the day after the last observed one.

    Attributes
    ----------
    table
        One row a customer, sorted by customer_id: customer_id; x (repeat purchases so far); p_alive, p_alive_low,
        p_alive_high; expected_orders, orders_low, orders_high (purchases expected within the horizon); order_value
        (expected value of one, currency); clv, clv_low, clv_high (currency). Means over the posterior, with 90 %
        intervals of the expectation.
    sums
        CLV of any groups of customers under each kept draw, computed anew when asked; (customers × draws) is not held.
    horizon_weeks, annual_discount_rate, margin_share
        As in the parameters.
    free
        Repeat buyers who paid nothing for their repeat purchases.
    strained
        What the fit of the spend model warned of.
    """

    table: pd.DataFrame
    basis: Basis
    sums: Sums = field(repr=False)
    horizon_weeks: int
    annual_discount_rate: float
    margin_share: float
    free: int = 0
    strained: tuple[Sentence, ...] = ()

    title: ClassVar[str] = "Customer lifetime value: customers in groups from the highest to the lowest"
    note: ClassVar[str] = (
        "Expected discounted margin over the horizon, customers ranked by it and cut into groups of equal size. "
        "Intervals (90 %) are those of the expectation under the model: a single customer varies far more, and "
        "a model that knows no calendar is too sure of totals. Orders count net of returns; a basket below zero is a "
        "return and no order."
    )
    columns: ClassVar = {
        "group": ("group", ",.0f"),
        "customers": ("customers", ",.0f"),
        "p_alive": ("mean P(alive)", ".1%"),
        "expected_orders": ("orders expected a customer", ",.1f"),
        "order_value": ("value of an order", ",.2f"),
        "clv": ("mean CLV", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "share": ("share of total CLV", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """Groups of equal size by CLV, highest first: means, intervals, share of the total."""
        return self._tenths[0]

    def total(self) -> tuple[float, float, float]:
        """The base's CLV: mean, and the 90 % interval under the model."""
        low, high = np.quantile(self._tenths[1].sum(axis=0), INTERVAL)
        return float(self.table["clv"].sum()), float(low), float(high)

    @cached_property
    def _tenths(self) -> tuple[pd.DataFrame, np.ndarray]:
        """The groups shown, and their CLV under each draw."""
        of = tenths(self.table["clv"].to_numpy())
        groups, sums = of.max(initial=0) + 1, self.sums(of)
        means = self.table.groupby(of)[["p_alive", "expected_orders", "order_value", "clv"]].mean()
        customers = np.bincount(of, minlength=groups)
        low, high = np.quantile(sums, INTERVAL, axis=1) / customers
        shares = np.bincount(of, weights=self.table["clv"], minlength=groups) / self.table["clv"].sum()
        table = pd.DataFrame({"group": np.arange(groups) + 1, "customers": customers})
        return table.join(means.reset_index(drop=True)).assign(low=low, high=high, share=shares), sums

    def sentences(self) -> list[Sentence]:
        """Who leaves, what the base is worth, who carries it, and where the models' assumptions are strained."""
        return [*leaving(self.table), *self._worth(), *self._assumptions()]

    def headline(self) -> Sentence:
        """What the base is worth."""
        return self._worth()[0]

    def _worth(self) -> list[Sentence]:
        total, low, high = self.total()
        groups = self.shown()
        first = groups.iloc[0]
        largest = np.sort(self.table["clv"].to_numpy())[-FEWEST + 1 :].sum()
        few = [
            Sentence(
                "Fewer than five customers carry most of it: look at them one by one; totals and means rest on them.",
                tone="warn",
            )
        ]
        return [
            Sentence(
                "Over the next {weeks} weeks, discounted at {rate:.1%} a year, these customers are worth {total:,.0f} "
                "(90 % interval {low:,.0f} to {high:,.0f} under the model, too narrow for a total).",
                {
                    "weeks": self.horizon_weeks,
                    "rate": self.annual_discount_rate,
                    "total": total,
                    "low": low,
                    "high": high,
                },
            ),
            Sentence(
                "The most valuable {customers:.0%} of customers carry {share:.0%} of it.",
                {"customers": first["customers"] / len(self.table), "share": first["share"]},
            ),
            *(few if len(self.table) > 2 * FEWEST and 2 * largest > total else []),
        ]

    def _assumptions(self) -> list[Sentence]:
        said = []
        if self.margin_share < 1:
            said.append(
                Sentence(
                    "A margin of {share:.1%} of an order's value is assumed, as the study's parameters declare.",
                    {"share": self.margin_share},
                )
            )
        else:
            said.append(
                Sentence("An order's whole value counts as margin: no margin share is declared in the parameters.")
            )
        if self.free >= FEWEST:
            said.append(
                Sentence(
                    "{n:,} repeat buyers paid nothing for their repeat orders; they are valued all the same, at what "
                    "the spend model expects of a next order.",
                    {"n": self.free},
                )
            )
        elif self.free:
            said.append(
                Sentence("A few repeat buyers paid nothing for their repeat orders; they are valued all the same.")
            )
        return [*said, *self.strained]


def tenths(values: np.ndarray) -> np.ndarray:
    """(customers,) number of each one's tenth, from 0 for the highest values; fewer, larger groups where few."""
    groups = max(1, min(GROUPS, len(values) // FEWEST))
    order = np.lexsort((np.arange(len(values)), -values.round(6)))
    codes = np.empty(len(values), dtype=int)
    for number, where in enumerate(np.array_split(order, groups)):
        codes[where] = number
    return codes


def sums_of(draws: np.ndarray) -> Sums:
    """`LifetimeValue.sums` from (customers, draws) held in memory."""

    def sums(groups: np.ndarray) -> np.ndarray:
        totals = np.zeros((int(groups.max(initial=-1)) + 1, draws.shape[1]))
        np.add.at(totals, groups[groups >= 0], draws[groups >= 0])
        return totals

    return sums


@dataclass(frozen=True, eq=False)
class NoValue(Result):
    """What stands where CLV would stand when a fit failed its gate, or could not be made."""

    table: pd.DataFrame
    basis: Basis
    failures: tuple[Sentence, ...]
    said: bool = False

    title: ClassVar[str] = "No customer lifetime value"
    note: ClassVar[str] = "The diagnostics of every parameter fitted; nothing is computed without a fit that passed."
    columns: ClassVar = Fit.columns
    people: ClassVar[tuple[str, ...]] = ()

    def sentences(self) -> list[Sentence]:
        """Why there is none, and what follows; once on a page."""
        if self.said:
            return [Sentence("Without lifetime values there is nothing to show here, for the reasons given above.")]
        return [
            *self.failures,
            Sentence("This page has no CLV, and activation is refused until the fit passes.", tone="bad"),
        ]

    def again(self) -> "NoValue":
        """The same, where it has been said already."""
        return replace(self, table=self.table.iloc[:0], said=True)


def leaving(table: pd.DataFrame) -> list[Sentence]:
    """Whether repeat buyers leave, in words; and that single purchases cannot tell."""
    if not (table["x"] > 0).any():
        return [Sentence("Nobody has bought again so far: what these customers will do is hardly known.", tone="warn")]
    repeat = table.loc[table["x"] > 0, "p_alive"]
    median, gone = float(repeat.median()), float((repeat < 0.5).mean())
    values = {"median": median, "gone": gone}
    if gone < HARDLY_ANYONE and median > 0.9:
        first = Sentence(
            "By the model hardly anyone has left: among repeat buyers the median P(alive) is {median:.1%}, and "
            "{gone:.1%} are more likely gone than not. It tells customers apart by how often and how much they buy, "
            "not by whether they stay.",
            values,
        )
    elif gone > 0.5:
        first = Sentence(
            "Most repeat buyers are probably gone: {gone:.1%} are more likely gone than not (median P(alive) "
            "{median:.1%}). Who is still there matters most for what the base is worth.",
            values,
            tone="warn",
        )
    else:
        first = Sentence(
            "Some repeat buyers have left: their median P(alive) is {median:.1%}, and {gone:.1%} are more likely gone "
            "than not.",
            values,
        )
    single = table.loc[table["x"] == 0, "p_alive"]
    if len(single) < HARDLY_ANYONE * len(table) or not (single == 1).all():
        return [first]
    return [
        first,
        Sentence(
            "{share:.0%} of customers bought on one day only. This model lets nobody leave before a second purchase, "
            "so their P(alive) of 100 % is an assumption, not a finding.",
            {"share": len(single) / len(table)},
            tone="warn",
        ),
    ]
