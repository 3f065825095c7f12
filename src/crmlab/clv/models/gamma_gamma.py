"""Gamma-Gamma: what a purchase of each customer is worth.

Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value; equation numbers are those of that note.

A customer's purchases are Gamma(p, ν) with ν ~ Gamma(q, γ), independently of how often the customer buys. Data: x
repeat purchases of mean value z_bar. Only customers with x > 0 and z_bar > 0 inform it.

Priors. The unit of money is the median of z_bar over customers, so that they mean the same in every currency and no
single customer moves it:

=======================  ==================  ==========================================================
coordinate               Normal(mean, sd)    in words: median (95 %)
=======================  ==================  ==========================================================
log p                    (1, 1)              a customer's purchases vary with cv 0.6 (0.2 to 1.6)
log(q − 1)               (1, 1)              customers' means vary with cv 1.2 at q = 2.7; q > 1 so that
                                             the population has a mean (1.4 to 20)
log mean, pγ/(q−1)       (0, 1)              the population's mean value is 1 unit (0.14 to 7)
=======================  ==================  ==========================================================
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, SpendModel, Values, as_column, missing_columns, numbers_at_fault
from crmlab.contract import Fault, Sentence

FEWEST_REPEATING = 10


def natural(theta: Values, constants: Values, xp: Any) -> dict[str, Any]:
    """p, q, γ from the unconstrained coordinates; γ in the currency of z_bar."""
    p = xp.exp(theta["log_p"])
    above_1 = xp.exp(theta["log_q_above_1"])
    mean = xp.exp(theta["log_mean"] + constants["log_unit"])
    return {"p": p, "q": 1 + above_1, "gamma": mean * above_1 / p}


def constants(history: pd.DataFrame) -> dict[str, float]:
    """The unit of money: the median of z_bar over the customers who inform the model, which no whale moves."""
    return {"log_unit": float(np.log(rows(history)["z_bar"].median()))}


def faults(history: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong with x and z_bar."""
    found = missing_columns(history, ("x", "z_bar"))
    if found:
        return found
    found = numbers_at_fault(history, ("x",))
    if found:
        return found
    x, z_bar = history["x"].to_numpy(float), history["z_bar"].to_numpy(float)
    unknown = int((~np.isfinite(z_bar) & (x > 0)).sum())
    if unknown:
        found.append(Fault("z_bar", f"{unknown} missing or infinite where x > 0; every repeat buyer has a mean value"))
    return found


def too_little(history: pd.DataFrame) -> list[Sentence]:
    """Whether too few came back to say what a purchase of each is worth."""
    kept = rows(history)
    values = kept["z_bar"].to_numpy()
    # Means of equal values differ by rounding.
    if len(kept) >= FEWEST_REPEATING and np.ptp(values) > 1e-9 * values.max():
        return []
    if len(kept) >= FEWEST_REPEATING:
        return [Sentence("Every order has the same value: there is nothing to learn of how values vary.", tone="warn")]
    return [
        Sentence(
            "Fewer than {n} customers bought again at a value above 0: too few to learn what orders are worth.",
            {"n": FEWEST_REPEATING},
            tone="warn",
        )
    ]


