from datetime import date

import ibis
import pandas as pd
import pytest

from crmlab.activation import eligibility as room
from crmlab.activation.eligibility import EligibilityParams, eligibility
from crmlab.contract import Refused

AS_OF = date(2024, 6, 30)
IDS = ["a", "b", "c", "d", "007"]


def table(rows, **kinds):
    frame = pd.DataFrame(rows, columns=list(kinds))
    return ibis.memtable(frame, schema=ibis.schema(kinds))


def consents(*rows):
    return table(rows, customer_id="string", channel="string", state="string", date="date")


def contacts(*rows):
    return table(rows, customer_id="string", campaign_id="string", arm="string", sent_at="date")


def suppression(*rows):
    return table(rows, customer_id="string", reason="string", date="date")


def orders(*rows):
    return table(rows, customer_id="string", order_id="string", date="date")


def ask(*, ids=IDS, params=None, mode="live", consent="recorded", **tables):
    everyone = consents(*[(i, "email", "granted", date(2024, 1, 1)) for i in ids])
    given = {"contacts": None, "consents": everyone, "suppression": None} | tables
    result = eligibility(
        ids, as_of=AS_OF, mode=mode, consent=consent, params=EligibilityParams(**(params or {})), **given
    )
    return result, result.table.set_index("customer_id")["reason"].to_dict()


def test_everybody_with_consent_and_no_bar_is_eligible_and_sorted_as_text():
    result, reason = ask()
    assert reason == dict.fromkeys(["007", "a", "b", "c", "d"], "eligible")
    assert list(result.table["customer_id"]) == ["007", "a", "b", "c", "d"]
    assert str(result.sentences()[0]) == "Every customer may be contacted (5)."


def test_suppression_beats_everything_even_without_a_date():
    _, reason = ask(suppression=suppression(("a", "complaint", date(2024, 5, 1)), ("b", "dead", None)))
    assert (reason["a"], reason["b"], reason["c"]) == ("suppressed", "suppressed", "eligible")


def test_suppression_is_the_reason_given_even_without_consent():
    _, reason = ask(consents=consents(), suppression=suppression(("a", "complaint", date(2024, 5, 1))))
    assert (reason["a"], reason["b"]) == ("suppressed", "no consent")


def test_unknown_consent_is_no_consent_and_is_said_in_red():
    result, reason = ask(consents=None)
    assert set(reason.values()) == {"no consent"}
    assert any("unknown consent is no consent" in str(s) and s.tone == "bad" for s in result.sentences())


def test_the_latest_dated_consent_wins():
    rows = [("a", "email", "granted", date(2024, 1, 1)), ("a", "email", "withdrawn", date(2024, 2, 1))]
    rows += [("b", "email", "withdrawn", date(2024, 1, 1)), ("b", "email", "granted", date(2024, 2, 1))]
    _, reason = ask(consents=consents(*rows))
    assert (reason["a"], reason["b"]) == ("no consent", "eligible")


def test_on_one_day_the_refusal_wins():
    rows = [("a", "email", "granted", date(2024, 1, 1)), ("a", "email", "withdrawn", date(2024, 1, 1))]
    _, reason = ask(consents=consents(*rows))
    assert reason["a"] == "no consent"


def test_consent_to_another_channel_is_none_and_a_withdrawal_from_all_counts():
    rows = [("a", "sms", "granted", date(2024, 1, 1)), ("b", "all", "granted", date(2024, 1, 1))]
    rows += [("c", "email", "granted", date(2024, 1, 1)), ("c", "all", "withdrawn", date(2024, 2, 1))]
    rows += [("d", " E-Mail ".replace("-", ""), " Granted", date(2024, 1, 1))]
    _, reason = ask(consents=consents(*rows))
    assert [reason[i] for i in "abcd"] == ["no consent", "no consent", "no consent", "eligible"]


def test_states_that_are_not_plain_permission_are_no_consent():
    rows = [(i, "email", s, date(2024, 1, 1)) for i, s in zip("abcd", ["pending", None, "no", "yes"], strict=True)]
    _, reason = ask(consents=consents(*rows))
    assert [reason[i] for i in "abcd"] == ["no consent", "no consent", "no consent", "eligible"]


def test_an_undated_refusal_counts_and_an_undated_permission_does_not():
    rows = [("a", "email", "granted", date(2024, 1, 1)), ("a", "email", "withdrawn", None)]
    rows += [("b", "email", "granted", None)]
    _, reason = ask(consents=consents(*rows))
    assert (reason["a"], reason["b"]) == ("no consent", "no consent")


