"""The books of a company, kept without the product: whom it may contact on a day, in plain Python, from facts alone.

Nothing of the package is imported. Every rule of a delivery is stated here once more, so that `histories.py` can hold
the product against it.
"""

import hmac
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import NamedTuple

KEY = b"a key of thirty-two bytes length"
HOLDOUT, CAP, CAP_WEEKS, WINDOW = 0.3, 2, 4, 28
CONTACTED, CONTROL = "contacted", "control"
CHANNELS = ("email", "sms", "phone")
DELIVERED = "delivered"
SHARED = "address shared with somebody who may not be contacted"
TWICE, EARLIER = "same address as another customer", "delivered earlier in this campaign"
HEADERS = {
    "plain": {"email": "email", "sms": "phone"},
    "customer_match": {"email": "Email", "sms": "Phone"},
    "mailchimp": {"email": "Email Address"},
    "klaviyo": {"email": "Email", "sms": "Phone Number"},
    "braze": {"email": "external_id", "sms": "external_id"},
}
"""Form → channel → the header under which a customer is told to the sender."""


class Sent(NamedTuple):
    """A customer added to a list."""

    who: str
    campaign: str
    day: date


@dataclass
class Wrong:
    """What the product did otherwise than the books say."""

    forbidden: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed_arms: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def any(self) -> bool:
        """Whether anything was."""
        return bool(self.forbidden or self.doubled or self.changed_arms or self.lost)


@dataclass
class Books:
    """Facts under raw ids, and what was done: `lists` are cycle → last day seen, who → arm.

    Rows: consents (who, channel, state, day), suppression (who, digest, day), contacts (who, campaign, arm, day),
    told (who, campaign, place). barred: places of those erased. withheld: (who, campaign) → day. last: (campaign,
    channel) → who stands on the last list.
    """

    today: date
    emails: dict[str, str] = field(default_factory=dict)
    phones: dict[str, str] = field(default_factory=dict)
    consents: list[tuple] = field(default_factory=list)
    suppression: list[tuple] = field(default_factory=list)
    contacts: list[tuple] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    lists: dict[str, tuple[date, dict[str, str]]] = field(default_factory=dict)
    barred: set[str] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)
    told: set[tuple[str, str, str]] = field(default_factory=set)
    withheld: dict[tuple[str, str], date] = field(default_factory=dict)
    last: dict[tuple[str, str], set[str]] = field(default_factory=dict)


def digest(text: str) -> str:
    """SHA-256."""
    return sha256(text.encode()).hexdigest()


def called(name: str) -> str:
    """The pseudonym."""
    return "p" + hmac.new(KEY, b"pseudonym\x1f" + name.encode(), "sha256").hexdigest()[:20]


def arm(name: str, cycle: str) -> str:
    """A function of key, cycle and customer alone."""
    drawn = hmac.new(KEY, f"arm\x1fshop\x1f{cycle}\x1f{called(name)}".encode(), "sha256").digest()
    return CONTROL if (int.from_bytes(drawn[:8], "big") >> 11) / 2**53 < HOLDOUT else CONTACTED


def address(books: Books, name: str, channel: str) -> str:
    """What a sender is told."""
    email = books.emails[name].strip().lower()
    return (email if "@" in email else "") if channel == "email" else books.phones[name]


