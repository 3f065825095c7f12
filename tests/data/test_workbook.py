"""Workbooks: what each kind of cell becomes, and what is refused in words."""

import zipfile
from datetime import date, datetime, time

import ibis
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.data.params import FileParams
from crmlab.data.raw import LINE
from crmlab.data.workbook import open_workbook


def workbook(path, rows, *, sheets=()):
    book = openpyxl.Workbook()
    book.active.title = "Sales"
    for row in rows:
        book.active.append(row)
    for name in sheets:
        book.create_sheet(name)
    book.save(path)
    return path


def opened(path, **declared):
    file = FileParams(path=path.name, **declared)
    return open_workbook(ibis.duckdb.connect(), path, file, "files.transactions")


def frame(path, **declared):
    found = opened(path, **declared)
    assert not isinstance(found, list), found
    return found.rows.to_pyarrow().to_pandas(types_mapper=pd.ArrowDtype).astype(object).replace({pd.NA: None})


def refused(path, **declared):
    found = opened(path, **declared)
    assert isinstance(found, list), found.rows.execute()
    return " | ".join(f"{f.where}: {f.what}" for f in found)


def stated(path, **declared):
    return " | ".join(map(str, opened(path, **declared).stated))


def rewritten(path, part, change):
    """The workbook with one part of it changed by hand."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts[part] = change(parts.get(part, b""))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return path


SHEET = "xl/worksheets/sheet1.xml"


def test_every_cell_becomes_the_text_a_person_would_type(tmp_path):
    cells = ["00123", 123, 123.0, 12.5, 0.1 + 0.2, 1e-7, 12345678901234567890, True, date(2024, 1, 31)]
    cells += [datetime(2024, 1, 31, 13, 45), time(8, 30), "  blank  ", "NA", None]
    path = workbook(tmp_path / "a.xlsx", [[f"c{k}" for k in range(len(cells))], cells])
    row = frame(path).iloc[0].to_list()
    assert row[0] == 2
    assert row[1:-1] == [
        "00123", "123", "123", "12.5", "0.3", "0.0000001", "12345678901234570000", "TRUE", "2024-01-31",
        "2024-01-31 13:45:00", "08:30:00", "  blank  ", "NA",
    ]  # fmt: skip
    assert row[-1] is None


def test_dates_and_decimals_are_typed_as_the_file_declares_them(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["day", "amount"], [date(2024, 1, 31), 12.5], ["01/02/2024", "7,25"]])
    table = frame(path, date_format="%d/%m/%Y", decimal=",")
    assert table["day"].to_list() == ["31/01/2024", "01/02/2024"]
    assert table["amount"].to_list() == ["12,5", "7,25"]


@settings(max_examples=30)
@given(st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 2)) | st.integers(-(10**14), 10**14), min_size=1))
def test_numbers_come_back_as_they_went_in(tmp_path_factory, numbers):
    path = workbook(tmp_path_factory.mktemp("w") / "a.xlsx", [["n"], *([n] for n in numbers)])
    assert [float(n) for n in frame(path)["n"]] == [float(n) for n in numbers]


def test_empty_rows_are_passed_over_and_hidden_ones_read_with_their_numbers(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [[], ["id"], ["a"], [], [" "], ["b"], ["c"]])
    book = openpyxl.load_workbook(path)
    book.active.row_dimensions[6].hidden = True
    book.save(path)
    assert frame(path)[LINE].to_list() == [3, 6, 7]
    assert frame(path)["id"].to_list() == ["a", "b", "c"]
    assert "row 2 names the columns" in stated(path)
    assert "hidden rows, which are read as any other: 1" in stated(path)


def test_rows_of_many_blocks_keep_their_order(tmp_path):
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sales")
    for k in range(45_001):
        sheet.append([f"id{k}" if k else "id"])
    book.save(tmp_path / "a.xlsx")
    table = frame(tmp_path / "a.xlsx")
    assert table[LINE].to_list() == list(range(2, 45_002))
    assert table["id"].to_list() == [f"id{k}" for k in range(1, 45_001)]


def test_several_sheets_are_never_guessed(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["id"], ["a"]], sheets=["Stock", "Notes"])
    said = refused(path)
    assert said.startswith("files.transactions.sheet: a.xlsx has 3 sheets: 'Sales', 'Stock', 'Notes'")
    assert "sheet: Sales" in said
    assert frame(path, sheet="Sales")["id"].to_list() == ["a"]
    assert "did you mean 'Stock'?" in refused(path, sheet="stok")
    assert "sheet 'Stock' is empty" in refused(path, sheet="Stock")


@pytest.mark.parametrize(("rows", "says"), [
    ([["Sales of 2024"], ["id", "date", "amount"], ["a", "2024-01-01", 1]], "but holds 'Sales of 2024'"),
    ([["id", None, "amount"], ["a", "2024-01-01", 1]], "nothing above B2"),
    ([["id", "amount", "amount"], ["a", 1, 2]], "'amount' names two columns (B1 and C1)"),
    ([["id", "Amount", "amount "], ["a", 1, 2]], "'amount ' names two columns (B1 and C1)"),
    ([["id", LINE], ["a", 1]], "names two columns (B1)"),
    ([], "is empty"),
    ([["id", "x"], *(["a", "=1+1"] for _ in range(9))], "9 cells hold formulas that were never computed, the first B2"),
])  # fmt: skip
def test_a_sheet_that_is_no_table_is_refused_with_its_cell(tmp_path, rows, says):
    assert says in refused(workbook(tmp_path / "a.xlsx", rows))


def test_a_column_without_name_and_values_is_passed_over(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["id", None, "amount"], ["a", None, 1]])
    assert list(frame(path).columns) == [LINE, "id", "amount"]


def test_error_cells_computed_and_uncomputed_formulas_and_long_ids_are_told(tmp_path):
    rows = [["id", "n"], *([f"c{k}", 1] for k in range(30)), [1234567890123456, "=1+1"]]
    path = workbook(tmp_path / "a.xlsx", rows)
    rewritten(path, SHEET, lambda xml: xml.replace(
        b'<c r="B2" t="n"><v>1</v>', b'<c r="B2" t="e"><v>#REF!</v>').replace(
        b'<c r="B3" t="n"><v>1</v>', b'<c r="B3"><f>6*7</f><v>42</v>'))  # fmt: skip
    assert frame(path)["n"].to_list()[:3] == [None, "42", "1"]
    said = stated(path)
    assert "cells that show an error, as #REF! does, and count as empty: 1, first B2" in said
    assert "formulas that were never computed and count as empty: 1, first B32" in said
    assert "more than fifteen digits, which Excel cuts, ids too: 1, first A32" in said


def test_merged_cells_are_told(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["id", "n"], ["a", 1], [None, 2]])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("A2:A3")
    book.save(path)
    assert "merged cells, of which only the first holds the value: 1" in stated(path)


def test_a_sheet_that_lies_about_its_size_is_read_as_it_is(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["id"], ["a"]])
    rewritten(path, SHEET, lambda xml: xml.replace(b'ref="A1:A2"', b'ref="A1:XFD1048576"'))
    assert frame(path)["id"].to_list() == ["a"]


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


@pytest.mark.parametrize(("name", "content", "says"), [
    ("a.xls", OLE, "an old .xls workbook; open it"),
    ("a.xlsx", OLE, "an old .xls workbook; open it"),
    ("a.xlsx", OLE + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
    ("a.ods", b"PK\3\4", "is not an .xlsx workbook"),
    ("a.xlsx", b"", "is empty (0 bytes)"),
    ("a.xlsx", b"id,amount\na,1\n", "no workbook, whatever its name"),
    ("a.xlsx", b"PK\3\4" + bytes(100), "was cut off or is damaged"),
])  # fmt: skip
def test_what_is_no_workbook_is_refused_with_the_way_out(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    assert says in refused(tmp_path / name)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["id"], ["a"]])
    rewritten(path, SHEET, lambda xml: xml.replace(b"</sheetData>", b" " * 100_000_000 + b"</sheetData>"))
    assert "more than a workbook may" in refused(path)


LAUGHS = b'<!DOCTYPE x [<!ENTITY x0 "1234567890">%s]>' % b"".join(
    b'<!ENTITY x%d "%s">' % (k, b"&x%d;" % (k - 1) * 10) for k in range(1, 10)
)


@pytest.mark.parametrize(("part", "change"), [
    (SHEET, lambda xml: xml[: len(xml) // 2]),
    (SHEET, lambda xml: xml.replace(b"<v>1</v>", b"<v>one</v>")),
    (SHEET, lambda xml: b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + xml.replace(b"<v>1<", b"<v>&a;<")),
    (SHEET, lambda xml: LAUGHS + xml.replace(b"<v>1<", b"<v>&x9;<")),
    ("xl/workbook.xml", lambda xml: b"nothing"),
    ("[Content_Types].xml", lambda xml: b"<a/>"),
])  # fmt: skip
def test_a_damaged_or_hostile_workbook_is_refused(tmp_path, part, change):
    path = rewritten(workbook(tmp_path / "a.xlsx", [["id", "n"], ["a", 1]]), part, change)
    assert "is damaged and cannot be read" in refused(path)


def test_any_flipped_byte_is_read_as_it_is_or_refused(tmp_path):
    whole = workbook(tmp_path / "a.xlsx", [["id", "n"], ["a", 1]]).read_bytes()
    for at in range(0, len(whole), 97):
        (tmp_path / "b.xlsx").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        found = opened(tmp_path / "b.xlsx")
        assert isinstance(found, list) or found.rows.count().execute() == 1


def test_external_links_are_not_followed(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["id", "n"], ["a", 1]])
    rewritten(path, SHEET, lambda xml: xml.replace(b"<v>1</v>", b"<f>[1]Sheet1!A1</f><v>5</v>"))
    assert frame(path)["n"].to_list() == ["5"]
