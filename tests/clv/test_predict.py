import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crmlab.clv.models.covariates import with_covariates
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import PurchaseModel
from crmlab.clv.models.registry import MODELS
from crmlab.clv.params import CLVParams
from crmlab.clv.value import predict
from crmlab.clv.value.predict import (
    distinct,
    expected,
    interval,
    kept,
    lifetime_value,
    no_value,
    parts,
    pieces,
    value_or_reason,
    weekly,
)
from crmlab.contract import GateFailed, Refused, Sentence

FAILURE = Sentence("{model} failed: R-hat of {parameter}", {"model": "BG/NBD", "parameter": "a"}, tone="bad")
CONTINUOUS = sorted(n for n, m in MODELS.items() if isinstance(m, PurchaseModel) and "T" in m.columns)


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


def test_the_table_is_sorted_and_sums_up_the_draws_of_each_customer(cdnow, published_fits):
    shuffled, params = cdnow.sample(frac=1, random_state=1), CLVParams(kept_draws=50)
    found = lifetime_value(shuffled, *published_fits, params=params)
    table = found.table
    assert table["customer_id"].is_monotonic_increasing
    draws = found.sums(np.arange(len(table)))
    assert draws.shape == (2357, 50)
    assert table["clv"].to_numpy() == pytest.approx(draws.mean(axis=1))
    for end, share in (("clv_low", 0.05), ("clv_high", 0.95)):
        assert table[end].to_numpy() == pytest.approx(np.quantile(draws, share, axis=1))
    for mean, name in (("p_alive", "p_alive"), ("expected_orders", "orders")):
        assert (table[f"{name}_low"] <= table[mean] + 1e-12).all()
        assert (table[mean] <= table[f"{name}_high"] + 1e-12).all()
    again = lifetime_value(cdnow, *published_fits, params=params)
    pd.testing.assert_frame_equal(table, again.table, check_exact=True)


def test_each_customer_has_what_the_models_say_of_it_alone(cdnow, published_fits):
    found = lifetime_value(cdnow, *published_fits, params=CLVParams(kept_draws=40)).table.set_index("customer_id")
    purchases, spend = (f.fitted for f in published_fits)
    timing, worth = (kept(f.draws, 40) for f in published_fits)
    discount = weekly(CLVParams())
    for i in (0, 3, 700, 2000):
        row = cdnow.iloc[i : i + 1]
        orders, discounted = purchases.expected_purchases(timing, row, 52, (0.0, discount))
        value = spend.expected_value(worth, row)
        mine = found.loc[row["customer_id"].iloc[0]]
        assert mine["expected_orders"] == pytest.approx(orders.mean())
        assert mine["clv"] == pytest.approx((discounted * value).mean())
        assert mine["p_alive"] == pytest.approx(purchases.p_alive(timing, row).mean())
        assert mine["order_value"] == pytest.approx(value.mean())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_working_on_distinct_rows_changes_nothing(name, cdnow, known_fit):
    chosen = MODELS[name]
    history = cdnow.head(250)
    rng = np.random.default_rng(1)
    theta = {k: rng.normal(mean, 0.1, (2, 5)) for k, (mean, _) in chosen.priors.items()}
    fitted = known_fit(name, **dict.fromkeys(chosen.parameters, 1.0))
    fitted = replace(fitted, draws=chosen.natural(theta, {}, NUMPY))
    spend = known_fit("gamma_gamma", p=6.0, q=4.0, gamma=15.0)
    _, found = parts(history, fitted, spend, number=10)
    for part, at in pieces(found):
        block = part.history.iloc[at]
        rows, back = distinct(part.timing, block)
        alive, orders = expected(chosen, part.purchase_draws, rows, 26.0, (0.0, 0.002))
        assert len(rows) < len(block)
        assert alive[back] == pytest.approx(chosen.p_alive(part.purchase_draws, block))
        direct = chosen.expected_purchases(part.purchase_draws, block, 26.0, (0.0, 0.002))
        assert orders[:, back] == pytest.approx(direct, rel=1e-6)


