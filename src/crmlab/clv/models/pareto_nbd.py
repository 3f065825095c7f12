"""Pareto/NBD: purchases of customers who may leave unseen, at any time.

Schmittlein, Morrison & Colombo (1987), Counting Your Customers: Who Are They and What Will They Do Next?, Management
Science 33(1), 1–24; in the form of Fader & Hardie (2005), A Note on Deriving the Pareto/NBD Model and Related
Expressions ("the note").

While alive, a customer buys at rate λ a week, λ ~ Gamma(r, α), and leaves at rate μ a week, μ ~ Gamma(s, β). Data: x
repeat purchases, the last at t_x, observed for T weeks.

Priors, by what they say of customers before any data (unit: a week):

==============================  ==================  ==========================================================
coordinate                      Normal(mean, sd)    in words: median (95 %)
==============================  ==================  ==========================================================
log r                           (−0.5, 1)           customers' rates vary with cv 1.3 (0.5 to 3.4)
log rate = log(r/α)             (−2, 1.5)           a purchase every 7 weeks (every 3 days to every 140 weeks)
variation v, log(1+e^v) = 1/√s  (1, 1)              customers' leaving rates vary with cv 1.3 (0.3 to 3.0)
log h, h = s log(1 + 26/β)      (−1.5, 2)           20 % leave within 26 weeks, 1 − e^{−h} (0.4 % to all)
==============================  ==================  ==========================================================

The published maximum-likelihood estimates lie within 0.7 sd of each mean.

No hypergeometric function is needed: the integral over the time of leaving is done by quadrature, so that one
expression serves fitting, gradients and predictions. It is within 1e-8 of its value for r and s from 0.1 to 6 and α and
β from 0.3 to 300 weeks, and within 1e-4 two standard deviations out in every prior.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import exprel, gammaln

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, PurchaseModel, Values, as_column, nobody_again, repeat_faults

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
NODES, WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
STRETCH = 6.0
HALF_A_YEAR = 26.0
LARGEST_EXPONENT = 600.0
SHORTEST = 1e-3
"""Weeks, added to β: to leave within ten minutes is to leave at once, and the quadrature need not go further."""

SMALLEST_GAP = 1e-12
"""Weeks from the last purchase to T, at least: so that no logarithm of 0 is taken where they coincide."""

BLOCK = 8_192
"""Rows times draws worked on at a time: what they need stays in the processor's cache."""


def natural(theta: Values, constants: Values, xp: Any) -> dict[str, Any]:
    """r, α, s, β from the unconstrained coordinates."""
    r, s = xp.exp(theta["log_r"]), xp.softplus(theta["variation"]) ** -2.0
    beta = SHORTEST + HALF_A_YEAR / xp.expm1(xp.minimum(xp.exp(theta["log_h"]) / s, LARGEST_EXPONENT))
    return {"r": r, "alpha": r * xp.exp(-theta["log_rate"]), "s": s, "beta": beta}


