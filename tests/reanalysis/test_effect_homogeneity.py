"""Verdicts on effects inside a segment: planted differences are found, none invented, ignorance is said."""

import json

import numpy as np
import pandas as pd
import pytest

from crmlab.base.traits import Traits
from crmlab.contract import Basis
from crmlab.reanalysis.effect_homogeneity import effect_homogeneity
from crmlab.reanalysis.effects import EffectParams

PARAMS = EffectParams(permutations=199)


def world(rng, n: int, effect, *, segment: str = "s1", campaigns: int = 1):
    """A randomised trial whose effect is a function of a visible flag; two more traits that do not matter."""
    ids = [f"{segment}{i:05d}" for i in range(n)]
    club = rng.integers(0, 2, n)
    frames = []
    for k in range(campaigns):
        treated = rng.random(n) < 0.5
        y = rng.random(n) < 0.2 + treated * effect(club)
        frames.append(
            pd.DataFrame(
                {
                    "customer_id": ids,
                    "campaign_id": f"k{k}",
                    "arm": np.where(treated, "mailed", "control"),
                    "sent_at": pd.Timestamp("2020-01-01"),
                    "response": y.astype(int),
                    "spend": 0.0,
                    "orders": 0,
                    "segment": segment,
                }
            )
        )
    table = pd.DataFrame(
        {"customer_id": ids, "club": club, "age": rng.normal(size=n), "town": rng.choice(["a", "b"], n)}
    )
    return pd.concat(frames, ignore_index=True), table


def as_traits(table: pd.DataFrame, **not_allowed: bool) -> Traits:
    kinds = {"club": "flag", "age": "number", "town": "category"}
    catalogue = pd.DataFrame({"name": list(kinds), "kind": list(kinds.values()), "allowed_for_splits": True})
    return Traits(table=table, basis=Basis(len(table), "customers"), catalogue=catalogue)


def look(frame, traits, *, seed=1, design="randomised", tolerance=0.05, params=PARAMS, **more):
    return effect_homogeneity(
        frame, traits, names={}, design=design, params=params, seed=seed, cycle="c", tolerance=tolerance, **more
    )


def test_a_planted_difference_is_called_heterogeneous_and_its_trait_named():
    rng = np.random.default_rng(1)
    found = 0
    for i in range(20):
        frame, table = world(rng, 2000, lambda club: 0.4 * club)
        row = look(frame, as_traits(table), seed=i).table.iloc[0]
        found += row["verdict"] == "heterogeneous" and row["best_trait"] == "club" and row["p"] <= 0.05
    assert found >= 18


def test_equal_effects_are_undecided_never_homogeneous():
    rng = np.random.default_rng(2)
    verdicts, p = [], []
    for i in range(60):
        frame, table = world(rng, 500, lambda club: 0.1 + 0 * club)
        row = look(frame, as_traits(table), seed=i).table.iloc[0]
        verdicts.append(row["verdict"])
        p.append(row["p"])
        assert np.isnan(row["high"])
    assert verdicts.count("undecided") >= 56
    assert "homogeneous" not in verdicts
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_a_difference_as_large_as_the_mde_is_found_about_as_often_as_stated():
    rng = np.random.default_rng(3)
    mde = look(*_with_traits(world(rng, 1000, lambda club: 0.1 + 0 * club))).table["mde"].iloc[0]
    found = sum(
        look(*_with_traits(world(rng, 1000, lambda club: mde * club)), seed=i).table["p"].iloc[0] <= 0.05
        for i in range(60)
    )
    assert 0.65 <= found / 60 <= 0.95


def _with_traits(pair):
    return pair[0], as_traits(pair[1])


@pytest.mark.parametrize("case", ["observational", "no traits", "no allowed traits", "too few withheld"])
def test_what_cannot_be_known_is_called_not_identifiable(case):
    frame, table = world(np.random.default_rng(4), 400, lambda club: 0.3 * club)
    traits = as_traits(table)
    if case == "no allowed traits":
        traits = Traits(table, traits.basis, traits.catalogue.assign(allowed_for_splits=False))
    if case == "too few withheld":
        frame["arm"] = np.where(np.arange(400) < 5, "control", "mailed")
    design = "observational" if case == "observational" else "randomised"
    result = look(frame, None if case == "no traits" else traits, design=design)
    assert result.table["verdict"].tolist() == ["not identifiable"]
    assert "cannot be known here" in str(result.sentences()[0])
    assert result.verdicts()[0]["p"] is None
    assert "not identifiable" in result._repr_html_()


def test_sentences_say_how_many_segments_are_unequal_or_undecided():
    rng = np.random.default_rng(5)
    one, table_one = world(rng, 2000, lambda club: 0.5 * club, segment="s1")
    other, table_other = world(rng, 500, lambda club: 0.1 + 0 * club, segment="s2")
    result = look(pd.concat([one, other]), as_traits(pd.concat([table_one, table_other])))
    assert result.table["verdict"].tolist() == ["heterogeneous", "undecided"]
    said = [str(s) for s in result.sentences()]
    assert said[0].startswith("In 1 of 2 segments contact is worth clearly more")
    assert said[1].startswith("1 of 2 segments are undecided")
    assert "points" in said[1]
    alone = look(other, as_traits(table_other))
    assert str(alone.sentences()[0]) == "No segment is shown to answer unequally to contact."
    assert (result.table["p_adjusted"] >= result.table["p"]).all()


def test_verdicts_are_plain_and_rounded():
    frame, table = world(np.random.default_rng(6), 400, lambda club: 0.1 + 0 * club)
    found = look(frame, as_traits(table)).verdicts()
    assert json.loads(json.dumps(found)) == found
    assert {k: found[0][k] for k in ("segment", "outcome", "kind")} == {
        "segment": "s1",
        "outcome": "response",
        "kind": "effect",
    }
    assert found[0]["mde"] == round(found[0]["mde"], 6)


def test_phi_has_one_value_a_customer_and_its_mean_is_the_uplift():
    frame, table = world(np.random.default_rng(7), 2000, lambda club: 0.2 * club, campaigns=2)
    result = look(frame, as_traits(table), share=0.5)
    assert result.phi.index.is_unique
    assert sorted(result.phi.index) == sorted(table["customer_id"])
    assert result.phi.mean() == pytest.approx(result.table["uplift"].iloc[0], abs=0.01)
    by_club = result.phi.groupby(table.set_index("customer_id")["club"]).mean()
    assert by_club[1] - by_club[0] == pytest.approx(0.2, abs=0.08)
    assert look(frame, as_traits(table), share=pd.Series({"s1": 0.5})).phi.equals(result.phi)


def test_same_seed_same_answer_whatever_the_order_of_rows():
    frame, table = world(np.random.default_rng(8), 300, lambda club: 0.1 * club)
    one = look(frame, as_traits(table))
    other = look(frame.sample(frac=1, random_state=1), as_traits(table.sample(frac=1, random_state=2)))
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    pd.testing.assert_series_equal(one.phi, other.phi, check_exact=True)
