"""Sampling segments that share a common distribution, by Gibbs steps that are nearly independent draws.

Coordinate k of segment s is θ_sk = μ_k + τ_k z_sk, with z_sk ~ Normal(0, 1), μ_k ~ the model's prior of that
coordinate and τ_k half-normal (`expansion.WIDEST`). Each segment's log-likelihood is expanded to second order around
its mode, L̃_s(θ) = b_s'θ − θ'P_sθ/2, so that under L̃ the conditional distributions are Normal. A sweep proposes from
them, with the tails of a Student-t, and accepts by the likelihood itself (Metropolis & Hastings): the expansion
decides how fast it is, never what it finds. It alternates between the non-centred and the centred form, of which one
mixes where segments are small and the other where they are large [Yu & Meng 2011, To Center or Not to Center, JCGS
20(3), 531–570]:

1. z_s | μ, τ: each segment by itself, Normal under L̃;
2. μ, τ | z: θ_s is linear in both, so jointly Normal under L̃ (τ of either sign, as its prior is symmetric there);
3. μ | θ, τ: Normal; τ_k² | θ, μ: inverse gamma times the half-normal prior. These need no likelihood.

Never imports PyMC.
"""

from dataclasses import dataclass

import numpy as np

from crmlab.clv.fitting.expansion import LogLikelihood, Normals, Prior

FREEDOM = 8
"""Degrees of freedom of the proposals: tails heavier than the prior's, so that no region is out of reach."""

TUNE = 100
"""Sweeps left out at the start."""


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of the common distribution and of each segment's coordinates.

    Attributes
    ----------
    mu, tau
        (chains, draws, k).
    theta
        (chains, draws, segments, k).
    accepted
        (segments + 1,) share of proposals that were accepted: each segment's and, last, those of μ and τ.
    divergences
        Divergent transitions, of chains sampled by NUTS.
    """

    mu: np.ndarray
    tau: np.ndarray
    theta: np.ndarray
    accepted: np.ndarray
    divergences: int = 0


@dataclass(frozen=True, eq=False)
class _State:
    """mu, tau (chains, k), z (chains, segments, k), log-likelihoods (chains, segments)."""

    mu: np.ndarray
    tau: np.ndarray
    z: np.ndarray
    fit: np.ndarray

    @property
    def theta(self) -> np.ndarray:
        return self.mu[:, None] + self.tau[:, None] * self.z


def gibbs(
    evaluate: LogLikelihood,
    normals: Normals,
    prior: Prior,
    rng: np.random.Generator,
    *,
    chains: int,
    draws: int,
    thin: int,
) -> Chains:
    """Sample the hierarchical posterior: of every `thin` sweeps one is kept.

    Parameters
    ----------
    evaluate
        Segments' log-likelihoods: (points, segments, k) → (points, segments).
    normals
        Their expansion, and where it was made: the chains start around there.
    prior
        Of μ and τ.
    """
    mu = normals.mu + normals.tau * rng.normal(size=(chains, len(normals.mu)))
    tau = normals.tau * np.exp(rng.normal(size=mu.shape) / 2)
    z = (normals.theta - mu[:, None]) / tau[:, None]
    state = _State(mu, tau, z, evaluate(mu[:, None] + tau[:, None] * z))
    kept, accepted = [], np.zeros(len(normals.b) + 1)
    for sweep in range(-TUNE, draws * thin):
        state, each = _segments(evaluate, normals, state, rng)
        state, jointly = _common(evaluate, normals, prior, state, rng)
        state = _centred(prior, state, rng)
        if sweep >= 0:
            accepted += np.append(each.mean(axis=0), jointly.mean()) / (draws * thin)
            if (sweep + 1) % thin == 0:
                kept.append(state)
    mu, tau, theta = (np.stack([getattr(s, name) for s in kept], axis=1) for name in ("mu", "tau", "theta"))
    return Chains(mu, tau, theta, accepted)


def apart(
    evaluate: LogLikelihood,
    normals: Normals,
    prior: Prior,
    rng: np.random.Generator,
    *,
    chains: int,
    draws: int,
) -> np.ndarray:
    """Each segment by itself under the model's own prior, nothing shared: (chains, draws, segments, k)."""
    mu, tau = (np.tile(p, (chains, 1)) for p in (prior.mean, prior.sd))
    z = (normals.theta - mu[:, None]) / tau[:, None]
    state, kept = _State(mu, tau, z, evaluate(mu[:, None] + tau[:, None] * z)), []
    for sweep in range(-TUNE, draws):
        state, _ = _segments(evaluate, normals, state, rng)
        if sweep >= 0:
            kept.append(state.theta)
    return np.stack(kept, axis=1)


