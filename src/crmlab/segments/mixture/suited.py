"""Which traits a mixture can be fitted to, and why the others cannot; the rows it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crmlab.contract import Fault, Refused, mark
from crmlab.segments.mixture.em import Rows
from crmlab.segments.mixture.scale import Scale

RESTATED = ("r_score", "f_score", "m_score", "x", "t_x", "T", "z_bar", "tenure_days")
"""Traits that say again, for rules and models of lifetime value, what others say; and since when a customer is seen,
which the data's first day shapes, and no behaviour."""
OURS = "contacts"
"""The source of what the company did, not the customers: classes of it would be a calendar of its own mailings."""
NOT_BEHAVIOUR = ("customers", "survey", "texts")
MOST_MISSING = 0.5
MOST_LEVELS = 12
SAME = 0.98
RARE = 0.01


@dataclass(frozen=True)
class Suited:
    """Names of the numbers and categories to look at, and what was left out: name → why."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: dict[str, str]


def suited(table: pd.DataFrame, catalogue: pd.DataFrame, wanted: tuple[str, ...] | None) -> Suited:
    """The traits of `table` that a mixture can be fitted to.

    Parameters
    ----------
    table
        One row a customer.
    catalogue
        name, kind (number, flag or category), source, sensitive, allowed_for_splits of each trait.
    wanted
        The traits asked for; those of behaviour where not given, or of people where nobody is seen to buy.
    """
    entries = [e for e in catalogue.to_dict("records") if e["name"] in table.columns]
    if wanted is None:
        entries = [e for e in entries if e.get("allowed_for_splits", True) and e["name"] not in RESTATED]
        entries = [e for e in entries if e.get("source", "") != OURS]
        behaviour = [e for e in entries if e.get("source", "") not in NOT_BEHAVIOUR and not e.get("sensitive", False)]
        bought = any(e.get("source", "") != "outcomes" and len(table[e["name"]].unique()) > 1 for e in behaviour)
        entries = behaviour if bought else entries
    else:
        entries = _asked_for(entries, wanted)
    left_out: dict[str, str] = {}
    numbers, categories = [], []
    for entry in entries:
        name, kind = entry["name"], entry["kind"]
        reason = _unsuited(table[name], kind, sensitive=bool(entry.get("sensitive", False)))
        if reason:
            left_out[name] = reason
        elif kind == "number" and table[name].nunique() > 2:
            numbers.append(name)
        else:
            categories.append(name)
    numbers = _different(table, numbers, left_out)
    categories = _different_categories(table, categories, left_out)
    return Suited(tuple(numbers), tuple(categories), left_out)


def _asked_for(entries: list[dict], wanted: tuple[str, ...]) -> list[dict]:
    by_name = {e["name"]: e for e in entries}
    faults = [
        Fault("mixture.traits", f"{t!r}: no such trait; there are {', '.join(by_name)}")
        for t in wanted
        if t not in by_name
    ]
    faults += [
        Fault("mixture.traits", f"{t!r} is declared sensitive: take it off traits.sensitive or name another")
        for t in wanted
        if t in by_name and by_name[t].get("sensitive", False)
    ]
    if faults:
        raise Refused("segments", faults)
    return [by_name[t] for t in dict.fromkeys(wanted)]


def _unsuited(values: pd.Series, kind: str, *, sensitive: bool) -> str:
    """Why a trait cannot be looked at, or nothing."""
    sizes = values.value_counts()
    if sensitive:
        return mark("sensitive")
    if values.isna().mean() > MOST_MISSING:
        return mark("missing for more than half")
    if len(sizes) < 2 or sizes.iloc[1:].sum() < RARE * sizes.sum():
        return mark("the same for nearly everybody")
    if kind == "category" and len(sizes) > MOST_LEVELS:
        return mark("too many categories")
    return ""


def _different(table: pd.DataFrame, names: list[str], left_out: dict[str, str]) -> list[str]:
    """The numbers without those that rank customers as an earlier one does."""
    ranks = table[names].rank().to_numpy() if names else np.zeros((len(table), 0))
    kept: list[int] = []
    for j, name in enumerate(names):
        if any(_alike(ranks[:, i], ranks[:, j]) for i in kept):
            left_out[name] = mark("says the same as another trait")
        else:
            kept.append(j)
    return [names[j] for j in kept]


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or a[both].std() == 0 or b[both].std() == 0:
        return False
    return abs(np.corrcoef(a[both], b[both])[0, 1]) > SAME


def _different_categories(table: pd.DataFrame, names: list[str], left_out: dict[str, str]) -> list[str]:
    """The categories without those that part customers as an earlier one does."""
    kept: list[str] = []
    for name in names:
        codes = {k: pd.factorize(table[k])[0] for k in (*kept, name)}
        if any(_matched(codes[k], codes[name]) > SAME for k in kept):
            left_out[name] = mark("says the same as another trait")
        else:
            kept.append(name)
    return kept


def _matched(a: np.ndarray, b: np.ndarray) -> float:
    """Share of rows that agree when each level is matched with the other's most frequent there, at worst."""
    counts = pd.crosstab(a, b).to_numpy()
    return float(min(counts.max(axis=0).sum(), counts.max(axis=1).sum()) / counts.sum())


def levels_of(values: pd.Series) -> tuple[str, ...]:
    """The levels of a category, the most frequent first, ties by name."""
    sizes = as_text(values).value_counts()
    return tuple(sorted(sizes.index, key=lambda s: (-int(sizes[s]), s)))


def as_text(values: pd.Series) -> pd.Series:
    """A category, flag or two-valued number as text, missing where missing; whole numbers without a point."""
    if pd.api.types.is_bool_dtype(values.dtype):
        values = values.astype("float64")
    if pd.api.types.is_numeric_dtype(values.dtype):
        told = [None if pd.isna(v) else f"{float(v):.12g}" for v in values]
        return pd.Series(told, index=values.index, dtype="str")
    return values.astype("str")


def rows_of(
    table: pd.DataFrame,
    numbers: tuple[str, ...],
    scales: tuple[Scale, ...],
    categories: tuple[str, ...],
    levels: tuple[tuple[str, ...], ...],
) -> Rows:
    """The table as scaled numbers and codes; a level that was not there at the fit counts as missing."""
    columns = [
        scale.apply(pd.to_numeric(table[name]).to_numpy(dtype=np.float64, na_value=np.nan))
        for name, scale in zip(numbers, scales, strict=True)
    ]
    codes = [
        as_text(table[name]).map({s: i for i, s in enumerate(known)}).fillna(-1).to_numpy(dtype=np.int64)
        for name, known in zip(categories, levels, strict=True)
    ]
    n = len(table)
    return Rows(
        np.column_stack(columns) if columns else np.zeros((n, 0)),
        np.column_stack(codes) if codes else np.zeros((n, 0), dtype=np.int64),
        tuple(len(known) for known in levels),
    )
