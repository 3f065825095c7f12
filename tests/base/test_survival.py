"""How long contracts last: Kaplan–Meier and log-rank against hand-worked tables and statsmodels."""

from datetime import date

import matplotlib
import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from crmlab import plots
from crmlab.base.periods import contracts, from_survivors
from crmlab.base.survival import contract_survival, log_rank, median, observed
from crmlab.plots.frame import bundle

matplotlib.use("agg")


def said(result):
    return " ".join(map(str, result.sentences()))


def leaving(n, rate, seed=1, *, due=24, late=0.0, plan="a"):
    """Contracts that leave with probability `rate` at each renewal; a share `late` is on record from a later one."""
    g = np.random.default_rng(seed)
    leaves, observed_ = g.geometric(rate, n), g.integers(1, due, n)
    since = np.where(g.random(n) < late, g.integers(1, 8, n), 0)
    ended = leaves <= observed_
    periods = np.where(ended, leaves, observed_)
    frame = pd.DataFrame(
        {"customer_id": [f"{plan}{i:05}" for i in range(n)], "contract": 1, "periods": periods, "ended": ended * 1}
        | {"since": since, "observed": observed_, "plan": plan}
    )
    return frame[(frame["periods"] > frame["since"]) | ~ended & (frame["periods"] >= frame["since"])]


def test_hand_worked_curve_and_median():
    # ten begin; two leave at the first renewal, one is followed to it only, then three of seven leave
    history = pd.DataFrame({"periods": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3], "ended": [1, 1, 0, 1, 1, 1, 0, 0, 0, 0]})
    curve = observed(history)
    assert curve["customers"].tolist() == [10, 7, 4]
    assert curve["stayed"].tolist() == pytest.approx([0.8, 0.8 * 4 / 7, 0.8 * 4 / 7])
    assert median(curve)[0] == 2
    greenwood = np.sqrt(2 / (10 * 8) + 3 / (7 * 4))
    reach = 1.6448536 * greenwood / abs(np.log(0.8 * 4 / 7))
    assert curve["stayed_low"].iloc[1] == pytest.approx((0.8 * 4 / 7) ** np.exp(reach))
    assert curve["stayed_high"].iloc[1] == pytest.approx((0.8 * 4 / 7) ** np.exp(-reach))
    found = contract_survival(history.assign(customer_id=[f"c{i}" for i in range(10)]))
    assert found.table["contracts"].tolist() == [10]
    assert found.table["ended"].tolist() == [5]
    assert "Half of the contracts have ended at renewal 2" in said(found)


def test_curves_and_log_rank_equal_statsmodels_with_delayed_entry():
    history = pd.concat([leaving(300, 0.10, 2, late=0.4, plan="a"), leaving(200, 0.16, 3, late=0.2, plan="b")])
    history = pd.concat([history, leaving(150, 0.12, 4, plan="c")], ignore_index=True)
    found = contract_survival(history, by="plan")
    history = history[history["periods"] > history["since"]]  # the others were never up for a renewal on record
    for plan, part in history.groupby("plan"):
        reference = SurvfuncRight(part["periods"], part["ended"], entry=part["since"]).summary()
        curve = found.curve[found.curve["group"] == plan].set_index("renewal").loc[reference.index]
        np.testing.assert_allclose(curve["stayed"], reference["Surv prob"], rtol=1e-12)
        np.testing.assert_allclose(curve["customers"], reference["num at risk"])
    chi2, p = survdiff(history["periods"], history["ended"], history["plan"], entry=history["since"])
    assert found.difference == pytest.approx((chi2, 2, p), rel=1e-9)


def test_log_rank_of_two_small_groups_by_hand():
    # Freireich et al. 1963, weeks in remission: 6-MP against placebo; χ² = 16.79 in every textbook
    mp = [(t, 1) for t in (6, 6, 6, 7, 10, 13, 16, 22, 23)]
    mp += [(t, 0) for t in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)]
    placebo = [(t, 1) for t in (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)]
    curves = [observed(pd.DataFrame(rows, columns=["periods", "ended"])) for rows in (mp, placebo)]
    chi2, free, p = log_rank(curves)
    assert chi2 == pytest.approx(16.79, abs=0.01)
    assert free == 1
    assert p == pytest.approx(4.2e-5, rel=0.02)
    assert median(curves[0])[0] == 23
    assert median(curves[1])[0] == 8


def test_intervals_hold_the_truth_and_the_median_with_contracts_on_record_late():
    inside, medians = [], []
    for seed in range(80):
        history = leaving(250, 0.1, seed, late=0.5)
        row = contract_survival(history).curve.set_index("renewal").loc[8]
        inside.append(row["stayed_low"] <= 0.9**8 <= row["stayed_high"])
        table = contract_survival(history).table.iloc[0]
        medians.append(table["low"] <= 7 <= table["high"])  # 0.9⁷ is the first below one half
    assert 0.83 < np.mean(inside) < 0.97
    assert np.mean(medians) > 0.85


