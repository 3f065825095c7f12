"""Who of a published assignment is delivered, who is held back and why."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.delivery import choose as room
from crmlab.delivery.choose import DELIVERED, REASONS, Day, Earlier, choose

ASSIGNED = pd.DataFrame({"customer_id": list("abcdxy"), "arm": [*["contacted"] * 4, "control", "control"]})
EVERYBODY = set("abcdxyz")


def people(**places):
    ids = sorted(EVERYBODY)
    place = [places.get(i, f"{i}@x.it") for i in ids]
    return pd.DataFrame({"place": place, "usable": [p != "" for p in place], "order": range(len(ids))}, index=ids)


def ask(day=None, earlier=None, assigned=ASSIGNED, **places):
    chosen = choose(assigned, people(**places), day or Day(EVERYBODY), earlier or Earlier())
    return chosen, chosen.reasons.set_index("customer_id")["reason"].to_dict()


def test_all_to_be_contacted_are_delivered_and_the_control_group_is_not():
    chosen, reasons = ask()
    assert (chosen.listed, chosen.added, chosen.removed, chosen.withheld) == (
        list("abcd"),
        list("abcd"),
        [],
        list("xy"),
    )
    assert set(reasons.values()) == {DELIVERED}
    assert "z" not in reasons


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (Day(EVERYBODY, erased={"a", "x"}, suppressed={"a", "x"}), room.ERASED),
        (Day(EVERYBODY - {"a", "x"}, suppressed={"a", "x"}), room.SUPPRESSED),
        (Day(EVERYBODY - {"a", "x"}), room.NO_CONSENT),
        (Day(EVERYBODY, capped={"a", "x"}), room.CAPPED),
    ],
)
def test_who_may_not_be_contacted_today_is_held_back_in_both_arms(day, reason):
    chosen, reasons = ask(day)
    assert (reasons["a"], reasons["x"]) == (reason, reason)
    assert (chosen.listed, chosen.withheld) == (list("bcd"), ["y"])
    assert chosen.held_back() == {reason: 1}


def test_an_address_that_cannot_be_used_is_held_back():
    assert ask(a="")[1]["a"] == room.NO_ADDRESS


@pytest.mark.parametrize("day", [Day(EVERYBODY, suppressed={"z"}), Day(EVERYBODY - {"z"}, objecting={"z"})])
def test_what_is_known_of_one_customer_counts_for_everybody_at_the_address(day):
    assert ask(day, a="one@x.it", z="one@x.it")[1]["a"] == room.SHARED
    assert ask(Day(EVERYBODY, erased={"z"}), a="one@x.it", z="one@x.it")[1]["a"] == room.SHARED


def test_an_address_of_somebody_in_the_control_group_is_never_delivered():
    chosen, reasons = ask(a="one@x.it", x="one@x.it")
    assert (reasons["a"], reasons["x"]) == (room.SHARED, room.SHARED)
    assert (chosen.listed, chosen.withheld) == (list("bcd"), ["y"])


def test_two_customers_at_one_address_are_sent_once_and_the_smaller_id_stands_for_it():
    chosen, reasons = ask(a="one@x.it", b="one@x.it")
    assert (reasons["a"], reasons["b"]) == (DELIVERED, room.TWICE)
    # Whoever was delivered first keeps standing for it, and if they leave nobody else takes their place.
    chosen, reasons = ask(earlier=Earlier(set("b"), set("b")), a="one@x.it", b="one@x.it")
    assert (reasons["a"], chosen.removed) == (room.TWICE, [])
    later = Day(EVERYBODY - {"b"})
    chosen, reasons = ask(later, Earlier(set("b"), set("b")), a="one@x.it", b="one@x.it")
    assert (reasons["a"], chosen.removed) == (room.TWICE, ["b"])


def test_who_was_capped_is_capped_at_every_id():
    assert ask(Day(EVERYBODY, capped={"z"}), a="one@x.it", z="one@x.it")[1]["a"] == room.CAPPED


def test_a_later_delivery_adds_only_the_new_and_removes_who_objected():
    before = Earlier(ledger=set("abcxy"), listed=set("abc"))
    chosen, reasons = ask(Day(EVERYBODY - {"b"}), before)
    assert (chosen.listed, chosen.added, chosen.removed, chosen.withheld) == (list("acd"), ["d"], ["b"], [])
    assert reasons["b"] == room.NO_CONSENT


def test_who_was_removed_or_delivered_by_another_channel_is_never_added_again():
    chosen, reasons = ask(earlier=Earlier(ledger=set("abcdxy"), listed=set("cd")))
    assert (chosen.listed, chosen.added, chosen.removed) == (list("cd"), [], [])
    assert (reasons["a"], reasons["b"]) == (room.EARLIER, room.EARLIER)


def test_a_contact_of_this_campaign_does_not_count_against_its_own_list():
    chosen, _ = ask(Day(EVERYBODY, capped={"a"}), Earlier(ledger={"a"}, listed={"a"}))
    assert chosen.removed == []


some = st.sets(st.sampled_from(sorted(EVERYBODY)))


@settings(max_examples=60, deadline=None)
@given(
    consenting=some,
    objecting=some,
    suppressed=some,
    erased=some,
    capped=some,
    ledger=some,
    listed=some,
    places=st.dictionaries(st.sampled_from(sorted(EVERYBODY)), st.sampled_from(["", "one@x.it", "two@x.it"])),
    order=st.permutations(range(len(ASSIGNED))),
)
def test_nobody_is_ever_delivered_who_may_not_be(
    consenting, objecting, suppressed, erased, capped, ledger, listed, places, order
):
    objecting -= consenting
    listed &= ledger & set("abcd")
    day, before = Day(consenting, objecting, suppressed, erased, capped), Earlier(ledger, listed)
    chosen, reasons = ask(day, before, ASSIGNED.iloc[list(order)], **places)
    assert ask(day, before, **places)[0].reasons.equals(chosen.reasons)
    known, on = people(**places)["place"], set(chosen.listed)
    assert on <= (set("abcd") & consenting) - suppressed - erased
    assert set(chosen.added) == on - listed
    assert not set(chosen.added) & (ledger | capped)
    assert set(chosen.removed) == listed - on
    reached = known[sorted(on)]
    assert reached.is_unique
    assert not set(reached) & {"", *known[list("xy")], *known[sorted(objecting | suppressed | erased)]}
    assert not set(known[chosen.added]) & set(known[sorted(ledger & set("abcd"))])
    assert set(reasons.values()) <= {DELIVERED, *REASONS}
    assert sum(chosen.held_back().values()) + len(on) == 4
