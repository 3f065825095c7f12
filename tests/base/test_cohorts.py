"""Cohorts: hand-worked tables, what is absent, and small cohorts that borrow no more than they should."""

from datetime import date, timedelta

import duckdb
import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import beta

from crmlab import plots
from crmlab.base.active import RetentionParams
from crmlab.base.cohorts import cohorts
from crmlab.base.intervals import jeffreys
from crmlab.base.orders import orders
from crmlab.base.pooled_rates import pooled_rates
from crmlab.base.retention import retention
from crmlab.plots.frame import bundle

matplotlib.use("agg")


def by_cohort(make, entries, as_of, period="M"):
    rows = [(who, f"{who}{n}", day, 10) for n, (who, day) in enumerate(entries)]
    table = orders(make("customer_id order_id date amount", rows))
    return cohorts(retention(table, as_of=as_of, params=RetentionParams(period=period)))


def said(result):
    return " ".join(map(str, result.sentences()))


def coming(sizes, back):
    """`sizes[m]` customers who come in month m of 2023, a share `back[m]` of whom order again a month later."""
    entries = []
    for month, (size, share) in enumerate(zip(sizes, back, strict=True), start=1):
        who = [f"m{month:02}c{i:04}" for i in range(size)]
        entries += [(w, date(2023, month, 1 + i % 25)) for i, w in enumerate(who)]
        entries += [(w, date(2023, month + 1, 1 + i % 25)) for i, w in enumerate(who[: round(size * share)])]
    return entries


def test_hand_worked_table_of_a_base_that_gains_customers(make):
    start = date(2023, 1, 1)
    entries = [(f"c{i:03}", start + timedelta(i + k)) for i in range(300) for k in (0, 35) if i + k < 365]
    found = by_cohort(make, entries, date(2023, 12, 31))
    january = found.table[found.table["cohort"] == "2023-01"]
    assert january["customers"].unique().tolist() == [31]
    assert january["age"].tolist() == list(range(1, 12))
    # those of 1 to 24 January order again in February, the other 7 in March, and then nobody: observed, so a true 0
    assert january["active"].tolist() == [24, 7] + [0] * 9
    assert january["crr"].iloc[0] == 24 / 31
    assert np.isclose(january["low"].iloc[0], beta.ppf(0.05, 24.5, 7.5))
    # every later cohort has been seen for a month less
    assert (found.table.groupby("cohort")["age"].max().diff().dropna() == -1).all()
    first = found.by_age.iloc[0]
    known = found.table[(found.table["age"] == 1) & ~found.table["before"]]
    assert (first["cohorts"], first["customers"]) == (len(known), known["customers"].sum())


def test_a_month_that_is_not_over_has_no_age(make):
    entries = coming([30] * 6, [0.5] * 6)
    whole, cut = (by_cohort(make, entries, day).table for day in (date(2023, 7, 31), date(2023, 7, 30)))
    assert len(whole) == len(cut) + 6
    assert whole["age"].max() == cut["age"].max() + 1


def test_a_base_that_was_there_before_has_none(make):
    start = date(2023, 1, 1)
    steady = [(f"c{i:03}", start + timedelta(i % 20 + k)) for i in range(100) for k in range(0, 340, 20)]
    found = by_cohort(make, steady, date(2023, 12, 31))
    assert found.table.empty
    assert "There are no cohorts" in said(found)
    assert "time observed, not age" in said(found)
    assert plots.cohorts(found) is None
    there = by_cohort(make, coming([40] * 9, [0.5] * 9), date(2023, 12, 31))
    assert "no cohorts" not in said(there)
    assert there.table.dtypes.equals(found.table.dtypes)
    assert there.by_age.dtypes.equals(found.by_age.dtypes)


def test_the_first_cohorts_lend_nothing(make):
    entries = coming([200] + [60] * 8, [1.0] + [0.3] * 8)
    found = by_cohort(make, entries, date(2023, 12, 31))
    first = found.table[found.table["age"] == 1].set_index("cohort")
    assert first["before"].tolist() == [True, True] + [False] * 7
    assert (first["pooled"][~first["before"]] < 0.35).all()
    assert found.by_age["typical"].iloc[0] < 0.35
    assert "2023-01, 2023-02) may hold customers who were there before" in said(found)


