"""The control group inside the list: who is contacted, who is withheld at random, and what that can show."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.activation.believed import UPLIFT
from crmlab.activation.plan import Plan
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.trials.assignment import CONTROL, assign_arms
from crmlab.trials.power import mde_two_proportions


@dataclass(frozen=True)
class Assignment(Result):
    """Arms of everybody on the list.

    table: customer_id, segment, arm, share (withheld of the stratum), campaign_id. by_segment: contacted, control,
    share, planned (share asked for), baseline, mde (smallest uplift of the response found). mde: that of
    the whole list.
    """

    table: pd.DataFrame
    basis: Basis
    by_segment: pd.DataFrame
    mde: float
    alpha: float
    power: float
    mode: str = "live"
    kind: str = UPLIFT

    title = "Contacted and withheld"
    note = (
        "Arms by keyed hash: nobody's arm depends on who else is on the list, so the number withheld varies about the "
        "share asked for. The smallest uplift found (MDE) is in points of the response rate."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "chosen": ("On the list", ",.0f"),
        "contacted": ("To be contacted", ",.0f"),
        "control": ("Control group", ",.0f"),
        "planned": ("Share asked for", ".1%"),
        "share": ("Share withheld", ".1%"),
        "baseline": ("Response believed without contact", ".1%"),
        "assumed": ("Response assumed in both arms: that when contacted", ".1%"),
        "mde": ("Smallest uplift found", "+.1%"),
    }
    people = ("chosen", "contacted", "control")

    @property
    def contacted(self) -> int:
        """Customers to be contacted."""
        return int((self.table["arm"] != CONTROL).sum())

    @property
    def control(self) -> int:
        """Customers withheld at random."""
        return int((self.table["arm"] == CONTROL).sum())

    def shown(self) -> pd.DataFrame:
        """One row a segment; without a control group in the past, what stands in for its response is called so."""
        return self.by_segment if self.kind == UPLIFT else self.by_segment.rename(columns={"baseline": "assumed"})

    def sentences(self) -> list[Sentence]:
        """What the comparison will be able to show, and what it will not."""
        said = []
        values = {"contacted": self.contacted, "control": self.control, "mde": self.mde}
        values |= {"alpha": self.alpha, "power": self.power}
        if self.table.empty:
            return [Sentence("The list is empty: nobody is contacted, nobody withheld.", tone="bad")]
        if self.control == 0:
            said.append(Sentence("Nobody is withheld: what the contact adds cannot be identified.", tone="bad"))
        elif self.contacted == 0:
            said.append(Sentence("Everybody is withheld: there is no contact whose effect could be seen.", tone="bad"))
        elif isfinite(self.mde):
            said.append(
                Sentence(
                    "{contacted:,} contacted against {control:,} withheld find an uplift of {mde:.1%} or more "
                    "with probability {power:.0%} (two-sided test at {alpha:.0%}); a smaller one will mostly go "
                    "unseen.",
                    values,
                )
            )
        else:
            said.append(
                Sentence(
                    "{contacted:,} contacted against {control:,} withheld are too few to find any uplift reliably.",
                    values,
                    tone="warn",
                )
            )
        blind = self.by_segment[self.by_segment["mde"].isna() & (self.by_segment["chosen"] > 0)]
        if self.control and self.contacted and len(blind):
            listed = int((self.by_segment["chosen"] > 0).sum())
            said.append(
                Sentence(
                    "In {n} of {of} segments alone no uplift could be found: too few contacted or withheld.",
                    {"n": len(blind), "of": listed},
                    tone="warn",
                )
            )
        if self.mode == "replay":
            said.append(
                Sentence(
                    "In a replay of history this assignment was never carried out: it shows what would have been done.",
                    tone="warn",
                )
            )
        return said


def assignment(
    plan: Plan,
    *,
    shares: float | Mapping[str, float],
    key: bytes,
    study: str,
    cycle: str,
    campaign_id: str,
    contacted: str = "contacted",
    alpha: float = 0.05,
    power: float = 0.8,
) -> Assignment:
    """Arms of everybody on the list, by keyed hash against the share of their segment.

    Parameters
    ----------
    plan
        The list; only those chosen are assigned.
    shares
        Share withheld, in [0, 1]: one for all, or one a segment id (`crmlab.trials.assignment.assign_arms`).
    key
        The study's secret.
    campaign_id
        The protocol's id of this campaign.
    contacted
        Name of the arm of those not withheld.
    alpha, power
        Of the two-sided z-test whose MDE is stated. Its rate of those withheld is what the plan believes without
        contact; without a control group in the past the rate when contacted stands in, which is too high, so that the
        stated MDE is mostly too large rather than too small.
    """
    listed = plan.table.loc[plan.table["chosen"], ["customer_id", "segment"]].sort_values("customer_id")
    listed = listed.reset_index(drop=True)
    strata = listed.set_index("customer_id")["segment"]
    arm = assign_arms(
        listed["customer_id"], strata=strata, shares=shares, key=key, study=study, cycle=cycle, contacted=contacted
    )
    asked = (
        listed["segment"].map(dict(shares)) if isinstance(shares, Mapping) else pd.Series(shares, index=listed.index)
    )
    table = listed.assign(
        arm=arm.reindex(listed["customer_id"]).to_numpy(),
        share=asked.to_numpy(dtype=np.float64),
        campaign_id=campaign_id,
    ).astype({"arm": "str", "campaign_id": "str"})
    by_segment = _by_segment(table, plan, alpha, power)
    weights = by_segment["chosen"].to_numpy(dtype=np.float64)
    rate = float(np.average(by_segment["baseline"], weights=weights)) if weights.sum() else float("nan")
    return Assignment(
        table=table,
        basis=Basis(len(table), mark("customers on the list"), plan.basis.start, plan.basis.end, plan.basis.design),
        by_segment=by_segment,
        mde=_mde(int((arm != CONTROL).sum()), int((arm == CONTROL).sum()), rate, alpha, power),
        alpha=alpha,
        power=power,
        mode=plan.mode,
        kind=plan.kind,
    )


def _by_segment(table: pd.DataFrame, plan: Plan, alpha: float, power: float) -> pd.DataFrame:
    rows = []
    for segment, mine in table.groupby("segment", sort=True):
        control = int((mine["arm"] == CONTROL).sum())
        baseline = plan.baseline.get(segment, float("nan"))
        rows.append(
            {
                "segment": segment,
                "name": plan.names.get(segment, segment),
                "chosen": len(mine),
                "contacted": len(mine) - control,
                "control": control,
                "planned": float(mine["share"].iloc[0]),
                "share": control / len(mine),
                "baseline": baseline,
                "mde": _mde(len(mine) - control, control, baseline, alpha, power),
            }
        )
    columns = ["segment", "name", "chosen", "contacted", "control", "planned", "share", "baseline", "mde"]
    return pd.DataFrame(rows, columns=columns)


def _mde(contacted: int, control: int, rate: float, alpha: float, power: float) -> float:
    if min(contacted, control) < 1 or not isfinite(rate):
        return float("nan")
    return mde_two_proportions(contacted, control, min(max(rate, 0.0), 1.0), alpha=alpha, power=power)
