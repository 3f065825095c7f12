"""Values that look like something else: ids that are no number, signs that nobody sees, dates run together."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crmlab.contract import Refused
from crmlab.data import DataParams, read

HEAD = "customer_id,date,amount\n"
GOOD = "".join(f"c{i},2025-01-{1 + i % 28:02},5\n" for i in range(60))


@pytest.fixture
def reads_parquet(con, tmp_path):
    def reads(table):
        pq.write_table(table, tmp_path / "t.parquet")
        params = DataParams.model_validate({"files": {"transactions": {"path": "t.parquet"}}})
        return read(params, folder=tmp_path, con=con)

    return reads


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_an_id_that_is_no_number_is_no_id_in_parquet(reads_parquet, odd):
    ids = [float(i % 10) for i in range(99)] + [odd]
    table = pa.table({"customer_id": ids, "date": ["2025-01-01"] * 100, "amount": [1.5] * 100})
    intake = reads_parquet(table)
    assert list(intake.bad["line"]) == [100]
    assert set(intake.tables["transactions"].customer_id.execute()) == {str(i) for i in range(10)}


def test_columns_of_parquet_that_the_engine_cannot_tell_apart_are_refused(reads_parquet):
    table = pa.table([["c"], ["2025-01-01"], [1.5], [2.5]], names=["customer_id", "date", "amount", "Amount"])
    with pytest.raises(Refused, match=r"t\.parquet has columns that cannot be told apart: 'amount', 'Amount'; rename"):
        reads_parquet(table)


def test_a_column_of_parquet_called_as_the_numbers_of_rows_are_is_refused(reads_parquet):
    names = ["customer_id", "date", "amount", "line of the file"]
    with pytest.raises(Refused, match=r"t\.parquet has columns .* 'line of the file'; rename"):
        reads_parquet(pa.table([["c"], ["2025-01-01"], [1.5], [2]], names=names))


@pytest.mark.parametrize("sign", list("\u00a0\u00ad\u0085\u2007\u200b\u200e\u200f\u202a\u2066\ufeff"))
def test_signs_that_nobody_sees_make_no_new_customer(reads_files, sign):
    seen = f"{sign}c1,2025-01-02,5\nc1{sign},2025-01-03,5\n{sign},2025-01-04,5\n"
    intake = reads_files({"transactions": HEAD + GOOD + seen})
    assert intake.tables["transactions"].customer_id.nunique().execute() == 60
    assert list(intake.bad["line"]) == [64]


def test_ids_that_differ_only_in_a_sign_within_that_nobody_sees_are_said(reads_files):
    intake = reads_files({"transactions": HEAD + GOOD + GOOD.replace("c", "c\u200b")})
    assert any("in signs that nobody sees" in str(note) for note in intake.notes)


@pytest.mark.parametrize(("form", "good", "bad"), [
    ("%Y%m%d", "20250112", "2025112"),
    ("%d%m%Y", "11022025", "1122025"),
    ("%y%m%d", "250112", "25112"),
    ("%Y%m%d%H%M", "202501121130", "2025112113"),
])  # fmt: skip
def test_dates_run_together_are_read_only_if_every_digit_is_there(reads_files, form, good, bad):
    rows = "".join(f"c{i},{good},5\n" for i in range(60))
    how = {"date_format": form}
    intake = reads_files({"transactions": HEAD + rows + f"x,{bad},5\n"}, transactions=how)
    assert list(intake.bad["line"]) == [62]
    with pytest.raises(Refused, match="no readable date"):
        reads_files({"transactions": HEAD + rows.replace(good, bad)}, transactions=how)


def test_a_field_longer_than_readers_of_csv_like_is_read(reads_files):
    text = HEAD + GOOD + f"{'x' * 200_000},2025-01-01,5\n"
    assert reads_files({"transactions": text}).tables["transactions"].count().execute() == 61


def test_a_file_that_is_not_compressed_whatever_its_name_is_told_so(con, tmp_path):
    (tmp_path / "t.csv.gz").write_text(HEAD + GOOD)
    params = DataParams.model_validate({"files": {"transactions": {"path": "t.csv.gz"}}})
    with pytest.raises(Refused, match=r"t\.csv\.gz is not compressed"):
        read(params, folder=tmp_path, con=con)


def test_consents_in_another_date_format_are_refused_with_their_lines_and_the_format(reads_files):
    consents = "customer_id,channel,state,date\n" + "".join(f"c{i},email,yes,13/01/2025\n" for i in range(9))
    with pytest.raises(Refused, match=r'consents\.csv: 9 of 9 .* \(line 2, 3, 4, 5, 6, …\): declare .*"%d/%m/%Y"'):
        reads_files({"transactions": HEAD + GOOD, "consents": consents})


@pytest.mark.parametrize("odd", ["c41,10,yes\xe9,a\n", "c41,10,yes,\xe9\n"])
def test_customers_are_taken_once_where_only_the_engine_fails_on_their_consents(reads_files, odd):
    people = "customer_id,age,consent_email,consent_source\n" + "".join(f"c{i},30,yes,a\n" for i in range(40))
    intake = reads_files({"transactions": HEAD + GOOD, "customers": (people + odd).encode("latin-1")})
    assert [intake.tables[t].count().execute() for t in ("customers", "consents")] == [40, 40]
    assert intake.bad[["table", "line"]].to_numpy().tolist() == [["customers", 42]]
    assert intake.tables["consents"].source.execute().tolist() == ["a"] * 40


def test_a_name_of_a_column_cannot_steer_a_terminal_and_is_written_as_yaml_reads_it(reads_files):
    with pytest.raises(Refused) as refused:
        reads_files({"transactions": HEAD.replace("amount", "\x1b[31mamount") + GOOD})
    assert "\x1b" not in str(refused.value)
    assert r"no such column in transactions.csv, which has customer_id, date, \x1b[31mamount" in str(refused.value)
    assert r'columns: {amount: "\u001b[31mamount"}' in str(refused.value)
