"""The next purchase: the model against numerical integration and known truth; its intervals on days withheld."""

from dataclasses import replace
from datetime import date, timedelta
from math import gamma as gamma_of

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, gamma

from crmlab.base import silence
from crmlab.base.foretold import calibrated
from crmlab.base.ipt import ALL, IPTParams
from crmlab.base.renewal import Renewal, expected, log_likelihood
from crmlab.base.silence import histories, learnt, regularity
from crmlab.base.timing import LONGEST, NextPurchase, next_purchase

START = date(2023, 1, 2)
TRUTH = Renewal(k=1.7, r=0.9, alpha=30.0, a=0.8, b=6.0)


def world(n, days, truth, seed):
    """Orders of customers who live by the model, and who had left by the end."""
    g = np.random.default_rng(seed)
    rows, left = [], {}
    for i in range(n):
        rate, leaves = g.gamma(truth.r, 1 / truth.alpha), g.beta(truth.a, truth.b)
        at, gone = [g.uniform(0, days * 0.6)], False
        while not gone:
            gone = g.random() < leaves
            following = at[-1] + g.gamma(truth.k, 1 / rate)
            if gone or following >= days:
                break
            at.append(following)
        left[f"c{i:05}"] = gone
        rows += [(f"c{i:05}", START + timedelta(int(d))) for d in np.unique(np.floor(at))]
    table = ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"]))
    return table, START + timedelta(days - 1), pd.Series(left)


@pytest.fixture(scope="module")
def lived():
    table, end, left = world(1800, 600, TRUTH, 11)
    return next_purchase(table, as_of=end), table, end, left


def each(n, days, opened):
    return pd.DataFrame({"n": [n], "waited": [days - n / 2], "open": [opened]})


@pytest.mark.parametrize(("lengths", "opened"), [((), 9), ((4,), 0), ((3, 10, 7), 40)])
def test_the_likelihood_is_the_integral_over_rates_and_leaving(lengths, opened):
    n = len(lengths)
    powers = np.prod([(g**TRUTH.k - (g - 1) ** TRUTH.k) / TRUTH.k for g in lengths])

    def over_rates(silent):
        def at(rate):
            gaps = np.prod([rate**TRUTH.k * np.exp(-rate * (g - 0.5)) for g in lengths]) / gamma_of(TRUTH.k) ** n
            return powers * gaps * silent(rate) * gamma.pdf(rate, TRUTH.r, scale=1 / TRUTH.alpha)

        return quad(at, 0, 3, epsabs=0, epsrel=1e-9, limit=300)[0]

    gone, there = over_rates(lambda rate: 1.0), over_rates(lambda rate: gamma.sf(opened, TRUTH.k, scale=1 / rate))

    def over_leaving(leave):
        return (1 - leave) ** n * (leave * gone + (1 - leave) * there) * beta.pdf(leave, TRUTH.a, TRUTH.b)

    whole = quad(over_leaving, 0, 1, epsabs=0)[0]
    counted = pd.Series(lengths, dtype="int64").value_counts().sort_index()
    assert np.isclose(log_likelihood(TRUTH, each(n, sum(lengths), opened), counted), np.log(whole), rtol=1e-6)


def test_waiting_and_still_are_those_of_simulated_customers_with_such_a_history():
    """Rates and leaving drawn from their posterior by hand, gaps from them."""
    g = np.random.default_rng(1)
    of = expected(TRUTH, each(4, 60, 35))
    rate = g.gamma(TRUTH.r + 4 * TRUTH.k, 1 / (TRUTH.alpha + 58), 400_000)
    gap = g.gamma(TRUTH.k, 1 / rate)
    leave = g.beta(TRUTH.a, TRUTH.b + 4, 400_000)
    gone = g.random(400_000) < leave
    silent = gone | (gap > 35)
    assert abs(of.waiting[0] - (gap > 35).mean()) < 0.004
    assert abs(of.still[0] - (~gone)[silent].mean()) < 0.006
    for share in (0.05, 0.5, 0.9):
        assert np.isclose((gap[gap > 35] - 35 <= of.quantile(share)[0]).mean(), share, atol=0.006)


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])
@given(
    st.floats(0.3, 20), st.floats(0.2, 20), st.floats(0.5, 500), st.integers(0, 200), st.integers(0, 2000),
    st.floats(0.01, 0.99),
)  # fmt: skip
def test_quantiles_and_probabilities_are_each_others_inverse(k, r, alpha, n, opened, share):
    of = expected(Renewal(k, r, alpha, 1.0, 5.0), each(n, 7 * n, opened))
    days = of.quantile(share)
    assert 0 <= of.still[0] <= 1
    if of.waiting[0] > 1e-200 and np.isfinite(days[0]) and days[0] < 1e7:
        assert np.isclose(of.within(days)[0], share, atol=1e-5)