def test_what_is_said_of_cohorts_follows_them(make):
    end = date(2023, 12, 31)
    alike = by_cohort(make, coming([200] * 9, [0.5] * 9), end)
    apart = by_cohort(make, coming([200] * 9, [0.1, 0.5, 0.9] * 3), end)
    assert "differ by no more than chance" in said(alike)
    assert "differ by more than chance" in said(apart)
    assert "Of the customers of a cohort 50.0% order at age 1" in said(alike)
    assert "lean on the others" not in said(alike)
    small = by_cohort(make, coming([200] * 6 + [3] * 3, [0.5] * 6 + [0.67] * 3), end)
    assert "3 of 9 cohorts have fewer than 100 customers" in said(small)
    one = by_cohort(make, coming([150], [0.5]), date(2023, 3, 31))
    assert "one cohort alone" in said(one)
    assert "lean on the others" not in said(one)
    nothing = by_cohort(make, [("a", date(2023, 1, 2))], date(2023, 1, 20))
    assert "no cohorts" in said(nothing)


def test_cohorts_of_fewer_than_five_are_not_drawn(make):
    found = by_cohort(make, coming([200] * 6 + [3] * 3, [0.5] * 6 + [0.67] * 3), date(2023, 12, 31))
    ax = plots.cohorts(found)
    assert [t.get_text().split()[0] for t in ax.get_yticklabels()] == [f"2023-0{m}" for m in range(1, 7)]
    data, _ = bundle(ax)
    pooled = found.table["pooled"].iloc[0]
    assert f"6 cohorts: of cohort 2023-01, {pooled:.1%} order at age 1" in data["text/plain"]


def reference(successes, trials):
    """The same posterior by weighted draws from the prior: mean, low, high."""
    g = np.random.default_rng(3)
    m, root = g.beta(0.5, 0.5, 60_000).clip(1e-9, 1 - 1e-9), g.uniform(1e-4, 1, 60_000)
    size = 1 / root**2 - 1
    a, b = m * size, (1 - m) * size
    cells = list(zip(successes, trials, strict=True))
    log = sum(betaln(a + k, b + n - k) - betaln(a, b) for k, n in cells)
    weight = np.exp(log - log.max())
    found = []
    for k, n in cells:
        p = g.beta(a + k, b + n - k)
        order = np.argsort(p)
        below = np.cumsum(weight[order]) / weight.sum()
        low, high = p[order][np.searchsorted(below, (0.05, 0.95))]
        found.append((weight @ p / weight.sum(), low, high))
    return np.array(found).T


@pytest.mark.parametrize(
    ("successes", "trials"),
    [([3, 30, 40], [10, 100, 80]), ([1, 2, 0, 5, 30], [3, 9, 4, 12, 90]), ([0, 10], [5, 40]), ([8, 9, 7], [10, 10, 9])],
)
def test_pooling_equals_a_plain_integration(successes, trials):
    found = pooled_rates(successes, trials)
    mean, low, high = reference(successes, trials)
    np.testing.assert_allclose(found.rate, mean, atol=0.01)
    np.testing.assert_allclose(found.low, low, atol=0.025)
    np.testing.assert_allclose(found.high, high, atol=0.025)


def test_three_customers_borrow_and_three_thousand_do_not():
    found = pooled_rates([3, 900, 290, 320, 300], [3, 3000, 1000, 1000, 1000])
    assert found.rate[0] < 0.45  # by themselves they would have 100 %
    assert found.rate[1] == pytest.approx(0.3, abs=0.002)
    low, high = jeffreys(900, 3000)
    assert (found.low[1], found.high[1]) == pytest.approx((float(low), float(high)), abs=0.004)
    # where cohorts differ widely, nobody's rate is guessed from the others'
    wild = pooled_rates([3, 150, 2700, 600, 2400], [3, 3000, 3000, 3000, 3000])
    assert wild.rate[0] > found.rate[0] + 0.2
    assert wild.differ
    assert not found.differ


