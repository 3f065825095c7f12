"""What senders read: every list written is what they state, whatever names and addresses hold."""

import csv
import io
from hashlib import sha256

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.contract import Refused
from crmlab.contract.cells import STARTS
from crmlab.data.addresses import digests, matched_email, normal_email, normal_phone
from crmlab.delivery.formats import FORMS, form_named, names, needed, problems, usable, written

ANY = st.text(max_size=40)
NASTY = st.sampled_from(
    [
        "=1+1",
        "@SUM(A1)",
        "+39 333",
        "-2",
        "\t=x",
        "＝HYPERLINK",
        '"; DROP',
        "O'Neil, Ada",
        "a\nb",
        "😀 Zoë\u202e",
        "<script>",
    ]
)
PERSON = st.fixed_dictionaries(
    {
        "customer_id": ANY | NASTY | st.from_regex(r"c[0-9]{4}", fullmatch=True),
        "email": ANY | st.emails() | st.sampled_from(["a.b+c@gmail.com", "=cmd|'/c'!A1@x.it"]),
        "phone": ANY | st.from_regex(r"\+39[0-9]{9}", fullmatch=True),
        "name": ANY | NASTY,
        "first_name": ANY | NASTY,
        "last_name": ANY | NASTY,
        "country": st.sampled_from(["it", "IT", "Italy", "", "=1"]) | ANY,
        "zip": st.sampled_from(["20121", "WC2H 8LG", "", "=2"]) | ANY,
    }
)


def normal(people):
    """As a delivery makes them: normal addresses, each once, only those whom the form can name."""
    rows = [p | {"email": normal_email(p["email"]), "phone": normal_phone(p["phone"])} for p in people]
    return [p | {"campaign": "shop-first-0a1b2c3d"} for p in rows]


def once(rows, keys):
    seen, kept = set(), []
    for row in rows:
        mine = {row[k] for k in keys if row[k]}
        if mine and not mine & seen:
            kept.append(row)
            seen |= mine
    return kept


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=50, deadline=None)
@given(people=st.lists(PERSON, max_size=8))
def test_every_list_is_what_its_sender_states(name, people):
    rows = normal(people)
    if rows:
        rows = [r for r, fine in zip(rows, usable(name, "email", pd.DataFrame(rows)), strict=True) if fine]
    rows = once(rows, ("customer_id",) if name in ("plain", "braze") else ("email", "phone"))
    content = written(form_named(name), rows)
    assert problems(form_named(name), content) == []
    lines = list(csv.reader(io.StringIO(content, newline="")))
    assert len(lines) == len(rows) + 1 == content.count("\n")
    for line in lines[1:]:
        for header, cell in zip(lines[0], line, strict=True):
            phone = header in ("phone", "Phone Number") and normal_phone(cell) == cell
            assert phone or not cell.startswith(STARTS)


@pytest.mark.parametrize(
    ("name", "row", "wrong"),
    [
        ("customer_match", "ada@x.it,,,,,", "line 2: Email is not as stated"),
        ("customer_match", f"{'ab' * 32},,,,Italy,", "line 2: Country is not as stated"),
        ("mailchimp", "not an address,Ada,L,t", "line 2: Email Address is not as stated"),
        ("mailchimp", f"ada@x.it,{'é' * 128},L,t", "line 2: First Name is not as stated"),
        ("klaviyo", "ada@x.it,333 1234567,Ada,L,c", "line 2: Phone Number is not as stated"),
        ("klaviyo", "ada@x.it,,=1+1,L,c", "line 2: First Name is not as stated"),
        ("braze", "=1", "line 2: external_id is not as stated"),
        ("plain", "a,b", "line 2: 2 cells instead of 5"),
    ],
)
def test_what_a_sender_would_not_take_is_found(name, row, wrong):
    form = form_named(name)
    assert problems(form, ",".join(form.columns) + f"\n{row}\n") == [wrong]
    assert "header" in problems(form, f"nonsense\n{row}\n")[0]


