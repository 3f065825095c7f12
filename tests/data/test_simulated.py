"""The simulated company is what its truth says it is."""

from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.data import DataParams, read
from crmlab.data.simulated import Options, truth


def world(**options):
    con = ibis.duckdb.connect(":memory:", threads=1)
    intake = read(DataParams(source="simulated", options=options), folder=Path(), con=con)
    return {name: table.order_by(list(table.columns)).execute() for name, table in intake.tables.items()}


def answers(tables):
    """Contacts with `response` 0/1 and `club`."""
    responded = tables["outcomes"][["customer_id", "campaign_id", "response"]]
    joined = tables["contacts"].merge(responded, how="left", on=["customer_id", "campaign_id"])
    joined = joined.merge(tables["customers"][["customer_id", "club"]], on="customer_id")
    return joined.assign(response=joined["response"].fillna(0))


def rates(tables, by):
    """Share responding by group, with four standard errors."""
    grouped = answers(tables).groupby(by)["response"].agg(["mean", "size"])
    return grouped.assign(near=4 * np.sqrt(grouped["mean"] * (1 - grouped["mean"]) / grouped["size"]))


def test_one_seed_is_one_world_and_another_seed_another():
    one, again, other = world(n_customers=200, seed=3), world(n_customers=200, seed=3), world(n_customers=200, seed=4)
    for name in one:
        pd.testing.assert_frame_equal(one[name], again[name])
    assert not one["transactions"].equals(other["transactions"])


def test_without_heterogeneity_a_response_depends_on_nothing():
    found = rates(world(n_customers=3000), ["arm", "club"])
    assert (abs(found["mean"] - 0.10) < found["near"]).all()


def test_a_planted_level_moves_both_arms_of_the_club_alike():
    found = rates(world(n_customers=3000, heterogeneity="level"), ["club", "arm"])
    expected = pd.Series({(0, "control"): 0.1, (0, "mailed"): 0.1, (1, "control"): 0.4, (1, "mailed"): 0.4})
    assert (abs(found["mean"] - expected) < found["near"]).all()


def test_a_planted_effect_moves_only_the_contacted_club():
    found = rates(world(n_customers=3000, heterogeneity="effect"), ["club", "arm"])
    expected = pd.Series({(0, "control"): 0.1, (0, "mailed"): 0.1, (1, "control"): 0.1, (1, "mailed"): 0.35})
    assert (abs(found["mean"] - expected) < found["near"]).all()


def test_the_truth_says_what_was_planted():
    planted = truth(Options(heterogeneity="effect", effect=0.05)).customers.groupby("club")["effect"].unique()
    assert planted[0] == pytest.approx([0.05])
    assert planted[1] == pytest.approx([0.30])


def test_the_control_group_is_withheld_at_random_with_its_share():
    contacts = world(n_customers=3000, control_share=0.2)["contacts"]
    share = (contacts["arm"] == "control").mean()
    assert abs(share - 0.2) < 4 * np.sqrt(0.2 * 0.8 / len(contacts))
    assert (contacts.groupby("arm")["cost"].max() == pd.Series({"control": 0, "mailed": 0.5})).all()


def test_not_randomised_there_is_no_control_group_and_better_customers_are_mailed():
    tables = world(n_customers=1000, randomised=False)
    assert set(tables["contacts"]["arm"]) == {"mailed"}
    spend = tables["transactions"].groupby("customer_id")["amount"].sum().astype(float)
    mailed = spend.index.isin(tables["contacts"]["customer_id"])
    assert spend[mailed].mean() > 1.5 * spend[~mailed].mean()


def test_purchase_rates_and_leaving_are_those_of_the_model():
    options = Options(n_customers=20_000, weeks=60, acquired_weeks=1, r=2.0, alpha=10.0, a=1.0, b=4.0)
    known = truth(options).customers
    assert known["rate_weekly"].mean() == pytest.approx(0.2, rel=0.03)
    assert known["p_leave"].mean() == pytest.approx(0.2, rel=0.03)
    # A customer of rate m who leaves with probability p makes (1 - exp(-m p t)) / p repeat purchases by t on average.
    t = 60 - (known["acquired_on"] - pd.Timestamp("2023-01-02")).dt.days / 7
    expected = ((1 - np.exp(-known["rate_weekly"] * known["p_leave"] * t)) / known["p_leave"]).sum()
    con = ibis.duckdb.connect(":memory:", threads=1)
    params = DataParams(source="simulated", options=options.model_dump())
    made = read(params, folder=Path(), con=con).tables["transactions"].count().execute() - options.n_customers
    assert made == pytest.approx(expected, rel=0.02)


def test_nobody_buys_before_being_acquired_or_after_leaving():
    options = {"n_customers": 500, "seed": 2}
    known = truth(Options(**options)).customers.set_index("customer_id")
    days = world(**options)["transactions"].groupby("customer_id")["date"].agg(["min", "max"])
    assert (days["min"] == known["acquired_on"]).all()
    left = known["left_on"].notna()
    assert 0 < left.mean() < 1
    assert (days["max"][left] == known["left_on"][left]).all()


def test_contacts_go_to_known_customers_and_answers_come_within_the_data():
    tables = world(n_customers=500)
    first = tables["transactions"].groupby("customer_id")["date"].min()
    contacts = tables["contacts"]
    assert (first[contacts["customer_id"]].to_numpy() < contacts["sent_at"].to_numpy()).all()
    days = tables["outcomes"].merge(contacts, on=["customer_id", "campaign_id"])
    wait = (days["date"] - days["sent_at"]).dt.days
    assert wait.between(1, 28).all()
    assert days["date"].max() <= pd.Timestamp("2023-01-02") + pd.Timedelta(days=7 * 104 - 1)
