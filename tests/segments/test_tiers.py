from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crmlab.clv.params import CLVParams, Covariates
from crmlab.clv.value.lifetime import NoValue
from crmlab.clv.value.predict import lifetime_value
from crmlab.contract import Basis, GateFailed, Refused
from crmlab.segments import models
from crmlab.segments.nodes import Condition, Node, Tree
from crmlab.segments.tier_chances import tier_probabilities
from crmlab.segments.tiered import Tiers, tiers
from crmlab.segments.tiers import ValueModel, frozen, tier_cuts, tier_names, tier_of, value_faults, value_model
from crmlab.segments.tree import assign
from tests.clv.conftest import fit_of

TIMING = {"r": 0.9, "alpha": 5.0, "a": 0.7, "b": 3.0}
WORTH = {"p": 4.0, "q": 4.0, "gamma": 20.0}
PLAIN = CLVParams(horizon_weeks=52, annual_discount_rate=0.0)
MODEL = ValueModel("bgnbd", "gamma_gamma", tuple(TIMING.values()), tuple(WORTH.values()), 52, 0.1, 0.3)


def world(n, seed=0, weeks=52.0):
    """BG/NBD × Gamma-Gamma customers: what is known of them, and the margin each brings in the `weeks` after."""
    rng = np.random.default_rng(seed)
    T, nu = rng.integers(20, 80, n).astype(float), rng.gamma(WORTH["q"], 1 / WORTH["gamma"], n)
    rate, p = rng.gamma(TIMING["r"], 1 / TIMING["alpha"], n), rng.beta(TIMING["a"], TIMING["b"], n)
    x, t_x, clock, later, alive = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n, bool)
    while alive.any():
        clock = clock + rng.exponential(size=n) / rate
        seen = alive & (clock <= T)
        x[seen], t_x[seen] = x[seen] + 1, clock[seen]
        alive &= clock <= T + weeks
        later += alive & ~seen
        alive &= rng.random(n) >= p
    spent = rng.gamma(WORTH["p"] * np.maximum(later, 1e-9)) / nu * (later > 0)
    z_bar = np.where(x > 0, rng.gamma(WORTH["p"] * np.maximum(x, 1)) / nu / np.maximum(x, 1), np.nan)
    ids = [f"{i:05d}" for i in range(n)]
    return pd.DataFrame({"customer_id": ids, "x": x, "t_x": t_x, "T": T, "z_bar": z_bar}), spent


@pytest.fixture(scope="module")
def known():
    return world(3_000)


@pytest.fixture(scope="module")
def truth():
    return fit_of("bgnbd", draws=200, **TIMING), fit_of("gamma_gamma", draws=200, **WORTH)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_the_value_is_the_lifetime_value_at_the_same_parameters(known, truth):
    table, _ = known
    how = CLVParams(horizon_weeks=26, annual_discount_rate=0.1, margin_share=0.25)
    expected = lifetime_value(table, *truth, params=how).table["clv"]
    assert frozen(*truth, how).derived(table) == pytest.approx(expected.to_numpy(), rel=1e-9)


def test_a_customer_has_the_value_whoever_else_is_there_and_none_where_nothing_is_known(known):
    table, _ = known
    whole = MODEL.derived(table)
    assert MODEL.derived(table.iloc[::-1])[::-1].tolist() == whole.tolist()
    assert MODEL.derived(table[:5]) == pytest.approx(whole[:5], rel=1e-9)
    holes = table[:4].copy()
    holes.loc[0, "x"], holes.loc[1, "T"] = np.nan, np.nan
    holes.loc[2, ["x", "t_x", "z_bar"]] = 0, 0, np.nan
    holes.loc[3, ["x", "t_x", "z_bar"]] = 2, 5, np.nan
    assert np.isnan(MODEL.derived(holes)).tolist() == [True, True, False, True]
    assert np.isnan(MODEL.derived(table[:0])).tolist() == []


def test_a_model_is_read_back_as_it_was_and_its_name_is_its_digest():
    odd = replace(MODEL, bought=(1 / 3, 5.0, 0.7, 3.0))
    again = ValueModel.from_plain(models.as_plain(odd.plain()))
    assert again.plain() == odd.plain()
    assert ValueModel.from_plain(again.plain()) == again
    assert models.read_model(models.as_plain(MODEL.plain())) == MODEL
    assert models.named(MODEL) != models.named(odd)
    assert models.named(MODEL).startswith("value_")


def test_everything_wrong_with_a_written_model_is_refused_at_once():
    bad = MODEL.plain() | {"spend": {"model": "sbg"}, "margin_share": "all"}
    bad["purchases"] = bad["purchases"] | {"alpha": -1}
    del bad["purchases"]["b"]
    with pytest.raises(Refused) as refused:
        ValueModel.from_plain(bad)
    assert [f.where for f in refused.value.faults] == ["purchases.alpha", "purchases.b", "spend.model", "margin_share"]


