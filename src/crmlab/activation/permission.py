"""Who permits contact in a channel, and who is suppressed: every doubt is decided against contact."""

from datetime import date

import ibis
import pandas as pd

from crmlab.data.consents import EVERY, GRANTED, OTHERS, channel_named, channel_of, state_of


def consented(consents: ibis.Table, channel: str, as_of: date) -> pd.Index:
    """Customers whose latest consent for the channel permits contact on `as_of`; on one day a refusal wins.

    A permission counts from its day on, in the channel it names; without a day, or dated later, not at all. A refusal
    without a day, or dated later than `as_of`, counts as one of that day; one whose channel is missing, ``all`` or no
    usual name counts against every channel.
    """
    given = state_of(consents.state) == GRANTED
    named, asked = channel_of(consents.channel), channel_named(channel)
    rows = consents.select(
        "customer_id",
        given=given,
        concerns=(named == asked) | (~given & ~named.isin(OTHERS)),
        day=ibis.ifelse(given, consents.date, ibis.least(consents.date.fill_null(as_of), ibis.literal(as_of))),
    )
    rows = rows.filter(rows.concerns, rows.day <= as_of)
    last = rows.mutate(last=rows.day.max().over(ibis.window(group_by="customer_id")))
    last = last.filter(last.day == last["last"])
    states = last.group_by("customer_id").agg(refusals=(~last.given).sum())
    return _distinct(states.filter(states.refusals == 0), "customer_id")


def by_channel(consents: ibis.Table | None, as_of: date) -> dict[str, pd.Index]:
    """Channel → customers who permit contact through it on `as_of`, for every channel that is named; {} without any."""
    if consents is None:
        return {}
    known = set(consents.select(channel=channel_of(consents.channel)).distinct().to_pandas()["channel"])
    return {channel: consented(consents, channel, as_of) for channel in sorted(known - {EVERY, ""})}


def suppressed(suppression: ibis.Table) -> pd.Index:
    """Customers who are suppressed by their id, whatever the date of the row."""
    return _distinct(suppression, "customer_id")


def suppressed_digests(suppression: ibis.Table) -> pd.Index:
    """SHA-256 of the e-mail addresses that are suppressed, whatever the date of the row."""
    return _distinct(suppression, "email_sha256")


def _distinct(table: ibis.Table, column: str) -> pd.Index:
    """The values of a column that a suppression list need not have."""
    if column not in table.columns:
        return pd.Index([], dtype="str", name=column)
    values = table.select(column).distinct().to_pandas()[column]
    return pd.Index(values.dropna().sort_values(), dtype="str", name=column)