def test_the_truth_is_recovered(lived):
    result, *_ = lived
    found = result.model.table().set_index("parameter")
    for name, value in (("r", TRUTH.r), ("leaving", TRUTH.leaving)):
        assert found.loc[name, "low"] * 0.93 < value < found.loc[name, "high"] * 1.07, name
    assert abs(result.model.k / TRUTH.k - 1) < 0.08  # purchases of one day are one: gaps look a little more regular
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()


def test_who_has_left_and_when_the_others_buy_next_is_told_with_the_right_confidence(lived):
    result, _, _, left = lived
    still = result.table.set_index("customer_id")["still"]
    gone = left.reindex(still.index)
    assert abs(still.mean() - (~gone).mean()) < 0.03
    sure = still > 0.8
    assert (~gone)[sure].mean() > 0.8
    found = result.calibration.set_index("key")
    assert abs(found.loc["within_90", "observed"] - 0.90) < 0.025
    assert abs(found.loc["within_80", "observed"] - 0.80) < 0.03
    assert abs(found.loc["back", "observed"] - found.loc["back", "expected"]) < 0.03
    assert {s.tone for s in result.sentences()} <= {"plain", "good"}


def test_a_model_that_is_wrong_is_found_out_by_the_days_withheld():
    """Half of the customers stop together: more come back than expected, or fewer; the page must not call it good."""
    table, end, _ = world(1500, 400, replace(TRUTH, a=0.05, b=20), 4)
    stops = ibis.literal(end - timedelta(days=100))
    stopped = table.filter((table.date < stops) | (table.customer_id > "c00900"))
    wrong = next_purchase(stopped, as_of=end)
    assert wrong.sentences()[-1].tone == "warn"
    assert "were expected" in str(wrong.sentences()[-1])


@pytest.mark.parametrize(("source", "as_of"), [("cdnow", date(1998, 6, 30)), ("online_retail", date(2011, 12, 9))])
def test_intervals_hold_on_real_days_withheld(real, source, as_of):
    _, orders = real(source)
    days = {"cdnow": 136, "online_retail": 93}[source]
    found, bands = calibrated(orders, as_of=as_of, days=days)
    found = found.set_index("key")
    assert abs(found.loc["within_90", "observed"] - 0.90) < 0.03
    assert abs(found.loc["within_80", "observed"] - 0.80) < 0.04
    assert bands["observed"].corr(bands["expected"]) > 0.98


def test_hand_worked_histories(bought):
    found = histories(bought(b=[4], a=[1, 3, 3, 8]), as_of=date(2024, 1, 10)).set_index("customer_id")
    assert found.loc["a", ["n", "waited", "open", "seen"]].tolist() == [2, 6.0, 2, 9]
    assert found.loc["b", ["n", "waited", "open", "seen"]].tolist() == [0, 0.0, 6, 6]
    # gaps 2 and 5: M = 2/7, ((2 − 5)/14)² and (7 − 2)/84
    assert np.isclose(found.loc["a", "spread"], (3 / 14) ** 2)
    assert np.isclose(found.loc["a", "expected"], 5 / 84)
    later = histories(bought(a=[1, 3, 8]), as_of=date(2024, 1, 5))
    assert later[["n", "open"]].iloc[0].tolist() == [1, 2]


