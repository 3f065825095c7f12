"""A comparison of segmentations: which is recommended and why, each sentence both ways."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crmlab.contract import Basis, Fault, Refused, generator
from crmlab.segments.agreement import Agreement
from crmlab.segments.explained import explained
from crmlab.segments.future import RESPONSE, SPEND
from crmlab.segments.judged import Comparison, verdicts
from crmlab.segments.stability import Stability

N = 2_000
BASIS = Basis(N, "customers")


def ids(n: int = N) -> pd.Index:
    return pd.Index([f"{i:05d}" for i in range(n)], dtype="str", name="customer_id")


@pytest.fixture(scope="module")
def told():
    """`true` has four groups; `blurred` loses most of them, `coarse` half, `nearly` hardly any, `noise` all."""
    rng = generator(1, "told")
    group = rng.integers(0, 4, N)
    segments = {
        "true": group,
        "nearly": np.where(np.arange(N) < 4, 0, group),
        "coarse": group // 2,
        "blurred": np.where(rng.random(N) < 0.7, rng.integers(0, 4, N), group),
        "noise": rng.integers(0, 4, N),
    }
    outcomes = pd.DataFrame({SPEND: group + rng.standard_normal(N)}, index=ids())
    outcomes[RESPONSE] = np.where(segments["coarse"] > 0, 1.0, 0.0) + 3 * (segments["noise"] > 2)
    outcomes["random"] = rng.standard_normal(N)
    return SimpleNamespace(segments=segments, outcomes=outcomes)


def compared(told, rows: dict[str, dict], outcomes: list[str] | None = None, **more) -> Comparison:
    """A comparison of the named segmentations; `rows` says what is special of each."""
    members = {k: pd.Series(told.segments[k], ids()).map(lambda s: f"s{s + 1}").astype("str") for k in rows}
    frame = told.outcomes[outcomes or [SPEND]]
    found = explained(members, frame, labels={k: k for k in rows}, seed=1, basis=BASIS)
    by = found.table[found.table["outcome"] == (found.headline_outcome() or SPEND)].set_index("candidate")
    plain = {"in_force": False, "segments": 4, "smallest": 300, "traits": 3, "modelled": False, "sure": 1.0}
    plain |= {"reach": np.nan, "reach_name": None, "dissolved": 0, "weakest": 0.9, "ari": 0.9}
    table = pd.DataFrame(
        [{"candidate": k, "label": k, **plain, **by.loc[k, ["share", "low", "high"]], **row} for k, row in rows.items()]
    )
    segments = [
        (k, k, "s1", f"{k} one", 300, 0.4, 0.3, 0.5, "dissolved") for k, r in rows.items() if r.get("dissolved")
    ]
    columns = ["candidate", "label", "segment", "name", "customers", "jaccard", "low", "high", "state"]
    stable = Stability(pd.DataFrame(segments, columns=columns), BASIS, Agreement(pd.DataFrame(), BASIS), 20)
    table = table.assign(verdict=verdicts(table, found))
    return Comparison(table, BASIS, found, stable, **{"weeks": 26, "wanted": 26, **more})


def said(found: Comparison) -> str:
    return " ".join(map(str, found.sentences()))


def test_the_simplest_that_is_not_clearly_worse_is_used_and_the_reason_is_said(told):
    found = compared(
        told, {"true": {"traits": 12, "modelled": True}, "nearly": {"traits": 3}, "blurred": {"traits": 1}}
    )
    assert found.recommended() == "nearly"
    assert "Use “nearly”: it is the simplest (traits to know: 3, segments: 4)" in said(found)
    assert "“true” explains" in said(found)
    assert found.table.set_index("candidate")["verdict"].to_dict() == {
        "true": "not clearly worse, less simple",
        "nearly": "use this",
        "blurred": "explains less",
    }


def test_the_best_is_used_where_nothing_simpler_does_as_well(told):
    found = compared(told, {"true": {"traits": 12, "modelled": True}, "blurred": {"traits": 1}})
    assert found.recommended() == "true"
    assert "Use “true”: of the segmentations none of whose segments dissolves it explains most" in said(found)


def test_of_two_that_explain_the_same_rules_come_before_models_then_traits_then_segments(told):
    alike = {"true": {"traits": 2, "modelled": True}, "nearly": {"traits": 5}}
    assert compared(told, alike).recommended() == "nearly"
    alike = {"true": {"traits": 5}, "nearly": {"traits": 2}}
    assert compared(told, alike).recommended() == "nearly"
    alike = {"true": {"segments": 6}, "nearly": {"segments": 4}}
    assert compared(told, alike).recommended() == "nearly"
    alike = {"true": {}, "nearly": {}}
    assert compared(told, alike).recommended() == "true", "alike in all, the first"


def test_what_dissolves_is_not_used_however_much_it_explains_and_is_named(told):
    found = compared(told, {"true": {"dissolved": 1}, "blurred": {}})
    assert found.recommended() == "blurred"
    assert "“true”: true one: no segments, for a resample of the customers dissolves them." in said(found)
    assert "dissolves them" not in said(compared(told, {"true": {}, "blurred": {}}))
    none = compared(told, {"true": {"dissolved": 1}, "blurred": {"segments": 1}})
    assert none.recommended() is None
    assert str(none.sentences()[0]).startswith("No segmentation holds")
    assert "“blurred” finds nothing that parts the customers" in said(none)


def test_none_is_worth_having_where_nothing_explains_anything(told):
    found = compared(told, {"noise": {}})
    assert found.recommended() is None
    assert str(found.sentences()[0]).startswith(
        "None of these segmentations is worth having: the best that holds, “noise”"
    )
    assert set(found.table["verdict"]) == {"explains nothing worth having"}


def test_what_is_in_force_is_held_against_what_is_recommended(told):
    same = compared(told, {"true": {"in_force": True}, "blurred": {}})
    assert "It is the one in force." in said(same)
    more = compared(told, {"true": {}, "blurred": {"in_force": True}})
    assert "more than what is in force, “blurred”, explains" in said(more)
    lost = compared(told, {"true": {"in_force": True, "dissolved": 1}, "blurred": {}})
    assert "What is in force, “true”, explains" in said(lost)
    assert "but does not hold" in said(lost)
    level = compared(told, {"true": {"in_force": True, "traits": 9}, "nearly": {}})
    assert "a matter of simplicity" in said(level)


def test_who_answers_is_another_question_than_who_spends(told):
    both = [SPEND, RESPONSE]
    found = compared(told, {"true": {}, "noise": {}}, both)
    assert found.recommended() == "true"
    assert "Who answers contacts is told better by “noise”" in said(found)
    assert "For who answers contacts, too" in said(compared(told, {"true": {}, "blurred": {}}, both))
    chance = told.outcomes.assign(**{RESPONSE: told.outcomes["random"]})
    unknown = compared(SimpleNamespace(segments=told.segments, outcomes=chance), {"true": {}, "noise": {}}, both)
    assert "Who answers contacts is told by none that holds: of 2,000 customers" in said(unknown)
    assert "told better" not in said(unknown)
    alone = compared(told, {"true": {}, "noise": {}}, [RESPONSE])
    assert alone.recommended() == "noise"
    assert "response to contacts" in str(alone.sentences()[0])


def test_fewer_weeks_missing_candidates_past_answers_and_reach_are_said_and_else_not(told):
    plain = said(compared(told, {"true": {}, "noise": {}}))
    why = Refused("segments", [Fault("segments.by", "'r_score': no such trait")])
    more = {"weeks": 9, "left_out": (("RFM", why),), "learnt": ("true",), "reachable": 0.8}
    row = {"reach": 0.7, "reach_name": "one"}
    found = said(compared(told, {"true": row, "noise": {}}, **more))
    for text in ("9 weeks were withheld, not 26", "“RFM” cannot be made here: 'r_score'", "its figures flatter it"):
        assert text in found
        assert text not in plain
    assert "In each of its segments customers may be contacted: 70% or more (of all 80%)." in found
    everyone = said(compared(told, {"true": {"reach": 1.0, "reach_name": "one"}, "noise": {}}, **more))
    assert "All customers of all its segments may be contacted." in everyone
    few = said(compared(told, {"true": {"reach": 0.1, "reach_name": "one"}, "noise": {}}, **more))
    assert "Few of “one” may be contacted: 10%, of all customers 80%." in few
    assert "contacted" not in plain


def test_a_page_hides_how_few_the_smallest_holds(told):
    html = compared(told, {"true": {"smallest": 3}, "noise": {"smallest": 1_234}})._repr_html_()
    assert "4 (&lt; 5)" in html
    assert "4 (1,234)" in html


def test_of_one_segment_alone_nothing_is_explained_and_nothing_comes_again(told):
    alone = {"segments": 1, "traits": 0, "weakest": 1.0}
    shown = compared(told, {"true": {}, "noise": alone}).shown().set_index("candidate")
    assert shown.loc["noise", ["explained", "weakest", "known"]].isna().all()
    assert shown.loc["true", ["explained", "weakest", "known"]].notna().all()


def test_what_to_use_stands_above_the_table_and_once(told):
    html = compared(told, {"true": {}, "noise": {}}, reachable=1.0)._repr_html_()
    assert html.index("Use “true”") < html.index("<table>") < html.index("</table>")
    assert html.count("Use “true”") == 1
