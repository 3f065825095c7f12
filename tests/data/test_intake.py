from datetime import date
from decimal import Decimal
from pathlib import Path

import ibis
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmlab.contract import Refused
from crmlab.data import DataParams, cut, read
from crmlab.data.checking import INCOMPLETE, NO_AMOUNT, NO_DATE, REPEATED, TOO_LATE
from crmlab.data.intake import read_all
from crmlab.data.lines import TOO_FEW, TOO_MANY
from crmlab.data.raw import hold
from crmlab.data.schema import NO_ID

GOOD = "".join(f"{k:05d},2017-01-{1 + k % 28:02d},{k}.50\n" for k in range(1, 101))


def rows(intake, table="transactions", by="customer_id"):
    return intake.tables[table].order_by(by).execute()


def reasons(intake, table="transactions"):
    here = intake.reading[intake.reading["table"] == table]
    return here.groupby("reason")["rows"].sum().to_dict()


def test_ids_keep_their_zeros_and_an_id_called_na_is_an_id(reads_files):
    intake = reads_files(
        {"transactions": "customer_id,date,amount\n00123,2017-01-01,1\n123,2017-01-02,2\nNA,2017-01-03,3\n"}
    )
    assert rows(intake)["customer_id"].tolist() == ["00123", "123", "NA"]


def test_money_is_exact_decimal_and_dates_are_dates(reads_files):
    intake = reads_files({"transactions": "customer_id,date,amount\na,2017-01-01 23:59:59,0.1\na,2017-01-02,0.2\n"})
    table = intake.tables["transactions"]
    assert table.schema() == ibis.schema({"customer_id": "string", "date": "date", "amount": "decimal(18, 4)"})
    assert table.amount.sum().execute() == Decimal("0.3")
    assert table.date.max().execute() == pd.Timestamp("2017-01-02")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",2017-01-01,1", NO_ID),
        ("  ,2017-01-01,1", NO_ID),
        ("a,,1", NO_DATE),
        ("a,2017-02-30,1", NO_DATE),
        ("a,31.12.2017,1", NO_DATE),
        ("a,infinity,1", NO_DATE),
        ("a,9999-12-31,1", NO_DATE),
        ("a,2017-01-01,", NO_AMOUNT),
        ("a,2017-01-01,twelve", NO_AMOUNT),
        ("a,2017-01-01,nan", NO_AMOUNT),
        ("a,2017-01-01,inf", NO_AMOUNT),
        ('a,2017-01-01,"1,234.50"', NO_AMOUNT),
        ("a,2018-01-01,1", TOO_LATE),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason_and_counted(reads_files, line, reason):
    text = f"customer_id,date,amount\n{GOOD}{line}\n"
    intake = reads_files({"transactions": text}, extracted_on=date(2017, 12, 31))
    assert reasons(intake) == {"kept": 100, reason: 1}
    assert len(rows(intake)) == 100


def test_the_last_day_of_the_data_is_not_too_late(reads_files):
    intake = reads_files(
        {"transactions": "customer_id,date,amount\na,2017-12-31 23:00:00,1\n"}, extracted_on=date(2017, 12, 31)
    )
    assert reasons(intake) == {"kept": 1}


def test_more_than_a_twentieth_of_bad_rows_is_refused_and_a_twentieth_is_not(reads_files):
    five, six = "x,?,1\n" * 5, "x,?,1\n" * 6
    ninety_five = "".join(GOOD.splitlines(keepends=True)[:95])
    assert reasons(reads_files({"transactions": "customer_id,date,amount\n" + ninety_five + five}))[NO_DATE] == 5
    with pytest.raises(Refused, match=r"6 of 101 rows are bad \(6 no readable date\).*date_format"):
        reads_files({"transactions": "customer_id,date,amount\n" + ninety_five + six})


