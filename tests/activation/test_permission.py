"""Histories of consent and suppression, with unreadable pieces, against the same rules said again in plain Python."""

import hashlib
from datetime import date

import ibis
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.activation.eligibility import EligibilityParams, eligibility
from crmlab.activation.permission import by_channel, consented, suppressed, suppressed_digests
from crmlab.data import DataParams, FileParams, read
from crmlab.data.convert import converted
from crmlab.data.rules import apply
from crmlab.data.schema import SCHEMA

AS_OF, LAST = date(2024, 6, 30), date(2024, 12, 31)
PARAMS = DataParams(files={"transactions": FileParams(path="t.csv")})

EMAIL = ["email", " E-Mail", "EMAIL", "e mail", "posta elettronica"]
ELSEWHERE = ["sms", "Telefono", "post", "WhatsApp"]
ANYWHERE = ["", "  ", "all", "tutti", "emial", "?"]
YES = ["granted", "Yes", "sì", "SI", "1", "true", "opt-in", "Opted In"]
NOT_YES = ["withdrawn", "no", "0", "false", "", "maybe", "yes?", "oui!", "pending", "nan", "y e s"]
DATED = ["2024-01-01", "2024-03-01", "2024-03-02", "2024-06-30"]
LATER = ["2024-07-01", "2024-12-31"]
UNDATED = ["", "soon", "2024-02-30", "31/12/2023?", "2025-01-01", "2099-01-01", "9999-12-31"]

events = st.tuples(
    st.sampled_from(EMAIL * 2 + ELSEWHERE + ANYWHERE),
    st.sampled_from(YES + NOT_YES),
    st.sampled_from(DATED * 3 + LATER + UNDATED),
)
histories = st.lists(st.lists(events, max_size=5), min_size=1, max_size=40)


def canonical(name, rows, columns):
    raw = ibis.memtable(pd.DataFrame(rows, columns=columns), schema=ibis.schema(dict.fromkeys(columns, "string")))
    values = {c: converted(raw[c], SCHEMA[name].columns[c]) for c in columns}
    typed = raw.select(**values, set_aside=ibis.null("string"))
    kept = apply(name, typed, last=LAST, params=PARAMS).rows
    return kept.filter(kept.set_aside.isnull()).drop("set_aside")


def permits(history):
    """Whether the e-mail channel is open on `AS_OF`, said without tables."""
    latest, answer = None, False
    for channel, state, day in history:
        yes = state in YES
        if channel in ELSEWHERE or (yes and channel not in EMAIL) or day in LATER:
            continue
        if day in UNDATED:
            if yes:
                continue
            return False
        if latest is None or day > latest:
            latest, answer = day, yes
        elif day == latest:
            answer = answer and yes
    return answer


@settings(max_examples=25)
@given(histories)
def test_consent_of_any_history_is_that_of_the_plain_rules(people):
    rows = [(f"c{i}", *event) for i, history in enumerate(people) for event in history]
    consents = canonical("consents", rows, ["customer_id", "channel", "state", "date"])
    expected = {f"c{i}" for i, history in enumerate(people) if permits(history)}
    ids = [f"c{i}" for i in range(len(people))]
    answer = eligibility(
        ids,
        contacts=None,
        consents=consents,
        suppression=None,
        as_of=AS_OF,
        mode="live",
        consent="recorded",
        params=EligibilityParams(),
    ).table
    assert set(answer.loc[answer["eligible"], "customer_id"]) == expected


@settings(max_examples=12)
@given(histories, st.tuples(st.sampled_from(EMAIL + ANYWHERE), st.sampled_from(NOT_YES), st.sampled_from(UNDATED)))
def test_a_refusal_that_cannot_be_read_is_never_lost(people, refusal):
    rows = [(f"c{i}", *event) for i, history in enumerate(people) for event in [*history, refusal]]
    consents = canonical("consents", rows, ["customer_id", "channel", "state", "date"])
    assert not len(consented(consents, "email", AS_OF))


@settings(max_examples=12)
@given(histories, st.sampled_from(LATER))
def test_on_the_day_of_a_delivery_a_refusal_of_a_later_day_counts_and_a_permission_does_not(people, day):
    rows = [(f"c{i}", *event) for i, history in enumerate(people) for event in [*history, ("email", "no", day)]]
    consents = canonical("consents", rows, ["customer_id", "channel", "state", "date"])
    assert not len(consented(consents, "email", AS_OF))
    alone = canonical("consents", [("a", "email", "yes", day)], ["customer_id", "channel", "state", "date"])
    assert not len(consented(alone, "email", AS_OF))


