"""Clouds without classes, bootstrap similarity, k-means and prediction strength, on what is known beforehand."""

from dataclasses import replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import spearmanr
from sklearn.cluster import KMeans

from crmlab.contract import generator
from crmlab.segments.mixture.by_definition import settling, strata
from crmlab.segments.mixture.em import Rows
from crmlab.segments.mixture.humps import parted, valley
from crmlab.segments.mixture.nearest import _strength, nearest_fit, prediction_strengths
from crmlab.segments.mixture.one_cloud import (
    _draw,
    _fitted,
    _lean,
    _uniform_scores,
    beyond_clouds,
    clouds,
    gain,
    hopeless,
)
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


def test_who_bought_once_is_a_group_by_definition():
    rng = generator(7, "once")
    orders = rng.integers(1, 30, 600) * (rng.random(600) < 0.5) + 1.0
    mean = rng.gamma(3, 10, 600)
    values = np.column_stack([orders, orders * mean, mean, rng.normal(size=600)])
    once = [found for found in settling(values, 4) if found[0] == 0 and found[1] == 1.0]
    assert once == [(0, 1.0, [2])]  # money and the mean of one order are the same
    group = strata(values, 4)
    assert len(np.unique(group[orders == 1])) == 1
    assert not np.isin(group[orders > 1], group[orders == 1]).any()
    (cloud,) = clouds(Rows.of(values), generator(1, "c"), 1)
    bought = cloud.numbers[:, 0] == 1
    np.testing.assert_array_equal(bought, orders == 1)
    assert spearmanr(cloud.numbers[bought, 1], cloud.numbers[bought, 2]).statistic > 0.99
    assert not settling(rng.poisson(1.0, (600, 4)).astype(float), 4)  # zeros that go together by chance settle nothing


def test_humps_are_groups_and_not_whole_numbers_tails_or_zeros():
    rng = generator(8, "humps")
    two = np.repeat([5, 50], [500, 400])
    assert valley(rng.normal(two / 5.0)) < 0.1
    assert valley(np.log1p(rng.poisson(two))) < 0.1
    assert valley(np.log1p(rng.poisson(8, 500))) > 0.9
    assert valley(rng.normal(size=2_000) ** 3) > 0.9
    assert valley(np.where(rng.random(900) < 0.1, 0.0, rng.normal(9, 1, 900))) > 0.9


def test_answers_part_customers_together():
    rng = generator(9, "answers")
    group, none = rng.random(800) < 0.4, np.zeros((800, 0))
    tied = (rng.random((800, 6)) < np.where(group[:, None], 0.9, 0.12)).astype(int)
    apart = (rng.random((800, 6)) < 0.4).astype(int)
    assert parted(Rows.of(none, tied, (2,) * 6)) is not None
    assert parted(Rows.of(none, apart, (2,) * 6)) is None


def test_a_cloud_leans_as_the_base_does():
    rng = generator(10, "lean")
    frailty = np.log(rng.exponential(size=(1_000, 5)) * rng.gamma(1, 1, (1_000, 1)))
    copula = _fitted(frailty, rng)
    own, theirs, straight = (
        _lean(ndtri(_uniform_scores(at, rng)), copula.axis)
        for at in (frailty, _draw(copula, rng), _draw(replace(copula, lean=0.0), rng))
    )
    assert abs(own) > 0.2
    assert abs(own - theirs) < 0.12
    assert abs(own - straight) > 0.15


def test_the_search_ends_early_in_a_cloud_and_goes_on_in_groups():
    rng = generator(11, "early")
    tails = Rows.of(rng.normal(size=(1_000, 5)) / np.sqrt(rng.chisquare(3, (1_000, 1)) / 3))
    assert hopeless(tails, 3, "full", generator(1, "h"))
    group = rng.integers(0, 3, 1_000)
    groups = Rows.of((rng.normal(size=(3, 5)) * 1.5)[group] + rng.normal(size=(1_000, 5)))
    assert not hopeless(groups, 3, "diagonal", generator(1, "h"))
