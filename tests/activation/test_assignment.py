from datetime import date
from decimal import Decimal
from math import isnan

import pandas as pd
import pytest

from crmlab.activation.allocation import ActivationParams, allocate
from crmlab.activation.assignment import assignment
from crmlab.activation.beliefs import Beliefs
from crmlab.contract import Basis
from crmlab.trials.assignment import assign_arms
from crmlab.trials.power import mde_two_proportions

KEY = b"0123456789abcdef0123456789abcdef"


def plan(n, *, budget=10_000, mode="live", kind="response"):
    ids = [f"{i:05d}" for i in range(n)]
    draws = pd.DataFrame({k: [0.3, 0.2] for k in range(200)}, index=pd.Index(["s1", "s2"], name="segment"))
    names = pd.DataFrame({"segment": ["s1", "s2"], "name": ["One", "Two"]})
    effect = draws - 0.1 if kind == "uplift" else draws
    return allocate(
        pd.DataFrame({"customer_id": ids}),
        Beliefs(names, Basis(1, "customers"), effect, draws, kind, 1.0),
        pd.DataFrame({"customer_id": ids, "order_value": 100.0}),
        pd.Series(["s1", "s2"] * (n // 2), index=ids),
        as_of=date(2024, 1, 1),
        key=KEY,
        study="s",
        cycle="c",
        params=ActivationParams(budget=Decimal(budget), cost_per_contact=Decimal(1), margin_share=0.5),
        mode=mode,
    )


def arms(p, shares=0.2, **more):
    return assignment(p, shares=shares, key=KEY, study="s", cycle="c", campaign_id="s-c-12345678", **more)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_everybody_on_the_list_and_nobody_else_has_an_arm():
    p = plan(400, budget=150)
    table = arms(p).table
    assert list(table["customer_id"]) == sorted(p.table.loc[p.table["chosen"], "customer_id"])
    assert set(table["arm"]) == {"contacted", "control"}
    assert set(table["campaign_id"]) == {"s-c-12345678"}
    assert list(table.columns) == ["customer_id", "segment", "arm", "share", "campaign_id"]


def test_arms_are_those_of_the_keyed_hash_and_the_budget_moves_nobody_between_arms():
    p = plan(400)
    whole = arms(p).table.set_index("customer_id")["arm"]
    expected = assign_arms(p.table["customer_id"], shares=0.2, key=KEY, study="s", cycle="c")
    pd.testing.assert_series_equal(whole, expected)
    part = arms(plan(400, budget=100)).table.set_index("customer_id")["arm"]
    assert (whole.loc[part.index] == part).all()


def test_the_share_withheld_changes_nothing_about_who_is_on_the_list():
    p = plan(400, budget=100)
    assert set(arms(p, 0.1).table["customer_id"]) == set(arms(p, 0.5).table["customer_id"])


def test_shares_by_segment_are_kept_in_the_table_and_about_met():
    result = arms(plan(4000), {"s1": 0.1, "s2": 0.5})
    shown = result.shown().set_index("segment")
    assert shown["planned"].tolist() == [0.1, 0.5]
    assert shown["share"].tolist() == pytest.approx([0.1, 0.5], abs=0.035)
    assert result.table.groupby("segment")["share"].unique().map(list).tolist() == [[0.1], [0.5]]
    assert shown["contacted"].sum() + shown["control"].sum() == 4000


def test_the_smallest_uplift_found_is_that_of_the_comparison():
    result = arms(plan(1000))
    assert result.mde == pytest.approx(mde_two_proportions(result.contacted, result.control, 0.25, 0.05, 0.8))
    row = result.by_segment.iloc[0]
    assert row["mde"] == mde_two_proportions(row["contacted"], row["control"], row["baseline"], 0.05, 0.8)
    assert "find an uplift of" in said(result)


def test_with_a_control_group_in_the_past_the_baseline_is_its_rate():
    assert arms(plan(100, kind="uplift")).by_segment["baseline"].tolist() == pytest.approx([0.1, 0.1])


def test_no_control_group_everybody_withheld_and_too_few_are_each_said():
    assert "cannot be identified" in said(arms(plan(100), 0.0))
    assert "Everybody is withheld" in said(arms(plan(100), 1.0))
    few = arms(plan(6), 0.5)
    assert isnan(few.mde)
    assert "too few to find any uplift reliably" in said(few)
    assert "The list is empty" in said(arms(plan(10, budget=0)))


def test_in_replay_the_assignment_is_said_never_to_have_been_carried_out():
    assert "never carried out" in said(arms(plan(100, mode="replay")))
    assert "never carried out" not in said(arms(plan(100)))
