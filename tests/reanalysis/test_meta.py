"""Synthesis of effects: against metafor's published values, statsmodels, and simulated truth."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from crmlab.reanalysis.meta import cochran_q, q_profile, synthesis

# The eight segments of the reference and metafor's answers (rma, tight tolerance; confint): tau2, I2, mu, se.
GATES = [
    (820, 98, 400, 41), (640, 106, 330, 41), (1210, 77, 610, 34), (455, 108, 230, 44),
    (930, 115, 450, 48), (300, 60, 160, 30), (1500, 86, 740, 42), (710, 139, 350, 44),
]  # fmt: skip
METAFOR = {
    "DL": (0.0001445917909447, 31.058287926761, 0.01931854343397, 0.007910335112633),
    "REML": (0.0001777371057106, 35.640435964029, 0.01986712604593, 0.008243559484631),
}


@pytest.fixture(scope="module")
def gates():
    n_t, x_t, n_c, x_c = np.array(GATES, float).T
    p, q = x_t / n_t, x_c / n_c
    return p - q, p * (1 - p) / n_t + q * (1 - q) / n_c


@pytest.mark.parametrize("method", ["DL", "REML"])
def test_equals_metafor(gates, method):
    s = synthesis(*gates, level=0.95, method=method)
    assert s.q == pytest.approx(10.153504735368, rel=1e-4)
    assert (s.tau2, s.i2 * 100, s.mu, s.se) == pytest.approx(METAFOR[method], rel=1e-4)
    assert s.tau2_high == pytest.approx(0.001825435350945, rel=1e-4)


def test_the_reference_of_this_file_is_the_shared_one():
    folder = Path(os.environ.get("CRMLAB_DATA", "../shared/data")).parent / "reference" / "homogeneity"
    if not folder.exists():
        pytest.skip(f"no reference values at {folder}")
    table = pd.read_csv(folder / "gates.csv")
    assert table[["n_t", "x_t", "n_c", "x_c"]].to_numpy().tolist() == [list(row) for row in GATES]
    expected = {e["id"]: e["expected"] for e in json.loads((folder / "expected.json").read_text())}
    for method, values in METAFOR.items():
        assert tuple(expected[f"meta.RD.{method}.{q}"] for q in ("tau2", "I2", "mu", "se")) == values


def test_equals_statsmodels_moments(gates):
    s, ours = combine_effects(*gates, method_re="chi2", alpha=0.05), synthesis(*gates, method="DL")
    assert ours.q == pytest.approx(s.q, rel=1e-9)
    assert ours.tau2 == pytest.approx(s.tau2, rel=1e-9)


def test_reml_is_the_maximum_of_the_restricted_likelihood(gates):
    y, v = gates

    def likelihood(tau2):
        w = 1 / (v + tau2)
        mu = np.sum(w * y) / np.sum(w)
        return 0.5 * (np.sum(np.log(w)) - np.log(np.sum(w)) - np.sum(w * (y - mu) ** 2))

    tau2 = synthesis(y, v).tau2
    grid = np.linspace(0, 10 * tau2, 2001)
    assert all(likelihood(tau2) >= likelihood(other) - 1e-12 for other in grid)


def test_q_profile_limits_give_back_their_quantiles(gates):
    low, high = q_profile(*gates, level=0.90)
    assert low == 0
    assert cochran_q(*gates, high) == pytest.approx(2.1673499092980579, rel=1e-9), "the 5 % quantile of chi2(7)"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-6, 1)), min_size=2, max_size=12),
    st.floats(-5, 5),
    st.floats(0.01, 100),
)
def test_moving_and_stretching_the_effects_moves_and_stretches_the_answer(pairs, shift, scale):
    y, v = np.array(pairs).T
    one, other = synthesis(y, v), synthesis(shift + scale * y, scale**2 * v)
    assert other.tau == pytest.approx(scale * one.tau, rel=1e-3, abs=1e-4 * scale)
    assert other.mu == pytest.approx(shift + scale * one.mu, rel=1e-4, abs=1e-4 * scale)
    assert one.tau2_low <= one.tau2_high
    assert 0 <= one.i2 < 1


def test_coverage_of_tau_and_size_of_q_are_nominal():
    rng = np.random.default_rng(1)
    v = rng.uniform(0.5, 2, 8)
    rejected, covered = 0, 0
    for _ in range(1000):
        rejected += synthesis(rng.normal(0, np.sqrt(v)), v).p < 0.05
        low, high = q_profile(rng.normal(0, np.sqrt(v + 1.5)), v, level=0.90)
        covered += low <= 1.5 <= high
    assert 0.03 < rejected / 1000 < 0.07
    assert 0.87 < covered / 1000 < 0.93


def test_one_effect_has_no_spread_and_two_no_prediction():
    one = synthesis(np.array([0.1]), np.array([0.01]))
    assert (one.tau2, one.mu) == (0, 0.1)
    assert np.isnan([one.p, one.i2, one.tau2_high, one.predicted_low]).all()
    assert np.isnan(synthesis(np.array([0.1, 0.2]), np.array([0.01, 0.01])).predicted_high)


@pytest.mark.parametrize(("y", "v"), [([], []), ([0.1], [0.0]), ([np.nan], [1.0])])
def test_effects_without_a_variance_are_refused(y, v):
    with pytest.raises(ValueError, match="above zero"):
        synthesis(np.array(y), np.array(v))
