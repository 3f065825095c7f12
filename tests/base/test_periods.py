from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.base.periods import contracts, from_survivors, in_periods
from crmlab.contract import Refused

TYPES = (pa.string(), pa.date32(), pa.date32(), pa.decimal128(18, 4))


@pytest.fixture
def subscribed():
    """Subscriptions: (customer_id, started_on, ended_on, fee)."""

    def table(*rows):
        names = ("customer_id", "started_on", "ended_on", "fee")
        return ibis.memtable(
            pa.table([pa.array(c, t) for c, t in zip(zip(*rows, strict=True), TYPES, strict=True)], names)
        )

    return table


def of(table, who, contract=1):
    return table[(table["customer_id"] == who) & (table["contract"] == contract)].iloc[0]


def test_a_period_counts_once_and_only_when_it_is_over(make):
    days = [("a", date(2019, 5, 1), 10), ("a", date(2020, 1, 1), 20), ("a", date(2020, 12, 31), 30)]
    days += [("a", date(2022, 7, 1), 40), ("a", date(2023, 2, 1), 99), ("b", date(2022, 3, 3), 5)]
    days += [("c", date(2023, 1, 2), 7), ("a", date(2023, 9, 9), 99)]
    found = in_periods(make("customer_id date amount", days), as_of=date(2023, 6, 30), period="year")
    assert found["customer_id"].tolist() == ["a", "b", "c"]
    assert found["x"].tolist() == [2, 0, 0]
    assert found["t_x"].tolist() == [3, 0, 0]
    assert found["n"].tolist() == [3, 0, 0]
    assert found["z_bar"][0] == pytest.approx(45)
    assert found["z_bar"][1:].isna().all()
    whole = in_periods(make("customer_id date amount", days), as_of=date(2023, 12, 31), period="year")
    assert whole["x"].tolist() == [3, 0, 0]
    assert whole["n"].tolist() == [4, 1, 0]
    assert whole["T"][0] == pytest.approx(4 * 365.25 / 7)


@pytest.mark.parametrize(("period", "x", "t_x", "n"), [("week", 3, 9, 12), ("month", 2, 2, 2), ("quarter", 0, 0, 0)])
def test_weeks_months_and_quarters_are_those_of_the_calendar(make, period, x, t_x, n):
    days = [date(2024, 1, 1), date(2024, 1, 7), date(2024, 1, 8), date(2024, 2, 5), date(2024, 3, 4), date(2024, 3, 10)]
    table = make("customer_id date amount", [("a", d, 1) for d in days])
    found = in_periods(table, as_of=date(2024, 3, 31), period=period).iloc[0]
    assert (found["x"], found["t_x"], found["n"]) == (x, t_x, n)


def test_a_contract_ends_at_the_first_renewal_on_or_after_its_last_day(subscribed):
    rows = [
        ("due", date(2024, 1, 15), date(2024, 3, 15), 10),
        ("between", date(2024, 1, 15), date(2024, 3, 3), 10),
        ("at once", date(2024, 1, 15), date(2024, 1, 15), 10),
        ("not due", date(2024, 1, 15), date(2024, 6, 20), 10),
        ("later", date(2024, 1, 15), date(2024, 7, 20), 10),
        ("runs", date(2024, 1, 15), None, 10),
        ("not yet", date(2024, 7, 1), None, 10),
    ]
    found = contracts(subscribed(*rows), as_of=date(2024, 6, 30))
    seen = {who: tuple(of(found, who)[["periods", "ended", "observed", "running"]]) for who in found["customer_id"]}
    assert seen == {
        "due": (2, 1, 5, False),
        "between": (2, 1, 5, False),
        "at once": (1, 1, 5, False),
        "not due": (5, 0, 5, False),
        "later": (5, 0, 5, True),
        "runs": (5, 0, 5, True),
    }


def test_a_month_from_the_31st_ends_on_the_last_day_of_a_shorter_month(subscribed):
    table = subscribed(("a", date(2023, 1, 31), None, 1))
    for day, periods in ((27, 0), (28, 1)):
        assert contracts(table, as_of=date(2023, 2, day))["periods"].tolist() == [periods]
    assert contracts(table, as_of=date(2023, 4, 29))["periods"].tolist() == [2]
    assert contracts(table, as_of=date(2023, 4, 30))["periods"].tolist() == [3]
    assert contracts(table, as_of=date(2023, 4, 30), period="week")["periods"].tolist() == [12]
    assert contracts(table, as_of=date(2025, 1, 31), period="year")["periods"].tolist() == [2]


