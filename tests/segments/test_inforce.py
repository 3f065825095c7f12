"""The tree and its changes as tables: every node with its rule and evidence; no split is said to be none."""

import pandas as pd

from crmlab.segments.inforce import changes_table, tree_table
from crmlab.segments.tree import assign, from_yaml, split

TEXT = """
next_id: 3
nodes:
- {id: s1, name: Loyal, when: [{trait: f, at_least: 4}]}
- {id: s2, name: Everyone else, when: []}
"""
TREE = from_yaml(TEXT)
EVIDENCE = {"cycle": "2017-05", "p_find": 0.0012, "p_confirm": 0.03, "difference": 0.089, "low": 0.01, "high": 0.17}
GROWN = split(TREE, "s1", [{"trait": "coupons", "at_least": 1}], evidence=EVIDENCE)
TABLE = pd.DataFrame({"customer_id": list("abcdef"), "f": [5, 5, 4, 4, 1, 1], "coupons": [1, 0, 0, 2, 0, 5]})


def test_every_node_stands_below_its_parent_with_its_customers():
    result = tree_table(GROWN, assign(GROWN, TABLE))
    assert result.table[["segment", "depth", "is_segment", "customers"]].to_numpy().tolist() == [
        ["s1", 0, False, 4],
        ["s3", 1, True, 2],
        ["s4", 1, True, 2],
        ["s2", 0, True, 2],
    ]
    shown = result.shown()
    assert shown["rule"].tolist() == ["f at least 4", "coupons at least 1", "coupons below 1", "f below 4"]
    assert shown["name"].tolist()[1] == "\u2003• Loyal: coupons at least 1"
    assert shown["evidence"].tolist()[1] == (
        "difference +0.089 [+0.010, +0.170] · p = 0.03 on the confirming half · found with p = 0.0012 · cycle 2017-05"
    )
    assert "Loyal: coupons below 1" in result._repr_html_()


def test_evidence_written_by_hand_is_shown_as_it_is():
    edited = from_yaml(TEXT.replace("at_least: 4}]}", "at_least: 4}], evidence: {p_find: small, low: a guess}}"))
    assert tree_table(edited, assign(edited, TABLE)).shown()["evidence"].tolist()[0] == "p_find: small · low: a guess"


def test_sentences_count_segments_and_name_the_empty_ones():
    said = [str(s) for s in tree_table(GROWN, assign(GROWN, TABLE.query("f < 4"))).sentences()]
    assert said[0] == "The tree has 3 segments."
    assert said[-1].endswith("nobody now: Loyal: coupons at least 1, Loyal: coupons below 1.")
    assert len(tree_table(GROWN, assign(GROWN, TABLE)).sentences()) == 1
    crowded = pd.DataFrame({"customer_id": [f"{i:02d}" for i in range(20)], "f": [5] + [1] * 19})
    assert "“Everyone else” holds 95%" in str(tree_table(TREE, assign(TREE, crowded)).sentences()[1])
    one = from_yaml("next_id: 2\nnodes:\n- {id: s1, name: All, when: []}\n")
    assert "one segment only" in str(tree_table(one, assign(one, TABLE)).sentences()[0])


def test_a_split_is_told_with_its_evidence():
    result = changes_table(TREE, GROWN)
    assert result.table[["change", "segment", "parent"]].to_numpy().tolist() == [
        ["added", "s3", "s1"],
        ["added", "s4", "s1"],
    ]
    assert result.shown()["evidence"].str.contains("difference +0.089", regex=False).all()
    assert [str(s) for s in result.sentences()] == ["Split: Loyal. There are 3 segments now; there were 2."]


def test_no_split_is_said_to_be_none():
    result = changes_table(TREE, TREE)
    assert result.table.empty
    assert [str(s) for s in result.sentences()] == ["No split was confirmed: the tree is unchanged."]
    assert "No split was confirmed" in result._repr_html_()


def test_a_first_tree_has_no_changes():
    result = changes_table(None, TREE)
    assert result.table.empty
    assert "first tree" in str(result.sentences()[0])


def test_changes_by_hand_are_not_taken_for_splits():
    edited = from_yaml(TEXT.replace("Loyal", "Faithful").replace("at_least: 4", "at_least: 3"))
    result = changes_table(TREE, edited)
    assert result.table["change"].tolist() == ["other rule"]
    said = " ".join(map(str, result.sentences()))
    assert "changed by hand" in said
    assert "No split" not in said
    gone = changes_table(GROWN, TREE)
    assert gone.table["change"].tolist() == ["removed", "removed"]
    assert gone.shown()["name"].tolist()[0] == "Loyal: coupons at least 1"
    assert "s3 “Loyal: coupons at least 1” is gone" in " ".join(map(str, gone.sentences()))


def test_what_was_done_by_hand_is_told_from_what_the_re_analysis_did():
    renamed = from_yaml(GROWN.to_yaml().replace("name: Everyone else", "name: The rest"))
    by_hand = split(renamed, "s2", [{"trait": "coupons", "at_least": 2}])
    result = changes_table(TREE, by_hand, left=GROWN)
    assert result.table[["origin", "change", "segment"]].to_numpy().tolist() == [
        ["re-analysis", "added", "s3"],
        ["re-analysis", "added", "s4"],
        ["by hand", "other name", "s2"],
        ["by hand", "added", "s5"],
        ["by hand", "added", "s6"],
    ]
    said = [str(s) for s in result.sentences()]
    assert said[0] == "Split: Loyal. The re-analysis made 3 segments of 2."
    assert said[1] == "The tree was also changed by hand, as follows."
    assert said[2] == "s2 is called “The rest”, it was “Everyone else”"
    assert said[3].startswith("s5 “The rest: coupons at least 2” is new, under s2")
    assert result.shown()["name"].tolist()[2:4] == ["The rest", "The rest: coupons at least 2"]


def test_a_tree_left_as_it_was_is_not_said_to_be_changed_by_hand():
    result = changes_table(TREE, GROWN, left=GROWN)
    assert [str(s) for s in result.sentences()] == ["Split: Loyal. There are 3 segments now; there were 2."]
    assert set(result.table["origin"]) == {"re-analysis"}
    alone = changes_table(TREE, from_yaml(TEXT.replace("Loyal", "Faithful")), left=TREE)
    assert [str(s) for s in alone.sentences()][:2] == [
        "No split was confirmed.",
        "The tree was also changed by hand, as follows.",
    ]


def test_a_split_taken_back_by_hand_is_told_as_both():
    result = changes_table(TREE, TREE, left=GROWN)
    assert result.table["change"].tolist() == ["added", "added", "removed", "removed"]
    assert result.shown()["name"].tolist()[2] == "Loyal: coupons at least 1"
    assert "The re-analysis made 3 segments of 2" in str(result.sentences()[0])
