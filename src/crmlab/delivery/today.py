"""What is known on the day of a delivery: how customers are reached, who permits it, who may not be contacted."""

from collections.abc import Collection, Mapping
from datetime import date, timedelta

import ibis
import pandas as pd
import pyarrow as pa

from crmlab.activation.eligibility import EligibilityParams, contacts_since
from crmlab.activation.permission import consented, suppressed, suppressed_digests
from crmlab.data.consents import GRANTED, OTHERS, channel_named
from crmlab.data.identity import FIELDS
from crmlab.data.raw import hold
from crmlab.delivery.addresses import digests, normal_email, normal_phone
from crmlab.delivery.choose import Day
from crmlab.delivery.formats import PHONES, usable


def people_of(identity: pd.DataFrame, called: pd.Series, *, channel: str, form: str) -> pd.DataFrame:
    """Everybody the raw data know, by pseudonym: identity in normal form, and what `choose` needs of it.

    Parameters
    ----------
    identity
        What `data.identity.read_identity` read, sorted by customer_id.
    called
        The pseudonym of each customer_id.
    """
    found = identity.reindex(columns=["customer_id", *FIELDS], fill_value="")
    found = found.assign(given=found["email"], order=range(len(found)))
    found["email"], found["phone"] = found["email"].map(normal_email), found["phone"].map(normal_phone)
    either = found["email"].where(found["email"] != "", found["phone"])
    found["place"] = found["email"] if channel == "email" else found["phone"] if channel in PHONES else either
    found["usable"] = usable(form, channel, found)
    found.index = pd.Index(found["customer_id"].map(called), dtype="str", name="pseudonym")
    return found


def day_of(
    tables: Mapping[str, ibis.Table],
    people: pd.DataFrame,
    *,
    sent: pd.DataFrame,
    erased: Collection[str],
    channel: str,
    campaign: str,
    params: EligibilityParams,
    today: date,
    con: ibis.BaseBackend,
) -> Day:
    """What consents, suppression, erasures and caps say today; customers under their pseudonyms.

    Parameters
    ----------
    tables
        Canonical tables of today's raw data, not cut at any day.
    people
        What `people_of` returned.
    sent
        The ledger of the study.
    """
    consents, barred, contacts = (tables.get(name) for name in ("consents", "suppression", "contacts"))
    consenting = set() if consents is None else set(consented(consents, channel, today))
    capped: set[str] = set()
    if params.cap is not None and contacts is not None:
        others = _on_their_days(contacts, sent, con).filter(lambda t: t.campaign_id != campaign)
        often = contacts_since(others, today - timedelta(weeks=params.cap_weeks), today)
        capped = set(often.index[often >= params.cap])
    return Day(
        consenting=consenting,
        objecting=set() if consents is None else _refusing(consents, channel) - consenting,
        suppressed=set() if barred is None else _suppressed(barred, people),
        erased=set(erased),
        capped=capped,
    )


def _refusing(consents: ibis.Table, channel: str) -> set[str]:
    """Who ever refused the channel, or one that cannot be read."""
    rows = consents.filter(consents.state != GRANTED).select("customer_id", "channel").distinct().to_pandas()
    named = rows["channel"].fillna("").map({c: channel_named(c) for c in {"", *rows["channel"].dropna()}})
    return set(rows.loc[(named == channel) | ~named.isin(OTHERS), "customer_id"])


def _suppressed(suppression: ibis.Table, people: pd.DataFrame) -> set[str]:
    """Who is suppressed by id, or by the digest of an e-mail address."""
    found = set(suppressed(suppression))
    if hashes := set(suppressed_digests(suppression)):
        found |= set(people.index[[not hashes.isdisjoint(digests(email)) for email in people["given"]]])
    return found


def _on_their_days(contacts: ibis.Table, sent: pd.DataFrame, con: ibis.BaseBackend) -> ibis.Table:
    """The contacts, those of deliveries on the day of the delivery instead of the first day of the window."""
    if sent.empty:
        return contacts
    rows = sent[["customer_id", "campaign_id", "delivered_on"]]
    days = hold(con, "days_of_delivery", pa.Table.from_pandas(rows, preserve_index=False))
    joined = contacts.left_join(days, ["customer_id", "campaign_id"])
    return joined.mutate(sent_at=joined.delivered_on.cast("date").coalesce(joined.sent_at)).select(*contacts.columns)
