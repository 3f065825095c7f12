"""Which canonical table a raw file is likely to be, and which of its columns are which: proposed with the evidence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from crmlab.data.consents import OTHERS, channel_named
from crmlab.data.likely import Values, named
from crmlab.data.schema import IDENTITY, SCHEMA, Kind

FILES: Mapping[str, str] = {
    "transactions": "transaction order sale vendit ordin scontrin acquist invoice fattur purchase retail umsatz"
    " bestellung vente commande venta pedido donation donazion gift receipt basket movimenti",
    "customers": "customer client kunde anagrafic member user donor household demographic account utent soci",
    "consents": "consent consens privacy optin einwilligung",
    "suppression": "suppress soppress esclus unsub block blacklist robinson optout opposizion disiscritt stop",
    "contacts": "contact contatt mailing invii sends campaign_log versand",
    "outcomes": "outcome response rispost esit redemption antwort",
    "offers": "offer offert coupon angebot",
    "survey": "survey nps csat questionari sondagg satisfaction umfrage",
    "texts": "review recension comment text ticket sentence kommentar feedback",
    "products": "product prodott articol item catalog artikel produit producto sku",
    "subscriptions": "subscription abbonament contract contratt abo abonnement vertrag",
}
"""Table → beginnings of words in the names of files that hold it."""

GOOD = 0.45
"""From this fit on a name alone speaks for a column."""


@dataclass(frozen=True)
class Proposal:
    """What a file is taken for.

    Parameters
    ----------
    table
        Canonical table, or "" where it is taken for none.
    score
        How much speaks for it.
    columns
        Canonical column → raw one.
    why
        Canonical column → what speaks for it; never a value.
    open
        Canonical column → raw columns it might be, none or several: to be chosen.
    """

    table: str
    score: float = 0.0
    columns: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    open: dict[str, list[str]] = field(default_factory=dict)


def propose(file: str, raw: Mapping[str, Values]) -> Proposal:
    """The table that `file`, with these columns, is most likely to be; ``table=""`` where nothing speaks for any."""
    found = [p for table in SCHEMA if (p := proposal_for(table, file, raw)).score >= 2]
    return max(found, key=lambda p: p.score, default=Proposal(""))


def proposal_for(table: str, file: str, raw: Mapping[str, Values]) -> Proposal:
    """What speaks for `table`: the file's name, and the columns that the table must and may have."""
    schema, consents = SCHEMA[table], _wide(raw)
    raw = raw if table == "customers" else {c: v for c, v in raw.items() if c not in consents}
    columns: dict[str, str] = {}
    why: dict[str, str] = {}
    doubts: dict[str, list[str]] = {}
    wanted = [*schema.required, *(c for c in schema.columns if c not in schema.required)]
    for canonical in [*wanted, *(_identity(raw) if table == "customers" else ())]:
        kind = schema.columns.get(canonical, "text")
        must = canonical in schema.required
        likely = _likely(canonical, kind, {c: v for c, v in raw.items() if c not in columns.values()}, must=must)
        if len(likely) == 1:
            columns[canonical], why[canonical] = likely[0], _evidence(raw[likely[0]], kind)
        elif must or len(likely) > 1:
            doubts[canonical] = likely
    must_have = schema.required
    if table == "transactions" and _by_unit(columns, raw):
        columns["price"] = columns.pop("amount", columns.get("price"))
        why.pop("amount", None)
        why["price"] = "of a unit: times quantity it is the amount; if it is the whole line's, call it amount"
        doubts.pop("amount", None)
        must_have = tuple(c if c != "amount" else "price" for c in must_have)
    told = bool(re.search("|".join(rf"(?<![a-z]){w}" for w in FILES[table].split()), file.lower()))
    told |= table == "customers" and bool(consents)
    needed = len(must_have) or 1
    needs = must_have or [c for c in schema.any_of if c in columns][:1]
    have = sum(c in columns or bool(doubts.get(c)) for c in needs)
    dated = [c for c in schema.required if schema.columns[c] == "date"]
    impossible = any(c not in columns and not doubts.get(c) for c in dated) or have == 0
    extra = sum(c in columns for c in schema.columns if c not in schema.required)
    score = 0.0 if impossible else 2 * told + 2 * have / needed + 0.2 * extra + 0.1 * needed
    if not told and have < needed:
        score = 0.0
    if table == "suppression" and not told and ("email_sha256" not in columns or len(raw) > len(schema.columns)):
        score = 0.0  # somebody's id alone says nothing
    if table == "customers" and not (told or ("customer_id" in columns and raw[columns["customer_id"]].unique)):
        score = 0.0
    return Proposal(table, score, columns, why, doubts)


def _by_unit(columns: Mapping[str, str], raw: Mapping[str, Values]) -> bool:
    """Whether lines have a quantity, and no column is called an amount but one is called a price."""
    price = columns.get("amount", columns.get("price"))
    if "quantity" not in columns or price is None:
        return False
    return named(price, "price") >= GOOD > max(named(c, "amount") for c in raw)


def _identity(raw: Mapping[str, Values]) -> list[str]:
    """The columns of `IDENTITY` to look for: a name in two where the file has both parts of it, else whole."""
    first, last = (_likely(part, "text", raw, must=False) for part in ("first_name", "last_name"))
    whole = not (first and last) or first == last
    return [c for c in IDENTITY if c not in (("first_name", "last_name") if whole else ("name",))]


def _wide(raw: Mapping[str, Values]) -> set[str]:
    """Columns that hold consents, one a channel, and their dates: they are read in customers alone."""
    rest = {c: c.lower().removeprefix("consent_") for c in raw if c.lower().startswith("consent_")}
    return set(rest) if any(channel_named(channel) in OTHERS for channel in rest.values()) else set()


def _evidence(found: Values, kind: Kind) -> str:
    """What a sample says for a column, in words without values."""
    if not found.given:
        return "by its name; the sample holds no value"
    match kind:
        case "date":
            return "dates" if found.formats else "by its name"
        case "money" | "number" | "count":
            mark = {".": " with decimal point", ",": " with decimal comma"}.get(found.decimal or "", "")
            return f"numbers{mark}"
    if found.emails:
        return "e-mail addresses"
    return f"by its name; {found.distinct:,} different among {found.given:,}"


def _likely(canonical: str, kind: Kind, raw: Mapping[str, Values], *, must: bool) -> list[str]:
    """The raw columns that may be the canonical one: the best by name or, of those required, the only one by values."""
    able = {c: named(c, canonical) for c, v in raw.items() if _can_be(v, kind, canonical) or _sure(c, canonical)}
    best = max(able.values(), default=0.0)
    if best >= GOOD or (best > 0 and must):
        return [c for c, fit in able.items() if fit >= best - 0.05]
    if not must or canonical == "customer_id" or kind == "text":
        return []
    return [c for c in able if kind == "date" or raw[c].decimal]


def _sure(raw: str, canonical: str) -> bool:
    """Whether nothing but a customer's id is called so: where some are blank, programs write the others as ``12.0``."""
    return canonical == "customer_id" and named(raw, canonical) >= 0.95


def _can_be(found: Values, kind: Kind, canonical: str) -> bool:
    if canonical == "email":
        return found.emails or not found.given
    if canonical == "email_sha256":
        return found.digests
    if not found.given:
        return True
    match kind:
        case "date":
            return bool(found.formats)
        case "money" | "number" | "count":
            return found.decimal is not None and not found.formats
    return not (canonical.endswith("_id") and (found.decimal in (".", ",") or found.emails))
