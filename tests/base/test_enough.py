from datetime import date, timedelta

import ibis
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.base import enough as room
from crmlab.base.enough import enough
from crmlab.base.ipt import ipt
from crmlab.base.orders import orders, returns
from crmlab.base.retention import RetentionParams, retention
from crmlab.clv.chosen import fit_purchases, fit_spend, history_of
from crmlab.clv.models.gamma_gamma import FEWEST_REPEATING
from crmlab.clv.params import CLVParams
from crmlab.clv.validation import withheld

AS_OF, START = date(2024, 6, 30), date(2024, 1, 1)


def lines(*rows):
    kinds = {"customer_id": "string", "date": "date", "amount": "decimal(18, 4)"}
    return ibis.memtable(pd.DataFrame(rows, columns=list(kinds)), schema=ibis.schema(kinds))


def said(found):
    return " ".join(map(str, found.sentences()))


def day(n):
    return START + timedelta(days=n)


PLENTY = [(f"c{i % 60}", day((i * 7) % 170), 5 + i % 9) for i in range(400)]


def test_plenty_of_data_suffices_and_that_is_said():
    found = enough(lines(*PLENTY), as_of=AS_OF)
    assert found.table["possible"].all()
    assert [s.tone for s in found.sentences()] == ["good"]


def test_one_customer_is_told_without_counting_people():
    found = enough(lines(*[("a", day(7 * i), 10 + i) for i in range(20)]), as_of=AS_OF)
    assert "Fewer than 5 customers" in said(found)
    assert "Lifetime value cannot be computed" in said(found)
    assert found.shown().set_index("key")["here"]["people"] == "< 5"
    assert "no" in set(found.shown()["answer"])


def test_one_day_nobody_returning_equal_and_free_orders_are_each_told():
    one_day = enough(lines(*[(f"c{i}", START, 10) for i in range(50)]), as_of=AS_OF)
    assert "All orders are of one day, 2024-01-01" in said(one_day)
    nobody = enough(lines(*[(f"c{i}", day(i), i + 1) for i in range(50)]), as_of=AS_OF)
    assert "Nobody has ordered on two days" in said(nobody)
    equal = enough(lines(*[(c, d, 5) for c, d, _ in PLENTY]), as_of=AS_OF)
    assert "the same value" in said(equal)
    free = enough(lines(*[(c, d, 0) for c, d, _ in PLENTY]), as_of=AS_OF)
    assert "Every order is worth 0" in said(free)


def test_without_an_order_only_that_is_said_and_returns_are_named():
    later = enough(lines(("a", day(300), 5)), as_of=AS_OF)
    assert said(later) == "No order is dated on or before 2024-06-30: nothing can be computed."
    assert (later.table["found"] == 0).all()
    taken = lines(("a", day(3), -5))
    below = enough(orders(taken), as_of=AS_OF, returns=returns(taken))
    assert said(below).startswith("All amounts up to 2024-06-30 are returns")


def test_less_than_two_periods_and_too_few_weeks_are_told():
    quick = lines(*[(f"c{i % 60}", day((i * 7 + i // 60) % 20), 5 + i % 9) for i in range(300)])
    short = enough(quick, as_of=day(20))
    assert "Fewer than two periods are over" in said(short)
    assert "needs 12 weeks and 50 customers" in said(short)
    assert enough(quick, as_of=day(20), period="W").can("periods")


def test_the_least_amounts_are_those_of_the_figures_themselves():
    assert room.REPEATING == FEWEST_REPEATING
    assert room.COMPARED == withheld.FEWEST_CUSTOMERS
    weeks = next(w for w in range(200) if withheld.withheld_weeks(START, day(7 * w), params=CLVParams()))
    assert weeks == room.WEEKS


purchases = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 175), st.sampled_from([0, 5, 9, 20])), min_size=1, max_size=60
)


@settings(max_examples=12)
@given(purchases)
def test_what_is_called_impossible_is_really_not_there(rows):
    table = ibis.duckdb.connect().create_table("o", lines(*[(f"c{c}", day(d), a) for c, d, a in rows]), temp=True)
    bought = orders(table)
    found = enough(bought, as_of=AS_OF)
    rates = retention(bought, as_of=AS_OF, params=RetentionParams(period="M"))
    assert found.can("periods") == (not rates.table.empty)
    timing = ipt(bought, as_of=AS_OF)
    assert (int(found.table.set_index("key").loc["learnt", "found"]) == 0) == (timing.table["gaps"].iloc[0] == 0)
    known, how = history_of(bought, as_of=AS_OF, params=CLVParams()), CLVParams()
    if not found.can("learnt"):
        everyone = pd.Series("all", index=known["customer_id"])
        assert not fit_purchases(known, segment=everyone, seed=1, name="t", params=how).passed
    if not (found.can("worth") and found.can("values")):
        assert not fit_spend(known, seed=1, name="t", params=how).passed
