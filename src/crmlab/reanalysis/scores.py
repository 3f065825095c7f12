"""Numbers that ask whether people are alike: overdispersion scores, and permutation tests of covariates.

Plain arrays in, numbers out. Everything is one-sided towards more spread than chance, unless it says otherwise.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]

BLOCK = 4_000_000
"""Resampled values held in memory at once."""


class Score(NamedTuple):
    """A standardised score and its one-sided normal p."""

    z: float
    p: float


class BetaBinomial(NamedTuple):
    """Maximum likelihood of customers' rates as a Beta distribution."""

    rate: float
    rho: float
    lr: float
    p: float


class MinP(NamedTuple):
    """Which covariates go with the outcome.

    `statistic` (largest standardised column of each covariate), `raw` (its own p) and `adjusted` (Westfall–Young) have
    one value a covariate; `p`, the smallest adjusted, is of the hypothesis that none matters.
    """

    statistic: Array
    raw: Array
    adjusted: Array
    p: float


def tarone(m: Array, y: Array) -> Score:
    """Tarone's Z: whether customers with `m` contacts and `y` responses share one rate.

    Z = [Σ(y − m p)²/(p q) − Σm] / √(2 Σ m(m − 1)) with p = Σy/Σm [Tarone 1979, eq. 3]. All contacts must have had one
    common rate; over campaigns of different rates use `pair_score`.
    """
    p = y.sum() / m.sum()
    if p in (0.0, 1.0) or not np.any(m > 1):
        return Score(np.nan, np.nan)
    z = (((y - m * p) ** 2).sum() / (p * (1 - p)) - m.sum()) / np.sqrt(2 * (m * (m - 1)).sum())
    return Score(float(z), float(stats.norm.sf(z)))


def pearson(m: Array, y: Array) -> tuple[float, int, float]:
    """Pearson's χ² of customers' responses against the pooled rate: χ², n − 1 degrees of freedom, p."""
    p = y.sum() / m.sum()
    chi2 = float((((y - m * p) ** 2) / (m * p * (1 - p))).sum())
    return chi2, len(y) - 1, float(stats.chi2.sf(chi2, len(y) - 1))


def dean(y: Array, exposure: Array) -> tuple[float, float]:
    """Dean's P_B and P_C: whether counts `y` over `exposure` spread more than a Poisson of one common rate.

    P_B = Σ[(y − μ)² − y] / √(2Σμ²) is for a variance μ + τμ², P_C = Σ[((y − μ)² − y)/μ] / √(2n) for a variance
    μ(1 + τ) [Dean 1992, section 2]. Both are standard normal when there is no spread.
    """
    mu = exposure * y.sum() / exposure.sum()
    excess = (y - mu) ** 2 - y
    return float(excess.sum() / np.sqrt(2 * (mu**2).sum())), float((excess / mu).sum() / np.sqrt(2 * len(y)))


def beta_binomial(m: Array, y: Array) -> BetaBinomial:
    """Fit rates that are Beta(p/θ, q/θ): mean, intra-customer correlation ρ = θ/(1 + θ), likelihood ratio, p = ½χ²₁.

    Like `tarone` it takes all contacts to have had one common mean rate.
    """
    p0 = y.sum() / m.sum()

    def deviance(at: Array) -> float:
        p, rho = special.expit(at[0]), max(special.expit(at[1]), 1e-6)
        a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
        return -2 * float((special.betaln(y + a, m - y + b) - special.betaln(a, b)).sum())

    binomial = -2 * float((special.xlogy(y, p0) + special.xlog1py(m - y, -p0)).sum())
    start = np.array([special.logit(p0), special.logit(0.05)])
    best = optimize.minimize(deviance, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11})
    rate, rho = special.expit(best.x)
    lr = binomial - best.fun
    if lr <= 1e-6 or rho <= 1e-6:
        return BetaBinomial(float(p0), 0.0, 0.0, 1.0)
    return BetaBinomial(float(rate), float(rho), float(lr), float(stats.chi2.sf(lr, 1) / 2))


