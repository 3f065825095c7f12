"""How like a segmentation is to itself, made of other customers, or on another day."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.traits import Traits
from crmlab.contract import Basis, Result, Sentence, generator, mark
from crmlab.segments.candidates import Candidate, shown_label, told_label
from crmlab.segments.movement import rand_interval
from crmlab.segments.tree import assign

MEASURES = ("ari", "stay", "again")


@dataclass(frozen=True)
class Agreement(Result):
    """One row a segmentation: adjusted Rand indices with their 90 % ranges, 0 for chance and 1 for the same.

    table: candidate, label; ari, ari_low, ari_high (made anew in resamples); stay, stay_low, stay_high (by the rules
    of the earlier day, customers then and now); again, again_low, again_high (customers now, by the rules of the
    earlier day and by those made anew). Missing of one segment alone, which nobody can leave.
    """

    table: pd.DataFrame
    basis: Basis

    title: ClassVar[str] = "Does the same come out again?"
    note: ClassVar[str] = (
        "Adjusted Rand index: 0 for chance, 1 for the same segments. In resamples: made anew of other customers. "
        "Customers stay: by one set of rules, where customers were when the weeks withheld began and where they are "
        "now; a low figure means that behaviour moves, not that the rules are wrong. Rules stay: customers of today by "
        "the rules of that day and by rules made today."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "label": ("Segmentation", ""),
        "ari": ("In resamples", ".2f"),
        "ari_low": ("90 % from", ".2f"),
        "ari_high": ("to", ".2f"),
        "stay": ("Customers stay", ".2f"),
        "stay_low": ("90 % from", ".2f"),
        "stay_high": ("to", ".2f"),
        "again": ("Rules stay", ".2f"),
        "again_low": ("90 % from", ".2f"),
        "again_high": ("to", ".2f"),
    }

    def shown(self) -> pd.DataFrame:
        """The table with labels in the language in use, and no zero below zero."""
        return _rounded(self.table).assign(label=[shown_label(label) for label in self.table["label"]])

    def sentences(self) -> list[Sentence]:
        """In which segmentation customers stay put most, and in which least."""
        known = self.table[self.table["stay"].notna()]
        if known.empty and self.basis.n:
            return []
        if known.empty:
            return [Sentence("The data do not reach back far enough to say who stays in their segment.", tone="warn")]
        known = _rounded(known)
        most, least = (known.loc[known["stay"].round(9) == end].iloc[0] for end in _ends(known["stay"]))
        values = {"most": told_label(most["label"]), "stay": most["stay"], "low": most["stay_low"]}
        values |= {"high": most["stay_high"], "least": told_label(least["label"]), "less": least["stay"]}
        if len(known) == 1 or not least["stay_high"] < most["stay_low"]:
            text = (
                "Customers stay about as long in the segments of each (“{most}”: {stay:.2f} [{low:.2f}, {high:.2f}])."
            )
            return [Sentence(text, values)]
        text = (
            "Customers stay longest in the segments of “{most}” ({stay:.2f} [{low:.2f}, {high:.2f}]), and least in "
            "those of “{least}” ({less:.2f})."
        )
        return [Sentence(text, values)]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """As a page shows it, in hundredths and no zero below zero."""
    return table.assign(**{c: table[c].round(2) + 0.0 for c in table if c.split("_")[0] in MEASURES})


def _ends(values: pd.Series) -> tuple[float, float]:
    return float(values.round(9).max()), float(values.round(9).min())


def agreements(
    candidates: list[Candidate],
    now: Mapping[str, pd.Series],
    rands: Mapping[str, list[float]],
    traits: Traits,
    then: Traits | None,
    *,
    seed: int,
) -> Agreement:
    """How like each candidate is to itself in resamples, and half a year apart.

    Parameters
    ----------
    candidates
        Segmentations that could be made.
    now
        Candidate → segment of each customer today.
    rands
        Candidate → adjusted Rand index with itself in each resample.
    traits, then
        Traits as of now and of the earlier day; None where the data do not reach that far.
    seed
        The study's seed.
    """
    rows, both = [], 0
    for c in candidates:
        several = len(set(now[c.key])) > 1
        known = np.array([r for r in rands[c.key] if np.isfinite(r) and several])
        drawn = (float(known.mean()), *np.quantile(known, [0.05, 0.95])) if len(known) else (np.nan,) * 3
        stay = again = (np.nan,) * 3
        if then is not None and c.before is not None:
            same_rules, before = assign(c.before, traits.table), assign(c.before, then.table)
            if several:
                stay = agreement(before, same_rules, seed, c.key, "stay")
                again = agreement(same_rules, now[c.key], seed, c.key, "again")
            both = len(before.index.intersection(same_rules.index))
        rows.append((c.key, c.label, *drawn, *stay, *again))
    columns = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    table = pd.DataFrame(rows, columns=["candidate", "label", *columns])
    return Agreement(table, replace(traits.basis, n=both, what=mark("customers known on both days")))


def agreement(one: pd.Series, other: pd.Series, seed: int, *what: str) -> tuple[float, float, float]:
    """Adjusted Rand index of two partitions of the customers in both, with its 90 % interval; nan below two of them."""
    both = one.index.intersection(other.index).sort_values()
    counts = pd.crosstab(one.loc[both].to_numpy(), other.loc[both].to_numpy()).to_numpy()
    return rand_interval(counts, generator(seed, "agreement", *what))
