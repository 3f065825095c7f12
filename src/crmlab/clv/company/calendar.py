"""What models of buying and leaving do not know: the calendar. A state space over weeks of repeat purchases.

In past week w, R_w repeat purchases were observed where the model expects m_w, and

z_w = log((R_w + ½)/(m_w + ½)) = u_w + c_w + g·x_w + e_w,

* u_w = φ u_{w−1} + N(0, q²), u_1 ~ N(0, 0.5²), φ = 0.97: drift (tastes, prices, competitors), half of it gone after
  23 weeks, since the model is fitted to these very purchases and its level is right in the long run;
* c_w: three harmonics of the year, their coefficients N(0, (A/k)²): a season not yet seen stays uncertain;
* x_w: what is known of the week, e.g. the share of the base contacted by campaigns, g ~ N(0, its own sd²);
* e_w ~ Student-t₄ of squared scale s² + 1/(m_w + ½): shocks and counting noise. Closed weeks wreck a Gaussian filter.

=====  ====================  ==========================================================================
scale  prior                 in words: median (95 % below)
=====  ====================  ==========================================================================
q      half-normal(0.03)     the level strays from the model's by 8 % (24 %) in the long run
s      half-normal(0.15)     a week is off by 10 % (29 %)
A      half-normal(0.10)     either part of the year's first wave has an sd of 7 % (20 %)
=====  ====================  ==========================================================================

Sampling is exact up to Monte-Carlo error. Given weights λ_w of the scale mixture (Student-t), u, c and g are Gaussian:
they are integrated out by the augmented Kalman filter (de Jong 1991, The Diffuse Kalman Filter, Annals of Statistics
19(2)) while q, s, A move by Metropolis steps shaped by the chains' spread during warm-up; then states and weights are
drawn. Many chains run side by side, elementwise: bytes do not depend on the number of threads.
"""

from dataclasses import dataclass

import numpy as np

YEAR = 365.25 / 7
"""Weeks in a year."""
HARMONICS = 3
PRIOR_SCALES = np.array([0.03, 0.15, 0.10])
"""Half-normal scales of q, s, A."""
FIRST_LEVEL_SD = 0.5
PERSISTENCE = 0.97
"""Of the drift, a week."""
DEGREES = 4.0
LARGEST_SHOCK = np.log(10)
"""No single week is forecast above ten times, or below a tenth of, its level by a shock alone."""
CHAINS, WARM_UP, SWEEPS, EVERY = 128, 64, 96, 6


@dataclass(frozen=True, eq=False)
class Calendar:
    """Posterior draws of the calendar's effects on the log of a week's purchases.

    Attributes
    ----------
    scales
        (draws, 3): q, s, A.
    level
        (draws, past weeks): u_w.
    coefficients
        (draws, 6 + known columns): of the harmonics (cos, sin of the first, second, third), then g.
    ahead
        (draws, weeks ahead): u + c + g·x + shock; without the noise of counting.
    """

    scales: np.ndarray
    level: np.ndarray
    coefficients: np.ndarray
    ahead: np.ndarray


def calendar(
    repeats: np.ndarray, expected: np.ndarray, known: np.ndarray, known_sd: np.ndarray, rng: np.random.Generator
) -> Calendar:
    """Draws of the calendar's past and future, from weeks of repeat purchases.

    Parameters
    ----------
    repeats, expected
        (past weeks,) observed R_w and the model's m_w, oldest first.
    known, known_sd
        (past weeks + weeks ahead, k): x_w, k may be 0; (k,) prior sd of each column's coefficient.
    rng
        Source of randomness.
    """
    past = len(repeats)
    z = np.log((repeats + 0.5) / (expected + 0.5))
    noise = 1 / (expected + 0.5)
    design = np.column_stack([waves(len(known)), known])
    columns = np.column_stack([z, design[:past]])
    log_scales = np.log(PRIOR_SCALES * np.abs(rng.normal(size=(CHAINS, 3))))
    weights = np.ones((past, CHAINS))
    kept = []
    for sweep in range(WARM_UP + SWEEPS):
        if sweep < WARM_UP:
            root = np.linalg.cholesky(np.cov(log_scales.T))
        log_scales, coefficients, level = swept(log_scales, root, columns, known_sd, noise, weights, rng)
        errors = z[:, None] - (design[:past, :, None] * coefficients).sum(axis=1) - level
        squared = errors**2 / (np.exp(2 * log_scales[:, 1]) + noise[:, None])
        weights = rng.gamma((DEGREES + 1) / 2, size=squared.shape) / ((DEGREES + squared) / 2)
        if sweep >= WARM_UP and sweep % EVERY == 0:
            kept.append((np.exp(log_scales), level.T, coefficients.T))
    scales, level, coefficients = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return Calendar(scales, level, coefficients, ahead(scales, level[:, -1], coefficients, design[past:], rng))


def waves(weeks: int) -> np.ndarray:
    """(weeks, 6): cosine and sine of the year's first three harmonics."""
    angle = 2 * np.pi * np.arange(weeks)[:, None] * np.arange(1, HARMONICS + 1) / YEAR
    return np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(weeks, 2 * HARMONICS)


def precisions(amplitude: np.ndarray, known_sd: np.ndarray) -> np.ndarray:
    """(chains, 6 + k) prior precisions of the coefficients: harmonics (A/k)⁻², then the known columns'."""
    waves_sd = amplitude[:, None] / np.repeat(np.arange(1, HARMONICS + 1), 2)
    return np.hstack([waves_sd, np.tile(known_sd, (len(amplitude), 1))]) ** -2