@pytest.mark.parametrize(("a", "b"), [(3, 9), (30, 90), (1, 2), (0.8, 7)])
@pytest.mark.parametrize("groups", [4, 20])
def test_intervals_cover_and_pooled_rates_are_nearer_the_truth(a, b, groups):
    g = np.random.default_rng(7)
    covered, pooled, raw = [], [], []
    for _ in range(400 // groups):
        n = g.integers(3, 60, groups)
        truth = g.beta(a, b, groups)
        k = g.binomial(n, truth)
        found = pooled_rates(k, n)
        covered.extend((found.low <= truth) & (truth <= found.high))
        pooled.extend((found.rate - truth)[n < 20] ** 2)
        raw.extend((k / n - truth)[n < 20] ** 2)
    assert 0.85 < np.mean(covered) < 0.96
    assert np.mean(pooled) < 0.9 * np.mean(raw)


def test_the_range_of_a_new_cohort_holds_nine_in_ten_of_them():
    g = np.random.default_rng(8)
    inside = []
    for _ in range(100):
        n = g.integers(50, 500, 12)
        found = pooled_rates(g.binomial(n, g.beta(6, 24, 12)), n)
        inside.append(found.range[0] <= g.beta(6, 24) <= found.range[1])
    assert 0.85 < np.mean(inside) < 0.97


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 1)), min_size=1, max_size=12))
def test_whatever_is_counted_gives_rates_with_intervals(cells):
    n = np.array([size for size, _ in cells])
    k = np.floor(n * np.array([share for _, share in cells])).astype(int)
    found = pooled_rates(k, n)
    for values in (found.rate, found.low, found.high):
        assert np.isfinite(values).all()
    assert (found.low <= found.high).all()
    inner = (k > 0) & (k < n)
    assert ((found.low < found.rate) & (found.rate < found.high))[inner].all()
    order = np.argsort(n, kind="stable")[::-1]
    np.testing.assert_allclose(pooled_rates(k[order], n[order]).rate, found.rate[order], rtol=1e-9)


@pytest.mark.parametrize(("name", "end"), [("online_retail", date(2011, 12, 9)), ("cdnow", date(1998, 6, 30))])
def test_equals_plain_sql_on_real_purchases(real, name, end):
    tables, bought = real(name)
    lines = tables["transactions"].to_pandas()  # noqa: F841  read by the query below
    expected = duckdb.sql(
        f"""with seen as (
              select distinct customer_id, year(date) * 12 + month(date) as m from lines where date <= '{end}'),
            firsts as (select customer_id, min(m) as c from seen group by all)
            select c, m - c as age, count(*) as active,
              (select count(*) from firsts f where f.c = firsts.c) as customers
            from seen join firsts using (customer_id)
            where m > c and m <= year(date '{end}' + 1) * 12 + month(date '{end}' + 1) - 1 group by all"""
    ).df()
    expected = {(c, age): (active, n) for c, age, active, n in expected.itertuples(index=False)}
    found = cohorts(retention(bought, as_of=end)).table
    months = found["start"].dt.year * 12 + found["start"].dt.month
    rows = zip(months, found["age"], found["active"], found["customers"], strict=True)
    assert {(c, age): (active, n) for c, age, active, n in rows} == expected
    large = found[found["customers"] > 800]
    assert len(large)
    assert (large["pooled"] - large["crr"]).abs().max() < 0.01


def test_complete_journey_has_none(real):
    found = cohorts(retention(real("complete_journey")[1], as_of=date(2017, 12, 31)))
    assert found.table.empty
    assert "no cohorts" in said(found)


@pytest.mark.parametrize("people", [1, 4, 10])
def test_very_few_customers_are_neither_shown_nor_a_fault(make, people):
    entries = [(f"c{i}", date(2024, 1 + i % 5, 2)) for i in range(people)]
    entries += [(who, day + timedelta(40)) for who, day in entries]
    found = by_cohort(make, entries, date(2024, 9, 30))
    if people < 5:
        assert "%" not in said(found).replace("% of the customers are", "")
    assert pd.api.types.is_float_dtype(found.table["pooled"])
    assert found._repr_html_()
