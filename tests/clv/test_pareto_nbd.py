import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1, hyperu

from crmlab.clv.models import pareto_nbd
from crmlab.clv.models.maths import NUMPY, pytensor_maths

PAPER = {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}
STANDARD = np.polynomial.legendre.leggauss(40)


def customers(*rows):
    return pd.DataFrame(rows, columns=["x", "t_x", "T"], dtype=float)


def arrays(history):
    return {c: history[c].to_numpy() for c in ("x", "t_x", "T")}


def likelihood(p, x, t_x, T):
    """The note's closed form: a difference of two hypergeometric functions."""
    r, alpha, s, beta = p["r"], p["alpha"], p["s"], p["beta"]
    c, near = r + s + x, max(alpha, beta)
    b = s + 1 if alpha >= beta else r + x

    def term(t):
        return hyp2f1(c, b, c + 1, abs(alpha - beta) / (near + t)) / (near + t) ** c

    within = 1 / ((alpha + T) ** (r + x) * (beta + T) ** s) + s / c * (term(t_x) - term(T))
    return np.exp(gammaln(r + x) - gammaln(r)) * alpha**r * beta**s * within


def integral(p, x, t_x, T):
    """The odds of having left by brute force: 40 nodes in each of many panels, equal in log time."""
    r, alpha, s, beta = p["r"], p["alpha"], p["s"], p["beta"]
    scale = min(alpha, beta) + t_x
    length = np.log1p((T - t_x) / scale)
    edges = np.linspace(0, length, int(np.clip(length * (r + s + x + 1), 60, 4000)))
    half = np.diff(edges)[:, None] / 2
    v = edges[:-1, None] + half * (1 + STANDARD[0])
    u = scale * np.expm1(v)
    height = v - (r + x) * np.log1p(u / (alpha + t_x)) - (s + 1) * np.log1p(u / (beta + t_x))
    return s / (beta + t_x) * scale * (half * STANDARD[1] * np.exp(height)).sum()


@given(
    r=st.floats(0.1, 4),
    alpha=st.floats(1, 30),
    s=st.floats(0.1, 4),
    beta=st.floats(1, 60),
    x=st.integers(0, 12),
    when=st.floats(0.05, 1),
    T=st.floats(4, 80),
)
@settings(max_examples=100, deadline=None)
def test_the_likelihood_is_the_notes_with_hypergeometric_functions(r, alpha, s, beta, x, when, T):
    p = {"r": r, "alpha": alpha, "s": s, "beta": beta}
    t_x = when * T if x else 0.0
    found = pareto_nbd.log_likelihood(p, arrays(customers((x, t_x, T))))[0]
    assert found == pytest.approx(np.log(likelihood(p, x, t_x, T)), rel=1e-9, abs=1e-9)


def quadrature(p, x, when, T):
    """The integral by the model's nodes, and by brute force."""
    t_x = min(max(1 / 7, when * T), T * (1 - 1e-9)) if x else 0.0
    odds = pareto_nbd.log_odds_of_having_left(p, arrays(customers((x, t_x, T))))[0]
    buying, leaving = np.log1p((T - t_x) / (p["alpha"] + t_x)), np.log1p((T - t_x) / (p["beta"] + t_x))
    return np.exp(odds - (p["r"] + x) * buying - p["s"] * leaving), integral(p, x, t_x, T)


purchases, share, weeks = st.integers(0, 400), st.floats(0, 1 - 1e-9), st.floats(0.2, 520)


@given(
    r=st.floats(0.1, 6),
    alpha=st.floats(0.3, 300),
    s=st.floats(0.1, 6),
    beta=st.floats(0.3, 300),
    x=purchases,
    when=share,
    T=weeks,
)
@settings(max_examples=200, deadline=None)
def test_the_quadrature_is_within_1e_8(r, alpha, s, beta, x, when, T):
    found, expected = quadrature({"r": r, "alpha": alpha, "s": s, "beta": beta}, x, when, T)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-290)


