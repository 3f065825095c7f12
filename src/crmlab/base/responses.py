"""Who was contacted, who was withheld, and what each of them did within the outcome window.

The window of a contact is days 1 to `window_days`, day 1 being `sent_at` itself: ``sent_at`` to
``sent_at + window_days - 1``, both included. A contact whose window ends after `through` is not there yet: absent,
never a 0.
"""

from datetime import date

import ibis
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from crmlab.base.contacts_result import Contacts
from crmlab.base.windows import CONTROL, answered, bought, reached
from crmlab.contract import Basis, mark

COLUMNS = {
    "customer_id": "str",
    "campaign_id": "str",
    "arm": "str",
    "sent_at": "datetime64[s]",
    "response": "int64",
    "spend": "float64",
    "orders": "int64",
}
"""Columns of `responses` and their types; ``margin`` (float64) comes last where the orders have one."""


def responses(
    tables: dict[str, ibis.Table],
    orders: ibis.Table,
    *,
    window_days: int,
    through: date,
    campaigns: list[str] | None = None,
) -> pd.DataFrame:
    """What every contacted or withheld customer did within the window of each campaign.

    Parameters
    ----------
    tables
        Canonical tables; ``contacts`` and ``outcomes`` are used. Without ``outcomes`` a response is an order
        within the window.
    orders
        One row an order: customer_id, date, amount, perhaps margin.
    window_days
        Length of the outcome window in days; day 1 is the day of contact.
    through
        Last day that may be read. A customer's window that ends later is left out.
    campaigns
        Campaigns to read; None: all.

    Returns
    -------
    DataFrame
        One row a customer × campaign, sorted by campaign_id, customer_id: arm, sent_at, response (0 or 1: any outcome
        of that campaign with response > 0 within the window), spend (order amounts within the window), orders, and
        margin where the orders have one. A customer contacted twice in one campaign counts once, from the first
        contact and in its arm; inbound contacts do not count.
    """
    empty = empty_responses(margin="margin" in orders.columns)
    if "contacts" not in tables:
        return empty
    windows = reached(tables["contacts"], window_days).filter(lambda t: t.closes <= through)
    if campaigns is not None:
        if not campaigns:
            return empty
        windows = windows.filter(lambda t: t.campaign_id.isin([str(c) for c in campaigns]))
    spent = bought(windows, orders)
    replied = answered(windows, tables["outcomes"]) if "outcomes" in tables else None
    joined = windows.left_join(spent, ["customer_id", "campaign_id"]).drop("customer_id_right", "campaign_id_right")
    if replied is None:
        response = (joined.orders.fill_null(0) > 0).cast("int64")
    else:
        joined = joined.left_join(replied, ["customer_id", "campaign_id"]).drop(
            "customer_id_right", "campaign_id_right"
        )
        response = joined.response.fill_null(0)
    values = {
        "response": response.cast("int64"),
        "spend": joined.spend.fill_null(0).cast("float64"),
        "orders": joined.orders.fill_null(0).cast("int64"),
    }
    if "margin" in orders.columns:
        values["margin"] = joined.margin.fill_null(0).cast("float64")
    chosen = joined.select("customer_id", "campaign_id", "arm", "sent_at", **values)
    frame = chosen.order_by("campaign_id", "customer_id").to_pandas()
    return frame[list(empty.columns)].astype(dict(empty.dtypes)).reset_index(drop=True)


def empty_responses(*, margin: bool = False) -> pd.DataFrame:
    """`responses` of nobody: the right columns and no row."""
    kinds = COLUMNS | ({"margin": "float64"} if margin else {})
    return pd.DataFrame({c: pd.Series([], dtype=k) for c, k in kinds.items()})


