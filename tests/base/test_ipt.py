"""Inter-purchase times: the open gap counts; intervals cover; regularity and lateness recover the truth."""

from datetime import date, timedelta

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import expon, gamma, weibull_min
from statsmodels.duration.survfunc import SurvfuncRight

from crmlab.base.ipt import ALL, IPTParams, ipt

START = date(2024, 1, 1)


def world(n, days, seed, *, rate=0.05, shape=0.8, erlang=1, life=None):
    """Customers with gamma-distributed rates, Erlang gaps in equilibrium and, perhaps, an exponential life."""
    g = np.random.default_rng(seed)
    rows = []
    for i, mine in enumerate(g.gamma(shape, rate / shape, n)):
        gaps = g.gamma(erlang, 1 / (mine * erlang), size=int(mine * (days + 400) * 2 + 30))
        times = np.cumsum(gaps) - 400
        times = times[(times >= 0) & (times < (min(days, g.exponential(life)) if life else days))]
        rows += [(f"c{i:05}", START + timedelta(int(d))) for d in np.unique(times.astype(int))]
    table = ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"]))
    return table, START + timedelta(days - 1)


def test_hand_worked_case_with_the_open_gap(bought):
    # gaps 2, 2, 6 ended; open gaps 6 (last 11 January) and 16 (the only one, 1 January), seen on the 17th
    table = bought(a=[1, 3, 5, 11], b=[1])
    found = ipt(table, as_of=date(2024, 1, 17))
    # at risk on day 2: 5, ended 2 → 0.6; on day 6: 3 (6, open 6, open 16), ended 1 → 0.4
    assert found.curve["days"].tolist() == [2, 6]
    assert np.allclose(found.curve["waiting"], [0.6, 0.4])
    row = found.table.iloc[0]
    assert (row["customers"], row["gaps"], row["q25"], row["median"]) == (2, 3, 2, 6)
    assert np.isnan(row["q75"])
    assert np.isnan(row["low"])  # two customers are too few for an interval
    assert np.isclose(row["days_per_purchase"], (2 + 2 + 6 + 6 + 16) / 3)


def test_several_orders_on_a_day_are_one_purchase(bought):
    once, twice = bought(a=[1, 5], b=[2, 9]), bought(a=[1, 1, 5, 5], b=[2, 9, 9])
    first, second = (ipt(t, as_of=date(2024, 1, 20)).table for t in (once, twice))
    pd.testing.assert_frame_equal(first, second)


def test_equals_the_product_limit_of_statsmodels():
    table, end = world(200, 120, 5)
    days = table.to_pandas().sort_values(["customer_id", "date"])
    day = pd.to_datetime(days["date"])
    following = day.groupby(days["customer_id"]).shift(-1)
    gap = (following.fillna(pd.Timestamp(end)) - day).dt.days
    reference = SurvfuncRight(gap, following.notna())
    found = ipt(table, as_of=end)
    np.testing.assert_array_equal(found.curve["days"], reference.surv_times)
    np.testing.assert_allclose(found.curve["waiting"], reference.surv_prob, atol=1e-12)
    assert found.table["median"].iloc[0] == reference.quantile(0.5)


