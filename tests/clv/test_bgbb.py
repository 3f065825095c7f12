from itertools import product
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import beta as B
from scipy.special import gamma as G

from crmlab.clv.fitting.fit import fit, maximum_likelihood
from crmlab.clv.models import bgbb
from crmlab.clv.params import CLVParams
from crmlab.contract import Refused

# Fader, Hardie & Shang (2010): 11,104 donors of 1995, their gifts in 1996–2001; customers at each (x, t_x)
DONORS = {(0, 0): 3464, (1, 1): 1091, (1, 2): 277, (1, 3): 129, (1, 4): 78, (1, 5): 119, (1, 6): 129, (2, 2): 613}
DONORS |= {(2, 3): 255, (2, 4): 155, (2, 5): 173, (2, 6): 234, (3, 3): 322, (3, 4): 181, (3, 5): 225, (3, 6): 357}
DONORS |= {(4, 4): 240, (4, 5): 284, (4, 6): 512, (5, 5): 335, (5, 6): 728, (6, 6): 1203}
PAPER = {"alpha": 1.204, "beta": 0.750, "gamma": 0.657, "delta": 2.783}
YEAR = 365.25 / 7

shapes = st.floats(0.1, 8)
parameters = st.fixed_dictionaries({"alpha": shapes, "beta": shapes, "gamma": shapes, "delta": shapes})


def customers(*rows, period_weeks=YEAR):
    return pd.DataFrame(rows, columns=["x", "t_x", "n"], dtype=float).assign(period_weeks=period_weeks)


@pytest.fixture(scope="module")
def donors():
    rows = np.repeat([(*k, 6) for k in DONORS], list(DONORS.values()), axis=0)
    return customers(*rows.tolist())


def enumerated(p, x, t_x, n):
    """Likelihood as the sum over when the customer left."""
    alpha, beta, gamma, delta = (p[k] for k in ("alpha", "beta", "gamma", "delta"))
    left = [B(alpha + x, beta + t - x) * B(gamma + 1, delta + t) for t in range(t_x, n)]
    return (B(alpha + x, beta + n - x) * B(gamma, delta + n) + sum(left)) / (B(alpha, beta) * B(gamma, delta))


def test_published_estimates(donors):
    found = maximum_likelihood(donors, "bgbb")
    assert {k: round(v, 3) for k, v in found.items() if k in PAPER} == pytest.approx(PAPER, abs=1.1e-3)
    assert found["log_likelihood"] == pytest.approx(-33225.58, abs=5e-3)


def test_the_posterior_lies_around_the_published_estimate(donors):
    found = fit(donors, "bgbb", seed=1, name="full", params=CLVParams())
    assert found.passed
    assert found.method == "importance sampling"
    for row in found.table.to_dict("records"):
        assert abs(row["mean"] - PAPER[row["parameter"]]) < 0.5 * row["sd"]


def test_p_alive_in_2002_is_the_papers_table_6():
    found = bgbb.p_alive(PAPER, customers((0, 0, 6), (2, 4, 6), (6, 6, 6)))[:, 0]
    assert found.round(2).tolist() == [0.11, 0.59, 0.93]


def test_expected_purchases_are_those_of_the_r_package_btyd():
    """Its walkthrough: 10 opportunities ahead for a donor who never came back, and for one who gave 4 times of 5."""
    found = bgbb.expected_purchases(PAPER, customers((0, 0, 6), (4, 5, 6)), 10 * YEAR)[0, :, 0]
    assert found == pytest.approx([0.1302169, 3.627858], rel=2e-3)


@given(p=parameters, n=st.integers(0, 12), data=st.data())
@settings(deadline=None)
def test_the_likelihood_is_the_sum_over_when_the_customer_left(p, n, data):
    t_x = data.draw(st.integers(0, n))
    x = data.draw(st.integers(1, t_x)) if t_x else 0
    row = {k: np.array([float(v)]) for k, v in {"x": x, "t_x": t_x, "n": n}.items()}
    found = np.exp(bgbb.log_likelihood(p, row))
    assert found == pytest.approx(enumerated(p, x, t_x, n), rel=1e-8)


