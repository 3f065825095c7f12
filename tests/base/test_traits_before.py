"""Strictly before the contact: planted leaks are refused by name, what was given may be read."""

from datetime import date, timedelta

import ibis
import pandas as pd
import pytest

from crmlab.base.provenance import strangers
from crmlab.base.traits import Data, trait, traits
from crmlab.contract import Refused, mark

AS_OF = date(2024, 6, 30)
MEANING = mark("orders so far")


@pytest.fixture
def world(make):
    """Transactions and contacts of the past, and outcomes of which one lies after the day."""
    bought = make("customer_id date amount", [("a", AS_OF - timedelta(9), 5), ("b", AS_OF, 7)])
    sent = make("customer_id campaign_id arm sent_at", [("a", "k", "mailed", AS_OF), ("b", "k", "mailed", AS_OF)])
    answers = make(
        "customer_id campaign_id date response",
        [("a", "k", AS_OF + timedelta(20), 1), ("b", "j", AS_OF - timedelta(30), 1)],
    )
    return {"transactions": bought, "contacts": sent, "outcomes": answers}


def seen(world):
    answers = world["outcomes"]
    return {**world, "outcomes": answers.filter(answers.date <= AS_OF)}


def test_a_trait_of_the_outcome_is_refused_until_its_table_is_cut(world):
    planted = {}

    @trait("will_answer", kind="flag", source="outcomes", meaning=MEANING, fill=0, registry=planted)
    def _(data: Data):
        return data.tables["outcomes"].group_by("customer_id").agg(value=lambda o: o.response.max())

    with pytest.raises(Refused, match="would see the future"):
        traits(world, as_of=AS_OF, registry=planted)
    found = traits(seen(world), as_of=AS_OF, registry=planted)
    assert found.table["will_answer"].tolist() == [0, 1], "b answered before, a will"


def test_a_trait_that_reads_past_the_cut_is_refused_by_name(world):
    planted, uncut = {}, world["outcomes"]

    @trait("peeks", kind="flag", source="outcomes", meaning=MEANING, registry=planted)
    def _(data: Data):
        return uncut.group_by("customer_id").agg(value=uncut.response.max())

    @trait("peeks_too", kind="number", over="orders", meaning=MEANING, registry=planted)
    def _(orders, data: Data):
        return orders.count() + uncut.count().as_scalar()

    @trait("honest", kind="number", over="orders", meaning=MEANING, registry=planted)
    def _(orders, data: Data):
        return orders.count() + data.tables["outcomes"].count().as_scalar()

    with pytest.raises(Refused) as refused:
        traits(seen(world), as_of=AS_OF, registry=planted)
    said = str(refused.value)
    assert [f.where for f in refused.value.faults] == ["peeks", "peeks_too"], said
    assert "not given" in said
    assert "honest" not in said


def test_a_trait_of_values_brought_from_outside_is_refused(world):
    planted, answers = {}, pd.DataFrame({"customer_id": ["a"], "value": [1]})

    @trait("brought_in", kind="flag", source="outcomes", meaning=MEANING, fill=0, registry=planted)
    def _(data: Data):
        known = ibis.memtable(answers)
        return data.orders.join(known, "customer_id").select("customer_id", "value")

    with pytest.raises(Refused, match="brought_in"):
        traits(seen(world), as_of=AS_OF, registry=planted)


def test_what_was_given_may_be_joined_filtered_and_viewed(world):
    given = seen(world)
    answers, sent = given["outcomes"], given["contacts"]
    joined = sent.join(answers.view(), "customer_id").filter(lambda t: t.response > 0)
    assert strangers(joined, given.values()) == []
    assert strangers(joined, [sent]), "the outcomes were not given"
    assert strangers(world["outcomes"], [answers]), "the whole table is not the cut one"


def test_a_customer_returned_twice_is_an_error_of_the_trait(world):
    planted = {}

    @trait("twice", kind="number", source="transactions", meaning=MEANING, registry=planted)
    def _(data: Data):
        return data.orders.union(data.orders).select("customer_id", value="amount")

    with pytest.raises(ValueError, match="twice: a customer is returned twice"):
        traits(seen(world), as_of=AS_OF, registry=planted)


def test_a_relation_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="over 'baskets'; there are"):
        trait("t", kind="number", over="baskets", meaning=MEANING, registry={})
