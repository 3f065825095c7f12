"""The numbers a customer's history is reduced to by models of buying and spending."""

from datetime import date

import ibis
import pandas as pd

from crmlab.base.orders import MONEY

LOGARITHM = "decimal(18, 12)"
"""Summed as decimals: a sum of doubles would depend on the order the engine takes them in."""


def history(orders: ibis.Table, *, as_of: date, unit_days: int = 7) -> pd.DataFrame:
    """Repeat purchases, when the last was, how long was observed, what a repeat was worth, how regular they were.

    Purchases are counted by day: several orders on one day are one purchase, as the models assume that two never
    coincide [Fader, Hardie & Lee 2005, "Counting your customers" the easy way, section 3].

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen; later orders are left out.
    unit_days
        Days in a unit of time: 7 for weeks.

    Returns
    -------
    DataFrame, one row a customer with an order, sorted by customer_id
        x : repeat purchases, on days after the first (float64).
        t_x : time from the first purchase to the last, in units; 0 when x = 0.
        T : time from the first purchase to `as_of`, in units.
        z_bar : mean value of a repeat purchase, in money, 0 where all were free; NaN when x = 0.
        litt : sum of the natural logarithms of the times between purchases, in units; 0 when x = 0.
    """
    seen = orders.filter(orders.date <= ibis.literal(as_of))
    days = seen.group_by(["customer_id", "date"]).agg(spent=seen.amount.cast(MONEY).sum())
    first = days.mutate(
        first=days.date.min().over(group_by="customer_id"),
        before=days.date.lag().over(group_by="customer_id", order_by="date"),
    )
    later = first.date > first.first
    interval = first.date.delta(first.before, unit="day").cast("float64") / unit_days
    totals = first.group_by("customer_id").agg(
        x=later.sum(),
        last_day=first.date.max().delta(first.first.min(), unit="day"),
        days=ibis.literal(as_of).delta(first.first.min(), unit="day"),
        spent=ibis.ifelse(later, first.spent, 0).sum(),
        litt=ibis.ifelse(later, interval.ln().cast(LOGARITHM), 0).sum(),
    )
    doubles = {c: totals[c].cast("float64") for c in ("spent", "litt")}
    frame = totals.mutate(**doubles).order_by("customer_id").to_pandas()
    x = frame["x"].astype("float64")
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"].astype("str"),
            "x": x,
            "t_x": frame["last_day"].astype("float64") / unit_days,
            "T": frame["days"].astype("float64") / unit_days,
            "z_bar": (frame["spent"].astype("float64") / x.where(x > 0)),
            "litt": frame["litt"].astype("float64"),
        }
    )
