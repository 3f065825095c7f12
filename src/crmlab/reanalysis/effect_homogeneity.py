"""Is contact worth the same to everybody inside a segment? Where that can be seen at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from crmlab.base.responses import CONTROL
from crmlab.base.traits import Traits
from crmlab.contract import Basis, Result, Sentence, generator
from crmlab.reanalysis.effects import RANDOMISED, placed, rests_on
from crmlab.reanalysis.effects_result import amount
from crmlab.reanalysis.params import EffectParams
from crmlab.reanalysis.pseudo import Candidates, candidates, cross_fitted, folds, honest_split, pseudo_outcome
from crmlab.reanalysis.scores import min_p
from crmlab.reanalysis.uplift import difference
from crmlab.reanalysis.verdicts import (
    HETEROGENEOUS,
    HOMOGENEOUS,
    NOT_IDENTIFIABLE,
    TRACE,
    UNDECIDED,
    benjamini_hochberg,
    verdict,
)
from crmlab.trials.power import mde_split_effect

COLUMNS = (
    "segment", "name", "customers", "treated", "control", "uplift", "mde", "traits", "p", "p_adjusted", "best_trait",
    "split", "difference", "spread", "low", "high", "tolerance", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class EffectHomogeneity(Result):
    """One verdict a segment on whether the effect of contact is the same inside it.

    table: segment, name, customers, treated, control, uplift, mde (smallest difference in effect between two halves
    that the test finds), traits (tried), p (of the test that any goes with the effect), p_adjusted (Benjamini–Hochberg
    over segments), best_trait, split, difference (of effects between its sides), spread (sd of effects by that split)
    with low on the honest half, high (always missing, see `effect_homogeneity`), tolerance, verdict.
    phi: pseudo-outcome of each customer, index customer_id.
    """

    table: pd.DataFrame
    basis: Basis
    phi: pd.Series
    outcome: str

    title: ClassVar[str] = "Is the effect of contact the same inside each segment?"
    note: ClassVar[str] = (
        "MDE is the smallest difference in effect between two halves of the segment that the test would find "
        "(responses in percentage points throughout). The "
        "spread is the standard deviation of effects that one split accounts for, chosen on one half of the customers "
        "and measured on the other; its low end is that of a 90 % interval unless the study states another."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "customers": ("Customers", ",.0f"),
        "mde": ("MDE", ",.2f"),
        "uplift": ("Uplift", "+,.2f"),
        "traits": ("Traits tried", ",.0f"),
        "p_adjusted": ("p, adjusted over segments", ".2g"),
        "best_trait": ("Closest trait", ""),
        "spread": ("Spread", ",.2f"),
        "low": ("Spread, low", ",.2f"),
        "tolerance": ("Tolerance", ",.2f"),
        "verdict": ("Verdict", "word"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers",)

    def shown(self) -> pd.DataFrame:
        """Responses in percentage points, money and orders as they are."""
        out = self.table.copy()
        if self.outcome == "response":
            out[["mde", "uplift", "difference", "spread", "low", "high", "tolerance"]] *= 100
        return out

    def sentences(self) -> list[Sentence]:
        """How many segments are heterogeneous, undecided or beyond what can be known."""
        t = self.table
        counts = t["verdict"].value_counts()
        values = {v: int(counts.get(v, 0)) for v in (HETEROGENEOUS, UNDECIDED, HOMOGENEOUS, TRACE)}
        values["segments"] = len(t)
        if t.empty or (t["verdict"] == NOT_IDENTIFIABLE).all():
            return [
                Sentence(
                    "Whether contact is worth the same to everybody in a segment cannot be known here: it takes "
                    "customers withheld at random, and traits known before the contact.",
                    tone="warn",
                )
            ]
        out = []
        if values[HETEROGENEOUS]:
            out.append(
                Sentence(
                    "In {heterogeneous} of {segments} segments contact is worth clearly more to some customers than "
                    "to others.",
                    values,
                    tone="bad",
                )
            )
        else:
            out.append(Sentence("No segment is shown to answer unequally to contact.", tone="plain"))
        if values[UNDECIDED]:
            open_ = t[t["verdict"] == UNDECIDED]
            out.append(
                Sentence(
                    "{undecided} of {segments} segments are undecided, which is not equality: differences in effect "
                    "smaller than {least} to {most} (by segment) between two halves of it may well be there unseen.",
                    values
                    | {"least": amount(self.outcome, open_["mde"].min())}
                    | {"most": amount(self.outcome, open_["mde"].max())},
                    tone="warn",
                )
            )
        return out

    def verdicts(self) -> list[dict[str, Any]]:
        """One plain dict a segment, numbers rounded to six digits."""
        numbers = ("uplift", "mde", "p", "p_adjusted", "spread", "low", "high", "tolerance")
        rows = []
        for row in self.table.to_dict("records"):
            plain = {"segment": row["segment"], "outcome": self.outcome, "kind": "effect", "verdict": row["verdict"]}
            plain |= {"customers": int(row["customers"]), "best_trait": row["best_trait"]}
            plain |= {n: None if pd.isna(row[n]) else round(float(row[n]), 6) for n in numbers}
            rows.append(plain)
        return rows


def effect_homogeneity(
    responses: pd.DataFrame,
    traits: Traits | None,
    *,
    names: Mapping[str, str],
    design: str,
    params: EffectParams,
    seed: int,
    cycle: str,
    tolerance: float,
    membership: pd.Series | None = None,
    share: pd.Series | float | None = None,
) -> EffectHomogeneity:
    """Look inside each segment for customers to whom contact is worth more.

    A wild-bootstrap min-p on doubly robust pseudo-outcomes φ over the traits allowed for splits says whether any goes
    with the effect. The spread's lower limit is that of one split, found on one random half and measured on the other.
    An upper limit does not exist: one contact a person says nothing of the variation no trait explains, so a segment
    is never called homogeneous in effect.

    Parameters
    ----------
    responses
        One row a customer × campaign; a column ``segment`` where `membership` is None.
    traits
        Traits known before the contact; None: nothing is identifiable.
    names
        Segment → name.
    design
        ``randomised`` or ``observational``.
    params
        Primary outcome, arm, size, power, resamplings.
    seed, cycle
        Name the stream of random numbers; halves and folds are by hash of seed and customer.
    tolerance
        Sd of effects within a segment that does not matter, in units of the outcome.
    membership
        Segment of each customer, index customer_id.
    share
        Share contacted by design: one number, or one a segment; None: the share realised in segment and campaign.
    """
    outcome = params.outcomes[0]
    rows = placed(responses, membership)
    if params.arm is not None:
        rows = rows[rows["arm"].isin([params.arm, CONTROL])].reset_index(drop=True)
    kinds = {} if traits is None else _allowed(traits)
    table, phis = [], []
    for segment in sorted(rows["segment"].unique()):
        part = rows[rows["segment"] == segment].reset_index(drop=True)
        label = {"segment": segment, "name": names.get(segment, segment), "tolerance": tolerance}
        treated = (part["arm"] != CONTROL).to_numpy()
        counts = {"customers": part["customer_id"].nunique(), "treated": treated.sum(), "control": (~treated).sum()}
        if design != RANDOMISED or min(treated.sum(), (~treated).sum()) < params.fewest:
            table.append(label | counts | {"verdict": NOT_IDENTIFIABLE})
            continue
        given = share.get(segment) if isinstance(share, pd.Series) else share
        row, phi = _inside(part, traits, kinds, outcome, params, seed, (cycle, segment), given, tolerance)
        table.append(label | counts | row)
        phis.append(phi)
    frame = pd.DataFrame(table, columns=list(COLUMNS))
    for column in ("uplift", "mde", "p", "p_adjusted", "difference", "spread", "low", "high", "tolerance"):
        frame[column] = frame[column].astype("float64")
    frame["p_adjusted"] = benjamini_hochberg(frame["p"])
    frame["traits"] = frame["traits"].fillna(0).astype("int64")
    for column in ("best_trait", "split"):
        frame[column] = frame[column].astype("object").fillna("").astype("str")
    phi = pd.concat(phis).sort_index() if phis else pd.Series([], dtype="float64")
    return EffectHomogeneity(frame, rests_on(rows, design), phi.rename_axis("customer_id").rename("phi"), outcome)


def _allowed(traits: Traits) -> dict[str, str]:
    """Traits that may split, with their kind."""
    known = traits.catalogue[traits.catalogue["allowed_for_splits"]]
    return dict(zip(known["name"], known["kind"], strict=True))


def _inside(
    part: pd.DataFrame,
    traits: Traits | None,
    kinds: dict[str, str],
    outcome: str,
    params: EffectParams,
    seed: int,
    stream: tuple[str, str],
    share: float | None,
    tolerance: float,
) -> tuple[dict[str, Any], pd.Series]:
    """One segment: its row of the table, and φ of its customers."""
    people = pd.Index(sorted(part["customer_id"].unique()))
    known = pd.DataFrame(index=people) if traits is None else traits.table.set_index("customer_id").reindex(people)
    given = candidates(known, kinds)
    phi = _phi(part, people, given, outcome, seed, share)
    y, treated = part[outcome].to_numpy(float), (part["arm"] != CONTROL).to_numpy()
    found = difference(
        y, treated, stratum=part["campaign_id"].to_numpy(), customer=part["customer_id"].to_numpy(),
        level=params.interval, alpha=params.alpha, power=params.power,
    )  # fmt: skip
    contacted = treated.mean()
    within = np.sqrt(contacted * y[treated].var() + (1 - contacted) * y[~treated].var())
    row: dict[str, Any] = {"uplift": found.uplift, "traits": len(given.names), "verdict": NOT_IDENTIFIABLE}
    row["mde"] = mde_split_effect(
        len(part), within, share_contacted=contacted, candidates=max(len(given.names), 1), alpha=params.alpha,
        power=params.power,
    )  # fmt: skip
    if not given.names or not np.ptp(phi) > 0:
        return row, pd.Series(phi, index=people)
    rng = generator(seed, "effect homogeneity", *stream)
    test = min_p(given.columns, given.covariate, phi, rng, draws=params.permutations, wild=True)
    row |= {"p": test.p, "best_trait": given.names[int(np.lexsort((-test.statistic, test.adjusted))[0])]}
    finding = folds(people.to_numpy(), seed, count=2, name=f"half {stream[0]}") == 0
    split = honest_split(phi, given, finding, level=params.interval)
    low = split.low if split else np.nan
    if split:
        row |= {"split": split.label, "difference": split.difference, "spread": split.spread, "low": low}
    return row | {"verdict": verdict(low, np.nan, tolerance)}, pd.Series(phi, index=people)


def _phi(
    part: pd.DataFrame, people: pd.Index, given: Candidates, outcome: str, seed: int, share: float | None
) -> np.ndarray:
    """Mean φ of each customer over the campaigns of the segment, (people,)."""
    total, times = np.zeros(len(people)), np.zeros(len(people))
    for _, rows in part.groupby("campaign_id", sort=True):
        y, treated = rows[outcome].to_numpy(float), (rows["arm"] != CONTROL).to_numpy()
        if treated.all() or not treated.any():
            continue
        at = people.get_indexer(rows["customer_id"])
        fold = folds(rows["customer_id"].to_numpy(), seed)
        m0, m1 = cross_fitted(y, treated, given.columns[at], fold)
        total[at] += pseudo_outcome(y, treated, treated.mean() if share is None else share, m1, m0)
        times[at] += 1
    phi = np.divide(total, times, out=np.full(len(people), 0.0), where=times > 0)
    return np.round(phi, 10)  # the last bits of a matrix product depend on the number of threads
