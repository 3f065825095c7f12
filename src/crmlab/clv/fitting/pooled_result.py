"""Segments fitted together, as a result: their parameters, what is expected of each, and what may be said of them."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from crmlab.clv.fitting.fit import Fit
from crmlab.clv.models.model import Arrays, Model
from crmlab.clv.models.registry import model as registered
from crmlab.contract import Basis, Result, Sentence
from crmlab.contract.result import FEWEST


@dataclass(frozen=True, eq=False)
class PooledFit(Result):
    """Posterior samples of all segments' parameters and of their common distribution.

    Attributes
    ----------
    table
        One row a segment and parameter: segment, customers, parameter, mean, sd, low, high (90 %), apart (the mean
        without pooling), r_hat, ess_bulk, ess_tail.
    expected
        One row a segment: segment, customers, expected, low, high (what a customer just acquired is expected to do:
        purchases within the horizon, the value of a purchase, or renewals in 12 periods); apart, apart_low, apart_high
        (the same without pooling), all medians; borrowed (share of what is known of its parameters that comes from the
        others).
    common
        One row a coordinate of the model: mean, low, high of the common mean; spread, spread_low, spread_high of the
        segments around it; r_hat, ess_bulk, ess_tail, the worse of the two.
    model
        Name of the model in the registry.
    draws
        Segment → parameter → (chains, draws). Draw j of every segment is one joint draw.
    typical
        What is expected of a new customer of a segment in the middle of the common distribution.
    divergences, passed, failures, set_aside, notes, definition
        As in `Fit`.
    method
        ``"Gibbs"`` or ``"NUTS"``.
    """

    table: pd.DataFrame
    basis: Basis
    expected: pd.DataFrame
    common: pd.DataFrame
    model: str
    draws: dict[str, Arrays]
    typical: float
    divergences: int
    passed: bool
    failures: tuple[Sentence, ...]
    set_aside: int = 0
    method: str = "Gibbs"
    notes: tuple[Sentence, ...] = ()
    definition: Model | None = None

    title: ClassVar[str] = "Segments' parameters, partially pooled"
    note: ClassVar[str] = (
        "What is expected of a customer just acquired, by segment: purchases within the horizon, the value of a "
        "purchase, or renewals in 12 periods. Each segment has parameters of its own, drawn from a distribution common "
        "to all and learnt from all; beside it what the segment's customers say by themselves. Medians, with 90 % "
        "intervals. Borrowed: of what is known of a segment's parameters, the share that comes from the others, the "
        "mean over parameters; what is expected need not have moved by as much."
    )
    columns: ClassVar = {
        "segment": ("segment", ""),
        "customers": ("customers", ",.0f"),
        "expected": ("expected", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "apart": ("by itself", ",.2f"),
        "apart_low": ("by itself, low (90 %)", ",.2f"),
        "apart_high": ("by itself, high (90 %)", ",.2f"),
        "borrowed": ("borrowed", ".0%"),
    }

    @property
    def fitted(self) -> Model:
        """The model these are the parameters of."""
        return self.definition or registered(self.model)

    def shown(self) -> pd.DataFrame:
        """What is expected of a new customer of each segment."""
        return self.expected

    def sentences(self) -> list[Sentence]:
        """Whether the gate was passed, whether segments differ, and who borrowed how much."""
        said = [*self.notes]
        if self.passed:
            said.append(
                Sentence(
                    "{model} passed the gate of its fit to {segments} segments: largest R-hat {r_hat:.4f}, fewest "
                    "effective draws {ess:,.0f}.",
                    {
                        "model": self.fitted.title,
                        "segments": len(self.draws),
                        "r_hat": self.table["r_hat"].max(),
                        "ess": self.table[["ess_bulk", "ess_tail"]].min().min(),
                    },
                    tone="good",
                )
            )
            said += [*self._differences(), *self._borrowing()]
        return [*said, *self.failures]

    def _differences(self) -> list[Sentence]:
        seen = self.expected[self.expected["customers"] >= FEWEST].sort_values("expected", kind="stable")
        if len(seen) < 2:
            return []
        least, most = seen.iloc[0], seen.iloc[-1]
        values = {
            "first": most["segment"],
            "most": most["expected"],
            "last": least["segment"],
            "least": least["expected"],
        }
        if most["low"] > least["high"]:
            return [
                Sentence(
                    "Segments differ: of a new customer of {first} {most:,.2f} are expected, of one of {last} "
                    "{least:,.2f}, and the intervals do not touch.",
                    values,
                )
            ]
        return [
            Sentence(
                "Segments may not differ: of a new customer of {first} {most:,.2f} are expected, of one of {last} "
                "{least:,.2f}, but the intervals overlap.",
                values,
            )
        ]

    def _borrowing(self) -> list[Sentence]:
        seen = self.expected[self.expected["customers"] >= FEWEST]
        if seen["customers"].nunique() < 2:
            return []
        small, large = seen.loc[seen["customers"].idxmin()], seen.loc[seen["customers"].idxmax()]
        values = {
            "small": small["segment"],
            "share": small["borrowed"],
            "large": large["segment"],
            "other": large["borrowed"],
        }
        if small["borrowed"] > large["borrowed"]:
            return [
                Sentence(
                    "Of what is known of the parameters of {small}, the smallest segment shown, {share:.0%} comes from "
                    "the other segments; of those of {large}, the largest, {other:.0%}.",
                    values,
                )
            ]
        return [
            Sentence(
                "The parameters of the smallest segment shown, {small}, rest on the others no more ({share:.0%}) than "
                "those of the largest, {large} ({other:.0%}).",
                values,
            )
        ]


def fits(pooled: PooledFit) -> dict[str, Fit]:
    """Segment → its own fit, for predictions: draw j of every segment is one joint draw."""
    return {
        segment: Fit(
            table=pooled.table[pooled.table["segment"] == segment].reset_index(drop=True),
            basis=pooled.basis,
            model=pooled.model,
            draws=draws,
            divergences=pooled.divergences,
            passed=pooled.passed,
            failures=pooled.failures,
            method=pooled.method,
            definition=pooled.definition,
        )
        for segment, draws in pooled.draws.items()
    }
