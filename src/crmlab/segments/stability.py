"""Whether segments come again: in resamples of the customers, and half a year later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.traits import Traits
from crmlab.contract import Basis, Refused, Result, Sentence, generator, mark
from crmlab.contract.result import FEWEST
from crmlab.segments.again import scaled
from crmlab.segments.agreement import Agreement, agreements
from crmlab.segments.candidates import Candidate, shown_label, told_label
from crmlab.segments.movement import adjusted_rand
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import assign, leaves, names

DISSOLVED, STABLE = 0.5, 0.75
"""Mean Jaccard below which a segment is dissolved, and from which it is stable [Hennig 2007, section 3]."""

STATES = {"dissolved": mark("dissolves"), "doubtful": mark("doubtful"), "stable": mark("stable")}

MOST_CUSTOMERS = 20_000
"""Customers that resamples are drawn from, at most: of more, this many, drawn once at random."""

SCORES = (("r_score", "recency_days", -1), ("f_score", "frequency", 1), ("m_score", "monetary", 1))


@dataclass(frozen=True)
class Stability(Result):
    """One row a segment of each segmentation: candidate, label, segment, name, customers, jaccard, low, high, state.

    `agreement` says how like each whole segmentation is to those of resamples and of another day.
    """

    table: pd.DataFrame
    basis: Basis
    agreement: Agreement
    resamples: int = 0

    title: ClassVar[str] = "Do the segments come again in resamples of the customers?"
    note: ClassVar[str] = (
        "Customers are drawn again with replacement, the segmentation is made anew, and each segment is held against "
        "the one most like it (Jaccard: members in both over members in either; mean, and the range of 90 % of the "
        "resamples). Below .5 a segment dissolves: it is a name for chance, and no segment. From .75 it is stable. "
        "Rules with fixed bounds come again by construction: of them, only time tells. Of classes, how many there are "
        "and how their traits are scaled is sought once, and stays in the resamples."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "label": ("Segmentation", ""),
        "name": ("Segment", ""),
        "customers": ("Customers", ",.0f"),
        "jaccard": ("Jaccard", ".2f"),
        "low": ("90 % from", ".2f"),
        "high": ("to", ".2f"),
        "state": ("Comes again?", "word"),
    }

    def shown(self) -> pd.DataFrame:
        """The table in the language in use."""
        label, state = self.table["label"].map(shown_label), self.table["state"].map(STATES)
        return self.table.assign(label=label.astype(object), state=state.astype(object))

    def dissolved(self, candidate: str) -> list[str]:
        """Names of a candidate's segments that dissolve, those of fewer than five customers left out."""
        rows = self.table[(self.table["candidate"] == candidate) & (self.table["state"] == "dissolved")]
        return list(rows.loc[rows["customers"] >= FEWEST, "name"])

    def sentences(self) -> list[Sentence]:
        """Of each segmentation, which of its segments dissolve, or that none does."""
        told = []
        for candidate, rows in self.table.groupby("candidate", sort=False):
            values = {"label": told_label(rows["label"].iloc[0]), "names": ", ".join(self.dissolved(candidate))}
            weakest = rows.loc[rows["jaccard"].idxmin()] if rows["jaccard"].notna().any() else None
            if values["names"]:
                text = "“{label}”: a resample dissolves {names}. Nothing should be done for these by that name."
                told.append(Sentence(text, values, "warn"))
            elif weakest is not None and weakest["jaccard"] < STABLE and weakest["customers"] >= FEWEST:
                values |= {"name": weakest["name"], "jaccard": weakest["jaccard"]}
                text = "“{label}”: no segment dissolves; the weakest, {name}, comes again at {jaccard:.2f}."
                told.append(Sentence(text, values))
        if not self.resamples or self.table.empty:
            return [Sentence("There are no customers from whom resamples could be drawn.", tone="warn")]
        values = {"n": self.resamples, "customers": self.basis.n}
        how = Sentence("Each was made anew in {n} resamples of {customers:,} customers.", values)
        return (
            [how, *told]
            if told
            else [how, Sentence("Every segment comes again in resamples of the customers.", tone="good")]
        )


def stability(
    candidates: list[Candidate],
    traits: Traits,
    then: Traits | None,
    *,
    remade: Callable[[Candidate, Traits, str], Tree],
    resamples: int,
    scores: int,
    seed: int,
) -> Stability:
    """How well the segments of each candidate come again.

    Parameters
    ----------
    candidates
        Segmentations that could be made.
    traits, then
        Traits as of now and as of the day half a year before; None where the data do not reach that far.
    remade
        Candidate, traits and a name of what it is for → the tree made anew on those traits.
    resamples
        Bootstrap resamples; all candidates share them.
    scores
        Scores of R, F and M: they are ranks among the customers, so that a resample has its own.
    seed
        The study's seed.
    """
    few = _at_most(traits, seed)
    own = few.table.equals(rescored(few.table, scores))
    base = {c.key: assign(c.tree, few.table).to_numpy() for c in candidates}
    order = np.argsort(few.table["customer_id"].to_numpy(), kind="stable")
    jaccards: dict[str, list] = {c.key: [] for c in candidates}
    rands: dict[str, list] = {c.key: [] for c in candidates}
    part = len(order) / max(len(traits.table), 1)
    likewise = [c if c.spec is None else replace(c, spec=scaled(c.spec, part)) for c in candidates]
    rng = generator(seed, "stability")
    for b in range(resamples if len(order) > 1 else 0):
        rows = np.sort(rng.integers(0, len(order), len(order)))
        first = np.unique(rows, return_index=True)[1]
        drawn = _resampled(few, order[rows], scores if own else None)
        for c in likewise:
            found = _found(c, drawn, remade, f"resample {b}")
            counts = _counts(base[c.key][rows[first]], None if found is None else found[first], leaves(c.tree))
            jaccards[c.key].append(jaccard(counts) * (found is not None))
            rands[c.key].append(float(adjusted_rand(counts)) * (found is not None))
    now = {c.key: assign(c.tree, traits.table) for c in candidates}
    return Stability(
        table=_segments(candidates, now, jaccards),
        basis=replace(traits.basis, n=len(order), what=mark("customers")),
        agreement=agreements(candidates, now, rands, traits, then, seed=seed),
        resamples=resamples,
    )


