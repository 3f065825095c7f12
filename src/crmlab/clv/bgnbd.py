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

import numpy as np
import pandas as pd
from scipy.special import betaln, gammaln

from crmlab.clv.model import Arrays, PurchaseModel, Values, as_column, missing_columns, numbers_at_fault
from crmlab.contract import Fault

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
SERIES_TOLERANCE = 1e-11
SERIES_TERMS = 5_000


def natural(theta: Values, data: Values, xp) -> dict:
    """r, α, a, b from the unconstrained coordinates."""
    r = xp.exp(theta["log_r"])
    kappa = xp.exp(theta["log_kappa"])
    phi = 1 / (1 + xp.exp(-theta["logit_phi"]))
    return {"r": r, "alpha": r * xp.exp(-theta["log_rate"]), "a": kappa * phi, "b": kappa * (1 - phi)}


def faults(history: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong with x, t_x and T."""
    found = missing_columns(history, ("x", "t_x", "T"))
    if found:
        return found
    found = numbers_at_fault(history, ("x", "t_x", "T"))
    if found:
        return found
    x, t_x, T = (history[c].to_numpy(float) for c in ("x", "t_x", "T"))
    for bad, where, what in (
        (x != np.floor(x), "x", "not whole numbers; x counts repeat purchases"),
        (t_x > T, "t_x", "after T; the last purchase cannot follow the end of observation"),
        ((x == 0) & (t_x > 0), "t_x", "above 0 where x = 0; without a repeat purchase t_x is 0"),
        ((x > 0) & (t_x == 0), "t_x", "0 where x > 0; count distinct purchase days"),
    ):
        if bad.any():
            found.append(Fault(where, f"{int(bad.sum())} {what}"))
    if not found and not (x > 0).any():
        found.append(Fault("x", "nobody bought again; the model needs repeat purchases"))
    return found


def rows(history: pd.DataFrame) -> pd.DataFrame:
    """Every customer informs the model."""
    return history


def statistics(history: pd.DataFrame) -> Arrays:
    """The data collapsed, so that each transcendental function runs once per distinct argument.

    Returns
    -------
    dict
        ``n``, ``total_x``: customers and their repeat purchases; ``xs``, ``n_xs``: distinct x and customers at each;
        ``Ts``, ``n_Ts``, ``x_Ts``: distinct T, customers and repeat purchases at each; ``ts``: distinct t_x > 0;
        ``at_x``, ``at_T``, ``at_t``, ``weight``: distinct repeat triples as positions in the former.
    """
    x, t_x, T = (history[c].to_numpy(float) for c in ("x", "t_x", "T"))
    xs, n_xs = np.unique(x, return_counts=True)
    Ts, where_T, n_Ts = np.unique(T, return_inverse=True, return_counts=True)
    repeat = x > 0
    triples, weight = np.unique(np.column_stack([x, T, t_x])[repeat], axis=0, return_counts=True)
    ts, at_t = np.unique(triples[:, 2], return_inverse=True)
    return {
        "n": np.float64(len(x)),
        "xs": xs,
        "n_xs": n_xs.astype(float),
        "Ts": Ts,
        "n_Ts": n_Ts.astype(float),
        "x_Ts": np.bincount(where_T, weights=x),
        "ts": ts,
        "at_x": np.searchsorted(xs, triples[:, 0]).astype("int64"),
        "at_T": np.searchsorted(Ts, triples[:, 1]).astype("int64"),
        "at_t": at_t.astype("int64"),
        "x": triples[:, 0],
        "weight": weight.astype(float),
    }


def log_likelihood(parameters: Values, history: pd.DataFrame) -> np.ndarray:
    """Log-likelihood of each customer, eq. (6).

    L = B(a, b+x)/B(a, b) · Γ(r+x) α^r / (Γ(r) (α+T)^{r+x})
    + 1{x>0} · B(a+1, b+x−1)/B(a, b) · Γ(r+x) α^r / (Γ(r) (α+t_x)^{r+x}).

    Parameters
    ----------
    parameters
        r, alpha, a, b > 0; alpha in weeks.
    history
        x, t_x, T in weeks, one row a customer.
    """
    r, alpha, a, b = (parameters[name] for name in ("r", "alpha", "a", "b"))
    x, t_x, T = (history[c].to_numpy(float) for c in ("x", "t_x", "T"))
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + T)
    at_least_1 = np.maximum(x, 1)
    left = betaln(a + 1, b + at_least_1 - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return common + np.logaddexp(stayed, np.where(x > 0, left, -np.inf))


def graph(parameters: Values, data: Values):
    """Eq. (6) summed over customers, factorised: a soft-plus per distinct repeat triple, logs per distinct value."""
    import pytensor.tensor as pt

    r, alpha, a, b = (parameters[name] for name in ("r", "alpha", "a", "b"))
    by_x = pt.gammaln(r + data["xs"]) + pt.gammaln(b + data["xs"]) - pt.gammaln(a + b + data["xs"])
    once = r * pt.log(alpha) - pt.gammaln(r) - pt.gammaln(b) + pt.gammaln(a + b)
    log_T = pt.log(alpha + data["Ts"])
    odds = (
        pt.log(a)
        - pt.log(b + data["xs"] - 1)[data["at_x"]]
        + (r + data["x"]) * (log_T[data["at_T"]] - pt.log(alpha + data["ts"])[data["at_t"]])
    )
    return (
        data["n"] * once
        + (data["n_xs"] * by_x).sum()
        - ((r * data["n_Ts"] + data["x_Ts"]) * log_T).sum()
        + (data["weight"] * pt.softplus(odds)).sum()
    )


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
    pairs, back = np.unique(history[["x", "T"]].to_numpy(float), axis=0, return_inverse=True)
    x, T = pairs[:, :1], pairs[:, 1:]
    r, a, b, scale = d["r"], d["a"], d["b"], d["alpha"] + T
    # Pfaff: ₂F₁(r+x+1, a; c; −z) = (1+z)^{−a} ₂F₁(a, a+b−r−1; c; z/(1+z)), whose series always converges
    totals = np.zeros((len(discounts), *scale.shape))
    half = np.log1p(weeks / scale) / 2
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        u = half * (node + 1)
        surviving = np.exp((1 - a) * u) * series(a, a + b - r - 1, a + b + x, -np.expm1(-u))
        for total, discount in zip(totals, discounts, strict=True):
            total += half * weight * np.exp(-discount * scale * np.expm1(u)) * surviving
    return p_alive(draws, history) * ((r + x) * totals)[:, back]


def series(a: np.ndarray, b: np.ndarray, c: np.ndarray, w: np.ndarray) -> np.ndarray:
    """₂F₁(a, b; c; w) by its power series; a, b (1, draws), c > 0 and 0 ≤ w < 1 (rows, draws)."""
    total = np.ones(w.shape)
    going, term = np.arange(len(w)), np.ones(w.shape)
    for k in range(SERIES_TERMS):
        term = term * w * ((a + k) * (b + k) / (k + 1) / (c + k))
        total[going] += term
        if k % 8 == 7:  # rows that have converged leave; what is left of a row is below term · w/(1 − w)
            on = (np.abs(term) * w > SERIES_TOLERANCE * (1 - w)).any(axis=1)
            if not on.any():
                break
            going, term, w, c = going[on], term[on], w[on], c[on]
    return total


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
    rows=rows,
    faults=faults,
    statistics=statistics,
    log_likelihood=log_likelihood,
    graph=graph,
    simulate=simulate,
    p_alive=p_alive,
    expected_purchases=expected_purchases,
    future_purchases=future_purchases,
)
