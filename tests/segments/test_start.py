"""The first tree: RFM or any trait, a complete partition, frozen cut points, ties together, small ones joined."""

from datetime import date

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crmlab.base.traits import traits
from crmlab.contract import Refused, generator
from crmlab.segments.profile import profile
from crmlab.segments.start import SegmentsParams, cut_points, rfm_tree, start
from crmlab.segments.tree import assign, from_yaml, leaves, names, rule, to_yaml
from crmlab.segments.written import from_plain


def sizes(base, **params) -> dict[str, int]:
    tree = start(base, SegmentsParams(**params)).tree
    assert from_yaml(to_yaml(tree), traits=base.catalogue) == tree
    called = names(tree)
    return {called[s]: int(n) for s, n in assign(tree, base.table).value_counts().items()}


@pytest.mark.parametrize("scores", range(2, 10))
def test_rfm_gives_every_combination_of_scores_exactly_one_named_segment(scores):
    tree = rfm_tree(scores)
    grid = np.stack(np.meshgrid(*[np.arange(1, scores + 1)] * 3), -1).reshape(-1, 3)
    table = pd.DataFrame(grid, columns=["r_score", "f_score", "m_score"]).astype(float)
    found = assign(tree, table.assign(customer_id=[f"{i:04d}" for i in range(len(table))]))
    assert set(found) == set(leaves(tree)) - {"s1"}, "every branch but 'No orders yet' can be reached"


def test_rfm_of_five_scores_puts_hand_worked_cells_where_their_names_say():
    cells = {
        "555": "Champions", "444": "Champions", "355": "Loyal", "551": "Loyal", "515": "Big spenders",
        "511": "Promising", "311": "Needs attention", "255": "At risk", "135": "At risk", "111": "Hibernating",
        "125": "Hibernating",
    }  # fmt: skip
    table = pd.DataFrame([list(map(float, c)) for c in cells], columns=["r_score", "f_score", "m_score"])
    tree = rfm_tree(5)
    found = assign(tree, table.assign(customer_id=list(cells)))
    assert {c: names(tree)[s] for c, s in found.items()} == cells


def test_the_default_is_rfm_and_customers_without_orders_have_their_own_segment(base):
    found = sizes(base)
    assert found["No orders yet"] == 10
    assert set(found) >= {"Champions", "Loyal", "Promising", "At risk", "Hibernating"}


def test_segments_by_channel_are_one_a_channel_small_ones_joined_missing_apart(base):
    channel = base.table["channel"]
    expected = {c: int((channel == c).sum()) for c in ("web", "shop", "phone")}
    expected |= {"channel unknown": int(channel.isna().sum()), "Other": int((channel == "fax").sum())}
    assert expected["Other"] > 0
    assert sizes(base, by="channel", min_size=100) == expected


def test_traits_of_real_tables_start_trees_too():
    rng, n = generator(1, "start"), 300
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i:03d}" for i in rng.integers(0, 250, 2 * n)],
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 200, 2 * n), unit="D"),
            "amount": rng.integers(1, 90, 2 * n),
        }
    )
    frame["channel"] = np.where(frame["customer_id"] < "c150", "web", "shop")
    raw = ibis.memtable(frame)
    bought = raw.mutate(date=raw.date.cast("date"), amount=raw.amount.cast("decimal(18, 4)"))
    found = traits({"transactions": bought}, as_of=date(2024, 12, 31))
    for by, segments in (("rfm", 5), ("channel", 2), ("monetary", 4)):
        tree = start(found, SegmentsParams(by=by)).tree
        membership = assign(tree, found.table)
        assert len(membership) == frame["customer_id"].nunique()
        assert membership.nunique() >= segments
        assert len(profile(membership, found, names=names(tree), tree=tree).table) == membership.nunique()


def test_a_channel_never_seen_before_is_other(base):
    tree = start(base, SegmentsParams(by="channel")).tree
    new = pd.DataFrame({"customer_id": ["n1", "n2"], "channel": ["carrier pigeon", None]})
    assert [names(tree)[s] for s in assign(tree, new)] == ["Other", "channel unknown"]


def test_a_number_is_cut_at_its_quantiles_and_the_cuts_are_frozen(base):
    assert sorted(sizes(base, by="monetary", bands=4).values()) == [500] * 4
    tree = start(base, SegmentsParams(by="monetary")).tree
    shifted = base.table.assign(monetary=base.table["monetary"] * 10)
    assert (assign(tree, shifted) == "s1").mean() > 0.8


