"""What customers did after a day: the behaviour that a segmentation made on that day should tell apart."""

from collections.abc import Mapping
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from crmlab.base.orders import MONEY
from crmlab.base.responses import responses
from crmlab.base.windows import CONTROL
from crmlab.contract import mark

SPEND, ORDERS, RESPONSE, MONEY_SPENT = "spend_rank", "orders_rank", "response", "spend"
OUTCOMES = {
    SPEND: mark("spend, in ranks"),
    ORDERS: mark("orders, in ranks"),
    RESPONSE: mark("response to contacts"),
    MONEY_SPENT: mark("spend, in money"),
}
"""Outcomes and their words. Ranks come first: in money a single whale decides, whatever the others do, and a
logarithm depends on the currency's unit."""

HISTORY_WEEKS = 13
"""Weeks that are left, where that can be, before the day on which segments are made."""


def first_day(tables: Mapping[str, ibis.Table]) -> date | None:
    """The first day of transactions or, where there are none, of contacts; None without either."""
    for name, column in (("transactions", "date"), ("contacts", "sent_at")):
        if name in tables:
            day = tables[name].agg(day=tables[name][column].cast("date").min()).to_pandas()["day"].iloc[0]
            if pd.notna(day):
                return pd.Timestamp(day).date()
    return None


def weeks_ahead(first: date | None, as_of: date, wanted: int) -> int:
    """Weeks before `as_of` that are withheld: as many as wanted, where 13 weeks, or at least half, remain before.

    Parameters
    ----------
    first
        First day of the data.
    as_of
        Last day that is seen.
    wanted
        Weeks wanted.

    Returns
    -------
    int
        0 where there are fewer than two weeks.
    """
    seen = (as_of - first).days // 7 if first is not None else 0
    return max(min(wanted, max(seen - HISTORY_WEEKS, seen // 2)), 0) if seen >= 2 else 0


def future(
    tables: Mapping[str, ibis.Table], orders: ibis.Table, *, since: date, through: date, window_days: int
) -> pd.DataFrame:
    """What each customer known on `since` did after it, through `through`.

    Known is who had ordered by then; where there are no transactions, everybody.

    Parameters
    ----------
    tables
        Canonical tables, cut at `through`.
    orders
        One row an order.
    since
        Last day before what is counted.
    through
        Last day that is counted.
    window_days
        Days within which a contact is answered. A response counts as far as it is above or below the share of all those
        whom the same campaign reached, so that who was in a good campaign is not taken for who answers well; of
        several, the mean. Those withheld do not count.

    Returns
    -------
    DataFrame
        Index customer_id, sorted; of spend_rank, orders_rank, response and spend those the data hold, float64. Ranks
        are mean ranks, from 0 to 1; response is missing for whom nobody contacted.
    """
    found = {}
    if "transactions" in tables and (bought := _bought(orders, since, through)).size:
        ids = pd.Index(bought["customer_id"], dtype="str", name="customer_id")
        spend, count = bought["spend"].to_numpy(float), bought["orders"].to_numpy(float)
        found = {SPEND: _ranks(spend), ORDERS: _ranks(count), MONEY_SPENT: spend}
    elif "transactions" in tables and "customers" in tables and _any(tables["transactions"]):
        ids = pd.Index([], dtype="str", name="customer_id")
    elif "customers" in tables:
        ids = pd.Index(sorted(tables["customers"].customer_id.to_pandas()), dtype="str", name="customer_id")
    else:
        ids = pd.Index([], dtype="str", name="customer_id")
    frame = pd.DataFrame(found, index=ids)
    answers = responses(dict(tables), orders, window_days=window_days, through=through)
    answers = answers[(answers["sent_at"] > pd.Timestamp(since)) & (answers["arm"] != CONTROL)]
    if len(answers):
        above = answers["response"] - answers.groupby("campaign_id")["response"].transform("mean")
        frame[RESPONSE] = above.groupby(answers["customer_id"]).mean().reindex(ids).astype("float64")
        if frame[RESPONSE].isna().all():
            frame = frame.drop(columns=RESPONSE)
    return frame[[name for name in OUTCOMES if name in frame]]


def _bought(orders: ibis.Table, since: date, through: date) -> pd.DataFrame:
    """Orders and spend after `since` of those who had ordered by then: customer_id, orders, spend, sorted."""
    later = (orders.date > ibis.literal(since)) & (orders.date <= ibis.literal(through))
    each = orders.group_by("customer_id").agg(
        first=orders.date.min(),
        orders=later.sum(),
        spend=ibis.ifelse(later, orders.amount.cast(MONEY), ibis.literal(0).cast(MONEY)).sum().cast("float64"),
    )
    known = each.filter(each["first"] <= ibis.literal(since)).drop("first")
    return known.order_by("customer_id").to_pandas()


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean ranks from 0 (nobody is below) to 1, half-way for ties; rounded first, so that cents decide and not bits."""
    return (rankdata(np.round(values, 6)) - 0.5) / len(values)


def _any(table: ibis.Table) -> bool:
    return table.limit(1).count().to_pyarrow().as_py() > 0


def until(as_of: date, weeks: int) -> date:
    """The last day before the last `weeks` weeks through `as_of`."""
    return as_of - timedelta(weeks=weeks)