def test_models_a_tree_cannot_score_by_are_refused_before_anything_is_fitted(known):
    table, _ = known
    assert value_faults(CLVParams()) == []
    assert value_faults(CLVParams(purchases="pareto_nbd")) == []
    family = CLVParams(purchases="mbg_cnbd_k", covariates=Covariates(purchase=("club",), value=("club",)))
    assert [f.where for f in value_faults(family)] == [
        "clv.purchases",
        "clv.covariates.purchase",
        "clv.covariates.value",
    ]
    assert "is a family" in value_faults(family)[0].what
    chances = CLVParams(purchases="bgbb", period="month")
    with pytest.raises(Refused, match=r"bgbb reads more(.|\n)*z_bar left out"):
        value_model(table.drop(columns="z_bar"), chances, seed=1)


@pytest.mark.parametrize("customers", [0, 1, 10])
def test_too_few_customers_fail_the_gate(known, customers):
    table = known[0][:customers]
    table = pd.concat([table, pd.DataFrame({"customer_id": ["never"]})], ignore_index=True)
    with pytest.raises(GateFailed):
        value_model(table, PLAIN, seed=1)


def test_identical_customers_fail_the_gate_and_constant_values_are_one_tier():
    same = pd.DataFrame({"customer_id": [f"{i:03d}" for i in range(200)]}).assign(x=2.0, t_x=5.0, T=20.0, z_bar=10.0)
    with pytest.raises(GateFailed, match="same value"):
        value_model(same, PLAIN, seed=1)
    assert tier_cuts(MODEL.derived(same), 4, 1) == []


def test_a_model_fitted_to_simulated_customers_orders_them_as_the_truth_does(known, truth):
    table, _ = known
    found = value_model(pd.concat([table, pd.DataFrame({"customer_id": ["never"]})]), PLAIN, seed=1)
    right = frozen(*truth, PLAIN).derived(table)
    assert found.derived(table) == pytest.approx(right, rel=0.25, abs=0.05)
    assert np.corrcoef(np.log(found.derived(table)), np.log(right))[0, 1] > 0.99
    assert value_model(table.sample(frac=1, random_state=1), PLAIN, seed=1) == found


def test_cuts_are_worked_by_hand():
    assert tier_cuts(np.arange(1.0, 13), 4, 1) == [3.5, 6.5, 9.5]
    assert tier_cuts(np.arange(1.0, 13), 4, 4) == [4.5, 8.5]
    assert tier_cuts([1.0] * 9 + [5.0] * 3, 4, 1) == [3.0]
    assert tier_cuts([1.0] * 10 + [5.0] * 2, 4, 3) == []
    assert tier_cuts([2.0, np.nan, 1.0], 2, 1) == [1.5]
    assert tier_cuts([1.0] * 99 + [1e9], 4, 2) == []
    assert tier_cuts([], 4, 1) == []


money = st.floats(0, 1e6).map(lambda v: round(v, 2))


@given(arrays(float, st.integers(1, 80), elements=money), st.integers(2, 6), st.integers(1, 20))
def test_cuts_part_nobody_from_equals_and_leave_no_tier_small(values, number, min_size):
    cuts = tier_cuts(values, number, min_size)
    assert cuts == sorted(set(cuts))
    assert len(cuts) < number
    assert not set(cuts) & set(values)
    tier = tier_of(values, cuts)
    sizes = np.bincount(tier, minlength=len(cuts) + 2)[1:]
    assert (sizes >= min_size).all() or not cuts
    assert all(len(set(tier[values == v])) == 1 for v in values)
    assert tier_cuts(values[::-1], number, min_size) == cuts


def test_tiers_have_names_from_the_highest_value_on():
    assert tier_names(4) == ["Top value", "High value", "Middle value", "Low value"]
    assert tier_names(7)[-1] == "Value tier 7"
    assert tier_of(np.array([10.0, 5.0, 1.0, np.nan]), [3.0, 7.0]).tolist() == [1, 2, 3, 0]


