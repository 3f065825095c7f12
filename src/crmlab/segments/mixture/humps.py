"""Traits that part customers by themselves: two humps with a valley between.

Clouds without classes keep every trait's own distribution, so two groups far apart in one trait would be found in the
clouds too; this is what sees them.
"""

import numpy as np

from crmlab.segments.mixture.em import Rows

ATOM = 0.2
"""Share of one value above which a trait is a spike and a rest (nothing bought, and how much): no humps."""
VALLEY = 0.5
"""Density of the valley against the lower hump, at most."""
SIDE = 0.05
"""Share of customers on each side, at least."""
GRID = 256


def parted(rows: Rows) -> int | None:
    """The number (its column) whose valley is deepest; None where none has two humps."""
    depths = [valley(x[np.isfinite(x)]) for x in rows.numbers.T]
    if not depths or min(depths) > VALLEY:
        return None
    return int(np.argmin(depths))


def valley(values: np.ndarray) -> float:
    """Density of the deepest valley against the lower of the humps beside it; 1 where there is none.

    The density is a Gaussian kernel's with Silverman's bandwidth [1986, equation 3.31].
    """
    n = len(values)
    if n < 20 or np.unique(values, return_counts=True)[1].max() > ATOM * n:
        return 1.0
    low, high = np.quantile(values, [0.25, 0.75])
    width = 0.9 * min(float(values.std()), float(high - low) / 1.34 or np.inf) * n**-0.2
    at = np.linspace(values.min(), values.max(), GRID)
    counts = np.histogram(values, bins=GRID, range=(at[0], at[-1]))[0]
    density = np.exp(-0.5 * np.square((at[:, None] - at) / width)) @ counts
    left, right = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    below = np.cumsum(counts) / n
    inside = (below >= SIDE) & (below <= 1 - SIDE)
    if not inside.any():
        return 1.0
    return float(np.min((density / np.minimum(left, right))[inside]))
