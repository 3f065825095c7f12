import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import hyp2f1

from crmlab.clv.models import bgnbd

PAPER = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}


def customers(*rows):
    return pd.DataFrame(rows, columns=["x", "t_x", "T"], dtype=float)


def equation_10(p, x, t_x, T, t):
    r, alpha, a, b = p["r"], p["alpha"], p["a"], p["b"]
    grown = 1 - ((alpha + T) / (alpha + T + t)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, t / (alpha + T + t))
    left = a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x) if x else 0
    return (a + b + x - 1) / (a - 1) * grown / (1 + left)


def test_expected_purchases_of_the_papers_customer():
    found = bgnbd.expected_purchases(PAPER, customers((2, 30.43, 38.86)), 39)
    assert found[0, 0, 0] == pytest.approx(1.226, abs=5e-4)


@given(
    r=st.floats(0.05, 5),
    alpha=st.floats(0.3, 30),
    a=st.floats(0.01, 0.95) | st.floats(1.05, 4),
    b=st.floats(0.2, 20),
    x=st.integers(0, 40),
    when=st.floats(0.05, 1),
    T=st.floats(0.5, 100),
    t=st.floats(0.5, 104),
)
@settings(max_examples=60, deadline=None)
def test_expected_purchases_equal_equation_10(r, alpha, a, b, x, when, T, t):
    p = {"r": r, "alpha": alpha, "a": a, "b": b}
    assume(a + b + x > 1.05)
    t_x = when * T if x else 0.0
    found = bgnbd.expected_purchases(p, customers((x, t_x, T)), t)[0, 0, 0]
    assert found == pytest.approx(equation_10(p, x, t_x, T, t), rel=1e-7, abs=1e-9)


def test_a_equal_to_1_is_no_exception():
    at, beside = ({**PAPER, "a": a} for a in (1.0, 1.0 + 1e-7))
    one = customers((2, 30.43, 38.86), (0, 0, 10))
    assert bgnbd.expected_purchases(at, one, 39) == pytest.approx(bgnbd.expected_purchases(beside, one, 39), rel=1e-6)


def test_discounting_equals_numerical_integration_of_the_rate():
    one = customers((2, 30.43, 38.86))
    delta = np.log(1.1) / 52.18

    def rate(s, h=1e-3):
        return (equation_10(PAPER, 2, 30.43, 38.86, s + h) - equation_10(PAPER, 2, 30.43, 38.86, s)) / h

    expected = quad(lambda s: np.exp(-delta * s) * rate(s), 0, 52)[0]
    plain, discounted = bgnbd.expected_purchases(PAPER, one, 52, (0.0, delta))[:, 0, 0]
    assert discounted == pytest.approx(expected, rel=1e-4)
    assert plain / 1.1 < discounted < plain


def test_many_draws_and_customers_at_once_equal_each_alone():
    rows = customers((2, 30.43, 38.86), (0, 0, 38.86), (2, 10, 38.86), (29, 3.0, 3.1), (1, 0.1, 0.2))
    draws = {k: np.array([v, v * 1.3, v * 0.4]) for k, v in PAPER.items()}
    together = bgnbd.expected_purchases(draws, rows, 52)[0]
    assert together.shape == (5, 3)
    for i in range(5):
        for j in range(3):
            alone = bgnbd.expected_purchases({k: v[j] for k, v in draws.items()}, rows.iloc[[i]], 52)
            assert together[i, j] == pytest.approx(alone[0, 0, 0], rel=1e-9)


@given(x=st.integers(1, 60), T=st.floats(1, 100), first=st.floats(0.01, 1), second=st.floats(0.01, 1))
def test_p_alive_is_a_probability_and_grows_with_the_last_purchase(x, T, first, second):
    early, late = sorted((first * T, second * T))
    p = bgnbd.p_alive(PAPER, customers((x, early, T), (x, late, T)))[:, 0]
    assert 0 <= p[0] <= p[1] <= 1


