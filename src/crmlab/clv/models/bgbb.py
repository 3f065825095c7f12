"""BG/BB: customers who may buy once at each of many opportunities, and who leave unseen.

Fader, Hardie & Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting, Marketing Science
29(6), 1086–1108.

At the start of each opportunity (a year of donations, a yearly trip, a monthly appeal) a customer leaves with
probability θ ~ Beta(γ, δ); one still there takes it with probability p ~ Beta(α, β). Data, one row a customer:

x, t_x, n
    Opportunities taken since the first, the number of the last one taken (0 if none), opportunities so far.
period_weeks
    Weeks from one opportunity to the next, the same for all: an horizon in weeks holds the nearest whole number of
    opportunities, the j-th at j · period_weeks.

Priors, by what they say of customers before any data (unit: an opportunity):

==========================  ==================  =========================================================
coordinate                  Normal(mean, sd)    in words: median (95 %)
==========================  ==================  =========================================================
logit μ, μ = α/(α+β)        (0, 1.5)            a customer takes 50 % of opportunities (5 % to 95 %)
log ν, ν = α+β              (1, 1)              those shares vary little (19) or much (0.4)
logit φ, φ = γ/(γ+δ)        (−1.5, 1.5)         18 % leave before the first opportunity (1 % to 81 %)
log κ, κ = γ+δ              (1, 1)              leaving probabilities vary little (19) or much (0.4)
==========================  ==================  =========================================================

The published estimates lie within 0.4 sd of each mean.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import (
    Arrays,
    PurchaseModel,
    Values,
    as_column,
    missing_columns,
    nobody_again,
    numbers_at_fault,
)
from crmlab.contract import Fault

COLUMNS = ("x", "t_x", "n", "period_weeks")


def natural(theta: Values, constants: Values, xp: Any = NUMPY) -> dict[str, Any]:
    """α, β, γ, δ from the unconstrained coordinates."""
    mu, phi = (1 / (1 + xp.exp(-theta[k])) for k in ("logit_mu", "logit_phi"))
    nu, kappa = xp.exp(theta["log_nu"]), xp.exp(theta["log_kappa"])
    return {"alpha": nu * mu, "beta": nu * (1 - mu), "gamma": kappa * phi, "delta": kappa * (1 - phi)}


def faults(history: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong with x, t_x, n and period_weeks."""
    found = missing_columns(history, COLUMNS) or numbers_at_fault(history, COLUMNS)
    if found:
        return found
    x, t_x, n, weeks = (history[c].to_numpy(float) for c in COLUMNS)
    for bad, where, what in (
        (x != np.floor(x), "x", "not whole numbers; x counts opportunities taken"),
        (t_x != np.floor(t_x), "t_x", "not whole numbers; t_x is the number of an opportunity"),
        (n != np.floor(n), "n", "not whole numbers; n counts opportunities"),
        (t_x > n, "t_x", "above n; the last opportunity taken cannot follow the last there was"),
        (x > t_x, "x", "above t_x; at most one purchase an opportunity"),
        ((x == 0) & (t_x > 0), "t_x", "above 0 where x = 0; without a repeat purchase t_x is 0"),
        ((weeks != weeks[0]) | (weeks <= 0), "period_weeks", "not the one length above 0 that all must have"),
    ):
        if bad.any():
            found.append(Fault(where, f"{int(bad.sum())} {what}"))
    return found


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each row.

    L = [B(α+x, β+n−x) B(γ, δ+n) + Σ_{i=0..n−t_x−1} B(α+x, β+t_x−x+i) B(γ+1, δ+t_x+i)] / [B(α, β) B(γ, δ)].

    Parameters
    ----------
    parameters
        alpha, beta, gamma, delta > 0: numbers, or one value a row.
    data
        x, t_x, n: (rows,).
    """
    alpha, beta, gamma, delta = (parameters[name] for name in ("alpha", "beta", "gamma", "delta"))
    x, t_x, n = data["x"], data["t_x"], data["n"]
    stayed = xp.betaln(alpha + x, beta + n - x) + xp.betaln(gamma, delta + n)
    first = xp.betaln(alpha + x, beta + t_x - x) + xp.betaln(gamma + 1, delta + t_x)  # the largest of the terms
    later = xp.arange(xp.max(n - t_x))
    a, b = _wide(alpha + x), _wide(beta + t_x - x) + later
    c, d = _wide(gamma + 1 + 0 * x), _wide(delta + t_x) + later
    terms = xp.exp(xp.betaln(a, b) + xp.betaln(c, d) - _wide(first))
    silent = xp.sum(xp.where(later < _wide(n - t_x), terms, 0.0), axis=1)
    left = first + xp.log(xp.maximum(silent, 1.0))
    at_all = xp.where(n > t_x, xp.softplus(left - stayed), 0.0)
    return stayed + at_all - xp.betaln(alpha, beta) - xp.betaln(gamma, delta)


def fast(data: Arrays) -> Callable[[Values], float]:
    """The log-likelihood of all customers: its terms once per (x, opportunity), summed from the last backwards."""
    x, t_x, n, weight = (data[c] for c in ("x", "t_x", "n", "weight"))
    xs, at_x = np.unique(x, return_inverse=True)
    steps = np.arange(max(n.max(), 1.0))
    before = np.maximum(steps - xs[:, None], 0).astype(int)
    at_t, at_n = (np.minimum(v, len(steps) - 1).astype(int) for v in (t_x, n))
    silent, to_last = n > t_x, n == len(steps)

    def total(parameters: Values) -> float:
        alpha, beta, gamma, delta = (parameters[name] for name in ("alpha", "beta", "gamma", "delta"))
        missed, whole = NUMPY.gammaln(beta + steps), NUMPY.gammaln(alpha + beta + steps)
        terms = NUMPY.gammaln(alpha + xs)[:, None] + missed[before] - whole + NUMPY.betaln(gamma + 1, delta + steps)
        onwards = np.logaddexp.accumulate(terms[:, ::-1], axis=1)[:, ::-1]
        left = onwards[at_x, at_t]
        beyond = np.where(to_last, -np.inf, onwards[at_x, at_n] - left)
        stayed = NUMPY.betaln(alpha + x, beta + n - x) + NUMPY.betaln(gamma, delta + n)
        rows = stayed.copy()
        gone = left[silent] + np.log(-np.expm1(beyond[silent]))
        rows[silent] = np.logaddexp(stayed[silent], gone)
        once = NUMPY.betaln(alpha, beta) + NUMPY.betaln(gamma, delta)
        return float((weight * (rows - once)).sum())

    return total


def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers with the n opportunities of `history`, their x and t_x drawn from the model."""
    n = history["n"].to_numpy(float)
    p = rng.beta(parameters["alpha"], parameters["beta"], len(n))
    theta = rng.beta(parameters["gamma"], parameters["delta"], len(n))
    there = np.minimum(_stays(theta, rng), n)
    x, t_x = np.zeros(len(n), dtype="int64"), np.zeros(len(n), dtype="int64")
    for opportunity in range(1, int(n.max(initial=0)) + 1):
        taken = (opportunity <= there) & (rng.random(len(n)) < p)
        x += taken
        t_x[taken] = opportunity
    return history.assign(x=x, t_x=t_x)