@given(coordinates=st.tuples(*[st.floats(-2, 2)] * 4), x=purchases, when=share, T=weeks)
@settings(max_examples=200, deadline=None)
def test_the_quadrature_is_within_1e_4_two_standard_deviations_out_in_every_prior(coordinates, x, when, T):
    priors = pareto_nbd.MODEL.priors
    theta = {k: mean + z * sd for (k, (mean, sd)), z in zip(priors.items(), coordinates, strict=True)}
    found, expected = quadrature(pareto_nbd.natural(theta, {}, NUMPY), x, when, T)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-290)


def test_whoever_bought_on_the_last_day_is_alive_and_the_gradient_is_finite():
    import pytensor
    import pytensor.tensor as pt

    last_day = customers((3, 20, 20), (0, 0, 0))
    assert pareto_nbd.p_alive(PAPER, last_day) == pytest.approx(np.ones((2, 1)))
    p = {k: pt.dscalar(k) for k in PAPER}
    total = pareto_nbd.log_likelihood(
        p, {k: pt.as_tensor(v) for k, v in arrays(last_day).items()}, pytensor_maths()
    ).sum()
    slopes = pytensor.function([*p.values()], pytensor.grad(total, [*p.values()]))(*PAPER.values())
    assert np.isfinite(slopes).all()


@given(x=st.integers(1, 300), T=st.floats(1, 100), first=st.floats(0.01, 1), second=st.floats(0.01, 1))
@settings(deadline=None)
def test_p_alive_is_a_probability_and_grows_with_the_last_purchase(x, T, first, second):
    early, late = sorted((first * T, second * T))
    p = pareto_nbd.p_alive(PAPER, customers((x, early, T), (x, late, T)))[:, 0]
    assert 0 <= p[0] <= p[1] + 1e-12
    assert p[1] <= 1


def test_p_alive_is_the_alive_term_of_the_likelihood():
    for x, t_x, T in ((2, 30.43, 38.86), (0, 0, 38.86), (7, 3.0, 30.0)):
        r, alpha, s, beta = PAPER.values()
        alive = np.exp(gammaln(r + x) - gammaln(r)) * alpha**r * beta**s / ((alpha + T) ** (r + x) * (beta + T) ** s)
        found = pareto_nbd.p_alive(PAPER, customers((x, t_x, T)))[0, 0]
        assert found == pytest.approx(alive / likelihood(PAPER, x, t_x, T), rel=1e-8)


def conditional(p, x, t_x, T, t):
    """Eq. (41) of the note."""
    r, alpha, s, beta = p["r"], p["alpha"], p["s"], p["beta"]
    alive = pareto_nbd.p_alive(p, customers((x, t_x, T)))[0, 0]
    grown = 1 - ((beta + T) / (beta + T + t)) ** (s - 1)
    return (r + x) * (beta + T) / ((alpha + T) * (s - 1)) * grown * alive


@given(s=st.floats(0.05, 0.95) | st.floats(1.05, 5), x=st.integers(0, 40), t=st.floats(0.5, 520))
@settings(deadline=None)
def test_expected_purchases_equal_equation_41(s, x, t):
    p = {**PAPER, "s": s}
    t_x = 25.0 if x else 0.0
    found = pareto_nbd.expected_purchases(p, customers((x, t_x, 39.0)), t)[0, 0, 0]
    assert found == pytest.approx(conditional(p, x, t_x, 39.0, t), rel=1e-9)


def test_s_equal_to_1_is_no_exception():
    at, beside = ({**PAPER, "s": s} for s in (1.0, 1.0 + 1e-7))
    one = customers((2, 30.43, 38.86), (0, 0, 10))
    found = pareto_nbd.expected_purchases(at, one, 39)
    assert found == pytest.approx(pareto_nbd.expected_purchases(beside, one, 39), rel=1e-6)


