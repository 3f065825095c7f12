"""Whether people of one segment are alike: the table of verdicts, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST
from crmlab.reanalysis.params import HomogeneityParams
from crmlab.reanalysis.verdicts import HETEROGENEOUS, HOMOGENEOUS, NOT_IDENTIFIABLE, TRACE, UNDECIDED, VERDICTS


@dataclass(frozen=True)
class Homogeneity(Result):
    """The spread of people's true response rates within each segment, and a verdict.

    table
        segment, name, mde, customers, contacts, campaigns, rate, spread, low, high, tolerance, pair_z, p_pair, q_pair,
        customers_now, best_trait, best_missing, p_traits, q_traits, rests_on, verdict. `mde` is the smallest spread
        that would have been found with 80 % power; q are p adjusted over segments [Benjamini & Hochberg 1995].
    """

    table: pd.DataFrame
    basis: Basis
    params: HomogeneityParams
    outcome: str

    title: ClassVar[str] = mark("Are people of one segment alike?")
    note: ClassVar[str] = mark(
        "Spread is the standard deviation of people’s true response rates, as a probability. Heterogeneous: its lower "
        "limit is above the tolerance; trace: above zero, and all of the interval below the tolerance; homogeneous: "
        "the upper limit is below the tolerance; undecided: none of these. p are adjusted over segments."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": (mark("segment"), ""),
        "mde": (mark("smallest spread it could find"), ".3f"),
        "verdict": (mark("verdict"), "word"),
        "customers": (mark("customers"), ",.0f"),
        "contacts": (mark("contacts"), ",.0f"),
        "campaigns": (mark("campaigns"), ",.0f"),
        "rate": (mark("response rate"), ".1%"),
        "spread": (mark("spread"), ".3f"),
        "low": (mark("low"), ".3f"),
        "high": (mark("high"), ".3f"),
        "tolerance": (mark("tolerance"), ".3f"),
        "pair_z": (mark("pair score Z"), ".2f"),
        "q_pair": (mark("p of the pair score"), ".2g"),
        "best_trait": (mark("strongest trait"), ""),
        "q_traits": (mark("p of the traits"), ".2g"),
        "rests_on": (mark("rests on"), "word"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers",)

    def shown(self) -> pd.DataFrame:
        """The table; a strongest trait that is a missing value says so."""
        said = [
            str(Sentence("{trait} unknown", {"trait": trait})) if missing else trait
            for trait, missing in zip(self.table["best_trait"], self.table["best_missing"], strict=True)
        ]
        few = (self.table["rate"] * self.table["contacts"]).round().between(1, FEWEST - 1)
        return self.table.assign(
            best_trait=pd.Series(said, index=self.table.index, dtype=object), rate=self.table["rate"].mask(few)
        )

    def of(self, verdict: str) -> pd.DataFrame:
        """The rows of one verdict."""
        return self.table[self.table["verdict"] == verdict]

    def sentences(self) -> list[Sentence]:
        """The minimum detectable effect first, then what was found and what was not."""
        if self.table.empty:
            return [Sentence("No segment was contacted: whether people are alike cannot be said.", {}, "warn")]
        told = [*self._detectable(), *self._found()]
        told += [
            Sentence(
                "Inside {name}, response goes with {trait} (p = {p:.2g} over traits and segments).",
                {"name": row.name, "trait": row.best_trait, "p": row.q_traits},
            )
            for row in self.shown().itertuples(index=False)
            if row.q_traits < self.params.alpha
        ]
        return told

    def _detectable(self) -> list[Sentence]:
        mde = self.table["mde"].dropna()
        if mde.empty:
            return []
        values = {"low": mde.min(), "high": mde.max(), "tolerance": self.params.tolerance}
        if mde.min() > self.params.tolerance:
            text = mark(
                "With these contacts a spread of {low:.3f} to {high:.3f}, depending on the segment, would have been "
                "found four times in five: more than the tolerance of {tolerance:.3f}."
            )
            return [Sentence(text, values, "warn")]
        text = mark(
            "With these contacts a spread of {low:.3f} to {high:.3f}, depending on the segment, would have been "
            "found four times in five; the tolerance is {tolerance:.3f}."
        )
        return [Sentence(text, values)]

    def _found(self) -> list[Sentence]:
        told = []
        count = {v: len(self.of(v)) for v in VERDICTS}
        values = {"n": len(self.table), "tolerance": self.params.tolerance}
        listed = {v: ", ".join(self.of(v)["name"]) for v in VERDICTS}
        if count[HETEROGENEOUS]:
            text = mark("People are not alike in {k} of {n} segments: {names}.")
            told.append(Sentence(text, {**values, "k": count[HETEROGENEOUS], "names": listed[HETEROGENEOUS]}, "warn"))
        else:
            told.append(Sentence("No segment is shown to be heterogeneous.", {}))
        if count[TRACE]:
            text = mark("In {names} people differ, but by less than the tolerance.")
            told.append(Sentence(text, {"names": listed[TRACE]}))
        if count[HOMOGENEOUS]:
            text = mark("In {names} people are alike: the spread is below {tolerance:.3f}.")
            told.append(Sentence(text, {**values, "names": listed[HOMOGENEOUS]}, "good"))
        if count[UNDECIDED]:
            text = mark(
                "Not rejecting is not homogeneity: {k} of {n} segments are undecided ({names}); there, the smallest "
                "spread that could have been found is {mde:.3f} or more."
            )
            mde = self.of(UNDECIDED)["mde"].min()
            more = {"k": count[UNDECIDED], "names": listed[UNDECIDED], "mde": mde if np.isfinite(mde) else None}
            if np.isfinite(mde):
                told.append(Sentence(text, {**values, **more}, "warn"))
            else:
                text = mark("Not rejecting is not homogeneity: {k} of {n} segments are undecided ({names}).")
                told.append(Sentence(text, {**values, **more}, "warn"))
        if count[NOT_IDENTIFIABLE]:
            text = mark(
                "In {names} the question cannot be answered: it takes two contacts a person, or traits, and enough "
                "customers and answers."
            )
            told.append(Sentence(text, {"names": listed[NOT_IDENTIFIABLE]}, "warn"))
        return told

    def verdicts(self) -> list[dict[str, object]]:
        """The verdicts as plain values, numbers to six digits, missing ones None."""
        keep = ("spread", "low", "high", "tolerance", "mde", "pair_z", "p_pair", "p_traits", "customers", "contacts")
        return [
            {
                "segment": str(row["segment"]),
                "outcome": self.outcome,
                "kind": "level",
                "verdict": str(row["verdict"]),
                "rests_on": str(row["rests_on"]),
                **{k: _plain(row[k]) for k in keep},
                "best_trait": row["best_trait"] if isinstance(row["best_trait"], str) else None,
            }
            for row in self.table.to_dict("records")
        ]


def _plain(value: float | int) -> float | int | None:
    if isinstance(value, int | np.integer):
        return int(value)
    return None if pd.isna(value) else float(f"{value:.6g}")
