"""Numbers behind the beliefs: rates and effects of segments that borrow from one another, as posterior draws.

All integrals over the population of segments are done on a grid, so there is no sampler to converge; draws come from
the generator that is passed in.
"""

import numpy as np
from scipy.special import betaln, expit

SPREADS = np.linspace(0.01, 0.7, 70)
"""Grid of κ^(−1/2), κ the weight of the population of segments in customers: from 10,000 down to 2."""


def rate_draws(
    y: np.ndarray, n: np.ndarray, *, mean: float, strength: float, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Posterior draws of the rates of segments, Beta-Binomial with an unknown population of segments.

    y_s ~ Binomial(n_s, p_s), p_s ~ Beta(μκ, (1−μ)κ) [Gelman et al., BDA3, section 5.3]; κ^(−1/2) uniform as there,
    μ ~ Beta(mean · strength, (1 − mean) · strength). μ and κ are integrated over, not fixed at their best values, so
    few segments give wide rates. A segment with n_s = 0 is drawn from the population.

    Parameters
    ----------
    y, n
        Responses and contacts of each segment, shape (segments,); need not be whole (after a design effect).
    mean, strength
        What is believed of μ beforehand, and its weight in customers.
    draws
        Number of draws.

    Returns
    -------
    numpy.ndarray
        Shape (segments, draws), in (0, 1).
    """
    y, n = np.asarray(y, dtype=np.float64), np.asarray(n, dtype=np.float64)
    logits = np.linspace(-11.0, 7.0, 121)
    for _ in range(2):  # a coarse grid finds where μ lies, a fine one lies there
        weight = _population_posterior(y, n, logits, mean * strength, (1 - mean) * strength)
        inside = np.flatnonzero(weight.sum(axis=1) > 1e-7)
        step = logits[1] - logits[0]
        last = logits
        logits = np.linspace(logits[inside[0]] - step, logits[inside[-1]] + step, 121)
    cell = rng.choice(weight.size, size=draws, p=weight.ravel())
    row, column = np.unravel_index(cell, weight.shape)
    mu = expit(last[row] + (rng.random(draws) - 0.5) * step)
    kappa = SPREADS[column] ** -2.0
    a = mu * kappa + y[:, None]
    b = (1 - mu) * kappa + (n - y)[:, None]
    return np.clip(rng.beta(a, b), 1e-12, 1 - 1e-12)


def _population_posterior(y: np.ndarray, n: np.ndarray, logits: np.ndarray, a0: float, b0: float) -> np.ndarray:
    """Posterior of (logit μ, κ^(−1/2)) on the grid, shape (len(logits), len(SPREADS)), sum 1."""
    mu = expit(logits)[:, None]
    kappa = SPREADS[None, :] ** -2.0
    a, b = mu * kappa, (1 - mu) * kappa
    log = a0 * np.log(mu) + b0 * np.log1p(-mu) + np.zeros_like(a)  # Beta density times the Jacobian μ(1−μ)
    for ys, ns in zip(y, n, strict=True):
        if ns > 0:
            log += betaln(a + ys, b + ns - ys) - betaln(a, b)
    weight = np.exp(log - log.max())
    return weight / weight.sum()


def effect_draws(
    d: np.ndarray, v: np.ndarray, *, scale: float, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior draws of effects θ_s of segments from estimates d_s with variances v_s, Normal-Normal.

    d_s ~ N(θ_s, v_s), θ_s ~ N(μ, τ²), μ flat, τ half-normal(`scale`); τ on a grid, then μ and θ in closed form
    [BDA3, section 5.4, eqs. 5.17, 5.20, 5.21]. A segment whose v_s is not finite is drawn from N(μ, τ²).

    Parameters
    ----------
    d, v
        Estimates and their sampling variances, shape (segments,); at least one v finite.
    scale
        Scale of the half-normal prior of τ; 0 makes all effects one.

    Returns
    -------
    theta, mu, tau
        Shapes (segments, draws), (draws,), (draws,).
    """
    d, v = np.asarray(d, dtype=np.float64), np.asarray(v, dtype=np.float64)
    known = np.isfinite(d) & np.isfinite(v)
    grid = np.linspace(0.0, 4.0, 401) * scale if scale > 0 else np.zeros(1)
    w = 1 / (v[known][:, None] + grid**2)
    centre = (w * d[known][:, None]).sum(axis=0) / w.sum(axis=0)
    log = 0.5 * np.log(w).sum(axis=0) - 0.5 * np.log(w.sum(axis=0))
    log -= 0.5 * (w * (d[known][:, None] - centre) ** 2).sum(axis=0)
    log -= 0.5 * (grid / scale) ** 2 if scale > 0 else 0.0
    weight = np.exp(log - log.max())
    cell = rng.choice(len(grid), size=draws, p=weight / weight.sum())
    tau = grid[cell]
    mu = centre[cell] + rng.standard_normal(draws) / np.sqrt(w.sum(axis=0)[cell])
    noise = rng.standard_normal((len(d), draws))
    dd, vv = np.where(known, d, 0.0)[:, None], np.where(known, v, np.inf)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(tau > 0, tau**2 / (tau**2 + vv), 0.0)  # weight of a segment's own estimate
    theta = mu + own * (dd - mu) + noise * tau * np.sqrt(1 - own)
    return theta, mu, tau


def next_campaign(
    observed: np.ndarray, expected: np.ndarray, *, scale: float, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the factor by which the next campaign's rates differ from the past ones, mean 1.

    Past campaigns' log(observed / expected) are estimates of N(μ, σ²) with variance 1/expected; σ has a half-normal
    prior, which is all there is while there was one campaign. The factor is exp(sz − s²/2), s² = σ²(1 + 1/J): the next
    campaign and the mean of the past ones both vary, J = (ΣE)²/ΣE² being the number of equal campaigns the past is
    worth. It widens what is believed and leaves its mean alone.

    Parameters
    ----------
    observed, expected
        Responses of each past campaign, and those its mix of segments would give, shape (campaigns,).
    scale
        Scale of the half-normal prior of σ; 0: campaigns are taken to be alike.

    Returns
    -------
    factor, sigma
        Shapes (draws,), (draws,).
    """
    if scale == 0:
        return np.ones(draws), np.zeros(draws)
    observed, expected = np.asarray(observed, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if len(observed):
        d = np.log((observed + 0.5) / (expected + 0.5))
        sigma = effect_draws(d, 1 / (expected + 0.5), scale=scale, draws=draws, rng=rng)[2]
        worth = float(((expected + 0.5).sum()) ** 2 / ((expected + 0.5) ** 2).sum())
    else:
        sigma, worth = np.abs(rng.standard_normal(draws)) * scale, np.inf
    s = sigma * np.sqrt(1 + 1 / worth)
    return np.exp(s * rng.standard_normal(draws) - s**2 / 2), sigma


def design_effect(customer: np.ndarray, residual: np.ndarray) -> float:
    """Factor by which repeated contacts of the same customers inflate a rate's variance, at least 1.

    Σ_i (Σ_j r_ij)² / Σ_ij r_ij², r the residuals from the segment's rate: the cluster-robust variance over the naive.
    """
    naive = float((residual**2).sum())
    if naive == 0:
        return 1.0
    _, code = np.unique(customer, return_inverse=True)
    return max(1.0, float((np.bincount(code, weights=residual) ** 2).sum()) / naive)


def stratified_difference(y_t: np.ndarray, n_t: np.ndarray, y_c: np.ndarray, n_c: np.ndarray) -> tuple[float, float]:
    """Difference of two proportions over campaigns, and its variance.

    Campaigns weigh n_t n_c / (n_t + n_c) [Mantel-Haenszel risk difference]; the variance uses rates with one success
    and one failure added to each arm [Agresti & Caffo 2000], so an arm without responses is not certain.

    Parameters
    ----------
    y_t, n_t, y_c, n_c
        Responses and customers of each campaign, contacted and control, shape (campaigns,).

    Returns
    -------
    difference, variance
        nan and inf where no campaign has both arms.
    """
    both = (n_t > 0) & (n_c > 0)
    if not both.any():
        return float("nan"), float("inf")
    y_t, n_t, y_c, n_c = y_t[both], n_t[both], y_c[both], n_c[both]
    w = n_t * n_c / (n_t + n_c)
    p_t, p_c = (y_t + 1) / (n_t + 2), (y_c + 1) / (n_c + 2)
    v = p_t * (1 - p_t) / (n_t + 2) + p_c * (1 - p_c) / (n_c + 2)
    return float((w * (y_t / n_t - y_c / n_c)).sum() / w.sum()), float((w**2 * v).sum() / w.sum() ** 2)
