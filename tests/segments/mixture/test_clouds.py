"""Clouds without classes, bootstrap similarity, k-means and prediction strength, on what is known beforehand."""

import numpy as np
from scipy.stats import spearmanr
from sklearn.cluster import KMeans

from crmlab.contract import generator
from crmlab.segments.mixture.em import Rows
from crmlab.segments.mixture.nearest import _strength, nearest_fit, prediction_strengths
from crmlab.segments.mixture.one_cloud import beyond_clouds, clouds, gain
from crmlab.segments.mixture.stability import similar


def skewed(n: int = 1_500) -> Rows:
    rng = generator(6, "clouds")
    z = rng.multivariate_normal([0, 0, 0], [[1, 0.7, -0.5], [0.7, 1, 0], [-0.5, 0, 1]], n)
    numbers = np.column_stack([np.exp(z[:, 0]), np.floor(np.exp(z[:, 1])), z[:, 2]])
    numbers[z[:, 0] < -1, 0] = np.nan
    codes = np.column_stack([(z[:, 0] > 0.5).astype(int), rng.integers(-1, 3, n)])
    return Rows.of(numbers, codes, (2, 3))


def test_a_cloud_has_the_same_margins_and_correlations():
    rows = skewed()
    (cloud,) = clouds(rows, generator(1, "c"), 1)
    for j in range(3):
        np.testing.assert_array_equal(np.sort(rows.numbers[:, j]), np.sort(cloud.numbers[:, j]))
    for j in range(2):
        np.testing.assert_array_equal(np.sort(rows.codes[:, j]), np.sort(cloud.codes[:, j]))
    for a, b in ((1, 2), (0, 1)):
        own = spearmanr(rows.numbers[:, a], rows.numbers[:, b], nan_policy="omit").statistic
        theirs = spearmanr(cloud.numbers[:, a], cloud.numbers[:, b], nan_policy="omit").statistic
        assert abs(own - theirs) < 0.12
    level = [np.mean(r.numbers[r.codes[:, 0] == 1, 1]) for r in (rows, cloud)]
    assert abs(np.log(level[0] / level[1])) < 0.15
    assert not np.array_equal(rows.numbers[:, 1], cloud.numbers[:, 1])


def test_groups_are_beyond_clouds_and_a_box_is_not():
    rng = generator(2, "boxes")
    box = Rows.of(rng.uniform(-1.7, 1.7, (600, 3)))
    group = rng.integers(0, 3, 600)
    groups = Rows.of((rng.normal(size=(3, 3)) * 1.5)[group] + rng.normal(size=(600, 3)) * 0.5)

    def measure(rows, draws):
        return gain(rows, 3, "diagonal", draws)

    assert beyond_clouds(box, measure, generator(3, "b")) == 0.0
    assert beyond_clouds(groups, measure, generator(3, "b")) > 3.0


def test_similarity_by_hand():
    """Class 0 of six: five stay together with one stranger, 5 of 7; class 1 of four: three alone, 3 of 4."""
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    other = np.array([2, 2, 2, 2, 2, 0, 2, 1, 1, 1])
    np.testing.assert_allclose(similar(labels, other), [5 / 7, 3 / 4])


def test_centres_are_those_of_scikit_learn():
    rng = generator(4, "centres")
    x = (rng.normal(size=(4, 3)) * 4)[rng.integers(0, 4, 500)] + rng.normal(size=(500, 3))
    ours, labels = nearest_fit(Rows.of(x), 4, rng)
    theirs = KMeans(4, n_init=10, random_state=0).fit(x)
    order, other = np.argsort(ours[:, 0]), np.argsort(theirs.cluster_centers_[:, 0])
    np.testing.assert_allclose(ours[order], theirs.cluster_centers_[other], atol=1e-6)
    assert np.square(x - ours[labels]).sum() <= theirs.inertia_ * (1 + 1e-9)


def test_prediction_strength_by_hand():
    """Class 0 of four: split 3 and 1, six ordered pairs of twelve together; class 1 of three: whole."""
    own = np.array([0, 0, 0, 0, 1, 1, 1])
    other = np.array([0, 0, 0, 1, 1, 1, 1])
    assert _strength(own, other, 2) == 0.5


def test_three_groups_are_predicted_and_four_are_not():
    rng = generator(5, "strength")
    x = np.array([[0.0, 0], [8, 0], [0, 8]])[rng.integers(0, 3, 300)] + rng.normal(size=(300, 2))
    strengths = prediction_strengths(Rows.of(x), 5, rng)
    assert strengths[0] == 1.0
    assert strengths[2] > 0.95
    assert max(strengths[3:]) < 0.8
