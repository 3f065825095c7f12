"""Models in a tree: kept whole, found out when edited, scoring customers who were not there, said in words."""

import difflib

import numpy as np
import pandas as pd
import pytest

from crmlab.contract import Refused, use
from crmlab.segments.mixture.model import KMeansModel, MixtureModel
from crmlab.segments.mixture.scale import Scale
from crmlab.segments.models import as_plain, named, read_model, with_models
from crmlab.segments.nodes import Condition, Node, Tree
from crmlab.segments.probabilities import membership_probabilities
from crmlab.segments.tiers import ValueModel
from crmlab.segments.tree import assign, from_yaml, leaves, members, names, rule, split, to_yaml, traits_used
from crmlab.segments.written import checked

UNIT = Scale(0.0, 1.0, 1.0, 0.0, 1.0)
MIXTURE = MixtureModel(
    numbers=("orders", "gap"),
    scales=(UNIT, UNIT),
    weights=(0.5, 0.3, 0.2),
    means=((-2.0, 0.0), (2.0, 0.0), (0.0, 3.0)),
    shape="diagonal",
    covariances=((1.0, 1.0), (1.0, 1.0), (1.0, 1.0)),
)
NEAREST = KMeansModel(("orders",), (UNIT,), (0.5, 0.5), ((-1.0,), (1.0,)))
VALUE = ValueModel.from_plain(
    {
        "kind": "value",
        "purchases": {"model": "bgnbd", "r": 0.5, "alpha": 8.0, "a": 0.8, "b": 2.5},
        "spend": {"model": "gamma_gamma", "p": 6.0, "q": 4.0, "gamma": 15.0},
        "horizon_weeks": 52,
        "annual_discount_rate": 0.1,
        "margin_share": 0.3,
    }
)
M, K, V = named(MIXTURE), named(NEAREST), named(VALUE)


def node(number: int, *when: Condition, parent: str | None = None, name: str = "?") -> Node:
    return Node(id=f"s{number}", parent=parent, name=name, when=when)


def with_classes() -> Tree:
    """Champions; of the others classes 1 and 2 of the mixture, unknown, and what is left."""
    nodes = (
        node(1, Condition(trait="score", at_least=4), name="Champions"),
        node(2, name="Others"),
        node(3, Condition(trait=M, is_=(1,)), parent="s2", name="Quiet"),
        node(4, Condition(trait=M, is_=(2,)), parent="s2", name="Busy"),
        node(5, Condition(trait=M, missing=True), parent="s2", name="Unknown"),
        node(6, parent="s2", name="Late"),
    )
    return checked(Tree(next_id=7, nodes=nodes, models={M: MIXTURE.plain()}))


TREE = with_classes()


def people(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"customer_id": [f"c{i:03d}" for i in range(n)], **columns})


@pytest.mark.parametrize("model", [MIXTURE, NEAREST, VALUE], ids=["mixture", "kmeans", "value"])
def test_a_model_comes_back_whole_from_the_file_under_the_same_name(model):
    nodes = (node(1, Condition(trait=named(model), missing=True), name="Unknown"), node(2, name="Known"))
    tree = Tree(next_id=3, nodes=nodes, models={named(model): as_plain(model.plain())})
    back = from_yaml(to_yaml(tree))
    assert back == tree
    assert read_model(back.models[named(model)]) == model
    assert named(read_model(back.models[named(model)])) == named(model)


def test_one_word_edited_is_one_line_of_difference_and_a_model_is_one_line_a_parameter():
    text = to_yaml(TREE)
    edited = to_yaml(from_yaml(text.replace("name: Busy", "name: Buyers")))
    changed = [line for line in difflib.ndiff(text.splitlines(), edited.splitlines()) if line[:1] in "+-"]
    assert len(changed) == 2
    assert "weights: [0.5, 0.3, 0.2]" in text
    assert text.index("nodes:") < text.index("models:")
    assert text.count("\n- {id:") == 6


def test_customers_are_parted_by_their_class_and_new_ones_too():
    table = people(score=[5, 1, 1, 1, 1], orders=[-2, -2, 2, np.nan, 0], gap=[0, 0, 0, np.nan, 3])
    assert assign(TREE, table).tolist() == ["s1", "s3", "s4", "s5", "s6"]
    assert traits_used(TREE) == ["score", "orders", "gap"]
    assert members(TREE, assign(TREE, table))["s2"] == 4
    alone = table.iloc[[2]].assign(customer_id="new", segment_of="nobody")
    assert assign(TREE, alone).to_dict() == {"new": "s4"}


