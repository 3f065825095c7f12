from datetime import date

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.data import DataParams, FileParams
from crmlab.data.consents import channel_named, channel_of, state_of, wide
from crmlab.data.raw import LINE
from crmlab.data.rules import DUPLICATE, REPEATS, RETURNED, across, apply, never_lost, refused

LAST = date(2024, 12, 31)


def params(**policies):
    return DataParams(files={"transactions": FileParams(path="t.csv")}, **policies)


def table(rows, **kinds):
    return ibis.memtable(pd.DataFrame(rows, columns=list(kinds)), schema=ibis.schema(kinds))


def ruled(name, rows, *, last=LAST, policies=None, **kinds):
    typed = table(rows, **kinds).mutate(set_aside=ibis.null("string"))
    done = apply(name, typed, last=last, params=params(**(policies or {})))
    return done.rows.to_pandas(), " ".join(map(str, done.notes)), [f"{f.where}: {f.what}" for f in done.faults]


def consents(*rows, **more):
    kinds = {"customer_id": "string", "channel": "string", "state": "string", "date": "date", "lost_date": "boolean"}
    return ruled("consents", rows, **more, **kinds)


def suppression(*rows, **more):
    return ruled("suppression", rows, **more, customer_id="string", email_sha256="string", date="date")


def transactions(*rows, **policies):
    kinds = {"customer_id": "string", "amount": "decimal(18, 4)", REPEATS: "boolean"}
    return ruled("transactions", rows, policies=policies, **kinds)[0]


EARLY, LATE = date(2024, 5, 1), date(2025, 1, 1)


def test_a_consent_of_which_something_cannot_be_read_is_kept_and_said():
    rows, said, faults = consents(
        ("a", "email", "granted", EARLY, False),
        ("b", "email", "perhaps", EARLY, False),
        ("c", "email", "no", None, True),
        ("d", "e-mail", "Sì", None, False),
        ("e", "pigeon", "withdrawn", EARLY, False),
        ("f", None, "yes", EARLY, False),
    )
    assert rows["set_aside"].isna().all()
    assert list(rows["state"]) == ["granted", "unreadable", "refused", "granted", "refused", "granted"]
    assert list(rows["channel"]) == ["email", "email", "email", "email", "pigeon", ""]
    assert "state is no plain yes or no, which count as refusals: 1." in said
    assert "Permissions without a readable day in the time of the data, which permit nothing: 1." in said
    assert "Refusals without a readable day in the time of the data, which hold for ever: 1." in said
    assert "Refusals whose channel is missing or unknown, which hold for every other channel: 1." in said
    assert "Permissions that name no channel, which permit nothing: 1." in said
    assert faults == []


def test_consents_dated_after_the_data_lose_their_date_and_without_a_last_day_keep_it():
    given = [("a", "email", "granted", LATE, False), ("b", "email", "no", LATE, False)]
    assert consents(*given)[0]["date"].isna().all()
    assert consents(*given, last=None)[0]["date"].notna().all()


def test_dates_mostly_in_another_format_are_refused_with_the_mend():
    rows = [(f"c{i}", "email", "yes", None if i else EARLY, i > 0) for i in range(3)]
    assert consents(*rows)[2] == ["consents.date: 2 of 3 dates given cannot be read"]
    assert consents(*rows[:2])[2] == []


@pytest.mark.parametrize(
    ("given", "state"),
    [(" OPT-IN ", "granted"), ("Opted_in", "granted"), ("sì", "granted"), ("SI", "granted"), ("TRUE", "granted")]
    + [("non concesso", "refused"), ("Opt-out", "refused"), ("0", "refused"), ("pending", "refused")]
    + [(w, "unreadable") for w in ("", "yes please", "yess", "nan", "?", "01", "11", "\u0000", "=1", "oui")],
)
def test_only_a_plain_yes_is_a_permission(given, state):
    assert table([(given,)], s="string").select(s=lambda t: state_of(t.s)).to_pandas()["s"][0] == state


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12))
@settings(max_examples=40)
def test_a_channel_is_called_the_same_in_tables_and_in_parameters(text):
    found = table([(text,)], c="string").select(c=lambda t: channel_of(t.c)).to_pandas()["c"][0]
    assert found == channel_named(text)
    assert channel_named("Posta Elettronica") == channel_named("E-mail") == "email"


