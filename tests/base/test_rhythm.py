"""Weekdays and months: planted patterns are told, chance is not, and season waits for two years."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.ipt import ALL
from crmlab.base.rhythm import rhythm

MONDAY = date(2022, 1, 3)


def world(days, weights, *, n=300, each=40, seed=1, months=None, grows=0.0):
    """Customers whose purchases fall on days by weights of the weekday (and of the month), the base growing evenly."""
    g = np.random.default_rng(seed)
    calendar = [MONDAY + timedelta(d) for d in range(days)]
    chance = np.array([weights[d.weekday()] * (months or {}).get(d.month, 1.0) for d in calendar])
    chance = chance * (1 + grows * np.arange(days) / days)
    chance = chance / chance.sum()
    rows = [(f"c{i:03}", calendar[d]) for i in range(n) for d in np.unique(g.choice(days, each, p=chance))]
    return ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"])), calendar[-1]


def said(result):
    return " ".join(map(str, result.sentences()))


def test_hand_worked_shares(bought):
    # 1 January 2024 is a Monday: a buys on two Mondays and a Tuesday, b on a Sunday, in four whole weeks to the 28th
    found = rhythm(bought(a=[1, 8, 9], b=[28], c=[1, 1]), as_of=date(2024, 1, 28))
    table = found.table.set_index("day")
    assert found.weeks == 4
    assert table["purchases"].tolist() == [3, 1, 0, 0, 0, 0, 1]
    assert table["customers"].tolist() == [2, 1, 0, 0, 0, 0, 1]
    assert np.allclose(table["share"], [0.6, 0.2, 0, 0, 0, 0, 0.2])
    assert table["low"].isna().all()
    assert "Too few customers" in said(found)
    assert "&lt; 5" in found._repr_html_()


def test_only_whole_weeks_count(bought):
    # nine days: the first two, a Monday and a Tuesday, are left out
    found = rhythm(bought(a=[1, 2, 5, 9]), as_of=date(2024, 1, 9))
    assert found.table["purchases"].sum() == 2
    assert "Fewer than 4 whole weeks" in said(found)


def test_a_planted_saturday_is_told_and_even_days_are_not():
    table, end = world(364, [1, 1, 1, 1, 1, 3, 0], n=1000, each=4)
    found = rhythm(table, as_of=end)
    assert "Most purchases fall on Saturday" in said(found)
    assert "Nobody bought on a Sunday" in said(found)
    row = found.table.iloc[5]
    assert row["low"] < 3 / 8 < row["high"]
    table, end = world(364, [1] * 7)
    assert "No weekday stands out" in said(rhythm(table, as_of=end))


def test_a_slow_day_is_told():
    table, end = world(364, [1, 0.4, 1, 1, 1, 1, 1])
    assert "Few purchases fall on Tuesday" in said(rhythm(table, as_of=end))


def test_even_days_are_hardly_ever_called_uneven():
    """Of 20 even worlds with large samples at most a few have a weekday that stands out."""
    calls = []
    for seed in range(20):
        table, end = world(140, [1] * 7, n=60, each=20, seed=seed)
        calls.append("No weekday stands out" not in said(rhythm(table, as_of=end)))
    assert np.mean(calls) <= 0.1


def test_a_segment_that_buys_on_other_days_is_named_and_its_like_is_not():
    weekday, end = world(182, [1, 1, 1, 1, 1, 0.3, 0.3], n=150, seed=2)
    weekend, _ = world(182, [0.3, 0.3, 0.3, 0.3, 0.3, 2, 2], n=50, seed=3)
    both = weekday.union(weekend.mutate(customer_id="w" + weekend.customer_id))
    ids = sorted(both.customer_id.to_pandas().unique())
    segments = pd.Series(["s2" if i[0] == "w" else "s1" for i in ids], index=ids)
    found = rhythm(both, as_of=end, segments=segments, names={"s1": "Office", "s2": "Leisure"})
    assert "Least like the others buys “Leisure”" in said(found)
    assert found.table["segment"].unique().tolist() == [ALL, "s1", "s2"]
    parts = found.table[found.table["segment"] != ALL].groupby("weekday")["purchases"].sum()
    assert parts.tolist() == found.table[found.table["segment"] == ALL]["purchases"].tolist()
    random = pd.Series([f"s{i % 4}" for i in range(len(ids))], index=ids)
    assert "Least like" not in said(rhythm(both, as_of=end, segments=random))


def test_season_waits_for_two_years_and_is_then_told_from_trend():
    months = {12: 2.5, 2: 0.5}
    table, end = world(3 * 365, [1] * 7, months=months, grows=2.0, each=60)
    found = rhythm(table, as_of=end)
    assert found.months == 36
    index = found.season.set_index("called")["index"]
    assert index.idxmax() == "December"
    assert index.idxmin() == "February"
    assert 2.0 < index["December"] / index["June"] < 3.0
    assert "December has" in said(found)
    assert "more purchases than an average month" in said(found)
    short = rhythm(table, as_of=MONDAY + timedelta(700))
    assert short.season.empty
    assert "23 whole months are observed" in said(short)


def test_growth_alone_is_no_season():
    table, end = world(3 * 365, [1] * 7, grows=4.0, each=60)
    assert "No month stands out" in said(rhythm(table, as_of=end))


@pytest.mark.parametrize("histories", [{}, {"a": [1]}, {f"c{i}": [3] for i in range(10)}])
def test_next_to_nobody_is_no_pattern(bought, make, histories):
    table = bought(**histories) if histories else make("customer_id date", [])
    found = rhythm(table, as_of=date(2024, 3, 1))
    assert found._repr_html_()
    assert "stands out" not in said(found).replace("whether a weekday stands out", "")


def test_equals_plain_pandas_on_real_data(real):
    tables, orders = real("online_retail")
    end = pd.Timestamp(2011, 12, 9)
    lines = tables["transactions"].select("customer_id", "date").distinct().to_pandas()
    lines["date"] = pd.to_datetime(lines["date"])
    whole = (end - lines["date"].min()).days // 7 * 7
    inside = lines[lines["date"] > end - pd.Timedelta(days=whole)]
    counted = inside["date"].dt.day_of_week.value_counts().reindex(range(7), fill_value=0)
    people = inside.groupby(inside["date"].dt.day_of_week)["customer_id"].nunique().reindex(range(7), fill_value=0)
    found = rhythm(orders, as_of=end.date()).table
    assert found["purchases"].tolist() == counted.tolist()
    assert found["customers"].tolist() == people.tolist()
