"""Open a sheet of an Excel workbook: every cell the text a person would type, each row with its number."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import SubElement, iterparse

import ibis
import pyarrow as pa
from ibis.util import gen_name

from crmlab.contract import Fault, Sentence
from crmlab.data.params import FileParams
from crmlab.data.raw import LINE, Found, hold

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
"""Names of workbooks; the last three are refused with the way out."""

LARGEST, LARGEST_STRINGS, MOST_PACKED = 2_000_000_000, 500_000_000, 250
"""Bytes a workbook may unpack to, in all and in its one table of texts, and how many times its size."""
BLOCK = 20_000
MOST_UNCOMPUTED = 0.05
"""A sheet with formulas that were never computed in a larger share of its rows than this is refused."""
EXACT = 10**15
"""Excel keeps fifteen digits of a number."""


@dataclass
class _Seen:
    """What is met while a sheet is read, to be said of it or refused."""

    rows: int = 0
    hidden: int = 0
    errors: list[str] = field(default_factory=list)
    uncomputed: list[str] = field(default_factory=list)
    long_numbers: list[str] = field(default_factory=list)
    nameless: dict[int, int] = field(default_factory=dict)
    merged: int = 0


def open_workbook(con: ibis.BaseBackend, path: Path, file: FileParams, where: str) -> Found | list[Fault]:
    """The declared sheet of the workbook, or its only one, as found; or the faults that prevent it."""
    if fault := _no_workbook(path):
        return [Fault(where, f"{path.name} {fault}")]
    import openpyxl

    with path.open("rb") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The library fails in every manner on a damaged workbook: whatever it raises means that it cannot be read.
        try:
            with closing(openpyxl.load_workbook(opened, read_only=True, data_only=True, keep_links=False)) as book:
                sheet = _sheet(book, path.name, file.sheet, where)
                return sheet if isinstance(sheet, list) else _found(con, book, sheet, path.name, file, where)
        except Exception as error:
            said = f"{path.name} is damaged and cannot be read ({type(error).__name__}); open it, save it again"
            return [Fault(where, f"{said} as .xlsx, or export the sheet as CSV")]


def _no_workbook(path: Path) -> str | None:
    """Why the file is no workbook that may be opened."""
    mend = "open it in a spreadsheet program and save it as .xlsx, or export the sheet as CSV"
    with path.open("rb") as opened:
        start = opened.read(8)
        if start == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
            return f"is {_ole(opened)}; {mend}"
        if path.suffix.lower() in (".xlsb", ".ods", ".xls"):
            return f"is not an .xlsx workbook; {mend}"
        if not start:
            return "is empty (0 bytes); export it again"
        if not zipfile.is_zipfile(opened):
            kind = "was cut off or is damaged" if start.startswith(b"PK") else "is no workbook, whatever its name"
            return f"{kind}; if it is text, call it .csv; else {mend}"
        return _too_large(opened)


def _ole(opened: BinaryIO) -> str:
    """Old workbooks and encrypted new ones share a container."""
    locked = "EncryptedPackage".encode("utf-16-le") in opened.read(50_000_000)
    return "protected by a password, which must be taken off" if locked else "an old .xls workbook"


def _too_large(opened: BinaryIO) -> str | None:
    parts = zipfile.ZipFile(opened).infolist()
    if any(part.flag_bits & 1 for part in parts):
        return "is protected by a password, which must be taken off"
    unpacked, packed = sum(part.file_size for part in parts), sum(part.compress_size for part in parts)
    texts = sum(part.file_size for part in parts if part.filename.lower().endswith("sharedstrings.xml"))
    bomb = unpacked > 50_000_000 and unpacked > MOST_PACKED * packed
    if unpacked <= LARGEST and texts <= LARGEST_STRINGS and not bomb:
        return None
    return f"would unpack {packed:,} bytes to {unpacked:,}, more than a workbook may; export the sheet as CSV"


def _sheet(book: Any, name: str, declared: str | None, where: str) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    named = ", ".join(f"{title!r}{'' if s.sheet_state == 'visible' else ' (hidden)'}" for title, s in sheets.items())
    if declared is None and len(sheets) == 1:
        return next(iter(sheets.values()))
    if declared is None:
        what = f"{name} has {len(sheets)} sheets: {named}; say which: sheet: {next(iter(sheets), '…')}"
    elif declared in sheets:
        return sheets[declared]
    else:
        close = get_close_matches(declared, sheets, n=1)
        what = f"{name} has no sheet {declared!r}; " + (f"did you mean {close[0]!r}?" if close else f"it has {named}")
    return [Fault(f"{where}.sheet", what)]


def _found(con: ibis.BaseBackend, book: Any, sheet: Any, name: str, file: FileParams, where: str) -> Any:
    seen = _Seen()
    rows = _rows(book, sheet, file, seen)
    number, cells = next(rows, (0, {}))
    if not cells:
        return [Fault(where, f"{name}: sheet {sheet.title!r} is empty; say which sheet holds the data")]
    header = [cells.get(column) for column in range(1, max(cells) + 1)]
    if faults := _twice(header, name, number, where):
        return faults
    columns = {at: text for at, text in enumerate(header, start=1) if text}
    seen.rows = 0
    table = pa.Table.from_batches(_batches(rows, columns, seen), _schema(columns))
    if faults := _refused(seen, columns, name, number, where):
        return faults
    return Found(hold(con, gen_name("workbook"), table), stated=tuple(_stated(seen, sheet.title, name, number)))


def _schema(columns: dict[int, str]) -> pa.Schema:
    return pa.schema([(LINE, pa.int64()), *((text, pa.string()) for text in columns.values())])


def _rows(book: Any, sheet: Any, file: FileParams, seen: _Seen) -> Iterator[tuple[int, dict[int, str]]]:
    """Rows that hold anything, as number and the text of each filled column."""
    # The library's own loop over a sheet reads everything after its rows too, and is slow; a cell it reads well.
    from openpyxl.worksheet._reader import FORMULA_TAG, INLINE_STRING, MERGE_TAG, ROW_TAG, VALUE_TAG, WorkSheetParser

    plain = f"{INLINE_STRING}/{INLINE_STRING.removesuffix('is')}t"

    class Parser(WorkSheetParser):
        """Tells a formula that was never computed from an empty cell, and takes a short way to plain text."""

        def parse_cell(self, element: Any) -> dict:
            if (text := element.find(plain)) is not None:
                element.set("t", "str")
                SubElement(element, VALUE_TAG).text = text.text
            cell = super().parse_cell(element)
            if cell["value"] is None and element.find(FORMULA_TAG) is not None:
                cell["data_type"] = "f"
            return cell

    formats = {"date_formats": book._date_formats, "timedelta_formats": book._timedelta_formats}
    with sheet._get_source() as source:
        parser = Parser(source, sheet._shared_strings, data_only=True, epoch=book.epoch, **formats)
        for _, element in iterparse(source):
            if element.tag == MERGE_TAG:
                seen.merged = len(element)
            if element.tag != ROW_TAG:
                continue
            number, row = parser.parse_row(element)
            cells = {cell["column"]: text for cell in row if (text := _text(cell, file, seen)).strip()}
            hidden = element.get("hidden") in ("1", "true")
            parser.row_dimensions.clear()
            element.clear()
            if cells:
                seen.rows += 1
                seen.hidden += hidden
                yield number, cells


def _text(cell: dict, file: FileParams, seen: _Seen) -> str:
    """What a person would type to have the cell: dates and decimals as the file declares them."""
    value, at = cell["value"], (cell["row"], cell["column"])
    if cell["data_type"] == "e":
        seen.errors.append(_place(*at))
        return ""
    if cell["data_type"] == "f":
        seen.uncomputed.append(_place(*at))
        return ""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value).upper()
        case int() | float():
            if abs(value) >= EXACT:
                seen.long_numbers.append(_place(*at))
            return _number(value).replace(".", file.decimal or ".")
        case datetime() | date():
            return _day(value, file.date_format)
        case time():
            return value.isoformat()
    return str(value)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    text = format(value, ".15g") if abs(value) < EXACT else repr(value)
    return f"{Decimal(text):f}" if "e" in text else text


def _day(value: date, date_format: str | None) -> str:
    if date_format:
        return value.strftime(date_format)
    midnight = not isinstance(value, datetime) or value.time() == time()
    return f"{value:%Y-%m-%d}" if midnight else value.isoformat(sep=" ")


def _batches(rows: Iterator, columns: dict[int, str], seen: _Seen) -> Iterator[pa.RecordBatch]:
    lines, values = [], {at: [] for at in columns}

    def batch() -> pa.RecordBatch:
        arrays = [pa.array(lines, pa.int64()), *(pa.array(column, pa.string()) for column in values.values())]
        return pa.RecordBatch.from_arrays(arrays, schema=_schema(columns))

    for number, cells in rows:
        lines.append(number)
        for at, column in values.items():
            column.append(cells.pop(at, None))
        for at in cells:
            seen.nameless.setdefault(at, number)
        if len(lines) == BLOCK:
            yield batch()
            lines, values = [], {at: [] for at in columns}
    yield batch()


def _twice(header: list[str | None], name: str, number: int, where: str) -> list[Fault]:
    """Faults of names that the engine cannot tell apart: it does not mind capitals."""
    first, faults = {LINE: 0}, []
    for at, text in enumerate(header, start=1):
        known = first.setdefault((text or f"\0{at}").strip().casefold(), at)
        if known != at:
            places = f"{_place(number, known)} and {_place(number, at)}" if known else _place(number, at)
            faults.append(Fault(where, f"{name}: {text!r} names two columns ({places}); rename one of them"))
    return faults


def _refused(seen: _Seen, columns: dict[int, str], name: str, number: int, where: str) -> list[Fault]:
    faults = []
    if seen.nameless:
        at, line = min(seen.nameless.items())
        said = f"{name}: row {number} should name every column, but holds {', '.join(map(repr, columns.values()))}"
        mend = "give the column a name, or delete the title rows above the names"
        faults.append(Fault(where, f"{said} and nothing above {_place(line, at)}, which is filled; {mend}"))
    if len(seen.uncomputed) > MOST_UNCOMPUTED * seen.rows:
        said = f"{name}: {len(seen.uncomputed):,} cells hold formulas that were never computed"
        mend = "open it in a spreadsheet program and save it there"
        faults.append(Fault(where, f"{said}, the first {seen.uncomputed[0]}; {mend}"))
    return faults


def _stated(seen: _Seen, sheet: str, name: str, number: int) -> Iterator[Sentence]:
    of = {"file": name, "sheet": sheet}
    yield Sentence("{file}: sheet {sheet}, whose row {row} names the columns.", {**of, "row": number})
    if seen.hidden:
        said = "{file}: hidden rows, which are read as any other: {rows:,}."
        yield Sentence(said, {**of, "rows": seen.hidden})
    if seen.merged:
        said = "{file}: merged cells, of which only the first holds the value: {cells:,}."
        yield Sentence(said, {**of, "cells": seen.merged}, tone="warn")
    for places, said in (
        (seen.errors, "{file}: cells that show an error, as #REF! does, and count as empty: {cells:,}, first {place}."),
        (seen.uncomputed, "{file}: formulas that were never computed and count as empty: {cells:,}, first {place}."),
        (
            seen.long_numbers,
            "{file}: numbers of more than fifteen digits, which Excel cuts, ids too: {cells:,}, first {place}.",
        ),
    ):
        if places:
            yield Sentence(said, {**of, "cells": len(places), "place": places[0]}, tone="warn")


def _place(row: int, column: int) -> str:
    from openpyxl.utils import get_column_letter

    return f"{get_column_letter(column)}{row}"
