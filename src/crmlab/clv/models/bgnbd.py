"""BG/NBD: purchases of customers who may leave unseen, after any purchase.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model, Marketing
Science 24(2), 275–284; P(alive) from Fader, Hardie & Lee (2008), Computing P(alive) Using the BG/NBD Model.

While alive, a customer buys at rate λ a week, λ ~ Gamma(r, α); after each repeat purchase the customer leaves with
probability p ~ Beta(a, b). Data: x repeat purchases, the last at t_x, observed for T weeks.

Priors, by what they say of customers before any data (unit: a week):

======================  ==================  =============================================================
coordinate              Normal(mean, sd)    in words: median (95 %)
======================  ==================  =============================================================
log r                   (−0.5, 1)           customers' rates vary with cv 1.3 (0.5 to 3.4)
log rate = log(r/α)     (−2, 1.5)           a purchase every 7 weeks (every 3 days to every 140 weeks)
logit φ, φ = a/(a+b)    (−2, 1.5)           12 % of customers leave after a purchase (1 % to 72 %)
log κ, κ = a+b          (1, 1)              customers' leaving probabilities vary little (19) or much (0.4)
======================  ==================  =============================================================

The published maximum-likelihood estimates lie within 1.1 sd of each mean; so do a weekly grocery's rates.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betainc, betaincinv, betaln, gammaln

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, PurchaseModel, Values, as_column, nobody_again, repeat_faults

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
SERIES_TOLERANCE = 1e-11
SERIES_TERMS = 800
EDGE = 1e-13
EDGE_NODES, EDGE_WEIGHTS = np.polynomial.legendre.leggauss(128)
CANCELLING, LARGE = 20, 1e150


def natural(theta: Values, constants: Values, xp: Any) -> dict[str, Any]:
    """r, α, a, b from the unconstrained coordinates."""
    r = xp.exp(theta["log_r"])
    kappa = xp.exp(theta["log_kappa"])
    phi = 1 / (1 + xp.exp(-theta["logit_phi"]))
    return {"r": r, "alpha": r * xp.exp(-theta["log_rate"]), "a": kappa * phi, "b": kappa * (1 - phi)}


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each row, eq. (6).

    L = B(a, b+x)/B(a, b) · Γ(r+x) α^r / (Γ(r) (α+T)^{r+x})
    + 1{x>0} · B(a+1, b+x−1)/B(a, b) · Γ(r+x) α^r / (Γ(r) (α+t_x)^{r+x}).

    Parameters
    ----------
    parameters
        r, alpha, a, b > 0; alpha in weeks.
    data
        x, t_x, T in weeks, one row a customer.
    xp
        Functions in NumPy or PyTensor.
    """
    r, alpha, a, b = (parameters[name] for name in ("r", "alpha", "a", "b"))
    x, t_x, T = data["x"], data["t_x"], data["T"]
    common = xp.gammaln(r + x) - xp.gammaln(r) + r * xp.log(alpha)
    stayed = xp.betaln(a, b + x) - xp.betaln(a, b) - (r + x) * xp.log(alpha + T)
    at_least_1 = xp.maximum(x, 1)
    left = xp.betaln(a + 1, b + at_least_1 - 1) - xp.betaln(a, b) - (r + x) * xp.log(alpha + t_x)
    return common + stayed + xp.where(x > 0, xp.softplus(left - stayed), 0.0)


def fast(data: Arrays) -> Callable[[Values], float]:
    """Eq. (6) summed over customers: a soft-plus per distinct repeat row, logs per distinct T, t_x and x."""
    weight, n = data["weight"], data["weight"].sum()
    xs, at_x = np.unique(data["x"], return_inverse=True)
    Ts, at_T = np.unique(data["T"], return_inverse=True)
    n_xs, n_Ts = np.bincount(at_x, weights=weight), np.bincount(at_T, weights=weight)
    x_Ts = np.bincount(at_T, weights=weight * data["x"])
    repeat = data["x"] > 0
    x, weight, at_x, at_T = data["x"][repeat], weight[repeat], at_x[repeat], at_T[repeat]
    ts, at_t = np.unique(data["t_x"][repeat], return_inverse=True)

    def total(parameters: Values) -> float:
        r, alpha, a, b = (parameters[name] for name in ("r", "alpha", "a", "b"))
        by_x = gammaln(r + xs) + gammaln(b + xs) - gammaln(a + b + xs)
        once = r * np.log(alpha) - gammaln(r) - gammaln(b) + gammaln(a + b)
        log_T, log_t = np.log(alpha + Ts), np.log(alpha + ts)
        odds = (log_T[at_T] - log_t[at_t]) * (r + x) - np.log((b + np.maximum(xs, 1) - 1) / a)[at_x]
        gained = (weight * NUMPY.softplus(odds)).sum()
        return float(n * once + (n_xs * by_x).sum() - ((r * n_Ts + x_Ts) * log_T).sum() + gained)

    return total


