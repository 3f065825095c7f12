"""What a CLV model is: the shape every file of this room with a model in it fills in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crmlab.contract import Fault, Refused

Values = Mapping[str, Any]
"""Parameter name → number, array of draws, or PyTensor variable."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """A model in the notation of its paper.

    Attributes
    ----------
    name, title, source
        How it is registered, how it is called on a page, where it was published.
    parameters
        Names of the parameters, as in the paper.
    priors
        Unconstrained coordinate → (mean, sd) of its Normal prior. As many as there are parameters.
    natural
        ``natural(theta, data, xp) -> parameters``: from the coordinates to the paper's parameters, in NumPy
        (``xp = numpy``) or PyTensor (``xp = pytensor.tensor``) alike.
    rows
        The customers that inform the model.
    faults
        What is wrong with a history, all of it.
    statistics
        The data the likelihood needs, collapsed: distinct values and their weights.
    log_likelihood
        ``log_likelihood(parameters, history) -> (customers,)`` in NumPy, as the paper writes it: the reference.
    graph
        ``graph(parameters, data) -> scalar`` in PyTensor from `statistics`: the same number, summed.
    simulate
        ``simulate(parameters, history, rng) -> history`` with the model's data drawn anew; x, t_x and T as given
        where the model does not draw them.
    """

    name: str
    title: str
    source: str
    parameters: tuple[str, ...]
    priors: Mapping[str, tuple[float, float]]
    natural: Callable[[Values, Values, Any], dict[str, Any]]
    rows: Callable[[pd.DataFrame], pd.DataFrame]
    faults: Callable[[pd.DataFrame], list[Fault]]
    statistics: Callable[[pd.DataFrame], Arrays]
    log_likelihood: Callable[[Values, pd.DataFrame], np.ndarray]
    graph: Callable[[Values, Values], Any]
    simulate: Callable[[Values, pd.DataFrame, np.random.Generator], pd.DataFrame]

    def check(self, history: pd.DataFrame) -> None:
        """Refuse a history the model cannot be fitted to, naming every fault."""
        faults = self.faults(history)
        if faults:
            raise Refused("purchase history", faults)


@dataclass(frozen=True)
class PurchaseModel(Model):
    """A model of when customers buy and leave.

    Attributes
    ----------
    p_alive
        ``p_alive(draws, history) -> (customers, draws)``.
    expected_purchases
        ``expected_purchases(draws, history, weeks, discounts) -> (discounts, customers, draws)``: purchases expected
        in the next `weeks`, each worth exp(−discount · s) when it falls s weeks ahead.
    future_purchases
        ``future_purchases(draws, history, weeks, rng) -> (customers, draws)``: counts drawn from the predictive
        distribution.
    """

    p_alive: Callable[..., np.ndarray]
    expected_purchases: Callable[..., np.ndarray]
    future_purchases: Callable[..., np.ndarray]


@dataclass(frozen=True)
class SpendModel(Model):
    """A model of what a purchase is worth.

    Attributes
    ----------
    expected_value
        ``expected_value(draws, history) -> (customers, draws)``: value of a purchase of each customer; the
        population's mean for those without a repeat purchase.
    """

    expected_value: Callable[..., np.ndarray]


def missing_columns(history: pd.DataFrame, needed: tuple[str, ...]) -> list[Fault]:
    """A fault a column that the history lacks, and one where customers appear twice."""
    faults = [Fault(c, "this column is missing") for c in needed if c not in history.columns]
    if not len(history):
        faults.append(Fault("rows", "the history is empty; at least one customer must have bought by this date"))
    if "customer_id" in history and history["customer_id"].duplicated().any():
        faults.append(Fault("customer_id", "customers appear more than once; pass one row a customer"))
    return faults


def numbers_at_fault(history: pd.DataFrame, columns: tuple[str, ...]) -> list[Fault]:
    """A fault a column with missing, infinite or negative numbers."""
    faults = []
    for column in columns:
        values = history[column].to_numpy(dtype=float)
        bad = int((~np.isfinite(values) | (values < 0)).sum())
        if bad:
            faults.append(Fault(column, f"{bad} missing, infinite or negative; expected numbers from 0 up"))
    return faults


def as_column(draws: Values) -> dict[str, np.ndarray]:
    """Draws as rows of shape (1, draws), to be combined with customers as columns."""
    return {name: np.atleast_1d(np.asarray(values, dtype=float)).reshape(1, -1) for name, values in draws.items()}
