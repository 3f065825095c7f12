"""Whether segments come again: Jaccard and Rand by hand and by sklearn, resamples, and another day."""

from dataclasses import replace
from datetime import date

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from crmlab.base.rfm import RFMParams, rfm
from crmlab.base.traits import Traits
from crmlab.contract import Basis, Refused, generator
from crmlab.contract.result import FEWEST
from crmlab.segments.again import remade
from crmlab.segments.agreement import Agreement, agreement
from crmlab.segments.candidates import Candidate
from crmlab.segments.params import SegmentsSpec
from crmlab.segments.stability import Stability, jaccard, rescored, stability
from crmlab.segments.start import start
from crmlab.segments.tree import assign
from crmlab.segments.written import from_plain


def traits_of(**columns) -> Traits:
    n = len(next(iter(columns.values())))
    table = pd.DataFrame({"customer_id": pd.Series([f"{i:05d}" for i in range(n)], dtype="str"), **columns})
    catalogue = pd.DataFrame({"name": list(columns), "kind": "number", "source": "customers", "sensitive": False})
    return Traits(table, Basis(n, "customers"), catalogue)


def by(traits: Traits, key: str, **spec) -> Candidate:
    how = SegmentsSpec(**{"min_size": 1, **spec})
    return Candidate(key, key, how, start(traits, how).tree)


def anew(c: Candidate, traits: Traits, name: str):
    return remade(c.tree, c.spec, traits, name, seed=1, clv=None)


def judged(traits: Traits, *candidates: Candidate, then: Traits | None = None, how=anew, resamples=20) -> Stability:
    return stability(list(candidates), traits, then, remade=how, resamples=resamples, scores=5, seed=1)


def test_the_largest_jaccard_of_a_table_worked_by_hand():
    counts = np.array([[8, 2, 0], [1, 0, 9], [0, 0, 0]])
    # first: 8 of 8 + 2 + 1, or 2 of 10; second: 9 of 10; nobody of the third was drawn
    assert jaccard(counts)[:2] == pytest.approx([8 / 11, 9 / 10])
    assert np.isnan(jaccard(counts)[2])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40))
def test_jaccard_is_that_of_sets_and_rand_that_of_sklearn(rows):
    one, other = (np.array(c) for c in zip(*rows, strict=True))
    counts = np.zeros((4, 5), dtype=int)
    np.add.at(counts, (one, other), 1)
    for k in range(4):
        mine = set(np.flatnonzero(one == k))
        theirs = [set(np.flatnonzero(other == j)) for j in range(5)]
        expected = max(len(mine & t) / max(len(mine | t), 1) for t in theirs) if mine else np.nan
        assert jaccard(counts)[k] == pytest.approx(expected, nan_ok=True)
    index = pd.Index([str(i) for i in range(len(rows))])
    ari, low, high = agreement(pd.Series(one, index).astype(str), pd.Series(other, index).astype(str), 1, "a")
    assert ari == pytest.approx(adjusted_rand_score(one, other))
    assert low <= high + 1e-9


def test_scores_in_a_resample_are_those_that_rfm_gives_its_customers():
    rng = generator(1, "rescored")
    n, as_of = 200, date(2024, 12, 31)
    frame = pd.DataFrame(
        {
            "customer_id": [f"{i:03d}" for i in rng.integers(0, n, 900)],
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 360, 900), unit="D"),
            "amount": rng.integers(1, 20, 900).astype(float),
        }
    )
    orders = ibis.memtable(frame)
    orders = orders.mutate(date=orders.date.cast("date"), amount=orders.amount.cast("decimal(18, 4)"))
    whole = rfm(orders, as_of=as_of, params=RFMParams(scores=4)).table
    assert rescored(whole, 4).equals(whole)
    half = whole["customer_id"].iloc[::2]
    part = rfm(orders.filter(orders.customer_id.isin(list(half))), as_of=as_of, params=RFMParams(scores=4)).table
    again = rescored(whole[whole["customer_id"].isin(half)].reset_index(drop=True), 4)
    pd.testing.assert_frame_equal(again.drop(columns="cell"), part.drop(columns="cell"))


def test_two_clouds_far_apart_come_again_and_what_is_found_by_chance_dissolves():
    rng = generator(2, "clouds")
    traits = traits_of(
        far=np.where(rng.random(600) < 0.5, 0.0, 10.0) + rng.standard_normal(600),
        noise_1=rng.standard_normal(600),
        noise_2=rng.standard_normal(600),
        noise_3=rng.standard_normal(600),
    )
    clouds, chance = by(traits, "clouds", by="far", bands=2), by(traits, "chance", by="noise_1", bands=4)

    def how(c, drawn, name):
        """Of the second, whichever trait is correlated most with the first customers' order: chance decides."""
        if c.key == "clouds":
            return anew(c, drawn, name)
        trait = f"noise_{generator(3, name).integers(1, 4)}"
        return start(drawn, SegmentsSpec(by=trait, bands=4)).tree

    found = judged(traits, clouds, chance, how=how)
    states = found.table.groupby("candidate")["state"].agg(set)
    assert states["clouds"] == {"stable"}
    assert states["chance"] == {"dissolved"}
    assert found.dissolved("clouds") == []
    told = " ".join(map(str, found.sentences()))
    assert "20 resamples of 600 customers" in told
    assert "“chance”: a resample dissolves noise_1 at least" in told
    calm = judged(traits, clouds)
    assert "Every segment comes again" in str(calm.sentences()[-1])
    rands = found.agreement.table.set_index("candidate")["ari"]
    assert rands["clouds"] > 0.9 > 0.5 > rands["chance"]


