"""Columns without a date that tell past answers apart too well to have been known before them.

Rows with a date are cut at the cycle's day; a column of the customers table carries none, and one written after the
answer (how long the call lasted, what was redeemed) looks like the best predictor there is.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from crmlab.base.traits import Traits
from crmlab.contract import Basis, Result, Sentence, generator, mark
from crmlab.contract.result import FEWEST

CERTAIN = 0.95
"""AUC that no honest description of a person reaches: above it (the lower limit) a column may not split."""

DOUBTFUL = 0.80
"""AUC above which (the lower limit) somebody should say when the column was written; till then only a person splits
by it."""

FOLDS, MOST_BINS, SMOOTHING = 5, 50, 2.0
LEAK, DOUBT, FINE, FEW = mark("written after the answer"), mark("ask when written"), mark("no sign"), mark("too few")


@dataclass(frozen=True)
class Leaks(Result):
    """table: trait, customers, answered, auc, low, high, verdict; one row a column of the customers table."""

    table: pd.DataFrame
    basis: Basis

    title: ClassVar[str] = "Columns that may have been written after the answer"
    note: ClassVar[str] = (
        "The area under the curve is the chance that, of one customer who ever answered and one who never did, the "
        "column points to the right one: .5 is chance, 1 certainty; each customer is judged by the answers of others. "
        "Columns whose 90 % interval lies above .95 may not split a segment; above .80, only where a person names them."
    )
    people: ClassVar[tuple[str, ...]] = ("customers", "answered")
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "trait": ("trait", ""),
        "customers": ("customers contacted", ",.0f"),
        "answered": ("of these, answered", ",.0f"),
        "auc": ("area under the curve", ".3f"),
        "low": ("from", ".3f"),
        "high": ("to", ".3f"),
        "verdict": ("sign of a leak", "word"),
    }

    @property
    def barred(self) -> tuple[str, ...]:
        """The traits that may not split, whoever asks."""
        return self._judged_to_be(LEAK)

    def _judged_to_be(self, *verdicts: str) -> tuple[str, ...]:
        return tuple(self.table.loc[self.table["verdict"].isin(verdicts), "trait"])

    def applied(self, traits: Traits) -> Traits:
        """`traits` with those that leak, or may, not allowed for splits, and a column `leak` of those that do."""
        name = traits.catalogue["name"]
        allowed = traits.catalogue["allowed_for_splits"] & ~name.isin(self._judged_to_be(LEAK, DOUBT))
        told = traits.catalogue.assign(allowed_for_splits=allowed, leak=name.isin(self.barred))
        return replace(traits, catalogue=told)

    def sentences(self) -> list[Sentence]:
        """Which columns were written after the answer, which may have been; else the best there is."""
        if self.table.empty:
            return [Sentence("The customers table has no further column: none can have been written after an answer.")]
        judged = self.table[self.table["verdict"] != FEW]
        if judged.empty:
            text = "Too few have answered so far to see whether a column was written after the answer."
            return [Sentence(text, tone="warn")]
        texts = {
            LEAK: (
                mark(
                    "{trait} tells those who answered from those who did not almost without fault (AUC {auc:.2f}, 90 % "
                    "interval {low:.2f} to {high:.2f}): it was written after the answer, and may not split. Leave it "
                    "out, or bring it in with its date."
                ),
                "bad",
            ),
            DOUBT: (
                mark(
                    "{trait} tells those who answered from those who did not unusually well (AUC {auc:.2f}, 90 % "
                    "interval {low:.2f} to {high:.2f}): make sure that it is known before the contact, or leave it "
                    "out. Until a person names it, nothing is split by it."
                ),
                "warn",
            ),
        }
        said = [
            Sentence(
                texts[row["verdict"]][0], {c: row[c] for c in ("trait", "auc", "low", "high")}, texts[row["verdict"]][1]
            )
            for row in judged.to_dict("records")
            if row["verdict"] in texts
        ]
        best = judged.iloc[0]
        return said or [
            Sentence(
                "No column of the customers table shows signs of having been written after the answer; the one that "
                "tells most is {trait} (AUC {auc:.2f}, 90 % interval {low:.2f} to {high:.2f}).",
                {c: best[c] for c in ("trait", "auc", "low", "high")},
            )
        ]


def leaks(traits: Traits, answers: pd.DataFrame, *, seed: int = 0) -> Leaks:
    """How well each column of the customers table tells those who answered from those who did not.

    Parameters
    ----------
    traits
        Traits of the cycle.
    answers
        customer_id, response (0 or 1), perhaps several rows a customer: past answers, of windows that have closed.
    seed
        Of the folds by which nobody is judged by their own answer.
    """
    answered = answers.groupby("customer_id")["response"].max()
    known = traits.table[traits.table["customer_id"].isin(answered.index)].sort_values("customer_id")
    y = known["customer_id"].map(answered).to_numpy() > 0
    fold = _folds(y, seed)
    undated = traits.catalogue[traits.catalogue["source"] == "customers"]
    rows = [
        _judged(name, kind, known[name], y, fold) for name, kind in zip(undated["name"], undated["kind"], strict=True)
    ]
    names = ["trait", "customers", "answered", "auc", "low", "high", "verdict"]
    table = pd.DataFrame(rows, columns=names).sort_values(["auc", "trait"], ascending=[False, True], ignore_index=True)
    return Leaks(table, Basis(len(known), mark("customers"), end=traits.basis.end, design=mark("past answers")))


def _judged(name: str, kind: str, values: pd.Series, y: np.ndarray, fold: np.ndarray) -> dict[str, object]:
    row = {"trait": name, "customers": len(y), "answered": int(y.sum())}
    if min(y.sum(), (~y).sum()) < FEWEST:
        return row | {"auc": np.nan, "low": np.nan, "high": np.nan, "verdict": FEW}
    auc = _auc(_by_others(_bins(values, kind), y, fold), y)
    low, high = interval(auc, int(y.sum()), int((~y).sum()))
    verdict = LEAK if low > CERTAIN else DOUBT if low > DOUBTFUL else FINE
    return row | {"auc": auc, "low": low, "high": high, "verdict": verdict}


def _folds(y: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each customer, in equal shares of those who answered and of the others."""
    fold = np.empty(len(y), dtype=int)
    for answered in (False, True):
        here = np.flatnonzero(y == answered)
        fold[generator(seed, "leaks", str(answered)).permutation(here)] = np.arange(len(here)) % FOLDS
    return fold


