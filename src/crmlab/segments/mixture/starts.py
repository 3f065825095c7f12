"""Where EM begins: k-means from several seeds, a few steps each, the best one followed to its end."""

from collections.abc import Sequence

import numpy as np

from crmlab.segments.mixture.em import Rows, fit

LLOYD_STEPS = 12
FEW_STEPS = 4
FIRST_STEPS = 12
FOLLOWED = 3


def coordinates(rows: Rows) -> np.ndarray:
    """Numbers with 0, the middle, for the missing, and categories as columns of 0 and 1."""
    hot = [(rows.codes[:, [j]] == np.arange(n)).astype(float) for j, n in enumerate(rows.levels)]
    return np.hstack([np.where(np.isfinite(rows.numbers), rows.numbers, 0.0), *hot])


def centres(at: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """K rows of `at` (n, d) far from each other, as k-means++ draws them [Arthur and Vassilvitskii 2007]."""
    chosen = [int(rng.integers(len(at)))]
    nearest = np.full(len(at), np.inf)
    for _ in range(k - 1):
        nearest = np.minimum(nearest, np.square(at - at[chosen[-1]]).sum(axis=1))
        total = nearest.sum()
        chosen.append(int(np.searchsorted(np.cumsum(nearest), rng.random() * total)) if total > 0 else chosen[0])
    return at[np.minimum(chosen, len(at) - 1)]


def lloyd(at: np.ndarray, start: np.ndarray, *, steps: int = LLOYD_STEPS) -> tuple[np.ndarray, np.ndarray, float]:
    """k-means from `start` (k, d): centres, the nearest centre of each row (n,), and the sum of squares within."""
    now, squares = start, np.square(at).sum(axis=1)
    nearest = np.full(len(at), -1)
    for _ in range(steps):
        away = np.square(now).sum(axis=1) - 2 * at @ now.T
        last, nearest = nearest, away.argmin(axis=1)
        if (nearest == last).all():
            break
        hot = np.eye(len(now))[nearest]
        count = hot.sum(axis=0)
        now = np.where(count[:, None] > 0, hot.T @ at / np.maximum(count, 1)[:, None], now)
    away = np.square(now).sum(axis=1) - 2 * at @ now.T
    nearest = away.argmin(axis=1)
    return now, nearest, float((away[np.arange(len(at)), nearest] + squares).sum())


def responsibilities(rows: Rows, k: int, rng: np.random.Generator, *, starts: int) -> list[np.ndarray]:
    """Partitions to begin with, as responsibilities (n, k), one of k-means from each of several seeds."""
    at = coordinates(rows)
    return [np.eye(k)[lloyd(at, centres(at, k, rng))[1]] for _ in range(starts)]


def best_start(rows: Rows, begun: Sequence[np.ndarray], shape: str) -> np.ndarray:
    """The start whose likelihood is greatest after a few steps [Biernacki, Celeux and Govaert 2003]."""
    if len(begun) == 1:
        return begun[0]
    first = [fit(rows, start, shape, most_steps=FEW_STEPS) for start in begun]
    order = np.argsort([-round(f.log_likelihood, 9) for f in first], kind="stable")[:FOLLOWED]
    second = [fit(rows, first[i], shape, most_steps=FIRST_STEPS - FEW_STEPS).log_likelihood for i in order]
    return begun[order[int(np.argmax(np.round(second, 9)))]]
