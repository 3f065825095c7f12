"""Draws as a table: each parameter's posterior, and how many draws it is worth."""

import numpy as np
import pandas as pd

from crmlab.clv.fitting.importance import Weighted, effective
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, Model

INTERVAL = (0.05, 0.95)


def natural_draws(model: Model, theta: np.ndarray, history: pd.DataFrame) -> Arrays:
    """The paper's parameters of draws of the coordinates, (…, coordinates)."""
    coordinates = dict(zip(model.priors, np.moveaxis(theta, -1, 0), strict=True))
    found = model.natural(coordinates, model.constants(history), NUMPY)
    return {k: np.ascontiguousarray(np.broadcast_to(v, theta.shape[:-1]), dtype=float) for k, v in found.items()}


def importance_table(model: Model, found: Weighted, draws: Arrays, history: pd.DataFrame) -> pd.DataFrame:
    """Posterior summary of the parameters, with effective draws from the weights."""
    weighted = natural_draws(model, found.theta, history)
    records = []
    for name, values in weighted.items():
        bulk, tail = effective(values, found.weights, INTERVAL)
        records.append(_described(model, name, draws[name]) | {"ess_bulk": bulk, "ess_tail": tail})
    return pd.DataFrame(records)


def chains_table(model: Model, draws: Arrays) -> pd.DataFrame:
    """Posterior summary, R-hat and effective draws of each parameter (rank-normalised; Vehtari et al. 2021)."""
    from arviz_stats.base import array_stats

    records = []
    for name, values in draws.items():
        record = _described(model, name, values) | {"r_hat": float(array_stats.rhat(values))}
        bulk = array_stats.ess(values, method="bulk")
        tail = array_stats.ess(values, method="tail", prob=INTERVAL)
        records.append(record | {"ess_bulk": float(bulk), "ess_tail": float(tail)})
    return pd.DataFrame(records)


def _described(model: Model, name: str, values: np.ndarray) -> dict[str, object]:
    low, high = np.quantile(values, INTERVAL)
    return {
        "model": model.title,
        "parameter": name,
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "low": float(low),
        "high": float(high),
        "r_hat": float("nan"),
    }