def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers observed for the T of `history`, their x and t_x drawn from the model."""
    T = history["T"].to_numpy(float)
    n = len(T)
    rate = rng.gamma(parameters["r"], 1 / parameters["alpha"], n)
    p = rng.beta(parameters["a"], parameters["b"], n)
    x, t_x, clock = np.zeros(n, dtype="int64"), np.zeros(n), np.zeros(n)
    alive = np.ones(n, dtype=bool)
    while alive.any():
        clock = clock + rng.exponential(size=n) / rate
        alive &= clock <= T
        x[alive] += 1
        t_x[alive] = clock[alive]
        alive &= rng.random(n) >= p
    return history.assign(x=x, t_x=t_x)


def p_alive(draws: Values, history: pd.DataFrame) -> np.ndarray:
    """P(alive at T | x, t_x, T), Fader, Hardie & Lee (2008) eq. (7); 1 where x = 0.

    Parameters
    ----------
    draws
        Parameter → (draws,).
    history
        x, t_x, T in weeks, one row a customer.

    Returns
    -------
    numpy.ndarray
        (customers, draws), within [0, 1].
    """
    d = as_column(draws)
    x, t_x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "t_x", "T"))
    at_least_1 = np.maximum(x, 1)
    log_odds = (
        np.log(d["a"])
        - np.log(d["b"] + at_least_1 - 1)
        + (d["r"] + x) * (np.log(d["alpha"] + T) - np.log(d["alpha"] + t_x))
    )
    return np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds, 700))), 1.0)


def expected_purchases(
    draws: Values, history: pd.DataFrame, weeks: float, discounts: tuple[float, ...] = (0.0,)
) -> np.ndarray:
    """Purchases expected in (T, T + weeks], discounted continuously.

    Eq. (10) written as the integral it solves. Given alive at T, λ ~ Gamma(r+x, α+T) and p ~ Beta(a, b+x)
    independently, and the purchase rate s weeks ahead is λ e^{−λps}. Hence

    E = P(alive) · (r+x)/(α+T) · ∫₀^weeks e^{−δs} ₂F₁(r+x+1, a; a+b+x; −s/(α+T)) ds,

    by 16-node Gauss–Legendre in u = log(1 + s/(α+T)). Unlike eq. (10) it needs no special case at
    a = 1, and it can be discounted.

    Parameters
    ----------
    draws
        Parameter → (draws,).
    history
        x, t_x, T in weeks, one row a customer.
    weeks
        Horizon.
    discounts
        δ, continuous rates a week: one answer each.

    Returns
    -------
    numpy.ndarray
        (discounts, customers, draws).
    """
    d = as_column(draws)
    x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "T"))
    r, a, b, scale = d["r"], d["a"], d["b"], d["alpha"] + T
    totals = np.zeros((len(discounts), *scale.shape))
    half = np.log1p(weeks / scale) / 2
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        u = half * (node + 1)
        surviving = np.exp(u) * hypergeometric(r + x + 1, a, a + b + x, u)
        for total, discount in zip(totals, discounts, strict=True):
            total += half * weight * np.exp(-discount * scale * np.expm1(u)) * surviving
    return p_alive(draws, history) * (r + x) * totals


def hypergeometric(a: np.ndarray, b: np.ndarray, c: np.ndarray, u: np.ndarray) -> np.ndarray:
    """₂F₁(a, b; c; −z) with z = eᵘ − 1 > 0, and c > b > 0; all of shape (rows or 1, draws).

    Pfaff: (1+z)^{−b} ₂F₁(c−a, b; c; w) or (1+z)^{−a} ₂F₁(a, c−b; c; w), w = z/(1+z) < 1. The first needs few terms;
    where c − a is far below 0 (customers who all buy at nearly one rate) its terms cancel, and the second, all of whose
    terms are positive, is summed.
    """
    w = -np.expm1(-u)
    if (c - a).min() > -CANCELLING:
        total, _, unfinished = series(c - a, b, c, w)
        found = np.exp(-b * u) * total
    else:
        total, log_scale, unfinished = series(a, c - b, c, w)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            found = np.exp(np.log(total) + log_scale - a * u)
    if len(unfinished):
        found[unfinished] = integrated(*(np.broadcast_to(v, w.shape)[unfinished] for v in (a, b, c, u)))
    return found


def integrated(a: np.ndarray, b: np.ndarray, c: np.ndarray, u: np.ndarray) -> np.ndarray:
    """₂F₁(a, b; c; −z) as E[(1 + pz)^−a], p ~ Beta(b, c−b): Gauss–Legendre in log-odds of p, where its mass lies.

    For horizons far beyond α + T, of which the series do not end soon.
    """
    z, other = np.expm1(u), c - b
    least = np.maximum(betaincinv(b, other, EDGE), EDGE / (a * z))  # below it (1 + pz)^−a is 1
    most = np.maximum(betaincinv(other, b, EDGE), 1e-300)
    low, high = np.log(least) - np.log1p(-least), np.log1p(-most) - np.log(most)
    total, half, log_beta = betainc(b, other, least), (high - low) / 2, betaln(b, other)
    for node, weight in zip(EDGE_NODES, EDGE_WEIGHTS, strict=True):
        v = low + half * (node + 1)
        log_p, log_q = -np.logaddexp(0, -v), -np.logaddexp(0, v)
        total = total + half * weight * np.exp(b * log_p + other * log_q - log_beta - a * np.log1p(z * np.exp(log_p)))
    return total


def series(a: np.ndarray, b: np.ndarray, c: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """₂F₁(a, b; c; w) by its power series, for c > 0 and 0 ≤ w < 1; all of shape (rows or 1, draws).

    Returns
    -------
    tuple
        (rows, draws) sum and logarithm of its scale (large positive terms are scaled down while they are summed); the
        rows that have not converged.
    """
    total, log_scale = np.ones(w.shape), np.zeros(w.shape)
    going, term = np.arange(len(w)), np.ones(w.shape)
    a, b, c = (np.broadcast_to(v, w.shape) if len(v) > 1 else v for v in (a, b, c))
    for k in range(SERIES_TERMS):
        term = term * w * ((a + k) * (b + k) / (k + 1) / (c + k))
        total[going] += term
        if k % 8 == 7:  # rows that have converged leave; what is left of a row is below term · w/(1 − w)
            on = (np.abs(term) * w > SERIES_TOLERANCE * (1 - w) * np.abs(total[going])).any(axis=1)
            if not on.any():
                return total, log_scale, going[:0]
            going, term, w = going[on], term[on], w[on]
            a, b, c = (v[on] if len(v) > 1 else v for v in (a, b, c))
            if term.max() > LARGE:
                down = np.where(term > LARGE, 1 / LARGE, 1.0)
                term, total[going] = term * down, total[going] * down
                log_scale[going] -= np.log(down)
    return total, log_scale, going


def future_purchases(draws: Values, history: pd.DataFrame, weeks: float, rng: np.random.Generator) -> np.ndarray:
    """Counts drawn from the predictive distribution of the purchases in (T, T + weeks].

    Given alive, λ and p are drawn as in `expected_purchases`; a customer makes the smaller of Poisson(λ · weeks)
    purchases and the number it takes to leave, Geometric(p).

    Returns
    -------
    numpy.ndarray
        (customers, draws), whole numbers.
    """
    d = as_column(draws)
    x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "T"))
    alive = rng.random((len(x), d["r"].shape[1])) < p_alive(draws, history)
    rate = rng.gamma(np.broadcast_to(d["r"] + x, alive.shape)) / (d["alpha"] + T)
    p = np.clip(rng.beta(np.broadcast_to(d["a"], alive.shape), d["b"] + x), 1e-9, 1)
    return np.where(alive, np.minimum(rng.poisson(rate * weeks), rng.geometric(p)), 0)


MODEL = PurchaseModel(
    name="bgnbd",
    title="BG/NBD",
    source="Fader, Hardie & Lee 2005",
    parameters=("r", "alpha", "a", "b"),
    priors={"log_r": (-0.5, 1.0), "log_rate": (-2.0, 1.5), "logit_phi": (-2.0, 1.5), "log_kappa": (1.0, 1.0)},
    natural=natural,
    columns=("x", "t_x", "T"),
    faults=repeat_faults,
    too_little=nobody_again,
    log_likelihood=log_likelihood,
    fast=fast,
    simulate=simulate,
    given_alive=("x", "T"),
    purchase_scale="alpha",
    dropout_scale=(("a", 1), ("b", -1)),
    p_alive=p_alive,
    expected_purchases=expected_purchases,
    future_purchases=future_purchases,
)
