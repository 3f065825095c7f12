"""The tree: everybody has exactly one segment, a split changes one segment only, ids are never used again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlab.contract import Refused, use
from crmlab.segments.tree import assign, changes, digest, from_yaml, leaves, members, names, rule, split, to_yaml

TEXT = """
next_id: 4
nodes:
- {id: s1, name: Champions, when: [{trait: r, at_least: 4}, {trait: f, at_least: 4}]}
- {id: s2, name: No orders yet, when: [{trait: r, missing: true}]}
- {id: s3, name: Everyone else, when: []}
"""
TREE = from_yaml(TEXT)


def customers(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"customer_id": [f"c{i}" for i in range(n)], **columns})


def test_the_first_branch_that_is_met_wins_and_missing_meets_only_missing():
    table = customers(r=[4, 5, 3, np.nan, 4], f=[4, 3.9, 5, 5, np.nan])
    assert list(assign(TREE, table)) == ["s1", "s3", "s3", "s2", "s3"]


def test_new_customers_are_scored_and_the_result_is_sorted_by_customer():
    table = pd.DataFrame({"customer_id": ["z", "00123", "123"], "r": [5, np.nan, 1], "f": [5, 1, 1]})
    found = assign(TREE, table)
    assert found.to_dict() == {"00123": "s2", "123": "s3", "z": "s1"}
    assert list(found.index) == ["00123", "123", "z"]
    assert (found.name, found.index.name, str(found.dtype)) == ("segment", "customer_id", "str")
    assert assign(TREE, table.head(0)).empty


values = st.one_of(st.none(), st.floats(-3, 3, allow_nan=False))
conditions = st.one_of(
    st.builds(lambda v: {"trait": "r", "at_least": v}, st.integers(-3, 3)),
    st.builds(lambda v: {"trait": "f", "below": v}, st.floats(-3, 3)),
    st.builds(lambda v: {"trait": "k", "is": v}, st.lists(st.sampled_from("abc"), min_size=1, unique=True)),
    st.just({"trait": "k", "missing": True}),
)


@given(st.lists(st.tuples(st.integers(0, 99), conditions, st.booleans()), max_size=4), st.data())
def test_any_tree_is_a_partition_that_splits_refine(splits, data):
    rows = data.draw(st.lists(st.tuples(values, values, st.sampled_from(["a", "b", "c", None])), min_size=1))
    r, f, k = zip(*rows, strict=True)
    table = customers(r=pd.Series(r, dtype="float64"), f=pd.Series(f, dtype="float64"), k=pd.Series(k, dtype="object"))
    tree = from_yaml("next_id: 2\nnodes:\n- {id: s1, name: All, when: []}\n")
    for at, condition, missing in splits:
        segment = leaves(tree)[at % len(leaves(tree))]
        before = assign(tree, table)
        try:
            grown = split(tree, segment, [condition], missing=missing and "missing" not in condition)
        except Refused:  # nobody could be in one of the children
            continue
        after = assign(grown, table)
        assert (after[before != segment] == before[before != segment]).all()
        assert not after[before == segment].isin(leaves(tree)).any()
        assert {n.id for n in grown.nodes} > {n.id for n in tree.nodes}
        assert grown.next_id > max(n.number() for n in grown.nodes)
        tree = grown
    found = assign(tree, table)
    assert set(found) <= set(leaves(tree))
    assert len(found) == len(table)
    assert members(tree, found)[[n.id for n in tree.children(None)]].sum() == len(table)
    assert from_yaml(to_yaml(tree)) == tree
    rescored = assign(tree, table.sample(frac=1, random_state=1))
    pd.testing.assert_series_equal(rescored, found)


def test_a_split_names_parent_and_evidence_and_leaves_the_old_tree_alone():
    before = to_yaml(TREE)
    evidence = {"cycle": "2017-05", "p_find": np.float64(0.001), "n": np.int64(5), "confirmed": np.bool_(True)}
    grown = split(TREE, "s1", [{"trait": "coupons", "at_least": np.float64(1.0)}], evidence=evidence)
    assert to_yaml(TREE) == before
    one, two = grown.children("s1")
    assert (one.id, two.id, grown.next_id) == ("s4", "s5", 6)
    assert one.evidence == two.evidence == {"cycle": "2017-05", "p_find": 0.001, "n": 5, "confirmed": True}
    assert (one.name, two.name) == ("Champions: coupons at least 1", "Champions: coupons below 1")
    assert from_yaml(to_yaml(grown)) == grown
    assert leaves(grown) == ["s4", "s5", "s2", "s3"]


def test_a_third_name_gives_missing_values_a_branch_of_their_own():
    grown = split(TREE, "s3", [{"trait": "age", "is": ["old"]}], names=("Old", "Not old", "Age unknown"))
    assert [n.name for n in grown.children("s3")] == ["Old", "Age unknown", "Not old"]
    table = customers(r=[1, 1, 1], f=[1, 1, 1], age=["old", None, "young"])
    assert [grown.node(s).name for s in assign(grown, table)] == ["Old", "Age unknown", "Not old"]


def test_only_a_segment_can_be_split():
    grown = split(TREE, "s1", [{"trait": "c", "at_least": 1}])
    for node in ("s1", "s99"):
        with pytest.raises(Refused, match="only a segment"):
            split(grown, node, [{"trait": "d", "at_least": 1}])


def test_a_missing_trait_is_refused_with_the_nearest_name():
    table = customers(recency=[1], f=[1]).rename(columns={"recency": "rr"})
    with pytest.raises(Refused, match="did you mean 'rr'"):
        assign(TREE, table)


def test_text_cannot_be_compared_with_a_number():
    with pytest.raises(Refused, match="not a number"):
        assign(TREE, customers(r=["high"], f=[1]))


def test_changes_says_exactly_what_differs():
    assert changes(TREE, TREE) == []
    grown = split(TREE, "s1", [{"trait": "c", "at_least": 2}])
    assert [str(s) for s in changes(TREE, grown)] == [
        "s4 “Champions: c at least 2” is new, under s1: c at least 2",
        "s5 “Champions: c below 2” is new, under s1: c below 2",
    ]
    assert [str(s) for s in changes(grown, TREE)] == [
        "s4 “Champions: c at least 2” is gone",
        "s5 “Champions: c below 2” is gone",
        "the next free id is s4, it was s6",
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: Champions", "name: Best", "s1 is called “Best”, it was “Champions”"),
        ("r, at_least: 4", "r, at_least: 5", "s1 has the rule r at least 5 and f at least 4, it was r at least 4 and"),
        ("when: []}", "when: [], evidence: {by: hand}}", "s3 has other evidence"),
        ("next_id: 4", "next_id: 9", "the next free id is s9, it was s4"),
    ],
)
def test_changes_by_hand_are_said_too(old, new, says):
    told = changes(TREE, from_yaml(TEXT.replace(old, new)))
    assert len(told) == 1
    assert str(told[0]).startswith(says)


def test_an_id_that_stands_for_another_segment_now_is_said_to():
    edited = from_yaml(TEXT.replace("name: Champions", "name: Sleepers").replace("r, at_least: 4", "r, below: 2"))
    [told] = changes(TREE, edited)
    assert str(told).startswith("s1 is another segment now, “Sleepers”: r below 2 and f at least 4. It was “Champions”")
    assert str(told).endswith("what earlier pages say of s1 is of that one")


def test_another_order_is_a_change_because_the_first_match_wins():
    lines = TEXT.strip().splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    assert [str(s) for s in changes(TREE, from_yaml("\n".join(lines)))] == [
        "the branches s2, s1, s3 are tried in another order"
    ]


def test_the_digest_changes_with_the_tree_alone():
    assert digest(TREE) == digest(from_yaml(to_yaml(TREE)))
    assert digest(TREE) != digest(from_yaml(TEXT.replace("Champions", "Best")))


def test_bands_and_what_is_left_are_said_in_words():
    tree = from_yaml("""
