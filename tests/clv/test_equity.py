from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import hyp2f1

from crmlab.base.opening import Opening
from crmlab.clv.company.equity import GONE, ONE, THERE, CustomerEquity, customer_equity
from crmlab.clv.models.registry import MODELS
from crmlab.clv.params import CLVParams
from crmlab.clv.value.lifetime import LifetimeValue, NoValue, sums_of
from crmlab.clv.value.newcomer import new_customer, newcomers
from crmlab.clv.value.predict import lifetime_value, parts
from crmlab.clv.value.predictive import predictive_value
from crmlab.contract import Basis, Sentence
from crmlab.plots import clv as plots

UNDISCOUNTED = CLVParams(horizon_weeks=39, annual_discount_rate=0.0, margin_share=0.4)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def base(x, p_alive, clv, new=float("nan")):
    n = len(clv)
    table = pd.DataFrame({"customer_id": [f"{i:03d}" for i in range(n)], "x": x, "p_alive": p_alive, "clv": clv})
    draws = np.asarray(clv, float)[:, None] * np.linspace(0.9, 1.1, 21)
    found = customer_equity(LifetimeValue(table, Basis(n, "customers"), sums_of(draws), 52, 0.1, 0.3))
    return replace(found, new_customer=new)


def test_a_new_customer_by_the_published_expectation(cdnow, known_fit, published):
    fits = [known_fit(m, **published[m]) for m in ("bgnbd", "gamma_gamma")]
    table = new_customer(cdnow, *fits, params=UNDISCOUNTED).table.set_index("key")
    r, alpha, a, b = published["bgnbd"].values()
    ratio = (alpha / (alpha + 39)) ** r * hyp2f1(r, b, a + b - 1, 39 / (alpha + 39))
    orders = (a + b - 1) / (a - 1) * (1 - ratio)  # Fader, Hardie & Lee 2005, eq. (9)
    mean = 6.25 * 15.44 / 2.74
    assert table.loc["repeat_orders", "mean"] == pytest.approx(orders, rel=1e-6)
    assert table.loc["order_value", "mean"] == pytest.approx(mean)
    assert table.loc["later", "mean"] == pytest.approx(0.4 * orders * mean)
    assert table.loc["first", "mean"] == pytest.approx(0.4 * mean)
    assert table.loc["ceiling", "mean"] == pytest.approx(0.4 * (1 + orders) * mean)


def test_a_new_customer_brings_what_simulated_newcomers_bring(known_fit):
    truth, rng = {"r": 0.8, "alpha": 5.0, "a": 0.7, "b": 2.5}, np.random.default_rng(2)
    come = MODELS["bgnbd"].simulate(truth, pd.DataFrame({"T": np.full(40_000, 26.0)}), rng)["x"]
    fits = known_fit("bgnbd", **truth), known_fit("gamma_gamma", p=6.0, q=4.0, gamma=15.0)
    history = pd.DataFrame({"customer_id": ["a"], "x": [3.0], "t_x": [9.0], "T": [10.0], "z_bar": [20.0]})
    table = new_customer(history, *fits, params=CLVParams(horizon_weeks=26)).table.set_index("key")
    assert abs(table.loc["repeat_orders", "mean"] - come.mean()) < 3.5 * come.std() / 200


def test_a_new_customer_is_as_frequent_as_the_base_and_not_as_seldom_as_one_without_a_repeat(known_fit):
    """Orders of the frequent are small: 8 / (1 + x) at delta = −1, of those who come 0, 1 and 3 times."""
    seen = {"x": [0.0, 1.0, 3.0], "t_x": [0.0, 5.0, 5.0], "z_bar": [np.nan, 4.0, 4.0]}
    history = pd.DataFrame({"customer_id": ["a", "b", "c"], "T": 10.0} | seen)
    timing = known_fit("bgnbd", r=0.8, alpha=5.0, a=0.7, b=2.5)
    spend = known_fit("gamma_gamma_frequency", p=2.0, q=3.0, gamma=8.0, delta=-1.0)
    table = new_customer(history, timing, spend, params=UNDISCOUNTED).table.set_index("key")["mean"]
    assert table["first"] == pytest.approx(0.4 * (8 + 8 / 2 + 8 / 4) / 3)
    assert table["order_value"] == pytest.approx((1 * 8 / 2 + 3 * 8 / 4) / 4)
    assert table["later"] == pytest.approx(0.4 * table["repeat_orders"] * table["order_value"])
    once = new_customer(history.head(1), timing, spend, params=UNDISCOUNTED).table.set_index("key")["mean"]
    assert once["order_value"] == pytest.approx(8.0)


