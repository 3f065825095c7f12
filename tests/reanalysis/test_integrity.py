"""Checks of the contacts: each catches what it is for, and each sentence can say the opposite."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from crmlab.contract import language, use
from crmlab.reanalysis.integrity import integrity, sample_ratio, standardised_difference

AS_OF = date(2019, 12, 31)
CLEAN = {
    "customers": 1000,
    "repeated": 0,
    "two_arms": 0,
    "overlapping": 0,
    "outcomes": 100,
    "outside": 0,
    "strangers": 0,
}


def contacts(control: int, mailed: int) -> pd.DataFrame:
    n = control + mailed
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "campaign_id": "k1",
            "arm": ["control"] * control + ["mailed"] * mailed,
            "sent_at": pd.Timestamp("2020-01-01"),
            "response": 0,
        }
    )


def traffic(**changed) -> pd.DataFrame:
    return pd.DataFrame([{"campaign_id": "k1"} | CLEAN | changed])


def check(frame, flow=None, *, planned=None, design="randomised", prior=None):
    flow = traffic() if flow is None else flow
    return integrity(frame, flow, planned=planned, design=design, as_of=AS_OF, prior=prior)


def verdict(result, name):
    return result.table.set_index("check").loc[name, "verdict"]


def test_arms_of_the_planned_sizes_allow_effects_to_be_read():
    result = check(contacts(100, 900), planned={"control": 0.1, "mailed": 0.9})
    assert result.sound
    assert set(result.table["verdict"]) == {"fine"}
    assert "differences between them are effects" in str(result.sentences()[0])
    assert result.sentences()[0].tone == "good"


def test_arms_of_other_sizes_forbid_it():
    result = check(contacts(200, 800), planned={"control": 0.1, "mailed": 0.9})
    assert not result.sound
    assert verdict(result, "sizes of the arms") == "fails"
    assert "Read no effect before the cause is found" in str(result.sentences()[0])
    row = result.table.iloc[0]
    assert row["p"] == pytest.approx(chisquare([200, 800], [100, 900]).pvalue)
    assert row["value"] == pytest.approx(1.0), "twice as many as planned"


def test_an_arm_that_nobody_planned_fails():
    frame = contacts(100, 900).assign(arm=["control"] * 100 + ["mailed"] * 895 + ["called"] * 5)
    assert verdict(check(frame, planned={"control": 0.1, "mailed": 0.9}), "sizes of the arms") == "fails"


def test_shares_planned_by_customer_are_checked_each_against_its_own():
    rng = np.random.default_rng(1)
    share = np.repeat([0.05, 0.5], 1000)
    frame = contacts(0, 2000)
    frame["arm"] = np.where(rng.random(2000) < share, "control", "mailed")
    planned = pd.Series(share, index=frame["customer_id"])
    assert verdict(check(frame, planned=planned), "sizes of the arms") == "fine"
    assert verdict(check(frame, planned={"control": 0.05, "mailed": 0.95}), "sizes of the arms") == "fails"


def test_size_of_the_sample_ratio_test_is_nominal():
    rng = np.random.default_rng(2)
    share = np.repeat([0.1, 0.3], 500)
    p = np.array([sample_ratio(rng.random(1000) < share, share)[1] for _ in range(2000)])
    assert 0.035 < (p < 0.05).mean() < 0.065


def test_one_share_gives_the_chi_square_of_two_arms():
    control = np.arange(1000) < 130
    z, p = sample_ratio(control, 0.1)
    expected = chisquare([130, 870], [100, 900])
    assert (z**2, p) == pytest.approx((expected.statistic, expected.pvalue))


def test_without_a_plan_nothing_is_claimed():
    result = check(contacts(100, 900))
    assert verdict(result, "sizes of the arms") == "not checked"
    assert "not certain" in str(result.sentences()[0])
    assert "nothing to check it against" in result.shown()["finding"].iloc[0]


@pytest.mark.parametrize(
    ("column", "name", "levels"),
    [
        ("repeated", "contacted more than once", {0: "fine", 20: "warning", 100: "fails"}),
        ("two_arms", "listed in two arms", {0: "fine", 8: "warning", 20: "fails"}),
        ("overlapping", "in another campaign at the same time", {40: "fine", 800: "warning"}),
        ("strangers", "outcomes of people never in the campaign", {1: "fine", 4: "warning", 20: "fails"}),
        ("outside", "outcomes outside the window", {10: "fine", 40: "warning"}),
    ],
)
def test_each_count_has_its_limits(column, name, levels):
    for count, expected in levels.items():
        result = check(contacts(100, 900), traffic(**{column: count}), planned={"control": 0.1, "mailed": 0.9})
        assert verdict(result, name) == expected
        assert result.sound == (expected != "fails")
        if expected == "fails":
            assert "one check fails" in str(result.sentences()[0])
            assert name in str(result.sentences()[0])


def test_several_failures_are_counted():
    result = check(contacts(100, 900), traffic(repeated=100, strangers=50), planned={"control": 0.1, "mailed": 0.9})
    assert "2 checks fail" in str(result.sentences()[0])


def test_people_fewer_than_five_are_not_shown():
    findings = check(contacts(100, 900), traffic(repeated=3, overlapping=30)).shown().set_index("check")["finding"]
    assert findings["contacted more than once"] == "fewer than 5 of 1,000 customers"
    assert findings["in another campaign at the same time"] == "30 of 1,000 customers (3.0%)"


def test_observational_contacts_are_called_descriptive_and_their_difference_is_measured():
    rng = np.random.default_rng(3)
    frame = contacts(0, 300)
    base = frame["customer_id"].tolist() + [f"x{i}" for i in range(500)]
    for shift, said, found in [(1.0, "more than the others", "fails"), (-0.2, "less than the others", "warning"),
                               (0.0, "are alike", "fine")]:  # fmt: skip
        spend = np.r_[rng.normal(shift, 1, 300), rng.normal(0, 1, 500)]
        spend[:300] += shift - (spend[:300].mean() - spend[300:].mean())
        result = check(frame, design="observational", prior=pd.Series(spend, index=base))
        assert "what follows is descriptive" in str(result.sentences()[0])
        assert said in str(result.sentences()[1])
        row = result.table.set_index("check").loc["prior spend, contacted against not contacted"]
        assert row["verdict"] == found
        assert row["value"] == pytest.approx(shift, abs=0.05)
    assert len(check(frame, design="observational").sentences()) == 1
    assert "sizes of the arms" not in set(result.table["check"])


def test_randomised_arms_are_compared_in_prior_spend():
    rng = np.random.default_rng(4)
    frame = contacts(300, 700)
    spend = pd.Series(rng.exponential(size=1000), index=frame["customer_id"])
    name = "prior spend, contacted against control"
    assert verdict(check(frame, prior=spend), name) == "fine"
    spend.iloc[300:] += 0.5
    assert verdict(check(frame, prior=spend), name) == "fails"


def test_standardised_difference_of_a_hand_worked_case():
    smd, _ = standardised_difference(np.array([1.0, 2, 3]), np.array([2.0, 3, 4]))
    assert smd == pytest.approx(-1.0)
    assert np.isnan(standardised_difference(np.array([1.0]), np.array([2.0, 3]))[0])
    assert standardised_difference(np.ones(3), np.ones(3))[0] == 0


def test_nobody_at_all_gives_a_page_that_says_so():
    result = check(contacts(0, 0), traffic().iloc[:0])
    assert verdict(result, "sizes of the arms") == "not checked"
    assert "n = 0" in result._repr_html_()


def test_findings_are_worded_in_the_language_in_use():
    before = language()
    try:
        use("en")
        html = check(contacts(100, 900), planned={"control": 0.1, "mailed": 0.9})._repr_html_()
    finally:
        use(before)
    assert "100 of 1,000 customers are in the control group" in html


def test_where_nobody_was_contacted_nothing_is_said_to_be_alike():
    nobody = check(contacts(5, 5).head(0), design="observational", prior=pd.Series(dtype="float64"))
    assert not any("alike" in str(s) or "nan" in str(s) for s in nobody.sentences())
