"""Traits of what was tried and how it was answered; neither customers withheld nor inbound calls were contacted."""

import ibis

from crmlab.base.built_in.buying import ago, share, since
from crmlab.base.register import Data, relation, trait
from crmlab.base.windows import CONTROL
from crmlab.contract import mark


@relation("contacts", source="contacts")
def _contacts(data: Data) -> ibis.Table | None:
    contacts = data.tables.get("contacts")
    if contacts is None:
        return None
    contacts = contacts.filter(contacts.arm != CONTROL)
    if "direction" in contacts.columns:
        contacts = contacts.filter(contacts.direction.fill_null("outbound") != "inbound")
    return contacts


@relation("answers", source="outcomes")
def _answers(data: Data) -> ibis.Table | None:
    """Outcomes that are answers."""
    outcomes = data.tables.get("outcomes")
    return None if outcomes is None else outcomes.filter(outcomes.response > 0)


@relation("attempts", source="contacts")
def _(data: Data) -> ibis.Table | None:
    """One row a customer and campaign of the last 52 weeks, with whether it was answered since."""
    contacts, answers = _contacts(data), _answers(data)
    if contacts is None or answers is None:
        return None
    keys = ["customer_id", "campaign_id"]
    first = contacts.group_by(keys).agg(sent_at=contacts.sent_at.min())
    last = answers.group_by(keys).agg(answered=answers.date.max())
    recent = first.filter(since(first, "sent_at", data, 52))
    joined = recent.left_join(last, keys).drop("customer_id_right", "campaign_id_right")
    return joined.mutate(answered=(joined.answered >= joined.sent_at).fill_null(False))


@trait("contacts_26w", kind="number", over="contacts", meaning=mark("contacts in the last 26 weeks"), fill=0)
def _(contacts: ibis.Table, data: Data) -> ibis.Value:
    return contacts.count(where=since(contacts, "sent_at", data, 26))


@trait("days_since_contact", kind="number", over="contacts", meaning=mark("days since the last contact"))
def _(contacts: ibis.Table, data: Data) -> ibis.Value:
    return ago(contacts.sent_at.max(), data)


@trait("responses_26w", kind="number", over="answers", meaning=mark("campaigns answered in the last 26 weeks"), fill=0)
def _(answers: ibis.Table, data: Data) -> ibis.Value:
    return answers.campaign_id.nunique(where=since(answers, "date", data, 26))


@trait("last_response_days", kind="number", over="answers", meaning=mark("days since the last answer"))
def _(answers: ibis.Table, data: Data) -> ibis.Value:
    return ago(answers.date.max(), data)


@trait(
    "response_rate_52w",
    kind="number",
    over="attempts",
    meaning=mark("share answered so far of the campaigns of the last 52 weeks; missing without one"),
)
def _(attempts: ibis.Table, data: Data) -> ibis.Value:
    return share(attempts.answered.sum(), attempts.count())