def test_customers_described_by_covariates_are_valued_by_their_own_rates(cdnow, known_fit, published, published_fits):
    few = cdnow.head(400).assign(member=np.arange(400) % 2 * 1.0)
    often = published["bgnbd"] | {"purchase_member": 0.8}
    described = with_covariates(MODELS["bgnbd"], purchase=("member",))
    fitted = replace(known_fit("bgnbd", **often), definition=described)
    params = CLVParams(kept_draws=20)
    found = lifetime_value(few, fitted, published_fits[1], params=params).table
    member = found["customer_id"].map(few.set_index("customer_id")["member"]).to_numpy() == 1
    scaled = published["bgnbd"] | {"alpha": 4.414 * np.exp(-0.8)}
    for inside, alone in ((~member, published["bgnbd"]), (member, scaled)):
        theirs = lifetime_value(few, known_fit("bgnbd", **alone), published_fits[1], params=params).table
        pd.testing.assert_frame_equal(found[inside], theirs[inside], rtol=1e-9)


def test_blocks_of_customers_do_not_change_their_values(cdnow, published_fits, monkeypatch):
    few, params = cdnow.head(300), CLVParams(kept_draws=20)
    whole = lifetime_value(few, *published_fits, params=params)
    groups = np.arange(300) % 4 - 1
    sums = whole.sums(groups)
    monkeypatch.setattr(predict, "CELLS", 20 * 17)
    divided = lifetime_value(few, *published_fits, params=params)
    pd.testing.assert_frame_equal(whole.table, divided.table, rtol=1e-9)
    assert sums.shape == (3, 20)
    assert divided.sums(groups) == pytest.approx(sums)


def test_memory_grows_with_customers_not_with_customers_times_draws(published_fits):
    params, peaks = CLVParams(kept_draws=80), []
    for n in (20_000, 40_000):
        rng = np.random.default_rng(1)
        T = rng.integers(7, 30, n).astype(float)
        known = pd.DataFrame({"customer_id": np.arange(n).astype(str), "T": T})
        history = MODELS["bgnbd"].simulate({"r": 0.3, "alpha": 4.0, "a": 0.8, "b": 2.4}, known, rng)
        history["t_x"] = np.minimum(np.ceil(history["t_x"]), T)
        history["z_bar"] = np.where(history["x"] > 0, 20.0, np.nan)
        tracemalloc.start()
        lifetime_value(history, *published_fits, params=params).shown()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.4 * (20_000 * 80 * 8)


def test_discounting_lowers_value_by_about_half_a_years_discount(cdnow, published_fits):
    few = cdnow.head(300)
    plain = lifetime_value(few, *published_fits, params=CLVParams(annual_discount_rate=0.0)).table["clv"].sum()
    discounted = lifetime_value(few, *published_fits, params=CLVParams(annual_discount_rate=0.2)).table["clv"].sum()
    assert 1 / 1.2 < discounted / plain < 1
    assert discounted / plain == pytest.approx(1.2**-0.46, rel=0.02)


def test_the_base_is_worth_what_simulated_customers_bring(known_fit):
    """Purchases simulated one by one, each discounted from the day of the analysis, against the sum of CLV."""
    truth, spend = {"r": 0.6, "alpha": 6.0, "a": 0.7, "b": 2.5}, {"p": 4.0, "q": 4.0, "gamma": 30.0}
    n, T, weeks, rng = 20_000, 30.0, 40, np.random.default_rng(5)
    rate = rng.gamma(truth["r"], 1 / truth["alpha"], n)
    leaving, nu = rng.beta(truth["a"], truth["b"], n), rng.gamma(spend["q"], 1 / spend["gamma"], n)
    x, t_x, spent, brought = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    clock, there = np.zeros(n), np.ones(n, dtype=bool)
    params = CLVParams(horizon_weeks=weeks, annual_discount_rate=0.3, margin_share=0.5)
    while there.any():
        clock += rng.exponential(size=n) / rate
        there &= clock <= T + weeks
        amount = rng.gamma(spend["p"], size=n) / nu
        before, after = there & (clock <= T), there & (clock > T)
        x[before] += 1
        t_x[before] = clock[before]
        spent[before] += amount[before]
        brought[after] += 0.5 * amount[after] * np.exp(-weekly(params) * (clock[after] - T))
        there &= rng.random(n) >= leaving
    history = pd.DataFrame({"customer_id": np.arange(n).astype(str), "x": x, "t_x": t_x, "T": T})
    history["z_bar"] = np.where(x > 0, spent / np.maximum(x, 1), np.nan)
    fits = known_fit("bgnbd", draws=10, **truth), known_fit("gamma_gamma", draws=10, **spend)
    found = lifetime_value(history, *fits, params=params)
    order = found.table["customer_id"].astype(int)
    error = brought[order] - found.table["clv"]
    for group in (x[order] == 0, (x[order] > 0) & (x[order] < 4), x[order] >= 4):
        mine = error[group]
        assert abs(mine.mean()) < 3.5 * mine.std() / np.sqrt(len(mine))


