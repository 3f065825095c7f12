"""MBG/NBD and MBG/CNBD-k against closed forms, quadrature over λ and p, and customers simulated event by event."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln, gammaincc, gammaln, hyp2f1
from scipy.stats import poisson

from crmlab.base.history import history
from crmlab.clv.fitting.fit import fit
from crmlab.clv.models import mbg_cnbd
from crmlab.clv.params import CLVParams

CDNOW = {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614}
REGULAR = {"r": 2.0, "alpha": 0.5, "a": 0.05, "b": 6.0}
EVERY_K = range(1, mbg_cnbd.MOST_REGULAR + 1)


def customers(*rows):
    return pd.DataFrame(rows, columns=["x", "t_x", "T"], dtype=float)


def over_rates(n, scale, of):
    """E[of(λ)] for λ ~ Gamma(n, scale), by quadrature in log λ."""

    def density(u):
        return np.exp(n * u - scale * np.exp(u) + n * np.log(scale) - gammaln(n))

    middle, width = np.log(n / scale), 1 / np.sqrt(n)
    ends = middle - 12 * width - 15 / min(n, 5), middle + min(12 * width, 6)
    return quad(lambda u: density(u) * of(np.exp(u)), *ends, points=[middle], limit=400, epsabs=0, epsrel=1e-9)[0]


def by_quadrature(k, p, x, t_x, T, weeks):
    """P(alive) and expected purchases, rate by rate: Poisson stages, a purchase at every k-th."""
    n, scale, gap, stay = p["r"] + k * x, p["alpha"] + t_x, T - t_x, p["b"] + x + 1
    j = np.arange(1, 4000)
    remain = np.exp(betaln(p["a"], stay + j - 1) - betaln(p["a"], stay))

    def bought(rate):
        most = int(poisson.isf(1e-14, rate * weeks) / k) + 3
        return sum(
            poisson.pmf(m, rate * gap) * (remain[:most] * poisson.sf(j[:most] * k - m - 1, rate * weeks)).sum()
            for m in range(k)
        )

    waited = over_rates(n, scale, lambda rate: gammaincc(k, rate * gap) if gap else 1.0)
    either = waited + p["a"] / (p["b"] + x)
    return waited / either, over_rates(n, scale, bought) / either


def by_event(k, p, n, until, rng):
    """Purchase times of customers, first at 0, those after leaving absent: a list of arrays."""
    rates, leaving = rng.gamma(p["r"], 1 / p["alpha"], n), rng.beta(p["a"], p["b"], n)
    found = []
    for rate, leave in zip(rates, leaving, strict=True):
        times, clock = [], 0.0
        while rng.random() >= leave:
            clock += rng.exponential(1 / rate, k).sum()
            if clock > until:
                break
            times.append(clock)
        found.append(np.array(times))
    return found


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
def test_at_k_1_the_expectation_is_the_closed_form_of_the_mbg_nbd(r, alpha, a, b, x, when, T, t):
    assume(a + b + x > 1.05)
    t_x = when * T if x else 0.0
    grown = 1 - ((alpha + T) / (alpha + T + t)) ** (r + x) * hyp2f1(r + x, b + x + 1, a + b + x, t / (alpha + T + t))
    left = a / (b + x) * ((alpha + T) / (alpha + t_x)) ** (r + x)
    expected = (a + b + x) / (a - 1) * grown / (1 + left)
    p = {"r": r, "alpha": alpha, "a": a, "b": b}
    found = mbg_cnbd.expected_purchases(1, p, customers((x, t_x, T)), t)[0, 0, 0]
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("k", EVERY_K)
@pytest.mark.parametrize(
    ("p", "row", "weeks"),
    [
        (CDNOW, (2, 30.43, 38.86), 39),
        (CDNOW, (0, 0, 38.86), 39),
        (CDNOW, (0, 0, 0), 52),
        (REGULAR, (60, 48, 51), 52),
        (REGULAR, (200, 48, 51), 20),
        (REGULAR | {"a": 1.0}, (20, 10, 51), 20),
    ],
)
def test_predictions_equal_quadrature_over_rates(k, p, row, weeks):
    alive, expected = by_quadrature(k, p, *row, weeks)
    one = customers(row)
    assert mbg_cnbd.p_alive(k, p, one)[0, 0] == pytest.approx(alive, rel=1e-8)
    assert mbg_cnbd.expected_purchases(k, p, one, weeks)[0, 0, 0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("k", EVERY_K)
@pytest.mark.parametrize(("times", "T"), [((), 20.0), ((4.0, 6.5, 11.0), 20.0), ((4.0, 6.5, 20.0), 20.0)])
def test_the_likelihood_is_that_of_the_purchase_times(k, times, T):
    p = {"r": 0.8, "alpha": 0.9, "a": 0.7, "b": 2.5}
    intervals = np.diff([0.0, *times])
    t_x = times[-1] if times else 0.0

    def of_times(rate):
        erlang = k * np.log(rate) + (k - 1) * np.log(intervals) - rate * intervals - gammaln(k)
        return np.exp(erlang.sum())

    def staying(count, waited):
        beta = lambda q: q ** (p["b"] - 1) * (1 - q) ** (p["a"] - 1)  # noqa: E731
        return quad(lambda q: beta(q) * q**count * (q * waited + 1 - q), 0, 1)[0] / quad(beta, 0, 1)[0]

    expected = over_rates(
        p["r"], p["alpha"], lambda rate: of_times(rate) * staying(len(times), gammaincc(k, rate * (T - t_x)))
    )
    row = {"x": len(times), "t_x": t_x, "T": T, "litt": np.log(intervals).sum()}
    data = {c: np.array([float(v)]) for c, v in row.items()}
    assert mbg_cnbd.log_likelihood(k, p, data)[0] == pytest.approx(np.log(expected), abs=1e-6)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_discounting_equals_numerical_integration(k):
    rows, delta = customers((2, 30.43, 38.86), (0, 0, 0), (12, 38, 38.86)), np.log(1.1) / 52.18
    plain, discounted = mbg_cnbd.expected_purchases(k, CDNOW, rows, 52, (0.0, delta))[:, :, 0]
    ends = np.linspace(0, 52, 521)[1:]
    by = np.array([mbg_cnbd.expected_purchases(k, CDNOW, rows, end)[0, :, 0] for end in ends])
    worth = np.exp(-delta * (ends - 0.05))[:, None]
    expected = (np.diff(by, axis=0, prepend=0) * worth).sum(axis=0)
    assert discounted == pytest.approx(expected, rel=1e-5)
    assert (plain / 1.1 < discounted).all()
    assert (discounted < plain).all()
    assert (mbg_cnbd.expected_purchases(k, CDNOW, rows, 0, (0.0, delta)) == 0).all()
    assert mbg_cnbd.expected_purchases(k, CDNOW, rows, 1e-6)[0, :, 0] == pytest.approx([0, 0, 0], abs=1e-5)


@pytest.mark.parametrize("k", [1, 3])
def test_many_draws_and_customers_at_once_equal_each_alone(k):
    rows = customers((2, 30.43, 38.86), (0, 0, 38.86), (2, 10, 38.86), (290, 38, 38.1), (1, 0.1, 0.2), (0, 0, 0))
    draws = {name: np.array([v, v * 1.3, v * 0.4]) for name, v in CDNOW.items()}
    together = mbg_cnbd.expected_purchases(k, draws, rows, 52, (0.0, 0.002))
    assert together.shape == (2, 6, 3)
    for i in range(6):
        for j in range(3):
            one = {name: v[j] for name, v in draws.items()}
            alone = mbg_cnbd.expected_purchases(k, one, rows.iloc[[i]], 52, (0.0, 0.002))[:, 0, 0]
            assert together[:, i, j] == pytest.approx(alone, rel=1e-9)


@given(
    k=st.sampled_from(EVERY_K),
    x=st.integers(1, 60),
    T=st.floats(1, 100),
    first=st.floats(0.01, 1),
    second=st.floats(0.01, 1),
)
def test_p_alive_is_a_probability_and_grows_with_the_last_purchase(k, x, T, first, second):
    early, late = sorted((first * T, second * T))
    p = mbg_cnbd.p_alive(k, CDNOW, customers((x, early, T), (x, late, T)))[:, 0]
    assert 0 <= p[0] <= p[1] + 1e-12 <= 1 + 2e-12


def test_a_regular_customers_silence_says_more():
    silent = customers((50, 48, 52))
    by_k = [mbg_cnbd.p_alive(k, REGULAR | {"alpha": 2 / k}, silent)[0, 0] for k in EVERY_K]
    assert all(np.diff(by_k) < 0)


@pytest.mark.parametrize("k", [1, 3])
def test_expectations_and_predictive_draws_agree_with_customers_simulated_event_by_event(k):
    p = {"r": 1.2, "alpha": 4.0 / k, "a": 0.6, "b": 2.5}
    rng = np.random.default_rng(11)
    T, ahead = 25.0, 15.0
    times = by_event(k, p, 12_000, T + ahead, rng)
    x = np.array([(t <= T).sum() for t in times])
    t_x = np.array([t[c - 1] if c else 0.0 for t, c in zip(times, x, strict=True)])
    later = np.array([len(t) for t in times]) - x
    past = pd.DataFrame({"x": x, "t_x": t_x, "T": T})
    expected = mbg_cnbd.expected_purchases(k, p, past, ahead)[0, :, 0]
    drawn = mbg_cnbd.future_purchases(k, p, past, ahead, rng)[:, 0]
    silent = T - t_x
    for group in (x == 0, (x <= 2) & (x > 0), (x > 2) & (silent < 3), (x > 2) & (silent > 6), x > 7):
        error = later[group].std() / np.sqrt(group.sum())
        assert abs(expected[group].mean() - later[group].mean()) < 4 * error
        assert abs(drawn[group].mean() - later[group].mean()) < 6 * error
        assert drawn[group].std() == pytest.approx(later[group].std(), rel=0.12)
    simulated = mbg_cnbd.simulate(k, p, pd.DataFrame({"T": np.full(12_000, T)}), rng)
    litt = np.array([np.log(np.diff(t[:c], prepend=0)).sum() for t, c in zip(times, x, strict=True)])
    for ours, theirs in ((simulated["x"], x), (simulated["t_x"], t_x), (simulated["litt"], litt)):
        assert abs(ours.mean() - theirs.mean()) < 4 * np.sqrt(2) * theirs.std() / np.sqrt(12_000)


def test_the_withheld_weeks_of_cdnow_are_predicted_as_published(cdnow, cdnow_orders):
    later = history(cdnow_orders, as_of=pd.Timestamp("1998-06-30").date())["x"] - cdnow["x"]
    expected = mbg_cnbd.expected_purchases(1, CDNOW, cdnow, 39)[0, :, 0]
    assert later.sum() == 1882
    assert expected.sum() == pytest.approx(1577, abs=2)
    assert np.abs(expected - later).mean() == pytest.approx(0.765, abs=5e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_evidence_finds_how_regular_customers_are(k):
    p = {"r": 1.2, "alpha": 4.0 / k, "a": 0.6, "b": 2.5}
    rng = np.random.default_rng(k)
    simulated = mbg_cnbd.simulate(k, p, pd.DataFrame({"T": rng.integers(70, 280, 800) / 7}), rng)
    found = fit(simulated, "mbg_cnbd_k", seed=1, name="regular", params=CLVParams())
    assert found.model == mbg_cnbd.MODELS[k - 1].name
    assert found.passed


def test_intervals_are_needed_where_purchases_are_regular_and_must_be_possible():
    sound = customers((0, 0, 30), (4, 24, 30)).assign(litt=[0.0, 4 * np.log(6)])
    for model in mbg_cnbd.MODELS:
        assert model.faults(sound) == []
    assert mbg_cnbd.faults(1, sound.drop(columns="litt")) == []
    (missing,) = mbg_cnbd.faults(2, sound.drop(columns="litt"))
    assert missing.where == "litt"
    for litt, what in (([0.0, 4 * np.log(42)], "equal intervals"), ([1.0, 0.0], "x = 0"), ([0.0, np.nan], "missing")):
        assert what in str(mbg_cnbd.faults(2, sound.assign(litt=litt))[0])
