"""Hillstrom's e-mail challenge: 64,000 customers of a web shop, e-mailed at random about men's or women's goods or not.

Hillstrom, K. (2008), "The MineThatData e-mail analytics and data mining challenge". The file has no customer ids (rows
that are equal are different people) and no dates: ids are row numbers, and the dates below are assumed, as is said.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import ibis
import pyarrow as pa
from pyarrow import csv

from crmlab.contract import Params, Sentence
from crmlab.data.locate import locate
from crmlab.data.raw import Raw, hold

CAMPAIGN = "hillstrom"
SENT_AT = date(2008, 3, 6)
EXTRACTED_ON = date(2008, 3, 20)
ANSWERED_ON = SENT_AT + timedelta(days=7)
"""The file's name carries 2008-03-20 and answers were followed for two weeks; so e-mails are put two weeks before."""

COLUMNS = (
    "recency",
    "history_segment",
    "history",
    "mens",
    "womens",
    "zip_code",
    "newbie",
    "channel",
    "segment",
    "visit",
    "conversion",
    "spend",
)
COVARIATES = COLUMNS[:8]


class Options(Params):
    """Options of the source ``hillstrom``."""

    response: Literal["visit", "conversion"] = "visit"
    """What counts as a response: a visit to the site, or a purchase."""


def read(con: ibis.BaseBackend, options: Options) -> Raw:
    """Customers, contacts, answers and the little that is known of purchases, under canonical names."""
    rows = hold(con, "hillstrom_rows", _rows(locate("hillstrom")))
    tables = {
        "transactions": _before(rows).union(_after(rows)),
        "customers": rows.select("customer_id", *COVARIATES),
        "contacts": _contacts(rows),
        "outcomes": _outcomes(rows, options.response),
    }
    notes = (
        Sentence("Licence as stated: a public challenge."),
        Sentence(
            "The data have no dates: the e-mails are put on {sent}, two weeks before the file was published, and all "
            "answers a week later.",
            {"sent": SENT_AT},
            tone="warn",
        ),
        Sentence(
            "What a customer spent in the year before is one order, in the month of its last purchase: orders and "
            "times between purchases mean nothing here.",
            tone="warn",
        ),
        Sentence("The data have no customer numbers: customers are the rows of the file, equal rows included."),
    )
    return Raw(tables, EXTRACTED_ON, notes)


def _rows(path: Path) -> pa.Table:
    """The file's fields as text, and customers numbered in the order of its lines."""
    table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())))
    ids = [f"h{k:05d}" for k in range(1, len(table) + 1)]
    return table.append_column("customer_id", pa.array(ids, pa.string()))


def _before(rows: ibis.Table) -> ibis.Table:
    months = ibis.literal(SENT_AT) - rows.recency.cast("int64").as_interval("M")
    return rows.select(
        "customer_id",
        date=months.cast("date"),
        amount=rows.history.cast("decimal(18, 4)"),
        order_id=rows.customer_id + "-before",
    )


def _after(rows: ibis.Table) -> ibis.Table:
    bought = rows.filter(rows.conversion == "1")
    return bought.select(
        "customer_id",
        date=ibis.literal(ANSWERED_ON),
        amount=bought.spend.cast("decimal(18, 4)"),
        order_id=bought.customer_id + "-after",
    )


def _contacts(rows: ibis.Table) -> ibis.Table:
    arm = rows.segment.cases(("Womens E-Mail", "womens"), ("Mens E-Mail", "mens"), ("No E-Mail", "control"))
    return rows.select(
        "customer_id",
        campaign_id=ibis.literal(CAMPAIGN),
        arm=arm,
        sent_at=ibis.literal(SENT_AT),
        channel=ibis.literal("email"),
    )


def _outcomes(rows: ibis.Table, response: str) -> ibis.Table:
    """A row for everybody who responded; who has none did not."""
    answered = rows.filter(rows[response] == "1")
    return answered.select(
        "customer_id",
        campaign_id=ibis.literal(CAMPAIGN),
        date=ibis.literal(ANSWERED_ON),
        response=ibis.literal(1, "int64"),
        spend=answered.spend,
    )
