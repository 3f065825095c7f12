"""Text files sound and broken, through the whole intake."""

import csv
import gzip
import io
from datetime import date

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmlab.contract import Refused
from crmlab.data import DataParams, lines, read
from crmlab.data.lines import NUL, OPEN_QUOTE, STRAY_QUOTE, TOO_FEW, TOO_LONG, TOO_MANY, UNDECODABLE

HEAD = "customer_id,date,amount\n"
GOOD = "".join(f"{k:05d},2017-01-{1 + k % 28:02d},{k}.50\n" for k in range(1, 101))


@pytest.fixture
def reads(con, tmp_path):
    def one(content, name="t.csv", **how):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        data = {"files": {"transactions": {"path": name} | how}}
        return read(DataParams.model_validate(data), folder=tmp_path, con=con)

    return one


def counted(intake):
    return intake.reading.groupby("reason")["rows"].sum().to_dict()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,2017-01-01,1,2", TOO_MANY),
        (b"a,2017-01-01", TOO_FEW),
        (b'"a,2017-01-01,1', OPEN_QUOTE),
        (b'"a"b,2017-01-01,1', STRAY_QUOTE),
        (b"a\xe9,2017-01-01,1", UNDECODABLE),
        (b"a\0,2017-01-01,1", NUL),
        (b"a" * 2_200_000 + b",2017-01-01,1", TOO_LONG),
    ],
)
def test_a_line_that_is_no_row_costs_that_line_alone(reads, line, reason):
    half = GOOD[: len(GOOD) // 2].rpartition("\n")[0] + "\n"
    intake = reads(HEAD.encode() + half.encode() + line + b"\n" + GOOD.encode())
    assert counted(intake) == {"kept": half.count("\n") + 100, reason: 1}
    assert intake.bad["line"].tolist() == [half.count("\n") + 2]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_line_ends_and_separators_are_found(reads, end, separator):
    text = (HEAD + GOOD).replace("\n", end).replace(",", separator)
    assert counted(reads(text)) == {"kept": 100}


def test_mixed_line_ends_empty_lines_and_a_last_line_without_end_lose_nothing(reads):
    text = (HEAD + GOOD).replace("0\n", "0\r\n", 30) + "\n\n   \nlast,2017-01-01,1"
    assert counted(reads(text)) == {"kept": 101}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "utf-8-sig", "utf-32", "mac-roman"])
def test_any_encoding_of_text_can_be_declared(reads, encoding):
    rows = "".join(f"caffè{k},2017-01-01,1\n" for k in range(30))
    found = reads((HEAD + rows).encode(encoding), encoding=encoding).tables["transactions"]
    assert sorted(found.customer_id.execute()) == sorted(f"caffè{k}" for k in range(30))


@pytest.mark.parametrize("cut", [slice(None, -20), slice(None, 30)])
def test_a_gzip_file_cut_short_or_damaged_is_refused(reads, cut):
    packed = gzip.compress((HEAD + GOOD * 50).encode())
    assert counted(reads(packed, "t.csv.gz")) == {"kept": 5000}
    with pytest.raises(Refused, match="damaged"):
        reads(packed[cut], "t.csv.gz")
    with pytest.raises(Refused, match="damaged"):
        reads(packed[:-8] + b"12345678", "t.csv.gz")


def test_memory_that_runs_out_is_no_fault_of_the_file(reads, con):
    con.raw_sql("SET memory_limit = '6MB'")
    con.raw_sql("SET temp_directory = ''")
    with pytest.raises(duckdb.OutOfMemoryException):
        reads(HEAD + GOOD * 2000 + '"a"b,2017-01-01,1\n')


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("12,50", 12.5), ("0,5", 0.5), ("1234,5678", 1234.5678)],
)
def test_a_decimal_comma_is_found_and_said(reads, written, read_as):
    intake = reads(f"customer_id;date;amount\na;2017-01-01;{written}\n")
    assert float(intake.tables["transactions"].amount.execute().iloc[0]) == read_as
    assert any("decimal mark" in str(note) for note in intake.notes)


def test_mixed_and_ambiguous_decimal_marks_are_refused_wherever_they_stand(reads):
    many = "".join(f"a;2017-01-01;{k}.50\n" for k in range(12_000))
    for text in ("a;2017-01-01;1,5\na;2017-01-01;1.5\n", f"{many}a;2017-01-01;1,5\n"):
        with pytest.raises(Refused, match=r"point and with a decimal comma.*decimal"):
            reads("customer_id;date;amount\n" + text)
    with pytest.raises(Refused, match=r"thousands"):
        reads("customer_id;date;amount\na;2017-01-01;1.234\n")


def test_time_stamps_with_a_zone_become_days_of_the_study(con, tmp_path):
    (tmp_path / "t.csv").write_text(f"{HEAD}a,2017-01-31T23:30:00Z,1\nb,2017-01-31 23:30:00.25,1\n")
    data = DataParams.model_validate({"files": {"transactions": {"path": "t.csv"}}})
    found = read(data, folder=tmp_path, con=con, time_zone="Europe/Rome").tables["transactions"].order_by("customer_id")
    assert found.date.execute().dt.date.tolist() == [date(2017, 2, 1), date(2017, 1, 31)]


@pytest.mark.parametrize("text", ["1_000", "0x10", "1e400", "١٢", "€ 5", "5-", "NaN", "inf", "123456789012345", "1,5"])
def test_what_is_no_number_is_set_aside(reads, text):
    intake = reads(f'{HEAD}{GOOD}a,2017-01-01,"{text}"\n', decimal=".")
    assert intake.bad["found"].tolist() == [text]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["a", " ", ",", '"', '""', "\n", "\r\n", "é", "x1"]), max_size=30),
    st.integers(3, 40),
)
def test_every_good_line_after_a_broken_one_is_read_however_the_file_is_cut_into_pieces(tmp_path_factory, parts, size):
    path = tmp_path_factory.getbasetemp() / "broken.csv"
    text = "h,h\n" + "g,g\n" + "".join(parts) + "\n" + "g,g\n" * 3
    path.write_bytes(text.encode())

    def sifted(piece):
        kept = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(lines, "PIECE", piece)
            read = lines.pieces(path, "utf-8")
            return lines.sift(read, lines.grammar(",", 2), skip=1, keep=kept.append), kept

    found, kept = sifted(size)
    at_once, in_one = sifted(10**6)
    whole = b"".join(kept)
    assert (whole, found.bad, found.rows) == (b"".join(in_one), at_once.bad, at_once.rows)
    assert whole.startswith(b"g,g\n")
    assert whole.endswith(b"g,g\n" * 3)
    rows = list(csv.reader(io.StringIO(whole.decode(), newline="")))
    assert [len(row) for row in rows] == [2] * found.rows
    physical = text.encode().splitlines()
    assert all(physical[line - 1].strip() for line, _, _ in found.bad)
    assert (found.line_of(1), found.line_of(found.rows)) == (2, len(physical))