def borrowed(normals: Normals, tau: np.ndarray) -> np.ndarray:
    """Share of each segment's estimate that comes from the common distribution, mean over coordinates and draws.

    Under L̃ the estimate is (P + τ⁻²)⁻¹(P θ̂ + τ⁻² μ): the diagonal of the common mean's weight, (P + τ⁻²)⁻¹τ⁻². One
    coordinate gives the shrinkage factor B of Efron & Morris (1975).

    Parameters
    ----------
    normals
        The expansion.
    tau
        (draws, k).

    Returns
    -------
    numpy.ndarray
        (segments,), within [0, 1].
    """
    scaled = tau[:, None, :, None] * normals.P * tau[:, None, None, :] + np.eye(tau.shape[1])
    return np.diagonal(np.linalg.inv(scaled), axis1=-2, axis2=-1).mean(axis=(0, 2))


def _segments(evaluate: LogLikelihood, normals: Normals, at: _State, rng: np.random.Generator) -> tuple:
    """Z given μ and τ."""
    mu, tau = at.mu[:, None], at.tau[:, None]
    precision = tau[..., :, None] * normals.P * tau[..., None, :] + np.eye(mu.shape[-1])
    z, ratio = _proposed(at.z, precision, tau * (normals.b - _times(normals.P, mu)), rng)
    fit = evaluate(mu + tau * z)
    ratio += fit - at.fit - ((z**2).sum(axis=-1) - (at.z**2).sum(axis=-1)) / 2
    taken = np.log(rng.random(ratio.shape)) < ratio
    return _State(at.mu, at.tau, np.where(taken[..., None], z, at.z), np.where(taken, fit, at.fit)), taken


def _common(evaluate: LogLikelihood, normals: Normals, prior: Prior, at: _State, rng: np.random.Generator) -> tuple:
    """μ and τ given z."""
    k = at.mu.shape[1]
    mean = np.append(prior.mean, np.zeros(k))
    precision = 1 / np.append(prior.sd, prior.spread) ** 2
    P, b, z = normals.P, normals.b, at.z
    corner = (P * z[..., None, :]).sum(axis=1)
    both = (z[..., :, None] * P * z[..., None, :]).sum(axis=1)
    whole = np.broadcast_to(P.sum(axis=0), both.shape)
    total = np.block([[whole, corner], [np.swapaxes(corner, -1, -2), both]]) + np.diag(precision)
    linear = np.concatenate([np.broadcast_to(b.sum(axis=0), at.mu.shape), (z * b).sum(axis=1)], axis=-1)
    old = np.concatenate([at.mu, at.tau], axis=-1)
    new, ratio = _proposed(old, total, linear + mean * precision, rng)
    mu, tau = new[:, :k], new[:, k:]
    fit = evaluate(mu[:, None] + tau[:, None] * z)
    ratio += fit.sum(axis=1) - at.fit.sum(axis=1)
    ratio += (((old - mean) ** 2 - (new - mean) ** 2) * precision).sum(axis=-1) / 2
    taken = (np.log(rng.random(ratio.shape)) < ratio)[:, None]
    mu, tau = np.where(taken, mu, at.mu), np.where(taken, tau, at.tau)
    return _State(mu, np.abs(tau), z * np.sign(tau)[:, None], np.where(taken, fit, at.fit)), taken


def _centred(prior: Prior, at: _State, rng: np.random.Generator) -> _State:
    """μ, then τ, given θ."""
    theta, segments = at.theta, at.z.shape[1]
    precision = segments / at.tau**2 + 1 / prior.sd**2
    centre = (theta.sum(axis=1) / at.tau**2 + prior.mean / prior.sd**2) / precision
    mu = centre + rng.normal(size=centre.shape) / np.sqrt(precision)
    squares = ((theta - mu[:, None]) ** 2).sum(axis=1)
    drawn = squares / 2 / rng.gamma((segments - 1) / 2, size=squares.shape)
    taken = np.log(rng.random(drawn.shape)) < (at.tau**2 - drawn) / (2 * prior.spread**2)
    tau = np.where(taken, np.sqrt(drawn), at.tau)
    return _State(mu, tau, (theta - mu[:, None]) / tau[:, None], at.fit)


def _proposed(old: np.ndarray, precision: np.ndarray, linear: np.ndarray, rng: np.random.Generator) -> tuple:
    """A Student-t draw around the Normal of this precision and precision × mean; log q(old) − log q(new)."""
    k = old.shape[-1]
    root = np.linalg.cholesky(precision)
    upper = np.swapaxes(root, -1, -2)
    centre = _solved(precision, linear)
    away = rng.normal(size=old.shape) / np.sqrt(rng.chisquare(FREEDOM, size=(*old.shape[:-1], 1)) / FREEDOM)
    back = _times(upper, old - centre)
    ratio = np.log1p((away**2).sum(axis=-1) / FREEDOM) - np.log1p((back**2).sum(axis=-1) / FREEDOM)
    return centre + _solved(upper, away), (FREEDOM + k) / 2 * ratio


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (matrices * vectors[..., None, :]).sum(axis=-1)


def _solved(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrices, vectors[..., None])[..., 0]
