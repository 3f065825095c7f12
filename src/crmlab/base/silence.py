"""Each customer's gaps and the silence since, and the model learnt from them."""

from datetime import date

import ibis
import numpy as np
import pandas as pd

from crmlab.base.gaps import LOGARITHM, purchase_days
from crmlab.base.renewal import Renewal, fit
from crmlab.contract import generator

REPEATING = 10
"""Customers with an ended gap before anything is learnt of gaps."""
SAMPLED = 20_000
"""The model is learnt from so many customers, drawn by the seed; it is applied to all."""


def histories(orders: ibis.Table, *, as_of: date) -> pd.DataFrame:
    """One row a customer: n (gaps ended), waited (their sum, half a day less each), open, seen, spread, expected.

    `open` and `seen` are days since the last and the first purchase; the last two are of the pairs of successive gaps,
    as in `crmlab.base.gaps`. Sorted by customer_id.
    """
    days = purchase_days(orders, as_of)
    after = ibis.window(group_by="customer_id", order_by="date")
    gap = days.date.delta(days.date.lag().over(after), unit="day").cast("int64")
    steps = days.mutate(gap=gap, gaps=days.date.lag().delta(days.date.lag(2), unit="day").over(after).cast("int64"))
    both = (steps.gap + steps.gaps).cast("float64")
    each = steps.group_by("customer_id").agg(
        n=steps.count() - 1,
        days=steps.gap.sum().fill_null(0),
        open=ibis.literal(as_of).delta(steps.date.max(), unit="day"),
        spread=(((steps.gap - steps.gaps) / (2 * both)) ** 2).cast(LOGARITHM).sum().cast("float64").fill_null(0.0),
        expected=((both - 2) / (12 * both)).cast(LOGARITHM).sum().cast("float64").fill_null(0.0),
    )
    found = each.order_by("customer_id").to_pandas()
    n, waited = found["n"].astype("int64"), found["days"].astype("int64")
    return pd.DataFrame(
        {
            "customer_id": found["customer_id"].astype("str"),
            "n": n,
            "waited": waited - n / 2,
            "open": found["open"].astype("int64"),
            "seen": waited + found["open"].astype("int64"),
            "spread": found["spread"].astype("float64"),
            "expected": found["expected"].astype("float64"),
        }
    )


def learnt(orders: ibis.Table, each: pd.DataFrame, as_of: date, seed: int) -> Renewal | None:
    """The model of these customers; None where hardly anybody has bought twice."""
    if (each["n"] > 0).sum() < REPEATING:
        return None
    days = purchase_days(orders, as_of)
    if len(each) > SAMPLED:
        drawn = np.sort(generator(seed, "timing").permutation(len(each))[:SAMPLED])
        each = each.iloc[drawn]
        days = days.semi_join(ibis.memtable(each[["customer_id"]]), "customer_id")
    before = days.date.lag().over(group_by="customer_id", order_by="date")
    gap = days.mutate(days=days.date.delta(before, unit="day").cast("int64"))
    lengths = gap.filter(gap.days.notnull()).group_by("days").agg(n=lambda t: t.count()).order_by("days").to_pandas()
    return fit(each, lengths.set_index("days")["n"])


def regularity(each: pd.DataFrame) -> np.ndarray:
    """Each customer's coefficient of variation, drawn towards that of all by how much customers differ in it.

    The ratio of `crmlab.base.ipt` a customer, P pairs of gaps, is given the weight P/(P + c/σ²): σ² is its relative
    variance between customers and c = 4k/(2k + 3) that of one pair, by the moments of Beta(k, k) [DerSimonian & Laird
    1986]. Missing with fewer than two gaps.
    """
    pairs = np.maximum(each["n"].to_numpy(dtype="float64") - 1, 0)
    wide = each["expected"].to_numpy()
    some = (pairs > 0) & (wide > 0)
    if not some.any():
        return np.full(len(each), np.nan)
    mean = max(each["spread"].to_numpy()[some].sum() / wide[some].sum(), 1e-9)
    ratio = np.divide(each["spread"].to_numpy(), wide * mean, out=np.ones(len(each)), where=some)
    k = max((3 - min(mean, 2.999)) / (2 * mean), 1e-3)
    one = 4 * k / (2 * k + 3)
    between = max(((pairs * (ratio - 1) ** 2)[some].sum() - one * some.sum()) / pairs[some].sum(), 0.0)
    weight = between * pairs / (between * pairs + one)
    drawn = mean * (1 + weight * (ratio - 1))
    return np.where(some, np.round(np.sqrt(2 * drawn / (3 - np.minimum(drawn, 2.999))), 9), np.nan)
