import numpy as np
import pandas as pd
import pytest

from crmlab.clv import bgnbd, predict
from crmlab.clv.params import CLVParams
from crmlab.clv.predict import kept, lifetime_value, no_value
from crmlab.contract import GateFailed, Sentence

FAILURE = Sentence("{model} failed: R-hat of {parameter}", {"model": "BG/NBD", "parameter": "a"}, tone="bad")


def test_value_by_hand_for_two_customers(known_fit, published):
    history = pd.DataFrame(
        {"customer_id": ["b", "a"], "x": [2.0, 0.0], "t_x": [30.43, 0], "T": 38.86, "z_bar": [50.0, np.nan]}
    )
    fits = (known_fit(m, **published[m]) for m in ("bgnbd", "gamma_gamma"))
    params = CLVParams(horizon_weeks=39, annual_discount_rate=0.0, margin_share=0.4)
    found = lifetime_value(history, *fits, params=params)
    assert found.table["customer_id"].tolist() == ["a", "b"]
    a, b = found.table.to_dict("records")
    assert b["expected_orders"] == pytest.approx(1.226, abs=5e-4)
    mean = 6.25 * 15.44 / 2.74
    assert a["order_value"] == pytest.approx(mean)
    assert b["order_value"] == pytest.approx((2.74 * mean + 12.5 * 50) / 15.24)
    assert b["clv"] == pytest.approx(0.4 * b["expected_orders"] * b["order_value"])
    assert (a["p_alive"], a["x"], b["x"]) == (1.0, 0, 2)


def test_the_table_is_sorted_bracketed_by_its_intervals_and_means_of_the_draws(cdnow, published_fits):
    shuffled = cdnow.sample(frac=1, random_state=1)
    found = lifetime_value(shuffled, *published_fits, params=CLVParams(kept_draws=50))
    table = found.table
    assert table["customer_id"].is_monotonic_increasing
    assert found.draws.shape == (2357, 50)
    for mean, name in (("p_alive", "p_alive"), ("expected_orders", "orders"), ("clv", "clv")):
        assert (table[f"{name}_low"] <= table[mean] + 1e-12).all()
        assert (table[mean] <= table[f"{name}_high"] + 1e-12).all()
    assert table["clv"].to_numpy() == pytest.approx(found.draws.mean(axis=1))
    again = lifetime_value(cdnow, *published_fits, params=CLVParams(kept_draws=50))
    pd.testing.assert_frame_equal(table, again.table, check_exact=True)


def test_blocks_of_customers_do_not_change_their_values(cdnow, published_fits, monkeypatch):
    few, params = cdnow.head(300), CLVParams(kept_draws=20)
    whole = lifetime_value(few, *published_fits, params=params)
    monkeypatch.setattr(predict, "BLOCK", 17)
    parts = lifetime_value(few, *published_fits, params=params)
    pd.testing.assert_frame_equal(whole.table, parts.table, rtol=1e-9)


def test_discounting_lowers_value_by_about_half_a_years_discount(cdnow, published_fits):
    few = cdnow.head(300)
    plain = lifetime_value(few, *published_fits, params=CLVParams(annual_discount_rate=0.0)).table["clv"].sum()
    discounted = lifetime_value(few, *published_fits, params=CLVParams(annual_discount_rate=0.2)).table["clv"].sum()
    assert 1 / 1.2 < discounted / plain < 1
    assert discounted / plain == pytest.approx(1.2**-0.46, rel=0.02)


def test_a_failed_fit_gives_no_value_and_says_which_statistic(cdnow, known_fit, published, published_fits):
    failed = known_fit("bgnbd", failures=(FAILURE,), **published["bgnbd"])
    with pytest.raises(GateFailed, match="R-hat of a"):
        lifetime_value(cdnow, failed, published_fits[1], params=CLVParams())
    shown = no_value(failed, published_fits[1])
    assert [s.tone for s in shown.sentences()] == ["bad", "bad"]
    assert "R-hat of a" in shown._repr_html_()
    assert len(shown.table) == 7


def test_kept_draws_are_spread_over_all_chains():
    draws = {"a": np.arange(2000.0).reshape(4, 500)}
    found = kept(draws, 200)["a"]
    assert len(found) == 200
    assert (found[0], found[-1]) == (0, 1999)
    assert np.bincount((found // 500).astype(int)).tolist() == [50, 50, 50, 50]
    assert len(kept(draws, 10_000)["a"]) == 2000


def test_posterior_of_the_total_is_wider_than_nothing(cdnow, published_fits):
    found = lifetime_value(cdnow, *published_fits, params=CLVParams())
    total, low, high = found.total()
    assert low < total < high
    one = bgnbd.expected_purchases(published_fits[0].draws, cdnow.head(5), 52)[0]
    assert found.table["expected_orders"].head(5).to_numpy() == pytest.approx(one.mean(axis=1), rel=0.01)
