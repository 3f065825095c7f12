"""How many classes: the likelihood of customers a mixture was not fitted to."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crmlab.segments.mixture.em import SHAPES, Mixture, Rows, fit, parameters, score
from crmlab.segments.mixture.starts import best_start, responsibilities

FOLDS = 5
STARTS = 8
FOLD_STEPS = 60
ROWS_A_PARAMETER = 3
PATIENCE = 2


@dataclass(frozen=True)
class Tried:
    """One number of classes and shape of covariances: the fit to everybody, and each row's log likelihood held out."""

    classes: int
    shape: str
    mixture: Mixture
    held_out: np.ndarray

    @property
    def mean(self) -> float:
        """Held-out log likelihood a customer."""
        return float(self.held_out.mean())


def tried(
    rows: Rows, *, most: int, rng: np.random.Generator, enough: Callable[[list[Tried]], bool] = lambda found: False
) -> list[Tried]:
    """Every shape with 1, 2, … classes, until two more classes bring nothing; shapes with too many numbers left out.

    Parameters
    ----------
    rows
        Customers, in an order that does not depend on how they came.
    most
        Most classes.
    rng
        Draws folds and starts.
    enough
        Asked after each number of classes whether to end there.
    """
    folds = rng.permutation(len(rows)) % FOLDS
    found: list[Tried] = []
    for k in range(1, most + 1):
        begun = responsibilities(rows, k, rng, starts=STARTS if k > 1 else 1)
        for shape in SHAPES:
            if _pointless(rows, k, shape):
                continue
            start = best_start(rows, begun, shape)
            whole = fit(rows, start, shape, enough=1e-4)
            found.append(Tried(k, shape, whole, _held_out(rows, start, shape, folds)))
        best = max(found, key=lambda t: t.mean)
        if k - best.classes >= PATIENCE or enough(found):
            break
    return found


def _pointless(rows: Rows, k: int, shape: str) -> bool:
    d = rows.numbers.shape[1]
    if shape == "tied" and k == 1:  # the same as full
        return True
    if shape != "diagonal" and d < 2:
        return True
    free = {"diagonal": 0, "tied": d * d / 2, "full": k * d * d / 2}[shape] + k * (d + sum(rows.levels))
    return k > 1 and free * ROWS_A_PARAMETER > len(rows)


def _held_out(rows: Rows, start: np.ndarray, shape: str, folds: np.ndarray) -> np.ndarray:
    """Log likelihood of each row under the mixture of the other folds, begun from the same partition."""
    each = np.zeros(len(rows))
    for fold in range(FOLDS):
        out = folds == fold
        without = fit(rows.take(~out), start[~out], shape, most_steps=FOLD_STEPS, enough=1e-4)
        each[out] = score(without, rows.take(out))
    return each


def smallest_as_good(found: list[Tried]) -> Tried:
    """The fewest classes whose held-out likelihood is within one paired standard error of the best."""
    best = max(found, key=lambda t: t.mean)

    def as_good(one: Tried) -> bool:
        away = best.held_out - one.held_out
        return bool(away.mean() <= away.std(ddof=1) / np.sqrt(len(away)))

    good = [t for t in found if as_good(t)]
    fewest = min(t.classes for t in good)
    return max((t for t in good if t.classes == fewest), key=lambda t: (t.mean, -parameters(t.mixture)))
