"""What segments are worth."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

SEGMENT_COLUMNS = ("segment", "name", "customers", "clv", "low", "high", "total", "total_low", "total_high", "share")


@dataclass(frozen=True, eq=False)
class SegmentValue(Result):
    """CLV by segment.

    Attributes
    ----------
    table
        segment, name, customers, clv (mean), low, high (90 %), total, total_low, total_high, share of total.
        Sorted by segment.
    without
        Members of a segment who never bought, so that they have no CLV.
    """

    table: pd.DataFrame
    basis: Basis
    without: int = 0

    title: ClassVar[str] = "Customer lifetime value by segment"
    note: ClassVar[str] = (
        "Mean and total expected discounted margin of each segment's customers over the horizon, with the 90 % "
        "interval of the expectation under the model."
    )
    columns: ClassVar = {
        "name": ("segment", ""),
        "customers": ("customers", ",.0f"),
        "clv": ("mean CLV", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "total": ("total CLV", ",.0f"),
        "total_low": ("total, low (90 %)", ",.0f"),
        "total_high": ("total, high (90 %)", ",.0f"),
        "share": ("share of total CLV", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """Which segment is worth most a customer, and whether that is clear of the next."""
        said = []
        seen = self.table[self.table["customers"] >= FEWEST].sort_values("clv", ascending=False, kind="stable")
        if len(seen) > 1:
            first, second = seen.iloc[0], seen.iloc[1]
            values = {
                "first": first["name"],
                "second": second["name"],
                "value": first["clv"],
                "other": second["clv"],
                "share": first["share"],
            }
            if first["low"] > second["high"]:
                said.append(
                    Sentence(
                        "A customer of {first} is worth most ({value:,.0f} on average, next {second} with "
                        "{other:,.0f}; the intervals do not touch); the segment carries {share:.0%} of the total.",
                        values,
                    )
                )
            else:
                said.append(
                    Sentence(
                        "{first} ({value:,.0f} a customer) and {second} ({other:,.0f}) are worth about the same: "
                        "their intervals overlap.",
                        values,
                    )
                )
        if self.without:
            said.append(
                Sentence("{n:,} members of segments never bought and have no CLV here.", {"n": self.without})
                if self.without >= FEWEST
                else Sentence("A few members of segments never bought and have no CLV here.")
            )
        return said


def segment_value(ltv: LifetimeValue | NoValue, membership: pd.Series, names: dict[str, str]) -> SegmentValue | NoValue:
    """CLV by segment, with intervals from the draws; without CLV, the reason why there is none.

    Parameters
    ----------
    ltv
        Customers' values.
    membership
        customer_id → segment id; customers without a value are counted apart.
    names
        Segment id → name.
    """
    if isinstance(ltv, NoValue):
        return ltv.again()
    segment = ltv.table["customer_id"].map(membership)
    groups, keys = pd.factorize(segment, sort=True)
    inside = groups >= 0
    totals = np.bincount(groups[inside], weights=ltv.table["clv"].to_numpy()[inside])
    customers = np.bincount(groups[inside])
    low, high = np.quantile(ltv.sums(groups), INTERVAL, axis=1)
    table = pd.DataFrame(
        {
            "segment": [str(key) for key in keys],
            "name": [names.get(key, str(key)) for key in keys],
            "customers": customers,
            "clv": totals / customers,
            "low": low / customers,
            "high": high / customers,
            "total": totals,
            "total_low": low,
            "total_high": high,
            "share": totals / totals.sum(),
        },
        columns=SEGMENT_COLUMNS,
    )
    valued = int(inside.sum())
    basis = Basis(valued, mark("customers"), ltv.basis.start, ltv.basis.end, ltv.basis.design)
    return SegmentValue(table, basis, without=int(membership.notna().sum()) - valued)