def pair_score(y: Array) -> Score:
    """Whether responses of one customer go together, campaigns' own rates taken out.

    Z = Σᵢ Σ_{j<k} r_ij r_ik / √(Σᵢ Σ_{j<k} v_ij v_ik), r = y − campaign rate, v = p q of the campaign: the score of a
    random intercept over campaigns of different rates, where a pooled Tarone is wrong.

    Parameters
    ----------
    y
        customers × campaigns, 0/1; NaN where a customer was not contacted.
    """
    r, v = residuals(y)
    top, bottom = _pairs(r).sum(), np.sqrt(_pairs(v).sum())
    if not bottom > 0:
        return Score(np.nan, np.nan)
    return Score(float(top / bottom), float(stats.norm.sf(top / bottom)))


def pair_permutation(y: Array, rng: np.random.Generator, draws: int = 1499) -> float:
    """The p of `pair_score`, exact at any size: responses are shuffled among the contacted of each campaign.

    If all customers of a campaign have one rate and customers respond to campaigns independently, every such shuffle
    is as likely as what was seen. Σr²  and the campaign rates do not change, so only Σᵢ(Σⱼ r_ij)² is compared.
    """
    r, v = residuals(y)
    if not _pairs(v).sum() > 0:
        return np.nan
    known = ~np.isnan(y)
    seen = (r.sum(axis=1) ** 2).sum()
    above = 0
    for start in range(0, draws, step := max(1, BLOCK // len(y))):
        sums = np.zeros((min(step, draws - start), len(y)))
        for c in range(y.shape[1]):
            who = np.flatnonzero(known[:, c])
            sums[:, who] += rng.permuted(np.broadcast_to(r[who, c], (len(sums), len(who))), axis=1)
        above += int(((sums**2).sum(axis=1) >= seen * (1 - 1e-12)).sum())
    return (above + 1) / (draws + 1)


def smallest_spread(y: Array, alpha: float = 0.05, power: float = 0.80) -> float:
    """Minimum detectable sd of true rates, for `pair_score` on these contacts.

    ρ_min = (z_{1−α} + z_{power}) / √(number of pairs) for contacts of one rate; here with the campaigns' own
    variances, and as a standard deviation √(ρ p q) in probability.
    """
    _, v = residuals(y)
    known = (~np.isnan(y)).astype(float)
    pairs = _pairs(known).sum()
    if not pairs:
        return np.nan
    covariance = (stats.norm.ppf(1 - alpha) + stats.norm.ppf(power)) * np.sqrt(_pairs(v).sum()) / pairs
    return float(np.sqrt(covariance)) if covariance > 0 else np.nan


def residuals(y: Array) -> tuple[Array, Array]:
    """Residuals y − campaign rate and variances p q, customers × campaigns; 0 where a customer was not contacted."""
    known = ~np.isnan(y)
    contacts = known.sum(axis=0)
    rate = np.nansum(y, axis=0) / np.maximum(contacts, 1)
    return np.where(known, y - rate, 0.0), np.where(known, rate * (1 - rate), 0.0)


def _pairs(x: Array) -> Array:
    """Σ_{j<k} x_ij x_ik of every row."""
    return (x.sum(axis=1) ** 2 - (x**2).sum(axis=1)) / 2


def linear_statistics(columns: Array, scores: Array, blocks: NDArray[np.int64] | None = None) -> tuple[Array, Array]:
    """Conditional mean and variance of Σᵢ gᵢ hᵢ when the scores h are permuted (within blocks).

    E = Σ_b (Σg)·h̄_b and V = Σ_b [Σ(g − ḡ_b)²][Σ(h − h̄_b)²]/(n_b − 1) [Strasser & Weber 1999, theorem 2.3].

    Parameters
    ----------
    columns
        n × k regressors g.
    scores
        n influence values h.
    blocks
        n block numbers; None: one block.
    """
    blocks = np.zeros(len(scores), dtype=np.int64) if blocks is None else blocks
    mean, variance = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
    for b in np.unique(blocks):
        g, h = columns[blocks == b], scores[blocks == b]
        mean += g.sum(axis=0) * h.mean()
        if len(h) > 1:
            variance += ((g - g.mean(axis=0)) ** 2).sum(axis=0) * ((h - h.mean()) ** 2).sum() / (len(h) - 1)
    return mean, variance


def standardised(columns: Array, scores: Array, blocks: NDArray[np.int64] | None = None) -> Array:
    """(Σgh − E)/√V of each column; 0 for a column without variance."""
    mean, variance = linear_statistics(columns, scores, blocks)
    sd = np.sqrt(variance)
    return np.divide(columns.T @ scores - mean, sd, out=np.zeros_like(sd), where=sd > 1e-12)


def min_p(
    columns: Array,
    covariate: NDArray[np.int64],
    scores: Array,
    rng: np.random.Generator,
    *,
    draws: int = 1499,
    blocks: NDArray[np.int64] | None = None,
    wild: bool = False,
) -> MinP:
    """Permutation min-p: whether any covariate goes with the scores, and which.

    A covariate may have several columns (one a category): its statistic is the largest of them, so each covariate
    has one share of alpha. Step-down Westfall–Young over covariates [Westfall & Young 1993; Ge, Dudoit & Speed 2003].

    Parameters
    ----------
    columns
        n × k, the regressors.
    covariate
        k numbers 0 … K−1: which covariate a column belongs to.
    scores
        n influence values.
    rng, draws
        Source and number of resamplings.
    blocks
        Permute within these only.
    wild
        Flip signs of the centred scores instead of permuting them: for scores whose variance differs from person to
        person, as pseudo-outcomes of effects do.
    """
    blocks = np.zeros(len(scores), dtype=np.int64) if blocks is None else blocks
    h, g = _centred(scores[:, None], blocks)[:, 0], _centred(columns, blocks)
    sd = np.sqrt((g**2).T @ h**2 if wild else linear_statistics(columns, scores, blocks)[1])
    g = np.divide(g, sd, out=np.zeros_like(g), where=sd > 1e-12)
    count = int(covariate.max()) + 1
    seen = _largest(np.abs(g.T @ h)[:, None], covariate, count)[:, 0]
    drawn = np.empty((count, draws))
    groups = [np.flatnonzero(blocks == b) for b in np.unique(blocks)]
    for start in range(0, draws, step := max(1, BLOCK // len(h))):
        size = min(step, draws - start)
        if wild:
            resampled = h * (2.0 * rng.integers(0, 2, size=(size, len(h))) - 1.0)
        else:
            resampled = np.zeros((size, len(h)))
            for who in groups:
                resampled[:, who] = rng.permuted(np.broadcast_to(h[who], (size, len(who))), axis=1)
        drawn[:, start : start + size] = _largest(np.abs(g.T @ resampled.T), covariate, count)
    return _step_down(np.round(seen, 9), np.round(drawn, 9))


def _centred(x: Array, blocks: NDArray[np.int64]) -> Array:
    out = np.array(x, dtype=float)
    for b in np.unique(blocks):
        out[blocks == b] -= out[blocks == b].mean(axis=0)
    return out


def _largest(z: Array, covariate: NDArray[np.int64], count: int) -> Array:
    """Largest row of each covariate: k × draws → K × draws."""
    out = np.zeros((count, z.shape[1]))
    np.maximum.at(out, covariate, z)
    return out


def _step_down(seen: Array, drawn: Array) -> MinP:
    """Raw and step-down min-p from the statistics seen (K) and drawn (K × B), none below zero.

    What was seen is one of the B + 1 members of its own reference set, and each member's p is its rank from above
    among all of them: (1 + #{drawn ≥ seen})/(B + 1) for the one seen. If all are equally likely, the test is exact at
    any B. Among equal p, that of the larger statistic counts as the smaller: otherwise each of K covariates has a
    member of the least p 1/(B + 1), and no adjusted p could be much below K/(B + 1).
    """
    pool = np.column_stack([seen, drawn])
    size = pool.shape[1]
    above = np.stack([size - np.searchsorted(np.sort(row), row, "left") for row in pool])
    raw = above[:, 0] / size
    order = np.lexsort((-seen, raw))
    adjusted = np.empty(len(seen))
    place = above - pool / (1 + pool)  # rank, then statistic: the second part is below 1
    running = np.full(size, np.inf)
    for k in order[::-1]:
        running = np.minimum(running, place[k])
        adjusted[k] = (running <= place[k, 0]).sum() / size
    adjusted[order] = np.maximum.accumulate(adjusted[order])
    return MinP(seen, raw, adjusted, float(adjusted.min()))
