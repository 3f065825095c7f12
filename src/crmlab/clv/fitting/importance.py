"""The default fit: Laplace approximation, Student-t importance sampling, Pareto-smoothed weights (PSIS).

Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto Smoothed Importance Sampling, JMLR 25(72). Never imports PyMC.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln, logsumexp, ndtri

from crmlab.clv.fitting.psis import smooth
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, Model

FREEDOM = 5
"""Degrees of freedom of the proposal: tails heavier than the posterior's."""

BATCH, MOST = 500, 4_000
ROUNDS = 4
GOOD_K, GOOD_SHARE = 0.5, 0.25
TARGET = 1_500
"""Effective draws at which no more are proposed."""

KERNELS = 50
"""Kernels of which a proposal that follows a bent posterior is mixed."""

FIRST_STEP = 1e-3
FARTHEST = 5
"""Standard deviations of the prior within which the mode is looked for: an unbounded first step can run away."""

LEAST_PRECISION = 0.1
"""The curvature of the log-posterior is taken to be at least this share of the prior's."""

Target = Callable[[np.ndarray], float]


@dataclass(frozen=True, eq=False)
class Weighted:
    """Weighted draws from a posterior.

    Attributes
    ----------
    theta
        (draws, coordinates).
    weights
        (draws,) Pareto-smoothed, sum 1.
    k_hat
        Shape of the weights' tail: above 0.7 the draws cannot be trusted.
    log_evidence
        Logarithm of the marginal likelihood.
    """

    theta: np.ndarray
    weights: np.ndarray
    k_hat: float
    log_evidence: float

    @property
    def ess(self) -> float:
        """Effective number of draws, 1 / Σ w²."""
        return float(1 / (self.weights**2).sum())


