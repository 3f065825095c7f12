import numpy as np
import pandas as pd
import pytest

from crmlab.clv.value.lifetime import LifetimeValue, sums_of
from crmlab.contract import Basis, Sentence


def ltv(p_alive=0.99, x=5, margin_share=0.3, n=100, **more):
    clv = np.arange(1.0, n + 1)
    table = pd.DataFrame(
        {
            "customer_id": [f"{i:04d}" for i in range(n)],
            "x": x,
            "p_alive": p_alive,
            "expected_orders": clv / 10,
            "order_value": 10.0,
            "clv": clv,
        }
    )
    draws = clv[:, None] * np.linspace(0.9, 1.1, 21)
    return LifetimeValue(table, Basis(n, "customers"), sums_of(draws), 52, 0.1, margin_share, **more)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_it_says_whether_customers_leave():
    assert "By the model hardly anyone has left" in said(ltv(p_alive=0.99))
    assert "Most repeat buyers are probably gone" in said(ltv(p_alive=0.2))
    assert "Some repeat buyers have left" in said(ltv(p_alive=np.repeat([0.3, 0.9], 50)))


def test_it_says_when_p_alive_is_an_assumption():
    assert "bought on one day only" not in said(ltv())
    one_timers = ltv(p_alive=np.repeat([1.0, 0.4], 50), x=np.repeat([0, 3], 50))
    assert "50% of customers bought on one day only" in said(one_timers)
    assert "Most repeat buyers are probably gone" in said(one_timers)
    assert "bought on one day only" not in said(ltv(p_alive=0.4, x=np.repeat([0, 3], 50)))


def test_a_base_that_never_came_back_is_described_without_repeat_buyers():
    page = said(ltv(p_alive=0.5, x=0))
    assert "nan" not in page
    assert "Nobody has bought again" in page


def test_it_repeats_what_the_spend_model_warned_of():
    warned = (Sentence("Frequent buyers place larger orders.", tone="warn"),)
    assert "larger orders" in said(ltv(strained=warned))
    assert "larger orders" not in said(ltv())


def test_it_counts_those_who_paid_nothing_and_hides_few():
    assert "12 repeat buyers paid nothing" in said(ltv(free=12))
    assert "A few repeat buyers paid nothing" in said(ltv(free=3))
    assert "paid nothing" not in said(ltv())


def test_it_warns_of_a_whale_without_saying_what_it_is_worth():
    assert "carry most of it" not in said(ltv())
    found = ltv()
    found.table.loc[7, "clv"] = 1e6
    assert "Fewer than five customers carry most of it" in said(found)


def test_it_says_where_the_margin_comes_from():
    assert "A margin of 30.0%" in said(ltv())
    assert "whole value counts as margin" in said(ltv(margin_share=1.0))


def test_the_page_shows_groups_never_customers():
    groups = ltv().shown()
    assert groups["customers"].tolist() == [10] * 10
    assert groups["clv"].tolist() == pytest.approx([95.5 - 10 * i for i in range(10)])
    assert groups["low"].tolist() == pytest.approx([0.91 * (95.5 - 10 * i) for i in range(10)])
    assert groups["share"].sum() == pytest.approx(1)
    assert ltv(n=23).shown()["customers"].min() >= 5
    assert len(ltv(n=3).shown()) == 1
    assert "0099" not in ltv()._repr_html_()


def test_the_total_carries_its_interval():
    total, low, high = ltv().total()
    assert (total, low, high) == pytest.approx((5050, 0.91 * 5050, 1.09 * 5050))
    assert "5,050" in said(ltv())


def test_groups_of_held_draws_are_summed_and_the_rest_left_out():
    sums = sums_of(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    assert sums(np.array([1, -1, 1])).tolist() == [[0, 0], [6, 8]]