def test_rows_after_as_of_are_not_seen():
    late = date(2024, 7, 1)
    rows = [
        ("a", "email", "granted", date(2024, 1, 1)),
        ("a", "email", "withdrawn", late),
        ("b", "email", "granted", late),
    ]
    _, reason = ask(consents=consents(*rows), suppression=suppression(("a", "complaint", late)))
    assert (reason["a"], reason["b"]) == ("eligible", "no consent")


def test_the_cap_counts_contacts_of_its_weeks_and_not_the_control_group():
    sent = [("a", "1", "mailed", date(2024, 6, 30)), ("a", "2", "mailed", date(2024, 6, 1))]
    sent += [("b", "1", "mailed", date(2024, 6, 30)), ("b", "2", "control", date(2024, 6, 1))]
    sent += [("c", "1", "mailed", date(2024, 6, 30)), ("c", "2", "mailed", date(2024, 6, 2))]
    sent += [("d", "1", "mailed", date(2024, 6, 30)), ("d", "1", "mailed", date(2024, 6, 30))]
    _, reason = ask(contacts=contacts(*sent), params={"cap": 2, "cap_weeks": 4})
    # the four weeks up to 30 June begin on 3 June
    assert [reason[i] for i in "abcd"] == ["eligible"] * 4
    _, reason = ask(contacts=contacts(*sent), params={"cap": 2, "cap_weeks": 5})
    assert [reason[i] for i in "abcd"] == ["contacted too often", "eligible", "contacted too often", "eligible"]


def test_orders_and_segments_bar_when_asked():
    placed = orders(("a", "1", date(2024, 6, 30)), ("b", "1", date(2024, 1, 1)), ("b", "2", date(2024, 6, 1)))
    segment = pd.Series({"a": "s1", "b": "s2", "c": "s2", "d": "s2", "007": "s2"})
    params = {"min_orders": 1, "active_within_days": 29, "exclude_segments": ["s1"]}
    _, reason = ask(orders=placed, membership=segment, params=params)
    assert (reason["a"], reason["b"], reason["c"]) == ("segment excluded", "no recent order", "too few orders")


def test_counts_by_reason_add_up_and_show_nobody():
    result, _ = ask(suppression=suppression(("a", "complaint", date(2024, 5, 1))))
    shown = result.shown()
    assert shown["customers"].sum() == 5
    assert "customer_id" not in shown
    assert "most of the others: suppressed" in str(result.sentences()[0])
    assert "&lt; 5" in result._repr_html_()


def test_consent_may_be_assumed_in_replay_alone_and_is_said():
    result, reason = ask(consents=None, mode="replay", consent="assumed")
    assert set(reason.values()) == {"eligible"}
    assert any("Consent is assumed" in str(s) and s.tone == "warn" for s in result.sentences())
    with pytest.raises(Refused, match="assumed is for mode: replay alone"):
        ask(consents=None, mode="live", consent="assumed")


def test_suppression_by_digest_alone_is_left_to_the_export_and_said():
    digests = table([("ab" * 32, "complaint", date(2024, 5, 1))], email_sha256="string", reason="string", date="date")
    result, reason = ask(suppression=digests)
    assert set(reason.values()) == {"eligible"}
    assert any("when a list is exported" in str(s) for s in result.sentences())


def test_a_parameter_without_its_table_is_refused():
    with pytest.raises(Refused, match="need the orders"):
        ask(params={"min_orders": 2})
    with pytest.raises(Refused, match=r"no segment 's9' .*there are s1"):
        ask(params={"exclude_segments": ["s9"]}, membership=pd.Series({"a": "s1"}))


def test_the_reason_given_is_the_first_in_the_order_stated():
    assert room.REASONS[0] == "suppressed"
    sent = contacts(("a", "1", "mailed", date(2024, 6, 30)))
    bars = {"suppression": suppression(("a", "dead", None)), "contacts": sent, "consents": consents()}
    placed, segment = orders(("b", "1", date(2020, 1, 1))), pd.Series(dict.fromkeys(IDS, "s1"))
    params = {"cap": 1, "min_orders": 1, "active_within_days": 30, "exclude_segments": ["s1"]}
    everyone = consents(*[(i, "email", "granted", date(2024, 1, 1)) for i in IDS])
    found = []
    for change in ({}, {"suppression": None}, {"consents": everyone}, {"contacts": contacts()}):
        bars |= change
        found.append(ask(orders=placed, membership=segment, params=params, **bars)[1]["a"])
    found.append(ask(orders=placed, params=params | {"exclude_segments": []})[1]["a"])
    found.append(ask(orders=placed, params=params | {"exclude_segments": []})[1]["b"])
    assert found == list(room.REASONS)
