"""MBG/NBD and MBG/CNBD-k: purchases, at random or at regular intervals, of customers who may leave unseen.

Batislam, Denizel & Filiztekin (2007), Empirical validation and comparison of models for customer base analysis, IJRM
24(3), 201–209 (k = 1); Reutterer, Platzer & Schröder (2021), Leveraging purchase regularity for predicting customer
behavior the easy way, IJRM 38(1), 194–215 (k ≥ 2).

While alive, a customer passes stages at rate λ a week, λ ~ Gamma(r, α), and buys at every k-th: times between
purchases are Erlang-k, the more regular the larger k. After each purchase, the first included, the customer leaves with
probability p ~ Beta(a, b). Data: x repeat purchases, the last at t_x, observed for T weeks; for k ≥ 2 also litt, the
sum of the logarithms of the times between purchases. Parameters mean what they do in the R package BTYDplus.

Purchases are counted by the day, which removes intervals shorter than one: where customers come more often than about
once a week, this alone makes purchases look regular, and the evidence for a larger k says less than it seems to.

Priors, the same for every k, by what they say of customers before any data (unit: a week):

========================  ==================  =============================================================
coordinate                Normal(mean, sd)    in words: median (95 %)
========================  ==================  =============================================================
log r                     (−0.5, 1)           customers' rates vary with cv 1.3 (0.5 to 3.4)
log rate = log(r/(kα))    (−2, 1.5)           a purchase every 7 weeks (every 3 days to every 140 weeks)
logit φ, φ = a/(a+b)      (−2, 1.5)           12 % of customers leave after a purchase (1 % to 72 %)
log κ, κ = a+b            (1, 1)              customers' leaving probabilities vary little (19) or much (0.4)
========================  ==================  =============================================================

The published maximum-likelihood estimates lie within 1 sd of each mean.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, PurchaseModel, Values, as_column, nobody_again, repeat_faults
from crmlab.clv.models.stages import between, purchases_by
from crmlab.contract import Fault

MOST_REGULAR = 6
NODES, WEIGHTS = ((v + s) / 2 for v, s in zip(np.polynomial.legendre.leggauss(8), (1, 0), strict=True))


def natural(k: int, theta: Values, constants: Values, xp: Any) -> dict[str, Any]:
    """r, α, a, b from the unconstrained coordinates."""
    r = xp.exp(theta["log_r"])
    kappa = xp.exp(theta["log_kappa"])
    phi = 1 / (1 + xp.exp(-theta["logit_phi"]))
    return {"r": r, "alpha": r * xp.exp(-theta["log_rate"]) / k, "a": kappa * phi, "b": kappa * (1 - phi)}


def faults(k: int, history: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong with x, t_x and T, and for k ≥ 2 with litt."""
    found = repeat_faults(history)
    if k == 1:
        return found
    if "litt" not in history.columns:
        return [*found, Fault("litt", "this column is missing; regularity shows in the times between purchases")]
    if found:
        return found
    x, t_x, litt = (history[c].to_numpy(float) for c in ("x", "t_x", "litt"))
    with np.errstate(all="ignore"):
        most = np.where(x > 0, x * np.log(t_x / x), 0)
    for bad, what in (
        (~np.isfinite(litt), "missing or infinite"),
        ((x == 0) & (np.abs(litt) > 0), "other than 0 where x = 0; without a repeat purchase there is no interval"),
        (litt > most + 1e-6 * (1 + np.abs(most)), "above x·log(t_x/x), which equal intervals give; count it in weeks"),
    ):
        if bad.any():
            found.append(Fault("litt", f"{int(bad.sum())} {what}"))
    return found


