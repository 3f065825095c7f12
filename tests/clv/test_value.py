import numpy as np
import pandas as pd
import pytest

from crmlab.clv.value import LifetimeValue
from crmlab.contract import Basis


def ltv(p_alive=0.99, x=5, correlation=0.0, margin_share=0.3, n=100):
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
    return LifetimeValue(table, Basis(n, "customers"), draws, correlation, 52, 0.1, margin_share)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_it_says_whether_customers_leave():
    assert "Hardly anyone leaves" in said(ltv(p_alive=0.99))
    assert "Most repeat buyers are probably gone" in said(ltv(p_alive=0.2))
    assert "Some repeat buyers have left" in said(ltv(p_alive=np.repeat([0.3, 0.9], 50)))


def test_it_says_when_p_alive_is_an_assumption():
    assert "bought on one day only" not in said(ltv())
    one_timers = ltv(p_alive=np.repeat([1.0, 0.4], 50), x=np.repeat([0, 3], 50))
    assert "50% of customers bought on one day only" in said(one_timers)
    assert "Most repeat buyers are probably gone" in said(one_timers)


def test_it_says_when_order_value_depends_on_frequency():
    assert "hardly depends" in said(ltv(correlation=0.05))
    assert "larger orders" in said(ltv(correlation=0.3))
    assert "smaller orders" in said(ltv(correlation=-0.3))
    assert "Too few" in said(ltv(correlation=float("nan")))


def test_it_says_where_the_margin_comes_from():
    assert "A margin of 30.0%" in said(ltv())
    assert "whole value counts as margin" in said(ltv(margin_share=1.0))


def test_the_page_shows_groups_never_customers():
    groups = ltv().shown()
    assert groups["customers"].tolist() == [10] * 10
    assert groups["clv"].tolist() == pytest.approx([95.5 - 10 * i for i in range(10)])
    assert groups["share"].sum() == pytest.approx(1)
    assert (groups["low"] < groups["clv"]).all()
    assert (groups["clv"] < groups["high"]).all()
    assert ltv(n=23).shown()["customers"].min() >= 5
    assert len(ltv(n=3).shown()) == 1
    assert "0099" not in ltv()._repr_html_()


def test_the_total_carries_its_interval():
    total, low, high = ltv().total()
    assert (total, low, high) == pytest.approx((5050, 0.91 * 5050, 1.09 * 5050))
    assert "5,050" in said(ltv())
