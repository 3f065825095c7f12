"""Movement: against R, scikit-learn and statsmodels; a split segment counts as one; sentences turn."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from statsmodels.stats.contingency_tables import SquareTable

from crmlab.contract import generator
from crmlab.segments.movement import adjusted_rand, movement
from crmlab.segments.tree import assign, from_yaml, split

REFERENCE = Path(os.environ.get("CRMLAB_DATA", "../shared/data")).parent / "reference" / "homogeneity"


def moved(n: int = 900, stay: float = 0.5, seed: int = 1) -> tuple[pd.Series, pd.Series]:
    rng = generator(seed, "moved")
    index = pd.Index([f"{i:04d}" for i in range(n)], name="customer_id")
    before = rng.choice(["s1", "s2", "s10"], n)
    after = np.where(rng.random(n) < stay, before, rng.choice(["s1", "s2", "s10"], n))
    return pd.Series(before, index=index, name="segment"), pd.Series(after, index=index, name="segment")


def test_margins_match_r():
    if not (REFERENCE / "transitions.csv").exists():
        pytest.skip("reference/homogeneity/transitions.csv beside the data folder")
    table = pd.read_csv(REFERENCE / "transitions.csv", dtype=str).set_index("customer")
    expected = {e["id"]: e for e in json.loads((REFERENCE / "expected.json").read_text())}
    from scipy.stats import chi2

    found = movement(table["cycle1"], table["cycle2"], {})
    statistic = chi2.isf(found.p_margins, 3)
    assert statistic == pytest.approx(expected["stability.stuart_maxwell"]["expected"], rel=1e-9)


def test_ari_and_symmetry_match_other_implementations():
    before, after = moved()
    found = movement(before, after, {})
    assert found.ari[0] == pytest.approx(adjusted_rand_score(before, after), abs=1e-12)
    square = SquareTable(pd.crosstab(before, after).to_numpy(), shift_zeros=False)
    assert found.p_symmetry == pytest.approx(square.symmetry(method="bowker").pvalue, rel=1e-9)
    assert found.ari[1] < found.ari[0] < found.ari[2]


def test_shares_are_of_those_who_were_there_before():
    before = pd.Series({"a": "s1", "b": "s1", "c": "s1", "d": "s1", "e": "s2", "gone": "s2"}, name="segment")
    after = pd.Series({"a": "s1", "b": "s1", "c": "s1", "d": "s2", "e": "s2", "new": "s1"}, name="segment")
    found = movement(before, after, {"s1": "One", "s2": "Two"})
    assert found.table[["before_name", "after_name", "customers", "share"]].to_numpy().tolist() == [
        ["One", "One", 3, 0.75],
        ["One", "Two", 1, 0.25],
        ["Two", "Two", 1, 1.0],
    ]
    assert (found.basis.n, found.entered, found.left, found.stay[0]) == (5, 1, 1, 0.8)
    assert (found.table["low"] <= found.table["share"]).all()
    assert (found.table["share"] <= found.table["high"]).all()


def test_segments_are_in_the_order_of_their_numbers():
    before, after = moved()
    assert list(dict.fromkeys(movement(before, after, {}).table["before"])) == ["s1", "s2", "s10"]


def test_customers_in_a_branch_of_their_old_segment_have_stayed():
    tree = from_yaml("next_id: 3\nnodes:\n- {id: s1, name: A, when: [{trait: f, at_least: 4}]}\n- {id: s2, name: B}\n")
    grown = split(split(tree, "s1", [{"trait": "c", "at_least": 1}]), "s3", [{"trait": "c", "at_least": 2}])
    table = pd.DataFrame({"customer_id": list("abcd"), "f": [5, 5, 5, 1], "c": [2, 1, 0, 0]})
    found = movement(assign(tree, table), assign(grown, table), {}, tree=grown)
    assert found.stay[0] == 1
    assert found.ari[0] == 1
    assert movement(assign(tree, table), assign(grown, table), {}).stay[0] == 0.25


def test_the_ari_of_many_tables_at_once_is_that_of_each():
    rng = generator(3, "ari")
    tables = rng.integers(0, 9, (5, 3, 4))
    for table, found in zip(tables, adjusted_rand(tables), strict=True):
        i, j = np.indices(table.shape)
        labels = np.repeat(i.ravel(), table.ravel()), np.repeat(j.ravel(), table.ravel())
        assert found == pytest.approx(adjusted_rand_score(*labels), abs=1e-12)


def test_the_interval_of_the_ari_covers_in_about_nine_of_ten_samples():
    truth = movement(*moved(40_000, seed=99), {}).ari[0]
    times = 150
    intervals = [movement(*moved(400, seed=s), {}).ari for s in range(times)]
    assert sum(low <= truth <= high for _, low, high in intervals) / times > 0.83


def test_sentences_turn_with_the_numbers():
    def said(found):
        return " ".join(map(str, found.sentences()))

    assert "hardly stable" in said(movement(*moved(stay=0.0), {}))
    stable = said(movement(*moved(stay=0.97), {}))
    assert "The segments are stable" in stable
    assert "did not change detectably" in stable
    before, after = moved(stay=1.0)
    assert "100% " in said(movement(before, after, {}))
    assert "sizes" not in said(movement(before, after, {}))
    growing = after.mask(pd.Series(generator(1, "g").random(len(after)) < 0.4, index=after.index), "s1")
    assert "The sizes of the segments changed" in said(movement(before, growing, {}))
    assert "Nobody is in both cycles" in said(movement(before.head(5), after.tail(5), {}))
    assert "5 customers who are new and 0" in said(movement(before.head(895), after, {}))


def test_the_same_inputs_give_the_same_interval_whatever_the_order():
    before, after = moved()
    shuffled = movement(before.sample(frac=1, random_state=1), after.sample(frac=1, random_state=2), {})
    assert shuffled.ari == movement(before, after, {}).ari
    pd.testing.assert_frame_equal(shuffled.table, movement(before, after, {}).table)
