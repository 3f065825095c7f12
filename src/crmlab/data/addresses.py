"""E-mail addresses and phone numbers as senders and suppression lists write them, or nothing where they are none."""

import re
from hashlib import sha256

_LOCAL = re.compile(r"[a-z0-9_][a-z0-9!#$%&'*+/=?^_`{|}~-]*(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
GOOGLE = ("gmail.com", "googlemail.com")


def normal_email(text: str) -> str:
    """The address in lower case and without blanks around it; ``""`` where it is none.

    One that a spreadsheet would run as a formula counts as none, for defused it would be no address either.
    """
    local, at, domain = text.strip().lower().rpartition("@")
    if not at or len(local) > 64 or not _LOCAL.fullmatch(local):
        return ""
    try:
        domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    labels = domain.split(".")
    plausible = len(labels) > 1 and all(map(_LABEL.fullmatch, labels)) and len(labels[-1]) > 1
    return f"{local}@{domain}" if plausible and not labels[-1].isdigit() and len(local) + len(domain) < 254 else ""


def normal_phone(text: str) -> str:
    """The number in E.164 (``+393331234567``); ``""`` where it is none or lacks the code of its country."""
    bare = re.sub(r"[ \u00a0().\-/]", "", text.strip().removeprefix("tel:"))
    bare = f"+{bare[2:]}" if bare.startswith("00") else bare
    return bare if _PHONE.fullmatch(bare) else ""


def matched_email(email: str) -> str:
    """A normal address as Customer Match compares it: of Gmail's without dots and without what follows a ``+``."""
    local, _, domain = email.rpartition("@")
    if domain not in GOOGLE:
        return email
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"


def digest(text: str) -> str:
    """SHA-256 of a text in UTF-8, in lower-case hexadecimal."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digests(email: str) -> set[str]:
    """Every digest under which a suppression list may name an address as it was found."""
    forms = {email, email.strip(), email.strip().lower()}
    forms |= {matched_email(normal)} | {normal} if (normal := normal_email(email)) else set()
    return {digest(form) for form in forms if form}


def place_of(address: str) -> str:
    """Where an e-mail address or phone number reaches somebody, in one spelling; ``""`` where it is neither."""
    return matched_email(normal_email(address)) or normal_phone(address)
