"""The probability that a customer buys nothing in the weeks ahead, under each draw of a model of purchases."""

import numpy as np
import pandas as pd

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, PurchaseModel

CELLS = 500_000
"""Numbers worked on at a time."""


def silence(
    model: PurchaseModel, draws: Arrays, rows: pd.DataFrame, weeks: float, alive: np.ndarray | None = None
) -> np.ndarray:
    """P(no purchase in (T, T + weeks]) = L(x, t_x, T + weeks) / L(x, t_x, T), L the likelihood of a history.

    The likelihood of a history is that of its purchases and of silence since the last, so that a silence longer by
    `weeks` multiplies it by just that probability, whether the customer has left or waits. Of a model that counts
    chances to buy, whole periods are added. Where what a customer who is still there does depends on `given_alive`
    alone, the likelihood is computed once for each of those, for the row of the latest purchase.

    Parameters
    ----------
    model, draws
        The model, and parameter → (draws,).
    rows
        The columns the likelihood reads, one row a customer, sorted by `model.read`.
    weeks
        Length of the horizon.
    alive
        (rows, draws) P(alive), where it is known already.

    Returns
    -------
    numpy.ndarray
        (rows, draws), within [0, 1].
    """
    if not model.given_alive:
        return 1 - _buying(model, draws, rows, weeks)
    alive = model.p_alive(draws, rows) if alive is None else alive
    keys = rows[list(model.given_alive)].to_numpy(float)
    last = np.append((keys[1:] != keys[:-1]).any(axis=1), True) if len(rows) else np.zeros(0, dtype=bool)
    among = np.cumsum(np.append(False, last[:-1])) if len(rows) else np.zeros(0, dtype=int)
    given = _buying(model, draws, rows[last], weeks) / np.maximum(alive[last], 1e-300)
    return 1 - np.minimum(given, 1.0)[among] * alive


def periods_ahead(rows: pd.DataFrame, weeks: float) -> float:
    """The horizon in what the history counts: weeks, or whole periods, one at least."""
    if "period_weeks" not in rows or not len(rows):
        return weeks
    return max(round(weeks / float(rows["period_weeks"].iloc[0])), 1)


def _buying(model: PurchaseModel, draws: Arrays, rows: pd.DataFrame, weeks: float) -> np.ndarray:
    """(rows, draws): P(a purchase within `weeks`) by the likelihoods' ratio."""
    observed = "n" if "n" in model.columns else "T"
    more = periods_ahead(rows, weeks)
    steps = 1 + (rows["n"] - rows["t_x"]).max() + more if observed == "n" and len(rows) else 1  # terms of a likelihood
    number = len(next(iter(draws.values())))
    size = max(1, int(CELLS // (number * steps)))
    found = np.empty((len(rows), number))
    for start in range(0, len(rows), size):
        here = rows.iloc[start : start + size]
        later = here.assign(**{observed: here[observed] + more})
        gained = _log_likelihood(model, draws, later) - _log_likelihood(model, draws, here)
        found[start : start + size] = -np.expm1(np.minimum(gained, 0.0))
    return found


def _log_likelihood(model: PurchaseModel, draws: Arrays, rows: pd.DataFrame) -> np.ndarray:
    """(rows, draws): each pair handed to the model as a row with parameters of its own."""
    number = len(next(iter(draws.values())))
    parameters = {name: np.tile(values, len(rows)) for name, values in draws.items()}
    data = {c: np.repeat(rows[c].to_numpy(float), number) for c in model.columns}
    return model.log_likelihood(parameters, data, NUMPY).reshape(len(rows), number)
