"""RFM: ties share a score, scores are ordered, and an independent computation agrees."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmlab.base.orders import orders
from crmlab.base.rfm import RFMParams, rfm

AS_OF = date(2024, 2, 29)


def test_hand_worked_case(bought):
    # recency 59, 49, 39, 29, 28 days; frequency 1, 2, 2, 1, 1; spend 10, 20, 20, 10, 500
    table = bought(a=[1], b=[2, 11], c=[3, 21], d=[31], e=[(32, 500)])
    found = rfm(table, as_of=AS_OF).table.set_index("customer_id")
    assert found["recency_days"].tolist() == [59, 49, 39, 29, 28]
    assert found["r_score"].tolist() == [1, 2, 3, 4, 5]
    assert found["f_score"].tolist() == [1, 4, 4, 1, 1]  # three of five are worse than 2 orders: 1 + 5·3//5
    assert found["m_score"].tolist() == [1, 3, 3, 1, 5]
    assert found["cell"].tolist() == ["111", "243", "343", "411", "515"]


def test_all_equal_customers_have_one_score_and_the_page_says_so(bought):
    found = rfm(bought(a=[1], b=[1], c=[1]), as_of=AS_OF)
    assert set(found.table["cell"]) == {"111"}
    assert any("1 scores of 5" in str(s) for s in found.sentences())


def test_distinct_customers_say_nothing_of_missing_scores(bought):
    each = {f"c{i:02}": [(day, 10 + i) for day in range(1, i + 2)] for i in range(20)}
    assert not any("scores of" in str(s) for s in rfm(bought(**each), as_of=AS_OF).sentences())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30)), min_size=1, max_size=6), min_size=1),
    st.integers(2, 9),
)
def test_equal_customers_share_every_score_and_better_ones_never_score_lower(make, histories, scores):
    start = date(2024, 1, 1)
    lines = [
        (f"c{i:03}", f"{i}-{n}", start + timedelta(d), a) for i, h in enumerate(histories) for n, (d, a) in enumerate(h)
    ]
    table = rfm(
        orders(make("customer_id order_id date amount", lines)), as_of=AS_OF, params=RFMParams(scores=scores)
    ).table
    for value, score, sign in (
        ("recency_days", "r_score", -1),
        ("frequency", "f_score", 1),
        ("monetary", "m_score", 1),
    ):
        assert table[score].between(1, scores).all()
        assert (table.groupby(value)[score].nunique() == 1).all()
        assert (np.diff(table.assign(by=sign * table[value]).sort_values("by")[score]) >= 0).all()


def test_scores_do_not_depend_on_customer_ids(bought):
    histories = [[1], [1], [1, 2], [1, 2], [5, 9, 11], [3]]
    first = rfm(bought(**{f"a{i}": h for i, h in enumerate(histories)}), as_of=AS_OF).table
    second = rfm(bought(**{f"z{9 - i}": h for i, h in enumerate(histories)}), as_of=AS_OF).table
    assert first["cell"].tolist() == second["cell"].tolist()[::-1]


@pytest.mark.parametrize(
    ("name", "end"), [("online_retail", date(2011, 12, 9)), ("complete_journey", date(2017, 5, 7))]
)
def test_equals_an_independent_computation_in_pandas(real, name, end):
    tables, made = real(name)
    found = rfm(made, as_of=end)
    lines = tables["transactions"].select("customer_id", "order_id", "date", "amount")
    lines = lines.mutate(amount=lines.amount.cast("float64")).to_pandas()
    lines = lines[lines["date"].astype("datetime64[s]") <= np.datetime64(end)]
    each = lines.groupby("customer_id").agg(last=("date", "max"), n=("order_id", "nunique"), money=("amount", "sum"))
    each = each.sort_index()
    table = found.table.set_index("customer_id")
    recency = (np.datetime64(end) - each["last"].astype("datetime64[s]")).dt.days
    np.testing.assert_array_equal(table["recency_days"], recency)
    np.testing.assert_array_equal(table["frequency"], each["n"])
    np.testing.assert_allclose(table["monetary"], each["money"], rtol=1e-9)
    worse = each["n"].rank(method="min") - 1
    np.testing.assert_array_equal(table["f_score"], 1 + np.floor(5 * worse / len(each) + 1e-9))
    worse = recency.rank(method="min", ascending=False) - 1
    np.testing.assert_array_equal(table["r_score"], 1 + np.floor(5 * worse / len(each) + 1e-9))


def test_the_page_groups_customers_and_shares_add_up(bought):
    shown = rfm(bought(a=[1], b=[1], c=[3, 5]), as_of=AS_OF).shown()
    assert len(shown) == 2
    assert shown["customers"].sum() == 3
    assert np.isclose(shown["spend_share"].sum(), 1)
    assert "customer_id" not in shown
