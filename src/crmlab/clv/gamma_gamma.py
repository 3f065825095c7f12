"""Gamma-Gamma: what a purchase of each customer is worth.

Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value; equation numbers are those of that note.

A customer's purchases are Gamma(p, ν) with ν ~ Gamma(q, γ), independently of how often the customer buys. Data: x
repeat purchases of mean value z_bar. Only customers with x > 0 and z_bar > 0 inform it.

Priors. The unit of money is the mean of z_bar over customers, so that they mean the same in every currency:

=======================  ==================  ==========================================================
coordinate               Normal(mean, sd)    in words: median (95 %)
=======================  ==================  ==========================================================
log p                    (1, 1)              a customer's purchases vary with cv 0.6 (0.2 to 1.6)
log(q − 1)               (1, 1)              customers' means vary with cv 1.2 at q = 2.7; q > 1 so that
                                             the population has a mean (1.4 to 20)
log mean, pγ/(q−1)       (0, 1)              the population's mean value is 1 unit (0.14 to 7)
=======================  ==================  ==========================================================
"""

import numpy as np
import pandas as pd
from scipy.special import gammaln

from crmlab.clv.model import Arrays, SpendModel, Values, as_column, missing_columns, numbers_at_fault
from crmlab.contract import Fault

FEWEST_REPEATING = 10


def natural(theta: Values, data: Values, xp) -> dict:
    """p, q, γ from the unconstrained coordinates; γ in the currency of z_bar."""
    p = xp.exp(theta["log_p"])
    above_1 = xp.exp(theta["log_q_above_1"])
    mean = xp.exp(theta["log_mean"] + data["log_unit"])
    return {"p": p, "q": 1 + above_1, "gamma": mean * above_1 / p}


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
    elif ((x > 0) & (z_bar > 0)).sum() < FEWEST_REPEATING:
        found.append(Fault("z_bar", f"fewer than {FEWEST_REPEATING} customers bought again at a value above 0"))
    return found


def rows(history: pd.DataFrame) -> pd.DataFrame:
    """Customers with a repeat purchase, of positive mean value."""
    return history[(history["x"] > 0) & (history["z_bar"] > 0)]


def statistics(history: pd.DataFrame) -> Arrays:
    """The data collapsed: sums, distinct x with their counts, and x and x·z_bar of each customer."""
    kept = rows(history)
    x, z_bar = kept["x"].to_numpy(float), kept["z_bar"].to_numpy(float)
    xs, n_xs = np.unique(x, return_counts=True)
    return {
        "n": np.float64(len(x)),
        "log_unit": np.log(z_bar.mean()),
        "xs": xs,
        "n_xs": n_xs.astype(float),
        "sum_log_z": np.log(z_bar).sum(),
        "sum_x_log_z": (x * np.log(x * z_bar)).sum(),
        "x": x,
        "spent": x * z_bar,
    }


def log_likelihood(parameters: Values, history: pd.DataFrame) -> np.ndarray:
    """Log-likelihood of each customer with x > 0 and z_bar > 0, eq. (1a).

    f(z̄) = Γ(px+q)/(Γ(px) Γ(q)) · γ^q z̄^{px−1} x^{px} / (γ + x z̄)^{px+q}.

    Parameters
    ----------
    parameters
        p, q, gamma > 0; gamma in the currency of z_bar.
    history
        x and z_bar, one row a customer.
    """
    p, q, gamma = (parameters[name] for name in ("p", "q", "gamma"))
    kept = rows(history)
    x, z_bar = kept["x"].to_numpy(float), kept["z_bar"].to_numpy(float)
    return (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(gamma)
        + (p * x - 1) * np.log(z_bar)
        + p * x * np.log(x)
        - (p * x + q) * np.log(gamma + x * z_bar)
    )


def graph(parameters: Values, data: Values):
    """Eq. (1a) summed over customers: log-gamma once per distinct x."""
    import pytensor.tensor as pt

    p, q, gamma = (parameters[name] for name in ("p", "q", "gamma"))
    by_x = pt.gammaln(p * data["xs"] + q) - pt.gammaln(p * data["xs"])
    return (
        (data["n_xs"] * by_x).sum()
        + data["n"] * (q * pt.log(gamma) - pt.gammaln(q))
        + p * data["sum_x_log_z"]
        - data["sum_log_z"]
        - ((p * data["x"] + q) * pt.log(gamma + data["spent"])).sum()
    )


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


MODEL = SpendModel(
    name="gamma_gamma",
    title="Gamma-Gamma",
    source="Fader & Hardie 2013",
    parameters=("p", "q", "gamma"),
    priors={"log_p": (1.0, 1.0), "log_q_above_1": (1.0, 1.0), "log_mean": (0.0, 1.0)},
    natural=natural,
    rows=rows,
    faults=faults,
    statistics=statistics,
    log_likelihood=log_likelihood,
    graph=graph,
    simulate=simulate,
    expected_value=expected_value,
)
