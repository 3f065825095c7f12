import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crmlab.clv.fitting.importance import (
    Weighted,
    curvature,
    effective,
    laplace,
    log_posterior,
    moments,
    propose,
    resampled,
    sample,
    smoothed,
)
from crmlab.clv.models.bgnbd import MODEL as BGNBD

COVARIANCE = np.array([[2.0, 0.9], [0.9, 1.0]])
MEAN = np.array([1.0, -2.0])
normal = stats.multivariate_normal(MEAN, COVARIANCE).logpdf


def test_laplace_finds_mode_and_covariance_of_a_normal_in_any_units():
    for scale in (np.ones(2), np.array([3.0, 30.0])):
        mode, found = laplace(normal, np.zeros(2), scale)
        assert mode == pytest.approx(MEAN, abs=2e-3)
        assert found == pytest.approx(COVARIANCE, rel=1e-3)


def test_a_direction_without_information_is_bounded_by_the_prior():
    _, flat = laplace(lambda t: -0.5 * t[0] ** 2, np.ones(2), np.array([1.0, 2.0]))
    assert np.diag(flat) == pytest.approx([1, 40], rel=1e-3)


def test_curvature_of_a_quadratic_is_exact():
    matrix = np.array([[3.0, -1.0, 0.5], [-1.0, 2.0, 0.2], [0.5, 0.2, 1.0]])
    found = curvature(lambda z: 0.5 * z @ matrix @ z, np.array([0.3, -1.0, 2.0]), np.full(3, 0.1))
    assert found == pytest.approx(matrix)


def test_weighted_draws_recover_a_known_density_and_its_evidence():
    found = propose(
        lambda t: normal(t) + 7, np.atleast_2d(MEAN + 0.3), 1.4 * COVARIANCE, np.random.default_rng(1), 4000
    )
    assert found.k_hat < 0.5
    assert found.log_evidence == pytest.approx(7, abs=0.05)
    mean = (found.weights[:, None] * found.theta).sum(axis=0)
    assert mean == pytest.approx(MEAN, abs=0.12)
    assert 0.5 < found.ess / len(found.weights) <= 1


def test_a_proposal_that_misses_is_told_by_k_hat():
    found = propose(normal, np.atleast_2d(MEAN + 9), 0.05 * COVARIANCE, np.random.default_rng(1), 2000)
    assert found.k_hat > 0.7
    assert found.ess < 100


def test_a_density_that_is_zero_everywhere_is_told_by_k_hat():
    assert smoothed(np.zeros((500, 1)), np.full(500, -np.inf)).k_hat == np.inf


def test_resampling_keeps_shares_and_forgets_order():
    rng = np.random.default_rng(2)
    theta = np.arange(1000.0)[:, None]
    weights = rng.exponential(size=1000)
    found = Weighted(theta, weights / weights.sum(), 0.1, 0.0)
    drawn = resampled(found, 5000, rng)[:, 0].astype(int)
    expected = 5000 * found.weights
    assert (np.abs(np.bincount(drawn, minlength=1000) - expected) <= 1.0 + 1e-9).all()
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.05


def test_effective_draws_are_their_number_at_equal_weights_and_fewer_else():
    rng = np.random.default_rng(3)
    values = rng.normal(size=4000)
    bulk, tail = effective(values, np.full(4000, 1 / 4000), (0.05, 0.95))
    assert bulk == pytest.approx(4000)
    assert tail == pytest.approx(4000, rel=0.01)
    tilted = np.exp(values)
    bulk, tail = effective(values, tilted / tilted.sum(), (0.05, 0.95))
    assert tail < bulk < 2000


def test_effective_draws_foretell_the_error_of_a_mean():
    """Over repeated samples the mean's variance is the posterior's over the effective draws."""
    means, promised = [], []
    for seed in range(150):
        found = propose(normal, np.atleast_2d(MEAN + 0.5), 1.5 * COVARIANCE, np.random.default_rng(seed), 500)
        means.append((found.weights * found.theta[:, 0]).sum())
        promised.append(COVARIANCE[0, 0] / effective(found.theta[:, 0], found.weights, (0.05, 0.95))[0])
    assert np.var(means) == pytest.approx(np.mean(promised), rel=0.35)


def test_a_banana_is_followed_or_reported():
    def banana(t):
        return -0.5 * t[0] ** 2 - 0.5 * ((t[1] - t[0] ** 2) / 0.3) ** 2

    rng = np.random.default_rng(1)
    found = propose(banana, np.zeros((1, 2)), np.diag([1.0, 0.1]), rng, 4000)
    assert found.k_hat > 0.5
    kernels = propose(banana, resampled(found, 50, rng), 0.3 * moments(found, np.eye(2))[1], rng, 4000)
    assert kernels.k_hat < found.k_hat
    assert kernels.ess / len(kernels.weights) > 2 * found.ess / len(found.weights)


def test_a_rough_start_is_mended_by_the_weighted_draws():
    rng = np.random.default_rng(4)
    given = pd.DataFrame({"customer_id": np.arange(30).astype(str), "T": 40.0})
    few = BGNBD.simulate({"r": 0.5, "alpha": 5, "a": 0.8, "b": 2.5}, given, rng)
    found = sample(BGNBD, few, rng)
    assert found.k_hat < 0.7
    assert found.ess > 400


def test_customers_alike_are_counted_once_with_their_number():
    kinds = pd.DataFrame({"customer_id": "a", "x": [0.0, 2.0, 1.0], "t_x": [0.0, 8.0, 3.0], "T": [9.0, 9.0, 12.0]})
    many = pd.concat([kinds] * 1000, ignore_index=True)
    data = BGNBD.collapsed(many)
    assert data["weight"].tolist() == [1000, 1000, 1000]
    theta = np.array([mean for mean, _ in BGNBD.priors.values()])
    prior = -sum(np.log(sd * np.sqrt(2 * np.pi)) for _, sd in BGNBD.priors.values())
    one, all_of_them = (log_posterior(BGNBD, h)(theta) - prior for h in (kinds, many))
    assert all_of_them == pytest.approx(1000 * one)
