"""Minimum detectable effects: against published and independent values, and by simulation of the test they are for."""

from math import isnan, sqrt

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from crmlab.contract import generator
from crmlab.trials.power import (
    mde_split_effect,
    mde_split_level,
    mde_two_proportions,
    power_two_proportions,
    rho_min,
    spread_min,
)


def test_power_of_two_proportions_matches_r():
    # R: power.prop.test(n = 50, p1 = .50, p2 = .75) gives power 0.7401659 (one tail of two), Fleiss' formula
    assert power_two_proportions(50, 50, 0.75, 0.5) == pytest.approx(0.7401659, abs=2e-5)


def test_the_mde_is_near_that_of_the_arcsine_transform():
    gap = mde_two_proportions(900, 100, 0.15)
    arcsine = NormalIndPower().power(proportion_effectsize(0.15 + gap, 0.15), 900, 0.05, ratio=100 / 900)
    assert arcsine == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(("n_t", "n_c", "p"), [(500, 500, 0.1), (900, 300, 0.3), (5_000, 1_000, 0.02)])
def test_an_effect_of_the_mde_is_found_in_four_of_five_trials(n_t, n_c, p):
    rng = generator(1, "mde", str(n_t))
    gap, times = mde_two_proportions(n_t, n_c, p), 4_000
    a, b = rng.binomial(n_t, p + gap, times) / n_t, rng.binomial(n_c, p, times) / n_c
    pooled = (n_t * a + n_c * b) / (n_t + n_c)
    z = (a - b) / np.sqrt(pooled * (1 - pooled) * (1 / n_t + 1 / n_c))
    assert np.mean(np.abs(z) > norm.isf(0.025)) == pytest.approx(0.8, abs=0.025)


def test_where_nothing_can_be_found_the_mde_is_missing():
    assert isnan(mde_two_proportions(0, 100, 0.1))
    assert isnan(mde_two_proportions(3, 3, 0.5))
    assert isnan(rho_min([1, 1, 0]))
    assert isnan(spread_min([2], 0.1))
    assert isnan(mde_split_level(0, 0.4))
    assert isnan(mde_split_effect(100, 0.4, share_contacted=1.0))


def test_rho_min_is_the_published_constant_over_the_root_of_the_pairs():
    assert rho_min([4] * 100) == pytest.approx(2.49 / sqrt(600), rel=2e-3)


def test_a_spread_of_the_mde_is_found_by_the_pair_score_in_four_of_five_segments():
    n, m, p, times = 1_500, 4, 0.2, 1_500
    sd = spread_min([m] * n, p)
    rng = generator(2, "pairs")
    strength = p * (1 - p) / sd**2 - 1
    found = 0
    for _ in range(times):
        y = rng.binomial(m, rng.beta(p * strength, (1 - p) * strength, n))
        rate = y.mean() / m
        pairs = ((y - m * rate) ** 2 - (y * (1 - rate) ** 2 + (m - y) * rate**2)).sum() / 2
        found += pairs / (rate * (1 - rate) * sqrt(n * m * (m - 1) / 2)) > norm.isf(0.05)
    assert found / times == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("share_split", [0.5, 0.2])
def test_a_split_of_the_mde_is_found_among_twenty_in_four_of_five_segments(share_split):
    n, times, critical = 800, 2_000, norm.isf(0.05 / 40)
    gap = mde_split_level(n, 1.0, share_split=share_split)
    rng = generator(3, "level", str(share_split))
    x = rng.random((times, n)) < share_split
    y = rng.normal(size=(times, n)) + gap * x
    assert _found(y, x, critical) == pytest.approx(0.8, abs=0.04)


def test_a_split_of_the_effect_of_the_mde_is_found_in_four_of_five_segments():
    n, times, pi, q, critical = 1_200, 2_000, 0.7, 0.4, norm.isf(0.05 / 40)
    gap = mde_split_effect(n, 1.0, share_contacted=pi, share_split=q)
    rng = generator(4, "effect")
    x, t = rng.random((times, n)) < q, rng.random((times, n)) < pi
    y = rng.normal(size=(times, n)) + 0.3 * x + gap * x * t
    cells = [(x & t, 1), (x & ~t, -1), (~x & t, -1), (~x & ~t, 1)]
    estimate, variance = 0.0, 0.0
    for cell, sign in cells:
        count = cell.sum(1)
        mean = (y * cell).sum(1) / count
        estimate = estimate + sign * mean
        variance = variance + (((y - mean[:, None]) ** 2) * cell).sum(1) / count**2
    assert np.mean(np.abs(estimate / np.sqrt(variance)) > critical) == pytest.approx(0.8, abs=0.04)


def _found(y, x, critical):
    n1 = x.sum(1)
    n0 = x.shape[1] - n1
    a, b = (y * x).sum(1) / n1, (y * ~x).sum(1) / n0
    va = (((y - a[:, None]) ** 2) * x).sum(1) / n1**2
    vb = (((y - b[:, None]) ** 2) * ~x).sum(1) / n0**2
    return np.mean(np.abs((a - b) / np.sqrt(va + vb)) > critical)
