"""What a CLV model is: the shape every file of this room with a model in it fills in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crmlab.contract import Fault, Refused, Sentence
from crmlab.contract.result import FEWEST

Values = Mapping[str, Any]
"""Parameter name → number, array of draws, or PyTensor variable."""

Arrays = dict[str, np.ndarray]


def every_customer(history: pd.DataFrame) -> pd.DataFrame:
    """All rows: every customer informs the model."""
    return history


def enough(history: pd.DataFrame) -> list[Sentence]:
    """Nothing is lacking."""
    return []


def no_constants(history: pd.DataFrame) -> dict[str, float]:
    """Nothing but the parameters."""
    return {}


@dataclass(frozen=True, kw_only=True, eq=False)
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
        ``natural(theta, constants, xp) -> parameters``: from the coordinates to the paper's parameters; `xp` holds the
        functions of `crmlab.clv.models.maths`, in NumPy or PyTensor.
    columns
        The columns of a history that the likelihood reads. Equal rows are counted once, with a weight.
    faults
        ``faults(history) -> list``: what is wrong with a history, all of it.
    log_likelihood
        ``log_likelihood(parameters, data, xp) -> (rows,)`` as the paper writes it, `data` being column → array: what
        PyMC samples from and the reference for `fast`. Parameters are numbers, or one value a row.
    simulate
        ``simulate(parameters, history, rng) -> history`` with the model's data drawn anew, the rest as given.
    rows
        The customers that inform the model.
    too_little
        ``too_little(history) -> list``: why a sound history does not suffice, e.g. because nobody bought again.
    constants
        What the coordinates are relative to, e.g. the unit of money.
    averaged
        Columns that enter the log-likelihood linearly: averaged over equal rows.
    fast
        ``fast(data) -> function of the parameters``: the log-likelihood of all rows in NumPy, factorised so that each
        transcendental function runs once per distinct argument; `data` has a ``weight``. None: the sum over rows.
    purchase_scale, dropout_scale
        Where covariates act: the parameter divided by exp(γ'z), and (parameter, sign) multiplied by exp(sign · δ'z).
    value_scale
        The parameter multiplied by exp(γ'z) where covariates act on the value of a purchase.
    """

    name: str
    title: str
    source: str
    parameters: tuple[str, ...]
    priors: Mapping[str, tuple[float, float]]
    natural: Callable[[Values, Values, Any], dict[str, Any]]
    columns: tuple[str, ...]
    faults: Callable[[pd.DataFrame], list[Fault]]
    log_likelihood: Callable[..., Any]
    simulate: Callable[[Values, pd.DataFrame, np.random.Generator], pd.DataFrame]
    rows: Callable[[pd.DataFrame], pd.DataFrame] = every_customer
    too_little: Callable[[pd.DataFrame], list[Sentence]] = enough
    constants: Callable[[pd.DataFrame], dict[str, float]] = no_constants
    averaged: tuple[str, ...] = ()
    fast: Callable[[Arrays], Callable[[Values], float]] | None = None
    purchase_scale: str = ""
    dropout_scale: tuple[tuple[str, int], ...] = ()
    value_scale: str = ""

    def check(self, history: pd.DataFrame) -> None:
        """Refuse a history the model cannot be fitted to, naming every fault."""
        faults = self.faults(history)
        if faults:
            raise Refused("purchase history", faults)

    def collapsed(self, history: pd.DataFrame) -> Arrays:
        """Distinct rows of the columns the likelihood reads, and ``weight``, the customers at each."""
        kept = self.rows(history)
        by = [c for c in self.columns if c not in self.averaged]
        rows = kept[by].astype(float).groupby(by, sort=True)
        numbers = rows.size().rename("weight").astype(float)
        means = kept[[*by, *self.averaged]].astype(float).groupby(by, sort=True).mean() if self.averaged else None
        table = (numbers.to_frame() if means is None else means.assign(weight=numbers)).reset_index()
        return {c: np.ascontiguousarray(table[c].to_numpy(float)) for c in table.columns}