def log_likelihood(k: int, parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each row, in the parameters of the R package BTYDplus; at k = 1 that of the MBG/NBD.

    With n = r + kx, L = exp{(k−1) litt − x ln Γ(k)} · Γ(n) α^r / (Γ(r) B(a, b))
    · { B(a, b+x+1) Σ_{m<k} Γ(n+m)/Γ(n) (T−t_x)^m/m! (α+T)^{−n−m} + B(a+1, b+x) (α+t_x)^{−n} }.

    Parameters
    ----------
    k
        Stages from one purchase to the next.
    parameters
        r, alpha, a, b > 0; alpha in weeks.
    data
        x, t_x, T in weeks, one row a customer; litt where k ≥ 2.
    xp
        Functions in NumPy or PyTensor.
    """
    r, alpha, a, b = (parameters[name] for name in ("r", "alpha", "a", "b"))
    x, t_x, T = data["x"], data["t_x"], data["T"]
    n = r + k * x
    common = xp.gammaln(n) - xp.gammaln(r) + r * xp.log(alpha) - xp.betaln(a, b) - x * gammaln(k)
    waiting = xp.log(between(k, n, (T - t_x) / (alpha + T)))
    alive = xp.betaln(a, b + x + 1) - n * xp.log(alpha + T) + waiting
    left = xp.betaln(a + 1, b + x) - n * xp.log(alpha + t_x)
    regular = (k - 1) * data["litt"] if k > 1 else 0.0
    return common + regular + xp.logaddexp(alive, left)


def fast(k: int, data: Arrays) -> Callable[[Values], float]:
    """The log-likelihood of all rows: log-gamma once per distinct x, logs once per distinct T and t_x."""
    x, weight = data["x"], data["weight"]
    xs, at_x = np.unique(x, return_inverse=True)
    Ts, at_T = np.unique(data["T"], return_inverse=True)
    ts, at_t = np.unique(data["t_x"], return_inverse=True)
    n_xs, n_Ts = np.bincount(at_x, weights=weight), np.bincount(at_T, weights=weight)
    x_Ts = np.bincount(at_T, weights=weight * x)
    gap, customers = data["T"] - data["t_x"], weight.sum()
    regular = (weight * ((k - 1) * data["litt"] - x * gammaln(k))).sum() if k > 1 else 0.0

    def total(parameters: Values) -> float:
        r, alpha, a, b = (parameters[name] for name in ("r", "alpha", "a", "b"))
        by_x = gammaln(r + k * xs) + gammaln(b + xs + 1) - gammaln(a + b + xs + 1)
        once = r * np.log(alpha) - gammaln(r) - gammaln(b) + gammaln(a + b)
        log_T, log_t = np.log(alpha + Ts), np.log(alpha + ts)
        n = r + k * x
        left = n * (log_T[at_T] - log_t[at_t]) - np.log((b + xs) / a)[at_x]
        waiting = between(k, n, gap * (1 / (alpha + Ts))[at_T])
        # log(waiting + e^left), where e^left may be too large a number
        either = np.log(waiting + np.exp(np.minimum(left, 700))) + np.maximum(left - 700, 0)
        at_each = (n_xs * by_x).sum() - ((r * n_Ts + k * x_Ts) * log_T).sum() + (weight * either).sum()
        return float(customers * once + regular + at_each)

    return total


def simulate(k: int, parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers observed for the T of `history`, their x, t_x and litt drawn from the model."""
    T = history["T"].to_numpy(float)
    n = len(T)
    rate = rng.gamma(parameters["r"], 1 / parameters["alpha"], n)
    p = rng.beta(parameters["a"], parameters["b"], n)
    x, t_x, litt = np.zeros(n), np.zeros(n), np.zeros(n)
    alive = np.flatnonzero(rng.random(n) >= p)
    while len(alive):
        with np.errstate(divide="ignore"):
            interval = rng.gamma(k, size=len(alive)) / rate[alive]
        bought = t_x[alive] + interval <= T[alive]
        alive = alive[bought]
        x[alive] += 1
        t_x[alive] += interval[bought]
        litt[alive] += np.log(interval[bought])
        alive = alive[rng.random(len(alive)) >= p[alive]]
    return history.assign(x=x, t_x=t_x, litt=litt)


def p_alive(k: int, draws: Values, history: pd.DataFrame) -> np.ndarray:
    """P(alive at T | x, t_x, T): the first term of the likelihood's braces over both.

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
    waiting, left = _terms(k, as_column(draws), history)
    return waiting / (waiting + left)


def _terms(k: int, d: Arrays, history: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The two terms in the likelihood's braces over B(a, b+x+1) (α+T)^{−n}: `between`, and that of having left."""
    x, t_x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "t_x", "T"))
    n = d["r"] + k * x
    log_left = np.log(d["a"] / (d["b"] + x)) + n * np.log((d["alpha"] + T) / (d["alpha"] + t_x))
    return between(k, n, (T - t_x) / (d["alpha"] + T)), np.exp(np.minimum(log_left, 700))


