"""From fitted models to what each customer is expected to do and be worth, with intervals.

Everything is computed over posterior draws in blocks of customers, and only summaries of a customer are kept. Within a
block each model works on distinct rows: the integral behind expected purchases once for every distinct (x, T).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.fitting.fit import Fit, require_passed
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.model import Arrays, PurchaseModel, SpendModel
from crmlab.clv.params import CLVParams
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.contract import Basis, Fault, Refused, mark

WEEKS_A_YEAR = 365.25 / 7
CELLS = 500_000
"""Customers × draws worked on at a time: bounds memory to some tens of megabytes."""

Fits = Fit | Mapping[str, Fit]
"""One fit, or one a segment whose draws are paired: draw j of all of them is one joint draw."""


@dataclass(frozen=True, eq=False)
class Part:
    """Customers who share a posterior, sorted so that equal rows lie together.

    Attributes
    ----------
    history
        One row a customer, without customer_id.
    position
        (customers,) where each stands in the whole.
    timing, purchase_draws, worth, spend_draws
        The two models and their kept draws; both have the same number.
    """

    history: pd.DataFrame
    position: np.ndarray
    timing: PurchaseModel
    purchase_draws: Arrays
    worth: SpendModel
    spend_draws: Arrays


def lifetime_value(
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    *,
    params: CLVParams,
    basis: Basis | None = None,
    segment: pd.Series | None = None,
) -> LifetimeValue:
    """CLV of each customer: expected purchases × expected value × margin share, discounted, over the horizon.

    Parameters
    ----------
    history
        One row a customer: customer_id, x, t_x, T in weeks, z_bar in currency (missing where x = 0).
    purchases, spend
        Fits of a model of purchases and of one of spend, or a mapping from segment to fit; draws of the two are
        paired in order, since their posteriors are independent.
    params
        Horizon, discount rate, margin share, draws to keep.
    basis
        What the history rests on; by default its number of customers.
    segment
        customer_id → segment, where fits are by segment.

    Raises
    ------
    GateFailed
        When a fit did not pass its gate, naming each statistic.
    Refused
        When the history is at fault, or a customer's segment has no fit.
    """
    history, found = parts(history, purchases, spend, number=params.kept_draws, segment=segment)
    weeks, discount, margin = params.horizon_weeks, weekly(params), params.margin_share
    columns: dict[str, np.ndarray] = {}

    def put(where: np.ndarray, named: Mapping[str, np.ndarray]) -> None:
        for name, values in named.items():
            columns.setdefault(name, np.empty(len(history)))[where] = values

    for part, at in pieces(found):
        block = part.history.iloc[at]
        rows, back = distinct(part.timing, block)
        alive, (orders, discounted) = expected(part.timing, part.purchase_draws, rows, weeks, (0.0, discount))
        value = part.worth.expected_value(part.spend_draws, block)
        named = summary(alive, "p_alive", "p_alive") | summary(orders, "expected_orders", "orders")
        named = {name: values[back] for name, values in named.items()} | {"order_value": value.mean(axis=1)}
        put(part.position[at], named | summary(discounted[back] * value * margin, "clv", "clv"))

    def sums(groups: np.ndarray) -> np.ndarray:
        return _sums(found, groups, weeks=weeks, discount=discount, margin=margin)

    free = (history["x"] > 0) & ~(history["z_bar"] > 0)
    return LifetimeValue(
        table=pd.DataFrame(
            {"customer_id": history["customer_id"].to_numpy(), "x": history["x"].to_numpy().astype("int64")} | columns
        ),
        basis=basis or Basis(len(history), mark("customers")),
        sums=sums,
        horizon_weeks=weeks,
        annual_discount_rate=params.annual_discount_rate,
        margin_share=margin,
        free=int(free.sum()),
        strained=tuple(s for f in each(spend) for s in f.notes if s.tone == "warn"),
    )


def value_or_reason(
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    *,
    params: CLVParams,
    basis: Basis | None = None,
    segment: pd.Series | None = None,
) -> LifetimeValue | NoValue:
    """The lifetime values, or, where a fit failed its gate, the reason why there are none."""
    fits = [*each(purchases), *each(spend)]
    if all(f.passed for f in fits):
        return lifetime_value(history, purchases, spend, params=params, basis=basis, segment=segment)
    return no_value(*fits)


def no_value(*fits: Fit) -> NoValue:
    """What the page shows instead of CLV when a fit failed its gate."""
    return NoValue(
        table=pd.concat([f.table for f in fits], ignore_index=True),
        basis=max((f.basis for f in fits), key=lambda b: b.n),
        failures=tuple(s for f in fits for s in f.failures),
    )


def parts(
    history: pd.DataFrame, purchases: Fits, spend: Fits, *, number: int, segment: pd.Series | None = None
) -> tuple[pd.DataFrame, list[Part]]:
    """The history sorted by customer_id, and the customers who share a posterior.

    Parameters
    ----------
    history, purchases, spend, segment
        As in `lifetime_value`.
    number
        Draws to keep; fewer where a fit has fewer.
    """
    fits = [*each(purchases), *each(spend)]
    require_passed(*fits)
    number = min(number, *(next(iter(f.draws.values())).size for f in fits))
    each(purchases)[0].fitted.check(history)
    history = history.sort_values("customer_id", kind="stable").reset_index(drop=True)
    unknown = int(((history["x"] > 0) & ~np.isfinite(history["z_bar"].astype(float))).sum())
    if unknown:
        raise Refused("purchase history", [Fault("z_bar", f"{unknown} missing or infinite where x > 0")])
    found = []
    for key, where in _members(history, purchases, spend, segment):
        bought, spent = (f[key] if isinstance(f, Mapping) else f for f in (purchases, spend))
        order = where[np.lexsort([history[c].to_numpy(float)[where] for c in reversed(bought.fitted.read)])]
        timing, worth = kept(bought.draws, number), kept(spent.draws, number)
        read = history.drop(columns="customer_id").iloc[order]
        found.append(Part(read, order, bought.fitted, timing, spent.fitted, worth))
    return history, found


def pieces(found: list[Part]) -> Iterator[tuple[Part, slice]]:
    """Blocks of customers: a part, and where in it."""
    for part in found:
        size = max(1, CELLS // next(iter(part.purchase_draws.values())).shape[-1])
        for start in range(0, len(part.history), size):
            yield part, slice(start, start + size)


def distinct(model: PurchaseModel, block: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The distinct rows of a sorted block by what the model reads, and each customer's place among them."""
    new = _changes(block, model.read)
    return block[new], np.cumsum(new) - 1


