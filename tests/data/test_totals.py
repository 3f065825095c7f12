"""Totals of canonical tables against plain counting."""

from collections import defaultdict
from decimal import Decimal

import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.data.raw import hold
from crmlab.data.totals import Totals, campaigns, idle, people_of, totals
from crmlab.stage.inputs import connect

ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, 9), st.decimals("-9", "9", places=2)), min_size=1, max_size=30
)


def table(con, name, **columns):
    return hold(con, name, pa.table(columns))


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_totals_are_those_of_plain_counting(rows):
    con = connect()
    days = [pd.Timestamp(2025, 1, d).date() for _, d, _ in rows]
    amounts = pa.array([a for *_, a in rows], pa.decimal128(18, 4))
    bought = table(con, "t", customer_id=[c for c, *_ in rows], date=days, amount=amounts)
    seen = defaultdict(set)
    for customer, day, _ in rows:
        seen[customer].add(day)
    found = totals(people_of(bought, con))
    assert found == Totals(len(seen), sum((a for *_, a in rows), Decimal(0)), sum(len(d) > 1 for d in seen.values()))


def test_customers_who_never_bought_are_counted():
    con = connect()
    day = pd.Timestamp(2025, 1, 1).date()
    bought = table(
        con, "t", customer_id=["a", "a", "b"], date=[day] * 3, amount=pa.array([1] * 3, pa.decimal128(18, 4))
    )
    people = {
        "transactions": people_of(bought, con),
        "customers": people_of(table(con, "c", customer_id=["a", "c", "d"]), con),
    }
    assert idle(people) == 2
    assert idle({"transactions": people["transactions"]}) == 0


def test_a_table_without_customers_or_amounts_has_none():
    con = connect()
    offers = table(con, "o", offer_id=["x"])
    assert totals(people_of(offers, con)) == Totals()
    assert totals(people_of(table(con, "c", customer_id=["a", "a"]), con)) == Totals(customers=1)
    assert campaigns({}) == set()
    assert campaigns({"contacts": table(con, "k", campaign_id=["m", "m", "n"])}) == {"m", "n"}
