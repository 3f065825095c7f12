from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.models import bgnbd, gamma_gamma
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.validate_spend import validate_spend
from crmlab.clv.validation.withheld import Withheld
from tests.clv.buyers import START

TIMING = {"r": 0.8, "alpha": 3.0, "a": 0.7, "b": 2.0}
WORTH = {"p": 4.0, "q": 5.0, "gamma": 30.0}


def said(result):
    return " ".join(str(s) for s in result.sentences())


@pytest.fixture(scope="module")
def followers():
    """Customers who follow BG/NBD and Gamma-Gamma, and what they then spent in ten weeks."""
    rng, n = np.random.default_rng(6), 4000
    history = bgnbd.simulate(TIMING, pd.DataFrame({"T": rng.uniform(5, 30, n)}), rng)
    history["customer_id"] = [f"{i:04d}" for i in range(n)]
    nu = rng.gamma(WORTH["q"], 1 / WORTH["gamma"], n)
    x = history["x"].to_numpy()
    history["z_bar"] = np.where(x > 0, rng.gamma(WORTH["p"] * np.maximum(x, 1)) / nu / np.maximum(x, 1), np.nan)
    actual = bgnbd.future_purchases(TIMING, history, 10, rng)[:, 0]
    spent = np.where(actual > 0, rng.gamma(WORTH["p"] * np.maximum(actual, 1)) / nu, 0)
    return Withheld(history, actual, spent, START, START, START, 10)


@pytest.fixture(scope="module")
def found(followers, known_fit):
    return validate_spend(followers, known_fit("bgnbd", **TIMING), params=CLVParams(), seed=1)


def test_intervals_of_spend_keep_their_word_for_customers_who_follow_the_models(found):
    assert found.covered_90 == pytest.approx(0.9, abs=0.015)
    assert found.covered_50 == pytest.approx(0.5, abs=0.025)
    assert found.low <= found.actual <= found.high
    assert found.mae < found.naive_mae
    assert found.gini > 0.5


def test_groups_are_ranked_by_prediction_and_hold_all_spend(found, followers):
    table = found.table
    assert table["predicted"].is_monotonic_decreasing
    assert (table["customers"] * table["actual"]).sum() == pytest.approx(followers.spent.sum())
    assert (table["customers"] * table["predicted"]).sum() == pytest.approx(found.predicted)
    bought = followers.actual > 0
    assert found.order_mean == pytest.approx((followers.spent[bought] / followers.actual[bought]).mean())


def test_the_value_of_a_purchase_is_shrunk_to_the_mean_and_so_missed_by_less(found, followers):
    history = followers.before
    naive = history["z_bar"].fillna(history["z_bar"].mean()).to_numpy()
    bought = followers.actual > 0
    order = followers.spent[bought] / followers.actual[bought]
    assert found.order_mae < np.abs(naive[bought] - order).mean()


def test_predicted_spend_is_purchases_times_value(followers, known_fit):
    """With known parameters: the sum over customers of the two closed forms."""
    params = CLVParams()
    timing = known_fit("bgnbd", **TIMING)
    found = validate_spend(followers, timing, params=params, seed=1)
    draws = {k: np.array([v]) for k, v in TIMING.items()}
    purchases = bgnbd.expected_purchases(draws, followers.before, 10)[0, :, 0]
    value = gamma_gamma.expected_value({k: np.array([v]) for k, v in WORTH.items()}, followers.before)[:, 0]
    assert found.predicted == pytest.approx((purchases * value).sum(), rel=0.03)


def test_it_says_the_opposite_when_the_numbers_do(found):
    assert "the interval holds it" in said(found)
    assert "the interval misses" in said(replace(found, actual=found.high + 1))
    assert "no better than" in said(replace(found, naive_mae=0.0))
    assert "Five customers made" not in said(found)
    assert "Five customers made 80%" in said(replace(found, largest=0.8))


def test_without_spend_to_fit_there_is_a_sentence(followers, known_fit):
    free = replace(followers, before=followers.before.assign(z_bar=0.0))
    found = validate_spend(free, known_fit("bgnbd", **TIMING), params=CLVParams(), seed=1)
    assert found.table.empty
    assert "Fewer than 10 customers bought again at a value above 0" in said(found)
    assert "Fewer than 10 customers" in found._repr_html_()


def test_a_history_without_values_is_said(followers, known_fit):
    bare = replace(followers, before=followers.before.assign(z_bar=np.nan))
    found = validate_spend(bare, known_fit("bgnbd", **TIMING), params=CLVParams(), seed=1)
    assert "Spend cannot be validated" in said(found)
