"""Summary: hand-worked measures, known figures of real data, sentences that say the opposite."""

from datetime import date, timedelta

import numpy as np
import pytest

from crmlab.base.intervals import jackknife_se, mean_interval, ratio_interval
from crmlab.base.opening import opening
from crmlab.base.orders import orders, returns
from crmlab.base.summary import SummaryParams, summary

START = date(2023, 1, 2)


def base(make, histories):
    rows = [
        (f"c{i:03}", f"{i}-{n}", START + timedelta(d), a) for i, h in enumerate(histories) for n, (d, a) in enumerate(h)
    ]
    return make("customer_id order_id date amount", rows)


def steady(n=60, days=360, gap=12):
    """Everybody buys every `gap` days from the first days on."""
    return [[(d, 10) for d in range(i % gap, days, gap)] for i in range(n)]


def said(result):
    return " ".join(map(str, result.sentences()))


def test_hand_worked_measures(make):
    lines = base(make, [[(0, 10), (9, 30)], [(1, 0)], [(2, 100), (3, -20)]])
    found = summary(
        orders(lines), as_of=START + timedelta(9), returns=returns(lines), params=SummaryParams(active_days=8)
    )
    expected = {
        "customers": 3,
        "days": 10,
        "orders": 4,
        "free_orders": 1,
        "returns": 1,
        "revenue": 140,
        "orders_median": 1,
        "orders_mean": 4 / 3,
        "order_value": 35,
        "one_order": 2 / 3,
        "active": 2 / 3,  # the last orders are 0, 8 and 7 days ago
        "second_half": 1 / 3,
        "stayed": 1 / 3,
        "new": 0,
        "top_20": 100 * 0.6 / 140,  # a fifth of three customers is .6 of the best
    }
    for key, value in expected.items():
        assert np.isclose(found.value(key), value), key


def test_hardly_anyone_leaves_or_most_do_not_come_back(make):
    end = START + timedelta(359)
    assert "Hardly anyone leaves" in said(summary(orders(base(make, steady())), as_of=end))
    once = [[(i, 10)] for i in range(0, 360, 3)]
    gone = said(summary(orders(base(make, once)), as_of=end))
    assert "Most customers do not come back" in gone
    assert "Hardly anyone leaves" not in gone
    some = [h if i % 10 < 7 else h[:3] for i, h in enumerate(steady())]
    middling = said(summary(orders(base(make, some)), as_of=end))
    assert "Hardly" not in middling
    assert "Most customers do not" not in middling


@pytest.mark.parametrize(
    ("histories", "kind", "words"),
    [
        (steady(), "already there", "time observed, not age"),
        ([[(i % 80, 10), (i % 80 + 30 + i, 10)] for i in range(120)], "one cohort", "all came at the beginning"),
        ([[(3 * i, 10), (3 * i + 5, 10)] for i in range(118)], "coming", "seen to come"),
    ],
)
def test_how_the_data_open_is_told_apart(make, histories, kind, words):
    made, end = orders(base(make, histories)), START + timedelta(359)
    assert opening(made, as_of=end).kind == kind
    assert words in said(summary(made, as_of=end))


def test_too_short_a_time_is_said(make):
    found = summary(orders(base(make, [[(0, 1)], [(3, 1)]])), as_of=START + timedelta(20))
    assert found.opening.kind == "too short"
    assert "too short" in said(found)
    nobody = summary(orders(base(make, [[(0, 1)]])), as_of=START - timedelta(1))
    assert "Nobody has ordered" in said(nobody)
    assert nobody._repr_html_()


def test_the_interval_of_a_ratio_treats_customers_as_drawn():
    """Cochran's formula equals the bootstrap over customers to a tenth."""
    g = np.random.default_rng(1)
    n = g.poisson(5, 400) + 1
    spend = n * g.gamma(2, 10, 400)
    value, low, high = ratio_interval(spend, n)
    draws = [spend[i].sum() / n[i].sum() for i in g.integers(0, 400, (2000, 400))]
    assert np.isclose(value, spend.sum() / n.sum())
    assert np.isclose(high - low, np.diff(np.quantile(draws, [0.05, 0.95]))[0], rtol=0.1)
    assert mean_interval(np.array([3.0]))[0] == 3


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(size=40)
    left_out = np.array([np.delete(values, i).mean() for i in range(40)])
    assert np.isclose(jackknife_se(left_out), values.std(ddof=1) / np.sqrt(40))


def test_months_are_whole_only_when_over(make):
    found = summary(orders(base(make, steady())), as_of=START + timedelta(100)).by_month
    assert found["whole"].tolist() == [True, True, True, False]
    assert found["orders"].sum() == sum(d <= 100 for h in steady() for d, _ in h)
    assert found["new"].sum() == 60


def test_few_people_are_not_counted_out(make):
    shown = summary(orders(base(make, [[(0, 10)], [(100, 10)]])), as_of=START + timedelta(200)).shown()
    assert shown["value"].iloc[0] == "< 5"
    assert set(shown["value"].iloc[1:]) == {"·"}


def test_complete_journey_is_the_base_it_is_known_to_be(real):
    tables, made = real("complete_journey")
    found = summary(made, as_of=date(2017, 12, 31), returns=returns(tables["transactions"]))
    assert found.value("customers") == 2469
    assert found.value("orders") == 155_848
    assert abs(found.value("second_half") - 0.976) < 0.002
    assert found.opening.kind == "already there"
    assert "Hardly anyone leaves" in said(found)
    first = summary(made, as_of=date(2017, 5, 7))
    assert first.opening.kind == "already there"


@pytest.mark.parametrize(
    ("name", "end", "kind"),
    [("online_retail", date(2011, 12, 9), "coming"), ("cdnow", date(1998, 6, 30), "one cohort")],
)
def test_other_bases_open_otherwise(real, name, end, kind):
    found = summary(real(name)[1], as_of=end)
    assert found.opening.kind == kind
    assert "Hardly anyone leaves" not in said(found)
