"""Shifted beta-geometric (sBG): how long subscribers stay when each renewal is a toss of the subscriber's own coin.

Fader & Hardie (2007), How to Project Customer Retention, Journal of Interactive Marketing 21(1), 76–90.

At the end of every period a subscriber leaves with probability θ, always the same, θ ~ Beta(α, β). Retention rises
with tenure because those who leave easily leave first, not because anybody grows more loyal. Data, one row a contract:

periods
    Whole periods: the renewal at which the contract ended, or the renewals it is known to have survived.
ended
    1 where it ended at that renewal, 0 where it was still running.
since
    Renewals it had already survived when the data began; 0 where the column is missing. **The trap of real
    subscription data**: contracts older than the records are seen only because they survived, and counting their early
    periods as if their fellows who left had been seen makes retention look too high. Their likelihood is therefore
    conditional on surviving `since` renewals.
observed
    Renewals that were due before the data end, whatever happened to the contract. Only simulation and held-out
    projection need it.

Priors, by what they say of subscribers before any data (unit: a period):

==========================  ==================  =========================================================
coordinate                  Normal(mean, sd)    in words: median (95 %)
==========================  ==================  =========================================================
logit φ, φ = α/(α+β)        (−1.5, 1.5)         18 % leave at the first renewal (1 % to 81 %)
log κ, κ = α+β              (1, 1.25)           subscribers are as unlike as κ = 2.7 says (0.2 to 31)
==========================  ==================  =========================================================

The published estimates lie within 0.7 sd of each mean.
"""

from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import ContractModel, Values, as_column
from crmlab.contract import Fault

COLUMNS = ("periods", "ended", "since")
LONGEST = 1e15


def natural(theta: Values, constants: Values, xp: Any = NUMPY) -> dict:
    """α, β from the unconstrained coordinates."""
    kappa = xp.exp(theta["log_kappa"])
    phi = 1 / (1 + xp.exp(-theta["logit_phi"]))
    return {"alpha": kappa * phi, "beta": kappa * (1 - phi)}


def rows(history: pd.DataFrame) -> pd.DataFrame:
    """Every contract; since when it is seen is 0 where the history does not say."""
    return history if "since" in history else history.assign(since=0)