def test_every_fault_of_every_file_is_named_at_once(con, tmp_path):
    (tmp_path / "sales.csv").write_text("client,date,amount\na,2017-01-01,1\n")
    (tmp_path / "people.csv").write_text("customer,age\na,7\n")
    files = {
        "transactions": {"path": "sales.csv", "columns": {"customer_id": "cliente"}},
        "customers": {"path": "people.csv"},
        "contacts": {"path": "mailing.csv"},
    }
    with pytest.raises(Refused) as refused:
        read(DataParams.model_validate({"files": files}), folder=tmp_path, con=con, name="params/x.yaml")
    text = str(refused.value)
    assert text.startswith("params/x.yaml: 3 faults")
    assert "sales.csv has no column 'cliente'; did you mean 'client'?" in text
    assert "customers.customer_id" in text
    assert "columns: {customer_id: customer}" in text
    assert "no such file" in text
    assert "mailing.csv" in text
    assert refused.value.exit_code == 2


def test_a_file_whose_name_is_misspelt_is_guessed(con, tmp_path):
    (tmp_path / "sales.csv").write_text("customer_id,date,amount\n")
    params = DataParams.model_validate({"files": {"transactions": {"path": "sale.csv"}}})
    with pytest.raises(Refused, match=r"did you mean 'sales\.csv'"):
        read(params, folder=tmp_path, con=con)


def test_transactions_without_a_row_are_refused_and_other_tables_may_be_empty(reads_files):
    with pytest.raises(Refused, match="holds no row"):
        reads_files({"transactions": "customer_id,date,amount\n"})
    intake = reads_files(
        {
            "transactions": "customer_id,date,amount\na,2017-01-01,1\n",
            "outcomes": "customer_id,campaign_id,date,response\n",
        }
    )
    assert rows(intake, "outcomes").empty


def test_names_marks_clock_and_format_of_the_file_are_declared_not_guessed(reads_files):
    text = "Kunde;Zeit;Betrag;Menge\n007;01.02.2017 03:30;1.234,50;2\n".encode("latin-1")
    columns = {"customer_id": "Kunde", "date": "Zeit", "amount": "Betrag", "quantity": "Menge"}
    how = {
        "columns": columns,
        "separator": ";",
        "decimal": ",",
        "encoding": "latin-1",
        "date_format": "%d.%m.%Y %H:%M",
        "hours": -5,
    }
    with pytest.raises(Refused, match="no readable amount"):
        reads_files({"transactions": text}, transactions=how)
    row = rows(reads_files({"transactions": text.replace(b"1.234,50", b"1234,50")}, transactions=how)).iloc[0]
    assert (row["customer_id"], row["amount"], row["quantity"]) == ("007", Decimal("1234.5"), Decimal(2))
    assert row["date"] == pd.Timestamp("2017-01-31")


def test_a_day_first_date_is_never_read_as_month_first(reads_files):
    text = f"customer_id,date,amount\n{GOOD}a,02/01/2017,1\n"
    assert reasons(reads_files({"transactions": text}))[NO_DATE] == 1
    how = {"date_format": "%d/%m/%Y"}
    intake = reads_files({"transactions": "customer_id,date,amount\na,02/01/2017,1\n"}, transactions=how)
    assert rows(intake)["date"].iloc[0] == pd.Timestamp("2017-01-02")


@pytest.mark.parametrize(("line", "reason"), [("a,2017-01-01,12,50", TOO_MANY), ("a,2017-01-01", TOO_FEW)])
def test_a_line_with_too_many_or_too_few_fields_is_set_aside_and_never_shifted(reads_files, line, reason):
    intake = reads_files({"transactions": f"customer_id,date,amount\n{GOOD}{line}\n"})
    assert reasons(intake) == {"kept": 100, reason: 1}
    assert intake.bad[["line", "text"]].to_numpy().tolist() == [[102, line]]


def test_wrongly_encoded_text_is_refused_naming_what_to_declare(reads_files):
    with pytest.raises(Refused, match=r"transactions\.csv.*line 3.*encoding: cp1252"):
        reads_files(
            {
                "transactions": f"customer_id,date,amount,channel\n{'a,2017-01-01,1,b' * 1}\n".encode()
                + b"a,2017-01-01,1,\xe9\n"
            }
        )


def test_a_byte_order_mark_and_quoted_fields_are_read_through(reads_files):
    text = "\ufeffcustomer_id,date,amount,category\n" + 'a,2017-01-01,1,"home, ""big""\nline"\n'
    assert rows(reads_files({"transactions": text}))["category"].iloc[0] == 'home, "big"\nline'


