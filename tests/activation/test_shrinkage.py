import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln

from crmlab.activation.shrinkage import (
    design_effect,
    effect_draws,
    next_campaign,
    rate_draws,
    stratified_difference,
)
from crmlab.contract import generator

RATS_Y = [0] * 14 + [1] * 8 + [2] * 9 + [1] + [5, 2, 5, 3, 2, 7, 7, 3, 3, 2, 9, 10, 4, 4, 4, 4, 4, 4, 4, 10, 4, 4, 4]
RATS_Y += [5, 11, 12, 5, 5, 6, 5, 6, 6, 6, 6, 16, 15, 15, 9, 4]
RATS_N = [20, 20, 20, 20, 20, 20, 20, 19, 19, 19, 19, 18, 18, 17, 20, 20, 20, 20, 19, 19, 18, 18, 25, 24, 23, 20, 20]
RATS_N += [20, 20, 20, 20, 10, 49, 19, 46, 27, 17, 49, 47, 20, 20, 13, 48, 50, 20, 20, 20, 20, 20, 20, 20, 48, 19, 19]
RATS_N += [19, 22, 46, 49, 20, 20, 23, 19, 22, 20, 20, 20, 52, 46, 47, 24, 14]


def test_rates_agree_with_the_published_analysis_of_the_rat_tumour_experiments():
    """BDA3, pages 110-113: prior (alpha + beta)^(-5/2) on a grid of (log alpha/beta, log alpha + beta)."""
    y, n = np.array(RATS_Y), np.array(RATS_N)
    assert len(y) == len(n) == 71
    ratio, size = np.meshgrid(np.linspace(-2.3, -1.2, 120), np.linspace(1.0, 5.5, 160))
    beta = np.exp(size) / (1 + np.exp(ratio))
    alpha = np.exp(size) - beta
    log = np.log(alpha * beta) - 2.5 * np.log(alpha + beta)
    log += sum(betaln(alpha + a, beta + b - a) - betaln(alpha, beta) for a, b in zip(y, n, strict=True))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    assert (weight * alpha).sum() == pytest.approx(2.4, abs=0.05)  # as printed there
    assert (weight * beta).sum() == pytest.approx(14.3, abs=0.3)  # as printed there
    exact = [(weight * (alpha + a) / (alpha + beta + b)).sum() for a, b in zip(y, n, strict=True)]
    draws = rate_draws(y, n, mean=0.5, strength=2.0, draws=20_000, rng=generator(1, "rats"))
    assert draws.mean(axis=1) == pytest.approx(exact, abs=0.003)


def test_effects_agree_with_the_eight_schools():
    # BDA3, table 5.3 (flat tau there, a very wide half-normal here): posterior medians by school, mean about 8.
    d = np.array([28, 8, -3, 7, -1, 1, 18, 12.0])
    v = np.array([15, 10, 16, 11, 9, 11, 10, 18.0]) ** 2
    theta, mu, tau = effect_draws(d, v, scale=40.0, draws=40_000, rng=generator(1, "schools"))
    assert np.median(theta, axis=1) == pytest.approx([10, 8, 7, 8, 5, 6, 10, 8], abs=1.2)
    assert mu.mean() == pytest.approx(8, abs=0.7)
    assert np.median(tau) == pytest.approx(5.1, abs=0.8)


def test_rate_intervals_cover_the_truth_they_were_drawn_from():
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(60):
        p = rng.beta(0.12 * 30, 0.88 * 30, 8)
        n = np.array([8, 20, 40, 80, 160, 300, 600, 0])
        draws = rate_draws(rng.binomial(n, p), n, mean=0.1, strength=10, draws=500, rng=rng)
        low, high = np.quantile(draws, [0.05, 0.95], axis=1)
        hits.append((low <= p) & (p <= high))
    assert np.mean(hits) == pytest.approx(0.90, abs=0.04)


def test_a_small_segment_is_pulled_to_the_others_and_a_large_one_is_not():
    y, n = np.array([3, 400, 410, 390]), np.array([5, 4000, 4000, 4000])
    draws = rate_draws(y, n, mean=0.05, strength=20, draws=4000, rng=generator(1, "x"))
    assert draws[0].mean() < 0.2
    assert draws[1].mean() == pytest.approx(0.1, abs=0.003)


def test_a_single_segment_is_its_own_beta_posterior_nearly():
    draws = rate_draws(np.array([300.0]), np.array([1000.0]), mean=0.3, strength=2, draws=20_000, rng=generator(1, "x"))
    exact = stats.beta(301, 701)
    assert draws[0].mean() == pytest.approx(exact.mean(), abs=0.004)
    assert draws[0].std() == pytest.approx(exact.std(), rel=0.1)


def test_no_scale_makes_effects_one_and_campaigns_alike():
    theta, mu, _ = effect_draws(np.array([0.1, 0.3]), np.array([0.01, 0.01]), scale=0, draws=200, rng=generator(1, "x"))
    assert np.allclose(theta, mu)
    factor, sigma = next_campaign(np.array([9.0]), np.array([5.0]), scale=0, draws=200, rng=generator(1, "x"))
    assert (factor == 1).all()
    assert (sigma == 0).all()


def test_an_effect_without_data_is_drawn_from_the_others():
    d, v = np.array([0.05, 0.05, np.nan]), np.array([1e-4, 1e-4, np.inf])
    theta = effect_draws(d, v, scale=0.05, draws=4000, rng=generator(1, "x"))[0]
    assert theta[2].mean() == pytest.approx(0.05, abs=0.005)
    assert theta[2].std() > 1.5 * theta[0].std()


def test_the_next_campaigns_factor_has_mean_one_and_learns_from_many_campaigns():
    rng = np.random.default_rng(0)
    expected = np.full(40, 500.0)
    alike = next_campaign(rng.poisson(expected), expected, scale=0.3, draws=8000, rng=generator(1, "x"))
    unlike = next_campaign(
        rng.poisson(expected * np.exp(0.5 * rng.standard_normal(40))),
        expected,
        scale=0.3,
        draws=8000,
        rng=generator(1, "x"),
    )
    one = next_campaign(np.array([5.0]), np.array([5.0]), scale=0.3, draws=40_000, rng=generator(1, "x"))
    assert alike[1].mean() < 0.05
    assert unlike[1].mean() == pytest.approx(0.5, abs=0.1)
    assert one[1].mean() == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=0.05)  # nothing but its prior
    assert one[0].mean() == pytest.approx(1, abs=0.02)


def test_design_effect_is_one_for_distinct_customers_and_m_for_copies():
    r = np.array([0.9, -0.1, -0.1, 0.9, -0.1, -0.1])
    assert design_effect(np.array(list("abcdef")), r) == 1.0
    assert design_effect(np.array(list("abcabc")), r) == pytest.approx(2.0)


def test_stratified_difference_by_hand():
    d, v = stratified_difference(np.array([20.0]), np.array([100.0]), np.array([5.0]), np.array([50.0]))
    a, b = 21 / 102, 6 / 52
    assert d == pytest.approx(0.1)
    assert v == pytest.approx(a * (1 - a) / 102 + b * (1 - b) / 52)
    # two campaigns of unlike weight: 50 and 25
    d, _ = stratified_difference(np.array([20.0, 0]), np.array([100.0, 50]), np.array([0.0, 0]), np.array([100.0, 50]))
    assert d == pytest.approx(0.2 * 50 / 75)
    assert stratified_difference(*(np.array([x]) for x in (5.0, 10.0, 0.0, 0.0)))[1] == np.inf
