import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln

from crmlab.base.periods import from_survivors
from crmlab.clv.fitting.fit import fit, maximum_likelihood
from crmlab.clv.models import bdw, sbg
from crmlab.clv.params import CLVParams

# Fader & Hardie (2007), table 1: subscribers left after each year, of 1,000
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394]
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173]

shapes = st.floats(0.1, 10)


def test_an_independent_implementation_finds_the_same_estimate_and_projection():
    """The Python package retenmod 0.0.1, whose readme prints both for the first four years."""
    found = maximum_likelihood(from_survivors(HIGH_END[:5]), "bdw")
    assert [found[k] for k in ("alpha", "beta", "c")] == pytest.approx([0.25937, 1.72276, 1.58428], rel=1e-3)
    projected = 100 * np.exp(sbg.log_survival(found, np.arange(5, 11)))
    assert projected == pytest.approx([54.66, 51.04, 48.10, 45.67, 43.60, 41.82], abs=0.01)


@pytest.mark.parametrize("survivors", [HIGH_END, REGULAR])
def test_fitted_to_seven_years_it_foresees_the_twelfth(survivors):
    at = maximum_likelihood(from_survivors(survivors[:8]), "bdw")
    foreseen = np.exp(sbg.log_survival(at, 12))
    assert foreseen == pytest.approx(survivors[12] / 1000, rel=0.03)


@given(alpha=shapes, beta=shapes, t=st.integers(0, 50), since=st.integers(0, 10), ended=st.booleans())
def test_with_c_equal_to_1_it_is_the_sbg(alpha, beta, t, since, ended):
    data = {"periods": np.array([t + since + 1.0]), "ended": np.array([float(ended)]), "since": np.array([since])}
    p = {"alpha": alpha, "beta": beta}
    assert bdw.log_likelihood(p | {"c": 1.0}, data) == pytest.approx(sbg.log_likelihood(p, data), rel=1e-8)


@given(alpha=shapes, beta=st.floats(0.5, 10), c=st.floats(0.3, 2.5), t=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_survival_is_that_of_discrete_weibulls_mixed_over_subscribers(alpha, beta, c, t):
    def weighed(v):  # θ = e^v
        return np.exp(alpha * v + (beta - 1 + t**c) * np.log1p(-np.exp(v)) - betaln(alpha, beta))

    mixed = quad(weighed, -300, -1e-12, epsabs=0, epsrel=1e-7, limit=400, points=[-20, -10, -5, -2])[0]
    assert np.exp(sbg.log_survival({"alpha": alpha, "beta": beta, "c": c}, t)) == pytest.approx(mixed, rel=1e-4)


@pytest.mark.parametrize("c", [0.6, 1.6])
def test_it_recovers_which_way_loyalty_goes(c):
    rng = np.random.default_rng(2)
    template = pd.DataFrame({"periods": 0, "ended": 0, "since": rng.integers(0, 3, 8_000), "observed": 15})
    history = sbg.simulate({"alpha": 0.8, "beta": 4.0, "c": c}, template, rng)
    found = fit(history, "bdw", seed=1, name="full", params=CLVParams())
    assert found.passed
    (row,) = found.table[found.table["parameter"] == "c"].to_dict("records")
    assert abs(row["mean"] - c) < 3 * row["sd"]
    assert row["sd"] < 0.3
    assert ((found.draws["c"] > 1) == (c > 1)).mean() > 0.95


@pytest.mark.parametrize("years", [4, 7, 12])
@pytest.mark.parametrize("survivors", [HIGH_END, REGULAR])
def test_short_tables_whose_posterior_is_a_ridge_are_fitted_without_chains(survivors, years):
    found = fit(from_survivors(survivors[: years + 1]), "bdw", seed=years, name="full", params=CLVParams())
    assert found.passed
    assert found.method == "importance sampling"


def test_evidence_prefers_duration_dependence_where_there_is_some():
    rng = np.random.default_rng(4)
    template = pd.DataFrame({"periods": 0, "ended": 0, "observed": np.repeat(10, 10_000)})
    for c, kept in ((1.0, "sbg"), (2.0, "bdw")):
        history = sbg.simulate({"alpha": 0.8, "beta": 4.0, "c": c}, template, rng)
        assert fit(history, "contracts", seed=1, name="full", params=CLVParams()).model == kept


def test_simulated_contracts_end_as_the_curve_says():
    p = {"alpha": 0.5, "beta": 2.0, "c": 1.7}
    template = pd.DataFrame({"periods": 0, "ended": 0, "since": np.repeat([0, 2], 100_000), "observed": 8})
    found = sbg.simulate(p, template, np.random.default_rng(1))
    for since, part in found.groupby("since"):
        for t in (since + 1, since + 3, 8):
            left = (~((part["ended"] == 1) & (part["periods"] <= t))).mean()
            assert left == pytest.approx(np.exp(sbg.log_survival(p, t) - sbg.log_survival(p, since)), abs=0.006)
