"""Rolling origins: whether the company forecast holds what happened, and is narrow enough to be of use."""

from collections.abc import Sequence
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
from scipy.stats import t as student

from crmlab.base.history import history as purchase_history
from crmlab.clv.company.forecast import FEWEST_WEEKS, forecast
from crmlab.clv.company.rolling_result import FORECAST, MODEL, NAIVE, NOMINAL, RollingOrigins
from crmlab.clv.fitting.fit import fit
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Fault, Refused, mark

STEP, FEWEST_SEEN, MOST_ORIGINS = 4, 13, 12
"""Weeks from one origin of `past_origins` to the next; weeks seen before the first; how many."""

FEWEST_ERRORS = 3
"""Other origins below which the naive forecast has no interval."""


def rolling_origins(
    orders: ibis.Table,
    *,
    as_of: date,
    origins: Sequence[date],
    horizons: Sequence[int] = (4, 13, 26),
    params: CLVParams,
    seed: int,
) -> RollingOrigins:
    """Forecast from each origin, with what was seen by then, and compare with what was seen by `as_of`.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen; a horizon that ends later is left out.
    origins
        Last days of what the forecasts may see.
    horizons
        Weeks ahead.
    params, seed
        Model, sampler, gate; the study's seed.
    """
    if faults := [Fault("horizons", f"got {h}; expected 1 or more") for h in horizons if h < 1]:
        raise Refused("rolling origins", faults)
    records, left_out = [], 0
    for origin in sorted(set(origins)):
        known = [h for h in sorted(set(horizons)) if origin + timedelta(weeks=h) <= as_of]
        found = from_origin(orders, origin, known, params=params, seed=seed) if known else []
        left_out += int(bool(known) and not found)
        records += found
    return assembled(pd.DataFrame(records, columns=RECORD), as_of=as_of, left_out=left_out)


