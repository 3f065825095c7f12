"""Reading a tree: what one can write by hand is read back as it stands; every fault is named, all at once."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlab.contract import Refused
from crmlab.segments.nodes import Condition, Node, Tree
from crmlab.segments.written import from_plain, from_yaml, to_yaml

HEAD = "next_id: 9\nnodes:\n"
ELSE = "- {id: s8, name: Everyone else, when: []}\n"
CATALOGUE = pd.DataFrame({"name": ["recency", "channel", "club"], "kind": ["number", "category", "flag"]})


def faults(text: str, **options) -> dict[str, str]:
    with pytest.raises(Refused) as refused:
        from_yaml(text, **options)
    return {f.where: f.what for f in refused.value.faults}


@given(
    st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    st.lists(st.one_of(st.text("0123456789+-.eE_truefalsnoyTNUL~#:'\"{}[],& *!|>%@`", min_size=1), st.integers())),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_name_and_any_value_comes_back_as_it_was(name, listed, number):
    when = [Condition(trait=name, at_least=number)]
    if listed:
        when.append(Condition(trait="other", is_=tuple(dict.fromkeys(listed))))
    tree = Tree(
        next_id=3,
        nodes=(
            Node(id="s1", name=name, when=tuple(when), evidence={"a": number, "b": None, "c": True, "d": name}),
            Node(id="s2", name="08"),
        ),
    )
    assert from_yaml(to_yaml(tree)) == tree


def test_a_tree_may_be_written_in_blocks():
    text = HEAD + "- id: s1\n  name: Recent\n  when:\n    - trait: recency\n      below: 30\n" + ELSE
    assert to_yaml(from_yaml(text)).splitlines()[2] == "- {id: s1, name: Recent, when: [{trait: recency, below: 30}]}"


def test_a_tree_of_a_params_file_is_read_like_one_of_its_own():
    data = {"next_id": 2, "nodes": [{"id": "s1", "name": "All", "when": []}]}
    assert from_plain(data) == from_yaml("next_id: 2\nnodes:\n- {id: s1, name: All, when: []}\n")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("next_id: 1\nnodes: []", "nodes", "at least one"),
        ("nodes:\n" + ELSE, "next_id", "is missing"),
        (HEAD + "- {id: s1, nam: x, when: []}\n", "s1.nam", "did you mean 'name'?"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, at_last: 2}]}\n" + ELSE, "s1.when.0.at_last", "'at_least'?"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a}]}\n" + ELSE, "s1.when.0", "exactly one of"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, at_least: 1, below: 2}]}\n" + ELSE, "s1.when.0", "has 2"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, is: [true]}]}\n" + ELSE, "s1.when.0.is", "in quotes"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, is: []}]}\n" + ELSE, "s1.when.0.is", "at least one"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, missing: false}]}\n" + ELSE, "s1.when.0.missing", "got False"),
        (HEAD + "- {id: first, name: x, when: []}\n", "first.id", "got 'first'"),
        (HEAD + ELSE + ELSE, "s8", "used twice"),
        (HEAD.replace("9", "8") + ELSE, "next_id", "s8 is used: write 9"),
        (HEAD + "- {id: s1, parent: s7, name: x, when: []}\n" + ELSE, "s1", "s7 does not exist"),
        (HEAD + "- {id: s1, parent: s2, name: x}\n- {id: s2, parent: s1, name: x}\n" + ELSE, "s1", "own ancestor"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, below: 2}]}\n", "s1", "everyone else"),
        (HEAD + ELSE + "- {id: s1, name: x, when: [{trait: a, below: 2}]}\n", "s8", "so s1 cannot be reached"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, at_least: 2}, {trait: a, below: 2}]}\n" + ELSE, "s1", "nobody"),
        (HEAD + "- {id: s1, name: x, when: [{trait: a, missing: true}, {trait: a, is: [b]}]}\n" + ELSE, "s1", "nobody"),
        ("next_id: &n 9\nnodes: *n", "line 1", "anchors"),
        ("next_id: !!int 9", "line 1", "tags"),
        ("next_id: 9\nnext_id: 8\nnodes:\n" + ELSE, "line 2", "stands twice"),
        ("- 1", "line 1", "name: value"),
        (HEAD + "- {id: s1, name: x, evidence: {p: [1]}}\n", "s1.evidence.p", "evidence is a map"),
    ],
)
def test_what_is_wrong_is_named(text, where, what):
    assert what in faults(text)[where]


def test_a_branch_covered_by_an_earlier_one_cannot_be_reached():
    text = HEAD + (
        "- {id: s1, name: x, when: [{trait: a, at_least: 3}]}\n"
        "- {id: s2, name: x, when: [{trait: b, is: [p, q]}]}\n"
        "- {id: s3, name: x, when: [{trait: a, at_least: 4}, {trait: c, below: 1}]}\n"
        "- {id: s4, name: x, when: [{trait: b, is: [q]}]}\n"
        "- {id: s5, name: x, when: [{trait: a, at_least: 2}]}\n"
    )
    found = faults(text + ELSE)
    assert set(found) == {"s3", "s4"}
    assert "s1 comes first" in found["s3"]
    assert "s2 comes first" in found["s4"]


def test_a_child_nobody_of_its_parent_can_be_in_is_refused():
    text = HEAD + "- {id: s1, name: x, when: [{trait: a, at_least: 3}]}\n" + ELSE
    inner = "- {id: s2, parent: s1, name: y, when: [{trait: a, below: 3}]}\n- {id: s3, parent: s1, name: z, when: []}\n"
    assert faults(text + inner) == {"s2": "nobody can meet all its conditions together"}


def test_unknown_traits_and_comparisons_that_cannot_hold_are_all_named():
    text = HEAD + (
        "- {id: s1, name: x, when: [{trait: recncy, below: 3}]}\n"
        "- {id: s2, name: x, when: [{trait: channel, at_least: 3}]}\n"
        "- {id: s3, name: x, when: [{trait: channel, is: [3]}]}\n"
        "- {id: s4, name: x, when: [{trait: club, is: ['yes']}]}\n"
    )
    found = faults(text + ELSE, traits=CATALOGUE)
    assert "did you mean 'recency'?" in found["s1"]
    assert "channel, club, recency" in found["s1"]
    assert "category" in found["s2"]
    assert "in quotes" in found["s3"]
    assert "is a number" in found["s4"]
    assert set(faults(text + ELSE, traits=["channel", "club"])) == {"s1"}


def test_a_tree_as_long_as_a_book_is_not_read():
    assert "longer than" in faults("#" * 1_000_001)[""]
