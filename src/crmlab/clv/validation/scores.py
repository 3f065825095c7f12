"""Scores of predictions, customer by customer: of their order, of their intervals, of their probabilities."""

import numpy as np
import pandas as pd
from scipy.linalg import eigh_tridiagonal
from scipy.special import gammaln, logsumexp, xlogy

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import Arrays, PurchaseModel

NODES = 12
BLOCK = 300_000
"""Numbers worked on at a time."""


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; ties share a rank; not a number where one side does not vary."""
    ranks = pd.Series(a).round(9).rank().to_numpy(), pd.Series(b).rank().to_numpy()
    if any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def gini(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Normalised Gini: how much of the actual total the predicted order finds, 1 for the actual order, 0 for chance.

    cov(actual, rank of predicted) / cov(actual, rank of actual), ties sharing a rank. Not a number where the actual
    does not vary.
    """
    if np.ptp(actual) == 0:
        return float("nan")
    centred = actual - actual.mean()
    by_predicted, by_actual = (pd.Series(v).round(9).rank().to_numpy() for v in (predicted, actual))
    return float((centred * by_predicted).sum() / (centred * by_actual).sum())


def ranks(drawn: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which two values the probability integral transform of each actual lies, by its rank among the draws.

    Where actual and draws come from one distribution, a uniform number between the two is uniform on (0, 1), exactly,
    for counts too and for any number of draws.

    Parameters
    ----------
    drawn
        (rows, draws) from the predictive distribution.
    actual
        (rows,).

    Returns
    -------
    tuple
        Lower and upper values, each (rows,).
    """
    number = drawn.shape[1] + 1
    below = (drawn < actual[:, None]).sum(axis=1)
    upto = (drawn <= actual[:, None]).sum(axis=1) + 1
    return below / number, upto / number


def covered(below: np.ndarray, upto: np.ndarray, nominal: float) -> float:
    """Share of actual values in their central predictive interval, to be compared with `nominal` for counts too.

    An interval of whole numbers holds more than its nominal probability. Each actual value therefore counts by the
    part of its own probability that lies within the nominal one [Czado, Gneiting & Held 2009, Predictive Model
    Assessment for Count Data, Biometrics 65: the non-randomised probability integral transform].
    """
    low, high = (1 - nominal) / 2, (1 + nominal) / 2
    inside = np.clip(np.minimum(upto, high) - np.maximum(below, low), 0, None)
    return float((inside / (upto - below)).mean())


def log_predictive(
    model: PurchaseModel, draws: Arrays, history: pd.DataFrame, counts: np.ndarray, weeks: float
) -> np.ndarray:
    """Logarithm of the predictive probability of each customer's count in (T, T + weeks].

    Of n ≥ 1 purchases let the last fall at T + τ. The likelihood L of the history so prolonged depends on the others
    only through the volume of their possible times, so that

    P(n) = ∫₀^weeks V(τ) Γ(k)ⁿ L(x + n, T + τ, T + weeks) dτ / L(x, t_x, T),
    V(τ) = Σ_{j<k} (T − t_x)^j/j! · τ^{nk−j−1}/(nk−j−1)!,

    with k the number of stages between two purchases (1 unless purchases are regular; the likelihood then holds
    (k − 1) times `litt`). P(0) = L(x, t_x, T + weeks)/L(x, t_x, T). The integral is by Gauss–Jacobi with weight
    τ^{nk−k}. Every model whose likelihood is that of purchase times is scored by it, without a formula of its own.

    Parameters
    ----------
    model, draws
        The model, and parameter → (draws,).
    history
        The columns the likelihood reads, one row a customer.
    counts
        (customers,) purchases that happened.
    weeks
        Length of the period they happened in.

    Returns
    -------
    numpy.ndarray
        (customers,): log of the mean of P over the draws.
    """
    table = history[list(model.columns)].astype(float).assign(count=np.asarray(counts))
    group = table.groupby(list(table.columns), sort=True).ngroup().to_numpy()
    distinct = table.iloc[np.unique(group, return_index=True)[1]].reset_index(drop=True)
    found = np.empty(len(distinct))
    size = len(next(iter(draws.values()))) * NODES
    for count, rows in distinct.groupby("count"):
        for start in range(0, len(rows), max(1, BLOCK // size)):
            block = rows.iloc[start : start + max(1, BLOCK // size)]
            found[block.index] = _log_mass(model, draws, block, int(count), weeks)
    return found[group]


def _log_mass(model: PurchaseModel, draws: Arrays, rows: pd.DataFrame, count: int, weeks: float) -> np.ndarray:
    stages = model.stages
    data = {c: rows[c].to_numpy()[:, None, None] for c in model.columns}
    before = _likelihood(model, draws, data, 1)
    if not count:
        mass = _likelihood(model, draws, data | {"T": data["T"] + weeks}, 1)[..., 0]
    else:
        exponent = (count - 1) * stages
        nodes, weights = _gauss_jacobi(exponent)
        ahead = weeks * nodes
        volumes = [
            xlogy(j, data["T"] - data["t_x"])
            - gammaln(j + 1)
            + (stages - 1 - j) * np.log(ahead)
            - gammaln(count * stages - j)
            for j in range(stages)
        ]
        later = {"x": data["x"] + count, "t_x": data["T"] + ahead, "T": data["T"] + weeks}
        at_nodes = _likelihood(model, draws, data | later, len(nodes)) + logsumexp(volumes, axis=0) + np.log(weights)
        constant = count * gammaln(stages) + (exponent + 1) * np.log(weeks) - np.log(exponent + 1)
        mass = logsumexp(at_nodes, axis=2) + constant
    mass = mass - before[..., 0]
    return logsumexp(mass, axis=1) - np.log(mass.shape[1])


def _likelihood(model: PurchaseModel, draws: Arrays, data: Arrays, nodes: int) -> np.ndarray:
    """(rows, draws, nodes): the log-likelihood, handed to the model as rows with parameters of their own."""
    shape = (len(data["x"]), len(next(iter(draws.values()))), nodes)
    parameters = {k: np.broadcast_to(v[None, :, None], shape).ravel() for k, v in draws.items()}
    flat = {c: np.broadcast_to(v, shape).ravel() for c, v in data.items()}
    return model.log_likelihood(parameters, flat, NUMPY).reshape(shape)


def _gauss_jacobi(exponent: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (0, 1) and weights of sum 1 for the weight v^exponent (Golub & Welsch 1969)."""
    k, b = np.arange(1, NODES), float(exponent)
    diagonal = np.append(b / (b + 2), b**2 / ((2 * k + b) * (2 * k + b + 2)))
    beside = np.sqrt(4 * k**2 * (k + b) ** 2 / ((2 * k + b) ** 2 * ((2 * k + b) ** 2 - 1)))
    values, vectors = eigh_tridiagonal(diagonal, beside)
    return (1 + values) / 2, vectors[0] ** 2
