"""Retention: hand-worked rates, absent periods, cohorts where there are acquisitions."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
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


def test_cohorts_are_shown_where_customers_come_and_refused_where_they_were_there_before(make):
    start = date(2023, 1, 1)
    coming = [(f"c{i:03}", start + timedelta(i + k)) for i in range(300) for k in (0, 35) if i + k < 365]
    found = retention(made(make, coming), as_of=date(2023, 12, 31))
    assert found.opening.kind == "coming"
    january = found.cohorts[found.cohorts["cohort"] == "2023-01"]
    assert january["customers"].unique().tolist() == [31]
    assert january["age"].tolist() == list(range(1, 12))
    assert january["active"].iloc[0] == 24  # those of 1 to 24 January buy again on day 35, in February
    assert january["active"].iloc[1] == 7
    assert (found.cohorts.groupby("cohort")["age"].max().sort_index().diff().dropna() == -1).all()

    steady = [(f"c{i:03}", start + timedelta(i % 20 + k)) for i in range(100) for k in range(0, 340, 20)]
    there = retention(made(make, steady), as_of=date(2023, 12, 31))
    assert there.cohorts is None
    assert there.opening.kind == "already there"
    assert any("time observed, not age" in str(s) for s in there.sentences())
    assert not any("time observed, not age" in str(s) for s in found.sentences())


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


def test_equals_an_independent_computation_on_online_retail(real):
    tables, orders_ = real("online_retail")
    end = date(2011, 12, 9)
    found = retention(orders_, as_of=end)
    lines = tables["transactions"].select("customer_id", "date").distinct().to_pandas()
    month = pd.to_datetime(lines["date"]).dt.to_period("M")
    active = lines.assign(month=month).groupby("month")["customer_id"].agg(set)
    months = list(active.index)[:-1]  # December 2011 is not over
    expected = [len(active[a] & active[b]) / len(active[a]) for a, b in pairwise(months)]
    np.testing.assert_allclose(found.table["crr"], expected)
    first = lines.assign(month=month).groupby("customer_id")["month"].min()
    january = set(first[first == pd.Period("2011-01")].index)
    row = found.cohorts.query("cohort == '2011-01' and age == 3").iloc[0]
    assert (row["customers"], row["active"]) == (len(january), len(january & active[pd.Period("2011-04")]))


def test_complete_journey_has_rates_by_period_and_no_cohorts(real):
    _, orders_ = real("complete_journey")
    found = retention(orders_, as_of=date(2017, 12, 31))
    assert len(found.table) == 11
    assert found.cohorts is None
    assert found.table["crr"].between(0.85, 0.95).all()


def test_cdnow_follows_one_cohort(real):
    found = retention(real("cdnow")[1], as_of=date(1998, 6, 30))
    assert found.opening.kind == "one cohort"
    assert sorted(found.cohorts["cohort"].unique())[:3] == ["1997-01", "1997-02", "1997-03"]
    assert any("cohorts say" in str(s) for s in found.sentences())