def test_what_is_known_of_customers_is_that_of_the_base(cdnow, published_fits):
    history = cdnow.assign(member=np.arange(len(cdnow)) % 4 == 0)
    _, (part,) = parts(history, *published_fits, number=20)
    assert len(newcomers(part)[0]) == 1
    described = replace(part.timing, columns=(*part.timing.columns, "member"))
    rows, shares = newcomers(replace(part, timing=described))
    assert rows["member"].tolist() == [False, True]
    assert shares == pytest.approx([0.75, 0.25], abs=1e-3)
    assert (rows[["x", "t_x", "T"]] == 0).all(axis=None)


def test_segments_count_for_new_customers_by_their_share(cdnow, known_fit, published):
    segment = pd.Series(np.where(np.arange(len(cdnow)) < 1000, "a", "b"), index=cdnow["customer_id"])
    spend = known_fit("gamma_gamma", **published["gamma_gamma"])
    often = known_fit("bgnbd", **published["bgnbd"] | {"r": 0.9})
    fits = {"a": known_fit("bgnbd", **published["bgnbd"]), "b": often}
    mixed = new_customer(cdnow, fits, spend, params=UNDISCOUNTED, segment=segment).draws.mean()
    a, b = (new_customer(cdnow, f, spend, params=UNDISCOUNTED).draws.mean() for f in fits.values())
    assert mixed == pytest.approx((1000 * a + 1357 * b) / 2357)


def test_it_warns_where_the_first_order_is_most_of_a_new_customer(cdnow, published_fits):
    seldom = new_customer(cdnow, *published_fits, params=CLVParams(horizon_weeks=4))
    assert "The first order alone is" in said(seldom)
    often = new_customer(cdnow, *published_fits, params=CLVParams(horizon_weeks=400))
    assert "The first order alone is" not in said(often)
    assert "in the 400 weeks after the first order" in said(often)
    assert "first order" in often._repr_html_()


def test_the_base_is_the_sum_of_its_states(cdnow, published_fits):
    ltv = lifetime_value(cdnow, *published_fits, params=CLVParams())
    equity = customer_equity(ltv, new_customer(cdnow, *published_fits, params=CLVParams()))
    assert equity.table["state"].tolist() == [ONE, THERE, GONE]
    assert equity.table["customers"].tolist()[0] == (cdnow["x"] == 0).sum()
    assert equity.table["total"].sum() == pytest.approx(ltv.total()[0])
    assert np.quantile(equity.draws, (0.05, 0.95)) == pytest.approx(ltv.total()[1:])
    assert equity.table["share"].sum() == pytest.approx(1)
    assert equity.new_customer > 0


def test_it_says_who_carries_the_equity_and_how_many_new_customers_it_equals():
    known = base([0] * 10 + [3] * 10, 0.9, [1.0] * 10 + [9.0] * 10, new=2.0)
    assert "is 100 (90 % interval 91 to 109" in said(known)
    assert "as much as 50 newly acquired" in said(known)
    assert "are 50% of all and carry 10% of it" in said(known)
    unknown = base([0] * 10 + [3] * 10, 0.9, [9.0] * 10 + [1.0] * 10)
    assert "Most of it, 90%, is carried by customers who bought once" in said(unknown)
    assert "newly acquired" not in said(unknown)
    loyal = base([3] * 10, [0.9] * 5 + [0.1] * 5, [9.0] * 10)
    assert loyal.table["state"].tolist() == [THERE, GONE]
    assert "bought once" not in said(loyal)


def test_few_customers_of_a_state_are_hidden():
    page = base([0] * 3 + [3] * 10, 0.9, [77.0] * 3 + [9.0] * 10)._repr_html_()
    assert "bought once so far (" not in page
    assert "&lt; 5" in page
    assert "77.00" not in page


