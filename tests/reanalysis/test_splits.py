"""Candidates, cuts, halves and differences."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlab.contract import generator
from crmlab.reanalysis.splits import (
    Candidate,
    best_rule,
    candidates,
    customer_scores,
    difference,
    finding_half,
    sides,
)
from tests.reanalysis.planted import traits


def test_each_trait_and_each_unknown_is_one_candidate():
    known = traits(200, 1)
    found = candidates(known.table, known.catalogue)
    assert [(c.trait, c.missing) for c in found.each] == [
        ("flag", False),
        ("x", False),
        ("region", False),
        ("age", False),
        ("age", True),
    ]
    assert np.bincount(found.covariate).tolist() == [1, 1, 3, 1, 1]
    assert not np.isnan(found.columns).any()


def test_rare_levels_and_constant_traits_are_left_out():
    table = pd.DataFrame({"customer_id": [str(i) for i in range(50)], "same": 1, "few": [1.0] * 3 + [0.0] * 47})
    catalogue = pd.DataFrame({"name": ["same", "few"], "kind": "number", "source": "t", "allowed_for_splits": True})
    assert candidates(table, catalogue).each == []


@given(st.integers(0, 1000), st.integers(2, 60))
def test_the_half_of_a_customer_does_not_depend_on_the_others(seed, n):
    ids = pd.Index([f"c{i}" for i in range(n)])
    whole = pd.Series(finding_half(ids, 0.5, seed, "c"), index=ids)
    part = ids[::3]
    assert whole[part].tolist() == finding_half(part, 0.5, seed, "c").tolist()


def test_halves_are_halves_and_differ_between_cycles():
    ids = pd.Index([f"c{i}" for i in range(4000)])
    a, b = finding_half(ids, 0.5, 1, "2017-05"), finding_half(ids, 0.5, 1, "2017-08")
    assert abs(a.mean() - 0.5) < 0.03
    assert abs((a == b).mean() - 0.5) < 0.03


def test_with_several_campaigns_scores_are_free_of_the_campaigns_rates():
    frame = pd.DataFrame(
        {
            "customer_id": ["a", "b", "a", "b", "c"],
            "campaign_id": ["1", "1", "2", "2", "2"],
            "response": [1, 0, 1, 1, 1],
        }
    )
    found = customer_scores(frame, "response")
    assert found["contacts"].tolist() == [2, 2, 1]
    # campaign 1: residuals .5, -.5; campaign 2: 0; overall rate .8
    assert found["score"].tolist() == pytest.approx([0.8 + 0.25, 0.8 - 0.25, 0.8])


def rule_for(values: list, scores: np.ndarray, kind: str, least: int = 5):
    table = pd.DataFrame({"customer_id": [f"{i:03d}" for i in range(len(values))], "t": values})
    return best_rule(Candidate("t", False, kind, "x"), table, scores, np.ones(len(values), bool), least=least, cuts=10)


def test_a_number_is_cut_where_the_scores_jump():
    values = list(range(100))
    assert rule_for(values, (np.arange(100) >= 60).astype(float), "number").plain() == {"trait": "t", "at_least": 60}


def test_a_category_is_cut_between_groups_of_its_levels():
    values = np.repeat(["u", "v", "w", "z"], 25).tolist()
    scores = np.repeat([0.1, 0.9, 0.1, 0.9], 25) + generator(1, "n").normal(size=100) * 0.01
    assert sorted(rule_for(values, scores, "category").plain()["is"]) in (["u", "w"], ["v", "z"])


def test_no_cut_leaves_a_side_too_small():
    values = [1.0] * 95 + [2.0] * 5
    assert rule_for(values, np.arange(100.0), "number", least=10) is None


def test_the_unknown_are_on_neither_side():
    table = pd.DataFrame({"customer_id": list("abc"), "t": [1.0, np.nan, 3.0]})
    met, rest = sides([rule_for(list(range(100)), (np.arange(100) >= 50).astype(float), "number")], table)
    assert not met.any()
    assert rest.tolist() == [True, False, True]


def test_a_difference_of_rates_has_newcombes_interval():
    """Newcombe 1998, table II (a): 56/70 − 48/80, method 10, 95 %: .0524 to .3339."""
    found = difference(np.repeat([1.0, 0.0], [56, 14]), np.repeat([1.0, 0.0], [48, 32]), interval=0.95, upwards=True)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_difference_of_other_scores_is_welchs():
    a, b = generator(1, "a").normal(1, 2, 40), generator(1, "b").normal(0, 1, 60)
    found = difference(a, b, interval=0.90, upwards=True)
    expected = stats.ttest_ind(a, b, equal_var=False, alternative="greater")
    assert found.p == pytest.approx(expected.pvalue)
    both = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.90)
    assert (found.low, found.high) == pytest.approx((both.low, both.high))
    assert difference(a, b, interval=0.90, upwards=False).p == pytest.approx(1 - expected.pvalue)
