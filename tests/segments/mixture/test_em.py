"""The mixture's numbers, held against scikit-learn and against what can be worked out by hand."""

import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.mixture import GaussianMixture

from crmlab.contract import generator
from crmlab.segments.mixture.em import Mixture, Rows, fit, parameters, probabilities, score


def three_groups(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(1, "em")
    group = rng.integers(0, 3, n)
    centres = rng.normal(size=(3, 4)) * 2
    return centres[group] + rng.normal(size=(n, 4)) * [0.5, 1, 1, 2], np.eye(3)[rng.integers(0, 3, n)] * 0.5 + 1 / 6


@pytest.mark.parametrize(("shape", "theirs"), [("diagonal", "diag"), ("tied", "tied"), ("full", "full")])
def test_thirty_steps_are_those_of_scikit_learn(shape, theirs):
    x, start = three_groups()
    begun = fit(Rows.of(x), start, shape, most_steps=0, floor=1e-6)
    inverse = {
        "diagonal": lambda c: 1 / c,
        "tied": lambda c: np.linalg.inv(c[0]),
        "full": np.linalg.inv,
    }[shape](begun.covariances)
    other = GaussianMixture(
        3,
        covariance_type=theirs,
        tol=0,
        max_iter=30,
        weights_init=begun.weights,
        means_init=begun.means,
        precisions_init=inverse,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.fit(x)
    own = fit(Rows.of(x), start, shape, most_steps=30, enough=-1.0, floor=1e-6)
    np.testing.assert_allclose(own.means, other.means_, atol=1e-6)
    np.testing.assert_allclose(own.weights, other.weights_, atol=1e-6)
    np.testing.assert_allclose(probabilities(own, Rows.of(x)), other.predict_proba(x), atol=1e-6)
    np.testing.assert_allclose(score(own, Rows.of(x)), other.score_samples(x), atol=1e-6)
    # scikit-learn counts K − 1 weights, K·d means and the covariances, too
    assert parameters(own) == other._n_parameters()


def test_latent_classes_worked_by_hand():
    """Two classes, three yes/no items: the probability of a class given the answers, by Bayes on paper."""
    shares = tuple(np.array([[1 - p, p], [1 - q, q]]) for p, q in [(0.9, 0.2), (0.8, 0.3), (0.7, 0.1)])
    mixture = Mixture("diagonal", np.array([0.4, 0.6]), np.zeros((2, 0)), np.zeros((2, 0)), shares)
    rows = Rows.of(np.zeros((3, 0)), np.array([[1, 1, 1], [1, 0, -1], [-1, -1, -1]]), (2, 2, 2))
    yes = 0.4 * 0.9 * 0.8 * 0.7, 0.6 * 0.2 * 0.3 * 0.1
    part = 0.4 * 0.9 * 0.2, 0.6 * 0.2 * 0.7
    expected = [yes[0] / sum(yes), part[0] / sum(part), 0.4]
    np.testing.assert_allclose(probabilities(mixture, rows)[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(score(mixture, rows), np.log([sum(yes), sum(part), 1.0]), atol=1e-12)


def test_latent_classes_are_found_again():
    rng, n = generator(2, "lca"), 3_000
    group = rng.random(n) < 0.4
    codes = (rng.random((n, 6)) < np.where(group[:, None], 0.85, 0.2)).astype(int)
    rows = Rows.of(np.zeros((n, 0)), codes, (2,) * 6)
    start = np.eye(2)[(codes.sum(axis=1) > 3).astype(int)]
    found = fit(rows, start, "diagonal")
    assert abs(found.weights[1] - 0.4) < 0.03
    np.testing.assert_allclose([s[1, 1] for s in found.shares], 0.85, atol=0.05)
    np.testing.assert_allclose([s[0, 1] for s in found.shares], 0.2, atol=0.05)


@pytest.mark.parametrize("shape", ["diagonal", "tied", "full"])
def test_a_missing_value_is_left_out_of_the_density(shape):
    x, start = three_groups()
    found = fit(Rows.of(x), start, shape, most_steps=10)
    holed = x[:5].copy()
    holed[:, 2] = np.nan
    keep = [0, 1, 3]
    by_class = [
        multivariate_normal(m[keep], np.diag(c[keep]) if shape == "diagonal" else c[np.ix_(keep, keep)]).pdf(
            x[:5, keep]
        )
        for m, c in zip(found.means, found.covariances, strict=True)
    ]
    expected = np.log(np.array(by_class).T @ found.weights)
    np.testing.assert_allclose(score(found, Rows.of(holed)), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", ["tied", "full"])
def test_missing_at_random_hardly_moves_one_gaussian(shape):
    """Values missing where another is high: dropping rows is biased, expecting them from the rest is not."""
    rng, n = generator(4, "missing"), 6_000
    x = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], n)
    x[x[:, 0] > 0.3, 1] = np.nan
    found = fit(Rows.of(x), np.ones((n, 1)), shape, most_steps=300, enough=1e-10)
    assert abs(found.means[0, 1]) < 0.06 < abs(np.nanmean(x[:, 1]))
    assert abs(found.covariances[0, 0, 1] - 0.8) < 0.06


def test_likelihood_never_falls():
    x, start = three_groups()
    x[::7, 1] = np.nan
    steps = [fit(Rows.of(x), start, "full", most_steps=s, enough=-1.0, floor=0.0).log_likelihood for s in range(1, 12)]
    assert np.all(np.diff(steps) > -1e-9)


def test_numbers_and_categories_together_multiply():
    mixture = Mixture(
        "diagonal",
        np.array([0.5, 0.5]),
        np.array([[0.0], [2.0]]),
        np.ones((2, 1)),
        (np.array([[0.9, 0.1], [0.3, 0.7]]),),
    )
    rows = Rows.of(np.array([[1.5]]), np.array([[0]]), (2,))
    a, b = 0.5 * norm.pdf(1.5) * 0.9, 0.5 * norm.pdf(-0.5) * 0.3
    np.testing.assert_allclose(probabilities(mixture, rows)[0], [a / (a + b), b / (a + b)], rtol=1e-12)