def test_rules_with_fixed_bounds_come_again_by_construction():
    traits = traits_of(a=np.arange(100.0))
    fixed = replace(by(traits, "fixed", by="a", bands=3), spec=None)
    found = judged(traits, fixed)
    assert (found.table[["jaccard", "low", "high"]] == 1).all(axis=None)


def test_what_cannot_be_made_again_in_a_resample_dissolves():
    traits = traits_of(a=np.arange(60.0))

    def never(c, drawn, name):
        raise Refused("segments", "cannot be")

    found = judged(traits, by(traits, "a", by="a", bands=2), how=never)
    assert set(found.table["state"]) == {"dissolved"}
    assert found.agreement.table["ari"].tolist() == [0.0]


def test_half_a_year_later_customers_that_stay_and_rules_that_stay_are_told_apart():
    rng = generator(4, "later")
    before = rng.permutation(400).astype(float)
    then = traits_of(a=before)
    moved = traits_of(a=rng.permutation(400).astype(float))
    shifted = traits_of(a=before + 1_000.0)

    def at(now: Traits) -> pd.Series:
        c = by(now, "a", by="a", bands=4)
        c = replace(c, before=remade(c.tree, c.spec, then, "before", seed=1, clv=None))
        return judged(now, c, then=then, resamples=2).agreement

    mixed = at(moved).table.iloc[0]
    assert mixed["stay"] < 0.05
    assert mixed["again"] > 0.95
    up = at(shifted).table.iloc[0]
    assert up[["stay", "again"]].tolist() == [0, 0], "all are in the old top band, which tells nothing of new ones"
    same = at(then)
    assert same.table.iloc[0][["stay", "again"]].tolist() == [1.0, 1.0]
    assert same.table.iloc[0]["stay_low"] == 1.0
    assert "Customers stay about as long" in str(same.sentences()[0])
    none = judged(then, by(then, "a", by="a"), resamples=2).agreement
    assert "do not reach back" in str(none.sentences()[0])


def test_who_stays_longest_is_said_only_where_it_is_clear():
    rng = generator(5, "longest")
    kept, lost = rng.standard_normal(500), rng.standard_normal(500)
    then = traits_of(kept=kept, lost=lost)
    now = traits_of(kept=kept + 0.1 * rng.standard_normal(500), lost=rng.standard_normal(500))
    made = [by(now, k, by=k, bands=3) for k in ("kept", "lost")]
    made = [replace(c, before=remade(c.tree, c.spec, then, "before", seed=1, clv=None)) for c in made]
    told = str(judged(now, *made, then=then, resamples=2).agreement.sentences()[0])
    assert "longest in the segments of “kept”" in told
    assert "least in those of “lost”" in told


@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_of_nobody_one_and_ten_customers_something_is_said(n):
    traits = traits_of(a=np.arange(float(n)))
    found = judged(traits, by(traits, "a", by="a", bands=2), then=traits, resamples=3)
    assert found.sentences()
    assert ("<table>" if n else "no customers from whom resamples could be drawn") in found._repr_html_()
    assert "<table>" in found.agreement._repr_html_()


def test_few_customers_are_not_shown_and_not_named():
    rng = generator(6, "few")
    traits = traits_of(a=np.r_[rng.standard_normal(96), [50.0, 60.0, 70.0]])
    spec = SegmentsSpec(by="a", min_size=1)
    few = {"next_id": 3, "nodes": [{"id": "s1", "name": "top", "when": [{"trait": "a", "at_least": 40}]}]}
    tree = from_plain({**few, "nodes": [*few["nodes"], {"id": "s2", "name": "rest", "when": []}]})
    found = judged(traits, Candidate("a", "a", spec, tree), how=lambda c, t, name: start(t, spec).tree)
    assert found.table.set_index("segment")["customers"]["s1"] < FEWEST
    assert "top" not in " ".join(map(str, found.sentences()))
    assert "&lt; 5" in found._repr_html_()


def test_neither_row_order_nor_other_candidates_change_what_is_drawn():
    rng = generator(7, "order")
    traits = traits_of(a=rng.standard_normal(200), b=rng.standard_normal(200))
    one, two = by(traits, "a", by="a"), by(traits, "b", by="b")
    mixed = replace(traits, table=traits.table.iloc[rng.permutation(200)].reset_index(drop=True))
    alone, both = judged(traits, one), judged(mixed, two, one)
    pd.testing.assert_frame_equal(alone.table, both.table[both.table["candidate"] == "a"].reset_index(drop=True))


def test_the_segments_of_identical_customers_are_one():
    traits = traits_of(a=np.full(80, 3.0))
    c = by(traits, "a", by="a", bands=4)
    assert assign(c.tree, traits.table).nunique() == 1
    found = judged(traits, replace(c, before=c.tree), then=traits)
    assert found.table["jaccard"].tolist() == [1.0]
    assert found.agreement.table[["ari", "stay", "again"]].isna().all(axis=None), "nobody can leave"
    assert found.agreement.sentences() == []


def test_no_zero_stands_below_zero():
    table = pd.DataFrame({"candidate": ["a"], "label": ["a"]})
    table = table.assign(**{f"{m}{e}": -0.001 for m in ("ari", "stay", "again") for e in ("", "_low", "_high")})
    found = Agreement(table, Basis(9, "customers"))
    assert "-0.00" not in found._repr_html_() + str(found.sentences()[0])
