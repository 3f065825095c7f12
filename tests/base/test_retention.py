"""Retention: hand-worked rates, absent periods, and whether the base shows acquisitions."""

from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from crmlab.base.intervals import jeffreys
from crmlab.base.orders import orders
from crmlab.base.retention import RetentionParams, retention


def made(make, entries):
    rows = [(who, f"{who}{n}", day, 10) for n, (who, day) in enumerate(entries)]
    return orders(make("customer_id order_id date amount", rows))


def test_hand_worked_case_and_the_last_period_is_absent(make):
    table = made(
        make,
        [
            *[("a", date(2024, 1, 1)), ("a", date(2024, 2, 3)), ("a", date(2024, 3, 31)), ("b", date(2024, 1, 9))],
            *[("c", date(2024, 2, 2)), ("c", date(2024, 3, 1)), ("d", date(2024, 3, 5))],
        ],
    )
    found = retention(table, as_of=date(2024, 3, 31)).table
    assert found["period"].tolist() == ["2024-01", "2024-02"]
    assert found["customers"].tolist() == [2, 2]
    assert found["returned"].tolist() == [1, 2]
    assert found["crr"].tolist() == [0.5, 1.0]
    assert found["new"].tolist() == [2, 1]
    # one day earlier March is not over: February has no rate, which is not the same as a rate of 0
    assert retention(table, as_of=date(2024, 3, 30)).table["period"].tolist() == ["2024-01"]


def test_intervals_are_jeffreys(make):
    low, high = jeffreys(np.array([0, 3, 10]), np.array([10, 10, 10]))
    assert low[0] == 0
    assert high[2] == 1
    assert np.isclose(low[1], beta.ppf(0.05, 3.5, 7.5))
    assert np.isclose(high[1], beta.ppf(0.95, 3.5, 7.5))
    assert np.isnan(jeffreys(0, 0)).all()


def test_an_observed_period_in_which_nobody_ordered_is_a_true_zero(make):
    table = made(make, [("a", date(2024, 1, 2)), ("b", date(2024, 1, 5)), ("a", date(2024, 3, 3))])
    found = retention(table, as_of=date(2024, 4, 30)).table.set_index("period")
    assert found.loc["2024-01", "crr"] == 0
    assert found.loc["2024-02", "customers"] == 0
    assert np.isnan(found.loc["2024-02", "crr"])
    assert found.loc["2024-03", "crr"] == 0


def test_data_that_begin_within_a_period_leave_it_out(make):
    entries = [("a", date(2024, 1, 15) + timedelta(7 * i)) for i in range(20)]
    found = retention(made(make, entries), as_of=date(2024, 4, 30))
    assert found.table["period"].tolist() == ["2024-02", "2024-03"]
    assert found.left_out == 1
    assert any("left out" in str(s) for s in found.sentences())
    early = [("a", date(2024, 1, 3) + timedelta(7 * i)) for i in range(20)]
    assert not any("left out" in str(s) for s in retention(made(make, early), as_of=date(2024, 4, 30)).sentences())


@pytest.mark.parametrize(("period", "names"), [("W", ["2024-W52", "2025-W01"]), ("Q", ["2024-Q4"]), ("M", ["2024-12"])])
def test_periods_are_calendar_periods_across_a_year(make, period, names):
    days = {"W": (date(2024, 12, 23), date(2025, 1, 12)), "Q": (date(2024, 10, 1), date(2025, 3, 31))}
    days["M"] = (date(2024, 12, 1), date(2025, 1, 31))
    start, end = days[period]
    entries = [("a", start + timedelta(i)) for i in range((end - start).days + 1)]
    found = retention(made(make, entries), as_of=end, params=RetentionParams(period=period)).table
    assert found["period"].tolist() == names
    assert (found["crr"] == 1).all()
    assert found["end"].iloc[-1] + pd.Timedelta(days=1) <= pd.Timestamp(end)


def test_a_period_without_customers_has_no_rate_to_speak_of(make):
    table = made(make, [("a", date(2024, 1, 5)), ("b", date(2024, 1, 9)), ("a", date(2024, 2, 5))])
    found = retention(table, as_of=date(2024, 6, 30))
    assert found.table["crr"].isna().any()
    assert "nan" not in " ".join(str(s) for s in found.sentences())


def test_a_fall_and_a_rise_are_said_and_neither_when_intervals_overlap(make):
    def base(stay):  # share of 100 customers who come back, month by month
        entries = []
        for month, share in enumerate(stay, start=1):
            entries += [(f"m{month}c{i:03}", date(2024, month, 1 + i % 20)) for i in range(100)]
            entries += [(f"m{month}c{i:03}", date(2024, month + 1, 1 + i % 20)) for i in range(round(100 * share))]
        return " ".join(map(str, retention(made(make, entries), as_of=date(2024, len(stay), 28)).sentences()))

    assert "fell" in base([0.9, 0.5, 0.5, 0.1, 0.1])
    assert "rose" in base([0.1, 0.5, 0.9, 0.9, 0.9])
    assert "overlap" in base([0.5, 0.75, 0.875, 0.5, 0.5])  # 50 of 100, 75 of 150, 87 of 175