def test_a_failed_fit_gives_neither(cdnow, known_fit, published, published_fits):
    failure = Sentence("{model} failed", {"model": "BG/NBD"}, tone="bad")
    failed = known_fit("bgnbd", failures=(failure,), **published["bgnbd"])
    none = new_customer(cdnow, failed, published_fits[1], params=CLVParams())
    assert isinstance(none, NoValue)
    assert isinstance(customer_equity(none, none), NoValue)
    assert "given above" in str(none.sentences()[0])
    assert "failed" not in none._repr_html_()
    assert plots.customer_equity(none) is None


def test_the_picture_says_who_carries_most():
    ax = plots.customer_equity(base([0] * 10 + [3] * 10, 0.9, [1.0] * 10 + [9.0] * 10))
    assert [t.get_text() for t in ax.get_yticklabels()][-1] == "bought once so far"
    assert "carry most of it, 90%, and are 50% of all" in str(ax.alt)
    plt.close("all")


def test_futures_of_customers_have_the_clv_as_mean_and_hold_the_actual_nine_times_in_ten(known_fit):
    truth, spend = {"r": 1.2, "alpha": 5.0, "a": 0.7, "b": 4.5}, {"p": 3.0, "q": 4.0, "gamma": 30.0}
    n, T, weeks, rng = 3_000, 30.0, 26, np.random.default_rng(6)
    rate, leaving = rng.gamma(truth["r"], 1 / truth["alpha"], n), rng.beta(truth["a"], truth["b"], n)
    nu = rng.gamma(spend["q"], 1 / spend["gamma"], n)
    x, t_x, spent, brought, clock, there = *np.zeros((5, n)), np.ones(n, dtype=bool)
    while there.any():
        clock += rng.exponential(size=n) / rate
        there &= clock <= T + weeks
        amount, before = rng.gamma(spend["p"], size=n) / nu, clock <= T
        x[there & before] += 1
        t_x[there & before] = clock[there & before]
        spent[there & before] += amount[there & before]
        brought[there & ~before] += amount[there & ~before]
        there &= rng.random(n) >= leaving
    z_bar = np.where(x > 0, spent / np.maximum(x, 1), np.nan)
    history = pd.DataFrame({"customer_id": [f"{i:04d}" for i in range(n)], "x": x, "t_x": t_x, "T": T, "z_bar": z_bar})
    fits = known_fit("bgnbd", draws=200, **truth), known_fit("gamma_gamma", draws=200, **spend)
    params = CLVParams(horizon_weeks=weeks, annual_discount_rate=0.0, kept_draws=400)
    found = predictive_value(history, *fits, params=params, seed=1, name="test")
    table = found.table
    above, below = (brought > table["margin_high"]).mean(), (brought < table["margin_low"]).mean()
    assert above == pytest.approx(0.05, abs=0.015)
    assert below < 0.05
    assert (brought == 0).mean() == pytest.approx(table["none"].mean(), abs=0.03)
    clv = lifetime_value(history, *fits, params=params).table["clv"]
    assert table["clv"].to_numpy() == pytest.approx(clv)
    pd.testing.assert_frame_equal(
        table, predictive_value(history, *fits, params=params, seed=1, name="test").table, check_exact=True
    )
    shown = found.shown()
    assert shown["customers"].sum() == n
    assert shown["clv"].is_monotonic_decreasing
    assert "nine times in ten" in said(found)
    assert "0001" not in found._repr_html_()


def test_equity_is_a_result_with_a_headline():
    found = base([3] * 10, 0.9, [9.0] * 10)
    assert isinstance(found, CustomerEquity)
    assert "Customer equity" in str(found.headline())


def test_where_nobody_is_seen_to_come_the_value_of_a_newcomer_is_an_assumption(cdnow, published_fits):
    kind = {"start": None, "weeks": 8, "first_share": 0.9, "new_share": 0.0, "busy": 1.0}
    params = CLVParams(kept_draws=50)
    seen, unseen = (
        new_customer(cdnow, *published_fits, params=params, opening=Opening(k, **kind))
        for k in ("coming", "already there")
    )
    assert "nothing here can check" in str(unseen.sentences()[0])
    assert "nothing here can check" not in " ".join(str(s) for s in seen.sentences())
    value = lifetime_value(cdnow, *published_fits, params=params)
    assert "newly acquired" in " ".join(str(s) for s in customer_equity(value, seen).sentences())
    assert "newly acquired" not in " ".join(str(s) for s in customer_equity(value, unseen).sentences())
