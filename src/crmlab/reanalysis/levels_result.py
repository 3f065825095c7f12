"""Response and spend by segment: the tables, and what is said of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import frame_html


@dataclass(frozen=True)
class Between(Result):
    """Response and spend by segment; whether segments differ; what the segmentation explains.

    table
        segment, name, customers, contacts, responses, rate, low, high, spend, spend_low, spend_high.
    tests
        test, outcome, statistic, df, p.
    explained
        measure, value, low, high: sd of true rates between segments and within them, the share of variance in
        propensity that lies between segments, and η² of the answers themselves.
    """

    table: pd.DataFrame
    basis: Basis
    tests: pd.DataFrame
    explained: pd.DataFrame
    alpha: float

    title: ClassVar[str] = mark("Response and spend by segment")
    note: ClassVar[str] = mark(
        "Spend is per contact within the outcome window. Intervals are 90 % unless the study says otherwise. "
        "Different is not useful: look at the share of variance explained."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": (mark("segment"), ""),
        "customers": (mark("customers"), ",.0f"),
        "contacts": (mark("contacts"), ",.0f"),
        "rate": (mark("response rate"), ".1%"),
        "low": (mark("low"), ".1%"),
        "high": (mark("high"), ".1%"),
        "spend": (mark("spend a contact"), ",.2f"),
        "spend_low": (mark("spend, low"), ",.2f"),
        "spend_high": (mark("spend, high"), ",.2f"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers", "responses")
    tests_columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "outcome": (mark("outcome"), "word"),
        "test": (mark("do segments differ?"), "word"),
        "statistic": (mark("statistic"), ",.2f"),
        "df": (mark("degrees of freedom"), ",.1f"),
        "p": (mark("p"), ".2g"),
    }
    explained_columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "measure": (mark("what the segmentation explains"), "word"),
        "value": (mark("value"), ".3f"),
        "low": (mark("low"), ".3f"),
        "high": (mark("high"), ".3f"),
    }

    def measure(self, name: str) -> tuple[float, float, float]:
        """Value, low and high of one measure of `explained`."""
        row = self.explained.set_index("measure").loc[name]
        return float(row["value"]), float(row["low"]), float(row["high"])

    def p_response(self) -> float:
        """The p that segments' response rates are equal: χ² where it applies, else Welch's test."""
        p = self.tests[(self.tests["outcome"] == "response") & self.tests["p"].notna()]["p"]
        return float(p.iloc[0]) if len(p) else float("nan")

    def sentences(self) -> list[Sentence]:
        """Whether segments differ, and whether that is worth much."""
        p = self.p_response()
        if np.isnan(p):
            return [Sentence("Whether segments differ cannot be said: fewer than two of them were contacted.")]
        if p < self.alpha:
            told = [Sentence("Segments differ in how often they respond (p = {p:.2g}).", {"p": p})]
        else:
            told = [Sentence("Segments do not differ clearly in how often they respond (p = {p:.2g}).", {"p": p})]
        share, low, high = self.measure("share of variance in propensity between segments")
        eta = self.measure("share of variance in answers between segments (η²)")[0]
        if np.isnan(share):
            text = mark(
                "How much of the difference between people they explain is not identified with one contact each; "
                "of the variance in answers, chance included, it is {eta:.1%}."
            )
            return [*told, Sentence(text, {"eta": eta})]
        values = {"share": share, "low": low, "high": high}
        if share < 0.25:
            text = mark(
                "They explain about {share:.0%} of the variance in propensity to respond [{low:.0%}, {high:.0%}]: "
                "most differences are between people of the same segment."
            )
            return [*told, Sentence(text, values, "warn")]
        text = mark("They explain about {share:.0%} of the variance in propensity to respond [{low:.0%}, {high:.0%}].")
        return [*told, Sentence(text, values, "good")]

    def _repr_html_(self) -> str:
        parts = [
            super()._repr_html_(),
            frame_html(self.tests, self.tests_columns, people=()),
            frame_html(self.explained, self.explained_columns, people=()),
        ]
        return "".join(parts)
