"""What a raw column is likely to hold: by its name in five languages, and by its values."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crmlab.data.convert import EARLIEST, LATEST
from crmlab.data.mends import CLOCKS, DAYS_FIRST, MONTHS_FIRST, OTHERS, reads

MOST = 0.95
"""A column holds what at least this share of its values is."""

POINT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
COMMA = re.compile(r"[+-]?\d*,\d+|[+-]?\d+")
GROUPED = {
    (",", "."): re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?"),
    (".", ","): re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?"),
}
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")

PERSON = "customer client cliente clienti kunde kunden acheteur comprador donor donatore donatrice donateur spender"
PERSON += " household member membre mitglied socio user utente nutzer usuario subscriber account tessera cust shopper"
NUMBER = "id ids code codice cod kod n nr num no numero nummer number key chiave matricola"
WORDS: Mapping[str, str] = {
    "date": "date data datum fecha giorno day jour tag dia timestamp time zeitpunkt",
    "amount": "amount total totale importo betrag montant importe revenue sales umsatz gesamt summe spend spesa valore"
    " value monto netto netamount donation gift ricavo ca",
    "order_id": "order ordine invoice fattura receipt scontrino basket bestellung rechnung commande facture pedido"
    " factura transaction transazione trans bon ticket",
    "product_id": "product prodotto item articolo artikel produkt produit producto sku stock ean",
    "quantity": "quantity quantita qty menge quantite cantidad units pezzi pieces stueck anzahl",
    "channel": "channel canale kanal canal store negozio shop filiale",
    "margin": "margin margine marge margen profit utile",
    "category": "category categoria kategorie categorie department reparto famiglia warengruppe",
    "coupon_discount": "coupondiscount couponrabatt",
    "country": "country nazione paese stato land pays pais",
    "region": "region regione provincia provinz bundesland",
    "birth_year": "birthyear annonascita geburtsjahr anneenaissance yearofbirth",
    "acquired_on": "acquiredon registered registrazione iscritto signup joined since registriert inscrit",
    "acquired_by": "acquiredby acquisitionchannel fonte",
    "parent_id": "parent parentid gruppo konzern",
    "state": "state status stato consent consenso einwilligung consentement granted optin",
    "reason": "reason motivo grund raison",
    "campaign_id": "campaign campagna kampagne campagne campana mailing",
    "arm": "arm gruppo braccio variant variante treatment",
    "sent_at": "sentat sent inviato invio versendet envoye enviado senton",
    "offer": "offer offerta angebot offre oferta",
    "cost": "cost costo kosten cout coste",
    "response": "response risposta antwort reponse respuesta responded converted conversion redeemed",
    "spend": "spend spesa umsatz depense gasto",
    "offer_id": "offer offerta angebot offre oferta",
    "discount": "discount sconto rabatt remise descuento",
    "item": "item question domanda frage voce",
    "score": "score punteggio voto rating note nps csat bewertung",
    "text": "text testo comment commento review recensione message messaggio kommentar sentence",
    "language": "language lingua sprache langue idioma lang",
    "price": "price prezzo preis prix precio",
    "started_on": "startedon start inizio beginn debut inicio startdate dal",
    "ended_on": "endedon end fine ende fin enddate al cancelled",
    "plan": "plan piano tarif tariffa abo abbonamento contract contratto",
    "fee": "fee canone gebuehr cuota tarifa monthly",
    "email": "email mail emailaddress posta",
    "name": "name nome nominativo fullname vorname nachname cognome nom nombre firstname lastname surname",
    "first_name": "firstname vorname prenom nome nombre",
    "last_name": "lastname surname nachname cognome apellido nom",
    "phone": "phone telefono telefon telephone mobile cellulare handy tel",
    "email_sha256": "emailsha256 sha256 hashedemail emailhash",
}
"""Canonical column → words that name it in raw files, accents and endings of plurals left out."""


@dataclass(frozen=True, slots=True)
class Values:
    """What a sample of a column's values is.

    Parameters
    ----------
    given
        Values that are not empty; the shares are of these.
    distinct
        Different ones among them.
    formats
        Formats of dates that nearly all values fit; several where they cannot be told apart. ``()``: no dates.
    decimal
        ``.`` or ``,`` where nearly all are numbers, ``""`` where whole numbers show no mark, ``"?"`` where both
        would fit or both are there; None where they are no numbers.
    thousands
        Mark between groups of three digits, or "".
    emails, digests
        Whether nearly all are e-mail addresses, or SHA-256 digests.
    """

    given: int
    distinct: int
    formats: tuple[str, ...] = ()
    decimal: str | None = None
    thousands: str = ""
    emails: bool = False
    digests: bool = False

    @property
    def unique(self) -> bool:
        """Whether no value stands twice."""
        return 0 < self.given == self.distinct


def values(sample: Sequence[str]) -> Values:
    """Look at a sample of a column."""
    given = [v.strip() for v in sample if v and v.strip()]
    different = sorted(set(given))
    if not different:
        return Values(0, 0)
    decimal, thousands = _marks(different)
    return Values(
        len(given),
        len(different),
        formats=_formats(different),
        decimal=decimal,
        thousands=thousands,
        emails=_nearly(different, EMAIL),
        digests=_nearly(different, SHA256),
    )


def named(raw: str, canonical: str) -> float:
    """How well a raw name fits a canonical one, from 0 to 1."""
    words = _words(raw)
    whole = "".join(words)
    if whole == canonical.replace("_", ""):
        return 1.0
    known = {_singular(w) for w in WORDS.get(canonical, "").split()}
    numbers, people = set(NUMBER.split()), {_singular(w) for w in PERSON.split()}
    if canonical == "customer_id":
        return _id_of(words, people, numbers)
    if canonical.endswith("_id") and canonical in WORDS:
        return _id_of(words, known, numbers)
    if whole in known:
        return 0.9
    hits = [w for w in words if w in known or any(len(k) > 4 and w.endswith(k) for k in known)]
    if not hits or (numbers & set(words) and canonical not in ("date", "amount")):
        return 0.0
    return 0.6 if canonical == "date" else 0.7 * len(hits) / len(words) + 0.1


def _id_of(words: list[str], what: set[str], numbers: set[str]) -> float:
    joined = {a + b for a in what for b in numbers} | {b + a for a in what for b in numbers}
    if "".join(words) in joined or (set(words) & what and set(words) & numbers and len(words) == 2):
        return 0.95
    if len(words) == 1 and words[0] in what:
        return 0.8
    return 0.5 if set(words) & what and set(words) & numbers else 0.0


def _words(raw: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", raw).encode("ascii", "ignore").decode()
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return [_singular(w) for w in re.split(r"[^a-z0-9]+", apart.lower()) if w]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") else word


def _nearly(found: list[str], pattern: re.Pattern) -> bool:
    return sum(bool(pattern.fullmatch(v)) for v in found) >= MOST * len(found)


def _formats(found: list[str]) -> tuple[str, ...]:
    """The formats that fit most values, where that is nearly all; ISO 8601 is ``%Y-%m-%d``, with or without a clock."""
    if _share(found, _is_iso) >= MOST:
        return ("%Y-%m-%d",)
    shares = {
        day + clock: share
        for clock in CLOCKS
        for day in (*DAYS_FIRST, *MONTHS_FIRST, *OTHERS)
        if (share := _share(found, lambda v, form=day + clock: reads(v, form))) >= MOST
    }
    best = max(shares.values(), default=0)
    return tuple(form for form, share in shares.items() if share == best)


def _share(found: list[str], fits) -> float:
    if not fits(found[0]) and not fits(found[-1]) and not fits(found[len(found) // 2]):
        return 0.0
    return sum(map(fits, found)) / len(found)


def _is_iso(value: str) -> bool:
    if not re.match(r"\d{4}-\d{2}-\d{2}", value):
        return False
    try:
        return EARLIEST <= datetime.fromisoformat(value).date() <= LATEST
    except ValueError:
        return False


def _marks(found: list[str]) -> tuple[str | None, str]:
    """Decimal mark (see `Values`) and thousands mark."""
    point = sum(bool(POINT.fullmatch(v)) for v in found)
    comma = sum(bool(COMMA.fullmatch(v)) for v in found)
    for (thousands, decimal), grouped in GROUPED.items():
        plain = POINT if decimal == "." else COMMA
        groups = sum(bool(grouped.fullmatch(v)) and v.count(thousands) + (decimal in v) > 1 for v in found)
        if groups and sum(bool(plain.fullmatch(v) or grouped.fullmatch(v)) for v in found) >= MOST * len(found):
            return decimal, thousands
    if max(point, comma) < MOST * len(found):
        mixed = sum(bool(POINT.fullmatch(v) or COMMA.fullmatch(v)) for v in found) >= MOST * len(found)
        return ("?" if mixed else None), ""
    marked = [v for v in found if "," in v or "." in v]
    if not marked:
        return "", ""
    if all(re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", v) for v in marked):
        return "?", ""
    return ("." if point >= comma else ","), ""
