"""Do effects differ between segments? Random-effects synthesis of k estimates with known variances: numbers only."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t


@dataclass(frozen=True, slots=True)
class Synthesis:
    """k effects taken together.

    Attributes
    ----------
    k
        Number of effects.
    q, p
        Cochran's Q and its p under χ²(k − 1): do the effects differ at all.
    tau2, tau2_low, tau2_high
        Variance of the true effects (REML or DerSimonian–Laird) and its Q-profile limits.
    i2
        Share of the observed variance that is not sampling error, 0 to 1.
    mu, se, low, high
        Mean of the true effects and its interval.
    predicted_low, predicted_high
        Where the true effect of one more segment would lie; NaN for fewer than three effects.
    """

    k: int
    q: float
    p: float
    tau2: float
    tau2_low: float
    tau2_high: float
    i2: float
    mu: float
    se: float
    low: float
    high: float
    predicted_low: float
    predicted_high: float

    @property
    def tau(self) -> float:
        """Standard deviation of the true effects."""
        return float(np.sqrt(self.tau2))


def synthesis(effects: np.ndarray, variances: np.ndarray, *, level: float = 0.90, method: str = "REML") -> Synthesis:
    """Synthesise effects by the random-effects model y_i ~ N(θ_i, v_i), θ_i ~ N(μ, τ²).

    Parameters
    ----------
    effects, variances
        y and v, (k,); variances above zero.
    level
        Coverage of the interval of μ, of the prediction interval (t with k − 2 degrees of freedom [Higgins, Thompson
        and Spiegelhalter 2009, eq. 12]) and of the Q-profile limits of τ² [Viechtbauer 2007].
    method
        How τ² is estimated: ``"REML"`` or ``"DL"`` [DerSimonian and Laird 1986].
    """
    y, v = np.asarray(effects, float), np.asarray(variances, float)
    k = len(y)
    if k == 0 or np.any(~(v > 0)) or not np.all(np.isfinite(y)):
        raise ValueError("effects must be finite and their variances above zero")
    tau2 = {"REML": tau2_reml, "DL": tau2_dl}[method](y, v)
    w = 1 / (v + tau2)
    mu, se = float(np.sum(w * y) / np.sum(w)), float(np.sum(w) ** -0.5)
    q = cochran_q(y, v)
    low, high = q_profile(y, v, level=level)
    z = norm.ppf((1 + level) / 2)
    ahead = t.ppf((1 + level) / 2, k - 2) * np.sqrt(tau2 + se**2) if k > 2 else np.nan
    return Synthesis(
        k=k,
        q=q,
        p=float(chi2.sf(q, k - 1)) if k > 1 else np.nan,
        tau2=tau2,
        tau2_low=low,
        tau2_high=high,
        i2=tau2 / (tau2 + typical_variance(v)) if k > 1 else np.nan,
        mu=mu,
        se=se,
        low=mu - z * se,
        high=mu + z * se,
        predicted_low=float(mu - ahead),
        predicted_high=float(mu + ahead),
    )


def cochran_q(y: np.ndarray, v: np.ndarray, tau2: float = 0.0) -> float:
    """Weighted sum of squares around the weighted mean, weights 1/(v + τ²); Cochran's Q at τ² = 0 [Cochran 1954]."""
    w = 1 / (v + tau2)
    return float(np.sum(w * (y - np.sum(w * y) / np.sum(w)) ** 2))


def typical_variance(v: np.ndarray) -> float:
    """Sampling variance of a typical effect: (k − 1) Σw / ((Σw)² − Σw²) [Higgins and Thompson 2002, eq. 9]."""
    w = 1 / v
    return float((len(v) - 1) * np.sum(w) / (np.sum(w) ** 2 - np.sum(w**2)))


def tau2_dl(y: np.ndarray, v: np.ndarray) -> float:
    """Estimate τ² by moments: (Q − (k − 1)) / (Σw − Σw²/Σw), not below 0 [DerSimonian and Laird 1986]."""
    if len(y) < 2:
        return 0.0
    w = 1 / v
    return max(0.0, (cochran_q(y, v) - (len(y) - 1)) / float(np.sum(w) - np.sum(w**2) / np.sum(w)))


def tau2_reml(y: np.ndarray, v: np.ndarray) -> float:
    """Estimate τ² by restricted maximum likelihood, not below 0: the root of the score [Viechtbauer 2005, eq. 12].

    Solved to machine precision: with the usual stopping rules the second digit may be wrong.
    """
    if len(y) < 2:
        return 0.0

    def score(tau2: float) -> float:
        w = 1 / (v + tau2)
        mu = np.sum(w * y) / np.sum(w)
        return float(np.sum(w**2 * (y - mu) ** 2) - np.sum(w) + np.sum(w**2) / np.sum(w))

    top = float(np.sum((y - y.mean()) ** 2) + v.max())
    if score(0.0) <= 0:
        return 0.0
    while score(top) > 0:
        top *= 2
    return float(brentq(score, 0.0, top, xtol=1e-300, rtol=1e-14, maxiter=1000))


def q_profile(y: np.ndarray, v: np.ndarray, *, level: float = 0.90) -> tuple[float, float]:
    """Limits of τ²: where Q(τ²) equals the χ²(k − 1) quantiles, not below 0 [Viechtbauer 2007]; NaN for one effect."""
    k = len(y)
    if k < 2:
        return np.nan, np.nan

    def limit(quantile: float) -> float:
        if cochran_q(y, v) <= quantile:
            return 0.0
        top = float(np.sum((y - y.mean()) ** 2) + v.max())
        while cochran_q(y, v, top) > quantile:
            top *= 2
        return float(brentq(lambda t2: cochran_q(y, v, t2) - quantile, 0.0, top, xtol=1e-300, rtol=1e-14, maxiter=1000))

    return limit(chi2.ppf((1 + level) / 2, k - 1)), limit(chi2.ppf((1 - level) / 2, k - 1))
