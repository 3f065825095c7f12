from dataclasses import replace
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crmlab.clv import bgnbd
from crmlab.clv.params import CLVParams
from crmlab.clv.validate import bands, compare, rank_correlation, validate, withheld_weeks
from crmlab.contract import Basis


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_the_published_validation_is_reproduced(validated):
    """Actual 1,882, predicted 1,653, interval 1,516 to 1,846 (which misses), mean absolute error .786."""
    assert validated.weeks == 39
    assert validated.actual == 1882
    assert validated.predicted == pytest.approx(1653, abs=12)
    assert validated.low == pytest.approx(1516, abs=30)
    assert validated.high == pytest.approx(1846, abs=30)
    assert validated.mae == pytest.approx(0.786, abs=0.004)
    assert validated.table["before"].tolist() == ["0", "1", "2", "3", "4", "5", "6", "7+"]
    assert validated.table["customers"].sum() == 2357
    assert "the interval misses, the model predicted too few" in said(validated)
    weighted = (validated.table["predicted"] * validated.table["customers"]).sum()
    assert weighted == pytest.approx(validated.predicted)


def test_the_predictive_interval_holds_the_total_of_customers_who_follow_the_model(known_fit):
    truth = {"r": 0.8, "alpha": 3.0, "a": 0.7, "b": 2.0}
    fitted, inside = known_fit("bgnbd", **truth), 0
    for k in range(20):
        rng = np.random.default_rng(k)
        history = bgnbd.simulate(truth, pd.DataFrame({"T": np.full(300, 20.0)}), rng)
        actual = bgnbd.future_purchases(truth, history, 10, rng)[:, 0]
        found = compare(history, actual, fitted, weeks=10, params=CLVParams(), seed=k, basis=Basis(300, "customers"))
        inside += found.low <= found.actual <= found.high
    assert 15 <= inside <= 20


def test_it_says_the_opposite_when_the_numbers_do(validated):
    assert "holds the actual total" in said(replace(validated, actual=1700.0))
    assert "too many" in said(replace(validated, actual=1000.0))
    assert "no better than that rule" in said(replace(validated, naive_mae=0.5))
    assert "no better" not in said(replace(validated, naive_mae=0.9))


def orders_of(days, customers=80):
    rows = [
        {"customer_id": f"{i:03d}", "order_id": f"{i}-{d}", "date": date(2020, 1, 1) + timedelta(days=d), "amount": 1.0}
        for i in range(customers)
        for d in range(i % 7, days, 7 + i % 11)
    ]
    table = ibis.memtable(pd.DataFrame(rows))
    return table.mutate(date=table.date.cast("date"), amount=table.amount.cast("decimal(18, 4)"))


def test_a_short_history_has_a_sentence_and_no_table():
    found = validate(orders_of(60), as_of=date(2020, 2, 29), params=CLVParams(), seed=1)
    assert found.table.empty
    assert "too short" in said(found)
    assert "too short" in found._repr_html_()


def test_few_customers_have_a_sentence_and_no_table():
    found = validate(orders_of(300, customers=20), as_of=date(2020, 10, 26), params=CLVParams(), seed=1)
    assert found.table.empty
    assert "Too few customers" in said(found)


def test_a_fit_that_fails_its_gate_leaves_no_table_and_names_the_statistic():
    params = CLVParams(tune=50, draws=50, chains=2)
    found = validate(orders_of(300), as_of=date(2020, 10, 26), params=params, seed=1)
    assert found.table.empty
    assert "effective draws" in said(found)
    assert {s.tone for s in found.sentences()} == {"bad"}


def test_the_withheld_period_is_bounded_by_its_share_of_the_history():
    params = CLVParams(validation_weeks=13, validation_share=1 / 3)
    start = date(2017, 1, 1)
    assert withheld_weeks(start, date(2017, 12, 31), params=params) == 13
    assert withheld_weeks(start, date(2017, 5, 7), params=params) == 6
    assert withheld_weeks(start, date(2017, 3, 1), params=params) == 0


@given(arrays(np.int64, st.integers(5, 300), elements=st.integers(0, 40)))
def test_bands_hold_every_customer_once_and_at_least_five(x):
    edges = bands(x)
    counts = [((x >= low) & (x <= high)).sum() for low, high in edges]
    assert sum(counts) == len(x)
    assert min(counts) >= 5


def test_frequent_buyers_are_cut_into_eighths():
    edges = bands(np.arange(8, 88))
    assert len(edges) == 8
    assert edges[0][0] == 8
    assert edges[-1][1] == 87


def test_rank_correlation_shares_ranks_of_ties():
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([2, 4, 9])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 1, 2]), np.array([0, 0, 0])) != rank_correlation(
        np.array([1.0, 1, 2]), np.array([0, 1, 1])
    )
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3)))