def test_probabilities_of_tiers_keep_their_word(known, truth):
    table, spent = known
    cuts = tier_cuts(frozen(*truth, PLAIN).derived(table), 4, 50)
    tier = tier_of(frozen(*truth, PLAIN).derived(table), cuts)
    belongs, brings, totals = tier_probabilities(table, *truth, cuts, tier, params=PLAIN, seed=1)
    assert brings.sum(axis=1) == pytest.approx(np.ones(len(table)))
    assert belongs[np.arange(len(table)), tier - 1].tolist() == [1.0] * len(table)  # parameters known: no doubt
    happened = tier_of(spent, cuts)
    for k in range(4):
        p, y = brings[:, k], happened == k + 1
        z = (y.sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
        assert abs(z) < 3.5, (k, z)
        for part in np.array_split(np.argsort(p, kind="stable"), 10):
            error = np.sqrt(max((p[part] * (1 - p[part])).sum(), 1.0))
            assert abs(y[part].sum() - p[part].sum()) < 4 * error, (k, p[part].mean(), y[part].mean())
    assert totals.shape == (4, 200)
    expected = lifetime_value(table, *truth, params=PLAIN).table["clv"].to_numpy()
    assert totals.mean(axis=1) == pytest.approx([expected[tier == k].sum() for k in (1, 2, 3, 4)])


def test_tiers_add_up_whether_cut_here_or_by_the_tree(known, truth):
    table, _ = known
    wide = (fit_of("bgnbd", draws=100, spread=0.2, **TIMING), fit_of("gamma_gamma", draws=100, spread=0.2, **WORTH))
    value = lifetime_value(table, *wide, params=PLAIN)
    found = tiers(value, table, *wide, params=PLAIN, seed=1)
    assert found.summary["customers"].tolist() == [750] * 4
    assert found.summary["share"].sum() == pytest.approx(1)
    assert found.summary["total"].sum() == pytest.approx(value.table["clv"].sum())
    assert found.summary[["low", "high"]].to_numpy()[:, 0].sum() < 1
    assert found.summary["belongs"].between(0.25, 1).all()
    assert not found.in_force
    chances = found.table.filter(like="belongs_")
    assert chances.sum(axis=1).to_numpy() == pytest.approx(np.ones(len(table)))
    again = tiers(value, table.sample(frac=1, random_state=2), *wide, params=PLAIN, seed=1)
    pd.testing.assert_frame_equal(again.table, found.table)

    model, cut = frozen(*wide, PLAIN), 20.0
    name = models.named(model)
    nodes = (
        Node(id="s1", name="Nobody", when=(Condition(trait=name, missing=True),)),
        Node(id="s2", name="Top value", when=(Condition(trait=name, at_least=cut),)),
        Node(id="s3", name="Low value"),
    )
    tree = Tree(next_id=4, nodes=nodes, models={name: models.as_plain(model.plain())})
    by_tree = tiers(value, table, *wide, params=PLAIN, seed=1, tree=tree)
    assert by_tree.in_force
    assert by_tree.summary["at_least"].tolist()[0] == cut
    segment = assign(tree, table)
    assert by_tree.summary["customers"].tolist() == [(segment == "s2").sum(), (segment == "s3").sum()]
    assert isinstance(tiers(NoValue(pd.DataFrame(), Basis(1, "x"), ()), table, *wide, params=PLAIN, seed=1), NoValue)


def made(**columns):
    table = pd.DataFrame(
        {"name": tier_names(2), "tier": [1, 2], "customers": 100, "people": 0.5, "at_least": [9, np.nan]}
    )
    table = table.assign(below=[np.nan, 9], clv=[30.0, 3.0], total=[3000.0, 300.0], share=[0.91, 0.09], low=[0.9, 0.08])
    table = table.assign(high=[0.92, 0.1], belongs=0.95, sure=90, brings=0.5).assign(**columns)
    return Tiers(pd.DataFrame(), Basis(200, "customers"), table, 52, False)


def test_sentences_say_the_opposite_of_opposite_numbers():
    assert "“Top value” is 50% of customers and holds 91%" in said(made())
    assert "Value is concentrated: the tier “Top value” is 10%" in said(made(people=[0.1, 0.9]))
    assert "worth much the same" in said(made(share=[0.52, 0.48], low=[0.51, 0.47]))
    assert "“Top value” and “Low value” hardly differ: 3.50 and 3.00" in said(made(clv=[3.5, 3.0]))
    assert "hardly differ" not in said(made())
    assert "hardly depends on what the models do not know" in said(made())
    assert "only 40% of customers belong" in said(made(sure=40))
    assert "do not foretell" in said(made())
    assert "do not foretell" not in said(made(brings=0.9))
    assert "Nothing parts these customers" in said(replace(made(), summary=made().summary[:1]))
    assert "Nobody has bought yet" in said(replace(made(), summary=made().summary[:0]))
    few = made(customers=[3, 197])
    assert "Top value” is" not in said(few)
    assert made(sure=[97, 40]).shown()["sure"].isna().tolist() == [True, False]
    assert "&lt; 5" in few._repr_html_()


def test_a_whale_is_one_customer_of_the_top_tier(known, truth):
    table = known[0].copy()
    before = tiers(lifetime_value(table, *truth, params=PLAIN), table, *truth, params=PLAIN, seed=1).summary
    table.loc[table["x"].idxmax(), "z_bar"] = 1e9
    found = tiers(lifetime_value(table, *truth, params=PLAIN), table, *truth, params=PLAIN, seed=1).summary
    assert found["customers"].tolist() == before["customers"].tolist()
    assert found["at_least"].tolist()[:3] == before["at_least"].tolist()[:3]
    assert found["share"].iloc[0] > 0.99