def test_identity_is_never_read_and_other_covariates_are_typed_by_their_values(reads_files):
    intake = reads_files(
        {
            "transactions": "customer_id,date,amount\na,2017-01-01,1\n",
            "customers": "customer_id,email,name,phone,age,score,zip,plan\n"
            "a,a@x.it,Ada,1,41,1.5,00123,gold\nb,,,,,,20100,\n",
        }
    )
    table = intake.tables["customers"]
    assert dict(table.schema().items()) == {
        "customer_id": ibis.dtype("string"),
        "age": ibis.dtype("int64"),
        "score": ibis.dtype("float64"),
        "zip": ibis.dtype("string"),
        "plan": ibis.dtype("string"),
    }
    assert rows(intake, "customers")["zip"].tolist() == ["00123", "20100"]
    assert table.plan.isnull().sum().execute() == 1


def test_identity_cannot_be_smuggled_in_under_another_name(reads_files):
    intake = reads_files(
        {"transactions": "customer_id,date,amount\na,2017-01-01,1\n", "customers": "customer_id,mail\na,a@x.it\n"},
        customers={"columns": {"email": "mail"}},
    )
    assert intake.tables["customers"].columns == ("customer_id",)


def test_a_customer_listed_twice_is_kept_once(reads_files):
    people = "".join(f"c{k},{k}\n" for k in range(40))
    intake = reads_files(
        {"transactions": "customer_id,date,amount\na,2017-01-01,1\n", "customers": f"customer_id,age\n{people}c1,99\n"}
    )
    assert reasons(intake, "customers") == {"kept": 40, REPEATED: 1}
    assert intake.tables["customers"].filter(ibis._.customer_id == "c1").age.execute().tolist() == [1]


def test_an_unreadable_optional_value_counts_as_missing_and_is_said(reads_files):
    intake = reads_files({"transactions": "customer_id,date,amount,quantity\na,2017-01-01,1,two\nb,2017-01-01,1,\n"})
    assert rows(intake)["quantity"].isna().all()
    assert [str(n) for n in intake.notes] == [
        "Values of quantity in transactions that could not be read and count as missing: 1."
    ]


def test_a_contact_without_an_arm_is_set_aside(reads_files):
    sent = "".join(f"c{k},s1,mailed,2017-01-01\n" for k in range(40))
    intake = reads_files(
        {
            "transactions": "customer_id,date,amount\na,2017-01-01,1\n",
            "contacts": f"customer_id,campaign_id,arm,sent_at\n{sent}c99,s1,,2017-01-01\n",
        }
    )
    assert reasons(intake, "contacts") == {"kept": 40, INCOMPLETE: 1}


def test_each_bad_row_is_told_with_its_line_its_column_and_what_was_found(reads_files):
    bad = ",2017-01-01,1\na,2017-02-30,2\nb,2017-01-01,x\nc,2018-01-01,1\n"
    columns = {"date": "day"}
    intake = reads_files(
        {"transactions": f"customer_id,day,amount\n{GOOD}{bad}"},
        extracted_on=date(2017, 12, 31),
        transactions={"columns": columns},
    )
    told = intake.bad[["file", "line", "reason", "column", "found", "customer_id", "text"]].to_numpy().tolist()
    assert told == [
        ["transactions.csv", 102, NO_ID, "customer_id", "", "", ",2017-01-01,1"],
        ["transactions.csv", 103, NO_DATE, "day", "2017-02-30", "a", "a,2017-02-30,2"],
        ["transactions.csv", 104, NO_AMOUNT, "amount", "x", "b", "b,2017-01-01,x"],
        ["transactions.csv", 105, TOO_LATE, "day", "2018-01-01", "c", "c,2018-01-01,1"],
    ]


def test_lines_are_those_of_the_file_also_below_fields_of_several_lines_and_empty_lines(reads_files):
    several = "".join(f'{k},2017-01-01,1,"x\ny"\n' for k in range(30))
    intake = reads_files({"transactions": f"customer_id,date,amount,note\n{several}\n\nz,?,1,n\n"})
    assert intake.bad["line"].tolist() == [64]


