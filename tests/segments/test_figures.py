"""Key figures: hand-worked, medians whose intervals cover, tenths with ties, nothing of very few."""

import numpy as np
import pandas as pd
import pytest

from crmlab.contract import generator
from crmlab.segments.figures import figures, quantile_interval, tenths


def test_a_median_s_interval_covers_in_at_least_nine_of_ten_samples():
    rng = generator(2, "figures")
    ends = [quantile_interval(rng.lognormal(0, 1, 45))[1:] for _ in range(800)]
    covered = np.mean([low <= 1 <= high for low, high in ends])
    assert 0.88 <= covered <= 0.96


def test_it_is_that_between_the_order_statistics_of_the_tables():
    # n = 20: ranks 6 and 15 hold the median with 95.9 %, 7 and 14 with 88.5 % [David & Nagaraja 2003].
    assert quantile_interval(np.arange(1.0, 21))[1:] == (6.0, 15.0)
    assert np.isnan(quantile_interval(np.array([1.0, 2, 3]))[1]), "three values cannot say"
    assert np.isnan(quantile_interval(np.array([]))[0])


def test_figures_are_those_worked_by_hand():
    people = list("abcdefghij")
    membership = pd.Series(["s1"] * 6 + ["s2"] * 4, index=people)
    traits = pd.DataFrame({"customer_id": people, "frequency": range(1, 11), "monetary": [10.0] * 6 + [0.0] * 4})
    value = pd.DataFrame({"customer_id": people, "clv": [float(i) for i in range(10)]})
    value = value.assign(p_alive=0.5, p_alive_low=0.4, p_alive_high=0.6)
    timing = pd.DataFrame(
        {"segment": ["all", "s1", "s2"], "customers": [10, 6, 4], "median": [7.0, 5.0, 9.0], "low": 1.0, "high": 20.0,
         "judged": [10, 6, 3], "overdue": [0.1, 0.5, 1.0], "overdue_low": 0.0, "overdue_high": 1.0}
    )  # fmt: skip
    t = figures(membership, traits, value=value, timing=timing, permitted={"email": pd.Index(["a", "b", "j"])})
    t = t.set_index(["segment", "figure"])
    assert t.loc[("s1", "customers"), ["value", "base"]].tolist() == [6, 10]
    assert t.loc[("s1", "frequency"), ["value", "base"]].tolist() == [3.5, 5.5]
    assert t.loc[("s1", "spend_share"), "value"] == 1.0
    assert t.loc[("s1", "value_share"), "value"] == pytest.approx(15 / 45)
    assert t.loc[("s2", "alive"), ["value", "low", "high", "base"]].tolist() == pytest.approx([0.5, 0.4, 0.6, 0.5])
    assert t.loc[("s1", "permits email"), ["value", "base"]].tolist() == pytest.approx([2 / 6, 0.3])
    assert t.loc[("s1", "overdue"), ["value", "base"]].tolist() == [0.5, 0.1]
    assert ("s2", "overdue") not in t.index, "three people who can be judged are too few"
    due = timing.drop(columns="judged").assign(customers=[12, 6, 6], overdue=[0.3, 0.2, 0.4])
    everybody = figures(membership, traits, timing=timing, due=due).set_index(["segment", "figure"])
    assert everybody.loc[("s2", "overdue"), ["value", "base"]].tolist() == [0.4, 0.3], "a model judges everybody"
    unlearnt = figures(membership, traits, timing=timing, due=due.assign(overdue=np.nan))
    assert unlearnt.set_index(["segment", "figure"]).loc[("s1", "overdue"), "value"] == 0.5


def test_without_values_orders_or_anybody_there_is_less_and_no_fault():
    membership = pd.Series({"a": "s1"})
    bare = figures(
        membership, pd.DataFrame({"customer_id": ["a"], "country": ["it"]}), value=pd.DataFrame({"model": [1]})
    )
    assert set(bare["figure"]) == {"customers", "share"}
    nobody = pd.Series([], index=pd.Index([], dtype="str"), dtype="str")
    assert figures(nobody, pd.DataFrame({"customer_id": pd.Series([], dtype="str")})).empty


def test_tenths_share_ties_and_hold_a_tenth_of_all_each():
    people = [f"{i:03d}" for i in range(200)]
    membership = pd.Series(np.where(np.arange(200) < 100, "s1", "s2"), index=people)
    value = pd.DataFrame({"customer_id": people, "clv": np.arange(200.0)})
    t = tenths(value, membership)
    assert t.groupby("tenth")["customers"].sum().tolist() == [20] * 10
    assert t[t["segment"] == "s2"].set_index("tenth")["share"].to_dict() == {k: 0.2 * (k > 5) for k in range(1, 11)}
    tied = value.assign(clv=np.where(np.arange(200) < 150, 0.0, value["clv"]))
    assert tenths(tied, membership).groupby("tenth")["customers"].sum().iloc[3] == 150, "equal values share a tenth"


@pytest.mark.parametrize("value", [pd.DataFrame({"model": [1]}), pd.DataFrame({"customer_id": ["a"], "clv": [1.0]})])
def test_where_all_are_equal_or_nothing_is_known_there_are_no_tenths(value):
    assert tenths(value, pd.Series({"a": "s1"})).empty


def test_risk_is_told_where_a_model_passed_and_left_out_where_none_did():
    membership = pd.Series(["s1"] * 6 + ["s2"] * 2, index=list("abcdefgh"))
    traits = pd.DataFrame({"customer_id": list("abcdefgh")})
    risk = pd.DataFrame({"segment": ["s1", "s2"], "customers": [6, 2], "risk": [0.1, 0.5], "low": 0.05, "high": 0.6})
    t = figures(membership, traits, risk=risk).set_index(["segment", "figure"])
    assert t.loc[("s1", "risk"), ["value", "low", "high", "base"]].tolist() == pytest.approx([0.1, 0.05, 0.6, 0.2])
    assert "risk" not in set(figures(membership, traits, risk=pd.DataFrame({"model": ["x"]}))["figure"])