def test_ignoring_the_open_gap_would_be_wrong_and_is_not_done():
    """Everybody waits exponentially with mean 60 days and is seen for 90: the median is 41 days, of ended gaps 22."""
    g = np.random.default_rng(2)
    rows = []
    for i in range(3000):
        at = 0.0
        while at < 90:
            rows.append((f"c{i:05}", START + timedelta(int(at))))
            at += max(g.exponential(60), 1)
    found = ipt(ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"])), as_of=START + timedelta(89))
    row = found.table.iloc[0]
    assert row["low"] - 1 <= 60 * np.log(2) <= row["high"] + 1


def test_the_interval_of_the_median_allows_for_unlike_customers():
    """Over 25 samples the 90 % interval covers the large-sample median in 80 to 100 %; independent gaps would not."""
    many, end = world(8000, 200, 99)
    truth = ipt(many, as_of=end).table["median"].iloc[0]
    covered = []
    for seed in range(25):
        table, end = world(150, 200, seed)
        row = ipt(table, as_of=end).table.iloc[0]
        covered.append(row["low"] <= truth <= row["high"])
    assert np.mean(covered) >= 0.8


@pytest.mark.parametrize(("erlang", "rate", "cv"), [(1, 0.02, 1.0), (1, 0.3, 1.0), (4, 0.02, 0.5)])
def test_regularity_recovers_the_shape_of_the_gaps_whatever_the_rates(erlang, rate, cv):
    table, end = world(800, 500, 7, rate=rate, erlang=erlang)
    row = ipt(table, as_of=end).table.iloc[0]
    assert abs(row["cv"] - cv) < 0.06
    assert row["cv_low"] < row["cv"] < row["cv_high"]


def test_in_a_steady_base_few_are_overdue_and_where_customers_leave_many_are():
    table, end = world(800, 365, 1)
    steady = ipt(table, as_of=end)
    assert 0.05 < steady.table["overdue"].iloc[0] < 0.13
    assert any("no more than" in str(s) for s in steady.sentences())
    table, end = world(800, 365, 1, life=150)
    leaving = ipt(table, as_of=end)
    assert leaving.table["overdue"].iloc[0] > 0.4
    assert any("more than the 10%" in str(s) and s.tone == "warn" for s in leaving.sentences())


def test_bursts_and_rhythm_are_said_and_neither_at_random():
    table, end = world(300, 365, 3, erlang=4)
    assert any("more regularly" in str(s) for s in ipt(table, as_of=end).sentences())
    table, end = world(300, 365, 3, erlang=0.3)
    assert any("in bursts" in str(s) for s in ipt(table, as_of=end).sentences())
    table, end = world(300, 365, 4)
    assert not any("random" in str(s) for s in ipt(table, as_of=end).sentences())


def test_segments_partition_the_gaps_and_carry_their_names(bought):
    table = bought(a=[1, 3, 5], b=[2, 20], c=[4, 8], d=[1])
    segments = pd.Series({"a": "s1", "b": "s2", "c": "s1"})
    found = ipt(table, as_of=date(2024, 1, 30), segments=segments, names={"s1": "Often", "s2": "Rarely"})
    assert found.table["segment"].tolist() == [ALL, "s1", "s2"]
    assert found.table["name"].tolist() == [ALL, "Often", "Rarely"]
    assert found.table["gaps"].tolist() == [4, 3, 1]
    assert found.table["customers"].tolist() == [4, 2, 1]  # d is in no segment
    assert found.shown()["name"].iloc[0] == "all customers"
    alone = ipt(bought(a=[1, 3, 5], c=[4, 8]), as_of=date(2024, 1, 30)).table.iloc[0]
    assert alone["median"] == found.table["median"].iloc[1]


def test_no_gap_is_said(bought):
    found = ipt(bought(a=[1], b=[4]), as_of=date(2024, 1, 30))
    assert "no gap" in str(found.sentences()[0])
    assert np.isnan(found.table["median"].iloc[0])
    assert found._repr_html_()
    nobody = ipt(bought(a=[1]), as_of=date(2023, 1, 30))
    assert nobody.table["customers"].tolist() == [0]


def test_a_customers_own_gaps_judge_whether_the_customer_is_overdue(bought):
    daily, weekly = list(range(1, 13)), list(range(1, 80, 7))
    found = ipt(bought(a=daily, b=weekly), as_of=date(2024, 3, 23), params=IPTParams(overdue_quantile=0.9))
    assert found.table["overdue"].iloc[0] == 0.5  # a is silent since 12 January; b came on 18 March as ever
    assert found.table["judged"].iloc[0] == 2


def test_tables_are_the_same_bytes_with_one_thread_and_two(real):
    tables, _ = real("online_retail")
    lines = tables["transactions"].select("customer_id", "date").distinct().to_pandas()
    frames = []
    for threads in (1, 2):
        base = duckdb.connect(config={"threads": threads})
        base.register("shuffled", lines.sample(frac=1, random_state=threads))
        base.execute("create table t as select customer_id, date::date as date from shuffled")
        table = ibis.duckdb.from_connection(base).table("t")
        segments = pd.Series("s1", index=sorted(lines["customer_id"].unique()))
        found = ipt(table, as_of=date(2011, 12, 9), segments=segments)
        frames.append((found.table, found.curve))
    pd.testing.assert_frame_equal(frames[0][0], frames[1][0], check_exact=True)
    pd.testing.assert_frame_equal(frames[0][1], frames[1][1], check_exact=True)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda g: g.exponential(40), expon(scale=40)),
        (lambda g: g.gamma(3, 40 / 3), gamma(3, scale=40 / 3)),
        (lambda g: 40 * g.weibull(0.7), weibull_min(0.7, scale=40)),
    ],
    ids=["exponential", "gamma", "weibull"],
)
def test_the_true_distribution_of_gaps_is_recovered_where_ended_gaps_alone_mislead(draw, truth):
    """All buy alike and are seen for 100 days, so that the long gaps are mostly still open."""
    g = np.random.default_rng(5)
    rows, ended = [], []
    for i in range(2500):
        at = [g.uniform(0, 30)]
        while at[-1] < 100:
            at.append(at[-1] + draw(g))
        days = np.unique(np.floor(at[:-1]).astype(int))
        ended += list(np.diff(days))
        rows += [(f"c{i:05}", START + timedelta(int(d))) for d in days]
    row = ipt(ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"])), as_of=START + timedelta(99)).table
    row = row.iloc[0]
    for share, name in ((0.5, "median"), (0.75, "q75")):
        # gaps within a day are no gaps
        assert abs(row[name] - truth.isf((1 - share) * truth.sf(0.5))) <= 2.5, name
    assert np.quantile(ended, 0.75) < truth.ppf(0.75) - 6


SQL = """
with days as (select distinct customer_id, date::date as d from lines where date <= date '{as_of}'),
gaps as (
    select customer_id, d, lead(d) over w as n, date_diff('day', d, lead(d) over w) as g,
        date_diff('day', lead(d) over w, lead(d, 2) over w) as h
    from days window w as (partition by customer_id order by d)
),
told as (
    select customer_id, coalesce(g, date_diff('day', d, date '{as_of}')) as gap, g is not null as ended, h from gaps
),
risk as (
    select gap, sum(ended::int) as over, sum(count(*)) over (order by gap desc) as at_risk from told group by gap
),
curve as (select gap, exp(sum(ln(1 - over / at_risk)) over (order by gap)) as waiting from risk where over < at_risk)
select (select count(distinct customer_id) from days) as customers, (select count(*) from told where ended) as gaps,
    (select min(gap) from curve where waiting <= 0.75 + 1e-12) as q25,
    (select min(gap) from curve where waiting <= 0.5 + 1e-12) as median,
    (select sum(gap) / count(*) filter (ended) from told) as days_per_purchase,
    (select sum(((gap - h) / (2.0 * (gap + h))) ** 2) / sum((gap + h - 2) / (12.0 * (gap + h))) from told) as ratio
"""


@pytest.mark.parametrize(("source", "as_of"), [("online_retail", date(2011, 12, 9)), ("cdnow", date(1998, 6, 30))])
def test_equals_plain_sql_on_real_data(real, source, as_of):
    tables, orders = real(source)
    base = duckdb.connect()
    base.register("lines", tables["transactions"].select("customer_id", "date").to_pyarrow())
    expected = base.execute(SQL.format(as_of=as_of)).df().iloc[0]
    row = ipt(orders, as_of=as_of).table.iloc[0]
    for name in ("customers", "gaps", "q25", "median"):
        assert row[name] == expected[name] or (np.isnan(row[name]) and np.isnan(expected[name])), name
    assert np.isclose(row["days_per_purchase"], expected["days_per_purchase"], rtol=1e-12)
    assert np.isclose(row["cv"], np.sqrt(2 * expected["ratio"] / (3 - expected["ratio"])), rtol=1e-9)


def test_overdue_equals_each_customers_own_quantile_in_pandas(real):
    tables, orders = real("online_retail")
    end = pd.Timestamp(2011, 12, 9)
    days = tables["transactions"].select("customer_id", "date").distinct().to_pandas()
    days["date"] = pd.to_datetime(days["date"])
    late, few = 0, []
    for _, one in days.sort_values("date").groupby("customer_id")["date"]:
        gaps, opened = np.sort(one.diff().dt.days.dropna().to_numpy()), (end - one.iloc[-1]).days
        if (len(gaps) + 1) * 0.1 < 1 - 1e-9:
            few.append((gaps, opened))
        else:
            late += opened > gaps[int(np.ceil(0.9 * (len(gaps) + 1) - 1e-9)) - 1]
    ended = np.concatenate([g for g, _ in few])
    opened = np.array([o for _, o in few])
    curve = SurvfuncRight(np.r_[ended, opened], np.r_[np.ones(len(ended)), np.zeros(len(opened))])
    late += int((opened > curve.quantile(0.9)).sum())
    row = ipt(orders, as_of=end.date()).table.iloc[0]
    assert row["judged"] == days["customer_id"].nunique()
    assert round(row["overdue"] * row["judged"]) == late


@pytest.mark.parametrize("seed", range(5))
def test_all_customers_are_the_sum_of_the_segments_whatever_the_history(bought, seed):
    g = np.random.default_rng(seed)
    named = {f"c{i:02}": sorted(g.integers(1, 60, g.integers(1, 25)).tolist()) for i in range(14)}
    segments = pd.Series({c: f"s{i % 3}" for i, c in enumerate(named)})
    table = bought(**named)
    split, whole = (ipt(table, as_of=date(2024, 3, 1), segments=s).table for s in (segments, None))
    parts = split[split["segment"] != ALL]
    for name in ("customers", "gaps", "judged"):
        assert parts[name].sum() == split[name].iloc[0] == whole[name].iloc[0]
    for name in ("q25", "median", "q75", "cv", "overdue"):
        assert np.isclose(split[name].iloc[0], whole[name].iloc[0], rtol=1e-12, equal_nan=True), name


def test_who_is_overdue_is_said_of_those_who_can_be_judged_alone(bought):
    """Six have ten gaps of their own; most gaps of the others are open, so that nine tenths are never reached."""
    often = {f"o{i}": list(range(1, 12)) for i in range(6)}
    once = {f"x{i}": [1] for i in range(40)}
    orders = bought(**often, **once)
    found = ipt(orders, as_of=date(2024, 1, 20))
    assert found.table[["customers", "judged"]].iloc[0].tolist() == [46, 6]
    assert "Of the 6 customers with gaps enough of their own to judge, 100.0% are overdue, more" in " ".join(
        map(str, found.sentences())
    )
    four = ipt(bought(**dict(list(often.items())[:4]), **once), as_of=date(2024, 1, 20))
    assert not any("overdue" in str(s) for s in four.sentences())


def test_a_share_overdue_of_fewer_than_five_judged_is_not_shown(bought):
    often = {f"o{i}": list(range(1, 12)) for i in range(7)}
    once = {f"x{i}": [1] for i in range(40)}
    segments = pd.Series({c: "s1" if c in ("o0", "o1", "o2") or c > "x2" else "s2" for c in [*often, *once]})
    found = ipt(bought(**often, **once), as_of=date(2024, 1, 20), segments=segments)
    assert found.table.set_index("segment").loc["s1", "judged"] == 3
    shown = found.shown().set_index("segment")[["overdue", "overdue_low", "overdue_high"]].notna().all(axis=1)
    assert shown.to_dict() == {"all": True, "s1": False, "s2": False}