def test_what_is_found_in_a_column_that_identifies_is_never_told(reads_files):
    people = "".join(f"c{k},n{k}@x.it\n" for k in range(40))
    intake = reads_files(
        {"transactions": f"customer_id,date,amount\n{GOOD}", "customers": f"customer_id,email\n{people},secret@x.it\n"}
    )
    assert intake.bad["found"].tolist() == [""]
    assert not intake.bad.drop(columns="text").astype(str).stack().str.contains("secret").any()


@pytest.mark.parametrize(("policy", "kept"), [("keep", 4), ("drop", 2)])
def test_lines_that_are_exactly_equal_are_said_and_handled_as_declared(con, tmp_path, policy, kept):
    (tmp_path / "t.csv").write_text("customer_id,date,amount,till\n" + "a,2017-01-01,1,1\n" * 3 + "a,2017-01-01,1,2\n")
    data = {"files": {"transactions": {"path": "t.csv"}}, "duplicates": policy}
    intake = read(DataParams.model_validate(data), folder=tmp_path, con=con)
    assert intake.tables["transactions"].count().execute() == kept
    assert "Lines of transactions that equal an earlier line in every column: 2." in [str(n) for n in intake.notes]


def test_lines_that_differ_in_any_column_are_not_equal_whatever_it_is_called(reads_files):
    text = "customer_id,date,amount,set_aside\na,2017-01-01,1,x\na,2017-01-01,1,y\n"
    assert not reads_files({"transactions": text}).notes


def test_further_columns_may_have_names_that_are_used_within(reads_files):
    people = "customer_id,acquired_on,lost_parcels,lost_acquired_on,set_aside\n"
    people += "".join(f"c{k},2017-01-01,{k},{k},{k}\n" for k in range(9))
    intake = reads_files({"transactions": f"customer_id,date,amount\n{GOOD}", "customers": people})
    assert rows(intake, "customers")["lost_parcels"].tolist() == list(range(9))
    assert not any("could not be read" in str(note) for note in intake.notes)


def test_a_column_called_as_the_numbers_of_lines_are_is_not_taken_for_them(reads_files):
    good = "".join(f"{line},x\n" for line in GOOD.splitlines())
    intake = reads_files({"transactions": f"customer_id,date,amount,line of the file\n{good}a,?,1,7\n"})
    assert intake.bad["line"].tolist() == [102]


def test_lines_that_are_exactly_equal_may_be_refused(con, tmp_path):
    (tmp_path / "t.csv").write_text("customer_id,date,amount\na,2017-01-01,1\na,2017-01-01,1\n")
    data = {"files": {"transactions": {"path": "t.csv"}}, "duplicates": "refuse"}
    intake, faults = read_all(DataParams.model_validate(data), folder=tmp_path, con=con)
    assert ["duplicates" in fault.what for fault in faults] == [True]
    assert intake.reading["rows"].sum() == 2


def test_what_could_be_read_is_there_beside_the_faults(con, tmp_path):
    (tmp_path / "t.csv").write_text("customer_id,date,amount\na,2017-01-01,1\n")
    (tmp_path / "c.csv").write_text("customer_id,campaign_id,arm,sent_at\na,x,y,?\n")
    data = {"files": {"transactions": {"path": "t.csv"}, "contacts": {"path": "c.csv"}}}
    intake, faults = read_all(DataParams.model_validate(data), folder=tmp_path, con=con)
    assert [fault.where for fault in faults] == ["files.contacts"]
    assert intake.tables["transactions"].count().execute() == 1
    assert intake.bad["line"].tolist() == [2]


def test_ids_that_look_alike_are_kept_apart_and_said(reads_files):
    text = "".join(f"{k},2017-01-01,1\n00{k},2017-01-02,1\n" for k in range(1, 6))
    intake = reads_files({"transactions": f"customer_id,date,amount\n{text}"})
    assert any("capitals or leading zeros" in str(n) and "10" in str(n) for n in intake.notes)
    assert intake.tables["transactions"].customer_id.nunique().execute() == 10