def test_fits_by_segment_value_each_customer_by_its_own(cdnow, known_fit, published):
    few = cdnow.head(200).copy()
    segment = pd.Series(np.where(np.arange(200) % 3 == 0, "a", "b"), index=few["customer_id"])
    spend = known_fit("gamma_gamma", **published["gamma_gamma"])
    fits = {
        "a": known_fit("bgnbd", spread=0.05, **published["bgnbd"]),
        "b": known_fit("bgnbd", spread=0.05, **published["bgnbd"] | {"r": 0.5}),
    }
    params = CLVParams(kept_draws=30)
    both = lifetime_value(few, fits, spend, params=params, segment=segment)
    alone = [
        lifetime_value(few[(segment == key).to_numpy()], fits[key], spend, params=params, segment=segment)
        for key in ("a", "b")
    ]
    apart = pd.concat([a.table for a in alone]).sort_values("customer_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(both.table, apart)
    total = sum(a.sums(np.zeros(len(a.table), dtype=int)) for a in alone)
    assert both.sums(np.zeros(200, dtype=int)) == pytest.approx(total)
    with pytest.raises(Refused, match="each customer's segment"):
        lifetime_value(few, fits, spend, params=params)
    with pytest.raises(Refused, match="67 customers are in no segment"):
        lifetime_value(few, {"b": fits["b"]}, spend, params=params, segment=segment)


def test_repeat_buyers_without_a_value_are_refused(cdnow, published_fits):
    broken = cdnow.assign(z_bar=np.where(cdnow["x"] > 5, np.nan, cdnow["z_bar"]))
    with pytest.raises(Refused, match="z_bar"):
        lifetime_value(broken, *published_fits, params=CLVParams())


def test_a_failed_fit_gives_no_value_and_says_which_statistic(cdnow, known_fit, published, published_fits):
    failed = known_fit("bgnbd", failures=(FAILURE,), **published["bgnbd"])
    with pytest.raises(GateFailed, match="R-hat of a"):
        lifetime_value(cdnow, failed, published_fits[1], params=CLVParams())
    shown = no_value(failed, published_fits[1])
    assert [s.tone for s in shown.sentences()] == ["bad", "bad"]
    assert "R-hat of a" in shown._repr_html_()
    assert len(shown.table) == 7
    assert value_or_reason(cdnow, failed, published_fits[1], params=CLVParams()).failures == (FAILURE,)


def test_kept_draws_are_spread_over_all_chains():
    draws = {"a": np.arange(2000.0).reshape(4, 500)}
    found = kept(draws, 200)["a"]
    assert len(found) == 200
    assert (found[0], found[-1]) == (0, 1999)
    assert np.bincount((found // 500).astype(int)).tolist() == [50, 50, 50, 50]
    assert len(kept(draws, 10_000)["a"]) == 2000


@settings(max_examples=50, deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 40)), elements=st.floats(-1e6, 1e6)))
def test_the_interval_is_that_of_quantiles(values):
    low, high = interval(values)
    assert pytest.approx(np.quantile(values, (0.05, 0.95), axis=1), abs=1e-9) == np.column_stack([low, high]).T


def test_the_total_has_an_interval(cdnow, published_fits):
    found = lifetime_value(cdnow, *published_fits, params=CLVParams())
    total, low, high = found.total()
    assert low < total < high
