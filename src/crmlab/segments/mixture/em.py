"""Expectation and maximisation of a mixture of Gaussians times independent categories [McLachlan and Peel 2000].

Within a class numbers are Gaussian, with a covariance of its own (``full``), a diagonal one, or one that all classes
share (``tied``), and categories are independent of each other and of the numbers (latent class analysis). What is
missing is left out of the density (E step) and expected from the rest of the row (M step), as for values missing at
random [Little and Rubin 2002].
"""

from dataclasses import dataclass, replace

import numpy as np

from crmlab.contract import mark

SHAPES = (mark("diagonal"), mark("tied"), mark("full"))
FLOOR = 1e-2
"""Added to variances, in squared units of the whole base's sd: no class collapses onto one value."""


@dataclass(frozen=True)
class Rows:
    """Customers as arrays: `numbers` (n, d), NaN missing; `codes` (n, c), levels 0, 1, …, −1 missing; `levels` (c,)."""

    numbers: np.ndarray
    codes: np.ndarray
    levels: tuple[int, ...] = ()

    @classmethod
    def of(cls, numbers: np.ndarray, codes: np.ndarray | None = None, levels: tuple[int, ...] = ()) -> "Rows":
        """Rows of numbers, and of categories where there are any."""
        codes = np.zeros((len(numbers), 0), dtype=np.int64) if codes is None else codes
        return cls(numbers, codes, levels)

    def take(self, where: np.ndarray) -> "Rows":
        """The rows of an index or a mask."""
        return Rows(self.numbers[where], self.codes[where], self.levels)

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture of K classes.

    `weights` (K,), `means` (K, d), `covariances` (K, d, d), or (K, d) of variances where `shape` is ``diagonal``;
    `shares`, one array (K, levels) a category; `log_likelihood`, a row, at the last E step.
    """

    shape: str
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    shares: tuple[np.ndarray, ...]
    log_likelihood: float = np.nan

    @property
    def classes(self) -> int:
        """How many classes."""
        return len(self.weights)


def fit(
    rows: Rows,
    start: np.ndarray | Mixture,
    shape: str,
    *,
    most_steps: int = 120,
    enough: float = 1e-6,
    floor: float = FLOOR,
) -> Mixture:
    """A mixture by EM from one start.

    Parameters
    ----------
    rows
        What it is fitted to.
    start
        Responsibilities (n, K) to begin with, or a mixture.
    shape
        Covariances: ``diagonal``, ``tied`` or ``full``.
    most_steps, enough
        The end: so many steps, or a log likelihood a row that rises by less.
    floor
        Added to every variance.
    """
    known = _Known.of(rows, shape)
    now = start if isinstance(start, Mixture) else maximised(known, start, None, shape, floor)
    for _ in range(most_steps):
        probabilities, total = shared(log_densities(now, known))
        last, now = now.log_likelihood, replace(now, log_likelihood=float(total.mean()))
        if now.log_likelihood - last < enough:
            break
        now = replace(maximised(known, probabilities, now, shape, floor), log_likelihood=now.log_likelihood)
    return now


def score(mixture: Mixture, rows: Rows) -> np.ndarray:
    """Log likelihood of each row (n,)."""
    return shared(log_densities(mixture, _Known.of(rows, mixture.shape)))[1]


def probabilities(mixture: Mixture, rows: Rows) -> np.ndarray:
    """Probability of each class for each row (n, K)."""
    return shared(log_densities(mixture, _Known.of(rows, mixture.shape)))[0]


def parameters(mixture: Mixture) -> int:
    """How many numbers are free in it."""
    k, d = mixture.means.shape
    free = {"diagonal": k * d, "tied": d * (d + 1) // 2, "full": k * d * (d + 1) // 2}[mixture.shape]
    return k - 1 + k * d + free + sum(k * (s.shape[1] - 1) for s in mixture.shares)


@dataclass(frozen=True)
class _Known:
    """Rows made ready: numbers with 0 for the missing, the mask of the known, rows of each pattern of missingness."""

    filled: np.ndarray
    squares: np.ndarray
    mask: np.ndarray
    patterns: tuple[tuple[np.ndarray, np.ndarray | slice], ...]
    hot: tuple[np.ndarray, ...]
    whole: bool

    @classmethod
    def of(cls, rows: Rows, shape: str) -> "_Known":
        known = np.isfinite(rows.numbers)
        filled = np.where(known, rows.numbers, 0.0)
        patterns: tuple = ()
        if known.all():
            patterns = ((np.ones(known.shape[1], dtype=bool), slice(None)),)
        elif shape != "diagonal":
            kinds, which = np.unique(known, axis=0, return_inverse=True)
            patterns = tuple((kind, np.flatnonzero(which.ravel() == i)) for i, kind in enumerate(kinds))
        hot = tuple((rows.codes[:, [j]] == np.arange(n)).astype(float) for j, n in enumerate(rows.levels))
        return cls(filled, filled**2, known.astype(float), patterns, hot, bool(known.all()))


def shared(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted log densities (n, K) → probabilities (n, K) and the log likelihood of each row (n,)."""
    top = logs.max(axis=1, keepdims=True)
    each = np.exp(logs - top)
    total = each.sum(axis=1, keepdims=True)
    return each / total, (np.log(total) + top)[:, 0]


