"""Classes that are there are found, those that are not there are not, and traps end in a sentence."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from crmlab.contract import Refused, generator
from crmlab.segments.mixture.by_definition import Definition
from crmlab.segments.mixture.classes import _mere, fit_classes
from crmlab.segments.mixture.model import KMeansModel, MixtureModel
from crmlab.segments.mixture.params import MixtureParams

FEW = MixtureParams(most_classes=4)


def framed(columns: dict[str, object]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table and its catalogue; text is a category."""
    table = pd.DataFrame(columns)
    kinds = ["number" if pd.api.types.is_numeric_dtype(table[c].dtype) else "category" for c in table]
    catalogue = pd.DataFrame({"name": list(table), "kind": kinds, "source": "transactions"})
    catalogue = catalogue.assign(sensitive=False, allowed_for_splits=True)
    return table.assign(customer_id=[f"c{i:05d}" for i in range(len(table))]), catalogue


@pytest.fixture(scope="module")
def groups():
    """Three groups of shares .5, .3, .2 in four numbers and a category, one number in money and skewed."""
    rng, n = generator(1, "groups"), 600
    group = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    z = np.array([[0, 0, 0, 0], [2.5, 0, 2.5, 0], [0, 2.5, 2.5, -2.5]])[group] + rng.normal(size=(n, 4))
    columns = {f"trait_{i}": z[:, i] for i in range(3)} | {"money": np.exp(z[:, 3] + 4)}
    channel = np.where(rng.random(n) < 0.85, np.array(["shop", "web", "phone"])[group], "shop")
    table, catalogue = framed(columns | {"channel": pd.Series(channel, dtype="str")})
    table.loc[rng.random(n) < 0.05, "trait_1"] = np.nan
    return table, catalogue, group, fit_classes(table, catalogue, FEW, seed=1)


def test_groups_are_found(groups):
    table, _, group, found = groups
    assert found.model.classes == 3
    assert adjusted_rand_score(group, found.model.derived(table)) > 0.8
    assert list(found.sizes["class"]) == [1, 2, 3]
    assert found.sizes["share"].is_monotonic_decreasing
    np.testing.assert_allclose(found.sizes["share"], [0.5, 0.3, 0.2], atol=0.05)
    assert "3 clusters" in str(found.sentences()[0])
    assert found._repr_html_()
    assert set(found.table.loc[found.table["chosen"] == "chosen", "method"]) == {"mixture", "k-means"}


def test_the_model_is_plain_and_comes_back_the_same(groups):
    table, _, _, found = groups
    for model, kind in ((found.mixture.model, MixtureModel), (found.nearest.model, KMeansModel)):
        again = kind.from_plain(json.loads(json.dumps(model.plain())))
        assert again == model
        np.testing.assert_array_equal(again.derived(table), model.derived(table))


def test_new_customers_are_scored_one_by_one_as_all_together(groups):
    table, _, _, found = groups
    all_at_once = found.model.probabilities(table)
    alone = pd.concat([found.model.probabilities(table.iloc[[i]]) for i in range(5)])
    pd.testing.assert_frame_equal(all_at_once.head(), alone, atol=1e-8)
    np.testing.assert_allclose(all_at_once.sum(axis=1), 1.0, atol=1e-8)


def test_who_is_unknown_has_no_class_and_who_is_strange_has_one(groups):
    table, _, _, found = groups
    strange = table.head(3).copy()
    strange.loc[0, list(found.model.traits)] = [np.nan] * 4 + [None]
    strange.loc[1, "money"] = 1e12
    strange.loc[2, "channel"] = "carrier pigeon"
    classes = found.model.derived(strange)
    assert np.isnan(classes[0])
    assert np.isfinite(classes[1:]).all()
    assert found.model.probabilities(strange).iloc[0].isna().all()
    near = found.nearest.model.derived(strange)
    assert np.isnan(near[0])
    assert np.isfinite(near[1:]).all()


def test_neither_the_order_of_rows_nor_a_second_run_changes_anything(groups):
    table, catalogue, _, found = groups
    shuffled = table.sample(frac=1, random_state=3)
    again = fit_classes(shuffled, catalogue, FEW, seed=1)
    assert again.model == found.model
    pd.testing.assert_frame_equal(again.table, found.table)


def test_names_tell_the_classes_apart(groups):
    *_, found = groups
    names = [str(found.model.class_name(k)) for k in (1, 2, 3)]
    assert len(set(names)) == 3
    assert any("web" in n or "phone" in n or "trait_" in n for n in names)


def test_k_means_is_used_where_asked_for(groups):
    table, catalogue, group, found = groups
    nearest = fit_classes(table, catalogue, MixtureParams(kind="kmeans", most_classes=4), seed=1)
    assert isinstance(nearest.model, KMeansModel)
    assert adjusted_rand_score(group, nearest.model.derived(table)) > 0.6
    assert nearest.mixture.model == found.model


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=(n, 4)),
        lambda rng, n: rng.random((n, 3)),
        lambda rng, n: np.exp(rng.multivariate_normal([0] * 3, np.full((3, 3), 0.6) + 0.4 * np.eye(3), n)),
        lambda rng, n: rng.negative_binomial(1.5, 0.2, (n, 3)) * (rng.random((n, 3)) < 0.7).astype(float),
    ],
    ids=["normal", "uniform", "correlated lognormal", "zero-inflated counts"],
)
def test_one_cloud_has_no_clusters(draw):
    x = draw(generator(2, "cloud"), 600)
    table, catalogue = framed({f"t{i}": x[:, i] for i in range(x.shape[1])})
    found = fit_classes(table, catalogue, FEW, seed=2)
    assert found.model is None
    assert "No clusters" in str(found.sentences()[0])
    assert found.sizes.empty
    assert found._repr_html_()


