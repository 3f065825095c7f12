"""Customer equity: what the customers of today are worth in all.

Blattberg, Getz & Thomas (2001), Customer Equity.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.company.ahead import NoForecast
from crmlab.clv.company.forecast import margin
from crmlab.clv.company.forecast_result import CompanyForecast
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.clv.value.newcomer import NewCustomer
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

ONE, THERE, GONE = (
    mark("bought once so far"),
    mark("bought again, probably still there"),
    mark("bought again, probably gone"),
)


@dataclass(frozen=True, eq=False)
class CustomerEquity(Result):
    """CLV of all customers, and who carries it.

    Attributes
    ----------
    table
        state, customers, clv (mean), low, high, total, total_low, total_high (90 % of the expectation), share. States
        nobody is in are left out.
    draws
        (draws,) the whole base's CLV under each kept draw.
    horizon_weeks, new_customer
        As in the parameters; CLV of a customer acquired now without the first order, not a number where unknown.
    with_calendar
        (draws,) the same total as the company forecast moves and widens it, at the base's mean value of an order; empty
        without a forecast.
    """

    table: pd.DataFrame
    basis: Basis
    draws: np.ndarray = field(repr=False)
    horizon_weeks: int
    new_customer: float = float("nan")
    with_calendar: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    title: ClassVar[str] = "Customer equity"
    note: ClassVar[str] = (
        "Lifetime value of all customers of today, by what they did and whether they are probably still there "
        "(P(alive) of 50 % or more). Customers yet to be acquired are not in it. 90 % intervals of the expectation "
        "under the model, which knows no calendar and is too sure of totals."
    )
    columns: ClassVar = {
        "state": ("customers who", "word"),
        "customers": ("customers", ",.0f"),
        "clv": ("mean CLV", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "total": ("total CLV", ",.0f"),
        "total_low": ("total, low (90 %)", ",.0f"),
        "total_high": ("total, high (90 %)", ",.0f"),
        "share": ("share of total CLV", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """What the base is worth, how that compares with new customers, and who carries it."""
        total = float(self.table["total"].sum())
        low, high = np.quantile(self.draws, INTERVAL)
        values = {"weeks": self.horizon_weeks, "total": total, "low": float(low), "high": float(high)}
        said = [
            Sentence(
                "Customer equity, the value of today's customers over {weeks} weeks, is {total:,.0f} (90 % interval "
                "{low:,.0f} to {high:,.0f} under the model, too narrow for a total).",
                values,
            ),
            *self._calendar(),
        ]
        if self.new_customer > 0:
            said.append(
                Sentence(
                    "That is as much as {n:,.0f} newly acquired customers would bring after their first order.",
                    {"n": total / self.new_customer},
                )
            )
        seen = self.table[self.table["customers"] >= FEWEST].set_index("state")
        shares, people = seen["share"], seen["customers"] / self.table["customers"].sum()
        if ONE in shares and shares[ONE] > 0.5:
            said.append(
                Sentence(
                    "Most of it, {share:.0%}, is carried by customers who bought once so far ({people:.0%} of all): it "
                    "rests on what the models expect of people hardly known.",
                    {"share": shares[ONE], "people": people[ONE]},
                    tone="warn",
                )
            )
        elif ONE in shares:
            said.append(
                Sentence(
                    "Customers who bought once so far are {people:.0%} of all and carry {share:.0%} of it.",
                    {"share": shares[ONE], "people": people[ONE]},
                )
            )
        return said

    def _calendar(self) -> list[Sentence]:
        """The total as the calendar of past weeks moves and widens it."""
        if not self.with_calendar.size:
            return []
        low, middle, high = np.quantile(self.with_calendar, (INTERVAL[0], 0.5, INTERVAL[1]))
        return [
            Sentence(
                "As the calendar of past weeks moves and widens it, it is {middle:,.0f} (90 % interval {low:,.0f} to "
                "{high:,.0f}): the interval to plan with.",
                {"middle": float(middle), "low": float(low), "high": float(high)},
            )
        ]


def customer_equity(
    ltv: LifetimeValue | NoValue,
    new: NewCustomer | NoValue | None = None,
    ahead: CompanyForecast | NoForecast | None = None,
) -> CustomerEquity | NoValue:
    """The base's CLV by what customers did and whether they are probably still there.

    Parameters
    ----------
    ltv
        Customers' values.
    new
        What a customer acquired now would bring.
    ahead
        The company's forecast over the same horizon.
    """
    if isinstance(ltv, NoValue):
        return ltv.again()
    states = np.array([ONE, THERE, GONE])
    repeat, there = ltv.table["x"].to_numpy() > 0, ltv.table["p_alive"].to_numpy() >= 0.5
    of = np.where(~repeat, 0, np.where(there, 1, 2))
    present, groups = np.unique(of, return_inverse=True)
    sums, customers = ltv.sums(groups), np.bincount(groups)
    totals = np.bincount(groups, weights=ltv.table["clv"])
    low, high = np.quantile(sums, INTERVAL, axis=1)
    table = pd.DataFrame(
        {
            "state": states[present],
            "customers": customers,
            "clv": totals / customers,
            "low": low / customers,
            "high": high / customers,
            "total": totals,
            "total_low": low,
            "total_high": high,
            "share": totals / totals.sum(),
        }
    )
    known = isinstance(new, NewCustomer) and new.seen_to_come
    value = float(new.draws.mean()) if known else float("nan")
    calendar = with_calendar(ltv, ahead) if isinstance(ahead, CompanyForecast) else np.empty(0)
    return CustomerEquity(table, ltv.basis, sums.sum(axis=0), ltv.horizon_weeks, value, calendar)


def with_calendar(ltv: LifetimeValue, ahead: CompanyForecast) -> np.ndarray:
    """(draws,) the base's CLV from forecast purchases at the mean value of an expected order, discounted by week."""
    order_value = np.average(ltv.table["order_value"], weights=ltv.table["expected_orders"])
    assumed = {"annual_discount_rate": ltv.annual_discount_rate, "margin_share": ltv.margin_share}
    return margin(ahead, np.array([order_value]), **assumed)
