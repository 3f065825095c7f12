import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

from crmlab.clv.fitting.fit import fit
from crmlab.clv.models import gamma_gamma
from crmlab.clv.params import CLVParams

PAPER = {"p": 6.25, "q": 3.74, "gamma": 15.44}


def test_the_density_integrates_to_1_and_its_mean_is_the_populations():
    def density(z, x):
        return float(np.exp(gamma_gamma.log_likelihood(PAPER, pd.DataFrame({"x": [x], "z_bar": [z]}))[0]))

    for x in (1.0, 4.0):
        assert quad(density, 0, np.inf, args=(x,))[0] == pytest.approx(1, abs=1e-6)
        mean = quad(lambda z, x=x: z * density(z, x), 0, np.inf)[0]
        assert mean == pytest.approx(6.25 * 15.44 / 2.74, rel=1e-4)


def test_expected_value_by_hand():
    history = pd.DataFrame({"x": [0.0, 1, 20, 3], "z_bar": [np.nan, 50, 50, -4]})
    found = gamma_gamma.expected_value(PAPER, history)[:, 0]
    mean = 6.25 * 15.44 / 2.74
    assert found[0] == pytest.approx(mean)
    # eq. (5) as a weighted mean of the population's mean and the customer's own
    for i, x in ((1, 1), (2, 20)):
        weight = 2.74 / (6.25 * x + 2.74)
        assert found[i] == pytest.approx(weight * mean + (1 - weight) * 50)
    assert 0 < found[3] < mean


def test_expected_value_predicts_the_next_purchase_of_simulated_customers():
    rng = np.random.default_rng(5)
    n = 60_000
    nu = rng.gamma(PAPER["q"], 1 / PAPER["gamma"], n)
    x = rng.integers(1, 6, n)
    z_bar = rng.gamma(PAPER["p"] * x) / nu / x
    after = rng.gamma(PAPER["p"], size=n) / nu
    expected = gamma_gamma.expected_value(PAPER, pd.DataFrame({"x": x, "z_bar": z_bar}))[:, 0]
    for group in np.array_split(np.argsort(expected), 5):
        error = after[group].std() / np.sqrt(len(group))
        assert abs(expected[group].mean() - after[group].mean()) < 4 * error


@pytest.mark.parametrize("whale", [1e5, 3e7, 1e9])
def test_one_whale_leaves_the_base_its_values(whale):
    """Its own mean aside, what the others' orders are worth hardly moves."""
    rng = np.random.default_rng(2)
    given = pd.DataFrame({"customer_id": np.arange(600).astype(str), "x": rng.integers(1, 8, 600).astype(float)})
    drawn = gamma_gamma.simulate(PAPER, given, rng)
    worth = []
    for history in (drawn, drawn.assign(z_bar=np.where(np.arange(600) == 0, whale, drawn["z_bar"]))):
        found = fit(history, "gamma_gamma", seed=1, name="whale", params=CLVParams())
        assert found.passed, found.failures
        draws = {k: v.reshape(-1)[::10] for k, v in found.draws.items()}
        worth.append(np.median(gamma_gamma.expected_value(draws, history.iloc[1:]).mean(axis=1)))
    assert worth[1] == pytest.approx(worth[0], rel=0.15)