def test_traits_that_a_model_reads_must_be_there():
    with pytest.raises(Refused, match="orders"):
        assign(TREE, people(score=[1.0], gap=[1.0]))
    with pytest.raises(Refused, match=rf"models.{M} +reads 'gap': no such trait; did you mean 'gaps'"):
        checked(TREE, traits=["score", "orders", "gaps"])


def test_a_split_keeps_the_models_that_other_branches_ask_for():
    grown = split(TREE, "s4", [{"trait": "club", "at_least": 1}])
    assert grown.models == TREE.models
    table = people(score=[1, 1], orders=[2, 2], gap=[0, 0], club=[1, 0])
    assert [names(grown)[s] for s in assign(grown, table)] == ["Busy: club at least 1", "Busy: club below 1"]


def test_rules_on_classes_and_values_are_said_in_words():
    said = {n.id: rule(TREE, n) for n in TREE.nodes}
    assert said["s3"] == f"class 1: {MIXTURE.class_name(1)}"
    assert said["s4"] == f"class 2: {MIXTURE.class_name(2)}"
    assert "orders high" in said["s4"]
    assert said["s5"] == "class unknown"
    assert said["s6"] == f"class 3: {MIXTURE.class_name(3)}"
    ends = (Condition(trait=V, at_least=20.5), Condition(trait=V, below=120))
    nodes = (node(1, Condition(trait=V, at_least=120)), node(2, *ends), node(3, Condition(trait=V, missing=True)))
    tiers = Tree(next_id=5, nodes=(*nodes, node(4)), models={V: as_plain(VALUE.plain())})
    assert [rule(tiers, n) for n in tiers.nodes] == [
        "lifetime value at least 120",
        "lifetime value from 20.5 to below 120",
        "lifetime value unknown",
        "lifetime value below 20.5",
    ]


def test_several_classes_are_said_by_number_and_what_is_left_of_them_too():
    nodes = (node(1, Condition(trait=M, is_=(1, 3))), node(2, Condition(trait=M, missing=True)), node(3))
    merged = Tree(next_id=4, nodes=nodes, models={M: MIXTURE.plain()})
    assert [rule(merged, n) for n in merged.nodes] == [
        "class 1, 3",
        "class unknown",
        f"class 2: {MIXTURE.class_name(2)}",
    ]


FAULTS = {
    "a model edited by hand": ("0.5, 0.3, 0.2", "0.4, 0.4, 0.2", "nodes can be edited, fitted models cannot"),
    "a kind that is none": ("kind: mixture", "kind: magic", "expected one of mixture, kmeans, value"),
    "a class that is none": ("is: [1]", "is: [9]", "there is no class 9, only 1 to 3"),
    "a class as text": ("is: [1]", "is: ['1']", "there is no class '1'"),
    "a class with bounds": ("is: [1]", "at_least: 1", "is a class: use 'is: [...]'"),
    "another model's name": (
        f"trait: {M}, is: [1]",
        f"trait: {M[:-1]}{'0' if M[-1] != '0' else '1'}, is: [1]",
        f"did you mean '{M}'?",
    ),
}