def acquire(books: Books, near: int) -> None:
    """A new customer, perhaps at an address of others, contacted by others, suppressed, refusing or without a word."""
    number, known = len(books.emails) + 1, sorted(books.emails)
    name, today = f"c{number:03d}", books.today
    odd = ("", "none", f" {name.upper()}@Example.com", f"{name}+a@gmail.com")
    books.emails[name] = odd[near // 8 % 4] if near % 8 == 5 else f"{name}@example.com"
    books.phones[name] = f"+39333{number:07d}" if near % 6 else ""
    if near % 4 == 3 and known:
        other = known[near % len(known)]
        books.emails[name], books.phones[name] = books.emails[other], books.phones[known[near // 2 % len(known)]]
    books.consents += [(name, c, "granted", today) for c, k in (("email", 9), ("sms", 2)) if near % k]
    books.consents += [(name, "email", "refused", today)] if near % 10 == 4 else []
    books.suppression += [(name, None, today)] if near % 13 == 2 else []
    books.suppression += [(None, digest(books.emails[name].strip().lower()), None)] if near % 13 == 7 else []
    if near % 3 == 1:
        often = range(1 + near // 3 % 3)
        books.contacts += [(name, f"other-{k}", "mailed", today - timedelta(days=18 + near % 9)) for k in often]


def newest(books: Books) -> tuple[list[str], list[str]]:
    """Of those the newest list is to contact: whom it has not, and whom it has."""
    cycle = list(books.lists)[-1]
    done = {s.who for s in books.sent if s.campaign == f"shop-{cycle}"}
    return sorted(n for n, how in books.lists[cycle][1].items() if how == CONTACTED and n not in done), sorted(done)


def somebody(books: Books, which: int) -> str:
    """Somebody: on the newest list and not yet contacted, contacted already, at an address of others, or anybody."""
    fresh, done = newest(books)[0], sorted({s.who for s in books.sent})
    written = [email.lower() for email in books.emails.values()]
    shared = sorted(name for name, email in books.emails.items() if email and written.count(email.lower()) > 1)
    groups = [group for group in (fresh, done, fresh, shared, sorted(books.emails)) if group]
    group = groups[which % len(groups)]
    return group[which // 5 % len(group)]


def spelt(books: Books, name: str, how: int) -> str:
    """An address as another customer may write it."""
    email = books.emails[name]
    return email.replace("@gmail", "+b@gmail") if how % 2 and "+" not in email else email.upper()


def place(books: Books, name: str, channel: str) -> str:
    """The mailbox or telephone there: dots and what follows a plus tell no two boxes of Gmail's apart."""
    box, at, domain = address(books, name, channel).partition("@")
    return box + at + domain if domain != "gmail.com" else f"{box.partition('+')[0].replace('.', '')}@{domain}"


def forget(books: Books, name: str) -> None:
    """Whoever is erased is in no book any more; that they were, and where they were reached, stays known."""
    books.erased.add(name)
    books.barred |= {place(books, name, "email"), place(books, name, "sms")} - {""}
    books.barred |= {where for who, _, where in books.told if who == name} - {""}
    books.told = {t for t in books.told if t[0] != name}
    books.sent = [s for s in books.sent if s.who != name]
    books.withheld = {key: day for key, day in books.withheld.items() if key[0] != name}
    for listed in books.last.values():
        listed.discard(name)


def suppressed(books: Books, name: str) -> bool:
    """By id or by the digest of the address, as written, in small letters or as Gmail reads it; whenever."""
    written = books.emails[name]
    own = {digest(t) for t in (written, written.strip().lower(), place(books, name, "email")) if t}
    return any(who == name or found in own for who, found, _ in books.suppression)


def permits(books: Books, name: str, channel: str) -> bool:
    """Whether the latest word was a yes, and no no of the same day."""
    latest, yes = None, False
    for _, _, state, day in (c for c in books.consents if c[0] == name and _concerns(c, channel)):
        if state == "granted":
            if day is None or day > books.today:
                continue
            held = day
        else:
            held = min(day or books.today, books.today)
        if latest is None or held > latest:
            latest, yes = held, state == "granted"
        elif held == latest:
            yes = yes and state == "granted"
    return yes


def _concerns(consent: tuple, channel: str) -> bool:
    """A yes is for the channel it names; a no of another known channel alone is none of this one."""
    _, named, state, _ = consent
    return named == channel or (state != "granted" and named not in CHANNELS)


def objects(books: Books, name: str, channel: str) -> bool:
    """Whether somebody ever said no, and has not said yes since."""
    noes = any(c[0] == name and c[2] != "granted" and _concerns(c, channel) for c in books.consents)
    return noes and not permits(books, name, channel)


def often(books: Books, name: str, campaign: str) -> bool:
    """Whether other campaigns contacted somebody as often as they may; withheld is not contacted."""
    own = {(s.campaign, s.day) for s in books.sent if s.who == name}
    known = {c for c, _ in own}
    logged = {(c, day) for who, c, how, day in books.contacts if who == name and how != CONTROL and c not in known}
    oldest = books.today - timedelta(weeks=CAP_WEEKS)
    return len({(c, d) for c, d in own | logged if c != campaign and oldest < d <= books.today}) >= CAP


def decide(books: Books, cycle: str, channel: str, form: str) -> dict[str, str]:
    """Everybody on a list → `DELIVERED`, or the first reason why not."""
    campaign, arms = f"shop-{cycle}", books.lists[cycle][1]
    places = {name: place(books, name, channel) for name in books.emails}
    there: dict[str, list[str]] = defaultdict(list)
    for name in sorted(places):
        there[places[name]].append(name)
    before = {s.who for s in books.sent if s.campaign == campaign}
    known = before | {name for name, withheld_from in books.withheld if withheld_from == campaign}
    reached = {where for _, c, where in books.told if c == campaign} | {places[name] for name in before}
    told = {}
    for name in arms:
        at = there[places[name]] if places[name] else []
        barred = any(
            other in books.erased or suppressed(books, other) or objects(books, other, channel) for other in at
        )
        first = {
            "erased": name in books.erased or places[name] in books.barred,
            "suppressed": suppressed(books, name),
            "no consent": not permits(books, name, channel),
            "no usable address": not places[name] and form != "braze",
            SHARED: barred or len({arms[other] for other in at if other in arms}) > 1,
        }
        told[name] = next((reason for reason, holds in first.items() if holds), DELIVERED)
    free = {name for name, reason in told.items() if reason == DELIVERED}
    for name in sorted(free):
        at = there[places[name]] if places[name] else [name]
        stands = min((other not in known, other) for other in at if other in free)[1]
        again = arms[name] == CONTACTED and name not in known and places[name] in reached - {""}
        if stands != name or again:
            told[name] = TWICE
        elif name in before and name not in books.last.get((campaign, channel), ()):
            told[name] = EARLIER
        elif name not in known and any(often(books, other, campaign) for other in {name, *at}):
            told[name] = "contacted too often"
    return told


def keep(books: Books, cycle: str, channel: str, form: str, told: dict[str, str]) -> None:
    """Enter a delivery."""
    campaign, arms = f"shop-{cycle}", books.lists[cycle][1]
    fine = {name for name, reason in told.items() if reason == DELIVERED}
    listed = {name for name in fine if arms[name] == CONTACTED}
    known = {s.who for s in books.sent if s.campaign == campaign}
    gone = _gone(books, campaign, channel, form, listed)
    for name in sorted(listed - known):
        books.sent.append(Sent(name, campaign, books.today))
    for name in sorted(fine - listed):
        books.withheld.setdefault((name, campaign), books.today)
    books.told |= {(name, campaign, place(books, name, channel)) for name in listed | gone}
    books.last[campaign, channel] = listed


def held_against(
    books: Books, cycle: str, channel: str, form: str, told: dict[str, str], files: dict[str, list[dict[str, str]]]
) -> Wrong:
    """A delivery's files (list, adds, removes: their lines) against what the books say, before it is entered."""
    arms, last = books.lists[cycle][1], books.last.get((f"shop-{cycle}", channel), set())
    listed = {name for name, reason in told.items() if reason == DELIVERED and arms[name] == CONTACTED}
    gone = _gone(books, f"shop-{cycle}", channel, form, listed)
    wrong, header = Wrong(), HEADERS[form][channel]
    where = f"{books.today} {cycle} {channel} {form}"
    for file, names in {"list.csv": listed, "adds.csv": listed - last, "removes.csv": gone}.items():
        cells = {name: _cell(books, name, channel, form) for name in books.emails}
        due, found = Counter(cells[name] for name in names), Counter(line[header] for line in files[file])
        wrong.lost += [f"{where} {file}: {cell} is missing" for cell in due - found]
        for cell in found - due:
            whose = sorted(name for name in cells if cells[name] == cell)
            why = {told.get(name, "not on the list") for name in whose if arms.get(name) != CONTROL} or {CONTROL}
            again = file != "removes.csv" and (DELIVERED in why or why <= {TWICE, EARLIER})
            (wrong.doubled if again else wrong.forbidden).append(f"{where} {file}: {cell} {whose} {sorted(why)}")
    return wrong


def _gone(books: Books, campaign: str, channel: str, form: str, listed: set[str]) -> set[str]:
    """Who is to be taken off and can be named."""
    off = books.last.get((campaign, channel), set()) - listed
    return {name for name in off if form == "braze" or place(books, name, channel)}


def _cell(books: Books, name: str, channel: str, form: str) -> str:
    if form == "customer_match":
        return digest(box) if (box := place(books, name, channel)) else ""
    return name if form == "braze" else address(books, name, channel)
