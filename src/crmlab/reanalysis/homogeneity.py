"""Are people of one segment alike in how they respond: one verdict a segment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from statsmodels.stats.multitest import multipletests

from crmlab.base.traits import Traits
from crmlab.contract import Basis, Params, Refused, Result, Sentence, generator, mark
from crmlab.reanalysis.levels import DESIGNS, in_force, period
from crmlab.reanalysis.scores import pair_permutation, pair_score, smallest_spread
from crmlab.reanalysis.splits import (
    aligned,
    best_rule,
    candidates,
    customer_scores,
    difference,
    finding_half,
    in_order,
    search,
    sides,
)
from crmlab.reanalysis.spread import matrix, spread
from crmlab.trials.power import mde_split_level

NOT_IDENTIFIABLE = mark("not identifiable")
HETEROGENEOUS = mark("heterogeneous")
TRACE = mark("trace")
HOMOGENEOUS = mark("homogeneous")
UNDECIDED = mark("undecided")
VERDICTS = (NOT_IDENTIFIABLE, HETEROGENEOUS, TRACE, HOMOGENEOUS, UNDECIDED)

REPEATED = mark("repeated contacts")
SPLIT = mark("a split on the other half")
TRAITS = mark("known traits")
NOTHING = mark("nothing")


class HomogeneityParams(Params):
    """When people of a segment count as alike."""

    tolerance: float = Field(0.05, gt=0, lt=1)
    """Standard deviation of true rates within a segment that is still as good as none."""
    alpha: float = Field(0.05, gt=0, lt=1)
    """Level of the tests."""
    interval: float = Field(0.90, gt=0, lt=1)
    """Coverage of the interval of the spread."""
    permutations: int = Field(1499, ge=99)
    """Resamplings of a test."""
    min_customers: int = Field(40, ge=10)
    """Fewer customers than this are not analysed: contacted twice for the spread, contacted now for the traits."""
    min_answers: int = Field(10, ge=1)
    """Fewer answers of either kind than this do not give a spread."""
    min_child: int = Field(50, ge=10)
    """Smallest side of a split from which a spread is concluded."""
    find_share: float = Field(0.5, gt=0, lt=1)
    """Share of customers on whom such a split is found; the others confirm it."""


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
        "verdict": (mark("verdict"), "word"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers",)

    def shown(self) -> pd.DataFrame:
        """The table; a strongest trait that is a missing value says so."""
        said = [
            str(Sentence("{trait} unknown", {"trait": trait})) if missing else trait
            for trait, missing in zip(self.table["best_trait"], self.table["best_missing"], strict=True)
        ]
        return self.table.assign(best_trait=pd.Series(said, index=self.table.index, dtype=object))

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
                "customers."
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
                "best_trait": row["best_trait"],
            }
            for row in self.table.to_dict("records")
        ]


def _plain(value: float | int) -> float | int | None:
    if isinstance(value, int | np.integer):
        return int(value)
    return None if pd.isna(value) else float(f"{value:.6g}")


def homogeneity(
    history: pd.DataFrame,
    current: pd.DataFrame,
    traits: Traits,
    *,
    names: Mapping[str, str],
    outcome: str = "response",
    params: HomogeneityParams | None = None,
    seed: int,
    cycle: str,
    design: str = "observational",
) -> Homogeneity:
    """Ask of each segment whether its people are alike in how they respond.

    The spread of true rates comes from customers contacted more than once, over all campaigns so far. Whether a known
    trait goes with response comes from this cycle's contacts alone, for traits are of before them. Without repeated
    contacts a lower limit of the spread can come from a split found on one half of the customers and measured on the
    other; an upper limit cannot, so nothing is then called homogeneous.

    Parameters
    ----------
    history
        One row a contacted customer × campaign so far: customer_id, campaign_id, sent_at, segment, `outcome` (0/1).
    current
        The same, this cycle's campaigns.
    traits
        Traits of before this cycle's contacts.
    names
        Segment → name.
    outcome
        The column of yes or no that is looked at.
    params
        Tolerance, levels and sizes.
    seed, cycle
        For the permutations and the halves.
    design
        ``observational`` or ``randomised``.

    Returns
    -------
    Homogeneity
    """
    params = params or HomogeneityParams()
    both = pd.concat([history, current])
    if not both[outcome].isin((0, 1)).all():
        raise Refused("homogeneity", [(outcome, "is not an outcome of 0 and 1")])
    rows = [
        _segment(
            s, history[history["segment"] == s], current[current["segment"] == s], traits, outcome, params, seed, cycle
        )
        for s in in_force(both, names)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    table["name"] = [names.get(s, s) for s in table["segment"]]
    table["q_pair"] = benjamini_hochberg(table["p_pair"])
    table["q_traits"] = benjamini_hochberg(table["p_traits"])
    known = history if len(history) else current
    basis = Basis(
        int(known["customer_id"].nunique()), mark("customers contacted"), *period(known), design=DESIGNS[design]
    )
    return Homogeneity(table, basis, params, outcome)


COLUMNS = {
    "segment": "str",
    "name": "str",
    "mde": "float64",
    "customers": "int64",
    "contacts": "int64",
    "campaigns": "int64",
    "rate": "float64",
    "spread": "float64",
    "low": "float64",
    "high": "float64",
    "tolerance": "float64",
    "pair_z": "float64",
    "p_pair": "float64",
    "q_pair": "float64",
    "customers_now": "int64",
    "best_trait": "object",
    "best_missing": "bool",
    "p_traits": "float64",
    "q_traits": "float64",
    "rests_on": "str",
    "verdict": "str",
}


def _segment(
    segment: str,
    history: pd.DataFrame,
    current: pd.DataFrame,
    traits: Traits,
    outcome: str,
    params: HomogeneityParams,
    seed: int,
    cycle: str,
) -> dict[str, object]:
    """One row of the table."""
    known = history if len(history) else current
    row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan) | {
        "segment": segment,
        "name": segment,
        "tolerance": params.tolerance,
        "customers": known["customer_id"].nunique(),
        "contacts": len(known),
        "campaigns": known["campaign_id"].nunique(),
        "rate": known[outcome].mean(),
        "customers_now": current["customer_id"].nunique(),
        "best_trait": None,
        "best_missing": False,
        "rests_on": NOTHING,
    }
    latent = _latent(history, outcome, params, generator(seed, "homogeneity", "pairs", cycle, segment))
    visible = _visible(current, traits, outcome, params, seed, cycle, segment, split=not latent)
    row |= visible | latent
    row["verdict"] = verdict(row["low"], row["high"], params.tolerance, identifiable=bool(latent or visible))
    return row


def _latent(
    history: pd.DataFrame, outcome: str, params: HomogeneityParams, rng: np.random.Generator
) -> dict[str, object]:
    """The spread from repeated contacts; nothing where too few have two contacts or answered."""
    if history.empty:
        return {}
    _, y = matrix(history, outcome)
    repeated = (~np.isnan(y)).sum(axis=1) > 1
    answers = min(np.nansum(y), np.nansum(1 - y))
    if repeated.sum() < params.min_customers or answers < params.min_answers:
        return {}
    found = spread(y, interval=params.interval)
    if np.isnan(found.sd):
        return {}
    return {
        "mde": smallest_spread(y, params.alpha),
        "spread": found.sd,
        "low": found.low,
        "high": found.high,
        "pair_z": pair_score(y).z,
        "p_pair": pair_permutation(y, rng, params.permutations),
        "rests_on": REPEATED,
    }


def _visible(
    current: pd.DataFrame,
    traits: Traits,
    outcome: str,
    params: HomogeneityParams,
    seed: int,
    cycle: str,
    segment: str,
    *,
    split: bool,
) -> dict[str, object]:
    """The test of known traits and, where `split`, the spread across a split measured on the other half."""
    people = customer_scores(current, outcome)
    if len(people) < params.min_customers:
        return {}
    table = aligned(traits.table, people.index)
    found = candidates(table, traits.catalogue)
    scores = people["score"].to_numpy(dtype=float)
    contacts = people["contacts"].to_numpy()
    rng = generator(seed, "homogeneity", "traits", cycle, segment)
    result = search(found, scores, contacts, rng, draws=params.permutations)
    if result is None:
        return {}
    best = found.each[in_order(result)[0]]
    mde = mde_split_level(len(scores), float(scores.std()), candidates=len(found.each), alpha=params.alpha) / 2
    row = {"mde": mde, "best_trait": best.trait, "best_missing": best.missing, "p_traits": result.p, "rests_on": TRAITS}
    if split:
        half = finding_half(people.index, params.find_share, seed, cycle)
        rng = generator(seed, "homogeneity", "half", cycle, segment)
        row |= _across(table, traits.catalogue, people, half, params, rng)
    return row


def _across(
    table: pd.DataFrame,
    catalogue: pd.DataFrame,
    people: pd.DataFrame,
    half: NDArray[np.bool_],
    params: HomogeneityParams,
    rng: np.random.Generator,
) -> dict[str, object]:
    """The sd of rates across the best split: √(share(1 − share))·|difference|, found on one half, from the other."""
    scores, contacts = people["score"].to_numpy(dtype=float), people["contacts"].to_numpy()
    found = candidates(table[half], catalogue)
    result = search(found, scores[half], contacts[half], rng, draws=params.permutations)
    if result is None:
        return {}
    best = found.each[in_order(result)[0]]
    rule = best_rule(best, table, scores, half, least=params.min_child, cuts=10)
    if rule is None:
        return {}
    met, rest = sides([rule], table)
    upwards = scores[met & half].mean() > scores[rest & half].mean()
    gap = difference(scores[met & ~half], scores[rest & ~half], interval=params.interval, upwards=upwards)
    share = met.sum() / (met | rest).sum() if (met | rest).any() else 0.0
    sign = 1.0 if upwards else -1.0
    scale = np.sqrt(share * (1 - share)) * np.sqrt((met | rest).mean())
    near = max(sign * (gap.low if upwards else gap.high), 0.0)
    return {"spread": scale * max(sign * gap.value, 0.0), "low": scale * near, "rests_on": SPLIT}


def verdict(low: float, high: float, tolerance: float, *, identifiable: bool) -> str:
    """The verdict of one interval of the spread, in the order that statistics and protocol state.

    A missing upper limit, as after a split, is no upper limit: neither trace nor homogeneous.
    """
    if not identifiable:
        return NOT_IDENTIFIABLE
    if low > tolerance:
        return HETEROGENEOUS
    if low > 0 and high < tolerance:
        return TRACE
    if high < tolerance:
        return HOMOGENEOUS
    return UNDECIDED


def benjamini_hochberg(p: pd.Series) -> pd.Series:
    """Adjust p for the false discovery rate over those that are known [Benjamini & Hochberg 1995]."""
    adjusted = pd.Series(np.nan, index=p.index, dtype=float)
    known = p.notna()
    if known.any():
        adjusted[known] = multipletests(p[known].to_numpy(), method="fdr_bh")[1]
    return adjusted
