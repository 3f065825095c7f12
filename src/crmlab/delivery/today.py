"""What is known on the day of a delivery: how customers are reached, who permits it, who may not be contacted."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa

from crmlab.activation.eligibility import EligibilityParams, contacts_since
from crmlab.activation.permission import consented, suppressed, suppressed_digests
from crmlab.data.addresses import digests, matched_email, normal_email, normal_phone
from crmlab.data.consents import GRANTED, OTHERS, channel_of
from crmlab.data.identity import FIELDS
from crmlab.data.raw import hold
from crmlab.delivery.choose import Day, Earlier
from crmlab.delivery.formats import PHONES, usable
from crmlab.stage.erased import erased, erased_addresses
from crmlab.stage.ledger import LIST, Delivered
from crmlab.stage.people import address_mark
from crmlab.trials.assignment import CONTROL


def people_of(identity: pd.DataFrame, called: pd.Series, *, channel: str, form: str, key: bytes) -> pd.DataFrame:
    """Everybody the raw data know, by pseudonym: identity in normal form, what `choose` needs, the address's mark.

    Parameters
    ----------
    identity
        What `data.identity.read_identity` read, sorted by customer_id.
    called
        The pseudonym of each customer_id.
    key
        The study's.
    """
    found = identity.reindex(columns=["customer_id", *FIELDS], fill_value="")
    found = found.assign(given=found["email"], order=range(len(found)))
    found["email"], found["phone"] = found["email"].map(normal_email), found["phone"].map(normal_phone)
    email = found["email"].map(matched_email)
    either = email.where(email != "", found["phone"])
    found["place"] = email if channel == "email" else found["phone"] if channel in PHONES else either
    found["mark"] = found["place"].map(lambda place: address_mark(key, place) if place else "")
    found["usable"] = usable(form, channel, found)
    found.index = pd.Index(found["customer_id"].map(called), dtype="str", name="pseudonym")
    return found


def day_of(
    tables: Mapping[str, ibis.Table],
    people: pd.DataFrame,
    *,
    sent: pd.DataFrame,
    gone: Collection[str],
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
    gone
        What `erased_of` returned.
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
        erased=gone,
        capped=capped,
    )


def erased_of(study_folder: Path, people: pd.DataFrame, key: bytes) -> set[str]:
    """Who was erased, or is at the address of somebody who was."""
    return erased(study_folder, key) | set(people.index[people["mark"].isin(erased_addresses(study_folder))])


def earlier_of(past: Sequence[Delivered], same: Sequence[Delivered], people: pd.DataFrame) -> Earlier:
    """What earlier deliveries did: `past` are those of the campaign, `same` those of them by the channel asked for."""
    reached = {mark for delivery in past for _, mark in delivery.reached}
    return Earlier(
        ledger={customer for delivery in past for customer in delivery.ledger["customer_id"]},
        listed=same[-1].people(LIST) if same else (),
        reached=set(people.loc[people["mark"].isin(reached), "place"]) - {""},
    )


def _refusing(consents: ibis.Table, channel: str) -> set[str]:
    """Who ever refused the channel, or one that cannot be read."""
    named = channel_of(consents.channel)
    rows = consents.filter(consents.state != GRANTED, (named == channel) | ~named.isin(OTHERS))
    return set(rows.select("customer_id").distinct().to_pandas()["customer_id"])


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
    rows = sent.loc[sent["arm"] != CONTROL, ["customer_id", "campaign_id", "delivered_on"]]
    days = hold(con, "days_of_delivery", pa.Table.from_pandas(rows, preserve_index=False))
    joined = contacts.left_join(days, ["customer_id", "campaign_id"])
    return joined.mutate(sent_at=joined.delivered_on.cast("date").coalesce(joined.sent_at)).select(*contacts.columns)
