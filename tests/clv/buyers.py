"""Orders of simulated customers, for tests that need dates."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd

START = date(2020, 1, 1)


def table_of(rows):
    """Orders as (customer, day, amount)."""
    frame = pd.DataFrame(rows, columns=["customer_id", "day", "amount"])
    frame["customer_id"] = frame["customer_id"].map("{:05d}".format)
    frame["date"] = [START + timedelta(days=int(d)) for d in frame.pop("day")]
    frame["order_id"] = np.arange(len(frame)).astype(str)
    table = ibis.memtable(frame)
    return table.mutate(date=table.date.cast("date"), amount=table.amount.cast("decimal(18, 4)"))


def buyers(customers, days, *, seed=0, r=1.0, alpha=2.0, a=0.6, b=3.0, season=None):
    """Rows of customers acquired in the first third who follow BG/NBD; `season(day)` multiplies purchase rates."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(customers):
        day, rate, p = rng.integers(0, days // 3), rng.gamma(r, 1 / alpha) / 7, rng.beta(a, b)
        nu = rng.gamma(4.0, 1 / 15)
        rows.append((i, day, round(rng.gamma(6, 1 / nu), 2)))
        clock = float(day)
        while True:
            clock += rng.exponential() / max(rate, 1e-9)
            if clock >= days:
                break
            if season is None or rng.random() < season(clock):
                rows.append((i, int(clock), round(rng.gamma(6, 1 / nu), 2)))
                if rng.random() < p:
                    break
    return rows
