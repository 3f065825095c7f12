"""Gamma-Gamma whose mean order value moves with frequency: for bases in which the two are related.

After Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value, whose assumption that what a customer spends is
independent of how often the customer buys is dropped: the scale of the customers' means is regressed on frequency,

    purchases ~ Gamma(p, ν),  ν ~ Gamma(q, γ (1 + x)^δ),

so that a doubling of 1 + x multiplies the mean order value by 2^δ; δ = 0 is Gamma-Gamma. x is what was observed, so a
customer seen for a short time counts as an infrequent one.

Priors: those of `crmlab.clv.models.gamma_gamma`, the mean being that of a customer of typical frequency (the mean of
log(1 + x) over repeat buyers), and one more:

=======================  ==================  ==========================================================
coordinate               Normal(mean, sd)    in words: median (95 %)
=======================  ==================  ==========================================================
delta                    (0, 0.3)            twice the purchases, the same mean order value (0.67 to
                                             1.5 times as much)
=======================  ==================  ==========================================================
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from crmlab.clv.models import gamma_gamma
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, Values, as_column


def natural(theta: Values, constants: Values, xp: Any) -> dict[str, Any]:
    """p, q, γ, δ from the unconstrained coordinates; γ in the currency of z_bar, at x = 0."""
    typical = gamma_gamma.natural(theta, constants, xp)
    delta = theta["delta"]
    return typical | {"gamma": typical["gamma"] * xp.exp(-delta * constants["centre"]), "delta": delta}


def constants(history: pd.DataFrame) -> dict[str, float]:
    """The unit of money, and the typical frequency: the mean of log(1 + x)."""
    x = gamma_gamma.rows(history)["x"].to_numpy(float)
    return gamma_gamma.constants(history) | {"centre": float(np.log1p(x).mean())}


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each row with x > 0 and z_bar > 0: eq. (1a) of the note at γ (1 + x)^δ.

    Parameters
    ----------
    parameters
        p, q, gamma > 0, gamma in the currency of z_bar; delta.
    data
        x and z_bar, one row a customer.
    xp
        Functions in NumPy or PyTensor.
    """
    scale = parameters["gamma"] * xp.exp(parameters["delta"] * xp.log1p(data["x"]))
    return gamma_gamma.log_likelihood({**parameters, "gamma": scale}, data, xp)


def fast(data: Arrays) -> Callable[[Values], float]:
    """The same summed over customers: log-gamma and (1 + x)^δ once per distinct x."""
    weight, x, spent = data["weight"], data["x"], data["x"] * data["z_bar"]
    xs, at_x = np.unique(x, return_inverse=True)
    n, n_xs, log_xs = weight.sum(), np.bincount(at_x, weights=weight), np.log1p(xs)
    sum_log_z, sum_x_log_spent = (weight * np.log(data["z_bar"])).sum(), (weight * x * np.log(spent)).sum()

    def total(parameters: Values) -> float:
        p, q, gamma, delta = (parameters[name] for name in ("p", "q", "gamma", "delta"))
        by_x = gammaln(p * xs + q) - gammaln(p * xs) + q * delta * log_xs
        once = q * np.log(gamma) - gammaln(q)
        scale = gamma * np.exp(delta * log_xs)
        grown = (weight * (p * x + q) * np.log(scale[at_x] + spent)).sum()
        return float((n_xs * by_x).sum() + n * once + p * sum_x_log_spent - sum_log_z - grown)

    return total


def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers with the x of `history`, their z_bar drawn from the model; missing where x = 0."""
    unscaled = gamma_gamma.simulate(parameters, history, rng)
    return unscaled.assign(z_bar=unscaled["z_bar"] * (1 + history["x"].to_numpy(float)) ** parameters["delta"])


def expected_value(draws: Values, history: pd.DataFrame) -> np.ndarray:
    """Expected value of a purchase: eq. (5) of the note at γ (1 + x)^δ.

    A customer with x = 0 has the mean of customers of that frequency, pγ/(q − 1).

    Returns
    -------
    numpy.ndarray
        (customers, draws), in the currency of z_bar.
    """
    return gamma_gamma.expected_value(_scaled(draws, history), history)


def future_spend(draws: Values, history: pd.DataFrame, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Total value of `counts` (customers, draws) purchases, drawn from the predictive distribution."""
    return gamma_gamma.future_spend(_scaled(draws, history), history, counts, rng)


def times(draws: Values, x: np.ndarray) -> np.ndarray:
    """Mean order value at frequency x in multiples of that at x = 0: (1 + x)^δ, (len(x), draws)."""
    return np.exp(as_column(draws)["delta"] * np.log1p(np.asarray(x, float))[:, None])


def _scaled(draws: Values, history: pd.DataFrame) -> dict[str, np.ndarray]:
    d = as_column(draws)
    return d | {"gamma": d["gamma"] * times(draws, history["x"].to_numpy())}


MODEL = replace(
    gamma_gamma.MODEL,
    name="gamma_gamma_frequency",
    title="Gamma-Gamma (δ)",
    source="after Fader & Hardie 2013",
    parameters=("p", "q", "gamma", "delta"),
    priors={**gamma_gamma.MODEL.priors, "delta": (0.0, 0.3)},
    natural=natural,
    constants=constants,
    log_likelihood=log_likelihood,
    fast=fast,
    simulate=simulate,
    expected_value=expected_value,
    future_spend=future_spend,
    value_scale="gamma",
)
