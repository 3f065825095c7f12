"""Counts that the data sets are known by, and the decisions taken in reading them."""

from datetime import date
from decimal import Decimal

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from crmlab.data import SCHEMA, SOURCES
from crmlab.data.raw import hold
from crmlab.data.schema import TYPES
from crmlab.data.sets import bank_contacts, complete_journey, hillstrom


def distinct(table, column):
    return table[column].nunique().execute()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_gives_canonical_tables_and_accounts_for_its_rows(source, name):
    intake = source(name)
    assert {"transactions", "customers"} & set(intake.tables)
    assert set(intake.tables) <= set(SCHEMA)
    assert intake.extracted_on is not None
    assert intake.notes
    kept = intake.reading[intake.reading["reason"] == "kept"].groupby("table")["rows"].sum()
    for key, table in intake.tables.items():
        schema = SCHEMA[key]
        assert set(schema.required) <= set(table.columns)
        for column, kind in schema.columns.items():
            if column in table.columns:
                assert table.schema()[column] == ibis.dtype(TYPES[kind])
        assert schema.open or set(table.columns) <= set(schema.columns)
        assert table.count().execute() == kept[key]


def test_complete_journey_has_the_published_counts(source):
    tables = source("complete_journey").tables
    lines = tables["transactions"]
    assert lines.count().execute() == 1_469_307
    assert distinct(lines, "customer_id") == tables["customers"].count().execute() == 2_469
    assert distinct(lines, "order_id") == 155_848
    assert lines.date.min().execute() == pd.Timestamp("2017-01-01")
    assert lines.date.max().execute() == pd.Timestamp("2017-12-31")
    assert lines.quantity.isnull().sum().execute() == 13_510
    assert lines.filter(lines.quantity.isnull()).amount.sum().execute() == Decimal("364119.46")
    assert (lines.category == "unknown").sum().execute() == 4_836
    assert tables["customers"].age.notnull().sum().execute() == 801
    assert not {"margin", "cost", "consents"} & {*lines.columns, *tables["contacts"].columns, *tables}


def test_complete_journey_s_type_a_campaigns_were_mailed_and_answered_as_known(source):
    tables = source("complete_journey").tables
    sent = tables["contacts"].filter(ibis._.campaign_id.isin(["8", "13", "18"]))
    answered = tables["outcomes"].select("customer_id", "campaign_id").distinct().mutate(answered=1)
    found = (
        sent.left_join(answered, ["customer_id", "campaign_id"])
        .group_by("campaign_id", "sent_at", "arm", "channel")
        .agg(n=lambda t: t.count(), rate=lambda t: t.answered.fill_null(0).mean())
        .order_by("sent_at")
        .execute()
    )
    assert found["campaign_id"].tolist() == ["8", "13", "18"]
    assert found["sent_at"].dt.strftime("%m-%d").tolist() == ["05-08", "08-08", "10-30"]
    assert found["n"].between(1_050, 1_150).all()
    assert (found["rate"] * 100).round(1).tolist() == [14.7, 18.2, 18.9]
    assert set(found["arm"]) == {"mailed"}
    assert set(found["channel"]) == {"Type A"}


def test_complete_journey_sets_a_redemption_aside_where_the_campaign_was_not_sent_to_the_household(con):
    sent = hold(con, "sent", pa.table({"household_id": [1], "campaign_id": [8]}))
    day = [date(2017, 5, 9)] * 2
    redeemed = {"household_id": [1, 2], "campaign_id": [8, 8], "redemption_date": day, "coupon_upc": [5, 5]}
    found = (
        complete_journey._outcomes(hold(con, "redeemed", pa.table(redeemed)), sent).order_by("customer_id").execute()
    )
    assert found["customer_id"].tolist() == ["1", "2"]
    assert found["set_aside"].isna().tolist() == [True, False]


def test_complete_journey_s_days_match_redemptions_best_on_the_stores_own_clock(source):
    def share_of_redemption_days_with_a_trip(clock):
        tables = source("complete_journey", clock=clock).tables
        trips = tables["transactions"].select("customer_id", "date").distinct().mutate(trip=1)
        days = tables["outcomes"].select("customer_id", "date").distinct()
        return days.left_join(trips, ["customer_id", "date"]).trip.fill_null(0).mean().execute()

    assert share_of_redemption_days_with_a_trip("utc-5") == pytest.approx(0.998, abs=5e-4)
    assert share_of_redemption_days_with_a_trip("new_york") == 1.0


