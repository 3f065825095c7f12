"""What the customers of each segment buy, on which days and through which channel, against all customers.

Every customer counts the same: it is the mean over customers of the share of their own spend, or of their own purchase
days or orders. A wholesaler's basket weighs no more than anybody's, and customers are what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
from scipy.stats import norm

from crmlab.base.orders import MONEY
from crmlab.base.rhythm import MONTHS, WEEKDAYS
from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.differences import surely

MOST = 30
"""Levels of a part that are compared: the largest."""

SEASONS = 730
"""Days of history from which on seasons can be told from a trend."""

QUARTER = 91
"""Days at the end in which customers must have bought to count as there throughout the year before."""

SHARE = "decimal(18, 12)"
"""Summed as decimals: a sum of doubles would depend on the order the engine takes them in."""

PARTS = {
    "category": mark("share of spend by category"),
    "channel": mark("share of orders by channel"),
    "weekday": mark("share of purchase days by weekday"),
    "month": mark("share of purchase days by month"),
}


@dataclass(frozen=True)
class Mixes(Result):
    """One row a segment, part and level.

    table: segment, part, level, buyers (of the segment, with any of it), of (customers compared), share, base (share
    among all), lift (share / base), low, high (90 %), sure (of those so marked in a segment and part about a tenth are
    expected to be false). `absent` says which parts the data cannot give.
    """

    table: pd.DataFrame
    basis: Basis
    absent: tuple[Sentence, ...] = ()

    title: ClassVar[str] = "What segments buy, when, and through which channel"
    note: ClassVar[str] = (
        "Means over customers of the share of their own spend, orders or purchase days. The lift is the segment's "
        "share over that of all customers, with its 90 % interval. Months are those of a year, of customers who bought "
        "before it and after it."
    )
    people: ClassVar[tuple[str, ...]] = ("buyers", "of")
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "segment": ("Segment", ""),
        "part": ("Part", "word"),
        "said": ("Of what", ""),
        "buyers": ("Customers", ",.0f"),
        "share": ("Share", ".1%"),
        "base": ("Share among all", ".1%"),
        "lift": ("Lift", ".2f"),
        "low": ("90 % from", ".2f"),
        "high": ("to", ".2f"),
    }

    def shown(self) -> pd.DataFrame:
        """The sure differences, the largest first, in words."""
        sure = self.table[self.table["sure"]]
        far = np.abs(np.log(sure["lift"].clip(lower=1e-6))).round(9)
        ordered = sure.assign(far=far).sort_values(["far", "segment", "part", "level"], ascending=[False, *[True] * 3])
        said = [level_words(p, v) for p, v in zip(ordered["part"], ordered["level"], strict=True)]
        return ordered.assign(said=said, part=ordered["part"].map(PARTS))

    def sentences(self) -> list[Sentence]:
        """What the data cannot give."""
        return list(self.absent)

    def of(self, segment: str, part: str) -> pd.DataFrame:
        """The levels of a part in a segment that at least five of its customers have."""
        t = self.table
        return t[(t["segment"] == segment) & (t["part"] == part) & (t["buyers"] >= FEWEST)]


def level_words(part: str, level: str) -> str:
    """A level as a reader knows it: the day or month by its name, a category or channel as the company calls it."""
    if part == "weekday":
        return say(WEEKDAYS[int(level)])
    return say(MONTHS[int(level) - 1]) if part == "month" else level


def mixes(tables: Mapping[str, ibis.Table], orders: ibis.Table, membership: pd.Series, *, as_of: date) -> Mixes:
    """What each segment's customers buy, when and through which channel, against all.

    Parameters
    ----------
    tables
        Canonical tables, cut at `as_of`: transactions, and products where they hold the categories.
    orders
        One row an order.
    membership
        Segment id of each customer, index customer_id.
    as_of
        Last day that is seen.
    """
    absent, parts = [], {}
    lines = _with_categories(tables)
    if lines is None:
        absent.append(Sentence("What they buy is not shown: the purchases have no categories."))
    else:
        spent = lines.group_by("customer_id", "level").agg(much=lines.amount.cast(MONEY).sum())
        parts["category"] = spent.filter(spent.much > 0)
    if "channel" not in orders.columns:
        absent.append(Sentence("Through which channel they buy is not shown: the purchases have none."))
    else:
        known = orders.filter(orders.channel.notnull())
        parts["channel"] = known.group_by("customer_id", level=known.channel).agg(much=known.count().cast(MONEY))
    days = orders.filter(orders.date <= ibis.literal(as_of)).select("customer_id", "date").distinct()
    weekday = days.date.day_of_week.index().cast("string")
    parts["weekday"] = days.group_by("customer_id", level=weekday).agg(much=days.count().cast(MONEY))
    first = days.aggregate(first=days.date.min()).to_pandas()["first"].iloc[0]
    span = 0 if pd.isna(first) else (as_of - pd.Timestamp(first).date()).days + 1
    if span >= SEASONS:
        parts["month"] = _months(days, as_of)
    elif span:
        absent.append(Sentence("Seasons are not shown: in less than two years they cannot be told from a trend."))
    found = [_part(part, amounts, membership) for part, amounts in parts.items()]
    table = pd.concat(found, ignore_index=True)
    some = set(table["part"])
    nothing = {"category": mark("What they buy is not shown: no purchase has a category."),
               "channel": mark("Through which channel they buy is not shown: no purchase has one."),
               "month": mark("Seasons are not shown: nobody bought before the year up to a quarter ago and after it."),
               }  # fmt: skip
    absent += [Sentence(said) for part, said in nothing.items() if part in parts and part not in some and span]
    table["sure"] = surely(table["segment"] + "/" + table["part"], _chance(table))
    return Mixes(table, Basis(len(membership), mark("customers"), end=as_of), tuple(absent))


def _months(days: ibis.Table, as_of: date) -> ibis.Table:
    """Purchase days by month of the year that ended a quarter ago, of customers who bought before it and after it.

    Everybody who came or left within would seem to have a season: new customers that of the last months.
    """
    end = as_of - timedelta(days=QUARTER)
    start = (pd.Timestamp(end) - pd.DateOffset(years=1)).date()
    seen = days.group_by("customer_id").agg(first=days.date.min(), last=days.date.max())
    through = seen.filter((seen["first"] <= ibis.literal(start)) & (seen["last"] > ibis.literal(end)))
    inside = days.filter((days.date > ibis.literal(start)) & (days.date <= ibis.literal(end)))
    inside = inside.semi_join(through, "customer_id")
    month = inside.date.month().cast("string")
    return inside.group_by("customer_id", level=month).agg(much=inside.count().cast(MONEY))


def _with_categories(tables: Mapping[str, ibis.Table]) -> ibis.Table | None:
    """customer_id, amount and level (the category: the line's own, else its product's) of lines that have one."""
    lines = tables["transactions"]
    if "category" in lines.columns:
        own = lines.select("customer_id", "amount", level=lines.category)
    elif "products" in tables and {"product_id"} <= set(lines.columns) and "category" in tables["products"].columns:
        kinds = tables["products"].select("product_id", level="category")
        own = lines.inner_join(kinds, "product_id").select("customer_id", "amount", "level")
    else:
        return None
    return own.filter(own.level.notnull())


def _part(part: str, amounts: ibis.Table, membership: pd.Series) -> pd.DataFrame:
    """Shares of one part by segment: the engine sums each customer's shares and their squares."""
    people = pd.DataFrame({"customer_id": membership.index.astype("str"), "segment": membership.to_numpy()})
    placed = amounts.inner_join(ibis.memtable(people.astype("str")), "customer_id")
    whole = placed.much.sum().over(group_by="customer_id").cast("float64")
    share = (placed.much.cast("float64") / whole).cast(SHARE)
    each = placed.select("customer_id", "segment", "level", share=share)
    sums = each.group_by("segment", "level").agg(
        buyers=each.count(), one=each.share.sum().cast("float64"), two=(each.share * each.share).cast(SHARE).sum()
    )
    sums = sums.mutate(two=sums.two.cast("float64")).order_by("segment", "level").to_pandas()
    sizes = each.group_by("segment").agg(n=each.customer_id.nunique()).to_pandas().set_index("segment")["n"]
    return lifts(sums, sizes.astype("int64")).assign(part=part)[COLUMNS]


