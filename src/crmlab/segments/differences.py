"""In what segments differ from all customers: standardised differences with intervals, none told twice."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from crmlab.contract import mark, say

UNKNOWN = mark("unknown")
"""Level of a declared category that is missing; the others are compared among those of whom it is known."""

GIVEN = "as given in the customers table"
"""What a trait means that the company brought along under a name of its own."""

MOST_LEVELS = 12
"""Categories of a trait that are compared, the largest first."""

ALIKE = 0.8
"""Rank correlation from which on two traits say the same."""

LOOKED_AT = 20_000
"""Customers from whom correlations are taken, evenly spaced by id."""

FALSE = 0.10
"""Expected share of false ones among the differences that are named [Benjamini & Hochberg 1995]."""

DRAWN = 3
"""Degrees of freedom by which the variance inside a segment is drawn to that of all."""

COLUMNS = ["segment", "trait", "level", "meaning", "defines", "difference", "low", "high", "sure"]


def differences(
    membership: pd.Series,
    customers: pd.DataFrame,
    catalogue: pd.DataFrame,
    left_out: Collection[str],
    defining: Collection[str] = (),
) -> pd.DataFrame:
    """Standardised differences of every segment from all customers, by trait and by level of a category.

    Parameters
    ----------
    membership
        Segment id, index customer_id.
    customers
        Traits, the same index.
    catalogue
        name, kind, source, sensitive and meaning of each trait.
    left_out
        Traits that are not compared.
    defining
        Traits of which a fitted model made the segments: compared, and marked.

    Returns
    -------
    pandas.DataFrame
        segment, trait, level ("" for a number), meaning, defines, difference, low, high (90 %) in standard deviations,
        sure (of a segment's differences so marked about a tenth are expected to be false); sorted by segment and trait.
    """
    parts = []
    for trait, columns in _compared(customers, catalogue):
        if trait.name in left_out:
            continue
        for level, column in columns.items():
            found = standardised(membership.to_numpy(), column.to_numpy())
            meaning, defines = getattr(trait, "meaning", ""), trait.name in defining
            parts.append(found.assign(trait=trait.name, level=level, meaning=meaning, defines=defines))
    table = pd.concat(parts) if parts else pd.DataFrame(columns=[*COLUMNS[:-1], "p"])
    table["sure"] = surely(table["segment"], table["p"])
    kinds = dict.fromkeys(COLUMNS, "str") | dict.fromkeys(["difference", "low", "high"], "float64")
    table = table[COLUMNS].astype(kinds | {"defines": "bool", "sure": "bool"})
    return table.sort_values(["segment", "trait", "level"], ignore_index=True)


def _compared(customers: pd.DataFrame, catalogue: pd.DataFrame) -> Iterator[tuple[Any, dict[str, pd.Series]]]:
    """Each trait that is not sensitive, with its columns of numbers: one, or one a level."""
    for trait in catalogue.sort_values("name").itertuples():
        if trait.sensitive or trait.name not in customers:
            continue
        values = customers[trait.name]
        if trait.kind == "category":
            levels = values.value_counts()
            largest = sorted(levels.index, key=lambda v: (-int(levels[v]), str(v)))[:MOST_LEVELS]
            columns = {str(v): (values == v).astype("float64").where(values.notna()) for v in largest}
            if values.isna().any() and trait.source == "customers":
                columns[UNKNOWN] = values.isna().astype("float64")
        else:
            columns = {"": _within(values.astype("float64"))}
        yield trait, columns


def _within(values: pd.Series) -> pd.Series:
    """Numbers with the highest and the lowest 1 % put at the limit, so that no single customer decides a spread."""
    low, high = values.quantile([0.01, 0.99])
    return values if np.isin(values.dropna(), (0.0, 1.0)).all() else values.clip(low, high)


def alike(customers: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Which traits and levels say the same: bool, by (trait, level) both ways.

    Rank correlation over at most `LOOKED_AT` customers, missing values at the mean rank.
    """
    ordered = customers.sort_index()
    places = np.unique(np.linspace(0, max(len(ordered) - 1, 0), min(len(ordered), LOOKED_AT)).round().astype(int))
    columns = {
        (trait.name, level): column
        for trait, levels in _compared(ordered.iloc[places], catalogue)
        for level, column in levels.items()
    }
    keys = pd.MultiIndex.from_tuples(list(columns), names=["trait", "level"]) if columns else None
    if keys is None or not len(ordered):
        return pd.DataFrame()
    ranks = pd.concat(columns.values(), axis=1).rank().to_numpy(dtype="float64")
    known = np.isfinite(ranks)
    mean = np.where(known, ranks, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, ranks - mean, 0.0)
    size = np.sqrt((centred**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        together = np.abs(centred.T @ centred) / np.outer(size, size)
    return pd.DataFrame(np.round(np.nan_to_num(together), 9) >= ALIKE, index=keys, columns=keys)


def telling(rows: pd.DataFrame, same: pd.DataFrame, said: Collection[str], most: int) -> pd.DataFrame:
    """The sure differences of one segment, the surest first: one a trait, none that says the same as one before it.

    Parameters
    ----------
    rows
        Differences of one segment.
    same
        From `alike`.
    said
        Traits that are told already.
    most
        How many at most.
    """
    rows = rows[rows["sure"]]
    nearest = np.minimum(rows["low"].abs(), rows["high"].abs()).round(9)
    rows = rows.assign(nearest=nearest).sort_values(["nearest", "trait", "level"], ascending=[False, True, True])
    told = [key for key in same.columns if key[0] in said]
    kept: list[int] = []
    for place, (trait, level) in enumerate(zip(rows["trait"], rows["level"], strict=True)):
        if len(kept) == most:
            break
        key, before = (trait, level), {rows["trait"].iloc[k] for k in kept}
        if trait in before or (key in same.index and told and same.loc[[key], told].to_numpy().any()):
            continue
        kept.append(place)
        told = [*told, key] if key in same.columns else told
    return rows.iloc[kept].drop(columns="nearest")


def surely(group: pd.Series, p: pd.Series) -> np.ndarray:
    """Which of several p-values are named when, within each group, a tenth of those named may be false."""
    values, groups = p.to_numpy(dtype="float64"), group.to_numpy()
    found = np.zeros(len(values), dtype=bool)
    for one in pd.unique(groups):
        here = (groups == one) & np.isfinite(values)
        if here.any():
            found[here] = false_discovery_control(np.clip(values[here], 0.0, 1.0)) <= FALSE
    return found


def standardised(segments: np.ndarray, values: np.ndarray, interval: float = 0.90) -> pd.DataFrame:
    """(segment mean − mean of all) / sd of all, with its normal interval.

    With w the segment's share the difference is (1−w)(mean inside − mean outside) / sd, and its standard error
    (1−w) √(s²_in/n_in + s²_out/n_out) / sd: inside and outside are independent, segment and all are not. So that a few
    who happen to be alike are not taken for certain, the variance of a yes/no is that of (k+1)/(n+2), and that of
    other numbers is drawn to the one of all as by `DRAWN` degrees of freedom. For p the error is at least that of as
    many customers drawn from all at random, √((1−w)/n_in): of skewed traits a few without the long tail lie below
    the mean, and alike.

    Parameters
    ----------
    segments
        Segment of each customer, shape (n,).
    values
        float64, shape (n,); missing values do not count.

    Returns
    -------
    pandas.DataFrame
        segment, difference, low, high, p (of no difference); nan where the trait does not vary or fewer than two are
        inside or outside.
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
            rows.append((segment, np.nan, np.nan, np.nan, np.nan))
            continue
        rest = len(outside) / len(x)
        d = rest * (inside.mean() - outside.mean()) / sd
        spread = [_variance(part, yes_no, sd) / len(part) for part in (inside, outside)]
        se = rest * np.sqrt(sum(spread)) / sd
        p = 2 * norm.sf(abs(d) / max(se, np.sqrt(rest / len(inside))))
        rows.append((segment, d, d - z * se, d + z * se, p))
    return pd.DataFrame(rows, columns=["segment", "difference", "low", "high", "p"])


def _variance(x: np.ndarray, yes_no: bool, sd: float) -> float:
    if not yes_no:
        own = len(x) - 1
        return float((own * x.var(ddof=1) + DRAWN * sd**2) / (own + DRAWN))
    p = (x.sum() + 1) / (len(x) + 2)
    return float(p * (1 - p))


def trait_words(name: str, meaning: str = "") -> str:
    """A trait as a reader knows it: its meaning without fine print, or the company's own name for it."""
    return name.replace("_", " ") if meaning in ("", GIVEN) else re.split("[;:]", say(meaning))[0]


def compared(trait: str, level: str, meaning: str = "") -> str:
    """What was compared, in words: a trait, one of its levels, or its being unknown."""
    words = trait_words(trait, meaning)
    if level == UNKNOWN:
        return say("{trait} unknown", trait=words)
    return say("{trait} is {values}", trait=words, values=level) if level else words
