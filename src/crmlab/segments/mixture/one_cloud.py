"""Are there classes at all, or one cloud? Held against clouds that have the same traits and no classes.

A mixture fits one skewed, heavy-tailed or box-shaped cloud better than a single Gaussian does; its likelihood alone
therefore finds classes everywhere. So the gain of the chosen mixture over one Gaussian is compared with its gain on
clouds drawn to have every trait's own distribution (its atoms and missing values too), the traits' rank correlations
and their tails' dependence, and nothing else: a t copula, the Gaussian one included [McNeil, Frey and Embrechts 2015,
section 7.3], that may lean to one side, calibrated where ties blur correlations.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, ndtri, stdtrit

from crmlab.segments.mixture.by_definition import strata
from crmlab.segments.mixture.em import Mixture, Rows, fit
from crmlab.segments.mixture.starts import best_start, coordinates, responsibilities

CLOUDS = 9
CALIBRATIONS = 4
FREEDOMS = (np.inf, 30.0, 15.0, 8.0, 5.0, 4.0, 3.0, 2.0)
STARTS = 3
STEEPEST = 3.0
BEYOND = 5.0
PART = 0.25
"""Of what classes gain over one Gaussian, the part that clouds do not gain, at least. Categories alone have no Gaussian
that takes their correlations: of them no part is asked."""
HOPELESS = 0.05
"""The same of two clouds, below which no more classes are tried."""


def gain(rows: Rows, classes: int, shape: str, rng: np.random.Generator) -> float:
    """Log likelihood a customer of so many classes above that of one Gaussian with any covariance."""
    start = best_start(rows, responsibilities(rows, classes, rng, starts=STARTS), shape)
    return fit(rows, start, shape, enough=1e-5).log_likelihood - one_gaussian(rows).log_likelihood


def beyond_clouds(
    rows: Rows, measure: Callable[[Rows, np.random.Generator], float], rng: np.random.Generator, *, part: float = 0.0
) -> float:
    """How far `measure` of `rows` lies above that of clouds, in their standard deviations; 0 where it is no further.

    No further: a cloud reaches it (the first one ends the search), it is less than five deviations above the mean, or
    less than a `part` of it is above the mean (clouds resemble the base, but not to the last detail).
    """
    own, others = measure(rows, rng), []
    for cloud in clouds(rows, rng):
        others.append(measure(cloud, rng))
        if others[-1] >= own:
            return 0.0
    middle = float(np.mean(others))
    away = (own - middle) / max(float(np.std(others, ddof=1)), 1e-9)
    return away if away > BEYOND and own - middle > part * own else 0.0


def hopeless(rows: Rows, classes: int, shape: str, rng: np.random.Generator) -> bool:
    """Whether two clouds gain (nearly) as much by so many classes."""
    own = gain(rows, classes, shape, rng)
    return own > 0 and np.mean([gain(c, classes, shape, rng) for c in clouds(rows, rng, 2)]) > (1 - HOPELESS) * own


def one_gaussian(rows: Rows) -> Mixture:
    """The mixture of one class."""
    return fit(rows, np.ones((len(rows), 1)), "full", most_steps=30, enough=1e-6)


def clouds(rows: Rows, rng: np.random.Generator, count: int = CLOUDS) -> Iterator[Rows]:
    """Bases without classes that resemble `rows`: the same margins exactly, the same rank correlations.

    Groups that definitions make (bought once) are drawn one by one, so that every cloud has them.
    """
    values = ordered(rows)
    group = strata(values, rows.numbers.shape[1])
    parts = [np.flatnonzero(group == g) for g in np.unique(group)]
    copulas = [_fitted(values[part], rng) for part in parts]
    for _ in range(count):
        drawn = np.empty_like(values)
        for part, copula in zip(parts, copulas, strict=True):
            drawn[part] = _draw(copula, rng)
        yield _back(rows, values, drawn)


def ordered(rows: Rows) -> np.ndarray:
    """Every column as one ordered number: levels along the axis in which the base varies most, missing at an end."""
    at = coordinates(rows)
    at = at - at.mean(axis=0)
    axis = at @ np.linalg.svd(at, full_matrices=False)[2][0]
    columns = []
    for x in rows.numbers.T:
        known = np.isfinite(x)
        if not known.all():
            rises = np.cov(x[known], axis[known])[0, 1] >= 0 if known.sum() > 1 else True
            end = 99.0 if (axis[~known].mean() >= axis[known].mean()) == rises else -99.0
            x = np.where(known, x, end)
        columns.append(x)
    for codes in rows.codes.T:
        means = {c: axis[codes == c].mean() for c in np.unique(codes)}
        place = {c: i for i, c in enumerate(sorted(means, key=lambda c: means[c]))}
        columns.append(np.array([place[c] for c in codes], dtype=float))
    return np.column_stack(columns)


def _back(rows: Rows, original: np.ndarray, values: np.ndarray) -> Rows:
    """Ordered numbers as rows again; `values` has the margins of `original`, which is `rows` in order."""
    d = rows.numbers.shape[1]
    numbers = np.where(np.abs(values[:, :d]) == 99.0, np.nan, values[:, :d])
    codes = np.zeros_like(rows.codes)
    for j in range(rows.codes.shape[1]):
        which, first = np.unique(original[:, d + j], return_index=True)
        codes[:, j] = rows.codes[first, j][np.searchsorted(which, values[:, d + j])]
    return Rows(numbers, codes, rows.levels)


def _uniform_scores(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ranks of each column between 0 and 1, ties in random order."""
    n, d = values.shape
    places = np.empty((n, d))
    for j in range(d):
        places[np.lexsort((rng.random(n), values[:, j])), j] = np.arange(n)
    return (places + 0.5) / n