def log_likelihood(model: Model, history: pd.DataFrame) -> Target:
    """Log-likelihood of a history as a function of the coordinates (k,); −inf where it is not a number."""
    data, constants, names = model.collapsed(history), model.constants(history), list(model.priors)
    total = model.fast(data) if model.fast else _summed(model, data)

    def target(theta: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            value = total(model.natural(dict(zip(names, theta, strict=True)), constants, NUMPY))
        return float(value) if np.isfinite(value) else -np.inf

    return target


def log_posterior(model: Model, history: pd.DataFrame) -> Target:
    """Log-likelihood plus log-prior, with every constant, as a function of the coordinates (k,)."""
    likelihood = log_likelihood(model, history)
    mean, sd = np.array(list(model.priors.values()), dtype=float).T
    constant = -np.log(sd).sum() - len(sd) / 2 * np.log(2 * np.pi)
    return lambda theta: likelihood(theta) + constant - (((theta - mean) / sd) ** 2).sum() / 2


def sample(model: Model, history: pd.DataFrame, rng: np.random.Generator) -> Weighted:
    """Weighted draws of a model's coordinates.

    A proposal that fits badly is moved to the mean and covariance of the weighted draws; where even that leaves few
    effective draws, kernels around some of them take its place and follow the posterior's shape (population Monte
    Carlo: Cappé, Guillin, Marin & Robert 2004).
    """
    target = log_posterior(model, history)
    mean, sd = np.array(list(model.priors.values()), dtype=float).T
    centre, covariance = laplace(target, mean, sd)
    for _ in range(ROUNDS):
        found = propose(target, centre[None], covariance, rng, BATCH)
        if found.k_hat < GOOD_K and found.ess > GOOD_SHARE * BATCH:
            break
        centre, covariance = moments(found, covariance)
    found = propose(target, centre[None], covariance, rng, MOST)
    for _ in range(ROUNDS):
        if found.k_hat < GOOD_K and found.ess > GOOD_SHARE * len(found.weights):
            break
        centres, spread = resampled(found, KERNELS, rng), moments(found, covariance)[1]
        width = (4 / (KERNELS * (len(mean) + 2))) ** (2 / (len(mean) + 4))
        found = max(found, propose(target, centres, width * spread, rng, MOST), key=lambda w: (w.k_hat < 0.7, w.ess))
    return found


def propose(
    target: Target, centres: np.ndarray, covariance: np.ndarray, rng: np.random.Generator, most: int
) -> Weighted:
    """Draws from a mixture of multivariate Student-t, weighted by target over proposal; at most `most`, in batches.

    Parameters
    ----------
    target
        (k,) → value.
    centres, covariance
        (components, k) and, common to them, (k, k).
    rng, most
        Source of randomness; how many draws at most.
    """
    k = centres.shape[1]
    root = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(root)
    shape = gammaln((FREEDOM + k) / 2) - gammaln(FREEDOM / 2) - k / 2 * np.log(FREEDOM * np.pi)
    constant = shape - np.log(np.diag(root)).sum() - np.log(len(centres))
    thetas, ratios = np.empty((0, k)), np.empty(0)
    while len(ratios) < most:
        z = rng.normal(size=(BATCH, k)) / np.sqrt(rng.chisquare(FREEDOM, size=(BATCH, 1)) / FREEDOM)
        theta = centres[rng.integers(len(centres), size=BATCH)] + (z[:, None, :] * root).sum(axis=2)
        off = ((theta[:, None, None, :] - centres[:, None, :]) * inverse).sum(axis=3)
        density = constant + logsumexp(-(FREEDOM + k) / 2 * np.log1p((off**2).sum(axis=2) / FREEDOM), axis=1)
        ratio = np.array([target(t) for t in theta]) - density
        thetas, ratios = np.concatenate([thetas, theta]), np.concatenate([ratios, ratio])
        found = smoothed(thetas, ratios)
        if found.ess >= TARGET:
            break
    return found


def smoothed(theta: np.ndarray, log_ratios: np.ndarray) -> Weighted:
    """Pareto-smoothed weights of draws with these log importance ratios."""
    evidence = float(logsumexp(log_ratios) - np.log(len(log_ratios)))
    if not np.isfinite(evidence):
        return Weighted(theta, np.full(len(theta), 1 / len(theta)), np.inf, evidence)
    log_weights, k_hat = smooth(np.maximum(log_ratios, evidence - 700))
    weights = np.exp(log_weights - logsumexp(log_weights))
    return Weighted(theta, weights, float(k_hat), evidence)


def moments(found: Weighted, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of weighted draws; few effective draws leave the covariance nearer to what it was."""
    weights = found.weights[:, None]
    centre = (weights * found.theta).sum(axis=0)
    off = found.theta - centre
    spread = (weights[:, :, None] * off[:, :, None] * off[:, None, :]).sum(axis=0)
    trust = found.ess / (found.ess + 5 * len(centre))
    return centre, trust * spread + (1 - trust) * covariance


def resampled(found: Weighted, number: int, rng: np.random.Generator) -> np.ndarray:
    """(number, coordinates) draws of equal weight: systematic resampling, in random order."""
    places = (np.arange(number) + rng.random()) / number
    where = np.minimum(np.searchsorted(np.cumsum(found.weights), places), len(found.weights) - 1)
    return found.theta[rng.permutation(where)]


def effective(values: np.ndarray, weights: np.ndarray, interval: tuple[float, float]) -> tuple[float, float]:
    """Effective draws: variance at equal weights over ours, of the ranks (bulk), and the fewer for an interval's ends.

    Rank-normalised as for chains (Vehtari et al. 2021), since a heavy-tailed parameter has no mean worth estimating.
    """
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    scores = np.empty(len(values))
    scores[order] = ndtri(np.clip(below - weights[order] / 2, 1e-12, 1 - 1e-12))
    off = scores - (weights * scores).sum()
    error = ((weights * off) ** 2).sum()
    bulk = (weights * off**2).sum() / error if error > 0 else np.nan
    tails = []
    for share in interval:
        inside = values <= values[order][np.searchsorted(below, share)]
        tails.append(share * (1 - share) / ((weights * (inside - share)) ** 2).sum())
    return float(bulk), float(min(tails))


def laplace(target: Target, start: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mode of a log-density and the inverse of its negative Hessian there, by differences of values alone.

    Parameters
    ----------
    target
        (k,) → value.
    start
        (k,) where the search begins.
    scale
        (k,) standard deviations of the prior: the coordinates' units.

    Returns
    -------
    tuple
        mode (k,), covariance (k, k), positive definite.
    """
    from scipy.optimize import minimize  # a quarter of a second that no command should pay which fits no model

    at_start = target(start)

    def objective(z: np.ndarray) -> float:
        return min(at_start - target(start + scale * z), 1e12)

    def gradient(z: np.ndarray) -> np.ndarray:
        steps = 1e-4 * np.eye(len(z))
        return np.array([(objective(z + h) - objective(z - h)) / 2e-4 for h in steps])

    within, how = [(-FARTHEST, FARTHEST)] * len(start), {"gtol": 1e-3, "ftol": 1e-13}
    z = minimize(objective, np.zeros(len(start)), jac=gradient, method="L-BFGS-B", bounds=within, options=how).x
    steps = np.full(len(z), FIRST_STEP)
    for _ in range(2):  # the second time with steps of half a standard deviation of the posterior
        hessian = curvature(objective, z, steps)
        steps = 0.5 / np.sqrt(np.maximum(np.diag(hessian), 1.0))
    values, vectors = np.linalg.eigh(hessian)
    covariance = (vectors / np.maximum(values, LEAST_PRECISION)) @ vectors.T
    return start + scale * z, (covariance + covariance.T) / 2 * np.outer(scale, scale)


def curvature(function: Target, z: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Matrix of second derivatives by central differences."""
    k, at = len(z), function(z)
    moves = np.diag(steps)
    up, down = [function(z + h) for h in moves], [function(z - h) for h in moves]
    matrix = np.diag([(up[i] - 2 * at + down[i]) / steps[i] ** 2 for i in range(k)])
    for i in range(k):
        for j in range(i):
            both = function(z + moves[i] + moves[j]) + function(z - moves[i] - moves[j])
            mixed = (both - up[i] - down[i] - up[j] - down[j] + 2 * at) / (2 * steps[i] * steps[j])
            matrix[i, j] = matrix[j, i] = mixed
    return matrix


def _summed(model: Model, data: Arrays) -> Callable[..., float]:
    return lambda parameters: (data["weight"] * model.log_likelihood(parameters, data)).sum()