def test_a_large_table_is_kept_in_a_file_that_nobody_finds(con, tmp_path, monkeypatch):
    monkeypatch.setattr("crmlab.data.held.LARGE", 10)
    con.raw_sql(f"SET temp_directory = '{tmp_path / 'scratch'}'")
    (tmp_path / "t.csv").write_text(f"customer_id,date,amount\n{GOOD}x,?,1\n")
    data = DataParams.model_validate({"files": {"transactions": {"path": "t.csv"}}})
    intake = read(data, folder=tmp_path, con=con)
    assert intake.tables["transactions"].count().execute() == 100
    assert list((tmp_path / "scratch").rglob("*.duckdb")) == []


def test_cut_keeps_the_day_itself_and_leaves_undated_tables_whole(con):
    import pyarrow as pa

    days = pa.array([date(2017, 5, 6), date(2017, 5, 7), date(2017, 5, 8)])
    table = hold(con, "t", pa.table({"customer_id": ["a", "b", "c"], "sent_at": days}))
    assert cut(table, "contacts", date(2017, 5, 7)).customer_id.execute().tolist() == ["a", "b"]
    assert cut(table, "customers", date(2017, 5, 7)).count().execute() == 3


def test_parquet_is_read_in_place_with_its_own_types(con, tmp_path):
    frame = pd.DataFrame(
        {
            "customer_id": [7.0, 8.0],
            "date": pd.to_datetime(["2017-01-01 01:00", "2017-01-02 05:00"]),
            "amount": [0.1, 1.0],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    params = DataParams.model_validate({"files": {"transactions": {"path": "t.parquet", "hours": -5}}})
    read_rows = rows(read(params, folder=tmp_path, con=con))
    assert read_rows["customer_id"].tolist() == ["7", "8"]
    assert read_rows["date"].tolist() == [pd.Timestamp("2016-12-31"), pd.Timestamp("2017-01-02")]
    assert read_rows["amount"].tolist() == [Decimal("0.1000"), Decimal("1.0000")]


IDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf", "Zs", "Zl", "Zp")), min_size=1, max_size=8
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(IDS, st.dates(date(1900, 1, 1), date(2199, 12, 31)), st.decimals(-(10**9), 10**9, places=4)),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_is_written_is_read_back_and_every_row_is_accounted_for(tmp_path_factory, written):
    import csv

    folder: Path = tmp_path_factory.mktemp("written")
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("customer_id", "date", "amount"), *written])
    con = ibis.duckdb.connect(":memory:", threads=1)
    intake = read(DataParams.model_validate({"files": {"transactions": {"path": "t.csv"}}}), folder=folder, con=con)
    found = intake.tables["transactions"].execute()
    back = zip(found["customer_id"], found["date"].dt.date, found["amount"], strict=True)
    assert sorted(back) == sorted(written)
    assert intake.reading["rows"].sum() == len(written)


def test_a_lean_reading_leaves_out_texts_and_finds_the_same(tmp_path):
    bad = "x,2017-13-01,1,o,shop,two\n,2017-01-01,1,o,shop,2\nx,2017-01-01,1.2.3, o ,shop,2\nx,2018-01-01,1,,,\n"
    good = "".join(f"{k},2017-01-{1 + k % 28:02d},{k}.5,o{k},shop,1\n" for k in range(1, 101))
    text = "customer_id,date,amount,order_id,channel,quantity\n" + good + "1,2017-01-02,1.5,o1,shop,1\n" + bad
    (tmp_path / "t.csv").write_text(text)
    params = DataParams(files={"transactions": {"path": "t.csv"}}, extracted_on=date(2017, 12, 31), duplicates="drop")
    lean, full = (read_all(params, folder=tmp_path, con=ibis.duckdb.connect(), lean=only)[0] for only in (True, False))
    pd.testing.assert_frame_equal(lean.reading, full.reading)
    pd.testing.assert_frame_equal(lean.bad, full.bad)
    assert lean.notes == full.notes
    assert set(full.tables["transactions"].columns) - set(lean.tables["transactions"].columns) == {
        "order_id",
        "channel",
    }