def p_alive(draws: Values, history: pd.DataFrame) -> np.ndarray:
    """P(alive at opportunity n + 1 | x, t_x, n), eq. (11): still a customer when the next opportunity comes.

    Parameters
    ----------
    draws
        Parameter → (draws,), or (customers, draws).
    history
        x, t_x, n: one row a customer.

    Returns
    -------
    numpy.ndarray
        (customers, draws), within [0, 1].
    """
    d = as_column(draws)
    n = history["n"].to_numpy(float)[:, None]
    return _alive_at_n(d, history) * (d["delta"] + n) / (d["gamma"] + d["delta"] + n)


def expected_purchases(
    draws: Values, history: pd.DataFrame, weeks: float, discounts: tuple[float, ...] = (0.0,)
) -> np.ndarray:
    """Purchases expected at the opportunities of the next `weeks`, eq. (13) as the sum it solves.

    Given alive at n, p ~ Beta(α+x, β+n−x) and θ ~ Beta(γ, δ+n) independently. Hence

    E = P(alive at n) · (α+x)/(α+β+n) · Σ_{j=1..} B(γ, δ+n+j)/B(γ, δ+n) · e^{−discount · j · period_weeks}.

    Parameters
    ----------
    draws
        Parameter → (draws,), or (customers, draws).
    history
        x, t_x, n, period_weeks: one row a customer.
    weeks
        Horizon; it holds the nearest whole number of opportunities.
    discounts
        Continuous rates a week: one answer each.

    Returns
    -------
    numpy.ndarray
        (discounts, customers, draws).
    """
    d = as_column(draws)
    x, n = (history[c].to_numpy(float)[:, None] for c in ("x", "n"))
    there = _alive_at_n(d, history) * (d["alpha"] + x) / (d["alpha"] + d["beta"] + n)
    totals = np.zeros((len(discounts), *there.shape))
    ahead, period_weeks = _opportunities(history, weeks)
    for j in range(1, ahead + 1):
        there = there * (d["delta"] + n + j - 1) / (d["gamma"] + d["delta"] + n + j - 1)
        for total, discount in zip(totals, discounts, strict=True):
            total += there * np.exp(-discount * j * period_weeks)
    return totals