def test_regular_customers_are_told_from_those_in_bursts_and_one_gap_tells_nothing():
    g = np.random.default_rng(2)
    rows = []
    for i in range(300):
        shape = 9 if i < 150 else 0.6
        days = np.unique(np.cumsum(g.gamma(shape, 12 / shape, 40)).astype(int))
        rows += [(f"c{i:03}", START + timedelta(int(d))) for d in days[days < 300]]
    rows += [("once", START), ("twice", START), ("twice", START + timedelta(9))]
    frame = histories(ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"])), as_of=START + timedelta(300))
    found = pd.Series(regularity(frame), index=frame["customer_id"])
    assert found[:150].mean() < 0.6 < 0.9 < found[150:300].mean()
    assert found[["once", "twice"]].isna().all()


def test_the_longer_the_silence_the_more_is_used_up_and_the_surer_that_somebody_left(lived):
    model = lived[0].model
    frame = pd.DataFrame({"n": 5, "waited": 47.5, "open": [1, 5, 20, 80, 500]})
    of = expected(model, frame)
    assert (np.diff(of.waiting) < 0).all()
    assert (np.diff(of.still) < 0).all()
    days = of.quantile(0.5)
    assert days[1] < days[0]  # the next purchase comes nearer …
    assert days[4] > days[3] > days[1]  # … until who is silent for long is taken to buy rarely


def test_the_table_holds_together(lived):
    result, _, end, _ = lived
    table = result.table
    assert table["customer_id"].is_monotonic_increasing
    known = table.dropna()
    order = known[["low_90", "low_80", "next_days", "high_80", "high_90"]].to_numpy()
    assert (np.diff(order, axis=1) >= 0).all()
    assert (order >= 1).all()
    assert (order <= LONGEST).all()
    assert ((known["next_on"] - pd.Timestamp(end)).dt.days == known["next_days"]).all()
    assert (table["overdue"] == (table["used_up"] > 0.9)).all()
    assert (known.loc[known["overdue"], "open_days"] >= known.loc[known["overdue"], "late_days"] - 1).all()
    strict = next_purchase(lived[1], as_of=end, params=IPTParams(overdue_quantile=0.99))
    assert strict.table["overdue"].sum() < table["overdue"].sum()


def test_segments_are_told_apart_and_the_worst_is_named(lived):
    _, table, end, _ = lived
    first = table.group_by("customer_id").agg(last=table.date.max()).to_pandas().set_index("customer_id")["last"]
    old = pd.to_datetime(first) < pd.Timestamp(end) - pd.Timedelta(days=250)
    segments = old.map({True: "s1", False: "s2"})
    table = table.filter(table.customer_id < "c00600")
    old, segments = old[old.index < "c00600"], segments[segments.index < "c00600"].iloc[:-3]
    result = next_purchase(table, as_of=end, segments=segments, names={"s1": "Silent", "s2": "Lively"})
    assert result.by_segment["segment"].tolist() == [ALL, "s1", "s2"]
    assert result.by_segment["customers"].tolist() == [len(old), *segments.value_counts()[["s1", "s2"]]]
    assert any("“Silent”" in str(s) for s in result.sentences())
    assert "Silent" in result._repr_html_()
    swapped = next_purchase(table, as_of=end, segments=segments, names={"s1": "Lively", "s2": "Silent"})
    assert any("“Lively”" in str(s) for s in swapped.sentences())


@pytest.mark.parametrize(
    "histories_of",
    [
        {},
        {"a": [1]},
        {"a": [1, 5, 9]},
        {f"c{i}": [1] for i in range(10)},
        {f"c{i:02}": list(range(1, 90, 7)) for i in range(40)},
        {f"c{i:02}": [(1, 10**9), (30, 10**9)] if i == 3 else [1 + i % 3, 9 + i] for i in range(40)},
    ],
    ids=["nobody", "one who came once", "one", "ten who came once", "identical", "a whale"],
)
def test_strange_bases_are_answered_and_not_guessed(bought, make, histories_of):
    table = bought(**histories_of) if histories_of else make("customer_id date amount", [])
    result = next_purchase(table, as_of=date(2024, 4, 1))
    assert isinstance(result, NextPurchase)
    assert result._repr_html_()
    assert len(result.table) == len(histories_of)
    if len(histories_of) <= 10:
        assert "cannot be learnt" in str(result.sentences()[0])
        assert result.table["next_days"].isna().all()
    else:
        assert np.isfinite(result.table["used_up"]).all()


def test_a_clock_is_foretold_to_the_day(bought):
    """Forty customers who buy every seven days: the next purchase is due on the seventh."""
    result = next_purchase(bought(**{f"c{i:02}": list(range(1, 90, 7)) for i in range(40)}), as_of=date(2024, 3, 26))
    row = result.table.iloc[0]
    assert row["open_days"] == 1
    assert (row["next_days"], row["low_90"] >= 5, row["high_90"] <= 7) == (6, True, True)


def test_sentences_follow_the_numbers(lived):
    result = lived[0]
    off = result.calibration.assign(observed=[0.6, 0.7, 0.1], low=[0.5, 0.6, 0.05], high=[0.7, 0.8, 0.15])
    said = " ".join(map(str, replace(result, calibration=off).sentences()))
    assert "take the dates as rough" in said
    assert "and" in said.split("came back")[1]
    assert "is not known" in str(replace(result, calibration=pd.DataFrame()).sentences()[-1])


def test_the_same_figures_whatever_the_order_of_rows_and_the_threads(real):
    tables, _ = real("online_retail")
    lines = tables["transactions"].select("customer_id", "date").distinct().to_pandas()
    lines = lines[lines["customer_id"].isin(sorted(lines["customer_id"].unique())[:700])]
    found = []
    for threads in (1, 2):
        base = duckdb.connect(config={"threads": threads})
        base.register("shuffled", lines.sample(frac=1, random_state=threads))
        base.execute("create table t as select customer_id, date::date as date from shuffled")
        found.append(next_purchase(ibis.duckdb.from_connection(base).table("t"), as_of=date(2011, 12, 9)))
    pd.testing.assert_frame_equal(found[0].table, found[1].table, check_exact=True)
    pd.testing.assert_frame_equal(found[0].calibration, found[1].calibration, check_exact=True)


def test_with_many_customers_the_model_is_learnt_from_some_and_says_nearly_the_same(lived, monkeypatch):
    result, table, end, _ = lived
    monkeypatch.setattr(silence, "SAMPLED", 700)
    frame = histories(table, as_of=end)
    some, same, other = (learnt(table, frame, end, seed) for seed in (1, 1, 2))
    assert some == same != other
    assert np.isclose(some.k, result.model.k, rtol=0.08)
    assert np.isclose(some.leaving, result.model.leaving, atol=0.04)
