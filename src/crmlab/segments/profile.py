"""What each segment is like: size, value, and the traits in which it differs most from all customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import traits_used

if TYPE_CHECKING:
    from crmlab.base.traits import Traits

DESCRIBED = ("recency_days", "frequency", "monetary")
"""Traits that every profile states as medians, and their scores: never named among the differences."""

SCORES = ("r_score", "f_score", "m_score")
UNKNOWN = mark("unknown")
"""Level of a declared category that is missing; the others are compared among those of whom it is known."""

MOST_LEVELS = 12
"""Categories of a trait that are compared, the largest first."""

SHOWN_DIFFERENCES = 3


@dataclass(frozen=True)
class Profile(Result):
    """One row a segment, largest first.

    `differences` holds every standardised difference: segment, trait, level (of a category; "" for a number),
    difference, low, high.
    """

    table: pd.DataFrame
    basis: Basis
    differences: pd.DataFrame

    title: ClassVar[str] = "The segments"
    note: ClassVar[str] = (
        "Differences are from all customers, in standard deviations of all customers, with 90 % intervals; the traits "
        "that define the segments are left out. Medians are of the segment's customers. The interval of the mean CLV "
        "says how customers vary; the model's own uncertainty is on the table of CLV by segment."
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
        for i in range(SHOWN_DIFFERENCES):
            shown[f"differs_{i + 1}"] = [
                self._said(segment, i) if customers >= FEWEST else None
                for segment, customers in zip(self.table["segment"], self.table["customers"], strict=True)
            ]
        return shown

    def _said(self, segment: str, place: int) -> str | None:
        rows = _largest(self.differences, segment)
        if place >= len(rows):
            return None
        row = rows.iloc[place]
        values = {"trait": compared(row["trait"], row["level"]), "d": row["difference"]}
        return say("{trait}: {d:+.2f} [{low:+.2f}, {high:+.2f}]", **values, low=row["low"], high=row["high"])

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
        The tree behind `membership`: the traits it uses are left out of the differences.
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
    left_out = {*DESCRIBED, *SCORES, *(traits_used(tree) if tree else [])}
    return Profile(
        table=table.loc[order.index].reset_index(drop=True),
        basis=replace(traits.basis, n=len(membership), what=mark("customers")),
        differences=differences(membership, customers, traits.catalogue, left_out),
    )


def differences(
    membership: pd.Series, customers: pd.DataFrame, catalogue: pd.DataFrame, left_out: set[str]
) -> pd.DataFrame:
    """Standardised differences of every segment from all customers, by trait and by level of a category.

    Parameters
    ----------
    membership
        Segment id, index customer_id.
    customers
        Traits, the same index.
    catalogue
        name, kind, source and sensitive of each trait.
    left_out
        Traits that are not compared.

    Returns
    -------
    pandas.DataFrame
        segment, trait, level, difference, low, high (90 %), in standard deviations; sorted by segment and trait.
    """
    parts = []
    for trait in catalogue.sort_values("name").itertuples():
        if trait.name in left_out or trait.sensitive or trait.name not in customers:
            continue
        values = customers[trait.name]
        if trait.kind == "category":
            levels = values.value_counts()
            largest = sorted(levels.index, key=lambda v: (-int(levels[v]), str(v)))[:MOST_LEVELS]
            columns = {str(v): (values == v).astype("float64").where(values.notna()) for v in largest}
            if values.isna().any() and trait.source == "customers":
                columns[UNKNOWN] = values.isna().astype("float64")
        else:
            columns = {"": values.astype("float64")}
        for level, column in columns.items():
            found = standardised(membership.to_numpy(), column.to_numpy())
            parts.append(found.assign(trait=trait.name, level=level))
    names = ["segment", "trait", "level", "difference", "low", "high"]
    table = pd.concat(parts)[names] if parts else pd.DataFrame(columns=names)
    table = table.astype(dict.fromkeys(names[:3], "str") | dict.fromkeys(names[3:], "float64"))
    return table.sort_values(["segment", "trait", "level"], ignore_index=True)


def standardised(segments: np.ndarray, values: np.ndarray, interval: float = 0.90) -> pd.DataFrame:
    """(segment mean − mean of all) / sd of all, with its normal interval.

    With w the segment's share the difference is (1−w)(mean inside − mean outside) / sd, and its standard error
    (1−w) √(s²_in/n_in + s²_out/n_out) / sd: inside and outside are independent, segment and all are not. The variance
    of a yes/no is that of (k+1)/(n+2), so that none of a few is not taken for certain.

    Parameters
    ----------
    segments
        Segment of each customer, shape (n,).
    values
        float64, shape (n,); missing values do not count.

    Returns
    -------
    pandas.DataFrame
        segment, difference, low, high; nan where the trait does not vary or fewer than two are inside or outside.
    """
    known = np.isfinite(values)
    x, of = values[known], segments[known]
    sd = x.std() if len(x) else np.nan
    z = norm.isf((1 - interval) / 2)
    yes_no = bool(np.isin(x, (0.0, 1.0)).all())
    rows = []
    for segment in sorted(set(segments)):
        inside, outside = x[of == segment], x[of != segment]
        if min(len(inside), len(outside)) < 2 or not sd > 0:
            rows.append((segment, np.nan, np.nan, np.nan))
            continue
        rest = len(outside) / len(x)
        d = rest * (inside.mean() - outside.mean()) / sd
        se = rest * np.sqrt(_variance(inside, yes_no) / len(inside) + _variance(outside, yes_no) / len(outside)) / sd
        rows.append((segment, d, d - z * se, d + z * se))
    return pd.DataFrame(rows, columns=["segment", "difference", "low", "high"])


def _variance(x: np.ndarray, yes_no: bool) -> float:
    if not yes_no:
        return float(x.var(ddof=1))
    p = (x.sum() + 1) / (len(x) + 2)
    return float(p * (1 - p))


def compared(trait: str, level: str) -> str:
    """What was compared, in words: a trait, one of its levels, or its being unknown."""
    if level == UNKNOWN:
        return say("{trait} unknown", trait=trait)
    return say("{trait} is {values}", trait=trait, values=level) if level else trait


def _largest(differences: pd.DataFrame, segment: str) -> pd.DataFrame:
    """The rows of a segment whose interval excludes zero, one a trait, by the nearer limit to zero."""
    rows = differences[(differences["segment"] == segment) & (differences["low"] * differences["high"] > 0)]
    sure = np.minimum(rows["low"].abs(), rows["high"].abs()).round(9)
    rows = rows.assign(sure=sure).sort_values(["sure", "trait", "level"], ascending=[False, True, True])
    return rows.drop_duplicates("trait").head(SHOWN_DIFFERENCES)


def _mean_value(value: pd.DataFrame, membership: pd.Series) -> pd.DataFrame:
    """Mean CLV by segment with its 90 % interval over customers; nan limits for a single customer."""
    clv = value.set_index("customer_id")["clv"].reindex(membership.index).astype("float64")
    groups = clv.groupby(membership)
    mean, half = groups.mean(), norm.isf(0.05) * groups.std() / np.sqrt(groups.count())
    return pd.DataFrame({"clv": mean, "clv_low": mean - half, "clv_high": mean + half})
