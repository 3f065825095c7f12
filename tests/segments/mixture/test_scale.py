"""Frozen transforms: monotone, bent only where a cloud is skewed, deaf to one customer far away."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew, yeojohnson

from crmlab.contract import generator
from crmlab.segments.mixture.humps import VALLEY, valley
from crmlab.segments.mixture.scale import FURTHEST, fitted_scale, yeo_johnson

RNG = generator(5, "scale")
CLOUD = np.round(RNG.lognormal(3, 1, 800), 2)


def test_the_transform_is_that_of_scipy():
    x = np.linspace(-3, 4, 50)
    for power in (-0.5, 0.0, 0.7, 1.0, 2.0):
        np.testing.assert_allclose(yeo_johnson(x, power), yeojohnson(x, power), rtol=1e-9, atol=1e-12)


def test_a_skewed_cloud_is_bent_straight():
    assert abs(skew(fitted_scale(CLOUD).apply(CLOUD))) < 0.3 < skew(CLOUD)


def test_two_groups_are_left_as_they_are():
    x = np.concatenate([RNG.normal(0, 1, 900), RNG.normal(12, 1, 100)])
    assert fitted_scale(x).power == 1.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e6, 1e12), min_size=2, max_size=40))
def test_order_is_kept_and_missing_stays_missing(values):
    scale = fitted_scale(CLOUD)
    x = np.sort(np.array(values))
    scaled = scale.apply(x)
    assert np.all(np.diff(scaled) >= 0)
    assert np.abs(scaled).max() <= FURTHEST
    assert np.isnan(scale.apply(np.array([np.nan])))[0]


def test_a_whale_moves_nobody():
    whale = np.append(CLOUD, 1e9)
    before, after = fitted_scale(CLOUD).apply(CLOUD), fitted_scale(whale).apply(CLOUD)
    assert np.abs(before - after).max() < 0.25
    assert np.isfinite(fitted_scale(whale).apply(whale)).all()


def test_hardly_any_values():
    for x in (np.array([1.0, 2.0]), np.array([0.0] * 99 + [1.0]), np.array([1e9, 1e9 + 1, np.nan])):
        scaled = fitted_scale(x).apply(x)
        assert np.array_equal(np.isnan(scaled), np.isnan(x))
        assert len(np.unique(scaled[np.isfinite(scaled)])) > 1


def test_two_humps_have_a_valley_and_one_has_none():
    for one in (
        RNG.normal(size=500),
        RNG.random(500),
        RNG.exponential(size=500),
        RNG.poisson(5, 500),
        RNG.standard_t(2, 500),
    ):
        assert valley(one.astype(float)) > VALLEY
    assert valley(np.concatenate([RNG.normal(0, 1, 300), RNG.normal(6, 1, 200)])) < 0.25
    spike = np.concatenate([np.zeros(300), RNG.normal(6, 1, 200)])
    assert valley(spike) == 1.0