def test_no_address_stands_twice_in_a_list():
    rows = normal([{"customer_id": i, "email": f"{i}@x.it", "phone": "+393331234567", "name": ""} for i in "ab"])
    content = written(form_named("klaviyo"), rows)
    assert content.splitlines()[1:] == ["a@x.it,+393331234567,,,shop-first-0a1b2c3d", "b@x.it,,,,shop-first-0a1b2c3d"]
    assert "stands on an earlier line" in problems(form_named("braze"), "external_id\na\na\n")[0]


def test_customer_match_hashes_as_stated():
    person = {"customer_id": "c1", "email": "Ada.L+news@Gmail.com ", "phone": "0039 333 1234567"}
    whole = normal([person | {"first_name": " ADA ", "last_name": "Lovelace", "country": "gb", "zip": "WC2H 8LG"}])
    cells = written(form_named("customer_match"), whole).splitlines()[1].split(",")
    wanted = [sha256(t.encode()).hexdigest() for t in ("adal@gmail.com", "+393331234567", "ada", "lovelace")]
    assert cells == [*wanted, "GB", "WC2H 8LG"]
    without = normal([person | {"first_name": "Ada", "last_name": "Lovelace", "country": "gb"}])
    assert written(form_named("customer_match"), without).splitlines()[1].endswith(",,,,")


def test_a_list_for_text_messages_names_people_by_phone_and_first():
    content = written(form_named("klaviyo"), [], "sms")
    assert content.startswith("Phone Number,")
    assert needed("klaviyo", "sms") == ("phone",)
    assert needed("braze", "sms") == ("customer_id",)
    with pytest.raises(Refused, match="'mailchimp' names nobody by phone"):
        needed("mailchimp", "sms")
    with pytest.raises(Refused, match="there are: plain, customer_match"):
        needed("sendgrid", "email")


@pytest.mark.parametrize(
    ("given_name", "parts"),
    [
        ("Ada Lovelace", ("Ada", "Lovelace")),
        ("Anna Maria De Rossi", ("Anna Maria De Rossi", "")),
        ("Cher", ("Cher", "")),
    ],
)
def test_a_whole_name_is_parted_only_where_there_is_one_way(given_name, parts):
    assert names({"name": given_name}) == parts
    assert names({"name": given_name, "first_name": "X", "last_name": "Y"}) == ("X", "Y")


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada@esempio.città.it", "ada@esempio.xn--citt-3na.it"),
        *[
            (t, "")
            for t in ("", "ada", "ada@", "@x.it", "a@@x.it", "ada@localhost", "ada@1.2.3.4", "à@x.it", "a b@x.it")
        ],
        *[
            (t, "")
            for t in ("=1@x.it", "+39@x.it", "a..b@x.it", ".a@x.it", "a@-x.it", "a@x.it\n,b", f"{'a' * 65}@x.it")
        ],
    ],
)
def test_an_address_is_normal_or_none(found, wanted):
    assert normal_email(found) == wanted


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("+39 333-123 4567", "+393331234567"),
        ("0039 (333) 1234567", "+393331234567"),
        *[
            (t, "")
            for t in ("", "333 1234567", "+0393331234567", "+39333", "+٣٩٣٣٣١٢٣٤٥٦", "=1+393331234567", "+" * 12)
        ],
    ],
)
def test_a_number_is_in_e164_or_none(found, wanted):
    assert normal_phone(found) == wanted


def test_a_suppressed_digest_is_recognised_however_the_address_is_written():
    for listed in ("ada.l@gmail.com", "adal@gmail.com", "Ada.L@Gmail.com"):
        assert sha256(listed.encode()).hexdigest() in digests(
            " Ada.L@Gmail.com" if listed[0] == "A" else "Ada.L@Gmail.com"
        )
    assert matched_email("a.b+c@x.it") == "a.b+c@x.it"
    assert digests("") == set()