def test_discounting_equals_numerical_integration_of_the_rate():
    r, alpha, s, beta = PAPER.values()
    delta = np.log(1.1) / 52.18
    one = customers((2, 30.43, 38.86))
    rate = (r + 2) / (alpha + 38.86) * pareto_nbd.p_alive(PAPER, one)[0, 0]
    expected = quad(lambda v: rate * np.exp(-delta * v) * ((beta + 38.86) / (beta + 38.86 + v)) ** s, 0, 104)[0]
    plain, discounted = pareto_nbd.expected_purchases(PAPER, one, 104, (0.0, delta))[:, 0, 0]
    assert discounted == pytest.approx(expected, rel=1e-9)
    assert plain == pytest.approx(pareto_nbd.expected_purchases(PAPER, one, 104, (1e-15,))[0, 0, 0], rel=1e-9)


def test_a_long_horizon_reaches_the_published_dert():
    """DERT of Fader, Hardie & Lee (2005), RFM and CLV: Tricomi's function of δ(β+T), at 15 % a year compounded."""
    r, alpha, s, beta = PAPER.values()
    delta = np.log(1.15) / 52
    for x, t_x, T in ((0, 0, 77.86), (7, 35.0, 77.86), (2, 70.0, 77.86)):
        top = alpha**r * beta**s * delta ** (s - 1) * np.exp(gammaln(r + x + 1) - gammaln(r))
        dert = top * hyperu(s, s, delta * (beta + T)) / ((alpha + T) ** (r + x + 1) * likelihood(PAPER, x, t_x, T))
        found = pareto_nbd.expected_purchases(PAPER, customers((x, t_x, T)), 20_000, (delta,))[0, 0, 0]
        assert found == pytest.approx(dert, rel=1e-6)


def test_individual_accuracy_on_the_published_holdout(cdnow, cdnow_orders):
    """Mean absolute error .7545 to .755 a customer and 1,665 purchases in all, at the published estimates."""
    days = cdnow_orders.filter(cdnow_orders["date"] > pd.Timestamp("1997-09-30").date())
    counts = days.select("customer_id", "date").distinct().to_pandas().groupby("customer_id").size()
    actual = counts.reindex(cdnow["customer_id"], fill_value=0).to_numpy()
    expected = pareto_nbd.expected_purchases(PAPER, cdnow, 39)[0, :, 0]
    assert np.abs(expected - actual).mean() == pytest.approx(0.7545, abs=5e-4)
    assert expected.sum() == pytest.approx(1665, abs=1.5)


def test_expectations_and_predictive_draws_agree_with_customers_simulated_event_by_event():
    truth = {"r": 0.8, "alpha": 3.0, "s": 1.2, "beta": 20.0}
    rng = np.random.default_rng(11)
    n, T, ahead = 40_000, 20.0, 15.0
    rate, leaving = rng.gamma(truth["r"], 1 / truth["alpha"], n), rng.gamma(truth["s"], 1 / truth["beta"], n)
    gone = rng.exponential(size=n) / leaving
    x, t_x, later, clock = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    while True:
        clock += rng.exponential(size=n) / rate
        buys = clock <= np.minimum(gone, T + ahead)
        if not buys.any():
            break
        now = buys & (clock <= T)
        x[now] += 1
        t_x[now] = clock[now]
        later[buys & (clock > T)] += 1
    history = customers(*zip(x, t_x, np.full(n, T), strict=True))
    alive = pareto_nbd.p_alive(truth, history)[:, 0]
    expected = pareto_nbd.expected_purchases(truth, history, ahead)[0, :, 0]
    drawn = pareto_nbd.future_purchases(truth, history, ahead, rng)[:, 0]
    for low, high in ((0, 0), (1, 2), (3, 6), (7, 99)):
        group = (x >= low) & (x <= high)
        error = later[group].std() / np.sqrt(group.sum())
        assert abs(expected[group].mean() - later[group].mean()) < 4 * error
        assert abs(drawn[group].mean() - later[group].mean()) < 6 * error
        assert drawn[group].std() == pytest.approx(later[group].std(), rel=0.08)
        assert abs(alive[group].mean() - (gone > T)[group].mean()) < 2 / np.sqrt(group.sum())