def test_nothing_to_rate_is_said(make):
    found = retention(made(make, [("a", date(2024, 1, 2))]), as_of=date(2024, 1, 20))
    assert found.table.empty
    assert "no rate yet" in str(found.sentences()[0])
    empty = retention(made(make, [("a", date(2024, 1, 2))]), as_of=date(2023, 1, 20))
    assert empty.table.dtypes.equals(found.table.dtypes)


@pytest.mark.parametrize(("name", "end"), [("online_retail", date(2011, 12, 9)), ("cdnow", date(1998, 6, 30))])
def test_equals_plain_sql_on_real_purchases(real, name, end):
    tables, bought = real(name)
    lines = tables["transactions"].to_pandas()  # noqa: F841  read by the query below
    expected = duckdb.sql(
        f"""with seen as (
              select distinct customer_id, year(date) * 12 + month(date) as m from lines where date <= '{end}')
            select a.m, count(*) as customers, count(b.m) as returned
            from seen a left join seen b on b.customer_id = a.customer_id and b.m = a.m + 1
            where a.m < (select max(m) from seen) group by a.m order by a.m"""
    ).df()
    found = retention(bought, as_of=end).table
    over = len(found)
    assert over == len(expected) - (name == "online_retail")  # December 2011 is not over: November has no rate
    for column in ("customers", "returned"):
        assert found[column].tolist() == expected[column].tolist()[:over]
    np.testing.assert_allclose(found["crr"], (expected["returned"] / expected["customers"])[:over])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 200)), min_size=1, max_size=60),
    st.integers(0, 220),
    st.sampled_from("WMQ"),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_agrees_with_sets_of_customers_whatever_was_bought(make, entries, seen_days, period):
    start = date(2023, 12, 29)
    table = made(make, [(f"c{who}", start + timedelta(day)) for who, day in entries])
    end = start + timedelta(seen_days)
    found = retention(table, as_of=end, params=RetentionParams(period=period)).table
    for row in found.to_dict("records"):
        first, last = row["start"].date(), row["end"].date()
        until = (row["end"] + pd.Timedelta(days=1)).to_period({"W": "W-SUN"}.get(period, period)).end_time.date()
        here = {who for who, day in entries if first <= start + timedelta(day) <= last}
        then = {who for who, day in entries if last < start + timedelta(day) <= until}
        assert until <= end
        assert (row["customers"], row["returned"]) == (len(here), len(here & then))
        assert np.isnan(row["crr"]) if not here else row["low"] <= row["crr"] <= row["high"]
    assert not found["start"].duplicated().any()


def test_fewer_than_five_customers_are_told_no_rate(make):
    def said(people):
        entries = [(f"c{i}", date(2024, month, 3)) for i in range(people) for month in range(1, 7)]
        found = retention(made(make, entries), as_of=date(2024, 6, 30))
        return " ".join(map(str, found.sentences())), found._repr_html_()

    sentences, page = said(4)
    assert "100.0%" not in sentences + page
    assert "single people" in sentences
    sentences, page = said(5)
    assert "Over all periods 100.0%" in sentences
    assert "single people" not in sentences


def test_row_order_threads_and_money_change_nothing(make):
    g = np.random.default_rng(2)
    entries = [(f"c{g.integers(0, 40)}", date(2024, 1, 1) + timedelta(int(g.integers(0, 180)))) for _ in range(400)]
    one = retention(made(make, entries), as_of=date(2024, 6, 30)).table
    rows = [(who, f"{who}{n}", day, 10**9 if n == 0 else 1) for n, (who, day) in enumerate(reversed(entries))]
    other = retention(orders(make("customer_id order_id date amount", rows)), as_of=date(2024, 6, 30)).table
    pd.testing.assert_frame_equal(one, other)


def test_complete_journey_was_there_before_and_is_said_to_be(real):
    found = retention(real("complete_journey")[1], as_of=date(2017, 12, 31))
    assert len(found.table) == 11
    assert not found.has_cohorts
    assert found.opening.kind == "already there"
    assert any("time observed, not age" in str(s) for s in found.sentences())
    assert found.table["crr"].between(0.85, 0.95).all()


def test_cdnow_follows_one_cohort_and_online_retail_gains_customers(real):
    cdnow = retention(real("cdnow")[1], as_of=date(1998, 6, 30))
    assert cdnow.opening.kind == "one cohort"
    assert any("cohorts say" in str(s) for s in cdnow.sentences())
    retail = retention(real("online_retail")[1], as_of=date(2011, 12, 9))
    assert retail.opening.kind == "coming"
    assert retail.has_cohorts
    assert not any("time observed" in str(s) for s in [*cdnow.sentences(), *retail.sentences()])