def future_purchases(draws: Values, history: pd.DataFrame, weeks: float, rng: np.random.Generator) -> np.ndarray:
    """Counts drawn from the predictive distribution of the purchases of the next `weeks`.

    Returns
    -------
    numpy.ndarray
        (customers, draws), whole numbers.
    """
    d = as_column(draws)
    x, n = (history[c].to_numpy(float)[:, None] for c in ("x", "n"))
    alive = _alive_at_n(d, history)
    alive = rng.random(alive.shape) < alive
    p = rng.beta(d["alpha"] + x, np.broadcast_to(d["beta"] + n - x, alive.shape))
    theta = rng.beta(np.broadcast_to(d["gamma"], alive.shape), d["delta"] + n)
    ahead, _ = _opportunities(history, weeks)
    there = np.minimum(_stays(theta, rng), ahead)
    return np.where(alive, rng.binomial(there.astype("int64"), p), 0)


def _alive_at_n(d: Values, history: pd.DataFrame) -> np.ndarray:
    """P(alive at n): the likelihood's first term over all of it; (customers, draws)."""
    x, t_x, n = (history[c].to_numpy(float)[:, None] for c in ("x", "t_x", "n"))
    alpha, beta, gamma, delta = d["alpha"], d["beta"], d["gamma"], d["delta"]
    # the term of one who left at opportunity n − i + 1, over that of one who stayed, is built up backwards
    odds = np.zeros(np.broadcast_shapes(x.shape, alpha.shape))
    buying = np.ones(odds.shape)
    leaving = gamma / np.where(n > 0, delta + n - 1, 1.0)
    for i in range(1, int((n - t_x).max(initial=0)) + 1):
        within = i <= n - t_x
        m = np.where(within, n - i, 1.0 + x)
        buying = buying * np.where(within, (alpha + beta + m) / (beta + m - x), 1.0)
        odds += np.where(within, buying * leaving, 0.0)
        leaving = leaving * np.where(within & (m > 0), (gamma + delta + m) / np.maximum(delta + m - 1, 1e-300), 1.0)
    return 1 / (1 + odds)


def _stays(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Opportunities at which a customer is still there, leaving before each with probability θ."""
    return rng.geometric(np.clip(theta, 1e-12, 1)) - 1


def _opportunities(history: pd.DataFrame, weeks: float) -> tuple[int, float]:
    """How many opportunities lie ahead within a horizon, and the weeks between them."""
    period_weeks = float(history["period_weeks"].iloc[0]) if len(history) else 1.0
    return round(weeks / period_weeks), period_weeks


def _wide(values: Any) -> Any:
    """(rows,) as (rows, 1)."""
    return values[:, None]


MODEL = PurchaseModel(
    name="bgbb",
    title="BG/BB",
    source="Fader, Hardie & Shang 2010",
    parameters=("alpha", "beta", "gamma", "delta"),
    priors={"logit_mu": (0.0, 1.5), "log_nu": (1.0, 1.0), "logit_phi": (-1.5, 1.5), "log_kappa": (1.0, 1.0)},
    natural=natural,
    columns=COLUMNS,
    faults=faults,
    too_little=nobody_again,
    log_likelihood=log_likelihood,
    fast=fast,
    simulate=simulate,
    p_alive=p_alive,
    expected_purchases=expected_purchases,
    future_purchases=future_purchases,
    dropout_scale=(("gamma", 1), ("delta", -1)),
)