def traffic(
    tables: dict[str, ibis.Table], *, window_days: int, through: date, campaigns: list[str] | None = None
) -> pd.DataFrame:
    """What could spoil the reading of each campaign, counted from the contacts and outcomes themselves.

    Returns
    -------
    DataFrame
        One row a campaign with a closed window, sorted: campaign_id; customers; repeated (customers contacted more than
        once in it); two_arms (customers listed in two arms of it); overlapping (customers really contacted by
        another campaign less than `window_days` before or after); outcomes (rows of the campaign up to `through`);
        outside (of those, by its customers but outside their window); strangers (of those, by people not in it).
    """
    names = ["customers", "repeated", "two_arms", "overlapping", "outcomes", "outside", "strangers"]
    empty = pd.DataFrame({"campaign_id": pd.Series([], dtype="str")} | {n: pd.Series([], dtype="int64") for n in names})
    if "contacts" not in tables:
        return empty
    everybody = reached(tables["contacts"], window_days)
    closed = everybody.filter(everybody.closes <= through)
    if campaigns is not None:
        if not campaigns:
            return empty
        closed = closed.filter(closed.campaign_id.isin([str(c) for c in campaigns]))
    counts = closed.group_by("campaign_id").agg(
        customers=closed.customer_id.nunique(),
        repeated=(closed.rows > 1).sum(),
        two_arms=(closed.arms > 1).sum(),
    )
    others = everybody.filter((everybody.arm != CONTROL) & (everybody.sent_at <= through)).view()
    crossing = closed.join(
        others,
        [
            closed.customer_id == others.customer_id,
            closed.campaign_id != others.campaign_id,
            closed.sent_at <= others.closes,
            others.sent_at <= closed.closes,
        ],
    ).select(customer_id=closed.customer_id, campaign_id=closed.campaign_id)
    crossed = crossing.group_by("campaign_id").agg(overlapping=crossing.customer_id.nunique())
    found = counts.left_join(crossed, "campaign_id").drop("campaign_id_right")
    if "outcomes" in tables:
        # A stranger is in no contact of the campaign at all; somebody whose own window is still open is no stranger.
        rows = tables["outcomes"].select("customer_id", "campaign_id", "date").filter(lambda t: t.date <= through)
        known = everybody.select("customer_id", "campaign_id", "sent_at", "closes").view()
        placed = rows.left_join(known, ["customer_id", "campaign_id"]).select(
            campaign_id=rows.campaign_id,
            stranger=known.sent_at.isnull(),
            outside=(~rows.date.between(known.sent_at, known.closes)).fill_null(False),
        )
        strayed = placed.group_by("campaign_id").agg(
            outcomes=placed.count(), outside=placed.outside.sum(), strangers=placed.stranger.sum()
        )
        found = found.left_join(strayed, "campaign_id").drop("campaign_id_right")
    frame = found.order_by("campaign_id").to_pandas().reindex(columns=["campaign_id", *names])
    frame[names] = frame[names].fillna(0)
    return frame.astype(dict(empty.dtypes)).reset_index(drop=True)


def contacts(frame: pd.DataFrame, *, window_days: int, design: str = "") -> Contacts:
    """Summarise `responses` by campaign and arm.

    Parameters
    ----------
    frame
        What `responses` returned.
    window_days
        Length of the outcome window it was read with.
    design
        How customers came to be contacted, as shown below the table.
    """
    rows = frame.groupby(["campaign_id", "arm"], sort=True, observed=True).agg(
        first_sent=("sent_at", "min"),
        last_sent=("sent_at", "max"),
        customers=("customer_id", "nunique"),
        responders=("response", "sum"),
        spend=("spend", "mean"),
        orders=("orders", "mean"),
    )
    rows = rows.reset_index()
    rows["last_day"] = rows["last_sent"] + pd.Timedelta(days=window_days - 1)
    rows["rate"] = rows["responders"] / rows["customers"]
    responders, customers = rows["responders"].to_numpy(float), rows["customers"].to_numpy(float)
    rows["low"], rows["high"] = proportion_confint(responders, customers, alpha=0.10, method="wilson")
    order = [
        "campaign_id", "arm", "first_sent", "last_sent", "last_day", "customers", "responders", "rate", "low", "high",
        "spend", "orders",
    ]  # fmt: skip
    start = frame["sent_at"].min().date() if len(frame) else None
    end = rows["last_day"].max().date() if len(frame) else None
    basis = Basis(int(frame["customer_id"].nunique()), mark("customers"), start, end, design)
    return Contacts(rows[order], basis, window_days)