@pytest.mark.parametrize(("old", "new", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_with_a_model_or_its_use_is_said(old, new, says):
    text = to_yaml(TREE)
    assert old in text
    with pytest.raises(Refused) as refused:
        from_yaml(text.replace(old, new))
    assert says in str(refused.value)


def test_a_model_that_no_node_asks_for_is_a_fault_and_several_faults_are_told_at_once():
    nodes = (node(1, Condition(trait="mixture_00000000", is_=(1,)), name="a"), node(2, name="b"))
    with pytest.raises(Refused) as refused:
        checked(Tree(next_id=3, nodes=nodes, models={K: as_plain(NEAREST.plain())}))
    told = {f.where: f.what for f in refused.value.faults}
    assert "no node asks for it" in told[f"models.{K}"]
    assert "no such model" in told["s1"]


def test_a_value_is_compared_with_bounds_and_not_listed():
    nodes = (node(1, Condition(trait=V, is_=(5,)), name="a"), node(2, name="b"))
    with pytest.raises(Refused, match="is a value: use at_least or below"):
        checked(Tree(next_id=3, nodes=nodes, models={V: as_plain(VALUE.plain())}))


def test_probabilities_follow_the_tree_and_are_those_of_chance():
    table = people(score=[5, 1, 1, 1], orders=[0.3, 0.3, -4, np.nan], gap=[1.0, 1.0, 0, np.nan])
    found = membership_probabilities(TREE, table)
    assert found.columns.tolist() == ["customer_id", "segment", "probability"]
    assert set(found["segment"]) <= set(leaves(TREE)) - {"s1"}, "Champions rest on no class"
    assert "c000" not in set(found["customer_id"])
    by = found.pivot_table(index="customer_id", columns="segment", values="probability", fill_value=0)
    assert np.allclose(by.sum(axis=1), 1, atol=0.002)
    each = MIXTURE.probabilities(table).loc[1]
    assert np.allclose(by.loc["c001", ["s3", "s4", "s6"]], each, atol=1e-5)
    assert by.loc["c002", "s3"] > 0.99
    assert by.loc["c003", "s5"] == 1


def test_probabilities_of_merged_and_nested_classes_are_those_of_drawn_classes():
    nodes = (
        node(1, Condition(trait=M, is_=(1, 3)), name="a"),
        node(2, name="b"),
        node(3, Condition(trait=M, is_=(3,)), Condition(trait="club", at_least=1), parent="s1", name="c"),
        node(4, parent="s1", name="d"),
    )
    tree = checked(Tree(next_id=5, nodes=nodes, models={M: MIXTURE.plain()}))
    table = people(orders=[0.2, 0.2, 1.0], gap=[1.4, 1.4, 1.0], club=[1, 0, 1])
    found = membership_probabilities(tree, table).set_index(["customer_id", "segment"])["probability"]
    p = MIXTURE.probabilities(table).to_numpy()
    assert found["c000", "s3"] == pytest.approx(p[0, 2], abs=1e-5)
    assert found["c000", "s4"] == pytest.approx(p[0, 0], abs=1e-5)
    assert ("c001", "s3") not in found.index
    assert found["c001", "s4"] == pytest.approx(p[1, 0] + p[1, 2], abs=1e-5)
    assert found["c002", "s2"] == pytest.approx(p[2, 1], abs=1e-5)


def test_where_no_segment_rests_on_probabilities_there_are_none():
    plain = from_yaml("next_id: 2\nnodes:\n- {id: s1, name: All, when: []}\n")
    assert membership_probabilities(plain, people(score=[1])).empty
    nodes = (node(1, Condition(trait=K, is_=(1,)), name="near"), node(2, name="far"))
    nearest = checked(Tree(next_id=3, nodes=nodes, models={K: as_plain(NEAREST.plain())}))
    found = membership_probabilities(nearest, people(orders=[0.0]))
    assert found.empty
    assert found.columns.tolist() == ["customer_id", "segment", "probability"]


def test_nobody_and_one_customer_are_no_trouble():
    nobody = people(score=[1.0], orders=[0.0], gap=[0.0]).iloc[:0]
    assert assign(TREE, nobody).empty
    assert membership_probabilities(TREE, nobody).empty
    assert len(with_models(TREE, people(score=[1.0], orders=[0.0], gap=[0.0]))) == 1


def test_names_of_classes_are_those_of_the_language(monkeypatch):
    called = from_yaml(to_yaml(TREE).replace("name: Busy", f"name: 'Others: {MIXTURE.class_name(2)}'"))
    words = {"{trait} high": "{trait} alto", "Others": "Altri"}
    monkeypatch.setattr("crmlab.contract.words.catalogue", lambda language: words if language == "it" else {})
    monkeypatch.setattr("crmlab.segments.wording.catalogue", lambda language: words if language == "it" else {})
    monkeypatch.delenv("CRMLAB_STRICT_WORDS", raising=False)
    use("it")
    try:
        assert names(called)["s4"].startswith("Altri: orders alto")
        assert names(called)["s3"] == "Quiet"
    finally:
        use("en")