COLUMNS = ["segment", "part", "level", "buyers", "of", "share", "base", "lift", "low", "high"]


def lifts(sums: pd.DataFrame, sizes: pd.Series) -> pd.DataFrame:
    """Mean shares by segment against the mean of all, and the 90 % interval of their ratio.

    The segment is part of all: with v a customer's share, m and M the means of the n and the N, the logarithm of the
    ratio moves by (v − m)/(n m) − (v − M)/(N M) with a customer of the segment, by the second term alone with others
    [influence function; Cochran 1977, section 6.3].

    Parameters
    ----------
    sums
        segment, level, buyers (customers with any), one, two (sums of shares and of their squares); absent: none.
    sizes
        Customers of each segment, those with none of a level included.
    """
    levels = sums.groupby("level")["one"].sum().round(9)
    kept = sorted(levels.index, key=lambda v: (-levels[v], v))[:MOST]
    ids = sorted(sizes.index)

    def grid(column: str) -> np.ndarray:
        wide = sums.pivot_table(index="segment", columns="level", values=column)
        return wide.reindex(index=ids, columns=kept).fillna(0.0).to_numpy(dtype="float64")

    n = sizes.loc[ids].to_numpy(dtype="float64")[:, None]
    one, two, total = grid("one"), grid("two"), n.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, every = one / n, one.sum(axis=0) / total
        inside = np.maximum(two - n * mean**2, 0.0)
        overall = np.maximum(two.sum(axis=0) - total * every**2, 0.0)
        variance = inside / (n * mean) ** 2 - 2 * inside / (n * mean * total * every) + overall / (total * every) ** 2
        variance = np.where((n > 1) & (n < total) & (mean > 0), np.maximum(variance, 0.0) * n / (n - 1), np.nan)
        lift, half = mean / every, norm.isf(0.05) * np.sqrt(variance)
        low, high = lift * np.exp(-half), lift * np.exp(half)
    # Those who all share alike are no proof that others would: no interval where nothing varies.
    low, high = (np.where(variance > 0, end, np.nan) for end in (low, high))
    columns = {"buyers": grid("buyers"), "of": np.broadcast_to(n, mean.shape), "share": mean}
    columns |= {"base": np.broadcast_to(every, mean.shape), "lift": lift, "low": low, "high": high}
    frame = pd.DataFrame({"segment": np.repeat(ids, len(kept)), "level": np.tile(kept, len(ids))}, dtype="str")
    frame = frame.assign(**{name: values.ravel() for name, values in columns.items()})
    return frame.astype({"buyers": "int64", "of": "int64"})


def _chance(table: pd.DataFrame) -> pd.Series:
    """Two-sided p of each lift, its logarithm normal; missing below five buyers: nothing is said of those."""
    shown = table[["lift", "low", "high"]].where(table["buyers"] >= FEWEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(shown)
        error = (logs["high"] - logs["low"]) / 2 / norm.isf(0.05)
        return pd.Series(2 * norm.sf(logs["lift"].abs() / error), index=table.index)
