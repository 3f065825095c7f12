"""Lists as senders read them: CSV under their headers, and what each of them states about it.

Google Ads: Customer Match, "Formatting guidelines for uploading hashed data" (headers in English; e-mail, phone and
names as lower-case SHA-256; country and postal code plain, and only together with both names). Mailchimp: "Format
guidelines for your import file" (text up to 255 bytes, nothing but ASCII before the @). Klaviyo: "How to create and add
subscribers" (the identifier first, numbers in E.164, 50 MB). Braze: "CSV import" (``external_id``, 500 MB).
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from crmlab.contract import Fault, Refused
from crmlab.contract.cells import defused
from crmlab.data.addresses import digest, matched_email, normal_email, normal_phone

PHONES = ("sms", "phone", "whatsapp")
"""Channels that reach a customer by phone number."""

TEXT_BYTES = 255
"""Bytes a text field may have at Mailchimp."""

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Control characters, line ends, changes of direction and halves of characters: no part of a name."""

_HASH = re.compile(r"[0-9a-f]{64}")
Row = Mapping[str, str]


@dataclass(frozen=True)
class Form:
    """What one sender reads.

    Parameters
    ----------
    columns
        The headers, in order.
    cells
        A customer → their cells, in the same order.
    keys
        Which of ``email``, ``phone`` and ``customer_id`` tell the sender who is meant: one of them is needed.
    cell
        Header → whether a cell is what the sender states; headers not named hold free text, which must be defused.
    largest
        Bytes a file may have.
    once
        Headers whose cells, where filled, may stand but once in a file.
    """

    columns: tuple[str, ...]
    cells: Callable[[Row], tuple[str, ...]]
    keys: tuple[str, ...]
    cell: Mapping[str, Callable[[str], bool]]
    once: tuple[str, ...]
    largest: int = 1_000_000_000


def text(value: str, most: int = 0) -> str:
    """Free text for a cell: on one line, no formula, at most so many bytes."""
    value = defused(" ".join(_UNSEEN.sub(" ", value).split()))
    return value.encode("utf-8")[:most].decode("utf-8", "ignore") if most else value


def names(row: Row) -> tuple[str, str]:
    """First and last name; a whole name of two words is parted, any other stands as a first name, unparted."""
    first, last = row.get("first_name", ""), row.get("last_name", "")
    if first or last:
        return first, last
    words = row.get("name", "").split()
    return (words[0], words[1]) if len(words) == 2 else (row.get("name", ""), "")


def _hashed(value: str) -> str:
    return digest(value) if value else ""


def _address(row: Row) -> tuple[str, str, str, str]:
    """First and last name hashed, country, postal code: all four, or none of them."""
    first, last = (_hashed(" ".join(_UNSEEN.sub(" ", n).lower().split())) for n in names(row))
    country, code = row.get("country", "").upper(), text(row.get("zip", ""))
    if first and last and re.fullmatch(r"[A-Z]{2}", country) and _postal(code):
        return first, last, country, code
    return "", "", "", ""


def _whole_name(row: Row) -> str:
    return row.get("name", "") or " ".join(names(row)).strip()


def _email(cell: str) -> bool:
    return cell == "" or normal_email(cell) == cell


def _phone(cell: str) -> bool:
    return cell == "" or normal_phone(cell) == cell


def _hash(cell: str) -> bool:
    return cell == "" or bool(_HASH.fullmatch(cell))


def _postal(cell: str) -> bool:
    return bool(re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z -]{1,11}", cell))


def _short(cell: str) -> bool:
    return _free(cell) and len(cell.encode("utf-8")) <= TEXT_BYTES


def _free(cell: str) -> bool:
    return defused(cell) == cell and not _UNSEEN.search(cell)