def log_odds_of_having_left(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Logarithm of P(left between t_x and T) over P(alive at T), given x, t_x and T.

    The two terms of the note's likelihood, before its integral becomes a difference of hypergeometric functions:

    s ∫ (α+u)^{−(r+x)} (β+u)^{−(s+1)} du over t_x < u < T, divided by (α+T)^{−(r+x)} (β+T)^{−s}.

    The integral is done by Gauss–Legendre in w = (1 + (u−t_x)/c)^{−q}. The scale c lies between α+t_x and β+t_x, nearer
    to the one that makes the integrand fall; q makes w fall by the sixth root of what the integrand falls by. In w
    the integrand is nearly a power of five or so, whether it falls by a little or by a factor of 1e100.

    Parameters
    ----------
    parameters
        r, alpha, s, beta > 0; alpha and beta in weeks.
    data
        x, t_x, T in weeks, of a shape that broadcasts with the parameters'.
    xp
        Functions in NumPy or PyTensor.
    """
    r, alpha, s, beta = (parameters[name] for name in ("r", "alpha", "s", "beta"))
    x, t_x, T = data["x"], data["t_x"], data["T"]
    buying, leaving = r + x, s + 1
    from_alpha, from_beta = alpha + t_x, beta + t_x
    gap = xp.maximum(T - t_x, SMALLEST_GAP)
    fall_buying, fall_leaving = xp.log1p(gap / from_alpha), xp.log1p(gap / from_beta)
    scale = (buying + leaving + 1) / ((buying + 0.5) / from_alpha + (leaving + 0.5) / from_beta)
    fall = (buying * fall_buying + leaving * fall_leaving) / STRETCH
    slowness = xp.log1p(gap / scale) / fall
    share = -xp.expm1(-fall)
    nodes, weights = (v.reshape(-1, *([1] * fall.ndim)) for v in (NODES, WEIGHTS))
    z = -xp.log1p(-share * nodes)
    u = scale * xp.expm1(z * slowness)
    height = xp.exp(z * (1 + slowness) - buying * xp.log1p(u / from_alpha) - leaving * xp.log1p(u / from_beta))
    integral = scale * slowness * share * (weights * height).sum(axis=0)
    return xp.log(s * integral / from_beta) + buying * fall_buying + s * fall_leaving


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each row, as the note derives it.

    L = Γ(r+x)/Γ(r) · α^r β^s · { (α+T)^{−(r+x)} (β+T)^{−s} + s ∫ (α+u)^{−(r+x)} (β+u)^{−(s+1)} du, t_x < u < T }.

    Parameters
    ----------
    parameters
        r, alpha, s, beta > 0; alpha and beta in weeks.
    data
        x, t_x, T in weeks, one row a customer.
    xp
        Functions in NumPy or PyTensor.
    """
    r, alpha, s, beta = (parameters[name] for name in ("r", "alpha", "s", "beta"))
    x, T = data["x"], data["T"]
    bought = xp.gammaln(r + x) - xp.gammaln(r) + r * xp.log(alpha) - (r + x) * xp.log(alpha + T)
    stayed = s * (xp.log(beta) - xp.log(beta + T))
    return bought + stayed + xp.softplus(log_odds_of_having_left(parameters, data, xp))


def fast(data: Arrays) -> Callable[[Values], float]:
    """The likelihood of all: log-gamma once per distinct x, logs once per distinct T, the integral per distinct row."""
    weight, n = data["weight"], data["weight"].sum()
    xs, at_x = np.unique(data["x"], return_inverse=True)
    Ts, at_T = np.unique(data["T"], return_inverse=True)
    n_xs, n_Ts = np.bincount(at_x, weights=weight), np.bincount(at_T, weights=weight)
    x_Ts = np.bincount(at_T, weights=weight * data["x"])
    step = BLOCK // len(NODES)
    parts = [{k: v[i : i + step] for k, v in data.items()} for i in range(0, len(weight), step)]

    def total(parameters: Values) -> float:
        r, alpha, s, beta = (parameters[name] for name in ("r", "alpha", "s", "beta"))
        once = r * np.log(alpha) - gammaln(r) + s * np.log(beta)
        by_T = (r * n_Ts + x_Ts) * np.log(alpha + Ts) + s * n_Ts * np.log(beta + Ts)
        gained = sum((p["weight"] * NUMPY.softplus(log_odds_of_having_left(parameters, p))).sum() for p in parts)
        return float(n * once + (n_xs * gammaln(r + xs)).sum() - by_T.sum() + gained)

    return total


def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers observed for the T of `history`, their x and t_x drawn from the model."""
    T = history["T"].to_numpy(float)
    rate = rng.gamma(parameters["r"], 1 / parameters["alpha"], len(T))
    leaves = rng.exponential(size=len(T)) / rng.gamma(parameters["s"], 1 / parameters["beta"], len(T))
    until = np.minimum(leaves, T)
    x = rng.poisson(rate * until)
    latest = until * rng.random(len(T)) ** (1 / np.maximum(x, 1))
    return history.assign(x=x, t_x=np.where(x > 0, latest, 0.0))


def p_alive(draws: Values, history: pd.DataFrame) -> np.ndarray:
    """P(alive at T | x, t_x, T).

    Parameters
    ----------
    draws
        Parameter → (draws,), or (customers, draws).
    history
        x, t_x, T in weeks, one row a customer.

    Returns
    -------
    numpy.ndarray
        (customers, draws), within [0, 1].
    """
    d = as_column(draws)
    data = {c: history[c].to_numpy(float)[:, None] for c in ("x", "t_x", "T")}
    shape = np.broadcast_shapes(data["T"].shape, *(v.shape for v in d.values()))
    alive, step = np.empty(shape), max(1, BLOCK // shape[1])
    for i in range(0, shape[0], step):
        part = {k: v[i : i + step] for k, v in data.items()}
        here = {k: v if len(v) == 1 else v[i : i + step] for k, v in d.items()}
        alive[i : i + step] = 1 / (1 + np.exp(np.minimum(log_odds_of_having_left(here, part), 700)))
    return alive


def expected_purchases(
    draws: Values, history: pd.DataFrame, weeks: float, discounts: tuple[float, ...] = (0.0,)
) -> np.ndarray:
    """Purchases expected in (T, T + weeks], discounted continuously.

    Given alive at T, λ ~ Gamma(r+x, α+T) and μ ~ Gamma(s, β+T) independently, and the purchase rate v weeks ahead is
    λ e^{−μv}. Hence

    E = P(alive) · (r+x)/(α+T) · ∫ e^{−δv} ((β+T)/(β+T+v))^s dv over 0 < v < weeks,

    at δ = 0 eq. (41) of the note without its exception at s = 1, else by Gauss–Legendre in log(1 + v/(β+T)). For a
    long horizon this is the DERT of Fader, Hardie & Lee (2005), RFM and CLV, Journal of Marketing Research 42(4).

    Parameters
    ----------
    draws
        Parameter → (draws,), or (customers, draws).
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
    s, scale = d["s"], d["beta"] + T
    length = np.log1p(weeks / scale)
    present = []
    for discount in discounts:
        if discount == 0:
            present.append(scale * length * exprel((1 - s) * length))
            continue
        total = np.zeros(np.broadcast_shapes(s.shape, scale.shape))
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            v = length * node
            total += weight * np.exp((1 - s) * v - discount * scale * np.expm1(v))
        present.append(scale * length * total)
    return p_alive(draws, history) * ((d["r"] + x) / (d["alpha"] + T)) * np.array(present)


def future_purchases(draws: Values, history: pd.DataFrame, weeks: float, rng: np.random.Generator) -> np.ndarray:
    """Counts drawn from the predictive distribution of the purchases in (T, T + weeks].

    Given alive, λ and μ are drawn as in `expected_purchases`; a customer buys until leaving or the horizon's end.

    Returns
    -------
    numpy.ndarray
        (customers, draws), whole numbers.
    """
    d = as_column(draws)
    x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "T"))
    alive = p_alive(draws, history)
    rate = rng.gamma(np.broadcast_to(d["r"] + x, alive.shape)) / (d["alpha"] + T)
    leaving = rng.gamma(np.broadcast_to(d["s"], alive.shape)) / (d["beta"] + T)
    stays = rng.exponential(size=alive.shape) / np.maximum(leaving, 1e-300)
    return np.where(rng.random(alive.shape) < alive, rng.poisson(rate * np.minimum(stays, weeks)), 0)


MODEL = PurchaseModel(
    name="pareto_nbd",
    title="Pareto/NBD",
    source="Schmittlein, Morrison & Colombo 1987",
    parameters=("r", "alpha", "s", "beta"),
    priors={"log_r": (-0.5, 1.0), "log_rate": (-2.0, 1.5), "variation": (1.0, 1.0), "log_h": (-1.5, 2.0)},
    natural=natural,
    columns=("x", "t_x", "T"),
    faults=repeat_faults,
    too_little=nobody_again,
    log_likelihood=log_likelihood,
    fast=fast,
    simulate=simulate,
    given_alive=("x", "T"),
    purchase_scale="alpha",
    dropout_scale=(("beta", -1),),
    p_alive=p_alive,
    expected_purchases=expected_purchases,
    future_purchases=future_purchases,
)
