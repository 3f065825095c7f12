"""Pseudo-outcomes: unbiased whatever is fitted; the test on them has its size and finds what was planted."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.reanalysis.pseudo import candidates, cross_fitted, folds, honest_split, pseudo_outcome
from crmlab.reanalysis.scores import min_p


def ids(n: int) -> np.ndarray:
    return np.array([f"c{i}" for i in range(n)])


def trial(rng, n: int, effect, share: float = 0.5):
    """Traits x (number), club (flag), channel; response rates by x, effect given by a function of x."""
    x = rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "club": rng.integers(0, 2, n), "channel": rng.choice(["a", "b", "c"], n)})
    treated = rng.random(n) < share
    rate = 1 / (1 + np.exp(1.7 - 0.6 * x)) + treated * effect(x)
    return frame, treated, (rng.random(n) < np.clip(rate, 0, 1)).astype(float)


KINDS = {"x": "number", "club": "flag", "channel": "category"}


def phi_of(rng, n, effect, seed=1, share=0.5):
    frame, treated, y = trial(rng, n, effect, share)
    given_ = candidates(frame, KINDS)
    m0, m1 = cross_fitted(y, treated, given_.columns, folds(ids(n), seed))
    return given_, pseudo_outcome(y, treated, share, m1, m0)


def test_phi_of_a_hand_worked_case():
    phi = pseudo_outcome(
        np.array([1.0, 0.0]), np.array([True, False]), 0.25, np.array([0.4, 0.4]), np.array([0.1, 0.2])
    )
    assert phi == pytest.approx([0.3 + 0.6 / 0.25, 0.2 + 0.2 / 0.75])


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.05, 0.95))
def test_phi_is_unbiased_whatever_is_expected_of_the_arms(m1, m0, share):
    y1, y0 = 0.7, 0.2
    treated = pseudo_outcome(np.array([y1]), np.array([True]), share, np.array([m1]), np.array([m0]))
    control = pseudo_outcome(np.array([y0]), np.array([False]), share, np.array([m1]), np.array([m0]))
    assert share * treated + (1 - share) * control == pytest.approx(y1 - y0, abs=1e-9)


def test_mean_of_phi_is_the_effect_and_fitting_narrows_it():
    rng = np.random.default_rng(1)
    n = 20_000
    x = rng.normal(size=(n, 1))
    treated = rng.random(n) < 0.3
    y = 2 * x[:, 0] + 0.5 * treated + rng.normal(size=n)
    m0, m1 = cross_fitted(y, treated, x, folds(ids(n), 1))
    fitted = pseudo_outcome(y, treated, 0.3, m1, m0)
    plain = pseudo_outcome(y, treated, 0.3, np.zeros(n), np.zeros(n))
    assert fitted.mean() == pytest.approx(0.5, abs=4 * fitted.std() / n**0.5)
    assert plain.mean() == pytest.approx(0.5, abs=4 * plain.std() / n**0.5)
    assert fitted.std() < 0.5 * plain.std()


def test_nobodys_fitted_value_depends_on_the_own_outcome():
    rng = np.random.default_rng(2)
    frame, treated, y = trial(rng, 200, lambda x: 0.1 + 0 * x)
    columns, fold = candidates(frame, KINDS).columns, folds(ids(200), 3)
    before = cross_fitted(y, treated, columns, fold)
    changed = y.copy()
    changed[7] = 1 - changed[7]
    after = cross_fitted(changed, treated, columns, fold)
    np.testing.assert_array_equal(before[:, fold == fold[7]], after[:, fold == fold[7]])
    assert not np.array_equal(before, after)


def test_a_fold_depends_on_nobody_else():
    everybody = folds(ids(50), 1)
    assert folds(ids(50)[::-1], 1).tolist() == everybody[::-1].tolist()
    assert folds(ids(10), 1).tolist() == everybody[:10].tolist()
    assert folds(ids(50), 2).tolist() != everybody.tolist()
    assert set(folds(ids(1000), 1)) == set(range(5))


@pytest.mark.parametrize("n", [200, 1000])
def test_size_of_the_test_for_effects_that_go_with_a_trait_is_nominal(n):
    rng = np.random.default_rng(3)
    rejected = 0
    for i in range(300):
        given_, phi = phi_of(rng, n, lambda x: 0.05 + 0 * x, seed=i)
        rejected += min_p(given_.columns, given_.covariate, phi, rng, draws=499, wild=True).p <= 0.05
    assert 0.01 <= rejected / 300 <= 0.09, "nominal 5 %, within chance of 300 trials"


def test_a_planted_effect_is_found_and_its_trait_named():
    rng = np.random.default_rng(4)
    found = 0
    for i in range(30):
        given_, phi = phi_of(rng, 1000, lambda x: 0.3 * (x > 0), seed=i)
        test = min_p(given_.columns, given_.covariate, phi, rng, draws=199, wild=True)
        found += test.p <= 0.05 and given_.names[int(np.argmax(test.statistic))] == "x"
    assert found >= 28


def test_interval_of_an_honest_split_covers_its_own_truth():
    """The difference on the measuring half is unbiased for the split that was chosen on the other."""
    rng = np.random.default_rng(5)
    covered, spread, trials = 0, [], 200
    for i in range(trials):
        given_, phi = phi_of(rng, 1000, lambda x: 0.05 + 0 * x, seed=i)
        split = honest_split(phi, given_, folds(ids(1000), i, count=2) == 0)
        covered += abs(split.difference) <= 1.645 * split.se
        spread.append(split.low)
    assert 0.84 <= covered / trials <= 0.95
    assert np.mean(np.array(spread) > 0) <= 0.09, "nothing planted: the lower limit is above zero in one of twenty"


def test_candidates_keep_missing_apart_and_drop_what_hardly_varies():
    frame = pd.DataFrame(
        {
            "age": [np.nan] * 20 + list(range(80)),
            "city": ["rome"] * 60 + ["milan"] * 37 + ["pisa"] * 3,
            "sex": ["f", "m"] * 50,
            "constant": 1.0,
            "gift": [0] * 97 + [1] * 3,
            "club": [0, 1] * 50,
        }
    )
    kinds = {
        "age": "number",
        "city": "category",
        "sex": "category",
        "constant": "number",
        "gift": "flag",
        "club": "flag",
    }
    found = candidates(frame, kinds)
    assert found.names == ("age", "age is missing", "city", "club", "sex")
    assert found.labels == ("age", "age is missing", "city = milan", "city = rome", "club", "sex = f")
    assert found.covariate.tolist() == [0, 1, 2, 2, 3, 4]
    age = found.columns[:, 0]
    assert (age[:20] == 0).all()
    assert age[20:].mean() == pytest.approx(0)
    assert candidates(frame, {}).columns.shape == (100, 0)


def test_a_split_needs_people_on_every_side():
    phi = np.arange(30.0)
    frame = pd.DataFrame({"x": np.arange(30.0)})
    few = candidates(frame, {"x": "number"})
    assert honest_split(phi, few, np.arange(30) % 2 == 0, fewest=10) is None
    assert honest_split(phi, few, np.arange(30) % 2 == 0, fewest=3) is not None
