"""Who came and who left: hand-worked, splits followed, small moves together."""

import pandas as pd
import pytest

from crmlab.segments.flows import flows, other_words
from crmlab.segments.tree import Tree

NAMES = {"s1": "Gold", "s2": "Silver", "s3": "Gold, online", "s4": "Gold, shop"}


def series(**sizes: int) -> pd.Series:
    """``s1_s2=3`` is three customers who go from s1 to s2; ``new_s1`` and ``s1_gone`` come and go."""
    rows = [(key, i) for key, n in sizes.items() for i in range(n)]
    return pd.Series([k for k, _ in rows], index=[f"{k}{i:03d}" for k, i in rows])


def two(**sizes: int) -> tuple[pd.Series, pd.Series]:
    moves = series(**sizes)
    was, now = moves.str.split("_").str[0], moves.str.split("_").str[1]
    return was[was != "new"], now[now != "gone"]


def test_shares_are_those_worked_by_hand():
    t = flows(*two(s1_s1=60, s1_s2=20, s1_gone=20, new_s1=10, s2_s1=30, s2_s2=40), NAMES).table
    t = t.set_index(["segment", "direction", "other"])
    assert t.loc[("s1", "from"), "share"].to_dict() == pytest.approx({"s1": 0.6, "s2": 0.3, "new": 0.1})
    assert t.loc[("s1", "to"), "share"].to_dict() == pytest.approx({"s1": 0.6, "s2": 0.2, "gone": 0.2})
    assert t.loc[("s1", "from", "s1"), "stayed"]
    assert not t.loc[("s1", "from", "s2"), "stayed"]
    assert t.loc[("s1", "to", "s2"), "low"] < 0.2 < t.loc[("s1", "to", "s2"), "high"]


def test_small_moves_stand_together_and_never_alone():
    t = flows(*two(s1_s1=94, s1_s2=3, s1_s5=3, s2_s2=50, s5_s5=50), NAMES).table
    to = t[(t["segment"] == "s1") & (t["direction"] == "to")]
    assert to[["other", "customers"]].to_numpy().tolist() == [["s1", 94], ["elsewhere", 6]]
    assert other_words(to) == ["Gold", "other segments"]
    lone = flows(*two(s1_s1=90, s1_s2=7, s1_s5=3, s2_s2=50, s5_s5=50), NAMES).table
    to = lone[(lone["segment"] == "s1") & (lone["direction"] == "to")]
    assert to[["other", "customers"]].to_numpy().tolist() == [["s1", 90], ["elsewhere", 10]]


def test_a_segment_split_since_is_the_one_before_of_both_its_branches():
    nodes = [{"id": "s1"}, {"id": "s2"}, {"id": "s3", "parent": "s1"}, {"id": "s4", "parent": "s1"}]
    tree = Tree.model_construct(next_id=5, nodes=tuple(_node(**n) for n in nodes))
    t = flows(*two(s1_s3=50, s1_s4=40, s2_s3=10, s2_s2=20), NAMES, tree=tree).table
    t = t.set_index(["segment", "direction", "other"])
    assert t.loc[("s3", "from", "s1"), ["share", "stayed"]].tolist() == [pytest.approx(5 / 6), True]
    assert t.loc[("s3", "to", "s4"), "share"] == pytest.approx(40 / 90)


def _node(**parts):
    from crmlab.segments.tree import Node

    return Node.model_construct(**({"parent": None, "when": (), "name": ""} | parts))


def test_a_first_cycle_has_no_moves_and_says_so():
    nobody = pd.Series([], index=pd.Index([], dtype="str"), dtype="str")
    found = flows(nobody, pd.Series({"a": "s1"}), NAMES)
    assert found.table.empty
    assert "first cycle" in str(found.sentences()[0])
    assert flows(*two(s1_s1=9), NAMES).sentences() == []