def log_densities(m: Mixture, known: _Known) -> np.ndarray:
    """Log weight + log density of the known values of each row in each class (n, K)."""
    logs = np.tile(np.log(m.weights), (len(known.filled), 1))
    for hot, shares in zip(known.hot, m.shares, strict=True):
        logs += hot @ np.log(shares).T
    if m.shape == "diagonal":
        ratio = m.means / m.covariances
        constant = m.means * ratio + np.log(m.covariances) + np.log(2 * np.pi)
        fixed = constant.sum(axis=1) if known.whole else known.mask @ constant.T
        return logs - 0.5 * (known.squares @ (1 / m.covariances).T - 2 * known.filled @ ratio.T + fixed)
    for kind, where in known.patterns:
        if not kind.any():
            continue
        k, d = m.classes, int(kind.sum())
        lower = np.linalg.cholesky(m.covariances[: 1 if m.shape == "tied" else k][:, kind][:, :, kind])
        inverse = np.linalg.inv(lower)
        halves = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        if m.shape == "tied":
            turned, at = known.filled[where][:, kind] @ inverse[0].T, m.means[:, kind] @ inverse[0].T
            distance = np.square(turned).sum(axis=1)[:, None] - 2 * turned @ at.T + np.square(at).sum(axis=1)
            logs[where] -= 0.5 * (distance + d * np.log(2 * np.pi)) + halves
            continue
        turned = known.filled[where][:, kind] @ inverse.reshape(k * d, d).T
        turned -= np.einsum("kij,kj->ki", inverse, m.means[:, kind]).reshape(k * d)
        distance = np.square(turned).reshape(-1, k, d).sum(axis=2)
        logs[where] -= 0.5 * (distance + d * np.log(2 * np.pi)) + halves
    return logs


def maximised(known: _Known, r: np.ndarray, last: Mixture | None, shape: str, floor: float) -> Mixture:
    """The mixture of greatest likelihood given responsibilities (n, K); missing values are expected under `last`."""
    count = r.sum(axis=0) + 10 * np.finfo(float).eps
    shares = tuple(_shares(hot, r) for hot in known.hot)
    if shape == "tied" and known.whole:
        means, spread = _tied(known, r, count)
    else:
        moments = _diagonal if shape == "diagonal" else _squares
        means, spread = moments(known, r, count, last)
    if shape == "tied" and not known.whole:
        spread = np.repeat((spread * count[:, None, None]).sum(axis=0, keepdims=True) / count.sum(), len(count), axis=0)
    spread = np.maximum(spread, 0) + floor if shape == "diagonal" else spread + floor * np.eye(spread.shape[-1])
    return Mixture(shape, count / count.sum(), means, spread, shares)


def _shares(hot: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Shares of the levels in each class, with one customer of the whole base added to each."""
    all_told = (hot.sum(axis=0) + 0.5) / (hot.sum() + 0.5 * hot.shape[1])
    inside = r.T @ hot + all_told
    return inside / inside.sum(axis=1, keepdims=True)


def _diagonal(known: _Known, r: np.ndarray, count: np.ndarray, last: Mixture | None) -> tuple[np.ndarray, np.ndarray]:
    first, second = r.T @ known.filled, r.T @ known.squares
    if not known.whole:
        here = r.T @ known.mask
        unknown = np.maximum(count[:, None] - here, 0)
        at, width = (last.means, last.covariances) if last else _marginal(known)
        first, second = first + unknown * at, second + unknown * (at**2 + width)
    means = first / count[:, None]
    return means, second / count[:, None] - means**2


def _squares(known: _Known, r: np.ndarray, count: np.ndarray, last: Mixture | None) -> tuple[np.ndarray, np.ndarray]:
    k, d = r.shape[1], known.filled.shape[1]
    if last is None and not known.whole:
        at, width = _marginal(known)
        last = Mixture("full", count, np.tile(at, (k, 1)), np.tile(np.diag(width[0]), (k, 1, 1)), ())
    first, second = np.zeros((k, d)), np.zeros((k, d, d))
    for kind, where in known.patterns:
        x, weights = known.filled[where], r[where]
        for i in range(k):
            full = x
            if not kind.all():
                full, left = _expected(x, kind, last.means[i], last.covariances[i])
                second[i] += left * weights[:, i].sum()
            heavy = full * weights[:, i, None]
            first[i] += heavy.sum(axis=0)
            second[i] += heavy.T @ full
    means = first / count[:, None]
    return means, second / count[:, None, None] - means[:, :, None] * means[:, None, :]


def _tied(known: _Known, r: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means, and the one covariance (K times), of rows of which nothing is missing."""
    means = (r.T @ known.filled) / count[:, None]
    inside = known.filled.T @ known.filled - (means * count[:, None]).T @ means
    return means, np.repeat(inside[None] / count.sum(), len(count), axis=0)


def _expected(
    x: np.ndarray, kind: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the expectation of what is missing given the rest, and the covariance that is left in it."""
    there, gone = np.flatnonzero(kind), np.flatnonzero(~kind)
    cross = covariance[np.ix_(gone, there)]
    slope = np.linalg.solve(covariance[np.ix_(there, there)], cross.T).T if len(there) else np.zeros((len(gone), 0))
    full = x.copy()
    full[:, gone] = mean[gone] + (x[:, there] - mean[there]) @ slope.T
    left = np.zeros_like(covariance)
    left[np.ix_(gone, gone)] = covariance[np.ix_(gone, gone)] - slope @ cross.T
    return full, left


def _marginal(known: _Known) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (1, d) of the known values."""
    here = np.maximum(known.mask.sum(axis=0, keepdims=True), 1)
    at = known.filled.sum(axis=0, keepdims=True) / here
    return at, np.maximum(known.squares.sum(axis=0, keepdims=True) / here - at**2, 1e-6)
