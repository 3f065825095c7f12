"""The sd of true rates: likelihood against integration, simulated truth, coverage, degenerate data."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from crmlab.contract import Refused, generator
from crmlab.reanalysis.spread import Patterns, deviance, matrix, patterns, rate_sd, spread


def contacts(rng, n, base, sigma, share=0.6):
    rate = special.expit(special.logit(np.asarray(base)) + sigma * rng.normal(size=(n, 1)))
    known = rng.random((n, len(base))) < share
    return np.where(known, (rng.random((n, len(base))) < rate).astype(float), np.nan)


def test_likelihood_equals_adaptive_integration():
    y = np.array([[1.0, 0.0, 1.0], [0.0, np.nan, 0.0], [1.0, 1.0, np.nan]])
    alpha, sigma = np.array([-1.0, 0.3, -2.0]), 1.4

    def one(row):
        def inside(u):
            p = special.expit(alpha + sigma * u)
            return stats.norm.pdf(u) * np.prod(np.where(np.isnan(row), 1.0, np.where(row == 1, p, 1 - p)))

        return integrate.quad(inside, -12, 12)[0]

    yes, known, levels = np.nan_to_num(y), (~np.isnan(y)).astype(float), alpha
    full = Patterns(yes, known, np.ones(3), np.ones(3) / 3)
    value, gradient = deviance(full, levels, sigma)
    assert value == pytest.approx(-2 * sum(np.log(one(row)) for row in y), rel=1e-5)
    step = 1e-5
    for k in range(3):
        up, down = levels.copy(), levels.copy()
        up[k], down[k] = up[k] + step, down[k] - step
        slope = (deviance(full, up, sigma)[0] - deviance(full, down, sigma)[0]) / (2 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_interval_covers_the_truth_about_as_often_as_it_says(sigma):
    rng, base, runs = generator(3, "cover", str(sigma)), [0.05, 0.1, 0.2, 0.3], 150
    truth = rate_sd(special.logit(np.array(base)), sigma, np.full(4, 0.25))
    inside = 0
    for _ in range(runs):
        found = spread(contacts(rng, 300, base, sigma))
        inside += found.low <= truth <= found.high
    assert stats.binomtest(inside, runs, 0.90, alternative="less").pvalue > 0.001


def test_zero_can_be_the_lower_end_and_the_estimate():
    found = [spread(contacts(generator(4, str(i)), 200, [0.1, 0.2, 0.3], 0.0)) for i in range(20)]
    assert sum(f.sd == 0 for f in found) >= 5
    assert sum(f.low == 0 for f in found) >= 17
    assert all(f.low <= f.sd <= f.high for f in found)


def test_nothing_is_estimated_without_repeated_or_varied_answers():
    once = np.array([[1.0, np.nan], [np.nan, 0.0], [0.0, np.nan]])
    assert np.isnan(spread(once).sd)
    assert np.isnan(spread(np.zeros((50, 3))).sd)
    assert np.isnan(spread(np.empty((0, 0))).sd)


def test_where_any_spread_fits_the_upper_end_is_the_largest_there_can_be():
    y = np.zeros((60, 3))
    y[0, 0] = y[1, 1] = 1.0
    mean = 2 / 180
    assert spread(y).high <= np.sqrt(mean * (1 - mean)) + 1e-12


def test_a_campaign_nobody_answered_shares_the_level_of_the_one_answered_least():
    y = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    data = patterns(y)
    np.testing.assert_array_equal(data.known[0], [2.0, 1.0])
    np.testing.assert_allclose(data.weight, [2 / 3, 1 / 3])
    assert data.count @ data.yes == pytest.approx([1.0, 3.0])


def test_the_order_of_customers_and_campaigns_does_not_matter():
    y = contacts(generator(6, "order"), 200, [0.1, 0.2, 0.4], 1.0)
    turned = spread(y[::-1, [2, 0, 1]])
    assert turned == pytest.approx(spread(y), rel=1e-3, abs=1e-4)


def test_contacts_become_a_matrix_and_repeated_rows_are_refused():
    frame = pd.DataFrame({"customer_id": ["b", "a", "b"], "campaign_id": ["1", "2", "2"], "response": [1, 0, 0]})
    customers, y = matrix(frame, "response")
    assert list(customers) == ["a", "b"]
    np.testing.assert_array_equal(y, [[np.nan, 0.0], [1.0, 0.0]])
    with pytest.raises(Refused, match="more than one row"):
        matrix(pd.concat([frame, frame]), "response")