def faults(history: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong with periods, ended, since and observed."""
    found = [Fault(c, "this column is missing") for c in ("periods", "ended") if c not in history]
    if not len(history):
        found.append(Fault("rows", "the history is empty; at least one contract must have begun by this date"))
    key = [c for c in ("customer_id", "contract") if c in history]
    if key and history.duplicated(key).any():
        found.append(Fault(key[-1], "contracts appear more than once; pass one row a contract"))
    if found:
        return found
    named = [c for c in ("periods", "ended", "since", "observed") if c in history]
    numbers = {c: history[c].to_numpy(dtype=float) for c in named}
    for column, values in numbers.items():
        bad = int((~np.isfinite(values) | (values < 0) | (values != np.floor(values))).sum())
        if bad:
            found.append(Fault(column, f"{bad} missing, negative or not whole; expected whole numbers from 0 up"))
    if found:
        return found
    periods, ended = numbers["periods"], numbers["ended"] == 1
    since = numbers.get("since", np.zeros(len(history)))
    for bad, where, what in (
        (~np.isin(numbers["ended"], (0, 1)), "ended", "neither 0 nor 1"),
        (ended & (periods < 1), "periods", "0 where ended = 1; the first renewal is the first at which one can leave"),
        (since > periods, "since", "after periods; a contract is seen only from a renewal it survived"),
        (ended & (since == periods), "since", "equal to periods where ended = 1; a contract must survive `since`"),
        (numbers.get("observed", periods) < periods, "observed", "below periods; a renewal not yet due was counted"),
    ):
        if bad.any():
            found.append(Fault(where, f"{int(bad.sum())} {what}"))
    if not found and not ended.any():
        found.append(Fault("ended", "no contract has ended; the model needs to see some leave"))
    return found


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each contract, eqs. (5) and (6).

    P(T = t) = B(α+1, β+t−1)/B(α, β), S(t) = B(α, β+t)/B(α, β); each divided by S(since).

    Parameters
    ----------
    parameters
        alpha, beta > 0: numbers, or one value a row.
    data
        periods, ended, since: (rows,).
    """
    alpha, beta = parameters["alpha"], parameters["beta"]
    t, ended = data["periods"], data["ended"]
    return xp.betaln(alpha + ended, beta + t - ended) - xp.betaln(alpha, beta + data["since"])


def clock(parameters: Values, periods: Any) -> Any:
    """t^c: tenure in the model's own time; t itself where the model has no c."""
    return (
        np.asarray(periods, dtype=float) ** parameters["c"] if "c" in parameters else np.asarray(periods, dtype=float)
    )


def log_survival(parameters: Values, periods: Any) -> np.ndarray:
    """Ln S(t) = ln B(α, β + t^c) − ln B(α, β), eq. (6); c = 1 where the model has none.

    Parameters
    ----------
    parameters
        alpha, beta and, of a BdW, c; they broadcast with `periods`.
    periods
        t: renewals survived.
    """
    alpha, beta = parameters["alpha"], parameters["beta"]
    return NUMPY.betaln(alpha, beta + clock(parameters, periods)) - NUMPY.betaln(alpha, beta)


def simulate(parameters: Values, history: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The contracts of `history`, watched as long as `observed` says, when they end drawn from the model.

    Without `observed`, everybody is watched for `periods`. Given `since`, θ ~ Beta(α, β + since^c); with
    E ~ Exponential(1) the contract ends at the first t with (t^c − since^c) · −ln(1−θ) ≥ E.
    """
    watched = history["observed" if "observed" in history else "periods"].to_numpy(dtype=float)
    since = rows(history)["since"].to_numpy(dtype=float)
    start = clock(parameters, since)
    theta = rng.beta(parameters["alpha"], parameters["beta"] + start)
    hazard = np.maximum(-np.log1p(-np.minimum(theta, 1 - 1e-15)), 1 / LONGEST)
    stayed = np.minimum(start + rng.exponential(size=len(history)) / hazard, LONGEST)
    end = np.maximum(np.ceil(stayed ** (1 / parameters.get("c", 1.0))), since + 1)
    ended = end <= watched
    return history.assign(
        periods=np.where(ended, end, watched).astype("int64"), ended=ended.astype("int64"), observed=watched
    )


def survival(draws: Values, history: pd.DataFrame, periods: int) -> np.ndarray:
    """P(still a subscriber `periods` renewals from now) = S(t + periods)/S(t); 0 where the contract has ended.

    Parameters
    ----------
    draws
        Parameter → (draws,), or (contracts, draws).
    history
        periods, ended: one row a contract.
    periods
        Renewals ahead.

    Returns
    -------
    numpy.ndarray
        (contracts, draws).
    """
    d = as_column(draws)
    t, running = _tenure(history)
    return running * np.exp(log_survival(d, t + periods) - log_survival(d, t))


def expected_renewals(
    draws: Values, history: pd.DataFrame, periods: int, discounts: tuple[float, ...] = (0.0,)
) -> np.ndarray:
    """Renewals expected among the next `periods`: Σ_{j=1..periods} S(t+j)/S(t) e^{−δj}; 0 where the contract has ended.

    Parameters
    ----------
    draws
        Parameter → (draws,), or (contracts, draws).
    history
        periods, ended: one row a contract.
    periods
        Renewals ahead.
    discounts
        δ, continuous rates a period: one answer each.

    Returns
    -------
    numpy.ndarray
        (discounts, contracts, draws).
    """
    d = as_column(draws)
    t, running = _tenure(history)
    now = log_survival(d, t)
    totals = np.zeros((len(discounts), *now.shape))
    for ahead in range(1, periods + 1):
        staying = np.exp(log_survival(d, t + ahead) - now)
        for total, discount in zip(totals, discounts, strict=True):
            total += np.exp(-discount * ahead) * staying
    return totals * running


def _tenure(history: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Renewals survived, and 1 where the contract still runs: (contracts, 1) each."""
    ended = history["ended"].to_numpy(dtype=float)[:, None]
    return history["periods"].to_numpy(dtype=float)[:, None], 1 - ended


MODEL = ContractModel(
    name="sbg",
    title="sBG",
    source="Fader & Hardie 2007",
    parameters=("alpha", "beta"),
    priors={"logit_phi": (-1.5, 1.5), "log_kappa": (1.0, 1.25)},
    natural=natural,
    columns=COLUMNS,
    faults=faults,
    rows=rows,
    log_likelihood=log_likelihood,
    simulate=simulate,
    survival=survival,
    expected_renewals=expected_renewals,
    dropout_scale=(("alpha", 1), ("beta", -1)),
)
