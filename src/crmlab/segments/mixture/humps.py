"""Traits that part customers by themselves: two humps with a valley between.

Clouds without classes keep every trait's own distribution, so two groups far apart in one trait would be found in the
clouds too; this is what sees them.
"""

import numpy as np

from crmlab.segments.mixture.by_definition import strata
from crmlab.segments.mixture.em import Rows
from crmlab.segments.mixture.one_cloud import ordered
from crmlab.segments.mixture.starts import coordinates

ATOM = 0.2
"""Share of one value above which a trait is a spike and a rest (nothing bought, and how much): no humps."""
VALLEY = 0.5
"""Density of the valley against the lower hump, at most."""
SIDE = 0.05
"""Share of customers that a hump holds above the height of the valley, at least [Müller and Sawitzki 1991]."""
GRID = 256
TOGETHER = -1
"""In place of a column: categories that make humps together."""
FAR = 2.0
ANSWER = 0.6
"""Bandwidth, in steps of one answer, at which the steps themselves are no humps."""


def parted(rows: Rows) -> int | None:
    """The number (its column) whose valley is deepest among those that definitions leave together; None without one."""
    group = strata(ordered(rows), rows.numbers.shape[1])
    largest = np.bincount(group, minlength=1).argmax()
    if not rows.numbers.shape[1]:
        return TOGETHER if _answers_apart(rows) else None
    depths = [valley(x[np.isfinite(x) & (group == largest)]) for x in rows.numbers.T]
    if min(depths) > VALLEY:
        return None
    return int(np.argmin(depths))


def valley(values: np.ndarray) -> float:
    """Density of the deepest valley against the lower of the humps beside it; 1 where there is none.

    The density is a Gaussian kernel's with Silverman's bandwidth [1986, equation 3.31], over values that fill the room
    to the next ones: between whole numbers there is no valley.
    """
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) < 3 or counts.max() > ATOM * len(values):
        return 1.0
    edge = counts.argmax() if counts.max() > 1 else 1
    if edge in (0, len(levels) - 1):  # the lowest, nothing bought, is no hump
        levels, counts = np.delete(levels, edge), np.delete(counts, edge)
    if counts.sum() < 20 or len(levels) < 3:
        return 1.0
    return _depth(levels, counts)


def _answers_apart(rows: Rows) -> bool:
    """Whether categories alone put the customers in two humps along the axis in which they vary most."""
    at = coordinates(rows)
    at = at - at.mean(axis=0)
    axis = np.linalg.svd(at, full_matrices=False)[2][0]
    ends = np.cumsum(rows.levels)[:-1]
    step = max(float(np.ptp(part)) for part in np.split(axis, ends))
    levels, counts = np.unique(np.round(at @ axis, 9), return_counts=True)
    return len(levels) >= 3 and _depth(levels, counts, least=ANSWER * step) <= VALLEY


def _depth(levels: np.ndarray, counts: np.ndarray, least: float = 0.0) -> float:
    """Density of the deepest valley against the lower hump; the bandwidth is `least` at least."""
    n = int(counts.sum())
    values = np.repeat(levels, counts)
    low, high = np.quantile(values, [0.25, 0.75])
    width = 0.9 * min(float(values.std()), float(high - low) / 1.34 or np.inf) * n**-0.2
    width = max(width, least)
    edges = np.linspace(levels[0], levels[-1], GRID + 1)
    at = (edges[1:] + edges[:-1]) / 2
    inside = np.diff(_filled(levels, counts, edges))
    density = np.exp(-0.5 * np.square((at[:, None] - at) / width)) @ inside
    left, right = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    before = np.tril(np.maximum(density[None, :] - density[:, None], 0)).sum(axis=1) / density.sum()
    behind = np.triu(np.maximum(density[None, :] - density[:, None], 0)).sum(axis=1) / density.sum()
    between = (before >= SIDE) & (behind >= SIDE)
    if not between.any():
        return 1.0
    return float(np.min((density / np.minimum(left, right))[between]))


def _filled(levels: np.ndarray, counts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How many values lie below `at`, each spread half the way to the next ones, or over twice the nearer half."""
    half = np.diff(levels) / 2
    left, right = np.append(half[0], half), np.append(half, half[-1])
    most = FAR * np.minimum(left, right)
    ends = np.column_stack([levels - np.minimum(left, most), levels + np.minimum(right, most)]).ravel()
    total = np.cumsum(counts)
    return np.interp(at, ends, np.column_stack([total - counts, total]).ravel())
