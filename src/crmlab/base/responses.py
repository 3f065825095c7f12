"""Who was contacted, who was withheld, and what each of them did within the outcome window.

The window of a contact is days 1 to `window_days`, day 1 being `sent_at` itself: ``sent_at`` to
``sent_at + window_days - 1``, both included. A contact whose window ends after `through` is not there yet: absent,
never a 0.
"""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark

CONTROL = "control"
"""The arm of customers withheld at random from contact."""

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
    reached = _reached(tables["contacts"], window_days).filter(lambda t: t.closes <= through)
    if campaigns is not None:
        if not campaigns:
            return empty
        reached = reached.filter(lambda t: t.campaign_id.isin([str(c) for c in campaigns]))
    bought = _bought(reached, orders)
    answered = _answered(reached, tables["outcomes"]) if "outcomes" in tables else None
    joined = reached.left_join(bought, ["customer_id", "campaign_id"]).drop("customer_id_right", "campaign_id_right")
    if answered is None:
        response = (joined.orders.fill_null(0) > 0).cast("int64")
    else:
        joined = joined.left_join(answered, ["customer_id", "campaign_id"]).drop(
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
    everybody = _reached(tables["contacts"], window_days)
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


def _reached(contacts: ibis.Table, window_days: int) -> ibis.Table:
    """One row a customer × campaign: first contact, its arm, the last day of its window, rows and arms it came from."""
    if "direction" in contacts.columns:
        contacts = contacts.filter(contacts.direction.fill_null("outbound") != "inbound")
    rows = contacts.select(
        customer_id=contacts.customer_id.cast("string"),
        campaign_id=contacts.campaign_id.cast("string"),
        arm=contacts.arm.cast("string"),
        sent_at=contacts.sent_at.cast("date"),
    )
    same = ibis.window(group_by=["customer_id", "campaign_id"])
    first = ibis.window(group_by=["customer_id", "campaign_id"], order_by=["sent_at", "arm"])
    ranked = rows.mutate(
        place=ibis.row_number().over(first), rows=rows.count().over(same), arms=rows.arm.nunique().over(same)
    )
    once = ranked.filter(ranked.place == 0).drop("place")
    return once.mutate(closes=(once.sent_at + ibis.interval(days=window_days - 1)).cast("date"))


def _bought(reached: ibis.Table, orders: ibis.Table) -> ibis.Table:
    """Orders, their amount and margin within each window; only customers with an order."""
    money = {"spend": "amount"} | ({"margin": "margin"} if "margin" in orders.columns else {})
    bought = orders.select(
        "customer_id", "date", **{new: orders[old].cast("decimal(18,4)") for new, old in money.items()}
    )
    within = reached.join(
        bought,
        [
            reached.customer_id == bought.customer_id,
            bought.date >= reached.sent_at,
            bought.date <= reached.closes,
        ],
    ).select(customer_id=reached.customer_id, campaign_id=reached.campaign_id, **{m: bought[m] for m in money})
    sums = {m: within[m].sum() for m in money}
    return within.group_by("customer_id", "campaign_id").agg(orders=within.count(), **sums)


def _answered(reached: ibis.Table, outcomes: ibis.Table) -> ibis.Table:
    """Customers × campaigns with a response within the window."""
    positive = outcomes.filter(outcomes.response > 0).select("customer_id", "campaign_id", "date")
    within = reached.join(
        positive,
        [
            reached.customer_id == positive.customer_id,
            reached.campaign_id == positive.campaign_id,
            positive.date >= reached.sent_at,
            positive.date <= reached.closes,
        ],
    ).select(customer_id=reached.customer_id, campaign_id=reached.campaign_id)
    return within.distinct().mutate(response=ibis.literal(1, "int64"))


@dataclass(frozen=True)
class Contacts(Result):
    """Campaigns read, by arm.

    table: campaign_id, arm, first_sent, last_sent, last_day (of the last window), customers, responders, rate, low,
    high (90 % Wilson interval), spend (mean a customer), orders (mean a customer).
    """

    table: pd.DataFrame
    basis: Basis
    window_days: int

    title: ClassVar[str] = "Who was contacted, and what they did"
    note: ClassVar[str] = (
        "One row a campaign and arm. The arm control holds customers withheld from contact. Response, spend and orders "
        "are those of the outcome window, which starts on the day of contact."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "campaign_id": ("Campaign", ""),
        "arm": ("Arm", ""),
        "first_sent": ("First sent", "%Y-%m-%d"),
        "last_day": ("Window ends", "%Y-%m-%d"),
        "customers": ("Customers", ",.0f"),
        "responders": ("Responded", ",.0f"),
        "rate": ("Response rate", ".1%"),
        "low": ("Low (90 %)", ".1%"),
        "high": ("High (90 %)", ".1%"),
        "spend": ("Spend a customer", ",.2f"),
        "orders": ("Orders a customer", ",.2f"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers", "responders")

    def sentences(self) -> list[Sentence]:
        """How many were contacted and withheld, or that nobody was."""
        t = self.table
        if t.empty:
            return [Sentence("No campaign's outcome window has closed yet: there is nothing to read.", tone="warn")]
        withheld = int(t.loc[t.arm == CONTROL, "customers"].sum())
        contacted = int(t.loc[t.arm != CONTROL, "customers"].sum())
        values = {"contacted": contacted, "withheld": withheld, "days": self.window_days}
        if withheld:
            return [
                Sentence(
                    "{contacted:,} customers were contacted and {withheld:,} were withheld; what each did in the "
                    "{days} days from the day of contact counts.",
                    values,
                )
            ]
        return [
            Sentence(
                "{contacted:,} customers were contacted and nobody was withheld; what each did in the {days} days "
                "from the day of contact counts.",
                values,
            )
        ]


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
    rows["low"], rows["high"] = wilson(rows["responders"].to_numpy(float), rows["customers"].to_numpy(float))
    order = [
        "campaign_id", "arm", "first_sent", "last_sent", "last_day", "customers", "responders", "rate", "low", "high",
        "spend", "orders",
    ]  # fmt: skip
    start = frame["sent_at"].min().date() if len(frame) else None
    end = rows["last_day"].max().date() if len(frame) else None
    basis = Basis(int(frame["customer_id"].nunique()), mark("customers"), start, end, design)
    return Contacts(rows[order], basis, window_days)


def wilson(successes: np.ndarray, trials: np.ndarray, level: float = 0.90) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of proportions [Wilson 1927], (k,) each; no trials give no interval."""
    from scipy.special import ndtri

    z2 = ndtri((1 + level) / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        p = successes / trials
        middle = (p + z2 / (2 * trials)) / (1 + z2 / trials)
        half = np.sqrt(z2 * (p * (1 - p) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