def _bins(values: pd.Series, kind: str) -> np.ndarray:
    """Values as 0, 1, ...: categories, numbers of few values as they are, others between quantiles; missing is 0."""
    if kind == "category" or values.nunique() <= MOST_BINS:
        return pd.factorize(values, sort=True)[0] + 1
    number = values.to_numpy(dtype=float)
    edges = np.unique(np.quantile(number[~np.isnan(number)], np.linspace(0, 1, MOST_BINS + 1)[1:-1], method="lower"))
    return np.where(np.isnan(number), 0, np.searchsorted(edges, number, side="left") + 1)


def _by_others(bins: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The share of answers in each customer's bin among the customers of the other folds, drawn to that of all."""
    score = np.empty(len(y))
    for k in range(FOLDS):
        others, size = fold != k, bins.max() + 1
        n = np.bincount(bins[others], minlength=size)
        of = np.bincount(bins[others], weights=y[others], minlength=size)
        rate = (of + SMOOTHING * y[others].mean()) / (n + SMOOTHING)
        score[~others] = rate[bins[~others]]
    return np.round(score, 12)


def _auc(score: np.ndarray, y: np.ndarray) -> float:
    """Mann-Whitney's share of pairs in the right order, ties counted half."""
    answered, other = int(y.sum()), int((~y).sum())
    return float((rankdata(score)[y].sum() - answered * (answered + 1) / 2) / (answered * other))


def interval(auc: float, answered: int, other: int, level: float = 0.90) -> tuple[float, float]:
    """Limits of an AUC [Newcombe 2006, Statistics in Medicine 25:559, method 5]: honest at 1, where Wald's are not."""
    z, half = norm.ppf((1 + level) / 2), (answered + other) / 2 - 1

    def beyond(theta: float) -> float:
        spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return (auc - theta) ** 2 - z**2 * theta * (1 - theta) * spread / (answered * other)

    inside = 1e-9  # at an AUC of 0 or 1 the equation has a root there that is no limit
    low = brentq(beyond, 0.0, min(auc, 1 - inside)) if auc > inside else 0.0
    high = brentq(beyond, max(auc, inside), 1.0) if auc < 1 - inside else 1.0
    return float(low), float(high)
