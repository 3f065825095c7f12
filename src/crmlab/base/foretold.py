"""Whether next purchases came when they were foretold: the last days withheld, and held against the model."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd

from crmlab.base.intervals import jeffreys
from crmlab.base.renewal import Expected, expected
from crmlab.base.silence import histories, learnt
from crmlab.contract import mark

WITHHELD = (28, 182)
"""Fewest and most days withheld: a quarter of those observed."""
COMPARED = 50
"""Customers who bought again in the days withheld before intervals are judged."""


def withheld_days(each: pd.DataFrame) -> int:
    """Days to withhold: a quarter of those observed, at most half a year; 0 where that is too few."""
    days = min(int(each["seen"].max() + 1) // 4, WITHHELD[1]) if len(each) else 0
    return days if days >= WITHHELD[0] else 0


def calibrated(orders: ibis.Table, *, as_of: date, days: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the model said `days` days before `as_of`, and what came; empty where too few came.

    The next purchase of those who came back is placed in the distribution the model gives it within these days, where
    the probability of having left cancels; the share inside its middle 80 and 90 % is as promised, if the model is
    right. Whole days are spread evenly over the probabilities they stand for.
    """
    cut = as_of - timedelta(days=days)
    each = histories(orders, as_of=cut)
    model = learnt(orders, each, cut, seed)
    later = orders.filter((orders.date > ibis.literal(cut)) & (orders.date <= ibis.literal(as_of)))
    first = later.group_by("customer_id").agg(first=later.date.min())
    first = first.select("customer_id", after=first["first"].delta(ibis.literal(cut), unit="day")).to_pandas()
    after = each["customer_id"].map(first.set_index("customer_id")["after"]).to_numpy(dtype="float64")
    back = ~np.isnan(after)
    if model is None or back.sum() < COMPARED:
        return pd.DataFrame(), pd.DataFrame()
    of = expected(model, each)
    chance = of.still * of.within(days)
    return _compared(_placed(of, after, back, days), chance, back), _bands(chance, back)


def _placed(of: Expected, after: np.ndarray, back: np.ndarray, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Of those who came back: probabilities of having come by the day before, and by the day."""
    whole = of.within(days)[back]
    at = np.where(back, after, 1.0)
    return of.within(at - 1)[back] / whole, of.within(at)[back] / whole


def _compared(placed: tuple[np.ndarray, np.ndarray], chance: np.ndarray, back: np.ndarray) -> pd.DataFrame:
    low, high = placed
    wide = np.maximum(high - low, 1e-12)
    rows = []
    for level, measure in ((80, mark("next purchase within its 80 % interval")), (90, mark("… within its 90 %"))):
        tail = (1 - level / 100) / 2
        inside = np.clip((np.minimum(high, 1 - tail) - np.maximum(low, tail)) / wide, 0, 1)
        at, to = jeffreys(inside.sum(), len(inside))
        rows.append((f"within_{level}", measure, level / 100, inside.mean(), float(at), float(to), len(inside)))
    at, to = jeffreys(back.sum(), len(back))
    rows.append(("back", mark("came back"), chance.mean(), back.mean(), float(at), float(to), len(back)))
    return pd.DataFrame(rows, columns=["key", "measure", "expected", "observed", "low", "high", "n"])


def _bands(chance: np.ndarray, back: np.ndarray) -> pd.DataFrame:
    """Tenths of the customers by their probability of coming back: expected, observed, low, high, customers."""
    tenth = pd.Series(np.round(chance, 9)).rank(method="average", pct=True).mul(10).apply(np.ceil).clip(1, 10)
    found = pd.DataFrame({"band": tenth.astype("int64"), "expected": chance, "back": back})
    found = found.groupby("band").agg(expected=("expected", "mean"), came=("back", "sum"), customers=("back", "size"))
    low, high = jeffreys(found["came"], found["customers"])
    found = found.assign(observed=found["came"] / found["customers"], low=low, high=high).reset_index()
    return found[["band", "customers", "expected", "observed", "low", "high"]]
