"""Customer equity: what the customers of today are worth in all, and what a customer acquired now would be.

Blattberg, Getz & Thomas (2001), Customer Equity; Fader & Hardie (2005, 2009) for the value of a customer just acquired:
the purchase model at x = t_x = T = 0.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.company.ahead import NoForecast
from crmlab.clv.company.forecast import margin
from crmlab.clv.company.forecast_result import CompanyForecast
from crmlab.clv.fitting.fit import Fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.model import COUNTED
from crmlab.clv.params import CLVParams
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.clv.value.predict import Fits, Part, each, no_value, parts, weekly
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

ONE, THERE, GONE = (
    mark("bought once so far"),
    mark("bought again, probably still there"),
    mark("bought again, probably gone"),
)


@dataclass(frozen=True, eq=False)
class NewCustomer(Result):
    """Value of a customer just acquired, over the horizon.

    Attributes
    ----------
    table
        key, measure, mean, low, high (90 % of the expectation), unit (orders or currency): repeat orders (expected
        after the first), order_value, later (discounted margin of the repeat orders), first (margin of the first
        order, valued as any order of a customer without a repeat), ceiling (the two together).
    draws
        (draws,) `later` under each kept draw.
    horizon_weeks
        As in the parameters.
    """

    table: pd.DataFrame
    basis: Basis
    draws: np.ndarray
    horizon_weeks: int

    title: ClassVar[str] = "A customer acquired now"
    note: ClassVar[str] = (
        "Expected of a customer from the day of the first order on, if those who come next are like those of the "
        "history. The first order's margin is stated apart: it is counted where the cost of acquisition has to be "
        "earned by all orders, left out where the first order is already in the books. 90 % intervals of the "
        "expectation."
    )
    columns: ClassVar = {
        "measure": ("measure", "word"),
        "mean": ("mean", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "unit": ("unit", "word"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def sentences(self) -> list[Sentence]:
        """What a new customer is worth, and what acquiring one may cost."""
        by = self.table.set_index("key")
        values = {
            "weeks": self.horizon_weeks,
            "later": by.loc["later", "mean"],
            "low": by.loc["later", "low"],
            "high": by.loc["later", "high"],
            "ceiling": by.loc["ceiling", "mean"],
            "safe": by.loc["ceiling", "low"],
            "share": by.loc["first", "mean"] / by.loc["ceiling", "mean"],
        }
        said = [
            Sentence(
                "A customer acquired now is expected to bring {later:,.2f} of discounted margin in the {weeks} weeks "
                "after the first order (90 % interval {low:,.2f} to {high:,.2f}).",
                values,
            ),
            Sentence(
                "With the first order's margin it is {ceiling:,.2f}: acquiring a customer pays within the horizon "
                "while it costs less, and with some certainty (95 %) below {safe:,.2f}.",
                values,
            ),
        ]
        if values["share"] > 0.5:
            said.append(
                Sentence(
                    "The first order alone is {share:.0%} of that: most new customers are worth little beyond it.",
                    values,
                    tone="warn",
                )
            )
        return said


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


def new_customer(
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    *,
    params: CLVParams,
    basis: Basis | None = None,
    segment: pd.Series | None = None,
) -> NewCustomer | NoValue:
    """What a customer just acquired is worth: the models at x = t_x = T = 0.

    Segments and covariates, where the models have them, are those of the base in its proportions.

    Parameters
    ----------
    history, purchases, spend, params, basis, segment
        As in `crmlab.clv.value.predict.lifetime_value`.
    """
    fits: list[Fit] = [*each(purchases), *each(spend)]
    if not all(f.passed for f in fits):
        return no_value(*fits).again()
    history, found = parts(history, purchases, spend, number=params.kept_draws, segment=segment)
    weeks, margin = params.horizon_weeks, params.margin_share
    orders = value = later = 0.0
    for part in found:
        rows, shares = newcomers(part)
        shares = shares[:, None] * len(part.history) / len(history)
        expected = part.timing.expected_purchases(part.purchase_draws, rows, weeks, (0.0, weekly(params)))
        worth = part.worth.expected_value(part.spend_draws, rows)
        orders = orders + (shares * expected[0]).sum(axis=0)
        value = value + (shares * worth).sum(axis=0)
        later = later + (shares * expected[1] * worth * margin).sum(axis=0)
    rows = [
        ("repeat_orders", mark("orders expected after the first"), orders, mark("orders")),
        ("order_value", mark("value of an order"), value, mark("money")),
        ("later", mark("CLV after the first order"), later, mark("money")),
        ("first", mark("margin of the first order"), value * margin, mark("money")),
        ("ceiling", mark("CLV with the first order: ceiling of acquisition"), later + value * margin, mark("money")),
    ]
    table = pd.DataFrame(
        [(k, m, float(d.mean()), *np.quantile(d, INTERVAL), u) for k, m, d, u in rows],
        columns=["key", "measure", "mean", "low", "high", "unit"],
    )
    return NewCustomer(table, basis or Basis(len(history), mark("customers")), later, weeks)


def newcomers(part: Part) -> tuple[pd.DataFrame, np.ndarray]:
    """Customers without a past, one for each distinct set of covariates, and the share of the part's customers each is.

    Without covariates it is one row.
    """
    rows = part.history.assign(**dict.fromkeys([c for c in COUNTED if c in part.history], 0.0), z_bar=np.nan)
    read = dict.fromkeys((*part.timing.columns, *part.worth.columns))
    described = [c for c in read if c not in (*COUNTED, "z_bar")]
    if not described:
        return rows.head(1), np.ones(1)
    group = rows.groupby(described, sort=True).ngroup().to_numpy()
    _, first, counts = np.unique(group, return_index=True, return_counts=True)
    return rows.iloc[first], counts / len(rows)


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
    value = float(new.draws.mean()) if isinstance(new, NewCustomer) else float("nan")
    calendar = with_calendar(ltv, ahead) if isinstance(ahead, CompanyForecast) else np.empty(0)
    return CustomerEquity(table, ltv.basis, sums.sum(axis=0), ltv.horizon_weeks, value, calendar)


def with_calendar(ltv: LifetimeValue, ahead: CompanyForecast) -> np.ndarray:
    """(draws,) the base's CLV from forecast purchases at the mean value of an expected order, discounted by week."""
    order_value = np.average(ltv.table["order_value"], weights=ltv.table["expected_orders"])
    assumed = {"annual_discount_rate": ltv.annual_discount_rate, "margin_share": ltv.margin_share}
    return margin(ahead, np.array([order_value]), **assumed)