def test_ties_share_a_band_and_a_flag_has_two(base):
    found = sizes(base, by="coupons", bands=4)
    assert sum(found.values()) == len(base.table)
    assert found["coupons below 1"] == (base.table["coupons"] == 0).sum()
    assert sizes(base, by="club") == {
        "club at least 1": int(base.table["club"].sum()),
        "club below 1": int((base.table["club"] == 0).sum()),
    }


def test_several_traits_are_nested_and_small_segments_are_not_cut(base):
    tree = start(base, SegmentsParams(by=["channel", "monetary"], bands=2, min_size=100)).tree
    called, found = names(tree), assign(tree, base.table)
    inside = {called[s]: int((found == s).sum()) for s in leaves(tree)}
    assert inside["Other"] < 200
    assert any(n.startswith("web: monetary at least") for n in inside)
    assert all(n >= 100 for name, n in inside.items() if n and not name.startswith("Other"))


@given(
    st.lists(st.one_of(st.integers(-5, 5), st.floats(-1e6, 1e6), st.just(np.nan)), max_size=200),
    st.integers(2, 8),
    st.integers(1, 30),
)
def test_cut_points_ascend_and_leave_no_band_too_small(values, bands, min_size):
    values = np.array(values, dtype=float)
    cuts = cut_points(values, bands, min_size)
    known = values[np.isfinite(values)]
    counts = np.histogram(known, bins=[-np.inf, *cuts, np.inf])[0]
    assert cuts == sorted(set(cuts))
    assert len(cuts) < bands
    assert not cuts or counts.min() >= min_size


def test_cut_points_are_short_numbers_that_cut_where_the_quantiles_do():
    values = np.array([1.111, 2.2222, 3.14159, 4.4444])
    assert cut_points(values, 2, 1) == [3.14]
    assert cut_points(np.array([0, 0, 0, 0, 0, 0, 0, 0, 3, 9.0]), 4, 1) == [3]
    assert cut_points(np.full(9, 2.0), 4, 1) == cut_points(np.array([np.nan]), 4, 1) == []


def test_an_unknown_trait_is_refused_with_the_nearest_and_all_there_are(base):
    with pytest.raises(Refused, match=r"did you mean 'channel'\? there are: age, channel, club"):
        start(base, SegmentsParams(by="chanel"))


def test_a_trait_declared_sensitive_makes_no_segments(base):
    with pytest.raises(Refused, match="sensitive"):
        start(base, SegmentsParams(by="age"))


def test_a_tree_written_by_hand_is_taken_as_it_stands_and_checked(base):
    nodes = [{"id": "s1", "name": "Web", "when": [{"trait": "channel", "is": ["web"]}]}]
    rest = {"id": "s2", "name": "Not web", "when": []}
    tree = start(base, SegmentsParams(tree={"next_id": 3, "nodes": [*nodes, rest]})).tree
    assert rule(tree, tree.node("s2")) == "channel is not web"
    with pytest.raises(ValidationError, match="everyone else"):
        SegmentsParams(tree={"next_id": 3, "nodes": nodes})


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"by": "club", "tree": {}}, "not both"),
        ({"by": ["rfm", "club"]}, "stands alone"),
        ({"by": ["club", "club"]}, "named twice"),
        ({"by": []}, "at least 1"),
        ({"band": 3}, "band"),
    ],
)
def test_parameters_that_cannot_hold_are_refused(params, says):
    with pytest.raises(ValidationError, match=says):
        SegmentsParams(**params)


def test_what_was_written_after_the_answer_parts_nobody_whoever_asks(base):
    found = base.catalogue.assign(leak=base.catalogue["name"] == "frequency")
    told = type(base)(**(vars(base) | {"catalogue": found}))
    nodes = [{"id": "s1", "name": "A", "when": [{"trait": "frequency", "below": 2}]}, {"id": "s2", "name": "B"}]
    tree = from_plain({"next_id": 3, "nodes": nodes})
    asked = [
        {"params": SegmentsParams(by="frequency")},
        {"params": SegmentsParams(by="mixture", mixture={"traits": ["frequency", "monetary"]})},
        {"params": SegmentsParams(tree={"next_id": 3, "nodes": nodes})},
        {"params": SegmentsParams(), "by_hand": tree},
    ]
    for ask in asked:
        with pytest.raises(Refused, match="'frequency' was written after the answer"):
            start(told, **ask)
    left = start(told, SegmentsParams(), left=tree)
    assert "frequency, which was written after the answer" in " ".join(map(str, left.sentences()))
    assert len(start(base, SegmentsParams(), left=tree).sentences()) == 1