def test_wide_consents_become_rows_with_their_own_date_and_no_covariates():
    rows = [("a", "yes", "2024-01-01", "no", "2024-02-01", "3", 2), ("b", " ", "2024-01-01", "", "", "4", 3)]
    kinds = ["customer_id", "consent_email", "consent_date", "Consent_SMS", "consent_sms_date", "age"]
    customers = table(rows, **dict.fromkeys(kinds, "string"), **{LINE: "int64"})
    rest, found = wide(customers)
    assert rest.columns == ("customer_id", "age", LINE)
    rows = found.order_by("channel").to_pandas()
    assert rows.drop(columns="source").to_numpy().tolist() == [
        ["a", "email", "yes", "2024-01-01", 2],
        ["a", "sms", "no", "2024-02-01", 2],
    ]
    assert set(rows["source"]) == {"consent_email", "consent_sms"}


def test_customers_without_a_word_of_consent_stay_as_they_are():
    customers = table([("a", "2024-01-01")], customer_id="string", consent_date="string")
    rest, found = wide(customers)
    assert found is None
    assert rest is customers


def test_wide_consents_of_typed_columns_keep_their_days():
    customers = table([("a", True, EARLY)], customer_id="string", consent_email="boolean", consent_date="date")
    (row,) = wide(customers)[1].to_pandas().to_dict("records")
    assert (row["state"], pd.Timestamp(row["date"]).date()) == ("true", EARLY)


def test_suppression_is_set_aside_only_where_it_names_nobody():
    digest = "ab" * 32
    rows, said, faults = suppression(
        ("a", None, None),
        (None, digest.upper(), EARLY),
        ("b", "1234", LATE),
        (None, "1234", EARLY),
        (None, None, EARLY),
        (None, " Anna@Example.org ", EARLY),
    )
    assert list(rows["set_aside"].fillna("")) == ["", "", "", "no customer id", "no customer id", ""]
    assert rows["email_sha256"][1] == digest
    assert len(rows["email_sha256"][5]) == 64
    assert rows["date"].isna().sum() == 2
    assert "email_sha256 is not 64 hexadecimal digits: 2." in said
    assert "without a readable day in the time of the data, which count: 2." in said
    assert "Anna" not in said
    assert faults == []


def test_suppression_may_have_one_column_alone():
    rows = ruled("suppression", [("a",), (None,)], customer_id="string")[0]
    assert list(rows["set_aside"].fillna("")) == ["", "no customer id"]
    rows = ruled("suppression", [("x@y.it",), ("z",)], email_sha256="string")[0]
    assert list(rows["set_aside"].fillna("")) == ["", "no customer id"]


def test_returns_and_repeated_lines_are_handled_as_declared():
    lines = [("a", 5, False), ("a", -5, False), ("b", 5, True), ("b", -5, True)]

    def reasons(**policies):
        rows = transactions(*lines, **policies)
        assert REPEATS not in rows
        return list(rows["set_aside"].fillna(""))

    assert reasons() == [""] * 4
    assert reasons(returns="set_aside") == ["", RETURNED, "", RETURNED]
    assert reasons(duplicates="drop") == ["", "", DUPLICATE, DUPLICATE]
    assert reasons(duplicates="drop", returns="set_aside") == ["", RETURNED, DUPLICATE, DUPLICATE]