next_id: 5
nodes:
- {id: s1, name: x, when: [{trait: m, at_least: 1250.5}]}
- {id: s2, name: x, when: [{trait: m, at_least: 10}, {trait: m, below: 1250.5}]}
- {id: s3, name: x, when: [{trait: m, missing: true}]}
- {id: s4, name: x, when: []}
""")
    said = [rule(tree, n) for n in tree.nodes]
    assert said == ["m at least 1,250.5", "m from 10 to below 1,250.5", "m unknown", "m below 10"]


def test_composed_names_follow_the_language_and_own_names_do_not(monkeypatch):
    import crmlab.segments.wording as wording

    words = {"Champions": "Campioni", "{trait} at least {value:,.6g}": "{trait} almeno {value:,.6g}"}
    monkeypatch.setattr("crmlab.contract.words.catalogue", lambda language: words if language == "it" else {})
    monkeypatch.setattr(wording, "catalogue", lambda language: words if language == "it" else {})
    monkeypatch.delenv("CRMLAB_STRICT_WORDS", raising=False)
    grown = split(TREE, "s1", [{"trait": "c", "at_least": 1.5}], names=None)
    own = split(TREE, "s1", [{"trait": "c", "at_least": 1.5}], names=("Coupon lovers", "The rest"))
    use("it")
    try:
        assert names(grown)["s1"] == "Campioni"
        assert names(grown)["s4"] == "Campioni: c almeno 1,5"
        assert names(own)["s4"] == "Coupon lovers"
        assert "name: 'Champions: c at least 1.5'" in to_yaml(grown)
    finally:
        use("en")