def test_contracts_from_before_the_records_would_flatter_if_they_counted_from_the_start():
    history = leaving(2_000, 0.1, 5, late=0.6)
    naive = observed(history.assign(since=0)).set_index("renewal")["stayed"]
    right = observed(history).set_index("renewal")["stayed"]
    assert abs(right[6] - 0.9**6) < 0.03
    assert naive[6] > 0.9**6 + 0.05


def test_groups_that_differ_are_named_and_equal_ones_are_not():
    slow, fast = leaving(300, 0.05, 6, plan="yearly"), leaving(300, 0.2, 7, plan="monthly")
    apart = said(contract_survival(pd.concat([slow, fast], ignore_index=True), by="plan"))
    assert "differs by group (log-rank p < 0.001)" in apart
    assert "left of yearly" in apart
    alike = pd.concat([leaving(300, 0.1, 8, plan="yearly"), leaving(300, 0.1, 9, plan="monthly")], ignore_index=True)
    assert "no longer in one group than in another" in said(contract_survival(alike, by="plan"))
    assert "log-rank" not in said(contract_survival(alike))


def test_by_segment_says_that_segments_are_todays():
    history = leaving(200, 0.1, 10)
    segments = pd.Series({c: "s1" if i % 2 else "s2" for i, c in enumerate(history["customer_id"])})
    found = contract_survival(history, by=segments, names={"s1": "Odd", "s2": "Even"})
    assert found.table["name"].tolist() == ["all contracts", "Odd", "Even"]
    assert "The segments are today's" in said(found)
    assert "today's" not in said(contract_survival(history, by="plan"))
    assert found.table["contracts"].iloc[0] == found.table["contracts"].iloc[1:].sum()


def test_a_base_on_record_late_is_told_from_where_the_curve_begins():
    late = leaving(200, 0.1, 11).assign(since=lambda t: np.minimum(5, t["periods"]))
    late = late[late["periods"] > 5]
    found = contract_survival(late)
    assert found.begins == 6
    assert "before renewal 6" in said(found)
    assert found.curve["stayed"].iloc[5] == pytest.approx(1 - (late["periods"].eq(6) & late["ended"].eq(1)).mean())
    assert "before renewal" not in said(contract_survival(leaving(200, 0.1, 11)))


def test_picture_and_sentences_without_half_ended_or_with_hardly_anyone():
    steady = contract_survival(leaving(200, 0.005, 12))
    assert "Fewer than half of the contracts have ended" in said(steady)
    data, _ = bundle(plots.contract_survival(steady))
    assert "of contracts are left after renewal" in data["text/plain"]
    few = contract_survival(leaving(60, 0.1, 13).head(3))
    assert "fewer than five contracts" in said(few)
    assert plots.contract_survival(few) is None
    small = pd.concat([leaving(200, 0.1, 14, plan="big"), leaving(40, 0.1, 15, plan="tiny").head(3)], ignore_index=True)
    ax = plots.contract_survival(contract_survival(small, by="plan"))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["big"]


@pytest.mark.parametrize("n", [0, 1, 10])
def test_nobody_one_and_identical_contracts_are_no_fault(n):
    history = pd.DataFrame({"customer_id": [f"c{i}" for i in range(n)], "periods": 3, "ended": 1, "since": 0})
    found = contract_survival(history.assign(plan="one"), by="plan")
    assert found._repr_html_()
    if n == 10:
        assert "ended at renewal 3" in said(found)
        assert found.difference is None


def test_published_survivors_are_given_back():
    found = contract_survival(from_survivors([1000, 869, 743, 653, 593, 551, 517, 491]))
    expected = [0.869, 0.743, 0.653, 0.593, 0.551, 0.517, 0.491]
    assert found.curve["stayed"].tolist() == pytest.approx(expected)
    assert "Half of the contracts have ended at renewal 7" in said(found)


def test_plan_is_that_of_the_first_subscription(make):
    rows = [
        ("a", "2024-01-01", "2024-02-01", "trial"),
        ("a", "2024-02-01", None, "full"),
        ("b", "2024-01-01", None, "trial"),
        ("b", "2024-01-01", None, "extra"),
        ("c", "2024-01-01", None, None),
    ]
    table = make("customer_id started_on ended_on plan", rows)
    known = contracts(table, as_of=date(2024, 6, 30))
    assert known["plan"].tolist()[:2] == ["trial", "extra"]
    assert known["plan"].isna().tolist() == [False, False, True]
    without = contracts(table.drop("plan"), as_of=date(2024, 6, 30))
    assert without["plan"].isna().all()