def test_two_groups_in_one_trait_alone_are_found():
    rng = generator(3, "humps")
    table, catalogue = framed({"far": rng.normal(np.repeat([0, 9], [200, 200])), "noise": rng.normal(size=400)})
    found = fit_classes(table, catalogue, FEW, seed=3)
    assert found.model.classes == 2
    assert adjusted_rand_score(np.repeat([0, 1], 200), found.model.derived(table)) > 0.99
    assert "far alone falls into humps" in str(found.sentences()[0])


def test_traps():
    rng, n = generator(4, "traps"), 300
    noise = rng.normal(size=n)
    gone = np.where(rng.random(n) < 0.9, np.nan, noise)
    mostly = {"noise": noise, "constant": 1.0, "gone": gone, "noise_again": noise * 3 + 1}
    found = fit_classes(*framed(mostly), FEW)
    assert found.model is None
    assert set(found.suited.left_out) == {"constant", "gone", "noise_again"}
    assert "noise_again" in " ".join(map(str, found.sentences()))
    for columns in (
        {"a": np.ones(n), "b": np.zeros(n)},  # identical customers
        {"a": np.append(np.ones(n), 1e9), "b": np.append(np.zeros(n), 1e9)},  # all alike but one whale
        {"a": rng.random(10), "b": rng.random(10)},  # ten customers
        {"a": [1.0], "b": [2.0]},  # one
        {"a": np.array([]), "b": np.array([])},  # nobody
        {"a": np.full(n, np.nan), "b": np.full(n, np.nan)},
        {"a": np.repeat([0.0, 1.0], 150), "b": np.repeat([5.0, 9.0], 150)},  # two distinct points
    ):
        found = fit_classes(*framed(columns), FEW)
        assert found.model is None
        assert "No clusters" in str(found.sentences()[0])
        assert found._repr_html_()


def test_a_whale_is_nobody_s_class(groups):
    table, catalogue, group, _ = groups
    whale = table.copy()
    whale.loc[0, ["trait_0", "money"]] = 1e9
    found = fit_classes(whale, catalogue, FEW, seed=1)
    assert found.model.classes == 3
    assert adjusted_rand_score(group[1:], found.model.derived(whale)[1:]) > 0.8


def test_categories_alone_hold_classes_or_not():
    rng, n = generator(5, "categories"), 800
    group = rng.random(n) < 0.4
    tied = rng.random((n, 6)) < np.where(group[:, None], 0.9, 0.12)
    apart = rng.random((n, 6)) < 0.4
    for answers, classes in ((tied, 2), (apart, None)):
        text = {f"q{j}": pd.Series(np.where(answers[:, j], "yes", "no"), dtype="str") for j in range(6)}
        found = fit_classes(*framed(text), FEW, seed=5)
        assert (found.model and found.model.classes) == classes
        assert "k-means needs numbers" in " ".join(map(str, found.sentences()))


def test_what_may_not_be_used_is_refused():
    table, catalogue = framed({"a": np.arange(200.0), "age": np.arange(200.0) % 7})
    catalogue.loc[catalogue["name"] == "age", "sensitive"] = True
    with pytest.raises(Refused) as fault:
        fit_classes(table, catalogue, MixtureParams(traits=("age", "agee")))
    assert len(fault.value.faults) == 2
    assert fit_classes(table, catalogue, MixtureParams()).suited.numbers == ("a",)


def test_who_bought_once_is_no_evidence_of_clusters():
    """One population of buyers: half of them, who did not come again, join in several traits at once."""
    rng, n = generator(6, "once"), 800
    seen, rate = rng.uniform(20, 52, n), rng.gamma(1.0, 0.06, n)
    again = rng.poisson(rate * seen)
    last = np.where(again > 0, seen * rng.random(n) ** (1 / np.maximum(again, 1)), 0.0)
    mean = np.exp(rng.normal(3.5, 0.6, n))
    columns = {
        "recency": seen - last,
        "frequency": again + 1,
        "money": mean * (again + 1),
        "mean": mean,
        "tenure": seen,
    }
    found = fit_classes(*framed(columns), FEW, seed=6)
    assert found.model is None
    assert Definition("frequency", 1.0, ("mean", "tenure")) in found.definitions
    assert "frequency 1, which settles other traits" in " ".join(map(str, found.sentences()))


def test_a_class_that_a_definition_makes_is_said_to_be_one(groups):
    table, _, _, found = groups
    first = found.model.derived(table) == 1
    table = table.assign(orders=np.where(first, 1, 5), gap=np.where(first, np.nan, 2.0))
    for one in (Definition("orders", 1.0, ("gap",)), Definition("gap", None, ("orders",))):
        mere = _mere(replace(found, definitions=(one,)), table)
        assert mere == ((1, one),)
        said = " ".join(map(str, replace(found, definitions=(one,), mere=mere).sentences()))
        assert f"with {one.trait} {'1' if one.value else 'unknown'}: a group by definition" in said
    assert "by definition" not in " ".join(map(str, found.sentences()))
