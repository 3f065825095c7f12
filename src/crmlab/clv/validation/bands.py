"""Bands of repeat purchases: customers with alike histories, shown side by side."""

import numpy as np
import pandas as pd

from crmlab.clv.fitting.tables import INTERVAL
from crmlab.contract.result import FEWEST

LAST_SINGLE = 7
OCTILES = 8
BAND_COLUMNS = ("before", "from_x", "to_x", "customers", "predicted", "low", "high", "actual")


def by_band(x: np.ndarray, expected: np.ndarray, actual: np.ndarray, sums: np.ndarray) -> pd.DataFrame:
    """Means a customer in each band of x; `sums` is (bands, draws), the others (customers,)."""
    records = []
    edges = bands(x)
    for (lowest, highest), drawn_sum in zip(edges, sums, strict=True):
        inside = (x >= lowest) & (x <= highest)
        low, high = np.quantile(drawn_sum / inside.sum(), INTERVAL)
        last = highest == edges[-1][1]
        several = f"{lowest}+" if last else f"{lowest}–{highest}"
        records.append(
            {
                "before": str(lowest) if lowest == highest else several,
                "from_x": lowest,
                "to_x": highest,
                "customers": int(inside.sum()),
                "predicted": float(expected[inside].mean()),
                "low": float(low),
                "high": float(high),
                "actual": float(actual[inside].mean()),
            }
        )
    return pd.DataFrame(records, columns=BAND_COLUMNS)


def in_bands(x: np.ndarray) -> np.ndarray:
    """(customers,) number of each customer's band."""
    return np.searchsorted([lowest for lowest, _ in bands(x)], x, side="right") - 1


def bands(x: np.ndarray) -> list[tuple[int, int]]:
    """Bands of x as (lowest, highest): 0, 1, … 6, 7+; eighths of the customers where most have 7 or more.

    A band of fewer than `FEWEST` customers is joined to the one below it (the first, to the one above).
    """
    if (x >= LAST_SINGLE).mean() > 0.5:
        starts = np.unique(np.quantile(x, np.arange(OCTILES) / OCTILES).astype(int))
    else:
        starts = np.unique(np.minimum(x, LAST_SINGLE)).astype(int)
    starts[0] = x.min()
    chosen: list[int] = []
    for k, start in enumerate(starts):
        end = starts[k + 1] if k + 1 < len(starts) else np.inf
        if not chosen or ((x >= start) & (x < end)).sum() >= FEWEST:
            chosen.append(int(start))
    if len(chosen) > 1 and (x < chosen[1]).sum() < FEWEST:
        del chosen[1]
    ends = [s - 1 for s in chosen[1:]] + [int(x.max())]
    return list(zip(chosen, ends, strict=True))
