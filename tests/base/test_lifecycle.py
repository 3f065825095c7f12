"""States of the life cycle: hand-worked lives, thresholds against a reference, flows that add up."""

from dataclasses import replace
from datetime import date, timedelta

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from statsmodels.duration.survfunc import SurvfuncRight

from crmlab.base.gaps import purchase_days
from crmlab.base.lifecycle import LifeCycleParams, _flows, life_cycle, thresholds
from crmlab.base.lifecycle_result import ACTIVE, AT_RISK, LAPSED, NEW, PROSPECT, UNKNOWN, WON_BACK

TEN_THIRTY = LifeCycleParams(at_risk_days=10, lapsed_days=30)
START = date(2024, 1, 1)


def day(n):
    return START + timedelta(n - 1)


def coming(n=60, every=3):
    """Customers who come one after another and buy once, so that newcomers are seen."""
    return {f"z{i:02}": [1 + every * i] for i in range(n)}


def states(result):
    return result.customers.set_index("customer_id")[["before", "now"]]


def said(result):
    return " ".join(map(str, result.sentences()))


def test_hand_worked_lives(bought, make):
    lives = {
        "new": [175],
        "active": [100, 120, 140, 160, 178],
        "won_back": [100, 172, 178],  # came back after 72 days, and again
        "at_risk": [100, 160],
        "lapsed": [100, 110],
        "lost": [130, 139],  # active on day 140, lapsed on day 180
        "back_long_ago": [50, 110, 120, 130, 140, 150, 160, 170, 179],
    }
    customers = make(
        "customer_id acquired_on",
        [("known", day(5)), ("undated", None), ("later", day(153)), ("future", date(2025, 1, 1))],
    )
    orders = bought(**lives, **coming())
    result = life_cycle({"customers": customers}, orders, as_of=day(180), before=day(140), params=TEN_THIRTY)
    found = states(result)
    assert found.loc["new"].tolist() == [UNKNOWN, NEW]
    assert found.loc["active"].tolist() == [ACTIVE, ACTIVE]
    assert found.loc["won_back"].tolist() == [LAPSED, WON_BACK]
    assert found.loc["at_risk"].tolist() == [LAPSED, AT_RISK]
    assert found.loc["lapsed"].tolist() == [AT_RISK, LAPSED]  # silent for exactly 30 days is not more than 30
    assert found.loc["lost"].tolist() == [NEW, LAPSED]
    assert found.loc["back_long_ago"].tolist() == [ACTIVE, ACTIVE]
    assert found.loc["known"].tolist() == [PROSPECT, PROSPECT]
    assert found.loc["undated"].tolist() == [UNKNOWN, PROSPECT]
    assert found.loc["later"].tolist() == [UNKNOWN, PROSPECT]
    assert "future" not in found.index


def test_flows_states_and_history_add_up(bought):
    result = life_cycle({}, bought(**coming()), as_of=day(180), before=day(120), params=TEN_THIRTY)
    assert result.table["customers"].sum() == len(result.customers) == result.flows["customers"].sum()
    assert np.isclose(result.flows.groupby("before")["share"].sum(), 1).all()
    assert (result.flows["low"] <= result.flows["share"]).all()
    assert (result.flows["share"] <= result.flows["high"]).all()
    at_end = result.history[result.history["day"] == result.history["day"].max()]
    then = life_cycle({}, bought(**coming()), as_of=at_end["day"].iloc[0].date(), params=TEN_THIRTY).table
    expected = then.set_index("state")["customers"]
    assert at_end.set_index("state")["customers"].to_dict() == {s: expected[s] for s in at_end["state"]}


def at_random(mean_of, n: int, seed: int) -> tuple[ibis.Table, date]:
    """Customers who begin on any of 300 days and buy at random until the end."""
    g, rows = np.random.default_rng(seed), []
    for i in range(n):
        days = g.integers(0, 300) + np.cumsum(np.ceil(np.append(0, g.exponential(mean_of(g), 300))))
        rows += [(f"c{i:04}", START + timedelta(int(d))) for d in days[days < 300]]
    return ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"])), START + timedelta(299)


def test_thresholds_are_those_of_a_weighted_product_limit_curve():
    table, end = at_random(lambda g: g.gamma(2, 15), 150, 3)
    frame = table.to_pandas().sort_values(["customer_id", "date"])
    when = pd.to_datetime(frame["date"])
    after = when.groupby(frame["customer_id"]).shift(-1)
    gap = (after.fillna(pd.Timestamp(end)) - when).dt.days
    gaps_ended = frame.groupby("customer_id")["date"].transform("size") - 1
    used = after.notna() | (gaps_ended == 0)
    weight = (1 / gaps_ended.clip(lower=1))[used]
    curve = SurvfuncRight(gap[used], after[used].notna().astype(int), freq_weights=weight)
    done = (1 - curve.surv_prob) / (1 - curve.surv_prob.min())
    expected = [int(curve.surv_times[np.argmax(done >= share - 1e-9)]) for share in (0.75, 0.90)]
    assert list(thresholds(purchase_days(table, end), as_of=end)) == expected