@dataclass(frozen=True, kw_only=True, eq=False)
class PurchaseModel(Model):
    """A model of when customers buy and leave.

    Draws are arrays of parameters: (draws,), or (customers, draws) where covariates make them differ.

    Attributes
    ----------
    p_alive
        ``p_alive(draws, history) -> (customers, draws)``.
    expected_purchases
        ``expected_purchases(draws, history, weeks, discounts) -> (discounts, customers, draws)``: purchases expected
        in the next `weeks`, each worth exp(−discount · s) when it falls s weeks ahead. At x = t_x = T = 0: those of a
        customer just acquired.
    future_purchases
        ``future_purchases(draws, history, weeks, rng) -> (customers, draws)``: counts drawn from the predictive
        distribution.
    given_alive
        Columns on which the purchases expected of a customer who is still there depend; all of `columns` where empty.
    stages
        Events of which the last is a purchase: above 1 customers buy more regularly than at random.
    """

    p_alive: Callable[..., np.ndarray]
    expected_purchases: Callable[..., np.ndarray]
    future_purchases: Callable[..., np.ndarray]
    given_alive: tuple[str, ...] = ()
    stages: int = 1

    @property
    def read(self) -> list[str]:
        """The columns by which customers' predictions differ: first those they depend on given alive."""
        return list(dict.fromkeys((*self.given_alive, *(c for c in self.columns if c not in self.averaged))))


@dataclass(frozen=True, kw_only=True, eq=False)
class SpendModel(Model):
    """A model of what a purchase is worth.

    Attributes
    ----------
    expected_value
        ``expected_value(draws, history) -> (customers, draws)``: value of a purchase of each customer; the
        population's mean for those without a repeat purchase.
    future_spend
        ``future_spend(draws, history, counts, rng) -> (customers, draws)``: value of `counts` purchases, drawn from
        the predictive distribution.
    """

    expected_value: Callable[..., np.ndarray]
    future_spend: Callable[..., np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class ContractModel(Model):
    """A model of how long subscribers stay, whose leaving is seen.

    Attributes
    ----------
    survival
        ``survival(draws, history, periods) -> (customers, draws)``: probability of still subscribing that many
        periods from now.
    expected_renewals
        ``expected_renewals(draws, history, periods, discounts) -> (discounts, customers, draws)``: renewals expected
        in the next `periods`, each worth exp(−discount · s) when it falls s periods ahead.
    """

    survival: Callable[..., np.ndarray]
    expected_renewals: Callable[..., np.ndarray]


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


def repeat_faults(history: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong with x, t_x and T, of which every customer has one each."""
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
    return found


def nobody_again(history: pd.DataFrame) -> list[Sentence]:
    """Whether too few came back to say anything of how customers buy and leave."""
    repeating = int((history["x"] > 0).sum())
    if not repeating:
        return [Sentence("Nobody bought again: there is nothing to learn of how customers come back.", tone="warn")]
    if repeating < FEWEST:
        return [Sentence("Fewer than five customers bought again: too few to learn how they come back.", tone="warn")]
    return []


COUNTED = ("x", "t_x", "T", "n", "litt", "periods", "ended")
"""Columns that are 0 for a customer just acquired."""


def just_acquired(history: pd.DataFrame) -> pd.DataFrame:
    """One customer without a past; whatever else a history tells is its mean."""
    new = history.select_dtypes("number").mean().to_frame().T
    return new.assign(**{c: 0.0 for c in COUNTED if c in new})


def as_column(draws: Values) -> dict[str, np.ndarray]:
    """Draws as rows of shape (1, draws), to be combined with customers as columns; those of (customers, draws) stay."""
    arrays = {name: np.atleast_1d(np.asarray(values, dtype=float)) for name, values in draws.items()}
    return {name: values if values.ndim == 2 else values.reshape(1, -1) for name, values in arrays.items()}
