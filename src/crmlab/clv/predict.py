"""From fitted models to what each customer is expected to do and be worth, with intervals."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.fit import INTERVAL, Fit, require_passed
from crmlab.clv.model import Arrays
from crmlab.clv.models import purchase_model, spend_model
from crmlab.clv.params import CLVParams
from crmlab.clv.value import LifetimeValue, NoValue
from crmlab.contract import Basis, mark

WEEKS_A_YEAR = 365.25 / 7
BLOCK = 2_000
"""Customers worked on at a time: bounds memory to some tens of megabytes."""


def lifetime_value(
    history: pd.DataFrame, purchases: Fit, spend: Fit, *, params: CLVParams, basis: Basis | None = None
) -> LifetimeValue:
    """CLV of each customer: expected purchases × expected value × margin share, discounted, over the horizon.

    Parameters
    ----------
    history
        One row a customer: customer_id, x, t_x, T in weeks, z_bar in currency (missing where x = 0).
    purchases, spend
        Fits of a model of purchases and of one of spend; draws of the two are paired in order, since their
        posteriors are independent.
    params
        Horizon, discount rate, margin share, draws to keep.
    basis
        What the history rests on; by default its number of customers.

    Raises
    ------
    GateFailed
        When a fit did not pass its gate, naming each statistic.
    """
    require_passed(purchases, spend)
    timing, worth = purchase_model(purchases.model), spend_model(spend.model)
    timing.check(history)
    history = history.sort_values("customer_id", kind="stable").reset_index(drop=True)
    purchase_draws, spend_draws = kept(purchases.draws, params.kept_draws), kept(spend.draws, params.kept_draws)
    weekly = np.log1p(params.annual_discount_rate) / WEEKS_A_YEAR
    tables, draws = [], []
    for block in blocks(history):
        alive = timing.p_alive(purchase_draws, block)
        orders, discounted = timing.expected_purchases(purchase_draws, block, params.horizon_weeks, (0.0, weekly))
        value = worth.expected_value(spend_draws, block)
        clv = discounted * value * params.margin_share
        tables.append(
            pd.DataFrame(
                {"customer_id": block["customer_id"].to_numpy(), "x": block["x"].to_numpy().astype("int64")}
                | summary(alive, "p_alive", "p_alive")
                | summary(orders, "expected_orders", "orders")
                | {"order_value": value.mean(axis=1)}
                | summary(clv, "clv", "clv")
            )
        )
        draws.append(clv)
    return LifetimeValue(
        table=pd.concat(tables, ignore_index=True),
        basis=basis or Basis(len(history), mark("customers")),
        draws=np.concatenate(draws),
        correlation=dependence(history),
        horizon_weeks=params.horizon_weeks,
        annual_discount_rate=params.annual_discount_rate,
        margin_share=params.margin_share,
    )


def value_or_reason(
    history: pd.DataFrame, purchases: Fit, spend: Fit, *, params: CLVParams, basis: Basis | None = None
) -> LifetimeValue | NoValue:
    """The lifetime values, or, where a fit failed its gate, the reason why there are none."""
    if purchases.passed and spend.passed:
        return lifetime_value(history, purchases, spend, params=params, basis=basis)
    return no_value(purchases, spend)


def no_value(*fits: Fit) -> NoValue:
    """What the page shows instead of CLV when a fit failed its gate."""
    return NoValue(
        table=pd.concat([f.table for f in fits], ignore_index=True),
        basis=max((f.basis for f in fits), key=lambda b: b.n),
        failures=tuple(s for f in fits for s in f.failures),
    )


def kept(draws: Arrays, number: int) -> Arrays:
    """About `number` of the draws, evenly spaced over all chains; each (≤ number,)."""
    size = next(iter(draws.values())).size
    where = np.unique(np.linspace(0, size - 1, min(number, size)).round().astype(int))
    return {name: values.reshape(-1)[where] for name, values in draws.items()}


def blocks(history: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The history in blocks of customers."""
    for start in range(0, len(history), BLOCK):
        yield history.iloc[start : start + BLOCK]


def summary(values: np.ndarray, name: str, interval: str) -> dict[str, Any]:
    """Mean and 90 % interval of each row of (customers, draws), as columns."""
    low, high = np.quantile(values, INTERVAL, axis=1)
    return {name: values.mean(axis=1), f"{interval}_low": low, f"{interval}_high": high}


def dependence(history: pd.DataFrame) -> float:
    """Spearman correlation of x and z_bar among customers with x > 0; not a number below 10 of them."""
    repeat = history[(history["x"] > 0) & history["z_bar"].notna()]
    if len(repeat) < 10 or repeat["x"].nunique() < 2 or repeat["z_bar"].nunique() < 2:
        return float("nan")
    return float(np.corrcoef(repeat["x"].rank(), repeat["z_bar"].rank())[0, 1])