@given(p=parameters, n=st.integers(1, 9))
def test_the_probabilities_of_all_histories_add_up_to_1(p, n):
    histories = [(0, 0, n, 1), *((x, t, n, comb(t - 1, x - 1)) for t in range(1, n + 1) for x in range(1, t + 1))]
    x, t_x, ns, ways = (np.array(v, dtype=float) for v in zip(*histories, strict=True))
    found = np.exp(bgbb.log_likelihood(p, {"x": x, "t_x": t_x, "n": ns}))
    assert (ways * found).sum() == pytest.approx(1, rel=1e-9)


@given(p=parameters, seed=st.integers(0, 99), most=st.sampled_from([1, 6, 60, 400]))
@settings(max_examples=40, deadline=None)
def test_the_fast_sum_is_that_of_the_rows(p, seed, most):
    rng = np.random.default_rng(seed)
    n = rng.integers(0, most + 1, 30)
    t_x = rng.integers(0, n + 1)
    x = np.where(t_x > 0, rng.integers(1, np.maximum(t_x, 1) + 1), 0)
    data = {"x": x, "t_x": t_x, "n": n, "weight": rng.integers(1, 5, 30)}
    data = {k: v.astype(float) for k, v in data.items()}
    assert bgbb.fast(data)(p) == pytest.approx((data["weight"] * bgbb.log_likelihood(p, data)).sum(), rel=1e-10)


def test_parameters_may_differ_by_row():
    data = {k: np.array([2.0, 0.0, 5.0]) for k in ("x", "t_x")} | {"n": np.array([6.0, 6.0, 5.0])}
    each = {k: v * np.array([1.0, 0.7, 1.5]) for k, v in PAPER.items()}
    alone = [bgbb.log_likelihood({k: v[i] for k, v in each.items()}, {k: v[i : i + 1] for k, v in data.items()})
             for i in range(3)]  # fmt: skip
    assert bgbb.log_likelihood(each, data) == pytest.approx(np.concatenate(alone), rel=1e-12)


@given(p=parameters, x=st.integers(0, 8), silent=st.integers(0, 8), quiet=st.integers(0, 8), ahead=st.integers(1, 20))
def test_expected_purchases_equal_the_papers_closed_form(p, x, silent, quiet, ahead):
    t_x = x + quiet if x else 0
    n = t_x + silent
    alpha, beta, gamma, delta = (p[k] for k in ("alpha", "beta", "gamma", "delta"))
    if abs(gamma - 1) < 1e-3:
        gamma += 0.01
        p = p | {"gamma": gamma}
    ratio = [G(1 + delta + m) / G(gamma + delta + m) for m in (n, n + ahead)]
    paper = B(alpha + x + 1, beta + n - x) / B(alpha, beta) * delta / (gamma - 1) * G(gamma + delta) / G(1 + delta)
    paper *= (ratio[0] - ratio[1]) / enumerated(p, x, t_x, n)
    found = bgbb.expected_purchases(p, customers((x, t_x, n)), ahead * YEAR)[0, 0, 0]
    assert found == pytest.approx(paper, rel=1e-6, abs=1e-9)


