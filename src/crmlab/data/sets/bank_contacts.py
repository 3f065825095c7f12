"""A bank's telephone campaign: 41,188 people called between 2008 and 2010 about a term deposit, and who took one.

Moro, S., Cortez, P. & Rita, P. (2014), "A data-driven approach to predict the success of bank telemarketing", Decision
Support Systems 62. Contacts without purchases: the people, whether they had been called before, and their answer.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import ibis
import pyarrow as pa
from pyarrow import csv

from crmlab.contract import Params, Sentence
from crmlab.data.locate import locate
from crmlab.data.raw import Raw, hold

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
FIRST_YEAR = 2008
EXTRACTED_ON = date(2010, 11, 30)
CATEGORIES = ("job", "marital", "education", "default", "housing", "loan", "poutcome")
UNKNOWN = ("unknown", "nonexistent")
NEVER_CALLED = "999"


class Options(Params):
    """Options of the source ``bank_contacts``: there are none."""


def read(con: ibis.BaseBackend, options: Options) -> Raw:
    """Customers, contacts and answers under canonical names; there are no transactions."""
    rows = hold(con, "bank_rows", _rows(locate("bank_contacts")))
    contacts = rows.select(
        "customer_id",
        campaign_id=ibis.literal("deposit ") + rows.sent_at.strftime("%Y-%m"),
        arm=ibis.literal("called"),
        sent_at=rows.sent_at,
        channel=rows.contact,
    )
    took = rows.filter(rows.y == "yes")
    campaign = ibis.literal("deposit ") + took.sent_at.strftime("%Y-%m")
    answers = took.select("customer_id", campaign_id=campaign, date="sent_at", response=ibis.literal(1, "int64"))
    notes = (
        Sentence("Licence as stated: CC BY 4.0 (UCI)."),
        Sentence(
            "Years are counted from {year} by the order of the lines, and days by their weekday: the file gives month "
            "and weekday alone.",
            {"year": FIRST_YEAR},
            "warn",
        ),
        Sentence(
            "Left out: the duration of the call and the number of calls in the campaign, known only when it is over, "
            "and the figures of the economy, which say nothing of the person."
        ),
        Sentence("The data have no customer numbers: customers are the lines of the file, equal ones included."),
    )
    return Raw({"customers": _customers(rows), "contacts": contacts, "outcomes": answers}, EXTRACTED_ON, notes)


def _rows(path: Path) -> pa.Table:
    """The file's fields as text, with a number for each line and the day of the call."""
    table = csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=";"))
    table = table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))
    ids = [f"b{k:05d}" for k in range(1, len(table) + 1)]
    days = called_on(table["month"].to_pylist(), table["day_of_week"].to_pylist())
    return table.append_column("customer_id", pa.array(ids)).append_column("sent_at", pa.array(days, pa.date32()))


def _customers(rows: ibis.Table) -> ibis.Table:
    known = {name: rows[name].nullif(UNKNOWN[0]).nullif(UNKNOWN[1]) for name in CATEGORIES}
    days_before = rows.pdays.nullif(NEVER_CALLED)
    return rows.select("customer_id", "age", **known, days_since_call=days_before, calls_before=rows.previous)


def called_on(months: Sequence[str], weekdays: Sequence[str]) -> list[date]:
    """The day of each call: lines are in the order of time, so a month before the last one's is one of the next year.

    Each run of lines of one weekday lies on the next such day of its month after the run before, or where the month
    has no more of them on its last one.
    """
    days: list[date] = []
    year, day = FIRST_YEAR, date(FIRST_YEAR, 1, 1) - timedelta(days=1)
    last = ("", "")
    for month, weekday in zip(months, weekdays, strict=True):
        if (month, weekday) != last:
            number = MONTHS.index(month) + 1
            year += bool(last[0]) and number < day.month
            first = date(year, number, 1)
            after = max(first, day + timedelta(days=1))
            found = after + timedelta(days=(WEEKDAYS.index(weekday) - after.weekday()) % 7)
            day = found if found.month == number else _last(first, WEEKDAYS.index(weekday))
            last = (month, weekday)
        days.append(day)
    return days


def _last(first: date, weekday: int) -> date:
    """The last day of that weekday in the month that begins on `first`."""
    end = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return end - timedelta(days=(end.weekday() - weekday) % 7)