FORMS: Mapping[str, Form] = {
    "plain": Form(
        columns=("customer_id", "email", "phone", "name", "campaign"),
        cells=lambda row: (
            text(row["customer_id"]),
            row["email"],
            row["phone"],
            text(_whole_name(row)),
            row["campaign"],
        ),
        keys=("customer_id", "email", "phone"),
        cell={"email": _email, "phone": _phone},
        once=("customer_id",),
    ),
    "customer_match": Form(
        columns=("Email", "Phone", "First Name", "Last Name", "Country", "Zip"),
        cells=lambda row: (_hashed(matched_email(row["email"])), _hashed(row["phone"]), *_address(row)),
        keys=("email", "phone"),
        cell={
            **dict.fromkeys(("Email", "Phone", "First Name", "Last Name"), _hash),
            "Country": lambda cell: cell == "" or bool(re.fullmatch(r"[A-Z]{2}", cell)),
            "Zip": lambda cell: cell == "" or _postal(cell),
        },
        once=(),
    ),
    "mailchimp": Form(
        columns=("Email Address", "First Name", "Last Name", "Tags"),
        cells=lambda row: (row["email"], *(text(name, TEXT_BYTES) for name in names(row)), row["campaign"]),
        keys=("email",),
        cell={
            "Email Address": lambda cell: cell != "" and _email(cell),
            "First Name": _short,
            "Last Name": _short,
            "Tags": lambda cell: len(cell) <= 100 and "," not in cell,
        },
        once=("Email Address",),
    ),
    "klaviyo": Form(
        columns=("Email", "Phone Number", "First Name", "Last Name", "Campaign"),
        cells=lambda row: (row["email"], row["phone"], *map(text, names(row)), row["campaign"]),
        keys=("email", "phone"),
        cell={"Email": _email, "Phone Number": _phone},
        once=("Email", "Phone Number"),
        largest=50_000_000,
    ),
    "braze": Form(
        columns=("external_id",),
        cells=lambda row: (row["customer_id"],),
        keys=("customer_id",),
        cell={"external_id": lambda cell: cell != "" and _free(cell)},
        once=("external_id",),
        largest=500_000_000,
    ),
}
"""Name of a format → what it is."""


def form_named(name: str) -> Form:
    """The format of that name; refused, naming those there are, where there is none."""
    if name not in FORMS:
        raise Refused("export", [Fault("--format", f"no format '{name}'; there are: {', '.join(FORMS)}")])
    return FORMS[name]


def needed(name: str, channel: str) -> tuple[str, ...]:
    """Which of a customer's keys a list in this form for this channel needs: one of them at least.

    Raises
    ------
    Refused
        The sender knows customers by an address of another channel alone: whoever consents to text messages would be
        written e-mails.
    """
    own = {"email": "email"} | dict.fromkeys(PHONES, "phone")
    form = form_named(name)
    if channel not in own or form.keys == ("customer_id",):
        return form.keys
    if own[channel] not in form.keys:
        others = ", ".join(n for n, f in FORMS.items() if {own[channel], "customer_id"} & set(f.keys))
        what = f"'{name}' names nobody by {own[channel]}, as channel '{channel}' needs; take one of {others}"
        raise Refused("export", [Fault("--format", what)])
    return (own[channel],)


def usable(name: str, channel: str, people: pd.DataFrame) -> pd.Series:
    """Whether the form can name each of `people` (customer_id, email, phone: normal or ``""``) to the sender."""
    form = form_named(name)
    if form.keys == ("customer_id",):
        return people["customer_id"].map(lambda cell: cell != "" and _free(cell)).astype("bool")
    return pd.DataFrame({key: people[key] != "" for key in needed(name, channel)}).any(axis=1)


def written(form: Form, rows: list[Row], channel: str = "email") -> str:
    """The file: a header, and a line a customer. A second address that stands on an earlier line is left out."""
    headers = list(form.columns)
    if channel in PHONES and "Phone Number" in headers:
        headers.sort(key=lambda header: header != "Phone Number")
    seen: dict[str, set[str]] = {header: set() for header in form.once if header != headers[0]}
    lines = [headers]
    for row in rows:
        line = dict(zip(form.columns, form.cells(row), strict=True))
        for header, earlier in seen.items():
            if line[header] in earlier:
                line[header] = ""
            earlier.add(line[header])
        lines.append([line[header] for header in headers])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()


def problems(form: Form, content: str) -> list[str]:
    """Where a file is not what the sender states: the line and its header, never the value."""
    lines = list(csv.reader(io.StringIO(content, newline="")))
    if not lines or sorted(lines[0]) != sorted(form.columns):
        return [f"line 1: the header is not {', '.join(form.columns)}"]
    if len(content.encode("utf-8")) > form.largest:
        return [f"larger than {form.largest:,} bytes"]
    found, seen = [], {header: set() for header in form.once}
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            found.append(f"line {number}: {len(line)} cells instead of {len(lines[0])}")
            continue
        for header, cell in zip(lines[0], line, strict=True):
            if not form.cell.get(header, _free)(cell):
                found.append(f"line {number}: {header} is not as stated")
            if cell and cell in seen.get(header, ()):
                found.append(f"line {number}: {header} stands on an earlier line too")
            if header in seen:
                seen[header].add(cell)
    return found