def test_predictions_are_what_happens_to_simulated_customers():
    rng = np.random.default_rng(7)
    n, ahead, many = 5, 4, 300_000
    whole = bgbb.simulate(PAPER, customers(*[(0, 0, n + ahead)]).loc[np.zeros(many, dtype=int)], rng)
    p, theta = rng.beta(1.204, 0.75, many), rng.beta(0.657, 2.783, many)
    there = rng.geometric(theta) - 1
    taken = (np.arange(1, n + ahead + 1)[:, None] <= there) & (rng.random((n + ahead, many)) < p)
    assert whole["x"].mean() == pytest.approx(taken.sum(axis=0).mean(), rel=0.01)
    assert (whole["t_x"] == 9).mean() == pytest.approx(taken[-1].mean(), abs=0.004)
    x = taken[:n].sum(axis=0)
    t_x = (taken[:n] * np.arange(1, n + 1)[:, None]).max(axis=0)
    later, alive = taken[n:].sum(axis=0), there > n
    for a, b in ((0, 0), (1, 1), (2, 4), (3, 5), (5, 5)):
        same = (x == a) & (t_x == b)
        row = customers((a, b, n))
        error = 4 / np.sqrt(same.sum())
        assert bgbb.p_alive(PAPER, row)[0, 0] == pytest.approx(alive[same].mean(), abs=error / 2)
        expected = bgbb.expected_purchases(PAPER, row, ahead * YEAR)[0, 0, 0]
        assert expected == pytest.approx(later[same].mean(), abs=error * max(later[same].std(), 0.1))
        many_draws = {k: np.full(20_000, v) for k, v in PAPER.items()}
        drawn = bgbb.future_purchases(many_draws, row, ahead * YEAR, rng)[0]
        assert drawn.mean() == pytest.approx(expected, abs=0.05)
        assert (drawn == ahead).mean() == pytest.approx((later[same] == ahead).mean(), abs=error / 2 + 0.01)


def test_a_horizon_holds_the_nearest_whole_number_of_opportunities():
    rows = customers((2, 3, 5), (0, 0, 0))
    one = bgbb.expected_purchases(PAPER, rows, YEAR)
    assert bgbb.expected_purchases(PAPER, rows, 52) == pytest.approx(one)
    assert (bgbb.expected_purchases(PAPER, rows, 20) == 0).all()
    assert one[0, 1, 0] == pytest.approx(1.204 / 1.954 * 2.783 / 3.44)
    later = bgbb.expected_purchases(PAPER, rows, 3 * YEAR, (0.0, np.log(1.1) / YEAR))
    yearly = np.diff([bgbb.expected_purchases(PAPER, rows, j * YEAR)[0] for j in range(4)], axis=0)
    assert later[1] == pytest.approx((yearly / 1.1 ** np.arange(1, 4)[:, None, None]).sum(axis=0))


def test_many_draws_and_customers_at_once_equal_each_alone():
    rows = customers((2, 4, 6), (0, 0, 6), (0, 0, 0), (30, 50, 120), (1, 1, 200))
    draws = {k: np.array([v, v * 1.3, v * 0.4]) for k, v in PAPER.items()}
    together = bgbb.expected_purchases(draws, rows, 4 * YEAR)[0]
    alive = bgbb.p_alive(draws, rows)
    apiece = {k: np.broadcast_to(v, (5, 3)) for k, v in draws.items()}
    assert bgbb.expected_purchases(apiece, rows, 4 * YEAR)[0] == pytest.approx(together)
    for i, j in product(range(5), range(3)):
        one = {k: v[j] for k, v in draws.items()}
        assert together[i, j] == pytest.approx(bgbb.expected_purchases(one, rows.iloc[[i]], 4 * YEAR)[0, 0, 0])
        assert alive[i, j] == pytest.approx(bgbb.p_alive(one, rows.iloc[[i]])[0, 0])


def test_every_fault_is_named_at_once():
    wrong = customers((3, 2, 6), (1, 7, 6), (0, 1, 6), (1.5, 2, 6))
    with pytest.raises(Refused) as refused:
        bgbb.MODEL.check(wrong.assign(period_weeks=[1.0, 1, 1, 2]))
    assert [f.where for f in refused.value.faults] == ["x", "t_x", "x", "t_x", "period_weeks"]
    assert "Nobody bought again" in str(bgbb.MODEL.too_little(customers((0, 0, 6)))[0])
    with pytest.raises(Refused, match="period_weeks"):
        bgbb.MODEL.check(customers((1, 1, 6)).drop(columns="period_weeks"))
    with pytest.raises(Refused, match="missing, infinite or negative"):
        bgbb.MODEL.check(customers((1, np.nan, 6)))
