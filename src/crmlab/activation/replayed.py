"""Replay: our list against the customers who were really contacted then."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from crmlab.activation.believed import CONTROL, LEVEL
from crmlab.activation.eligibility import REPLAY
from crmlab.activation.plan import Plan
from crmlab.contract import Basis, Fault, Refused, Result, Sentence, mark

BOTH = mark("both lists")
OURS = mark("ours only")
THEIRS = mark("theirs only")
NEITHER = mark("neither list")
BARRED = mark("theirs, not eligible here")
GROUPS = (BOTH, OURS, THEIRS, NEITHER, BARRED)

ALIKE, FAR = 0.1, 0.5
"""Standardised differences: below the first alike (the usual rule for balance), above the second far apart."""


@dataclass(frozen=True)
class ReplayComparison(Result):
    """Our list against those really contacted.

    table, one row a group: group (word), customers, share, spend (mean prior spend, money), low, high (90 %), value
    (mean expected value, money), clv (mean lifetime value, nan where unknown). smd: standardised mean difference of
    prior spend, contacted less not contacted, among the eligible, with smd_low, smd_high.
    """

    table: pd.DataFrame
    basis: Basis
    ours: int
    theirs: int
    both: int
    eligible: int
    smd: float
    smd_low: float
    smd_high: float

    title = "Our list against those who were really contacted"
    note = (
        "Expected value is by our own beliefs, so our list looks best by construction; prior spend is a fact of both."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "group": ("On", "word"),
        "customers": ("Customers", ",.0f"),
        "share": ("Share", ".1%"),
        "spend": ("Mean prior spend", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "value": ("Mean expected value", ",.2f"),
        "clv": ("Mean lifetime value", ",.2f"),
    }

    @property
    def jaccard(self) -> float:
        """Customers on both lists over customers on either; nan where both are empty."""
        either = self.ours + self.theirs - self.both
        return self.both / either if either else float("nan")

    @property
    def share_of_ours(self) -> float:
        """Share of our list that was really contacted."""
        return self.both / self.ours if self.ours else float("nan")

    @property
    def share_by_chance(self) -> float:
        """That share, had our list been drawn at random from the eligible."""
        return self.theirs / self.eligible if self.eligible else float("nan")

    def sentences(self) -> list[Sentence]:
        """How far the lists agree, and whether those contacted look drawn at random."""
        if self.theirs == 0:
            return [Sentence("Nobody eligible here was really contacted: there is nothing to compare.", tone="warn")]
        return [*self._overlap(), self._selection()]

    def _overlap(self) -> list[Sentence]:
        if self.ours == 0:
            return [Sentence("Our list is empty: there is nothing to compare.", tone="warn")]
        share, chance = self.share_of_ours, self.share_by_chance
        values = {"both": self.both, "ours": self.ours, "share": share, "chance": chance, "jaccard": self.jaccard}
        spread = sqrt(chance * (1 - chance) / self.ours * max(self.eligible - self.ours, 0) / max(self.eligible - 1, 1))
        facts = Sentence(
            "{both:,} of our {ours:,} were really contacted ({share:.0%}; {chance:.0%} by chance); Jaccard overlap "
            "{jaccard:.2f}.",
            values,
        )
        if share > chance + 1.96 * spread:
            return [facts, Sentence("The two lists share more customers than chance would make them.")]
        if share < chance - 1.96 * spread:
            return [facts, Sentence("The two lists share fewer customers than chance would make them.")]
        return [facts, Sentence("The two lists agree no more and no less than by chance.")]

    def _selection(self) -> Sentence:
        values = {"smd": self.smd, "low": self.smd_low, "high": self.smd_high}
        if not isfinite(self.smd):
            return Sentence(
                "Prior spend of those contacted cannot be set against the others': one of the groups is too small, or "
                "nothing varies.",
                tone="warn",
            )
        if self.smd_low > 0 and self.smd >= FAR:
            return Sentence(
                "Those contacted had spent far more before than the others (standardised difference {smd:.2f}, 90 % "
                "interval {low:.2f} to {high:.2f}): good customers were contacted, not customers at random, so nothing "
                "that follows is an effect of contact.",
                values,
                tone="warn",
            )
        if self.smd_low > 0 and self.smd >= ALIKE:
            return Sentence(
                "Those contacted had spent more before than the others (standardised difference {smd:.2f}, 90 % "
                "interval {low:.2f} to {high:.2f}): they do not look drawn at random.",
                values,
                tone="warn",
            )
        if self.smd_high < 0 and self.smd <= -ALIKE:
            return Sentence(
                "Those contacted had spent less before than the others (standardised difference {smd:.2f}, 90 % "
                "interval {low:.2f} to {high:.2f}): they do not look drawn at random.",
                values,
                tone="warn",
            )
        if abs(self.smd) < ALIKE and max(-self.smd_low, self.smd_high) < 2 * ALIKE:
            return Sentence(
                "Those contacted had spent about as much before as the others (standardised difference {smd:.2f}, 90 % "
                "interval {low:.2f} to {high:.2f}), as after a random draw; other differences are not excluded.",
                values,
            )
        return Sentence(
            "Whether those contacted had spent more or less before than the others cannot be said (standardised "
            "difference {smd:.2f}, 90 % interval {low:.2f} to {high:.2f}).",
            values,
        )


def compare_with_mailed(
    plan: Plan, mailed: pd.DataFrame, ltv: Any, traits: pd.DataFrame, *, spend: str = "monetary"
) -> ReplayComparison:
    """Our list against those really contacted in the campaigns that the cycle stands for.

    Parameters
    ----------
    plan
        Our list.
    mailed
        customer_id, campaign_id and, optionally, arm (``control`` was not contacted).
    ltv
        The lifetime value or its table (customer_id, clv), or None.
    traits
        One row a customer: customer_id and `spend`, all before the contact.
    spend
        Name of the trait that holds prior spend, money.
    """
    if spend not in traits:
        raise Refused("activation", [Fault("traits", f"no trait '{spend}' to compare prior spend by")])
    sent = mailed[mailed["arm"] != CONTROL] if "arm" in mailed else mailed
    theirs = pd.Index(sorted(set(sent["customer_id"])), dtype="str")
    people = plan.table.set_index("customer_id")[["expected_value", "chosen"]]
    eligible = people.index
    people = people.reindex(eligible.union(theirs).sort_values())
    chosen = people["chosen"].eq(True).to_numpy(dtype=bool)
    contacted = people.index.isin(theirs)
    known = people.index.isin(eligible)
    group = np.select([~known, chosen & contacted, chosen, contacted], [BARRED, BOTH, OURS, THEIRS], NEITHER)
    clv = ltv if isinstance(ltv, pd.DataFrame) else getattr(ltv, "table", None)
    people = people.assign(
        group=group,
        spend=traits.set_index("customer_id")[spend].reindex(people.index).astype("float64"),
        clv=clv.set_index("customer_id")["clv"].reindex(people.index) if clv is not None and "clv" in clv else np.nan,
    )
    among = people.loc[known, "spend"]
    smd, low, high = standardised_difference(among[contacted[known]].to_numpy(), among[~contacted[known]].to_numpy())
    return ReplayComparison(
        table=_groups(people),
        basis=Basis(
            len(people), mark("customers eligible or really contacted"), plan.basis.start, plan.basis.end, REPLAY
        ),
        ours=int(chosen.sum()),
        theirs=int((contacted & known).sum()),
        both=int((contacted & chosen).sum()),
        eligible=int(known.sum()),
        smd=smd,
        smd_low=low,
        smd_high=high,
    )


def standardised_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Difference of means over the pooled sd, √((s_a² + s_b²)/2) [Austin 2009], with its 90 % interval.

    Variance 1/n_a + 1/n_b + d²/(2(n_a + n_b)) [Hedges & Olkin 1985]; missing values are left out; nan where a group
    has fewer than two values or nothing varies.
    """
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < 2:
        return float("nan"), float("nan"), float("nan")
    pooled = sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    if pooled == 0:
        return float("nan"), float("nan"), float("nan")
    d = float(a.mean() - b.mean()) / pooled
    se = sqrt(1 / len(a) + 1 / len(b) + d**2 / (2 * (len(a) + len(b))))
    z = float(norm.isf((1 - LEVEL) / 2))
    return d, d - z * se, d + z * se


def _groups(people: pd.DataFrame) -> pd.DataFrame:
    rows = []
    z = float(norm.isf((1 - LEVEL) / 2))
    for name in GROUPS:
        mine = people[people["group"] == name]
        if mine.empty and name == BARRED:
            continue
        spend = mine["spend"].dropna()
        mean = float(spend.mean()) if len(spend) else float("nan")
        se = float(spend.std(ddof=1)) / sqrt(len(spend)) if len(spend) > 1 else float("nan")
        rows.append(
            {
                "group": name,
                "customers": len(mine),
                "share": len(mine) / max(len(people), 1),
                "spend": mean,
                "low": mean - z * se,
                "high": mean + z * se,
                "value": float(mine["expected_value"].mean()) if len(mine) else float("nan"),
                "clv": float(mine["clv"].mean()) if len(mine) else float("nan"),
            }
        )
    return pd.DataFrame(rows).astype({"group": "str", "customers": "int64"})
