"""Customer retention: who of a period's customers orders again in the next."""

from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd

from crmlab.base.active import RetentionParams, active, first_day, label, number, periods_over
from crmlab.base.intervals import jeffreys
from crmlab.base.opening import Opening, opening
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

__all__ = ["Retention", "RetentionParams", "retention"]


@dataclass(frozen=True)
class Retention(Result):
    """table: period, start, end, customers, new, returned, crr, low, high; one row a period whose next one is over.

    A period that is not over, or whose next one is not, has no rate: its row is absent, never 0. `new` counts
    customers first seen in the period. `opening` says whether the base shows acquisitions, and so has cohorts.
    """

    table: pd.DataFrame
    basis: Basis
    opening: Opening | None = field(default=None)
    left_out: int = 0
    """First periods left out because the data begin within them."""
    period: str = "M"
    counts: pd.DataFrame = field(default_factory=pd.DataFrame)
    """first, p, active, returned: customers first seen in one period who order in another (`crmlab.base.active`)."""
    over: tuple[int, int] = (0, -1)
    """Numbers of the first and the last period seen whole."""

    title: ClassVar[str] = "Customer retention rate by period (CRR)"
    note: ClassVar[str] = (
        "Share of the customers of a period who order again in the next one. Periods that are not over are absent. "
        "Intervals are Jeffreys intervals of 90 %."
    )
    people: ClassVar[tuple[str, ...]] = ("customers", "returned", "new")
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "period": ("period", ""),
        "customers": ("customers", ",.0f"),
        "new": ("first seen", ",.0f"),
        "returned": ("order again in the next", ",.0f"),
        "crr": ("CRR", ".1%"),
        "low": ("90 % low", ".1%"),
        "high": ("90 % high", ".1%"),
    }

    @property
    def has_cohorts(self) -> bool:
        """Whether customers are seen to come: otherwise "first seen" is no acquisition, and cohorts mean nothing."""
        return self.opening is not None and self.opening.kind in ("coming", "one cohort")

    def sentences(self) -> list[Sentence]:
        """The usual rate, whether it moved, and whether there are cohorts."""
        if self.table.empty:
            return [Sentence("No period is followed by another that is over: there is no rate yet.", tone="warn")]
        seen = self.table[self.table["customers"] >= FEWEST]
        said = []
        if seen.empty:
            said.append(Sentence("No period has five customers: its rate would be that of single people.", tone="warn"))
        else:
            text = "Over all periods {rate:.1%} of a period's customers order again in the next one."
            said.append(Sentence(text, {"rate": float(seen["returned"].sum() / seen["customers"].sum())}))
        if self.opening is not None and self.opening.kind == "one cohort":
            said.append(
                Sentence(
                    "Later rates are those of the customers who still buy; how many of all come back, the cohorts say."
                )
            )
        elif len(seen) >= 2:
            said.append(_moved(seen.iloc[0], seen.iloc[-1]))
        if self.left_out:
            said.append(Sentence("The first period is left out: the data begin within it."))
        if self.opening is not None and not self.has_cohorts:
            said.append(self.opening.sentence())
        return said


def _moved(first: pd.Series, last: pd.Series) -> Sentence:
    values = {"first": first["period"], "last": last["period"], "a": first["crr"], "b": last["crr"]}
    if last["high"] < first["low"]:
        return Sentence("The rate fell from {a:.1%} ({first}) to {b:.1%} ({last}).", values, "bad")
    if last["low"] > first["high"]:
        return Sentence("The rate rose from {a:.1%} ({first}) to {b:.1%} ({last}).", values, "good")
    text = "The intervals of the first rate ({a:.1%}, {first}) and the last ({b:.1%}, {last}) overlap."
    return Sentence(text, values)


def retention(orders: ibis.Table, *, as_of: date, params: RetentionParams | None = None) -> Retention:
    """Retention from each calendar period to the next; `crmlab.base.cohorts` turns it by cohort and age.

    CRR_t = customers active in t and in t + 1, by customers active in t [Kumar & Reinartz 2018, chapter 5].

    Parameters
    ----------
    orders
        One row an order: customer_id, date.
    as_of
        Last day that is seen; the period it falls in counts only if it is that period's last day.
    params
        The period.
    """
    period = (params or RetentionParams()).period
    how = opening(orders, as_of=as_of)
    if how.start is None:
        return Retention(_rates(_none(), period), Basis(0, mark("customers"), end=as_of), how, period=period)
    first, last = periods_over(how.start, as_of, period)
    counts = active(orders, as_of, period, last)
    by_period = counts.assign(new=counts["active"].where(counts["first"] == counts["p"], 0)).groupby("p")
    totals = by_period[["active", "new", "returned"]].sum().rename(columns={"active": "customers"})
    table = _rates(totals.reindex(range(first, last), fill_value=0).rename_axis("p").reset_index(), period)
    n = int(totals["new"].sum())
    start, end = first_day(first, period), first_day(last + 1, period) - pd.Timedelta(days=1)
    basis = Basis(n, mark("customers"), start=max(start, how.start), end=max(end, how.start))
    left_out = first - number(how.start, period)
    return Retention(table, basis, how, left_out, period, counts, (first, last))


def _none() -> pd.DataFrame:
    return pd.DataFrame(columns=["p", "customers", "new", "returned"], dtype="int64")


def _rates(found: pd.DataFrame, period: str) -> pd.DataFrame:
    low, high = jeffreys(found["returned"], found["customers"])
    customers = found["customers"].to_numpy(dtype="float64")
    starts, ends = ([first_day(p + k, period) for p in found["p"]] for k in (0, 1))
    return pd.DataFrame(
        {
            "period": pd.Series([label(p, period) for p in found["p"]], dtype="str"),
            "start": pd.to_datetime(starts).as_unit("s"),
            "end": (pd.to_datetime(ends) - pd.Timedelta(days=1)).as_unit("s"),
            "customers": found["customers"],
            "new": found["new"],
            "returned": found["returned"],
            "crr": np.divide(found["returned"], customers, out=np.full(len(found), np.nan), where=customers > 0),
            "low": low,
            "high": high,
        }
    )
