"""Gaps between purchase days, counted in the engine, and the product-limit estimate of their distribution."""

from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pandas as pd

from crmlab.base.intervals import GROUPS, jackknife_se, t_quantile

LEFT_OUT = 10
"""With fewer groups of customers than this there is no interval."""


@dataclass(frozen=True)
class Gaps:
    """What the engine counted.

    counts
        segment, grp, few (the customer has too few gaps for an own quantile), days, ended (a purchase ended the gap;
        else it is open on `as_of`), n.
    pairs
        segment, grp, spread, expected: sums over pairs of successive gaps of (M - 1/2)² and of what it would be
        were purchases on random days.
    customers
        customer_id, segment, gaps (ended), few, open (days), own (the quantile of the customer's own gaps).
    """

    counts: pd.DataFrame
    pairs: pd.DataFrame
    customers: pd.DataFrame
    segments: list[str]
    start: date | None


@dataclass(frozen=True)
class Survival:
    """Share still waiting after each number of days: of all, and without each group of customers in turn.

    days : (D,) days with an ended gap. whole : (D,). without : (G, D), no rows where there are too few groups.
    """

    days: np.ndarray
    whole: np.ndarray
    without: np.ndarray


def gaps(orders: ibis.Table, *, as_of: date, segments: pd.Series | None, quantile: float, every: str = "all") -> Gaps:
    """Count the gaps between a customer's purchase days by segment, group of customers and length.

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen: the open gap runs from the last purchase to it.
    segments
        customer_id → segment id.
    quantile
        Which quantile of a customer's own gaps to return: the ceil(q·(n + 1))-th smallest, which the next gap exceeds
        with probability at most 1 − q if all are exchangeable; missing where n is too small for it.
    every
        The segment id that stands for all customers.
    """
    days = orders.filter(orders.date <= ibis.literal(as_of)).select("customer_id", "date").distinct()
    each = days.group_by("customer_id").agg(first=days.date.min(), last=days.date.max(), gaps=days.count() - 1)
    customers = each.order_by("customer_id").to_pandas()
    customers["segment"] = None
    if segments is not None:
        customers["segment"] = customers["customer_id"].map(segments)
    customers["few"] = (customers["gaps"] + 1) * (1000 - round(quantile * 1000)) < 1000
    groups = _groups(customers, every)

    after = ibis.window(group_by="customer_id", order_by="date")
    steps = days.mutate(next=days.date.lead().over(after), then=days.date.lead(2).over(after))
    steps = steps.select(
        "customer_id",
        gap=ibis.coalesce(steps.next, ibis.literal(as_of)).delta(steps.date, unit="day").cast("int64"),
        ended=steps.next.notnull(),
        second=steps.then.delta(steps.next, unit="day").cast("int64"),
    )
    joined = steps.inner_join(ibis.memtable(groups), "customer_id")
    counts = joined.group_by(["segment", "grp", "few", "gap", "ended"]).agg(n=joined.count()).to_pandas()
    counts = counts.rename(columns={"gap": "days"}).sort_values(
        ["segment", "grp", "few", "days", "ended"], ignore_index=True
    )
    ended = steps.filter(steps.ended)
    place = ibis.row_number().over(group_by="customer_id", order_by=ended.gap)
    ranked = ended.mutate(place=place + 1, size=ended.count().over(group_by="customer_id"))
    # in whole numbers: no product of doubles decides a rank
    wanted = ((ranked.size + 1) * round(quantile * 1000) + 999) // 1000
    own = ranked.filter(ranked.place == wanted).select("customer_id", own="gap").to_pandas()
    customers = customers.merge(own, how="left", on="customer_id", validate="1:1")
    customers["own"] = customers["own"].astype("float64")
    customers["open"] = (pd.Timestamp(as_of) - pd.to_datetime(customers["last"])).dt.days
    start = pd.to_datetime(customers["first"]).min().date() if len(customers) else None
    known = [every, *sorted(customers["segment"].dropna().unique())]
    kept = customers[["customer_id", "segment", "gaps", "few", "open", "own"]]
    return Gaps(counts, _pairs(joined), kept, known, start)