def _found(c: Candidate, drawn: Traits, remade: Callable, name: str) -> np.ndarray | None:
    """Segment of each drawn customer in the segmentation made anew; None where it cannot be: nothing comes again."""
    try:
        return assign(remade(c, drawn, name), drawn.table).to_numpy()
    except Refused:
        return None


def _at_most(traits: Traits, seed: int) -> Traits:
    n = len(traits.table)
    if n <= MOST_CUSTOMERS:
        return traits
    ordered = traits.table.sort_values("customer_id", kind="stable", ignore_index=True)
    kept = np.sort(generator(seed, "stability", "customers").choice(n, MOST_CUSTOMERS, replace=False))
    return replace(traits, table=ordered.iloc[kept].reset_index(drop=True))


def _resampled(traits: Traits, rows: np.ndarray, scores: int | None) -> Traits:
    """The customers drawn, each draw a customer of its own whose id sorts in the order of the draws."""
    table = traits.table.iloc[rows].reset_index(drop=True)
    table = table.assign(customer_id=pd.Series([f"{i:09d}" for i in range(len(table))], dtype="str"))
    return replace(traits, table=table if scores is None else rescored(table, scores))


def rescored(table: pd.DataFrame, scores: int) -> pd.DataFrame:
    """The table with R, F and M scores among its own customers: 1 + ⌊k · w / n⌋, w of n being strictly worse.

    Parameters
    ----------
    table
        Traits; scores of customers who have none stay missing.
    scores
        k, the highest score.
    """
    new = {}
    for score, trait, sign in SCORES:
        if score not in table or trait not in table:
            continue
        there = table[score].notna().to_numpy()
        values = sign * table[trait].to_numpy(dtype=np.float64)[there]
        worse = np.searchsorted(np.sort(values), values, side="left")
        column = table[score].to_numpy(dtype=np.float64, copy=True)
        column[there] = 1 + (worse * scores) // max(len(values), 1)
        new[score] = pd.Series(column, index=table.index).astype(table[score].dtype)
    return table.assign(**new)


def _counts(before: np.ndarray, after: np.ndarray | None, segments: list[str]) -> np.ndarray:
    """Customers by segment (all of `segments`, in that order) and by segment of the one made anew."""
    row = pd.Categorical(before, categories=segments).codes.astype(np.int64)
    column, found = pd.factorize(np.zeros(len(row)) if after is None else after, sort=True)
    return np.bincount(row * len(found) + column, minlength=len(segments) * len(found)).reshape(len(segments), -1)


def jaccard(counts: np.ndarray) -> np.ndarray:
    """Of each segment, the largest Jaccard coefficient with any segment of the other partition [Hennig 2007, eq. 1].

    Parameters
    ----------
    counts
        Customers by segment and by segment of the other partition: (k, l).

    Returns
    -------
    float64, shape (k,); nan for a segment in which nobody was drawn.
    """
    inside, other = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True)
    either = inside + other - counts
    share = np.where(either > 0, counts / np.maximum(either, 1), 0.0).max(axis=1)
    return np.where(inside[:, 0] > 0, share, np.nan)


def _segments(candidates: list[Candidate], now: dict[str, pd.Series], jaccards: dict[str, list]) -> pd.DataFrame:
    rows = []
    for c in candidates:
        sizes, called = now[c.key].value_counts(), names(c.tree)
        drawn = np.array(jaccards[c.key]).reshape(-1, len(leaves(c.tree)))
        for i, segment in enumerate(leaves(c.tree)):
            if not sizes.get(segment, 0):
                continue
            known = drawn[:, i][np.isfinite(drawn[:, i])]
            mean = round(float(known.mean()), 9) if len(known) else np.nan
            low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (np.nan, np.nan)
            state = None if np.isnan(mean) else _state(mean)
            rows.append((c.key, c.label, segment, called[segment], int(sizes[segment]), mean, low, high, state))
    columns = ["candidate", "label", "segment", "name", "customers", "jaccard", "low", "high", "state"]
    return pd.DataFrame(rows, columns=columns)


def _state(mean: float) -> str:
    return "dissolved" if mean < DISSOLVED else "doubtful" if mean < STABLE else "stable"
