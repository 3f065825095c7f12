"""Pareto smoothing against arviz, and against tails whose shape is known."""

import numpy as np
import pytest
from scipy.special import logsumexp

from crmlab.clv.fitting.psis import generalised_pareto, smooth


@pytest.mark.parametrize("draws", [40, 500, 2_000, 4_000])
@pytest.mark.parametrize("seed", range(5))
def test_equals_arviz(draws, seed):
    from arviz_stats.base import array_stats

    rng = np.random.default_rng(seed)
    ratios = rng.standard_t(3 + seed, draws) * (0.2 + seed / 2) - 1_000
    before = ratios.copy()
    weights, k_hat = smooth(ratios)
    expected, expected_k = array_stats.psislw(-ratios)
    assert k_hat == pytest.approx(float(expected_k), rel=1e-10)
    assert weights - logsumexp(weights) == pytest.approx(expected, rel=1e-10, abs=1e-10)
    assert np.array_equal(ratios, before)


@pytest.mark.parametrize("shape", [0.1, 0.5, 0.9])
def test_finds_the_shape_and_scale_of_a_known_tail(shape):
    u = np.random.default_rng(1).random(20_000)
    found = generalised_pareto(np.sort(3 * (u**-shape - 1) / shape))
    assert found == pytest.approx((shape, 3), rel=0.1)


def test_a_heavier_tail_has_a_larger_k_and_no_weight_passes_the_largest_ratio():
    rng = np.random.default_rng(2)
    light, heavy = (smooth(sd * rng.normal(size=4_000) ** 2) for sd in (0.1, 0.9))
    assert light[1] < 0.5 < 0.7 < heavy[1]
    assert max(light[0].max(), heavy[0].max()) <= 0


def test_only_the_tail_is_moved_and_the_order_stays():
    ratios = np.random.default_rng(3).normal(size=1_000)
    weights, _ = smooth(ratios)
    order = np.argsort(ratios)
    assert weights[order[:900]] == pytest.approx(ratios[order[:900]] - ratios.max())
    assert (np.diff(weights[order]) >= 0).all()


def test_ratios_that_do_not_vary_have_no_tail():
    weights, k_hat = smooth(np.full(500, -3.0))
    assert k_hat == np.inf
    assert (weights == 0).all()