def expected(
    model: PurchaseModel, draws: Arrays, rows: pd.DataFrame, weeks: float, discounts: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """P(alive), (rows, draws), and expected purchases, (discounts, rows, draws), of distinct sorted rows.

    Where the expectation given alive depends on `given_alive` alone, it is integrated once for each of those: for the
    row of the latest purchase, whose P(alive) is largest.
    """
    alive = model.p_alive(draws, rows)
    if not model.given_alive:
        return alive, model.expected_purchases(draws, rows, weeks, discounts)
    new = _changes(rows, model.given_alive)
    last = np.append(new[1:], True)
    orders = model.expected_purchases(draws, rows[last], weeks, discounts) / np.maximum(alive[last], 1e-300)
    return alive, orders[:, np.cumsum(new) - 1] * alive


def blocks(history: pd.DataFrame, size: int = 2_000) -> Iterator[pd.DataFrame]:
    """The history in blocks of customers."""
    for start in range(0, len(history), size):
        yield history.iloc[start : start + size]


def kept(draws: Arrays, number: int) -> Arrays:
    """About `number` of the draws, evenly spaced over all chains; each (≤ number,)."""
    size = next(iter(draws.values())).size
    where = np.unique(np.linspace(0, size - 1, min(number, size)).round().astype(int))
    return {name: values.reshape(-1)[where] for name, values in draws.items()}


def weekly(params: CLVParams) -> float:
    """The continuous discount rate a week."""
    return float(np.log1p(params.annual_discount_rate) / WEEKS_A_YEAR)


def each(fits: Fits) -> list[Fit]:
    """The fits as a list."""
    return list(fits.values()) if isinstance(fits, Mapping) else [fits]


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 90 % interval of each row of (customers, draws); sorting rows outruns partial sorts six times."""
    ranked = np.sort(values, axis=1)
    ends = []
    for share in INTERVAL:
        place = share * (ranked.shape[1] - 1)
        below = min(int(place), ranked.shape[1] - 1)
        above = min(below + 1, ranked.shape[1] - 1)
        ends.append(ranked[:, below] + (place - below) * (ranked[:, above] - ranked[:, below]))
    return ends[0], ends[1]


def summary(values: np.ndarray, name: str, ends: str) -> dict[str, Any]:
    """Mean and 90 % interval of each row of (customers, draws), as columns."""
    low, high = interval(values)
    return {name: values.mean(axis=1), f"{ends}_low": low, f"{ends}_high": high}


def _sums(found: list[Part], groups: np.ndarray, *, weeks: float, discount: float, margin: float) -> np.ndarray:
    """(groups, draws): CLV of all customers of each group under each draw, computed anew in blocks."""
    draws = next(iter(found[0].purchase_draws.values())).shape[-1]
    totals = np.zeros((int(groups.max(initial=-1)) + 1, draws))
    for part, at in pieces(found):
        group = groups[part.position[at]]
        order = np.argsort(group, kind="stable")
        order = order[np.searchsorted(group[order], 0) :]
        if not len(order):
            continue
        block = part.history.iloc[at]
        rows, back = distinct(part.timing, block)
        _, (discounted,) = expected(part.timing, part.purchase_draws, rows, weeks, (discount,))
        clv = discounted[back[order]] * part.worth.expected_value(part.spend_draws, block.iloc[order]) * margin
        first = np.flatnonzero(np.append(True, np.diff(group[order]) > 0))
        totals[group[order][first]] += np.add.reduceat(clv, first, axis=0)
    return totals


def _members(
    history: pd.DataFrame, purchases: Fits, spend: Fits, segment: pd.Series | None
) -> list[tuple[str, np.ndarray]]:
    """Each posterior's key and the positions of its customers."""
    by_segment = [f for f in (purchases, spend) if isinstance(f, Mapping)]
    if not by_segment:
        return [("", np.arange(len(history)))]
    if segment is None:
        raise Refused("lifetime value", [Fault("segment", "missing; fits by segment need each customer's segment")])
    of = history["customer_id"].map(segment)
    of = of.where(of.isna(), of.astype("str"))
    known = set.intersection(*(set(f) for f in by_segment))
    without = int((~of.isin(known)).sum())
    if without:
        raise Refused("lifetime value", [Fault("segment", f"{without} customers are in no segment that has a fit")])
    return [(key, np.flatnonzero((of == key).to_numpy())) for key in sorted(of.unique())]


def _changes(table: pd.DataFrame, columns: tuple[str, ...] | list[str]) -> np.ndarray:
    """(rows,) true where a row of a sorted table differs from the one before."""
    new = np.zeros(len(table), dtype=bool)
    new[:1] = True
    for column in columns:
        values = table[column].to_numpy(float)
        new[1:] |= values[1:] != values[:-1]
    return new
