"""What a recorded consent says: permission, refusal or neither, and for which channel.

Only a plain yes is a permission. A refusal is never lost: what cannot be read in it widens it. Without a readable date
it holds for ever, without a readable channel it holds for every channel.
"""

import re
import unicodedata

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from crmlab.data.raw import LINE

GRANTED, REFUSED, UNREADABLE = "granted", "refused", "unreadable"
"""What the state of a canonical consent may be."""

STATES = {
    GRANTED: (
        "granted", "given", "yes", "y", "true", "t", "1", "1.0", "opt in", "optin", "opted in", "subscribed",
        "consented", "accepted", "agreed", "allowed", "si", "vero", "concesso", "dato", "accordato", "consentito",
        "acconsentito", "accettato", "iscritto",
    ),
    REFUSED: (
        "refused", "denied", "no", "n", "false", "f", "0", "0.0", "opt out", "optout", "opted out", "unsubscribed",
        "withdrawn", "revoked", "objected", "declined", "rejected", "not given", "not granted", "none", "unknown",
        "pending", "expired", "falso", "negato", "rifiutato", "revocato", "ritirato", "disiscritto", "opposizione",
        "non concesso", "sconosciuto", "in attesa", "scaduto",
    ),
}  # fmt: skip
"""State → the words for it, in English and Italian, without accents; every other word is unreadable."""

EVERY = "all"
"""Channel of a refusal that holds for every channel."""

CHANNELS = {
    "email": ("email", "mail", "emails", "newsletter", "dem", "postaelettronica"),
    "sms": ("sms", "text", "textmessage", "mms"),
    "phone": ("phone", "telephone", "tel", "telefono", "call", "calls", "telefonata", "voice"),
    "post": ("post", "postal", "letter", "directmail", "posta", "lettera", "postacartacea"),
    "push": ("push", "pushnotification", "notifica", "notifichepush"),
    "whatsapp": ("whatsapp", "wa"),
    "app": ("app", "inapp"),
    "web": ("web", "website", "online", "sito"),
    "social": ("social", "facebook", "instagram", "tiktok", "linkedin"),
    "store": ("store", "shop", "negozio"),
    "fax": ("fax",),
    EVERY: ("all", "any", "every", "everychannel", "allchannels", "tutti", "tuttiicanali"),
}
"""Channel → how it may be written, without blanks, hyphens and accents."""

OTHERS = tuple(channel for channel in CHANNELS if channel != EVERY)
"""Channels whose name says that a refusal is of them and of no other."""

SPELLINGS = {spelling: channel for channel, spellings in CHANNELS.items() for spelling in spellings}


@ibis.udf.scalar.builtin(name="strip_accents")
def _without_accents(text: str) -> str:
    """`text` without accents."""


def state_of(column: ir.StringValue) -> ir.StringValue:
    """``granted``, ``refused`` or ``unreadable``; never NULL."""
    word = _plain(column, " ")
    return ibis.cases(*((word.isin(words), ibis.literal(state)) for state, words in STATES.items()), else_=UNREADABLE)


def channel_of(column: ir.StringValue) -> ir.StringValue:
    """The channel under its one name, ``all`` for every channel; one unknown to us as it is written; never NULL."""
    word = _plain(column, "")
    known = ((word.isin(spellings), ibis.literal(channel)) for channel, spellings in CHANNELS.items())
    return ibis.cases(*known, else_=word)


def channel_named(text: str) -> str:
    """`channel_of` of one name."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    word = re.sub(r"[\s_./-]+", "", bare)
    return SPELLINGS.get(word, word)


def _plain(column: ir.StringValue, between: str) -> ir.StringValue:
    """Lower case, without accents, blanks and hyphens made `between`."""
    bare = _without_accents(column.cast("string").fill_null("").lower())
    joined = bare.re_replace(r"[\s_/-]+" if between else r"[\s_./-]+", between)
    return joined.strip()


def wide(customers: ibis.Table) -> tuple[ibis.Table, ibis.Table | None]:
    """Take the columns ``consent_<channel>`` out of raw customers, and make them rows of consents.

    Dates are in ``consent_<channel>_date``, or else in ``consent_date``. An empty cell says nothing and makes no row.

    Returns
    -------
    tuple
        Customers without those columns; customer_id, channel, state, date, source (text; `date` as it was found), and
        the line where it was there: None where no column speaks of consent.
    """
    found = {c.lower(): c for c in customers.columns if c.lower().startswith("consent_")}
    dates = {c for c in found if c == "consent_date" or (c.endswith("_date") and c.removesuffix("_date") in found)}
    states = [c for c in found if c not in dates and c != "consent_source"]
    if not states or "customer_id" not in customers.columns:
        return customers, None
    kinds = {customers[found[d]].type() for d in dates} or {dt.string}
    kind = kinds.pop() if len(kinds) == 1 else dt.string
    parts = []
    for state in states:
        dated = next((found[d] for d in (f"{state}_date", "consent_date") if d in dates), None)
        day = customers[dated].cast(kind) if dated else ibis.null(kind)
        source = customers[found["consent_source"]].cast("string") if "consent_source" in found else state
        row = {
            "customer_id": customers.customer_id,
            "channel": ibis.literal(state.removeprefix("consent_")),
            "state": customers[found[state]].cast("string"),
            "date": day,
            "source": ibis.literal(source) if isinstance(source, str) else source,
        }
        row |= {LINE: customers[LINE]} if LINE in customers.columns else {}
        rows = customers.select(**row)
        parts.append(rows.filter(rows.state.strip() != "", rows.customer_id.cast("string").strip() != ""))
    return customers.drop(*(found[c] for c in (*states, *dates, "consent_source") if c in found)), ibis.union(*parts)