def test_what_a_study_refuses_is_told_with_its_number_and_the_mend():
    counted = {DUPLICATE: 3, RETURNED: 4}
    assert refused(counted, params(), "orders.csv", {}) == []
    policies = params(duplicates="refuse", returns="refuse")
    first, second = refused(counted, policies, "orders.csv", {DUPLICATE: [7, 8, 9]})
    said = "orders.csv: 3 lines repeat an earlier one exactly (line 7, 8, 9); mend the file, or declare data.duplicates"
    assert first.what.startswith(said)
    assert second.where == "files.transactions.amount"
    assert "4 lines have a negative amount; mend" in second.what
    assert refused({}, policies, "orders.csv", {}) == []


def test_odd_and_repeated_outcomes_are_kept_and_said():
    rows = [("a", "m", EARLY, r) for r in (1, 1, 0, 2, -1)]
    kinds = {"customer_id": "string", "campaign_id": "string", "date": "date", "response": "int64"}
    kept, said, _ = ruled("outcomes", rows, **kinds)
    assert kept["set_aside"].isna().all()
    assert "neither 0 nor 1, of which those above 0 count as answers: 2." in said
    assert "listed again on the same day, which count once: 1." in said


def test_outcomes_of_campaigns_that_nobody_was_in_and_before_the_contact_are_said():
    keys = {"customer_id": "string", "campaign_id": "string"}
    contacts = table([("a", "m", EARLY), ("b", "m", LATE)], **keys, sent_at="date")
    outcomes = table([("a", "m", EARLY), ("b", "m", EARLY), ("b", "other", LATE)], **keys, date="date")
    bought = table([("a",), ("b",)], customer_id="string")
    assert [str(said) for said in across({"transactions": bought, "contacts": contacts, "outcomes": outcomes})] == [
        "Outcomes of campaigns that contacts do not know, which no cycle reads: 1.",
        "Outcomes dated before the campaign contacted their customer: 1.",
    ]


def test_a_line_that_is_no_row_counts_against_whoever_it_names():
    kinds = {"customer_id": "string", "channel": "string", "state": "string", "date": "date"}
    tables = {
        "transactions": table([(c,) for c in "abc"], customer_id="string"),
        "consents": table([("a", "email", "granted", EARLY)], **kinds),
        "suppression": table([("z", "ab" * 32)], customer_id="string", email_sha256="string"),
    }
    lines = [
        ("consents", '"a";email;withdrawn,,,'),
        ("consents", "q,email"),
        ("consents", "\u00a0\u200bc\u200e\0,email"),
        ("suppression", "b," + "CD" * 32 + ",x,y"),
        ("contacts", "c,d"),
    ]
    bad = pd.DataFrame(lines, columns=["table", "text"]).assign(customer_id="")
    added = never_lost(tables, bad)
    rows = added["consents"].filter(lambda t: t.date.isnull()).to_pandas()
    assert sorted(rows["customer_id"]) == ["a", "c"]
    assert set(rows["state"]) == {"unreadable"}
    assert set(added["suppression"].to_pandas()["customer_id"].dropna()) == {"z", "b"}
    assert set(added["suppression"].to_pandas()["email_sha256"].dropna()) == {"ab" * 32, "cd" * 32}
    assert never_lost(tables, bad.iloc[:0]) == tables
    alone = never_lost({"suppression": tables["suppression"]}, bad)["suppression"].to_pandas()
    assert alone["email_sha256"].tolist() == ["ab" * 32, "cd" * 32]


def test_customers_known_in_one_table_alone_are_said_but_never_fewer_than_five_counted():
    ids = [(f"c{i}",) for i in range(10)]
    tables = {
        "transactions": table(ids, customer_id="string"),
        "customers": table(ids[:3], customer_id="string"),
        "contacts": table([*ids[:9], ("x",)], customer_id="string"),
        "suppression": table([(None,), ("y",)], customer_id="string"),
        "products": table([("p",)], product_id="string"),
    }
    assert [str(s) for s in across(tables)] == [
        "Customers of transactions who are not in customers: 7.",
        "Fewer than 5 customers of contacts are not in customers.",
        "Fewer than 5 customers of suppression are not in customers.",
    ]
    assert across({"transactions": tables["transactions"]}) == ()
