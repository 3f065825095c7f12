"""k-means: how many centres, by prediction strength [Tibshirani and Walther 2005], and their fit."""

from collections.abc import Callable

import numpy as np

from crmlab.segments.mixture.em import Rows
from crmlab.segments.mixture.starts import centres, coordinates, lloyd

STARTS = 8
STEPS = 100
HALVES = 5
FIRST = 2
HOPELESS = 0.55
STRONG = 0.8
"""Prediction strength above which so many classes are well predicted [section 3 of the paper: .8 to .9]."""


def nearest_fit(rows: Rows, k: int, rng: np.random.Generator, *, starts: int = STARTS) -> tuple[np.ndarray, np.ndarray]:
    """Centres (k, d) and classes (n,) of least squares within, of several starts."""
    at = coordinates(rows)
    found = [lloyd(at, centres(at, k, rng), steps=STEPS) for _ in range(starts)]
    best = min(found, key=lambda f: round(f[2], 6))
    return best[0], best[1]


def prediction_strengths(rows: Rows, most: int, rng: np.random.Generator) -> np.ndarray:
    """Prediction strength of 1, 2, …, `most` classes (most,), mean over random halves.

    Of the worst class of one half: the share of its pairs of customers that the centres of the other half put
    together, too [equation 2.1]. Where it is below .55 in the first two halves, there are no more.
    """
    strengths = np.full((HALVES, most), np.nan)
    strengths[:, 0] = 1.0
    for h in range(HALVES):
        half = rng.permutation(len(rows)) % 2 == 0
        learn, test = rows.take(half), rows.take(~half)
        at = coordinates(test)
        for k in range(2, most + 1):
            if h >= FIRST and strengths[:h, k - 1].mean() < HOPELESS:
                continue
            there, _ = nearest_fit(learn, k, rng, starts=3)
            _, own = nearest_fit(test, k, rng, starts=3)
            strengths[h, k - 1] = _strength(own, lloyd(at, there, steps=0)[1], k)
    return np.nanmean(strengths, axis=0)


def _strength(own: np.ndarray, other: np.ndarray, k: int) -> float:
    both = np.zeros((k, k))
    np.add.at(both, (own, other), 1.0)
    size = both.sum(axis=1)
    together = (both * (both - 1)).sum(axis=1)
    pairs = size * (size - 1)
    return float(np.where(pairs > 0, together / np.maximum(pairs, 1), 0.0).min())


def nearest_again(rows: Rows, k: int) -> Callable[[Rows, np.random.Generator], np.ndarray]:
    """Fits k centres to a sample, and classifies all rows."""

    def again(sample: Rows, rng: np.random.Generator) -> np.ndarray:
        there, _ = nearest_fit(sample, k, rng, starts=3)
        return lloyd(coordinates(rows), there, steps=0)[1]

    return again


def compactness(rows: Rows, k: int, rng: np.random.Generator) -> float:
    """How much smaller k classes make the squares within: half the gap of Tibshirani, Walther and Hastie [2001]."""
    at = coordinates(rows)
    inside = min(lloyd(at, centres(at, k, rng), steps=STEPS)[2] for _ in range(3))
    return float(np.log(np.square(at - at.mean(axis=0)).sum()) - np.log(max(inside, 1e-12)))