def rows(history: pd.DataFrame) -> pd.DataFrame:
    """Customers with a repeat purchase, of positive mean value."""
    return history[(history["x"] > 0) & (history["z_bar"] > 0)]


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each row with x > 0 and z_bar > 0, eq. (1a).

    f(z̄) = Γ(px+q)/(Γ(px) Γ(q)) · γ^q z̄^{px−1} x^{px} / (γ + x z̄)^{px+q}.

    Parameters
    ----------
    parameters
        p, q, gamma > 0; gamma in the currency of z_bar.
    data
        x and z_bar, one row a customer.
    xp
        Functions in NumPy or PyTensor.
    """
    p, q, gamma = (parameters[name] for name in ("p", "q", "gamma"))
    x, z_bar = data["x"], data["z_bar"]
    return (
        xp.gammaln(p * x + q)
        - xp.gammaln(p * x)
        - xp.gammaln(q)
        + q * xp.log(gamma)
        + (p * x - 1) * xp.log(z_bar)
        + p * x * xp.log(x)
        - (p * x + q) * xp.log(gamma + x * z_bar)
    )


def fast(data: Arrays) -> Callable[[Values], float]:
    """Eq. (1a) summed over customers: log-gamma once per distinct x."""
    weight, x, z_bar = data["weight"], data["x"], data["z_bar"]
    spent, n = x * z_bar, weight.sum()
    xs, at_x = np.unique(x, return_inverse=True)
    n_xs = np.bincount(at_x, weights=weight)
    sum_log_z, sum_x_log_spent = (weight * np.log(z_bar)).sum(), (weight * x * np.log(spent)).sum()

    def total(parameters: Values) -> float:
        p, q, gamma = (parameters[name] for name in ("p", "q", "gamma"))
        by_x = gammaln(p * xs + q) - gammaln(p * xs)
        once = q * np.log(gamma) - gammaln(q)
        grown = (weight * (p * x + q) * np.log(gamma + spent)).sum()
        return float((n_xs * by_x).sum() + n * once + p * sum_x_log_spent - sum_log_z - grown)

    return total


def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers with the x of `history`, their z_bar drawn from the model; missing where x = 0."""
    x = history["x"].to_numpy(float)
    nu = rng.gamma(parameters["q"], 1 / parameters["gamma"], len(x))
    z_bar = rng.gamma(parameters["p"] * np.maximum(x, 1)) / (nu * np.maximum(x, 1))
    return history.assign(z_bar=np.where(x > 0, z_bar, np.nan))


def expected_value(draws: Values, history: pd.DataFrame) -> np.ndarray:
    """Expected value of a purchase, eq. (5): E(M) = p (γ + x z̄) / (px + q − 1).

    A customer with x = 0 has the population's mean, pγ/(q − 1), which is eq. (5) at x = 0. A mean value below 0
    (returns) counts as 0.

    Returns
    -------
    numpy.ndarray
        (customers, draws), in the currency of z_bar.
    """
    d = as_column(draws)
    x = history["x"].to_numpy(float)[:, None]
    spent = x * np.maximum(np.nan_to_num(history["z_bar"].to_numpy(float)), 0)[:, None]
    return d["p"] * (d["gamma"] + spent) / (d["p"] * x + d["q"] - 1)


def future_spend(draws: Values, history: pd.DataFrame, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Value of `counts` purchases drawn from the predictive distribution: Gamma(p · counts, ν), ν ~ Gamma(q+px, γ+xz̄).

    Parameters
    ----------
    draws
        Parameter → (draws,).
    history
        x and z_bar, one row a customer.
    counts
        (customers, draws) whole numbers.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        (customers, draws), in the currency of z_bar.
    """
    d = as_column(draws)
    x = history["x"].to_numpy(float)[:, None]
    spent = x * np.maximum(np.nan_to_num(history["z_bar"].to_numpy(float)), 0)[:, None]
    nu = rng.gamma(np.broadcast_to(d["q"] + d["p"] * x, counts.shape)) / (d["gamma"] + spent)
    total = rng.gamma(np.where(counts > 0, d["p"] * counts, 1.0))
    return np.where(counts > 0, total / nu, 0.0)


MODEL = SpendModel(
    name="gamma_gamma",
    title="Gamma-Gamma",
    source="Fader & Hardie 2013",
    parameters=("p", "q", "gamma"),
    priors={"log_p": (1.0, 1.0), "log_q_above_1": (1.0, 1.0), "log_mean": (0.0, 1.0)},
    natural=natural,
    constants=constants,
    columns=("x", "z_bar"),
    rows=rows,
    faults=faults,
    too_little=too_little,
    log_likelihood=log_likelihood,
    fast=fast,
    simulate=simulate,
    expected_value=expected_value,
    future_spend=future_spend,
    value_scale="gamma",
)