def _freedom(uniform: np.ndarray, correlations: np.ndarray) -> float:
    """The likeliest degrees of freedom of a t copula, of a few; infinite is the Gaussian one."""
    d = uniform.shape[1]
    if d == 1:
        return np.inf
    root = _root(correlations)

    def likelihood(freedom: float) -> float:
        if np.isinf(freedom):
            x = ndtri(uniform)
            distance = np.square(np.linalg.solve(root, x.T)).sum(axis=0)
            return float(np.mean(0.5 * np.square(x).sum(axis=1) - 0.5 * distance))
        x = stdtrit(freedom, uniform)
        distance = np.square(np.linalg.solve(root, x.T)).sum(axis=0)
        joint = gammaln((freedom + d) / 2) + (d - 1) * gammaln(freedom / 2) - d * gammaln((freedom + 1) / 2)
        joint = joint - (freedom + d) / 2 * np.log1p(distance / freedom)
        return float(np.mean(joint + (freedom + 1) / 2 * np.log1p(x**2 / freedom).sum(axis=1)))

    return max(FREEDOMS, key=likelihood)


@dataclass(frozen=True)
class _Copula:
    """How the columns of a cloud hang together: `latent` correlations, tails' `freedom`, and `lean`.

    Rows are the more spread around the first `axis` the further they are along it, by `lean`: an exponential's or
    Clayton's dependence, where the low are alike and the high are not.
    """

    values: np.ndarray
    latent: np.ndarray
    axis: np.ndarray
    freedom: float
    lean: float = 0.0


def _fitted(values: np.ndarray, rng: np.random.Generator) -> _Copula:
    """The copula of a group of rows (n, d), calibrated until what is drawn has its rank correlations and lean."""
    d = values.shape[1]
    uniform = _uniform_scores(values, rng)
    scores = ndtri(uniform)
    wanted = np.corrcoef(scores, rowvar=False).reshape(d, d)
    axis = np.linalg.eigh(wanted)[1][:, -1]
    axis = axis * (1.0 if axis.sum() >= 0 else -1.0)
    lean = _lean(scores, axis)
    now = _Copula(np.sort(values, axis=0), wanted, axis, _freedom(uniform, wanted), lean)
    for _ in range(CALIBRATIONS):
        again = [ndtri(_uniform_scores(_draw(now, rng), rng)) for _ in range(4)]
        off = wanted - np.mean([np.corrcoef(s, rowvar=False).reshape(d, d) for s in again], axis=0)
        steeper = float(np.clip(now.lean + lean - np.mean([_lean(s, axis) for s in again]), -STEEPEST, STEEPEST))
        now = replace(now, latent=now.latent + off, lean=steeper)
    return now


def _lean(scores: np.ndarray, axis: np.ndarray) -> float:
    """Rise of the logarithm of the spread around the axis with one standard deviation along it."""
    along = scores @ axis
    around = np.square(scores - along[:, None] * axis).sum(axis=1)
    along = along - along.mean()
    return float(along @ np.log(around + 1e-3) / max(along @ along, 1e-9) * along.std())


def _draw(copula: _Copula, rng: np.random.Generator) -> np.ndarray:
    """One cloud: a t distribution that leans, then the margins by rank."""
    n, d = copula.values.shape
    at = rng.normal(size=(n, d)) @ _root(copula.latent).T
    if np.isfinite(copula.freedom):
        at /= np.sqrt(rng.chisquare(copula.freedom, (n, 1)) / copula.freedom)
    along = at @ copula.axis
    spread = np.exp(0.5 * copula.lean * np.clip(along / max(float(along.std()), 1e-9), -4, 4))
    at = along[:, None] * copula.axis + (at - along[:, None] * copula.axis) * spread[:, None]
    places = at.argsort(axis=0).argsort(axis=0)
    return np.take_along_axis(copula.values, places, axis=0)


def _root(correlations: np.ndarray) -> np.ndarray:
    """A lower triangle whose square is the nearest matrix that is a correlation matrix."""
    values, vectors = np.linalg.eigh((correlations + correlations.T) / 2)
    near = (vectors * np.maximum(values, 1e-5)) @ vectors.T
    scale = np.sqrt(np.diag(near))
    return np.linalg.cholesky(near / scale[:, None] / scale[None, :])
