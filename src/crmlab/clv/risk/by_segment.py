"""The risk of leaving by segment."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.risk.result import Risk
from crmlab.clv.value.lifetime import NoValue
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

COLUMNS = (
    "segment",
    "name",
    "customers",
    "alive",
    "risk",
    "low",
    "high",
    "expected",
    "expected_low",
    "expected_high",
)


@dataclass(frozen=True, eq=False)
class SegmentRisk(Result):
    """Risk by segment.

    Attributes
    ----------
    table
        segment, name, customers, alive (mean P(alive); missing for contracts), risk (mean), low, high (90 %), expected
        (how many are expected to be lost), expected_low, expected_high. Sorted by segment.
    whole
        Mean risk of all of them.
    length
        The horizon in words.
    without
        Members of a segment whose risk is not known: those who never bought.
    contractual
        Whether these are contracts.
    """

    table: pd.DataFrame
    basis: Basis
    whole: float
    length: Sentence
    without: int = 0
    contractual: bool = False

    title: ClassVar[str] = "Risk of leaving by segment"
    note: ClassVar[str] = (
        "Mean probability of buying nothing within the horizon (of contracts: of ending) in each segment, and how many "
        "of its customers are expected to be lost, with 90 % intervals of the expectation under the model."
    )
    columns: ClassVar = {
        "name": ("segment", ""),
        "customers": ("customers", ",.0f"),
        "alive": ("mean P(alive)", ".1%"),
        "risk": ("mean risk", ".1%"),
        "low": ("low (90 %)", ".1%"),
        "high": ("high (90 %)", ".1%"),
        "expected": ("expected to be lost", ",.0f"),
        "expected_low": ("lost, low (90 %)", ",.0f"),
        "expected_high": ("lost, high (90 %)", ",.0f"),
    }

    def shown(self) -> pd.DataFrame:
        """Highest risk first; without P(alive) where these are contracts."""
        table = self.table.sort_values(["risk", "segment"], ascending=[False, True], kind="stable")
        return table.drop(columns="alive") if self.contractual else table

    def sentences(self) -> list[Sentence]:
        """Which segment is most at risk, whether that is clear of the next, and where most are lost."""
        seen = self.shown()[lambda t: t["customers"] >= FEWEST]
        said = []
        if len(seen) > 1:
            first, others = seen.iloc[0], seen.iloc[1:]
            near = others[others["high"] >= first["low"]]
            second = (others if near.empty else near).iloc[0]
            values = {"first": first["name"], "second": second["name"], "length": self.length}
            values |= {"risk": first["risk"], "other": second["risk"], "whole": self.whole}
            if near.empty:
                text = (
                    "{first} is most at risk: {risk:.0%} are expected to be lost within {length}, next {second} with "
                    "{other:.0%} (all: {whole:.0%}; the intervals do not touch)."
                )
            else:
                text = (
                    "{first} ({risk:.0%} expected to be lost within {length}) and {second} ({other:.0%}) are about "
                    "equally at risk: their intervals overlap (all: {whole:.0%})."
                )
            said.append(Sentence(text, values))
            most = seen.loc[seen["expected"].idxmax()]
            elsewhere = seen.loc[seen["segment"] != most["segment"], "expected_high"].max()
            if most["segment"] != first["segment"] and most["expected_low"] > elsewhere:
                text = "Most are lost in {name}: {expected:,.0f} customers, though its risk is only {risk:.0%}."
                said.append(Sentence(text, {"name": most["name"], "expected": most["expected"], "risk": most["risk"]}))
        if self.without:
            text = "Members of segments who never bought are left out: there is nothing that they could stop doing."
            said.append(Sentence(text))
        return said


def risk_by_segment(risk: Risk | NoValue, membership: pd.Series, names: dict[str, str]) -> SegmentRisk | NoValue:
    """Risk by segment, with intervals from the draws; without risks, the reason why there are none.

    Parameters
    ----------
    risk
        Customers' risks.
    membership
        customer_id → segment id; customers without a risk are counted apart.
    names
        Segment id → name.
    """
    if isinstance(risk, NoValue):
        return risk.again()
    groups, keys = pd.factorize(risk.table["customer_id"].map(membership), sort=True)
    inside = groups >= 0
    numbers = np.bincount(groups[inside], minlength=len(keys))
    lost = risk.expected(groups)
    low, high = np.quantile(lost, INTERVAL, axis=1) if len(keys) else np.empty((2, 0))
    means = risk.table[inside].groupby(groups[inside])[["alive", "risk"]].mean()
    table = pd.DataFrame(
        {
            "segment": [str(key) for key in keys],
            "name": [names.get(key, str(key)) for key in keys],
            "customers": numbers,
            "alive": means["alive"].to_numpy(),
            "risk": means["risk"].to_numpy(),
            "low": low / numbers,
            "high": high / numbers,
            "expected": lost.mean(axis=1),
            "expected_low": low,
            "expected_high": high,
        },
        columns=COLUMNS,
    )
    known = int(inside.sum())
    what = mark("contracts") if risk.contractual else mark("customers")
    return SegmentRisk(
        table=table,
        basis=Basis(known, what, risk.basis.start, risk.basis.end, risk.basis.design),
        whole=float(risk.table.loc[inside, "risk"].mean()) if known else float("nan"),
        length=risk.length(),
        without=int(membership.notna().sum()) - risk.table.loc[inside, "customer_id"].nunique(),
        contractual=risk.contractual,
    )