def filtered(
    log_scales: np.ndarray, columns: np.ndarray, known_sd: np.ndarray, noise: np.ndarray, weights: np.ndarray
) -> tuple:
    """Kalman filter of the drift, run on z and on every column of the design at once.

    Returns
    -------
    tuple
        log_marginal (chains,): log p(z | q, s, A, λ) + log prior of (log q, log s, log A), up to a constant;
        precision (chains, k, k), linear (chains, k): of the coefficients' Gaussian posterior;
        means (weeks, 1 + k, chains), variances (weeks, chains): of the drift after each week.
    """
    scales = np.exp(log_scales)
    q2 = scales[:, 0] ** 2
    errors = (scales[:, 1] ** 2 + noise[:, None]) / weights
    weeks, wide = columns.shape
    mean = np.zeros((wide, len(scales)))
    variance = np.full(len(scales), FIRST_LEVEL_SD**2)
    means, variances = np.empty((weeks, *mean.shape)), np.empty(errors.shape)
    surprises, spread = np.empty(means.shape), np.empty(errors.shape)
    for w in range(weeks):
        spread[w] = variance + errors[w]
        gain = variance / spread[w]
        surprises[w] = columns[w, :, None] - mean
        means[w] = mean + gain * surprises[w]
        variances[w] = variance * (1 - gain)
        mean = PERSISTENCE * means[w]
        variance = PERSISTENCE**2 * variances[w] + q2
    scaled = np.ascontiguousarray((surprises / np.sqrt(spread)[:, None]).transpose(2, 1, 0))
    products = np.einsum("ciw,cjw->cij", scaled, scaled)
    prior = precisions(scales[:, 2], known_sd)
    precision = products[:, 1:, 1:] + prior[:, :, None] * np.eye(wide - 1)
    linear = products[:, 1:, 0]
    root = np.linalg.cholesky(precision)
    solved = np.linalg.solve(root, linear[:, :, None])[:, :, 0]
    log_marginal = (
        -0.5 * (np.log(spread).sum(axis=0) + products[:, 0, 0] - (solved**2).sum(axis=1))
        - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        + 0.5 * np.log(prior).sum(axis=1)
        + (log_scales - 0.5 * (scales / PRIOR_SCALES) ** 2).sum(axis=1)
    )
    return log_marginal, precision, linear, means, variances


def swept(
    log_scales: np.ndarray,
    step: np.ndarray,
    columns: np.ndarray,
    known_sd: np.ndarray,
    noise: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One move of every chain, given the weights: q, s, A by Metropolis, then the states given them.

    Parameters
    ----------
    log_scales
        (chains, 3): log q, log s, log A.
    step
        (3, 3): root of the proposals' covariance, before scaling.
    columns
        (past weeks, 1 + 6 + k): z, then the design.
    known_sd
        (k,) as in `calendar`.
    noise, weights
        (past weeks,) squared scale of counting; (past weeks, chains) λ.

    Returns
    -------
    tuple
        log_scales (chains, 3), coefficients (k, chains), level (past weeks, chains).
    """
    chains = len(log_scales)
    size = 2.38 / np.sqrt(3) * np.where(rng.random((chains, 1)) < 0.5, 1.0, 0.3)
    moved = log_scales + size * (rng.normal(size=(chains, 1, 3)) * step).sum(axis=2)
    both = np.concatenate([log_scales, moved])
    log_marginal, precision, linear, means, variances = filtered(both, columns, known_sd, noise, np.tile(weights, 2))
    accepted = np.log(rng.random(chains)) < log_marginal[chains:] - log_marginal[:chains]
    chosen = np.arange(chains) + chains * accepted
    log_scales = both[chosen]
    root = np.linalg.cholesky(precision[chosen])
    solved = np.linalg.solve(root, linear[chosen][:, :, None]) + rng.normal(size=(chains, linear.shape[1], 1))
    coefficients = np.linalg.solve(root.transpose(0, 2, 1), solved)[:, :, 0].T
    means, variances = means[:, :, chosen], variances[:, chosen]
    centre = means[:, 0] - (means[:, 1:] * coefficients).sum(axis=1)
    gain = PERSISTENCE * variances / (PERSISTENCE**2 * variances + np.exp(2 * log_scales[:, 0]))
    noisy = centre + np.sqrt(variances * (1 - PERSISTENCE * gain)) * rng.normal(size=centre.shape)
    level = np.empty(centre.shape)
    level[-1] = centre[-1] + np.sqrt(variances[-1]) * rng.normal(size=chains)
    for w in range(len(level) - 2, -1, -1):
        level[w] = noisy[w] + gain[w] * (level[w + 1] - PERSISTENCE * centre[w])
    return log_scales, coefficients, level


def ahead(
    scales: np.ndarray, level: np.ndarray, coefficients: np.ndarray, design: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(draws, weeks ahead): drift going on from `level` (draws,), season, campaigns and shocks."""
    shape = len(scales), len(design)
    fading = PERSISTENCE ** np.arange(1, shape[1] + 1)
    steps = np.cumsum(scales[:, :1] * rng.normal(size=shape) / fading, axis=1)
    drift = fading * (level[:, None] + steps)
    known = np.einsum("wk,dk->dw", design, coefficients)
    shocks = scales[:, 1:2] * rng.standard_t(DEGREES, size=shape)
    return drift + known + np.clip(shocks, -LARGEST_SHOCK, LARGEST_SHOCK)
