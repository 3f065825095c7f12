"""How far predictions and what happened agree: customers in tenths, and how often intervals hold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.stats import binom

from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.validation.drawn import Drawn
from crmlab.clv.validation.scores import covered
from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST

NEAR = 0.05
"""A 90 % interval that holds 85 to 95 % keeps its word."""

UNLIKELY = 0.05
CALENDAR = mark("with drift and season")


@dataclass(frozen=True, eq=False)
class Tenths(Result):
    """Customers ranked by predicted purchases and cut into tenths.

    Attributes
    ----------
    table
        tenth (1: most purchases predicted), customers, predicted, low, high (mean a customer and its 90 % predictive
        interval), actual (mean a customer), share (of all purchases that happened).
    gini
        Normalised Gini of the order: 1 for the actual order, 0 for chance.
    best
        Share of purchases made by as many customers as the first tenth holds, had they been chosen knowing all.
    """

    table: pd.DataFrame
    basis: Basis
    gini: float
    best: float

    title: ClassVar[str] = "Customers in tenths by predicted purchases"
    note: ClassVar[str] = (
        "The first tenth are the customers predicted to buy most. Means a customer over the weeks withheld, with the "
        "90 % predictive interval of the tenth's mean."
    )
    columns: ClassVar = {
        "tenth": ("tenth", ",.0f"),
        "customers": ("customers", ",.0f"),
        "predicted": ("predicted", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "actual": ("actual", ",.2f"),
        "share": ("share of purchases", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """What the first tenth bought, against the best choice possible; whether there is an order at all."""
        if not np.isfinite(self.gini):
            return [Sentence("Everybody bought equally often in the weeks withheld: there is no order to predict.")]
        if self.table["predicted"].max() - self.table["predicted"].min() < 1e-9:
            return [
                Sentence("The model predicts the same for everybody: the tenths are no order.", tone="warn"),
            ]
        first = self.table.iloc[0]
        values = {
            "customers": first["customers"] / self.table["customers"].sum(),
            "share": first["share"],
            "best": self.best,
            "gini": self.gini,
        }
        if first["share"] > values["customers"]:
            return [
                Sentence(
                    "The {customers:.0%} of customers predicted to buy most made {share:.0%} of the purchases; knowing "
                    "all beforehand, {best:.0%} could have been reached (normalised Gini of the order {gini:.2f}).",
                    values,
                )
            ]
        return [
            Sentence(
                "The {customers:.0%} of customers predicted to buy most made {share:.0%} of the purchases, no more "
                "than their number: the order is worth nothing here (normalised Gini {gini:.2f}).",
                values,
                tone="warn",
            )
        ]


def in_tenths(
    predicted: np.ndarray, actual: np.ndarray, codes: np.ndarray, sums: np.ndarray, *, gini: float, basis: Basis
) -> Tenths:
    """Predicted and actual by tenth; customers of equal prediction share what they did.

    Parameters
    ----------
    predicted, actual, codes
        (customers,) expected and actual purchases, number of the tenth.
    sums
        (tenths, draws) predictive draws of each tenth's purchases.
    gini, basis
        Normalised Gini; what it rests on.
    """
    shared = pd.Series(actual, dtype=float).groupby(predicted.round(9)).transform("mean").to_numpy()
    numbers = np.bincount(codes)
    low, high = np.quantile(sums, INTERVAL, axis=1) / numbers
    bought = np.bincount(codes, weights=shared)
    total = actual.sum()
    table = pd.DataFrame(
        {
            "tenth": np.arange(1, len(numbers) + 1),
            "customers": numbers,
            "predicted": np.bincount(codes, weights=predicted) / numbers,
            "low": low,
            "high": high,
            "actual": bought / numbers,
            "share": bought / total if total else np.nan,
        }
    )
    best = np.sort(actual)[::-1][: numbers[0]].sum() / total if total else np.nan
    return Tenths(table, basis, gini, float(best))


@dataclass(frozen=True, eq=False)
class Coverage(Result):
    """How often predictive intervals hold what happened.

    Attributes
    ----------
    table
        level (customers, groups of customers, company total), forecast (whose intervals), units, covered_50,
        covered_90 (share of units; of a company's one total 0 or 1); low, high, actual of the total (90 %).
    """

    table: pd.DataFrame
    basis: Basis

    title: ClassVar[str] = "How often the intervals hold what happened"
    note: ClassVar[str] = (
        "A 50 % interval should hold half of the outcomes, a 90 % interval nine in ten. Customers' counts are compared "
        "by their probabilities, so that whole numbers do not flatter the figure."
    )
    columns: ClassVar = {
        "level": ("level", "word"),
        "forecast": ("forecast", ""),
        "units": ("intervals", ",.0f"),
        "covered_50": ("held by 50 % intervals", ".0%"),
        "covered_90": ("held by 90 % intervals", ".0%"),
        "low": ("low (90 %)", ",.0f"),
        "high": ("high (90 %)", ",.0f"),
        "actual": ("actual", ",.0f"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def shown(self) -> pd.DataFrame:
        """The table, the company forecast's name in the reader's language."""
        return self.table.assign(forecast=[say(f) if f == CALENDAR else f for f in self.table["forecast"]])

    def sentences(self) -> list[Sentence]:
        """Whether customers' and groups' intervals keep their word."""
        return [s for row in self.table.to_dict("records") for s in _held(row)]


def interval_coverage(found: Drawn, actual: np.ndarray, groups: np.ndarray, *, forecast: str, basis: Basis) -> Coverage:
    """Coverage of customers, of the groups of at least five of them, and of the company total.

    Parameters
    ----------
    found
        Predictive draws, with sums by ``groups`` and ``all``.
    actual, groups
        (customers,) what happened; number of each customer's group, −1 for none.
    forecast
        Whose intervals.
    basis
        What they rest on.
    """
    inside = groups >= 0
    numbers = np.bincount(groups[inside], minlength=len(found.sums["groups"]))
    happened = np.bincount(groups[inside], weights=actual[inside], minlength=len(numbers))
    sums, happened = found.sums["groups"][numbers >= FEWEST], happened[numbers >= FEWEST]
    rows = [
        {"level": mark("customers"), "units": len(actual)}
        | {"covered_50": covered(found.below, found.upto, 0.5), "covered_90": covered(found.below, found.upto, 0.9)}
    ]
    if len(sums):
        rows.append({"level": mark("groups of customers"), "units": len(sums)} | _hold(sums, happened))
    total = found.sums["all"]
    low, high = np.quantile(total[0], INTERVAL)
    rows.append(
        {"level": mark("company total"), "units": 1}
        | _hold(total, actual.sum(keepdims=True))
        | {"low": float(low), "high": float(high), "actual": float(actual.sum())}
    )
    columns = ("level", "forecast", "units", "covered_50", "covered_90", "low", "high", "actual")
    return Coverage(pd.DataFrame([{"forecast": forecast} | row for row in rows], columns=columns), basis)


def with_calendar(coverage: Coverage, last: Mapping[str, float]) -> Coverage:
    """The coverage with a row for the company forecast: `last` is its table's last week."""
    actual = coverage.table["actual"].iloc[-1]
    row = {
        "level": mark("company total"),
        "forecast": CALENDAR,
        "units": 1,
        "covered_50": float(last["total_low_50"] <= actual <= last["total_high_50"]),
        "covered_90": float(last["total_low_90"] <= actual <= last["total_high_90"]),
        "low": last["total_low_90"],
        "high": last["total_high_90"],
        "actual": actual,
    }
    return replace(coverage, table=pd.concat([coverage.table, pd.DataFrame([row])], ignore_index=True))


def _hold(sums: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Share of rows whose actual number lies within the central 50 % and 90 % of its draws."""
    low, first, third, high = np.quantile(sums, (0.05, 0.25, 0.75, 0.95), axis=1)
    return {
        "covered_50": float(((first <= actual) & (actual <= third)).mean()),
        "covered_90": float(((low <= actual) & (actual <= high)).mean()),
    }


def _held(row: dict) -> list[Sentence]:
    values = {"half": row["covered_50"], "most": row["covered_90"], "units": row["units"], "forecast": row["forecast"]}
    if row["level"] == "customers":
        if row["covered_90"] < 0.9 - NEAR:
            return [
                Sentence(
                    "Customers' 90 % intervals hold {most:.0%} of what customers did, their 50 % intervals {half:.0%}: "
                    "too narrow.",
                    values,
                    tone="warn",
                )
            ]
        if row["covered_90"] > 0.9 + NEAR:
            return [
                Sentence(
                    "Customers' 90 % intervals hold {most:.0%} of what customers did, their 50 % intervals {half:.0%}: "
                    "wider than they need be.",
                    values,
                )
            ]
        return [
            Sentence(
                "Customers' 90 % intervals hold {most:.0%} of what customers did, their 50 % intervals {half:.0%}.",
                values,
                tone="good",
            )
        ]
    if row["level"] == "groups of customers":
        values["inside"] = round(row["covered_90"] * row["units"])
        return [
            Sentence(
                "The 90 % intervals of {inside} of {units} groups of customers hold the group's purchases.",
                values,
                tone="good" if binom.cdf(values["inside"], row["units"], 0.9) > UNLIKELY else "warn",
            )
        ]
    return [_total(row)] if row["forecast"] == CALENDAR else []


def _total(row: dict) -> Sentence:
    values = {"actual": row["actual"], "low": row["low"], "high": row["high"]}
    if row["covered_90"]:
        return Sentence(
            "The company forecast, which knows drift and season, gave 90 % of its probability to {low:,.0f} to "
            "{high:,.0f} purchases; {actual:,.0f} happened: its interval holds the total.",
            values,
            tone="good",
        )
    return Sentence(
        "The company forecast, which knows drift and season, gave 90 % of its probability to {low:,.0f} to "
        "{high:,.0f} purchases; {actual:,.0f} happened: its interval misses the total, too.",
        values,
        tone="warn",
    )