def past_origins(orders: ibis.Table, *, as_of: date) -> list[date]:
    """Days of the past to forecast from: every four weeks, from a quarter of a year after the first order on.

    The last lies four weeks before `as_of`; of many the last `MOST_ORIGINS`.
    """
    first = orders.filter(orders.date <= ibis.literal(as_of)).date.min().execute()
    if pd.isna(first):
        return []
    steps = ((as_of - pd.Timestamp(first).date()).days // 7 - FEWEST_SEEN) // STEP
    return [as_of - timedelta(weeks=STEP * k) for k in range(1, min(steps, MOST_ORIGINS) + 1)]


RECORD = (
    *("origin", "horizon", "method", "actual", "median", "low_50", "high_50", "low_90", "high_90"),
    *("customers", "before"),
)


def from_origin(orders: ibis.Table, origin: date, horizons: list[int], *, params: CLVParams, seed: int) -> list[dict]:
    """Records of the forecast and the model alone from one origin; none where no model could be fitted."""
    before = purchase_history(orders, as_of=origin)
    if len(before) == 0 or before["T"].max() < FEWEST_WEEKS:
        return []
    try:
        fitted = fit(before, params.purchases, seed=seed, name=f"origin {origin}", params=params)
    except Refused:
        return []
    if not fitted.passed:
        return []
    made = forecast(orders, before, fitted, as_of=origin, weeks=max(horizons), params=params, seed=seed)
    later = repeats_after(orders, origin, max(horizons))
    past = made.past["repeats"].to_numpy()[::-1]
    records = []
    for h in horizons:
        row = made.table.iloc[h - 1]
        same = {
            "origin": origin,
            "horizon": h,
            "actual": float(later[:h].sum()),
            "customers": len(before),
            "before": float(past[:h].mean() * h),
        }
        records += [
            same
            | {"method": FORECAST}
            | {name: row[f"total_{name}"] for name in ("median", "low_50", "high_50", "low_90", "high_90")},
            same
            | {"method": MODEL, "median": row["total_plain"]}
            | {"low_90": row["total_plain_low"], "high_90": row["total_plain_high"]}
            | {"low_50": row["total_plain_low_50"], "high_50": row["total_plain_high_50"]},
        ]
    return records


def repeats_after(orders: ibis.Table, origin: date, weeks: int) -> np.ndarray:
    """(weeks,) repeat purchases after `origin` of the customers acquired by then."""
    days = orders.select("customer_id", "date").distinct()
    days = days.mutate(first=days.date.min().over(group_by="customer_id"))
    later = days.filter((days.first <= ibis.literal(origin)) & (days.date > ibis.literal(origin)))
    week = ((later.date.delta(ibis.literal(origin), unit="day") - 1) / 7).floor().cast("int64")
    counted = later.mutate(week=week).group_by("week").agg(repeats=lambda t: t.count()).to_pandas()
    return counted.set_index("week")["repeats"].reindex(range(weeks), fill_value=0).to_numpy(float)


def assembled(records: pd.DataFrame, *, as_of: date, left_out: int = 0) -> RollingOrigins:
    """The result, from the records of the forecast and of the model alone; naive forecasts are added."""
    records = records[records["actual"] > 0]
    records = pd.concat([records, naive(records[records["method"] == FORECAST])], ignore_index=True)
    start = records["origin"].min() if len(records) else None
    return RollingOrigins(
        table=compared(records),
        basis=Basis(int(records["customers"].max()) if len(records) else 0, mark("customers"), start, as_of),
        records=records,
        independent=separate(records),
        left_out=left_out,
    )


def naive(records: pd.DataFrame) -> pd.DataFrame:
    """Expect as many as in the same number of weeks before, with the errors that this made at the other origins.

    Student-t interval of the log of actual over predicted, its mean and spread from the other origins of the horizon.
    """
    made = []
    for _, group in records[records["before"] > 0].groupby("horizon"):
        error = np.log(group["actual"] / group["before"]).to_numpy()
        for place, row in enumerate(group.to_dict("records")):
            others = np.delete(error, place)
            if len(others) < FEWEST_ERRORS:
                continue
            spread = others.std(ddof=1) * np.sqrt(1 + 1 / len(others))
            quantiles = others.mean() + spread * student.ppf([0.05, 0.25, 0.5, 0.75, 0.95], len(others) - 1)
            values = row["before"] * np.exp(quantiles)
            made.append(row | dict(zip(("low_90", "low_50", "median", "high_50", "high_90"), values, strict=True)))
    return pd.DataFrame(made, columns=records.columns).assign(method=NAIVE)


def compared(records: pd.DataFrame) -> pd.DataFrame:
    """Coverage, width and interval score by horizon and method."""
    rows = []
    for (horizon, method), own in records.groupby(["horizon", "method"], sort=True):
        actual = own["actual"]
        width = own["high_90"] - own["low_90"]
        missed = (own["low_90"] - actual).clip(lower=0) + (actual - own["high_90"]).clip(lower=0)
        rows.append(
            {
                "horizon": int(horizon),
                "method": method,
                "origins": len(own),
                "coverage_50": float(actual.between(own["low_50"], own["high_50"]).mean()),
                "coverage_90": float(actual.between(own["low_90"], own["high_90"]).mean()),
                "width": float((width / actual).mean()),
                "interval_score": float(((width + 2 / (1 - NOMINAL) * missed) / actual).mean()),
            }
        )
    columns = ["horizon", "method", "origins", "coverage_50", "coverage_90", "width", "interval_score"]
    return pd.DataFrame(rows, columns=columns)


def separate(records: pd.DataFrame) -> float:
    """Non-overlapping periods that the origins span, the mean over horizons."""
    spans = [
        min(len(own), ((own["origin"].max() - own["origin"].min()).days / 7 + horizon) / horizon)
        for horizon, own in records[records["method"] == FORECAST].groupby("horizon")
    ]
    return float(np.mean(spans)) if spans else 0.0