def expected_purchases(
    k: int, draws: Values, history: pd.DataFrame, weeks: float, discounts: tuple[float, ...] = (0.0,)
) -> np.ndarray:
    """Purchases expected in (T, T + weeks], discounted continuously.

    Undiscounted it is M(weeks), a sum over the stages that may be passed (`purchases_by`), without approximation. A
    purchase s weeks ahead is worth e^{−δs}: by parts, e^{−δ weeks} M(weeks) + δ ∫₀^weeks e^{−δs} M(s) ds, by 8-node
    Gauss–Legendre in √(s/weeks), whose error is below 1e-5 of the whole over a year.

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
    x, t_x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "t_x", "T"))
    given = {"n": d["r"] + k * x, "scale": d["alpha"] + T, "gap": T - t_x, "a": d["a"], "b": d["b"] + x + 1}
    at_end = purchases_by(k, weeks, **given)
    totals = [np.exp(-delta * weeks) * at_end for delta in discounts]
    for node, weight in zip(NODES, WEIGHTS, strict=True) if any(discounts) else ():
        s = weeks * node**2
        so_far = purchases_by(k, s, **given)
        for total, delta in zip(totals, discounts, strict=True):
            total += delta * np.exp(-delta * s) * 2 * weeks * node * weight * so_far
    return np.stack(totals) / sum(_terms(k, d, history))


def future_purchases(
    k: int, draws: Values, history: pd.DataFrame, weeks: float, rng: np.random.Generator
) -> np.ndarray:
    """Counts drawn from the predictive distribution of the purchases in (T, T + weeks].

    Given alive, the m < k stages passed since t_x, then λ ~ Gamma(n+m, α+T), then Poisson(λ · weeks) stages are drawn;
    a customer makes the smaller of the purchases they complete and the number it takes to leave, Geometric(p).

    Returns
    -------
    numpy.ndarray
        (customers, draws), whole numbers.
    """
    d = as_column(draws)
    x, t_x, T = (history[c].to_numpy(float)[:, None] for c in ("x", "t_x", "T"))
    n, a, scale = np.broadcast_arrays(d["r"] + k * x, d["a"], d["alpha"] + T)
    waiting, left = _terms(k, d, history)
    alive = rng.random(n.shape) < waiting / (waiting + left)
    above, weight, m = rng.random(n.shape) * waiting, 1.0, np.zeros(n.shape)
    for stage in range(1, k):
        above = above - weight
        m += above > 0
        weight = weight * (n + stage - 1) * (T - t_x) / scale / stage
    stages = m + rng.poisson(rng.gamma(n + m) / scale * weeks)
    p = np.clip(rng.beta(a, d["b"] + x + 1), 1e-9, 1)
    return np.where(alive, np.minimum(stages // k, rng.geometric(p)), 0)


def model_of(k: int) -> PurchaseModel:
    """The member of the family with k stages from one purchase to the next."""
    return PurchaseModel(
        name="mbgnbd" if k == 1 else f"mbg_cnbd_{k}",
        title="MBG/NBD" if k == 1 else f"MBG/CNBD-{k}",
        source="Batislam, Denizel & Filiztekin 2007" if k == 1 else "Reutterer, Platzer & Schröder 2021",
        parameters=("r", "alpha", "a", "b"),
        priors={"log_r": (-0.5, 1.0), "log_rate": (-2.0, 1.5), "logit_phi": (-2.0, 1.5), "log_kappa": (1.0, 1.0)},
        natural=partial(natural, k),
        columns=("x", "t_x", "T") if k == 1 else ("x", "t_x", "T", "litt"),
        averaged=() if k == 1 else ("litt",),
        faults=partial(faults, k),
        too_little=nobody_again,
        log_likelihood=partial(log_likelihood, k),
        fast=partial(fast, k),
        simulate=partial(simulate, k),
        given_alive=("x", "T") if k == 1 else (),
        stages=k,
        purchase_scale="alpha",
        dropout_scale=(("a", 1), ("b", -1)),
        p_alive=partial(p_alive, k),
        expected_purchases=partial(expected_purchases, k),
        future_purchases=partial(future_purchases, k),
    )


MODELS = tuple(model_of(k) for k in range(1, MOST_REGULAR + 1))
