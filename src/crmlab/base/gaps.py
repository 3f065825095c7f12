"""Gaps between purchase days, counted in the engine, and the product-limit estimate of their distribution."""

from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pandas as pd

from crmlab.base.intervals import GROUPS, jackknife_se, t_quantile

LEFT_OUT = 10
"""With fewer groups of customers than this there is no interval."""
LOGARITHM = "decimal(18, 12)"
"""Summed as decimals: a sum of doubles depends on the order the engine takes them in."""
NOWHERE = ""
"""The segment of customers who are in none."""


@dataclass(frozen=True)
class Gaps:
    """What the engine counted.

    counts
        segment, grp, few (the customer has too few gaps for an own quantile), days, ended (a purchase ended the gap;
        else it is open on `as_of`), n; and over the pairs of such a gap and the next one spread, expected: sums of
        (M - 1/2)² and of what it would be were purchases on random days.
    late
        segment, judged, late: customers with enough gaps for an own quantile, and those whose open gap is longer.
    segments
        Ids of the segments with a customer, sorted.
    """

    counts: pd.DataFrame
    late: pd.DataFrame
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


def purchase_days(orders: ibis.Table, as_of: date) -> ibis.Table:
    """customer_id, date: one row a customer and day with an order, up to `as_of`."""
    return orders.filter(orders.date <= ibis.literal(as_of)).select("customer_id", "date").distinct()


def grouped(each: ibis.Table, segments: pd.Series | None) -> tuple[ibis.Table, list[str]]:
    """Add `cell` to one row a customer: place of the segment × GROUPS + group of customers, and the segments' ids.

    Customers take the groups in turn, segment by segment in the order of their ids, so that groups are of one size
    in each segment and over all. Those in no segment stand under `NOWHERE`, first.
    """
    ids = [NOWHERE]
    place = ibis.literal(0)
    if segments is not None and len(known := segments.dropna().astype("str")):
        ids += sorted(known.unique())
        codes = known.map({s: i for i, s in enumerate(ids)}).astype("int64")
        codes = pd.DataFrame({"customer_id": codes.index.astype("str"), "place": codes.to_numpy()})
        each = each.left_join(ibis.memtable(codes), "customer_id").drop("customer_id_right")
        place = each.place.fill_null(0)
    each = each.mutate(place=place)
    turn = ibis.row_number().over(order_by=[each.place, each.customer_id]) % GROUPS
    return each.mutate(cell=each.place * GROUPS + turn).drop("place"), ids


def gaps(orders: ibis.Table, *, as_of: date, segments: pd.Series | None, quantile: float) -> Gaps:
    """Count the gaps between a customer's purchase days by segment, group of customers and length.

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen: the open gap runs from the last purchase to it.
    segments
        customer_id → segment id; customers without one are counted under `NOWHERE`.
    quantile
        Against which quantile of a customer's own gaps the open one is held: the ceil(q·(n + 1))-th smallest, which
        the next gap exceeds with probability at most 1 − q if all are exchangeable.
    """
    days = purchase_days(orders, as_of)
    each = days.group_by("customer_id").agg(last=days.date.max(), gaps=days.count() - 1)
    each, ids = grouped(each, segments)
    # in whole numbers: no product of doubles decides a rank
    part = round(quantile * 1000)
    each = each.select(
        "customer_id",
        few=(each.gaps + 1) * (1000 - part) < 1000,
        cell=each.cell,
        open=ibis.literal(as_of).delta(each["last"], unit="day"),
        wanted=((each.gaps + 1) * part + 999) // 1000,
    )
    after = ibis.window(group_by="customer_id", order_by="date")
    steps = days.mutate(next=days.date.lead().over(after), then=days.date.lead(2).over(after))
    steps = steps.select(
        "customer_id",
        gap=ibis.coalesce(steps.next, ibis.literal(as_of)).delta(steps.date, unit="day").cast("int64"),
        ended=steps.next.notnull(),
        second=steps.then.delta(steps.next, unit="day").cast("int64"),
    )
    joined = steps.inner_join(each, "customer_id")
    both = (joined.gap + joined.second).cast("float64")
    # M = gap₁/(gap₁ + gap₂); given the sum s, gap₁ of random days is uniform on 1 … s − 1
    spread = (((joined.gap - joined.second) / (2 * both)) ** 2).cast(LOGARITHM)
    expected = ((both - 2) / (12 * both)).cast(LOGARITHM)
    key = (joined.cell * 2 + joined.few.cast("int64")) * 2 + joined.ended.cast("int64")
    counted = joined.group_by(key=key, days=joined.gap).agg(
        n=joined.count(),
        spread=spread.sum().cast("float64").fill_null(0.0),
        expected=expected.sum().cast("float64").fill_null(0.0),
    )
    own = joined.filter(~joined.few)
    own = own.group_by("customer_id").agg(
        place=own.cell.max() // GROUPS,
        late=own.wanted.max() <= (own.ended & (own.gap < own.open)).sum(),
    )
    late = own.group_by(key=-1 - own.place, days=ibis.literal(0, "int64")).agg(
        n=own.count(), spread=own.late.sum().cast("float64"), expected=ibis.literal(0.0)
    )
    # one query, so that the engine cuts the gaps once
    counts, late = _read(ibis.union(counted, late).to_pandas(), ids)
    there = set(counts["segment"])
    first = orders.filter(orders.date <= ibis.literal(as_of)).date.min().to_pandas()
    start = None if pd.isna(first) else pd.Timestamp(first).date()
    return Gaps(counts, late, [s for s in ids if s != NOWHERE and s in there], start)


def _read(found: pd.DataFrame, ids: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`counts` and `late` of what the engine counted under numbers; keys below zero are of those with own quantiles."""
    found = found.sort_values(["key", "days"], ignore_index=True)
    counted, late = found[found["key"] >= 0], found[found["key"] < 0].iloc[::-1]
    named = np.array(ids, dtype=object)
    key = counted["key"].to_numpy(dtype="int64")
    counts = pd.DataFrame(
        {
            "segment": pd.Series(named[key // 4 // GROUPS], dtype="str"),
            "grp": key // 4 % GROUPS,
            "few": key // 2 % 2 == 1,
            "days": counted["days"].to_numpy(dtype="int64"),
            "ended": key % 2 == 1,
            "n": counted["n"].to_numpy(dtype="int64"),
            "spread": counted["spread"].to_numpy(dtype="float64"),
            "expected": counted["expected"].to_numpy(dtype="float64"),
        }
    )
    late = pd.DataFrame(
        {
            "segment": pd.Series(named[-1 - late["key"].to_numpy(dtype="int64")], dtype="str"),
            "judged": late["n"].to_numpy(dtype="int64"),
            "late": late["spread"].to_numpy().astype("int64"),
        }
    )
    return counts, late


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