ADDRESS = "Anna@Example.org"
DIGEST = hashlib.sha256(ADDRESS.lower().encode()).hexdigest()
marks = st.tuples(
    st.sampled_from(["c0", " c1 ", "", "c2"]),
    st.sampled_from([DIGEST, DIGEST.upper(), f" {ADDRESS} ", "", "12345", DIGEST[:-1]]),
    st.sampled_from(DATED + LATER + UNDATED),
)


@settings(max_examples=12)
@given(st.lists(marks, max_size=12))
def test_every_row_of_suppression_that_names_somebody_counts(rows):
    suppression = canonical("suppression", rows, ["customer_id", "email_sha256", "date"])
    assert set(suppressed(suppression)) == {customer.strip() for customer, _, _ in rows} - {""}
    named = {DIGEST for _, digest, _ in rows if digest not in ("", "12345", DIGEST[:-1])}
    assert set(suppressed_digests(suppression)) == named
    seen = [(c.strip(), d) for c, _, d in rows if c.strip() and d not in LATER]
    everyone = [(f"c{i}", "email", "yes", "2024-01-01") for i in range(3)]
    granted = canonical("consents", everyone, ["customer_id", "channel", "state", "date"])
    answer = eligibility(
        ["c0", "c1", "c2"],
        contacts=None,
        consents=granted,
        suppression=suppression,
        as_of=AS_OF,
        mode="live",
        consent="recorded",
        params=EligibilityParams(),
    ).table
    assert set(answer.loc[answer["reason"] == "suppressed", "customer_id"]) == {c for c, _ in seen}


FILES = {
    "transactions": "customer_id,date,amount\n" + "".join(f"c{i},2024-05-01,5\n" for i in range(40)),
    "customers": "customer_id,consent_email,consent_date,consent_sms,region\n"
    + "c0,Sì,2024-01-01,no,north\nc1,no,2024-02-01,yes,north\nc2,,2024-01-01,,south\nc3,yes,,,south\n"
    + "c4,1,2024-01-01,,x\n"
    + "".join(f"c{i},,,,x\n" for i in range(5, 40)),
    "consents": "customer_id,channel,state,date\nc1,email,granted,2024-01-01\nc4,email,withdrawn,soon\n"
    + "c5,email,granted,2024-01-01\nc5,,no,2024-03-01\nc6,email,granted,2024-01-01\nc6,email,no,2030-01-01\n"
    + "c7,email,granted,2024-01-01\nc7,email,withdrawn,2024-02-01,by telephone\nc8,email,granted,2024-01-01\n"
    + "c9,email,granted,2024-01-01\n"
    + "".join(f"c{i},sms,granted,2024-01-01\n" for i in range(10, 40)),
    "suppression": "customer_id,reason,date\nc9,dead,2030-01-01\n",
}


def test_from_files_to_eligibility_every_doubt_is_decided_against_contact(tmp_path):
    for name, text in FILES.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    params = DataParams(files={n: FileParams(path=f"{n}.csv") for n in FILES}, extracted_on=LAST)
    taken = read(params, folder=tmp_path, con=ibis.duckdb.connect(threads=1))
    tables = taken.tables
    assert "consent_email" not in tables["customers"].columns
    answer = eligibility(
        [f"c{i}" for i in range(40)],
        contacts=None,
        consents=tables["consents"],
        suppression=tables["suppression"],
        as_of=AS_OF,
        mode="live",
        consent="recorded",
        params=EligibilityParams(),
    ).table.set_index("customer_id")
    assert set(answer.index[answer["eligible"]]) == {"c0", "c8"}
    assert answer.loc["c9", "reason"] == "suppressed"
    consents = taken.bad[taken.bad["table"] == "consents"]
    assert list(consents["line"]) == [9]
    assert "Refusals whose channel is missing or unknown" in " ".join(map(str, taken.notes))


def test_permission_by_channel_names_every_channel_and_nobody_without_a_table():
    rows = [("a", "E-Mail", "yes", "2024-01-01"), ("b", "email", "no", "2024-01-01"), ("a", "sms", "no", "2024-01-01"),
            ("c", "all", "no", "2024-01-01")]  # fmt: skip
    consents = canonical("consents", rows, ["customer_id", "channel", "state", "date"])
    assert {c: list(who) for c, who in by_channel(consents, AS_OF).items()} == {"email": ["a"], "sms": []}
    assert by_channel(None, AS_OF) == {}
