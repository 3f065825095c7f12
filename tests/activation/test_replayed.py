from datetime import date
from decimal import Decimal
from math import isnan

import numpy as np
import pandas as pd
import pytest

from crmlab.activation.allocation import ActivationParams, allocate
from crmlab.activation.beliefs import Beliefs
from crmlab.activation.replayed import compare_with_mailed, standardised_difference
from crmlab.contract import Basis, Refused

KEY = b"0123456789abcdef0123456789abcdef"


def compare(spend, mailed, *, budget, extra=(), ltv=True):
    """Our list takes the highest order values, which here are the spends."""
    ids = [f"{i:04d}" for i in range(len(spend))]
    draws = pd.DataFrame(np.full((1, 200), 0.5), index=pd.Index(["s1"], name="segment"))
    names = pd.DataFrame({"segment": ["s1"], "name": ["One"]})
    value = pd.DataFrame({"customer_id": ids, "order_value": np.asarray(spend, float), "clv": 1.0})
    plan = allocate(
        pd.DataFrame({"customer_id": ids}),
        Beliefs(names, Basis(1, "customers"), draws, draws, "response", 1.0),
        value,
        pd.Series("s1", index=ids),
        as_of=date(2024, 1, 1),
        key=KEY,
        study="s",
        cycle="c",
        params=ActivationParams(budget=Decimal(budget), cost_per_contact=Decimal(1), margin_share=1.0),
        mode="replay",
    )
    sent = pd.DataFrame({"customer_id": [ids[i] for i in mailed] + list(extra), "campaign_id": "8", "arm": "mailed"})
    traits = pd.DataFrame({"customer_id": ids, "monetary": np.asarray(spend, float)})
    return compare_with_mailed(plan, sent, value if ltv else None, traits)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_groups_by_hand():
    # ours: the two highest, 3 and 4; theirs: 2 and 3; 9 was contacted and is unknown here
    result = compare([10, 20, 30, 40, 50], mailed=[2, 3], budget=2, extra=["9"])
    groups = result.table.set_index("group")["customers"].to_dict()
    assert groups == {
        "both lists": 1,
        "ours only": 1,
        "theirs only": 1,
        "neither list": 2,
        "theirs, not eligible here": 1,
    }
    assert (result.ours, result.theirs, result.both, result.eligible) == (2, 2, 1, 5)
    assert result.jaccard == pytest.approx(1 / 3)
    assert result.share_of_ours == 0.5
    assert result.share_by_chance == pytest.approx(0.4)
    assert result.table.set_index("group").loc["neither list", "spend"] == 15
    assert "customer_id" not in result.shown()


def test_good_customers_mailed_is_said_and_so_is_its_opposite():
    rng = np.random.default_rng(1)
    spend = rng.lognormal(5, 0.5, 1000)
    order = np.argsort(spend)
    best, worst = compare(spend, order[-450:], budget=300), compare(spend, order[:450], budget=300)
    assert best.smd > 1
    assert "spent far more before" in said(best)
    assert "The two lists share more customers" in said(best)
    assert worst.smd < -1
    assert "had spent less before" in said(worst)
    assert "share fewer customers" in said(worst)


def test_a_random_mailing_is_said_to_look_like_one_and_a_small_one_to_tell_nothing():
    rng = np.random.default_rng(4)
    spend = rng.lognormal(5, 0.5, 6000)
    random = compare(spend, rng.permutation(6000)[:3000], budget=1000)
    assert abs(random.smd) < 0.1
    assert "as after a random draw" in said(random)
    assert "no more and no less than by chance" in said(random)
    small = compare(spend[:20], [3, 12, 15, 18], budget=5)
    assert "cannot be said" in said(small)


def test_nobody_mailed_and_an_empty_list_are_said():
    assert "nothing to compare" in said(compare([1, 2, 3], [], budget=2))
    assert "Our list is empty" in said(compare([10, 20, 30, 40], [1, 2], budget=0))


def test_a_control_group_was_not_mailed_and_a_missing_lifetime_value_is_a_gap():
    result = compare([10, 20, 30], [0], budget=1, ltv=False)
    assert result.table["clv"].isna().all()


def test_standardised_difference_by_hand():
    a, b = np.array([1.0, 3.0, np.nan]), np.array([0.0, 2.0])
    d, low, high = standardised_difference(a, b)
    assert d == pytest.approx(1 / np.sqrt(2))
    assert (low + high) / 2 == pytest.approx(d)
    assert high - d == pytest.approx(1.6449 * np.sqrt(1 / 2 + 1 / 2 + d**2 / 8), abs=1e-3)
    assert all(isnan(x) for x in standardised_difference(np.array([1.0]), b))
    assert all(isnan(x) for x in standardised_difference(np.ones(3), np.ones(3)))


def test_its_interval_covers_the_truth():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(600):
        _, low, high = standardised_difference(rng.normal(0.5, 1, 60), rng.normal(0, 1, 90))
        hits += low <= 0.5 <= high
    assert hits / 600 == pytest.approx(0.9, abs=0.035)


def test_an_unknown_trait_of_prior_spend_is_refused():
    result = compare([10, 20], [0], budget=1)
    assert result.basis.design == "replay of history: descriptive"
    with pytest.raises(Refused, match="no trait 'wealth'"):
        compare_with_mailed(None, pd.DataFrame(), None, pd.DataFrame({"customer_id": []}), spend="wealth")
