"""What each segment is like: size, value, and the traits in which it differs most from all customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.differences import alike, compared, differences, telling, trait_words
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import traits_used

if TYPE_CHECKING:
    from crmlab.base.traits import Traits

DESCRIBED = ("recency_days", "frequency", "monetary")
"""Traits that every profile states as medians, and their scores: never named among the differences."""

SCORES = ("r_score", "f_score", "m_score")
SHOWN_DIFFERENCES = 3


@dataclass(frozen=True)
class Profile(Result):
    """One row a segment, largest first.

    Attributes
    ----------
    differences
        Every standardised difference, as `crmlab.segments.differences.differences` gives them.
    same
        Which traits say the same, by (trait, level) both ways.
    told
        Traits told already: those the rules ask for, and those stated as medians.
    called
        Trait → what a reader calls it.
    """

    table: pd.DataFrame
    basis: Basis
    differences: pd.DataFrame
    same: pd.DataFrame = field(default_factory=pd.DataFrame)
    told: tuple[str, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)

    title: ClassVar[str] = "The segments"
    note: ClassVar[str] = (
        "Differences are from all customers, in standard deviations of all customers, with 90 % intervals; the traits "
        "that the segments' rules ask for are left out, and of traits that say the same the surest stands for all. The "
        "highest and lowest 1 % of a number count as that limit. "
        "Medians are of the segment's customers. The interval of the mean CLV says how customers vary; the model's "
        "own uncertainty is on the table of CLV by segment."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "customers": ("Customers", ",.0f"),
        "share": ("Share of customers", ".1%"),
        "spend_share": ("Share of spend", ".1%"),
        "recency_days": ("Days since the last order (median)", ",.0f"),
        "frequency": ("Orders (median)", ",.0f"),
        "monetary": ("Spend (median)", ",.0f"),
        "clv": ("Mean CLV", ",.0f"),
        "clv_low": ("90 % from", ",.0f"),
        "clv_high": ("to", ",.0f"),
        "differs_1": ("Differs most in", ""),
        "differs_2": ("then in", ""),
        "differs_3": ("and in", ""),
    }

    def shown(self) -> pd.DataFrame:
        """The table with the largest differences of each segment in words; none for a segment of very few."""
        shown = self.table.copy()
        said = [
            self._said(segment) if customers >= FEWEST else []
            for segment, customers in zip(self.table["segment"], self.table["customers"], strict=True)
        ]
        for i in range(SHOWN_DIFFERENCES):
            shown[f"differs_{i + 1}"] = [each[i] if i < len(each) else None for each in said]
        return shown

    def largest(
        self, segment: str, most: int = SHOWN_DIFFERENCES, *, differences: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """The surest of `differences` (all) of a segment: one a trait, none that says the same as another."""
        rows = self.differences if differences is None else differences
        return telling(rows[rows["segment"] == segment], self.same, self.told, most)

    def _said(self, segment: str) -> list[str]:
        return [
            say(
                "{trait}: {d:+.2f} [{low:+.2f}, {high:+.2f}]",
                trait=compared(row.trait, row.level, row.meaning),
                d=row.difference,
                low=row.low,
                high=row.high,
            )
            for row in self.largest(segment).itertuples()
        ]

    def sentences(self) -> list[Sentence]:
        """Where spend is concentrated, or that it is not; and segments too small to be told apart."""
        if self.table.empty:
            return [Sentence("There is no customer in any segment.", tone="warn")]
        told = []
        if self.table["spend_share"].notna().any():
            ratio = self.table["spend_share"] / self.table["share"]
            top = self.table.loc[ratio.idxmax()]
            values = {"name": top["name"], "spend": top["spend_share"], "share": top["share"]}
            if ratio.max() >= 1.5:
                told.append(
                    Sentence("“{name}” are {share:.0%} of the customers and {spend:.0%} of their spend.", values)
                )
            else:
                told.append(
                    Sentence(
                        "No segment's share of spend is far above its share of customers; the nearest to it, “{name}”, "
                        "are {share:.0%} of the customers and {spend:.0%} of their spend.",
                        values,
                    )
                )
        small = self.table[self.table["customers"] < 50]
        if len(small):
            told.append(
                Sentence(
                    "Segments of fewer than 50 customers: {names}. Little can be learned of them.",
                    {"names": ", ".join(small["name"])},
                    "warn",
                )
            )
        return told


def profile(
    membership: pd.Series,
    traits: Traits,
    *,
    names: Mapping[str, str],
    value: pd.DataFrame | None = None,
    tree: Tree | None = None,
) -> Profile:
    """What each segment is like.

    Parameters
    ----------
    membership
        Segment id of each customer, index customer_id.
    traits
        Traits of the same customers; sensitive ones are left out.
    names
        Segment id → name.
    value
        customer_id and clv; without the column `clv` (its model failed the gate) no value is shown.
    tree
        The tree behind `membership`: the traits its rules ask for are left out of the differences; those a fitted
        model made classes of are marked.
    """
    customers = traits.table.set_index("customer_id").reindex(membership.index)
    groups = membership.groupby(membership)
    table = pd.DataFrame({"customers": groups.size().astype("int64")})
    table["share"] = table["customers"] / len(membership) if len(membership) else np.nan
    if "monetary" in customers:
        spend = customers["monetary"].astype("float64").fillna(0.0)
        table["spend_share"] = spend.groupby(membership).sum() / spend.sum() if spend.sum() else np.nan
    else:
        table["spend_share"] = np.nan
    for name in DESCRIBED:
        known = customers[name].astype("float64") if name in customers else pd.Series(np.nan, customers.index)
        table[name] = known.groupby(membership).median()
    if value is not None and "clv" in value:
        table = table.join(_mean_value(value, membership))
    table = table.rename_axis("segment").reset_index()
    table.insert(1, "name", [names.get(s, s) for s in table["segment"]])
    order = table.assign(_id=table["segment"].str[1:].str.zfill(9)).sort_values(
        ["customers", "_id"], ascending=[False, True]
    )
    asked = {c.trait for node in tree.nodes for c in node.when} if tree else set()
    told = (*DESCRIBED, *SCORES, *sorted(asked))
    return Profile(
        table=table.loc[order.index].reset_index(drop=True),
        basis=replace(traits.basis, n=len(membership), what=mark("customers")),
        differences=differences(
            membership, customers, traits.catalogue, told, set(traits_used(tree)) - asked if tree else ()
        ),
        same=alike(customers, traits.catalogue),
        told=told,
        called={t.name: trait_words(t.name, getattr(t, "meaning", "")) for t in traits.catalogue.itertuples()},
    )


def _mean_value(value: pd.DataFrame, membership: pd.Series) -> pd.DataFrame:
    """Mean CLV by segment with its 90 % interval over customers; nan limits for a single customer."""
    clv = value.set_index("customer_id")["clv"].reindex(membership.index).astype("float64")
    groups = clv.groupby(membership)
    mean, half = groups.mean(), norm.isf(0.05) * groups.std() / np.sqrt(groups.count())
    return pd.DataFrame({"clv": mean, "clv_low": mean - half, "clv_high": mean + half})