def test_p_alive_by_hand_and_without_a_repeat_purchase():
    odds = PAPER["a"] / (PAPER["b"] + 1) * ((4.414 + 38.86) / (4.414 + 30.43)) ** 2.243
    found = bgnbd.p_alive(PAPER, customers((2, 30.43, 38.86), (0, 0, 38.86)))[:, 0]
    assert found == pytest.approx([1 / (1 + odds), 1])


def test_expectations_and_predictive_draws_agree_with_customers_simulated_event_by_event():
    truth = {"r": 0.8, "alpha": 3.0, "a": 0.7, "b": 2.0}
    rng = np.random.default_rng(11)
    n, T, ahead = 40_000, 20.0, 15.0
    rate, p = rng.gamma(truth["r"], 1 / truth["alpha"], n), rng.beta(truth["a"], truth["b"], n)
    x, t_x, later, clock = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    alive = np.ones(n, dtype=bool)
    while alive.any():
        clock += rng.exponential(size=n) / rate
        alive &= clock <= T + ahead
        now = alive & (clock <= T)
        x[now] += 1
        t_x[now] = clock[now]
        later[alive & (clock > T)] += 1
        alive &= rng.random(n) >= p
    history = pd.DataFrame({"x": x, "t_x": t_x, "T": T})
    expected = bgnbd.expected_purchases(truth, history, ahead)[0, :, 0]
    drawn = bgnbd.future_purchases(truth, history, ahead, rng)[:, 0]
    for low, high in ((0, 0), (1, 2), (3, 6), (7, 99)):
        group = (x >= low) & (x <= high)
        error = later[group].std() / np.sqrt(group.sum())
        assert abs(expected[group].mean() - later[group].mean()) < 4 * error
        assert abs(drawn[group].mean() - later[group].mean()) < 6 * error
        assert drawn[group].std() == pytest.approx(later[group].std(), rel=0.08)


def test_simulated_histories_are_accepted():
    rng = np.random.default_rng(1)
    simulated = bgnbd.simulate(PAPER, pd.DataFrame({"T": rng.uniform(5, 50, 500)}), rng)
    assert bgnbd.MODEL.faults(simulated) == []


@pytest.mark.parametrize(
    "parameters", [(0.1, 0.02, 20, 30), (0.2, 0.01, 3, 3), (2, 0.01, 0.05, 0.9), (1, 0.05, 0.5, 2)]
)
@pytest.mark.parametrize("ahead", [52.0, 520.0])
def test_horizons_far_beyond_what_was_seen_equal_equation_10(parameters, ahead):
    p = dict(zip(("r", "alpha", "a", "b"), parameters, strict=True))
    found = bgnbd.expected_purchases(p, customers((0, 0, 0)), ahead)[0, 0, 0]
    assert found == pytest.approx(equation_10(p, 0, 0.0, 0.0, ahead), rel=1e-6)


@pytest.mark.parametrize(("r", "x"), [(30.0, 5), (235.0, 5), (235.0, 900), (80.0, 4000)])
def test_customers_who_all_buy_at_one_rate_lose_no_digits(r, x):
    """₂F₁ as the integral over p that it stands for: E[(1 + pz)^−(r+x+1)], p ~ Beta(a, b+x)."""
    p, T, ahead = {"r": r, "alpha": r / 1.2, "a": 0.4, "b": 3.0}, 40.0, 52.0
    found = bgnbd.expected_purchases(p, customers((x, 39.0, T)), ahead)[0, 0, 0]
    scale, draws = p["alpha"] + T, stats.beta(p["a"], p["b"] + x)
    at, weights = np.polynomial.legendre.leggauss(4000)
    shares = draws.ppf((at + 1) / 2)

    def rate(s):
        return (r + x) / scale * (weights / 2 * (1 + shares * s / scale) ** -(r + x + 1)).sum()

    expected = quad(rate, 0, ahead, limit=200)[0] * bgnbd.p_alive(p, customers((x, 39.0, T)))[0, 0]
    assert found == pytest.approx(expected, rel=1e-5)