def test_cdnow_has_the_published_counts_and_its_sample_is_part_of_it(source):
    everybody = source("cdnow").tables["transactions"]
    assert everybody.count().execute() == 69_659
    assert distinct(everybody, "customer_id") == 23_570
    found = everybody.execute()
    sample = source("cdnow", sample=True).tables["transactions"].execute()
    assert sample["customer_id"].nunique() == 2_357
    assert set(sample["customer_id"]) < set(found["customer_id"])
    same = found[found["customer_id"].isin(sample["customer_id"])]
    order = ["customer_id", "date", "amount", "quantity"]
    pd.testing.assert_frame_equal(
        same.sort_values(order)[order].reset_index(drop=True), sample.sort_values(order)[order].reset_index(drop=True)
    )


def test_online_retail_has_the_known_counts_and_its_duplicates_are_a_decision(source):
    tables = source("online_retail").tables
    lines = tables["transactions"]
    assert lines.count().execute() == 397_884
    assert distinct(lines, "customer_id") == tables["customers"].count().execute() == 4_338
    assert distinct(lines, "order_id") == 18_532
    dropped = source("online_retail", duplicates="drop")
    assert dropped.tables["transactions"].count().execute() == 397_884 - 5_192
    aside = dropped.reading[dropped.reading["reason"] != "kept"]
    assert aside["rows"].sum() == 5_192
    assert distinct(dropped.tables["transactions"], "order_id") == 18_532


def test_hillstrom_s_arms_answer_as_published(source):
    tables = source("hillstrom").tables
    answered = tables["outcomes"].select("customer_id", "response", "spend")
    table = tables["contacts"].left_join(answered, "customer_id").group_by("arm")
    found = table.agg(n=lambda t: t.count(), visit=lambda t: t.response.fill_null(0).mean()).execute().set_index("arm")
    assert found["n"].to_dict() == {"womens": 21_387, "mens": 21_307, "control": 21_306}
    assert (found["visit"] * 100).round(2).to_dict() == {"womens": 15.14, "mens": 18.28, "control": 10.62}
    assert distinct(tables["customers"], "customer_id") == 64_000
    assert tables["transactions"].filter(ibis._.date > hillstrom.SENT_AT).count().execute() == 578
    assert tables["transactions"].filter(ibis._.date == hillstrom.SENT_AT).count().execute() == 0


def test_hillstrom_s_customers_are_the_lines_of_the_file_in_order(source):
    first = source("hillstrom").tables["customers"].order_by("customer_id").limit(1).execute().iloc[0]
    assert (first["customer_id"], first["recency"], first["history"]) == ("h00001", 10, 142.44)
    assert first["zip_code"] == "Surburban"


def test_hillstrom_s_purchases_can_be_the_response(source):
    outcomes = source("hillstrom", response="conversion").tables["outcomes"]
    assert outcomes.count().execute() == 578
    assert (outcomes.spend > 0).all().execute()
    assert outcomes.date.max().execute().date() <= date(2008, 3, 20)


def test_the_bank_s_people_answer_as_published_and_their_calls_follow_the_calendar(source):
    tables = source("bank_contacts").tables
    assert "transactions" not in tables
    assert distinct(tables["customers"], "customer_id") == 41_188
    assert tables["outcomes"].count().execute() == 4_640
    by_month = tables["contacts"].group_by("campaign_id").agg(n=lambda t: t.count(), last=lambda t: t.sent_at.max())
    found = by_month.execute().set_index("campaign_id")
    assert found["n"]["deposit 2008-05"] == 7_763
    assert found["last"]["deposit 2010-11"] == pd.Timestamp("2010-11-26")
    assert set(tables["contacts"].sent_at.day_of_week.index().execute()) == {0, 1, 2, 3, 4}
    assert {"duration", "campaign"}.isdisjoint(tables["customers"].columns)


def test_calls_are_dated_by_the_order_of_their_lines():
    months = ["may", "may", "may", "may", "dec", "mar"]
    weekdays = ["mon", "mon", "fri", "mon", "thu", "thu"]
    days = [date(2008, 5, 5), date(2008, 5, 5), date(2008, 5, 9), date(2008, 5, 12), date(2008, 12, 4)]
    assert bank_contacts.called_on(months, weekdays) == [*days, date(2009, 3, 5)]


def test_tables_are_the_same_whatever_the_number_of_threads(source, con):
    def read_whole():
        tables = source("online_retail", duplicates="drop").tables
        by_customer = tables["transactions"].group_by("customer_id").agg(spend=lambda t: t.amount.sum())
        return tables["customers"].join(by_customer, "customer_id").order_by("customer_id").execute()

    one = read_whole()
    con.raw_sql("SET threads = 4")
    pd.testing.assert_frame_equal(one, read_whole())