def _groups(customers: pd.DataFrame, every: str) -> pd.DataFrame:
    """customer_id, segment, grp: everybody under `every`, and under the segment; groups in turn by sorted id."""
    named = customers.dropna(subset=["segment"])[["customer_id", "segment", "few"]]
    frame = pd.concat([customers[["customer_id", "few"]].assign(segment=every), named], ignore_index=True)
    frame = frame.astype({"customer_id": "str", "segment": "str"})
    frame["grp"] = (frame.groupby("segment").cumcount() % GROUPS).astype("int64")
    return frame


def _pairs(joined: ibis.Table) -> pd.DataFrame:
    """Spread of M = gap₁/(gap₁ + gap₂) about ½, and its expectation given the sum s: gap₁ uniform on 1 … s − 1."""
    pairs = joined.filter(joined.second.notnull())
    s = (pairs.gap + pairs.second).cast("float64")
    exact = "decimal(18, 12)"  # summed as decimals: a sum of doubles depends on the threads
    spread = (((pairs.gap - pairs.second) / (2 * s)) ** 2).cast(exact)
    expected = ((s - 2) / (12 * s)).cast(exact)
    found = pairs.group_by(["segment", "grp"]).agg(
        spread=spread.sum().cast("float64"), expected=expected.sum().cast("float64")
    )
    return found.to_pandas().sort_values(["segment", "grp"], ignore_index=True)


def survival(counts: pd.DataFrame) -> Survival:
    """Product-limit estimate: S(t) = Π over d ≤ t of 1 − ended(d) / at risk(d) [Kaplan & Meier 1958, eq. 2b]."""
    top = int(counts["days"].max()) if len(counts) else 0
    groups = np.unique(counts["grp"])
    shape = (len(groups), top + 1)
    row = np.searchsorted(groups, counts["grp"])
    ended, opened = np.zeros(shape), np.zeros(shape)
    is_ended = counts["ended"].to_numpy(dtype=bool)
    for into, which in ((ended, is_ended), (opened, ~is_ended)):
        np.add.at(into, (row[which], counts["days"].to_numpy()[which]), counts["n"].to_numpy()[which])
    days = np.flatnonzero(ended.sum(axis=0))
    whole = _limit(ended.sum(axis=0), opened.sum(axis=0))[days]
    without = np.empty((0, len(days)))
    if len(groups) >= LEFT_OUT:
        without = _limit(ended.sum(axis=0) - ended, opened.sum(axis=0) - opened)[:, days]
    return Survival(days, whole, without)


def _limit(ended: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Survival at each day of the last axis; gaps still open at a day are at risk on it."""
    total = ended + opened
    at_risk = np.flip(np.cumsum(np.flip(total, axis=-1), axis=-1), axis=-1)
    hazard = np.divide(ended, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0)
    return np.cumprod(1 - hazard, axis=-1)


def band(curve: Survival) -> tuple[np.ndarray, np.ndarray]:
    """Limits of 90 % of the share still waiting on the scale log(−log S).

    NaN where there are too few groups, or where without some group nobody, or everybody, is still waiting.
    """
    missing = np.full(len(curve.days), np.nan)
    if not len(curve.without):
        return missing, missing

    def scaled(share: np.ndarray) -> np.ndarray:
        return np.log(-np.log(np.clip(share, 1e-12, 1 - 1e-12)))

    half = t_quantile(len(curve.without)) * jackknife_se(scaled(curve.without))
    every = np.vstack([curve.without, curve.whole])
    inside = ((every > 1e-12) & (every < 1 - 1e-12)).all(axis=0)
    low = np.where(inside, np.exp(-np.exp(scaled(curve.whole) + half)), np.nan)
    high = np.where(inside, np.exp(-np.exp(scaled(curve.whole) - half)), np.nan)
    return low, high


def quantile(curve: Survival, share: float) -> tuple[float, float, float]:
    """Days within which `share` of the gaps end, with limits [Brookmeyer & Crowley 1982]; NaN where not reached."""
    low, high = band(curve)
    return _first(curve, curve.whole, share), _first(curve, low, share), _first(curve, high, share)


def _first(curve: Survival, waiting: np.ndarray, share: float) -> float:
    reached = np.flatnonzero(waiting <= 1 - share + 1e-12)
    return float(curve.days[reached[0]]) if len(reached) else np.nan
