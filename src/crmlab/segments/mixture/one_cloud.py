"""Are there classes at all, or one cloud? Held against clouds that have the same traits and no classes.

A mixture fits one skewed, heavy-tailed or box-shaped cloud better than a single Gaussian does; its likelihood alone
therefore finds classes everywhere. So the gain of the chosen mixture over one Gaussian is compared with its gain on
clouds drawn to have every trait's own distribution (its atoms and missing values too), the traits' rank correlations
and their tails' dependence, and nothing else: a t copula, the Gaussian one included [McNeil, Frey and Embrechts 2015,
section 7.3], calibrated where ties blur correlations.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import gammaln, ndtri, stdtrit

from crmlab.segments.mixture.em import Mixture, Rows, fit
from crmlab.segments.mixture.starts import best_start, coordinates, responsibilities

CLOUDS = 19
CALIBRATIONS = 4
FREEDOMS = (np.inf, 30.0, 15.0, 8.0, 5.0, 4.0, 3.0, 2.0)
STARTS = 3
BEYOND = 3.0


def gain(rows: Rows, classes: int, shape: str, rng: np.random.Generator) -> float:
    """Log likelihood a customer of so many classes above that of one Gaussian with any covariance."""
    start = best_start(rows, responsibilities(rows, classes, rng, starts=STARTS), shape)
    return fit(rows, start, shape, enough=1e-5).log_likelihood - one_gaussian(rows).log_likelihood


def beyond_clouds(rows: Rows, measure: Callable[[Rows, np.random.Generator], float], rng: np.random.Generator) -> float:
    """How far `measure` of `rows` lies above that of clouds, in their standard deviations; 0 where it is no further.

    No further: a cloud reaches it (the first one ends the search), or it is less than three deviations above the mean.
    """
    own, others = measure(rows, rng), []
    for cloud in clouds(rows, rng):
        others.append(measure(cloud, rng))
        if others[-1] >= own:
            return 0.0
    away = (own - float(np.mean(others))) / max(float(np.std(others, ddof=1)), 1e-9)
    return away if away > BEYOND else 0.0


def one_gaussian(rows: Rows) -> Mixture:
    """The mixture of one class."""
    return fit(rows, np.ones((len(rows), 1)), "full", most_steps=30, enough=1e-6)


def clouds(rows: Rows, rng: np.random.Generator, count: int = CLOUDS) -> Iterator[Rows]:
    """Bases without classes that resemble `rows`: the same margins exactly, the same rank correlations."""
    values = _ordered(rows)
    d = values.shape[1]
    sorted_values = np.sort(values, axis=0)
    uniform = _uniform_scores(values, rng)
    wanted = np.corrcoef(ndtri(uniform), rowvar=False).reshape(d, d)
    freedom = _freedom(uniform, wanted)
    latent = wanted.copy()
    for _ in range(CALIBRATIONS):
        got = np.mean([_correlations(_draw(latent, freedom, sorted_values, rng), rng) for _ in range(4)], axis=0)
        latent = latent + wanted - got
    for _ in range(count):
        yield _back(rows, _draw(latent, freedom, sorted_values, rng))


def _ordered(rows: Rows) -> np.ndarray:
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


def _back(rows: Rows, values: np.ndarray) -> Rows:
    """Ordered numbers as rows again; `values` has the margins of `rows`."""
    d = rows.numbers.shape[1]
    original = _ordered(rows)
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


def _correlations(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    d = values.shape[1]
    return np.corrcoef(ndtri(_uniform_scores(values, rng)), rowvar=False).reshape(d, d)


def _draw(latent: np.ndarray, freedom: float, sorted_values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One cloud: a t distribution, then the margins by rank."""
    n, d = sorted_values.shape
    at = rng.normal(size=(n, d)) @ _root(latent).T
    if np.isfinite(freedom):
        at /= np.sqrt(rng.chisquare(freedom, (n, 1)) / freedom)
    places = at.argsort(axis=0).argsort(axis=0)
    return np.take_along_axis(sorted_values, places, axis=0)


def _root(correlations: np.ndarray) -> np.ndarray:
    """A lower triangle whose square is the nearest matrix that is a correlation matrix."""
    values, vectors = np.linalg.eigh((correlations + correlations.T) / 2)
    near = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    scale = np.sqrt(np.diag(near))
    return np.linalg.cholesky(near / scale[:, None] / scale[None, :])
