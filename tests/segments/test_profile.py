"""Profiles: hand-worked sizes, differences with honest intervals, nothing sensitive, nothing of very few."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crmlab.contract import Basis, generator
from crmlab.segments.differences import standardised
from crmlab.segments.profile import profile
from crmlab.segments.start import SegmentsParams, start
from crmlab.segments.tree import assign, names

BASIS = Basis(6, "customers")
NAMES = {"s1": "Good", "s2": "Rest"}


def small() -> tuple[pd.Series, SimpleNamespace]:
    table = pd.DataFrame(
        {
            "customer_id": list("abcdef"),
            "recency_days": [1.0, 3, 5, 10, 20, np.nan],
            "frequency": [4, 6, 8, 1, 1, 0],
            "monetary": [100.0, 200, 300, 50, 50, 0],
        }
    )
    catalogue = pd.DataFrame(
        {"name": table.columns[1:], "kind": "number", "source": "transactions", "sensitive": False}
    )
    membership = pd.Series(["s1", "s1", "s1", "s2", "s2", "s2"], index=list("abcdef"), name="segment")
    return membership, SimpleNamespace(table=table, catalogue=catalogue, basis=BASIS)


def test_sizes_shares_and_medians_are_those_worked_by_hand():
    membership, traits = small()
    table = profile(membership, traits, names={"s1": "Good", "s2": "Rest"}).table
    assert table[["segment", "name", "customers", "share"]].to_numpy().tolist() == [
        ["s1", "Good", 3, 0.5],
        ["s2", "Rest", 3, 0.5],
    ]
    assert table["spend_share"].tolist() == pytest.approx([6 / 7, 1 / 7])
    assert table[["recency_days", "frequency", "monetary"]].to_numpy().tolist() == [[3, 6, 200], [15, 1, 50]]


def test_mean_clv_is_given_with_its_interval_where_there_is_one():
    membership, traits = small()
    value = pd.DataFrame({"customer_id": list("fedcba"), "clv": [0.0, 1, 2, 30, 20, 10]})
    row = profile(membership, traits, names={}, value=value).table.iloc[0]
    half = 1.6448536 * 10 / np.sqrt(3)
    assert [row["clv"], row["clv_low"], row["clv_high"]] == pytest.approx([20, 20 - half, 20 + half])
    assert "clv" not in profile(membership, traits, names={}).table


def test_the_trait_that_makes_a_segment_different_is_named_first(base):
    tree = start(base, SegmentsParams(by="channel", min_size=100)).tree
    membership = assign(tree, base.table)
    result = profile(membership, base, names=names(tree), tree=tree)
    shown = result.shown().set_index("name")
    assert shown.loc["web", "differs_1"].startswith("coupons: +0.")
    assert shown.loc["shop", "differs_1"].startswith("coupons: -0.")
    assert set(result.differences["trait"]) == {"club", "coupons"}, "what defines, what is shown, what is sensitive"


def test_categories_are_compared_level_by_level(base):
    tree = start(base, SegmentsParams(by="coupons", min_size=100)).tree
    membership = assign(tree, base.table)
    result = profile(membership, base, names=names(tree), tree=tree)
    levels = result.differences.loc[result.differences["trait"] == "channel", "level"]
    assert set(levels) == {"web", "shop", "phone", "fax", "unknown"}
    most = result.shown().set_index("name").loc["coupons below 1", "differs_1"]
    assert most.startswith("channel is web: -0.")


def test_the_difference_is_from_all_customers_in_their_standard_deviation():
    x = np.array([1.0, 2, 3, 10, 20, np.nan])
    found = standardised(np.array(list("aaabbb")), x).set_index("segment")
    known = x[:5]
    assert found.loc["a", "difference"] == pytest.approx((2 - known.mean()) / known.std())
    assert found.loc["b", "difference"] == pytest.approx((15 - known.mean()) / known.std())


def test_its_90_percent_interval_covers_in_nine_of_ten_samples():
    rng, covered, times = generator(5, "profile"), 0, 1_500
    truth = 0.75 * (0.6 - 0.0) / np.sqrt(1 + 0.25 * 0.75 * 0.6**2)
    for _ in range(times):
        of = np.where(rng.random(400) < 0.25, "a", "b")
        x = rng.normal(np.where(of == "a", 0.6, 0.0))
        row = standardised(of, x).iloc[0]
        covered += row["low"] <= truth <= row["high"]
    assert covered / times == pytest.approx(0.90, abs=0.025)


def test_none_of_a_few_is_not_taken_for_certain():
    of = np.array(["a"] * 10 + ["b"] * 990)
    x = np.r_[np.zeros(10), np.tile([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 99)]
    row = standardised(of, x).iloc[0]
    assert row["low"] < 0 < row["high"]


def test_a_trait_that_does_not_vary_or_a_segment_of_one_has_no_difference():
    assert standardised(np.array(list("aabb")), np.ones(4))["difference"].isna().all()
    assert standardised(np.array(list("abbb")), np.array([1.0, 2, 3, 4])).isna().any(axis=None)


def test_a_segment_of_very_few_shows_neither_its_numbers_nor_its_traits(base):
    membership = pd.Series("s1", index=base.table["customer_id"], name="segment")
    membership.iloc[:3] = "s2"
    result = profile(membership, base, names={"s1": "Most", "s2": "Few"})
    assert result.shown().set_index("name").loc["Few", ["differs_1", "differs_2"]].isna().all()
    assert "&lt; 5" in result._repr_html_()


def test_sentences_say_where_spend_is_concentrated_and_the_opposite():
    membership, traits = small()
    assert "“Good” are 50% of the customers and 86% of their spend." in _said(profile(membership, traits, names=NAMES))
    traits.table["monetary"] = 10.0
    assert "No segment's share of spend is far above" in _said(profile(membership, traits, names=NAMES))
    assert "fewer than 50 customers: Good, Rest" in _said(profile(membership, traits, names=NAMES))
    big = pd.Series(["s1", "s2"] * 60, index=[f"{i:03d}" for i in range(120)], name="segment")
    table = pd.DataFrame({"customer_id": big.index, "monetary": 1.0})
    traits = SimpleNamespace(table=table, catalogue=traits.catalogue.query("name == 'monetary'"), basis=BASIS)
    assert "fewer than 50" not in _said(profile(big, traits, names=NAMES))


def test_nobody_makes_an_empty_profile_that_says_so():
    membership, traits = small()
    result = profile(membership.head(0), traits, names=NAMES)
    assert result.table.empty
    assert _said(result) == "There is no customer in any segment."
    assert "There is no customer" in result._repr_html_()


def _said(result) -> str:
    return " ".join(map(str, result.sentences()))
