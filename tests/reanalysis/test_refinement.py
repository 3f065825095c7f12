"""Splits: planted ones are found, confirmed and put into the tree, and nothing else is."""

import numpy as np
import pandas as pd
from scipy import stats

from crmlab.contract import generator
from crmlab.reanalysis.refinement import Refinement, RefinementParams, refine
from crmlab.segments.tree import assign, changes, leaves
from tests.reanalysis.planted import contacts, traits, tree

QUICK = RefinementParams(permutations=199)


def look(
    rate: np.ndarray, *, seed: int = 1, known=None, cycle: str = "c", params: RefinementParams = QUICK
) -> Refinement:
    known = known or traits(len(rate), 1)
    return refine(tree(), contacts(known, rate, seed), known, params=params, seed=seed, cycle=cycle)


def text(result: Refinement) -> str:
    return " ".join(str(s) for s in result.sentences())


def flagged(known, low: float = 0.1, high: float = 0.4) -> np.ndarray:
    """`high` for flagged customers of Alpha, `low` for the rest of Alpha, one rate in Beta."""
    inside = known.table["half"] == "a"
    return np.where(inside & (known.table["flag"] == 1), high, np.where(inside, low, 0.2))


def test_planted_heterogeneity_becomes_exactly_that_split():
    known = traits(2000, 1)
    result = look(flagged(known))
    assert result.table["trait"].tolist() == ["flag"]
    assert result.table["adopted"].tolist() == [True]
    assert leaves(result.tree) == ["s3", "s4", "s2"]
    told = changes(tree(), result.tree)
    assert len(told) == 2
    before, after = assign(tree(), known.table), assign(result.tree, known.table)
    flag = known.table.set_index("customer_id")["flag"].reindex(before.index)
    assert (after[before == "s2"] == "s2").all()
    assert (after[(before == "s1") & (flag == 1)] == "s3").all()
    assert (after[(before == "s1") & (flag == 0)] == "s4").all()
    evidence = result.tree.node("s3").evidence
    assert evidence["cycle"] == "c"
    assert evidence["low"] < 0.3 < evidence["high"]
    assert "Alpha is split by flag at least 1" in text(result)


def test_a_thousand_customers_are_enough_and_the_split_is_nearly_always_found():
    known = traits(2000, 1)
    found = [look(flagged(known), seed=i).table.query("adopted")["trait"].tolist() for i in range(15)]
    assert sum(f == ["flag"] for f in found) >= 14


def test_where_nothing_is_planted_almost_nothing_is_adopted():
    known, runs, adopted = traits(1200, 1), 40, 0
    for i in range(runs):
        result = look(np.full(1200, 0.2), seed=i, known=known)
        adopted += bool(result.table["adopted"].any())
        assert (result.tree == tree()) == (not result.table["adopted"].any())
    assert stats.binomtest(adopted, runs, 0.05, alternative="greater").pvalue > 0.001


def test_no_proposal_is_a_valid_answer_with_its_own_sentence():
    known = traits(1200, 1)
    result = next(r for i in range(20) if (r := look(np.full(1200, 0.2), seed=i, known=known)).table.empty)
    assert result.tree == tree()
    assert "No trait stood out in any of the 2 segments looked at" in text(result)
    assert "is split by" not in text(result)
    assert "<table>" not in result._repr_html_()


def test_a_proposal_the_other_half_contradicts_is_not_adopted_and_said_so():
    known = traits(1200, 1)
    runs = (
        look(np.full(1200, 0.2), seed=i, known=known, params=RefinementParams(permutations=99, alpha=0.3))
        for i in range(40)
    )
    result = next(r for r in runs if len(r.table) and not r.table["adopted"].any() and not r.table["artefact"].any())
    assert result.tree == tree()
    assert "the other half does not confirm it" in text(result)
    assert "Nothing was adopted in the 2 segments looked at" in text(result)


def test_a_split_on_unknown_demographics_is_shown_as_an_artefact_and_never_adopted():
    known = traits(2000, 1)
    inside = known.table["half"] == "a"
    result = look(np.where(inside & known.table["age"].isna(), 0.05, 0.35), known=known)
    row = result.table[result.table["artefact"]].iloc[0]
    assert row["trait"] == "age"
    assert row["confirmed"]
    assert not row["adopted"]
    assert result.tree == tree()
    assert "an artefact of data collection, not adopted" in text(result)
    assert "artefact of data collection" in result.shown()["decision"].tolist()


