"""A comparison of models as a result: table, recommendation, and its reason."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark, say

CLEARLY = 2.0
"""Standard errors from which a difference is called distinguishable."""

PACE, PACE_TITLE = "pace", mark("pace so far")
YES, NO = mark("yes"), mark("no")
METHODS = (mark("importance sampling"), mark("NUTS"))
COLUMNS = (
    *("model", "title", "status", "parameters", "method", "k_hat", "log_score", "difference", "se", "mae", "rmse"),
    *("rank_correlation", "gini", "covered_50", "covered_90", "predicted", "low", "high", "holds"),
)


@dataclass(frozen=True, eq=False)
class Comparison(Result):
    """Models of purchases fitted to the same calibration, by how they predict the same validation period.

    Attributes
    ----------
    table
        model (its name), title, status, parameters (their number), method (of the fit), k_hat; log_score (mean log of
        the probability that the model gave to a customer's purchases), difference, se (of log_score from the model in
        use, and its standard error over customers); mae, rmse, rank_correlation, gini; covered_50, covered_90 (of
        customers' intervals); predicted, low, high (total, 90 %), holds (whether the actual total lies within). Best
        log score first, then what has none: the pace so far, and what failed.
    weeks, actual
        Length of the validation period; purchases in it.
    in_use
        The model the study's parameters name, or the member of its family.
    recommended
        The model to use; empty where none was fitted.
    notes
        What the fits say of themselves: a choice within a family, a fallback to another sampler.
    failures
        What failed, statistic by statistic.
    unfit
        Why nothing was compared.
    scores
        Model → (customers,) log probabilities.
    """

    table: pd.DataFrame
    basis: Basis
    weeks: int
    actual: float = float("nan")
    in_use: str = ""
    recommended: str = ""
    notes: tuple[Sentence, ...] = ()
    failures: tuple[Sentence, ...] = ()
    unfit: tuple[Sentence, ...] = ()
    scores: dict[str, np.ndarray] | None = None

    title: ClassVar[str] = "Models of purchases compared on the weeks withheld"
    note: ClassVar[str] = (
        "The log score is the mean logarithm of the probability that a model gave, beforehand, to what each customer "
        "then did: nearer 0 is better, and it cannot be gained by hedging. Differences are from the model in use, with "
        "their standard error over customers."
    )
    columns: ClassVar = {
        "title": ("model", ""),
        "status": ("status", "word"),
        "parameters": ("parameters", ",.0f"),
        "log_score": ("log score", ".4f"),
        "difference": ("difference", "+.4f"),
        "se": ("standard error", ".4f"),
        "mae": ("mean absolute error", ".3f"),
        "rmse": ("root mean square error", ".3f"),
        "rank_correlation": ("rank correlation", ".3f"),
        "gini": ("Gini", ".3f"),
        "covered_50": ("held by 50 % intervals", ".0%"),
        "covered_90": ("held by 90 % intervals", ".0%"),
        "predicted": ("total predicted", ",.0f"),
        "low": ("low (90 %)", ",.0f"),
        "high": ("high (90 %)", ",.0f"),
        "holds": ("holds the actual total", "word"),
        "k_hat": ("Pareto k̂", ".2f"),
        "method": ("fitted by", "word"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def sentences(self) -> list[Sentence]:
        """Which model to use and why; every failure; the totals; the simplest rule."""
        if self.unfit:
            return list(self.unfit)
        return [self._advice(), *self.failures, *self.notes, *self._totals(), *self._rule()]

    def shown(self) -> pd.DataFrame:
        """The table, the rule of thumb's name in the reader's language."""
        return self.table.assign(title=[say(t) if t == PACE_TITLE else t for t in self.table["title"]])

    def row(self, name: str) -> dict[str, Any]:
        """The table's row of a model."""
        return self.table[self.table["model"] == name].iloc[0].to_dict()

    def _advice(self) -> Sentence:
        scored = self.table[self.table["log_score"].notna()]
        if scored.empty:
            return Sentence("No model could be fitted: there is nothing to recommend.", tone="bad")
        best = scored.iloc[0].to_dict()
        values = {"best": best["title"], "recommended": self.row(self.recommended)["title"]}
        if self.in_use not in set(scored["model"]):
            return Sentence(
                "The model in use could not be fitted. {best} predicts best; use {recommended}, the simplest that "
                "cannot be told from it.",
                values,
                tone="warn",
            )
        values |= {"use": self.row(self.in_use)["title"], "difference": best["difference"], "se": best["se"]}
        if len(scored) == 1:
            return Sentence("Only {use} could be fitted: it stands alone.", values)
        if best["model"] == self.in_use:
            return self._stays(scored, values)
        if self.recommended == self.in_use:
            return Sentence(
                "{best} predicts best, by {difference:.4f} ± {se:.4f} of log score a customer against {use}, the model "
                "in use: the difference is not distinguishable from chance. Keep {use}.",
                values,
                tone="good",
            )
        if self.recommended == best["model"]:
            return Sentence(
                "{best} predicts best, by {difference:.4f} ± {se:.4f} of log score a customer against {use}, the model "
                "in use: the difference is distinguishable. Use {best}.",
                values,
                tone="warn",
            )
        return Sentence(
            "{best} predicts best, by {difference:.4f} ± {se:.4f} of log score a customer against {use}, the model in "
            "use: the difference is distinguishable. {recommended} is simpler and cannot be told from {best}: use "
            "{recommended}.",
            values,
            tone="warn",
        )

    def _stays(self, scored: pd.DataFrame, values: dict) -> Sentence:
        second = scored.iloc[1].to_dict()
        values |= {"second": second["title"], "difference": -second["difference"], "se": second["se"]}
        if values["difference"] > CLEARLY * values["se"]:
            return Sentence(
                "{use}, the model in use, predicts best, by {difference:.4f} ± {se:.4f} of log score a customer "
                "against {second}: the difference is distinguishable. Keep it.",
                values,
                tone="good",
            )
        return Sentence(
            "{use}, the model in use, predicts best, by {difference:.4f} ± {se:.4f} of log score a customer against "
            "{second}: the difference is not distinguishable from chance. Keep it.",
            values,
            tone="good",
        )

    def _totals(self) -> list[Sentence]:
        scored = self.table[self.table["log_score"].notna()]
        values = {
            "models": len(scored),
            "holding": int((scored["holds"] == YES).sum()),
            "actual": self.actual,
            "weeks": self.weeks,
        }
        if not len(scored):
            return []
        if not values["holding"]:
            return [
                Sentence(
                    "None of the {models} intervals of the total holds the {actual:,.0f} purchases of the {weeks} "
                    "weeks withheld: these models know no calendar, and choosing among them does not mend that.",
                    values,
                    tone="warn",
                )
            ]
        return [
            Sentence(
                "{holding} of {models} intervals of the total hold the {actual:,.0f} purchases of the {weeks} weeks "
                "withheld.",
                values,
            )
        ]

    def _rule(self) -> list[Sentence]:
        scored, rule = self.table[self.table["log_score"].notna()], self.row(PACE)
        if scored.empty or rule["mae"] > scored["mae"].min():
            return []
        return [
            Sentence(
                "No model misses a customer's purchases by less than carrying on the pace so far ({mae:.2f}).",
                {"mae": rule["mae"]},
                tone="warn",
            )
        ]