def test_a_change_of_plan_is_one_contract_and_a_return_another(subscribed):
    found = contracts(
        subscribed(
            ("a", date(2023, 1, 1), date(2023, 6, 30), 10),
            ("a", date(2023, 7, 15), date(2023, 9, 1), 20),
            ("a", date(2023, 12, 1), None, 30),
            ("a", date(2024, 1, 1), None, 5),
            ("b", date(2023, 1, 1), None, None),
        ),
        as_of=date(2024, 6, 30),
    )
    assert found["contract"].tolist() == [1, 2, 1]
    first, second = of(found, "a", 1), of(found, "a", 2)
    assert (first["periods"], first["ended"], first["running"]) == (8, 1, False)
    assert (second["periods"], second["ended"], second["fee"]) == (6, 0, 35)
    assert np.isnan(first["fee"])
    assert np.isnan(of(found, "b")["fee"])


def test_contracts_older_than_the_records_count_from_their_first_renewal_on_record(subscribed):
    rows = [
        ("old", date(2022, 1, 15), None, 1),
        ("left", date(2022, 1, 15), date(2024, 4, 15), 1),
        ("left at its first", date(2022, 1, 15), date(2024, 1, 15), 1),
        ("gone before", date(2022, 1, 15), date(2023, 6, 15), 1),
        ("new", date(2024, 1, 1), None, 1),
    ]
    found = contracts(subscribed(*rows), as_of=date(2024, 6, 30), recorded_from=date(2024, 1, 1))
    assert found.set_index("customer_id")["since"].to_dict() == {"old": 24, "left": 24, "new": 0}
    assert found.set_index("customer_id")["periods"].to_dict() == {"old": 29, "left": 27, "new": 5}


def test_a_subscription_that_ends_before_it_starts_is_refused(subscribed):
    with pytest.raises(Refused, match=r"1 before started_on"):
        contracts(subscribed(("a", date(2024, 1, 2), date(2024, 1, 1), 1)), as_of=date(2024, 6, 30))


def test_subscriptions_without_ends_or_fees_all_run(subscribed):
    table = subscribed(("a", date(2024, 1, 1), None, None)).select("customer_id", "started_on")
    found = contracts(table, as_of=date(2024, 6, 30))
    assert found["running"].all()
    assert found["fee"].isna().all()


@given(st.lists(st.integers(0, 50), min_size=2, max_size=9).map(lambda v: sorted(v, reverse=True)))
@settings(deadline=None)
def test_a_retention_table_survives_the_journey_there_and_back(survivors):
    found = from_survivors(survivors)
    assert len(found) == survivors[0]
    back = [int(((found["periods"] >= t) & ~((found["periods"] == t) & (found["ended"] == 1))).sum())
            for t in range(1, len(survivors))]  # fmt: skip
    assert back == survivors[1:]


def test_cohorts_can_be_put_together():
    both = pd.concat([from_survivors([5, 3], cohort="2023-"), from_survivors([4, 2, 1], cohort="2024-")])
    assert not both["customer_id"].duplicated().any()


@pytest.mark.parametrize("wrong", [[10], [10, 12], [1.0, 0.8], [10, -1]])
def test_what_is_no_retention_table_is_refused(wrong):
    with pytest.raises(Refused, match="survivors"):
        from_survivors(wrong)


def test_days_of_subscriptions_recorded_late_give_the_churn_they_were_made_with(subscribed):
    """Of every renewal one in eight is declined, at any day of the month before; records begin in 2022."""
    rng = np.random.default_rng(5)
    begins, recorded, as_of = date(2019, 1, 1), date(2022, 1, 1), date(2023, 9, 14)
    rows = []
    for who in range(6_000):
        started = begins + timedelta(days=int(rng.integers(0, 1_700)))
        if started > as_of:
            continue
        ended = (pd.Timestamp(started) + pd.DateOffset(months=int(rng.geometric(1 / 8)))).date()
        ended -= timedelta(days=int(rng.integers(0, 28)))
        if ended >= recorded:
            rows.append((f"{who}", started, ended if ended <= as_of else None, 10))
    found = contracts(subscribed(*rows), as_of=as_of, recorded_from=recorded)
    lost, up = found["ended"].sum(), (found["periods"] - found["since"]).sum()
    assert lost / up == pytest.approx(1 / 8, abs=3 * np.sqrt(7 / 64 / up))
    untold = contracts(subscribed(*rows), as_of=as_of)
    assert untold["ended"].sum() / untold["periods"].sum() < 0.115
