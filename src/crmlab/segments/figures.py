"""The key figures of each segment beside those of all customers, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import binom

from crmlab.base.intervals import jeffreys
from crmlab.contract import mark
from crmlab.contract.result import FEWEST

FIGURES: dict[str, tuple[str, str]] = {
    "customers": (mark("Customers"), ",.0f"),
    "share": (mark("Share of customers"), ".0%"),
    "spend_share": (mark("Share of spend"), ".0%"),
    "value_share": (mark("Share of value (CLV)"), ".0%"),
    "recency_days": (mark("Days since last order"), ",.0f"),
    "frequency": (mark("Orders so far"), ",.0f"),
    "monetary": (mark("Spent so far"), ",.0f"),
    "gap": (mark("Days between purchases"), ",.0f"),
    "clv": (mark("CLV"), ",.0f"),
    "clv_q25": (mark("CLV, lower quarter"), ",.0f"),
    "clv_q75": (mark("CLV, upper quarter"), ",.0f"),
    "alive": (mark("Still a customer"), ".0%"),
    "risk": (mark("Will not buy in time"), ".0%"),
    "overdue": (mark("Overdue"), ".0%"),
}
"""Figure → its name and format, in the order in which they are told; permissions come last, one a channel.

Days, orders, spend and CLV are medians, or the quartiles named; the rest are shares or mean probabilities.
"""

PERMITS = "permits "
"""What the name of a figure of consent begins with; the channel follows."""

COLUMNS = ["segment", "figure", "value", "low", "high", "base"]


def figures(
    membership: pd.Series,
    traits: pd.DataFrame,
    *,
    value: pd.DataFrame | None = None,
    timing: pd.DataFrame | None = None,
    due: pd.DataFrame | None = None,
    risk: pd.DataFrame | None = None,
    permitted: Mapping[str, pd.Index] | None = None,
) -> pd.DataFrame:
    """Every key figure of every segment.

    Parameters
    ----------
    membership
        Segment id of each customer, index customer_id.
    traits
        One row a customer: customer_id and the traits.
    value
        customer_id, clv, p_alive, p_alive_low, p_alive_high; None, or without clv: no value is told.
    timing
        One row a segment and one ``all``: customers, median, low, high (days between purchases), judged (customers
        with gaps enough), overdue, overdue_low, overdue_high.
    due
        One row a segment and one ``all``: customers, overdue, overdue_low, overdue_high, of everybody by a model; it
        then stands for the overdue of `timing`, which can judge only those with gaps enough.
    risk
        One row a segment: segment, customers, risk, low, high.
    permitted
        Channel → customers who permit contact through it.

    Returns
    -------
    pandas.DataFrame
        segment, figure, value, low, high (90 %; missing for what was counted), base (the same of all customers).
    """
    people = traits.set_index("customer_id").reindex(membership.index)
    sizes = membership.value_counts()
    rows = [(s, "customers", n, np.nan, np.nan, len(membership)) for s, n in sizes.items()]
    rows += [(s, "share", n / len(membership), np.nan, np.nan, 1.0) for s, n in sizes.items()]
    for name in ("recency_days", "frequency", "monetary"):
        if name in people:
            rows += _medians(name, people[name].astype("float64"), membership)
    if "monetary" in people:
        rows += _shares("spend_share", people["monetary"], membership)
    if value is not None and "clv" in value:
        known = value.set_index("customer_id").reindex(membership.index)
        rows += _medians("clv", known["clv"], membership) + _shares("value_share", known["clv"], membership)
        for name, share in (("clv_q25", 0.25), ("clv_q75", 0.75)):
            rows += _medians(name, known["clv"], membership, share)
        mean = known[["p_alive", "p_alive_low", "p_alive_high"]].groupby(membership).mean()
        rows += [
            (s, "alive", *each, float(known["p_alive"].mean()))
            for s, each in zip(mean.index, mean.to_numpy(), strict=True)
        ]
    if timing is not None:
        rows += _of_timing(timing, "gap", ["median", "low", "high"])
    judged = due if due is not None and due["overdue"].notna().any() else timing
    if judged is not None:
        rows += _of_timing(judged, "overdue", ["overdue", "overdue_low", "overdue_high"])
    if risk is not None and "risk" in risk and len(risk):
        base = float(np.average(risk["risk"], weights=risk["customers"]))
        rows += [(r.segment, "risk", r.risk, r.low, r.high, base) for r in risk.itertuples()]
    for channel, who in (permitted or {}).items():
        rows += _permits(channel, membership.index.isin(who), membership)
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {name: place for place, name in enumerate(FIGURES)}
    place = table["figure"].map(order).fillna(len(order))
    table = table.assign(place=place).sort_values(["segment", "place", "figure"], kind="stable", ignore_index=True)
    return table[COLUMNS].astype({"segment": "str", "figure": "str"} | dict.fromkeys(COLUMNS[2:], "float64"))


def tenths(value: pd.DataFrame, membership: pd.Series) -> pd.DataFrame:
    """Share of each segment's customers in each tenth of all customers by lifetime value.

    Equal values share a tenth: that of their mean rank. Nobody's where all are equal, or there is no column `clv`.

    Returns
    -------
    pandas.DataFrame
        segment, tenth (10: the most valuable), customers, of, share, low, high (90 %).
    """
    columns = ["segment", "tenth", "customers", "of", "share", "low", "high"]
    if "clv" not in value or not len(membership):
        return pd.DataFrame(columns=columns)
    known = value.set_index("customer_id")["clv"].reindex(membership.index).astype("float64").dropna()
    if known.nunique() < 2:
        return pd.DataFrame(columns=columns)
    tenth = np.ceil(known.round(9).rank(method="average", pct=True) * 10 - 1e-9).clip(1, 10).astype("int64")
    of = membership.reindex(known.index)
    counts = pd.crosstab(of.to_numpy(), tenth.to_numpy()).reindex(columns=range(1, 11), fill_value=0)
    table = counts.rename_axis(index="segment", columns="tenth").reset_index().melt("segment", value_name="customers")
    table["tenth"] = table["tenth"].astype("int64")
    table["of"] = table["segment"].map(of.value_counts())
    table["share"] = table["customers"] / table["of"]
    table["low"], table["high"] = jeffreys(table["customers"], table["of"])
    return table.sort_values(["segment", "tenth"], ignore_index=True)[columns]


def quantile_interval(values: np.ndarray, share: float = 0.5) -> tuple[float, float, float]:
    """A quantile and its 90 % interval between order statistics [David & Nagaraja 2003, section 7.1].

    Missing limits where too few values could reach that coverage.
    """
    x = np.sort(values[np.isfinite(values)])
    n = len(x)
    if not n:
        return np.nan, np.nan, np.nan
    low, high = int(binom.ppf(0.05, n, share)), int(binom.isf(0.05, n, share)) + 1
    point = float(np.quantile(x, share))
    inside = binom.cdf(high - 1, n, share) - binom.cdf(low - 1, n, share) if low >= 1 and high <= n else 0.0
    return (point, float(x[low - 1]), float(x[high - 1])) if inside >= 0.90 else (point, np.nan, np.nan)


def _medians(figure: str, values: pd.Series, membership: pd.Series, share: float = 0.5) -> list[tuple]:
    base = float(values.quantile(share)) if values.notna().any() else np.nan
    groups = values.groupby(membership)
    return [
        (s, figure, *quantile_interval(each.to_numpy(float), share), base) for s, each in groups if each.notna().any()
    ]


def _shares(figure: str, values: pd.Series, membership: pd.Series) -> list[tuple]:
    known = values.astype("float64").fillna(0.0)
    if not known.sum() > 0:
        return []
    sums = known.groupby(membership).sum() / known.sum()
    return [(s, figure, float(v), np.nan, np.nan, 1.0) for s, v in sums.items()]


def _of_timing(timing: pd.DataFrame, figure: str, columns: list[str]) -> list[tuple]:
    every = timing[timing["segment"] == "all"]
    base = float(every[columns[0]].iloc[0]) if len(every) else np.nan
    enough = timing["judged" if figure == "overdue" and "judged" in timing else "customers"] >= FEWEST
    known = timing[(timing["segment"] != "all") & timing[columns[0]].notna() & enough]
    return [(s, figure, *each, base) for s, each in zip(known["segment"], known[columns].to_numpy(), strict=True)]


def _permits(channel: str, yes: np.ndarray, membership: pd.Series) -> list[tuple]:
    counts = pd.Series(yes, index=membership.index).groupby(membership).agg(["sum", "size"])
    low, high = jeffreys(counts["sum"], counts["size"])
    shares = (counts["sum"] / counts["size"]).to_numpy()
    rows = zip(counts.index, shares, low, high, strict=True)
    return [(s, PERMITS + channel, float(p), float(a), float(b), float(yes.mean())) for s, p, a, b in rows]
