"""Uplift by segment: against published references, Hillstrom's known facts, and simulated truth."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from crmlab.contract import Refused
from crmlab.reanalysis.effects import ALL, EffectParams, effects
from crmlab.reanalysis.uplift import difference

DATA = Path(os.environ.get("CRMLAB_DATA", "../shared/data"))
REFERENCE = DATA.parent / "reference" / "homogeneity"


def contacts(y, arm, *, segment="s1", campaign="k1", spend=None) -> pd.DataFrame:
    n = len(y)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:06d}" for i in range(n)],
            "campaign_id": campaign,
            "arm": np.broadcast_to(arm, n),
            "sent_at": pd.Timestamp("2020-01-01"),
            "response": np.asarray(y, int),
            "spend": np.zeros(n) if spend is None else spend,
            "orders": np.asarray(y, int),
            "segment": np.broadcast_to(segment, n),
        }
    )


def arms(treated) -> np.ndarray:
    return np.where(treated, "mailed", "control")


@pytest.fixture(scope="module")
def hillstrom():
    path = DATA / "hillstrom.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}")
    raw = pd.read_csv(path)
    frame = contacts(raw["visit"], raw["segment"].map(
        {"Womens E-Mail": "womens", "Mens E-Mail": "mens", "No E-Mail": "control"}
    ), segment=raw["history_segment"])  # fmt: skip
    past = np.select([raw["mens"] * raw["womens"] == 1, raw["mens"] == 1], ["both", "men"], "women")
    return frame.assign(spend=raw["spend"]), pd.Series(past, index=frame["customer_id"])


def test_hillstrom_overall_effects_of_both_mailings(hillstrom):
    result = effects(hillstrom[0], names={}, design="randomised", params=EffectParams())
    by = result.arms[result.arms["outcome"] == "response"].set_index("arm")
    assert (100 * by["uplift"]).round(1).to_dict() == {"mens": 7.6, "womens": 4.5}
    assert by.loc["womens", "se"] == pytest.approx(0.0032, abs=5e-5)
    assert by.loc["mens", "se"] == pytest.approx(0.0033, abs=1e-4)


def test_hillstrom_spend_bands_answer_alike(hillstrom):
    result = effects(hillstrom[0], names={}, design="randomised", params=EffectParams(arm="womens"))
    row = result.between.table.set_index("outcome").loc["response"]
    assert (row["segments"], round(row["q"], 1), round(row["p"], 2)) == (7, 5.1, 0.53)
    assert "not shown to differ" in str(result.between.sentences()[0])


def test_hillstrom_past_purchases_answer_differently(hillstrom):
    frame, past = hillstrom
    result = effects(frame, past, names={}, design="randomised", params=EffectParams(arm="womens"))
    uplift = result.table[result.table["outcome"] == "response"].set_index("segment")["uplift"]
    assert (100 * uplift[["women", "men", "both"]]).round(1).tolist() == [7.4, 1.1, 7.1]
    row = result.between.table.set_index("outcome").loc["response"]
    assert round(row["q"]) == 97
    assert row["p"] == pytest.approx(7e-22, rel=0.05)
    assert "differ between the 3 segments" in str(result.between.sentences()[0])
    assert "raised the response rate by 4.5" in str(result.sentences()[0])


def test_difference_and_its_standard_error_equal_the_reference():
    if not REFERENCE.exists():
        pytest.skip(f"no reference values at {REFERENCE}")
    expected = {e["id"]: e for e in json.loads((REFERENCE / "expected.json").read_text())}
    table = pd.read_csv(REFERENCE / "rct_small.csv").query("segment == 'A_champions'").sort_values("id")
    d = difference(table["resp"].to_numpy(), table["T"].to_numpy() == 1)
    assert d.uplift == pytest.approx(expected["te.A_champions.ate"]["expected"], rel=1e-8)
    assert d.se == pytest.approx(expected["te.A_champions.seHC2"]["expected"], rel=1e-6)


def test_standard_error_with_repeated_customers_is_clustered():
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(300), 2)
    t = np.repeat(rng.random(300) < 0.5, 2)
    y = np.repeat(rng.normal(size=300), 2) + rng.normal(size=600)
    fit = sm.OLS(y, sm.add_constant(t.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": who, "use_correction": False}
    )
    d = difference(y, t, customer=who)
    assert d.uplift == pytest.approx(fit.params[1])
    assert d.se == pytest.approx(fit.bse[1], rel=0.01)
    assert d.se > 1.1 * difference(y, t).se, "two rows of one customer are not two customers"


def test_interval_of_a_response_is_newcombes():
    y = np.r_[np.ones(30), np.zeros(70), np.ones(10), np.zeros(60)]
    t = np.r_[np.ones(100, bool), np.zeros(70, bool)]
    d = difference(y, t, level=0.95)
    expected = confint_proportions_2indep(30, 100, 10, 70, method="newcomb", compare="diff", alpha=0.05)
    assert (d.low, d.high) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 2)), min_size=1, max_size=60))
def test_limits_enclose_the_uplift_and_counts_add_up(rows):
    y, t, s = (np.array(v) for v in zip(*rows, strict=True))
    d = difference(y, t, stratum=s)
    usable = [k for k in set(s) if min((t & (s == k)).sum(), (~t & (s == k)).sum()) >= 2]
    assert d.left_out == len(y) - np.isin(s, usable).sum()
    if usable:
        assert d.treated + d.control + d.left_out == len(y)
        assert d.se > 0
        assert -1 <= d.low <= d.uplift <= d.high <= 1
    else:
        assert np.isnan(d.uplift)


@pytest.mark.parametrize(("p_t", "p_c", "n"), [(0.1, 0.1, 60), (0.02, 0.02, 200), (0.3, 0.15, 100)])
def test_interval_covers_the_truth_as_stated(p_t, p_c, n):
    rng = np.random.default_rng(3)
    t = np.arange(2 * n) < n
    covered = 0
    for _ in range(600):
        y = rng.random(2 * n) < np.where(t, p_t, p_c)
        d = difference(y, t, level=0.90)
        covered += d.low <= p_t - p_c <= d.high
    assert 0.87 <= covered / 600 <= 0.97


def test_an_effect_as_large_as_the_mde_is_found_as_often_as_stated():
    rng = np.random.default_rng(4)
    t = np.arange(1000) < 500
    mde = difference((rng.random(1000) < 0.2).astype(float), t).mde
    found = sum(difference(rng.random(1000) < 0.16 + mde * t, t).p < 0.05 for _ in range(500))
    assert 0.72 < found / 500 < 0.88


def test_campaigns_and_segments_with_other_shares_withheld_do_not_mix():
    rng = np.random.default_rng(5)
    good = contacts(rng.random(2000) < 0.5, arms(rng.random(2000) < 0.9), segment="good")
    poor = contacts(rng.random(2000) < 0.1, arms(rng.random(2000) < 0.1), segment="poor")
    poor["customer_id"] = "p" + poor["customer_id"]
    result = effects(pd.concat([good, poor]), names={}, design="randomised", params=EffectParams())
    row = result.table[(result.table["segment"] == ALL) & (result.table["outcome"] == "response")].iloc[0]
    assert row["low"] < 0 < row["high"], "pooled, contact would seem to add about 30 points"
    assert "not shown to change" in str(result.sentences()[0])


def test_two_campaigns_are_compared_each_within_itself():
    rng = np.random.default_rng(6)
    one = contacts(rng.random(1000) < 0.5, arms(rng.random(1000) < 0.8), campaign="k1")
    other = contacts(rng.random(1000) < 0.1, arms(rng.random(1000) < 0.2), campaign="k2")
    result = effects(pd.concat([one, other]), names={}, design="randomised", params=EffectParams())
    assert abs(result.table["uplift"].iloc[0]) < 0.08
    assert result.basis.n == 1000, "customers, not contacts"


@pytest.mark.parametrize("case", ["observational", "nobody withheld", "nobody contacted", "nobody at all"])
def test_without_random_withholding_no_uplift_is_computed(case):
    arm = {"nobody withheld": "mailed", "nobody contacted": "control"}.get(case, arms(np.arange(100) % 2 == 0))
    frame = contacts(np.arange(100) % 3 == 0, arm)
    if case == "nobody at all":
        frame = frame.iloc[:0]
    design = "observational" if case == "observational" else "randomised"
    result = effects(frame, names={}, design=design, params=EffectParams())
    assert not result.identified
    assert result.table.empty
    assert result.arms.empty
    assert "not identified: nobody was withheld at random" in str(result.sentences()[0])
    shown = result.shown()
    assert not {"uplift", "low", "mde"} & set(shown.columns)
    assert "Uplift, points" not in result._repr_html_()
    assert "cannot be compared" in str(result.between.sentences()[0])


def test_what_contact_did_is_said_either_way():
    rng = np.random.default_rng(7)
    t = np.arange(2000) % 2 == 0
    for p, said in [(0.2, "raised"), (-0.2, "lowered"), (0.0, "not shown to change")]:
        frame = contacts(rng.random(2000) < 0.4 + p * t, arms(t))
        result = effects(frame, names={"s1": "Everyone"}, design="randomised", params=EffectParams())
        assert said in str(result.sentences()[0])
    html = result._repr_html_()
    assert "Everyone" in html
    assert "All customers" in html


def test_customers_without_a_segment_are_left_out_and_said():
    t = np.arange(200) % 2 == 0
    frame = contacts(t, arms(t)).drop(columns="segment")
    membership = pd.Series("s1", index=frame["customer_id"].iloc[:150])
    result = effects(frame, membership, names={}, design="randomised", params=EffectParams())
    assert (result.unplaced, result.basis.n) == (50, 150)
    assert any("50 contacts of customers without a segment" in str(s) for s in result.sentences())
    assert not any("without a segment" in str(s) for s in
                   effects(frame, membership.reindex(frame["customer_id"], fill_value="s2"), names={},
                           design="randomised", params=EffectParams()).sentences())  # fmt: skip


def test_row_order_changes_nothing():
    rng = np.random.default_rng(8)
    frame = contacts(rng.random(300) < 0.3, arms(rng.random(300) < 0.5), segment=rng.choice(["a", "b"], 300),
                     spend=rng.exponential(size=300))  # fmt: skip
    one = effects(frame, names={}, design="randomised", params=EffectParams())
    other = effects(frame.sample(frac=1, random_state=1), names={}, design="randomised", params=EffectParams())
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    pd.testing.assert_frame_equal(one.between.table, other.between.table, check_exact=True)


def test_an_unknown_arm_is_refused_naming_those_there_are():
    with pytest.raises(Refused, match="there are mailed"):
        effects(contacts([0, 1] * 50, arms(np.arange(100) % 2 == 0)), names={}, design="randomised",
                params=EffectParams(arm="maled"))  # fmt: skip