def test_an_artefact_does_not_hide_a_real_split():
    known = traits(3000, 1)
    inside, unknown = known.table["half"] == "a", known.table["age"].isna()
    rate = np.where(inside, np.where(unknown, 0.1, 0.4) + np.where(known.table["flag"] == 1, 0.2, 0.0), 0.2)
    result = look(rate, known=known)
    alpha = result.table[result.table["segment"] == "s1"]
    assert set(alpha["trait"]) == {"age", "flag"}
    assert alpha.set_index("trait")["adopted"].to_dict() == {"age": False, "flag": True}


def test_the_same_missing_values_computed_from_purchases_may_split():
    known = traits(2000, 1)
    own = type(known)(known.table, known.basis, known.catalogue.assign(source="transactions"))
    inside = known.table["half"] == "a"
    result = look(np.where(inside & known.table["age"].isna(), 0.05, 0.35), known=own)
    assert result.table["adopted"].tolist() == [True]
    assert "age unknown" in result.table["rule"].tolist()


def test_a_split_on_a_trait_with_unknown_values_gives_them_their_own_branch():
    known = traits(3000, 1)
    age = known.table["age"].to_numpy()
    rate = np.where(known.table["half"] == "a", np.where(np.isnan(age), 0.25, np.where(age >= 50, 0.45, 0.05)), 0.2)
    result = look(rate, known=known)
    assert result.table.query("adopted")["trait"].tolist() == ["age"]
    after = assign(result.tree, known.table)
    ids = known.table["customer_id"]
    unknown = set(after[ids[(known.table["half"] == "a") & np.isnan(age)]])
    assert len(unknown) == 1
    assert not unknown & set(after[ids[(known.table["half"] == "a") & ~np.isnan(age)]])


def test_children_are_never_smaller_than_asked():
    known = traits(1000, 1)
    rate = np.where((known.table["flag"] == 1) & (known.table["half"] == "a"), 0.5, 0.05)
    assert not look(rate, known=known).table.empty
    assert look(rate, known=known, params=RefinementParams(permutations=199, min_child=251)).table.empty
    assert "looked at" not in text(look(rate, known=known, params=RefinementParams(permutations=199, min_child=260)))


def test_intervals_on_the_honest_half_cover_and_those_on_the_finding_half_flatter():
    known, inside, flattered, n = traits(800, 1), 0, 0, 0
    rate = flagged(known, 0.2, 0.35)
    loose = RefinementParams(permutations=99, alpha=0.5)
    for i in range(60):
        table = look(rate, seed=i, known=known, params=loose).table.query("segment == 's1' and trait == 'flag'")
        for row in table.itertuples():
            n += 1
            inside += row.low <= 0.15 <= row.high
            flattered += row.difference_find > row.difference
    assert n > 30
    assert stats.binomtest(inside, n, 0.90, alternative="less").pvalue > 0.001
    assert flattered / n > 0.45


def test_scores_of_effects_are_split_by_the_same_code():
    known = traits(2000, 1)
    rng = generator(4, "phi")
    effect = np.where((known.table["flag"] == 1) & (known.table["half"] == "a"), 0.3, 0.0)
    phi = pd.Series(effect + rng.normal(0, 0.6, 2000), index=known.table["customer_id"])
    current = contacts(known, np.full(2000, 0.2), 1)
    result = refine(tree(), current, known, params=QUICK, seed=1, cycle="c", kind="effect", score=phi)
    assert result.table.query("adopted")["trait"].tolist() == ["flag"]
    assert result.tree.node("s3").evidence["kind"] == "effect"


def test_the_same_input_in_another_order_gives_the_same_tree():
    known = traits(2000, 1)
    rate = flagged(known)
    mixed = type(known)(known.table.sample(frac=1, random_state=1), known.basis, known.catalogue)
    current = contacts(known, rate, 1)
    a = refine(tree(), current, known, params=QUICK, seed=1, cycle="c")
    b = refine(tree(), current.sample(frac=1, random_state=2), mixed, params=QUICK, seed=1, cycle="c")
    assert a.tree == b.tree
    pd.testing.assert_frame_equal(a.table, b.table)


def test_no_contacts_leave_the_tree_as_it_is():
    known = traits(200, 1)
    result = look(np.full(200, 0.2), known=known, params=RefinementParams(permutations=99, min_child=200))
    assert result.tree == tree()
    assert "No segment had enough contacted customers" in text(result)
    none = contacts(known, np.full(200, 0.2), 1)[:0]
    assert refine(tree(), none, known, params=QUICK, seed=1, cycle="c").table.empty
