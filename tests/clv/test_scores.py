import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crmlab.clv.models.registry import MODELS
from crmlab.clv.validation.scores import covered, gini, log_predictive, rank_correlation, ranks

PARAMETERS = {
    "bgnbd": {"r": [0.8, 0.7], "alpha": [3.0, 2.5], "a": [0.7, 0.9], "b": [2.0, 2.2]},
    "mbgnbd": {"r": [0.8, 0.7], "alpha": [3.0, 2.5], "a": [0.7, 0.9], "b": [2.0, 2.2]},
    "mbg_cnbd_2": {"r": [1.8, 1.7], "alpha": [1.4, 1.5], "a": [0.6, 0.9], "b": [4.0, 4.2]},
    "mbg_cnbd_3": {"r": [1.8, 1.7], "alpha": [1.4, 1.5], "a": [0.6, 0.9], "b": [4.0, 4.2]},
    "pareto_nbd": {"r": [0.8, 0.7], "alpha": [3.0, 2.5], "s": [0.6, 0.8], "beta": [8.0, 9.0]},
}
HISTORY = pd.DataFrame(
    {
        "x": [0.0, 2, 5, 12],
        "t_x": [0.0, 10, 19.5, 15],
        "T": [20.0, 20, 20, 20],
        "litt": [0.0, 2 * np.log(5), 5 * np.log(3.9), 12 * np.log(1.2)],
    }
)
WEEKS = 8.0


def draws_of(name, number=1):
    return {k: np.repeat(np.array(v), number) for k, v in PARAMETERS[name].items()}


@pytest.mark.parametrize("name", PARAMETERS)
def test_predictive_probabilities_sum_to_one_and_have_the_closed_form_as_their_mean(name):
    model, counts = MODELS[name], np.arange(90)
    every = pd.concat([HISTORY] * len(counts), ignore_index=True)
    log_mass = log_predictive(model, draws_of(name), every, np.repeat(counts, len(HISTORY)), WEEKS)
    mass = np.exp(log_mass).reshape(len(counts), len(HISTORY))
    assert mass.sum(axis=0) == pytest.approx(np.ones(4), abs=1e-5)
    expected = model.expected_purchases(draws_of(name), HISTORY, WEEKS)[0].mean(axis=1)
    assert (mass * counts[:, None]).sum(axis=0) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", PARAMETERS)
def test_predictive_probabilities_are_those_of_the_draws(name):
    model, number = MODELS[name], 20_000
    drawn = model.future_purchases(draws_of(name, number), HISTORY, WEEKS, np.random.default_rng(1))
    for count in range(6):
        share = (drawn == count).mean(axis=1)
        mass = np.exp(log_predictive(model, draws_of(name), HISTORY, np.full(4, count), WEEKS))
        error = np.sqrt(mass * (1 - mass) / (2 * number))
        assert (np.abs(share - mass) < 4.5 * error + 1e-4).all(), (count, share, mass)


def test_equal_histories_have_equal_probabilities_in_any_order():
    model, counts = MODELS["bgnbd"], np.array([3, 0, 1, 0])
    found = log_predictive(model, draws_of("bgnbd"), HISTORY, counts, WEEKS)
    twice = pd.concat([HISTORY.iloc[::-1], HISTORY], ignore_index=True)
    again = log_predictive(model, draws_of("bgnbd"), twice, np.append(counts[::-1], counts), WEEKS)
    assert again.tolist() == [*found[::-1], *found]


def test_a_likelier_count_scores_higher():
    found = log_predictive(MODELS["bgnbd"], draws_of("bgnbd"), HISTORY.iloc[[0, 0]], np.array([0, 20]), WEEKS)
    assert found[0] > found[1] + 5


def test_rank_correlation_shares_ranks_of_ties():
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([2, 4, 9])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 1, 2]), np.array([0, 0, 0])) != rank_correlation(
        np.array([1.0, 1, 2]), np.array([0, 1, 1])
    )
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3)))


@given(arrays(np.int64, st.integers(3, 50), elements=st.integers(0, 9)).filter(lambda v: np.ptp(v) > 0))
def test_gini_is_one_for_the_actual_order_minus_one_for_its_reverse_and_none_for_no_order(actual):
    assert gini(actual.astype(float), actual) == pytest.approx(1)
    assert gini(-actual.astype(float), actual) == pytest.approx(-1)
    assert gini(np.ones(len(actual)), actual) == pytest.approx(0)


def test_gini_is_the_area_between_the_curve_of_found_purchases_and_the_diagonal():
    rng = np.random.default_rng(2)
    predicted, actual = rng.random(40), rng.integers(0, 7, 40)

    def area(order):
        found = np.append(0, np.cumsum(actual[order])) / actual.sum()
        return np.trapezoid(found, np.linspace(0, 1, 41)) - 0.5

    # among equal actual values every order finds as much
    expected = area(np.argsort(-predicted)) / area(np.argsort(-actual))
    assert gini(predicted, actual) == pytest.approx(expected)


def test_gini_of_equal_customers_is_not_a_number():
    assert np.isnan(gini(np.arange(4.0), np.zeros(4)))


@pytest.mark.parametrize("rate", [0.05, 0.7, 12.0])
def test_coverage_of_counts_is_the_nominal_one(rate):
    rng = np.random.default_rng(3)
    actual, drawn = rng.poisson(rate, 20_000), rng.poisson(rate, (20_000, 60))
    below, upto = ranks(drawn, actual)
    assert covered(below, upto, 0.5) == pytest.approx(0.5, abs=0.015)
    assert covered(below, upto, 0.9) == pytest.approx(0.9, abs=0.015)


def test_coverage_sees_draws_that_are_too_narrow_and_too_wide():
    rng = np.random.default_rng(4)
    actual = rng.negative_binomial(1, 1 / 6, 4_000)
    narrow = ranks(rng.poisson(5, (4_000, 60)), actual)
    wide = ranks(rng.negative_binomial(1, 1 / 6, (4_000, 60)), rng.poisson(5, 4_000))
    assert covered(*narrow, 0.9) < 0.6
    assert covered(*wide, 0.9) > 0.97