def test_thresholds_are_the_quantiles_of_the_gaps_where_all_buy_alike():
    table, end = at_random(lambda g: 30, 2_000, 5)
    found = thresholds(purchase_days(table, end), as_of=end)
    assert found == pytest.approx((30 * np.log(4), 30 * np.log(10)), rel=0.05)


def test_intervals_of_flows_hold_the_true_share_nine_times_in_ten():
    g, held = np.random.default_rng(6), []
    for _ in range(300):
        now = np.where(g.random(30) < 0.85, LAPSED, ACTIVE)
        flows = _flows(pd.DataFrame({"customer_id": np.arange(30).astype(str), "before": AT_RISK, "now": now}))
        flows = flows.set_index("now")
        held.append(flows.loc[LAPSED, "low"] <= 0.85 <= flows.loc[LAPSED, "high"])
    assert np.mean(held) == pytest.approx(0.9, abs=0.05)


def test_the_thresholds_follow_the_base_and_are_told(bought):
    weekly = {f"a{i}": list(range(1 + i, 170, 7)) for i in range(20)}
    monthly = {f"a{i}": list(range(1 + i, 170, 30)) for i in range(20)}
    fast, slow = (life_cycle({}, bought(**lives), as_of=day(180)) for lives in (weekly, monthly))
    assert fast.at_risk_days < slow.at_risk_days
    assert fast.lapsed_days > fast.at_risk_days
    assert f"more than {fast.at_risk_days} days" in said(fast)
    assert "as params say" not in said(fast)
    assert "as params say" in said(life_cycle({}, bought(**weekly), as_of=day(180), params=TEN_THIRTY))


def test_nobody_is_new_where_all_were_there_before(bought):
    there = {f"a{i}": list(range(1 + i % 7, 180, 7)) for i in range(40)}
    there["late"] = [178]
    result = life_cycle({}, bought(**there), as_of=day(180), params=TEN_THIRTY)
    assert (result.table.set_index("state")["customers"][[NEW]] == 0).all()
    assert "Nobody is called new" in said(result)
    result = life_cycle({}, bought(**coming()), as_of=day(180), params=TEN_THIRTY)
    assert result.table.set_index("state")["customers"][NEW] > 0
    assert "Nobody is called new" not in said(result)


def test_prospects_alone_and_nobody_at_all(make):
    none = make("customer_id date amount", [])
    people = make("customer_id", [(f"p{i}",) for i in range(8)])
    result = life_cycle({"customers": people}, none, as_of=day(100))
    assert result.table.set_index("state")["customers"].to_dict()[PROSPECT] == 8
    assert "all who are known are prospects" in said(result)
    assert result._repr_html_()
    empty = life_cycle({}, none, as_of=day(100))
    assert empty.table["customers"].sum() == 0
    assert empty._repr_html_()


@pytest.mark.parametrize(
    "lives",
    [{"a": [1]}, {f"c{i}": [1, 50] for i in range(10)}, {f"c{i}": [5] for i in range(10)}, {"a": [1, 2, 3, 90]}],
)
def test_tiny_bases_have_states(bought, lives):
    result = life_cycle({}, bought(**lives), as_of=day(95))
    assert result.lapsed_days > result.at_risk_days >= 1
    assert len(result.customers) == len(lives)
    assert result._repr_html_()


def test_lost_and_won_back_are_said_by_the_numbers(bought):
    stop = {f"s{i:02}": [10 + i, 60, 75, 90, 105] for i in range(30)}
    back = {f"b{i:02}": [5, 12, 20, 30, 165 + i % 10] for i in range(30)}
    orders = bought(**stop, **back, **coming(10, 1))
    result = life_cycle({}, orders, as_of=day(180), before=day(110), params=TEN_THIRTY)
    assert result.moved((ACTIVE,), (LAPSED,)) == (30, 30)
    assert "Of those lapsed then" in said(result)
    lost = (result.flows["before"] == ACTIVE) & (result.flows["now"] == LAPSED)
    for many, words in ((200, "More were lost"), (35, "About as many were lost"), (6, "More were gained")):
        flows = result.flows.assign(customers=result.flows["customers"].mask(lost, many))
        assert words in said(replace(result, flows=flows))
    early = life_cycle({}, orders, as_of=day(30), before=day(25), params=TEN_THIRTY)
    assert "who was won back is not known" in said(early)
    assert "nothing to compare with" in said(life_cycle({}, orders, as_of=day(30)))


def test_params_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="expected more than at_risk_days, 40"):
        LifeCycleParams(at_risk_days=40, lapsed_days=30)
    with pytest.raises(ValidationError, match="give both, or neither"):
        LifeCycleParams(at_risk_days=40)


def test_the_same_states_whatever_the_order_of_rows_and_the_threads(real):
    tables, _ = real("online_retail")
    lines = tables["transactions"].select("customer_id", "date").distinct().to_pandas()
    found = []
    for threads in (1, 2):
        base = duckdb.connect(config={"threads": threads})
        base.register("shuffled", lines.sample(frac=1, random_state=threads))
        base.execute("create table t as select customer_id, date::date as date from shuffled")
        found.append(life_cycle({}, ibis.duckdb.from_connection(base).table("t"), as_of=date(2011, 12, 9)))
    for name in ("table", "customers", "flows", "history"):
        pd.testing.assert_frame_equal(getattr(found[0], name), getattr(found[1], name), check_exact=True)
