"""Other ways to start a tree: tiers of value, classes, and splits of single segments by any of these."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Refused, generator
from crmlab.segments.models import models_of, with_models
from crmlab.segments.nodes import Condition, Node, Tree
from crmlab.segments.params import SegmentsParams, ways
from crmlab.segments.start import start
from crmlab.segments.tree import assign, from_yaml, leaves, names, rule, to_yaml
from crmlab.study import load_study
from tests.world import params_file

CLV = CLVParams(horizon_weeks=26, margin_share=0.5)


def traits_of(table: pd.DataFrame, **kinds: str) -> SimpleNamespace:
    catalogue = pd.DataFrame({"name": table.columns[1:]})
    catalogue["kind"] = [kinds.get(c, "number") for c in catalogue["name"]]
    return SimpleNamespace(
        table=table,
        catalogue=catalogue.assign(sensitive=False, source="transactions", allowed_for_splits=True, meaning="as given"),
        basis=Basis(len(table), "customers"),
    )


@pytest.fixture(scope="module")
def buyers() -> SimpleNamespace:
    """600 customers of BG/NBD and Gamma-Gamma kind, ten of them without an order; a channel; two groups apart."""
    rng, n = generator(3, "ways"), 600
    T = rng.uniform(20, 52, n).round(1)
    rate = rng.gamma(0.8, 1 / 6, n)
    x = rng.poisson(rate * T * 0.7)
    group = np.repeat([0, 1], [n // 3, n - n // 3])
    table = pd.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in range(n)],
            "x": x.astype(float),
            "t_x": np.where(x > 0, (T * rng.beta(3, 1, n)).round(1), 0),
            "T": T,
            "z_bar": np.where(x > 0, rng.gamma(6, 5, n).round(2), np.nan),
            "channel": pd.Series(rng.choice(["web", "shop"], n), dtype="str"),
            "visits": rng.normal(np.where(group, 20, 60), 3),
            "gap": rng.normal(np.where(group, 40, 10), 3),
            "basket": rng.normal(np.where(group, 5, 15), 1),
        }
    )
    table.loc[:9, ["x", "t_x", "T", "z_bar"]] = np.nan
    return traits_of(table, channel="category")


def test_tiers_of_value_part_customers_by_what_they_will_bring(buyers):
    begun = start(buyers, SegmentsParams(by="value", tiers=3), clv=CLV, seed=1)
    tree = begun.tree
    assert from_yaml(to_yaml(tree), traits=buyers.catalogue) == tree
    [name] = models_of(tree)
    worth = with_models(tree, buyers.table).set_index("customer_id")[name]
    found = assign(tree, buyers.table)
    sizes = found.value_counts()
    top, middle, unknown, low = leaves(tree)
    assert worth[found[found == top].index].min() > worth[found[found == middle].index].max()
    assert worth[found[found == middle].index].min() > worth[found[found == low].index].max()
    assert sizes[unknown] == 10
    assert sizes[[top, middle, low]].min() > 150
    assert rule(tree, tree.node(top)).startswith("lifetime value at least ")
    assert names(tree)[top] == "Top value"
    new = buyers.table.iloc[[20]].assign(customer_id="new", x=9.0, t_x=29.0, T=30.0, z_bar=80.0)
    assert assign(tree, new)["new"] == top
    assert (begun.table["segments"] == 4).all()


def test_classes_that_are_there_are_found_and_told_apart(buyers):
    spec = SegmentsParams(by="mixture", mixture={"traits": ["visits", "gap", "basket"], "most_classes": 4})
    begun = start(buyers, spec, seed=1)
    found = assign(begun.tree, buyers.table)
    truth = np.repeat([0, 1], [200, 400])
    assert pd.crosstab(found.to_numpy(), truth).max(axis=1).sum() > 590
    assert len(begun.found) == 1
    assert "No clusters" not in " ".join(map(str, begun.sentences()))
    assert start(buyers, spec, seed=1).tree == begun.tree, "the same again"


@pytest.mark.parametrize("by", ["mixture", "kmeans"])
def test_where_there_are_no_classes_there_is_one_segment_and_that_is_said(buyers, by):
    rng = generator(5, "cloud")
    cloud = buyers.table[["customer_id"]].assign(**{c: rng.normal(size=len(buyers.table)) for c in "abc"})
    begun = start(traits_of(cloud), SegmentsParams(by=by, mixture={"most_classes": 3}), seed=1)
    assert [n.name for n in begun.tree.nodes] == ["Everyone"]
    assert any("No clusters" in str(s) for s in begun.sentences())
    assert begun._repr_html_()


def test_single_segments_are_split_further_by_other_ways(buyers):
    spec = {
        "by": "channel",
        "within": {
            "web": {"by": "value", "tiers": 2, "within": {"web: Top value": {"by": "gap", "bands": 2, "min_size": 20}}},
            "shop": {"by": "mixture", "mixture": {"traits": ["visits", "gap", "basket"], "most_classes": 3}},
        },
    }
    begun = start(buyers, SegmentsParams(**spec), clv=CLV, seed=1)
    tree, called = begun.tree, names(begun.tree)
    kinds = {name.partition("_")[0] for name in tree.models}
    assert kinds == {"value", "mixture"}
    ends = [called[s] for s in leaves(tree)]
    assert any(n.startswith("web: Top value: gap at least") for n in ends)
    assert "web: Low value" in ends
    assert any(n.startswith("shop: ") and ("high" in n or "low" in n) for n in ends)
    found = assign(tree, buyers.table)
    assert set(found.map(called).str.partition(": ")[0]) <= {"web", "shop"}
    assert begun.table["by"].tolist()[0] == "channel"
    assert len(begun.table) == 4
    assert ways(SegmentsParams(**spec)) == {"channel", "value", "mixture", "gap"}


def test_a_segment_too_small_to_split_stays_whole_and_is_named(buyers):
    spec = SegmentsParams(by="channel", within={"web": {"by": "gap", "min_size": 400}})
    begun = start(buyers, spec)
    assert [names(begun.tree)[s] for s in leaves(begun.tree)][:2] == ["web", "shop"] or len(leaves(begun.tree)) == 4
    assert any("“web” is not split further" in str(s) for s in begun.sentences())
    same = traits_of(buyers.table.assign(gap=7.0), channel="category")
    begun = start(same, SegmentsParams(by="channel", within={"web": {"by": "gap"}}))
    assert any("gap parts no two groups of 50 customers" in str(s) for s in begun.sentences())
    parted = start(buyers, SegmentsParams(by="channel", within={"web": {"by": "gap"}}))
    assert not parted.sentences()


def test_a_segment_that_is_not_there_is_refused_with_the_nearest(buyers):
    with pytest.raises(Refused, match=r"segments.within.wbe.*did you mean 'web'"):
        start(buyers, SegmentsParams(by="channel", within={"wbe": {"by": "gap"}}))


def test_parts_of_a_tree_written_by_hand_are_split_further_too(buyers):
    nodes = [
        {"id": "s1", "name": "Web", "when": [{"trait": "channel", "is": ["web"]}]},
        {"id": "s2", "name": "Not web", "when": []},
    ]
    spec = SegmentsParams(tree={"next_id": 7, "nodes": nodes}, within={"Web": {"by": "gap", "bands": 2}})
    tree = start(buyers, spec).tree
    assert tree.node("s7").parent == "s1"


def test_a_tree_that_was_left_or_edited_comes_before_a_new_one(buyers):
    left = Tree(
        next_id=3, nodes=(Node(id="s1", name="L", when=(Condition(trait="gap", below=1),)), Node(id="s2", name="R"))
    )
    by_hand = Tree(next_id=2, nodes=(Node(id="s1", name="All"),))
    assert start(buyers, SegmentsParams(), left=left).tree is left
    begun = start(buyers, SegmentsParams(), left=left, by_hand=by_hand)
    assert begun.tree is by_hand
    assert "by hand" in begun._repr_html_()
    with pytest.raises(Refused, match="did you mean 'gap'"):
        wrong = Node(id="s1", name="L", when=(Condition(trait="gup", below=1),))
        start(buyers, SegmentsParams(), by_hand=Tree(next_id=3, nodes=(wrong, Node(id="s2", name="R"))))


TRAPS = {
    "ten customers": lambda t: t.iloc[20:30],
    "one customer": lambda t: t.iloc[20:21],
    "nobody": lambda t: t.iloc[:0],
    "identical customers": lambda t: t.assign(**{c: t[c].iloc[50] for c in t.columns[1:]}),
    "a whale": lambda t: t.assign(z_bar=t["z_bar"].where(t.index != 50, 1e9), gap=t["gap"].where(t.index != 50, 1e9)),
    "nearly all missing": lambda t: t.assign(**{c: t[c].where(t.index % 10 == 0) for c in t.columns[1:]}),
}


@pytest.mark.parametrize("by", ["value", "mixture", "kmeans", "channel", "gap"])
@pytest.mark.parametrize("trap", TRAPS)
def test_whatever_the_customers_are_everyone_is_in_one_segment(buyers, trap, by):
    table = TRAPS[trap](buyers.table).reset_index(drop=True)
    spec = SegmentsParams(by=by, mixture={"traits": ["visits", "gap", "basket"], "most_classes": 3})
    begun = start(traits_of(table, channel="category"), spec, clv=CLV, seed=1)
    found = assign(begun.tree, table)
    assert set(found) <= set(leaves(begun.tree))
    assert found.index.tolist() == sorted(table["customer_id"])
    assert begun._repr_html_()


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"by": ["value", "club"]}, "value stands alone; use within"),
        ({"by": ["mixture", "club"]}, "mixture stands alone"),
        ({"within": {"Loyal": {"bye": "gap"}}}, "bye"),
        ({"within": {"Loyal": {"tree": {}}}}, "tree"),
    ],
)
def test_ways_that_cannot_be_are_refused(params, says):
    with pytest.raises(ValidationError, match=says):
        SegmentsParams(**params)


def test_models_that_cannot_score_by_a_tree_are_refused_with_the_params(tmp_path):
    path = params_file(tmp_path, segments={"by": "value"}, clv={"purchases": "bgbb", "period": "week"})
    with pytest.raises(Refused, match=r"clv.purchases \(line \d+\) .*value tiers need one of"):
        load_study(path)
