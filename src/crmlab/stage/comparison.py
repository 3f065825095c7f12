"""How far a stage executed again is from what was published."""

from collections.abc import Collection
from pathlib import Path
from textwrap import shorten

import numpy as np
import pandas as pd

from crmlab.stage.content import digest_of
from crmlab.stage.erased import others

SHOWN = 4
"""Columns that are named where many differ."""


def apart(published: Path, again: Path, gone: Collection[str] = ()) -> str:
    """What differs between two tables or YAML files, in words; empty where nothing does.

    Parameters
    ----------
    published, again
        The file as it was published, and as it is now.
    gone
        Pseudonyms of people erased since, whose rows are left out of both.
    """
    if not again.is_file():
        return "was not made again"
    if digest_of(published) == digest_of(again):
        return ""
    if published.suffix != ".parquet":
        return _lines_apart(published.read_text(encoding="utf-8"), again.read_text(encoding="utf-8"))
    before, now = (others(pd.read_parquet(path), gone) for path in (published, again))
    said = tables_apart(before, now)
    # Equal in every value, and yet other bytes: only without erased rows is that as it must be.
    return said or ("" if gone else "the same values in other bytes: it was written by other versions")


def tables_apart(before: pd.DataFrame, now: pd.DataFrame) -> str:
    """What differs between two tables, row by row in their order; empty where nothing does."""
    if list(before.columns) != list(now.columns):
        lost, new = (sorted(set(a.columns) - set(b.columns)) for a, b in ((before, now), (now, before)))
        told = [f"without {', '.join(lost)}"] if lost else []
        told += [f"with {', '.join(new)} besides"] if new else []
        return f"has other columns: {'; '.join(told) or 'another order'}"
    if len(before) != len(now):
        return f"{len(before):,} rows were published, {len(now):,} are made now"
    differs = {c: _differs(before[c], now[c]) for c in before.columns}
    rows = np.logical_or.reduce(list(differs.values())) if differs else np.array([], dtype=bool)
    if not rows.any():
        return ""
    columns = [c for c, where in differs.items() if where.any()]
    by = {c: _relative(before[c], now[c]) for c in columns if pd.api.types.is_numeric_dtype(before[c])}
    more = f" and {len(columns) - SHOWN} more columns" if len(columns) > SHOWN + 1 else ""
    named = ", ".join(columns[:SHOWN] if more else columns)
    told = f"{rows.sum():,} of {len(rows):,} rows differ, in {named}{more}"
    return f"{told}; by at most {max(by.values()):.1e} of the value" if by else told


def _differs(before: pd.Series, now: pd.Series) -> np.ndarray:
    if before.dtype != now.dtype:
        return np.ones(len(before), dtype=bool)
    both_missing = before.isna().to_numpy() & now.isna().to_numpy()
    if before.dtype == object:
        same = np.array([_plain(a) == _plain(b) for a, b in zip(before, now, strict=True)], dtype=bool)
    else:
        same = (before == now).fillna(False).to_numpy(dtype=bool)
    return ~(same | both_missing)


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _relative(before: pd.Series, now: pd.Series) -> float:
    """The largest difference in parts of the larger value; infinite where a value is missing on one side."""
    a, b = (s.to_numpy(dtype="float64", na_value=np.nan) for s in (before, now))
    largest = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(a == b, 0.0, np.abs(a - b) / largest)
    share[np.isnan(a) & np.isnan(b)] = 0.0
    return float(np.max(np.nan_to_num(share, nan=np.inf), initial=0.0))


def _lines_apart(before: str, now: str) -> str:
    old, new = before.splitlines(), now.splitlines()
    changed = [n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    first = changed[0] if changed else min(len(old), len(new))
    was, is_ = (shorten(lines[first], 70) if first < len(lines) else "nothing" for lines in (old, new))
    return f"{len(changed) + abs(len(old) - len(new)):,} lines differ; line {first + 1} was {was!r}, is {is_!r}"
