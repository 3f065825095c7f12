"""Groups that definitions make: who bought once has no time between purchases, and one order is the mean of all.

At such a value of one trait another trait is settled, or two become the same. That joins many customers in several
traits at once, as a class would, but it says nothing of how they behave: it is kept in the bases without classes that
clusters are held against, and said on the page.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

COMMON = 0.03
"""Share of the customers that a value has at least."""
SETTLED = 0.995
SAME = 0.98
FEWEST_ROWS = 60
"""Customers that are drawn as a group of their own, at least."""
LITTLE_MORE = 0.8


@dataclass(frozen=True)
class Definition:
    """A value of one trait (None where it is unknown) that settles others."""

    trait: str
    value: float | None
    settles: tuple[str, ...]

    def who(self, table: pd.DataFrame) -> np.ndarray:
        """Who has the value (n,)."""
        values = table[self.trait]
        return (values.isna() if self.value is None else values == self.value).fillna(False).to_numpy(dtype=bool)


def definitions(table: pd.DataFrame, traits: tuple[str, ...], rows: np.ndarray, most: int) -> tuple[Definition, ...]:
    """The values of the first `most` of `traits` that settle others in `rows` (n, d), ordered numbers of `table`."""
    found = []
    for j, level, settled in settling(rows, most):
        value = table[traits[j]].to_numpy(dtype=object)[np.flatnonzero(rows[:, j] == level)[0]]
        told = None if pd.isna(value) else float(value)
        found.append(Definition(traits[j], told, tuple(traits[s] for s in settled)))
    return tuple(found)


def settling(values: np.ndarray, most: int) -> list[tuple[int, float, list[int]]]:
    """Column, value, and the columns settled by it, the most common first.

    Parameters
    ----------
    values
        Ordered numbers (n, d), none missing.
    most
        The first so many columns may settle others; the rest, categories, may only be settled.
    """
    n = len(values)
    if not n:
        return []
    alike = _same(values)
    found = []
    for j in range(most):
        levels, counts = np.unique(values[:, j], return_counts=True)
        for level, count in zip(levels, counts, strict=True):
            if not COMMON * n <= count <= (1 - COMMON) * n:
                continue
            here = values[values[:, j] == level]
            fixed = _constant(here) & ~_constant(values[values[:, j] != level])
            fixed[j] = False
            pairs = _same(here) & ~alike & ~fixed[:, None] & ~fixed
            pairs[j], pairs[:, j] = False, False
            settled = sorted(set(np.flatnonzero(fixed[:most])) | set(np.flatnonzero(np.triu(pairs).any(axis=0)[:most])))
            if settled:
                found.append((int(count), j, float(level), [int(s) for s in settled]))
    found.sort(key=lambda f: (-f[0], f[1], f[2]))
    kept: list[tuple[int, float, list[int]]] = []
    for _, j, level, settled in found:
        here = values[:, j] == level
        if not any((here & (values[:, i] == other)).sum() > SAME * here.sum() for i, other, _ in kept):
            kept.append((j, level, settled))
    return kept


def strata(values: np.ndarray, most: int) -> np.ndarray:
    """The group of each row (n,) that definitions put it in; those too small to be drawn alone are together in 0."""
    pattern = np.zeros(len(values), dtype=np.int64)
    for j, level, _ in settling(values, most):
        finer = np.unique(pattern * 2 + (values[:, j] == level), return_inverse=True)[1]
        pattern = finer.ravel()
    size = np.bincount(pattern, minlength=1)
    kept = np.flatnonzero(size >= FEWEST_ROWS)
    places = np.zeros(len(size), dtype=np.int64)
    places[kept] = np.arange(1, len(kept) + 1)
    return places[pattern]


def _constant(values: np.ndarray) -> np.ndarray:
    """Which columns have one value for (nearly) everybody."""
    return np.array([np.unique(x, return_counts=True)[1].max() >= SETTLED * len(x) for x in values.T], dtype=bool)


def _same(values: np.ndarray) -> np.ndarray:
    """Which columns (d, d) rank the rows alike."""
    ranks = pd.DataFrame(values).rank().to_numpy()
    away = ranks - ranks.mean(axis=0)
    size = np.sqrt(np.square(away).sum(axis=0))
    return np.abs(away.T @ away) > SAME * np.outer(size, size) + 1e-9
