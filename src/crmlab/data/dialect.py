"""What the first lines of a text file say of it: whether it is text, its separator, its columns, its decimal mark."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from crmlab.data.convert import BLANKS

SEPARATORS = (",", ";", "\t", "|")
HEAD = 1 << 18
"""Bytes of a file that are looked at before it is read."""
csv.field_size_limit(max(HEAD, csv.field_size_limit()))
LOOKED = 10_000
"""Rows in which the decimal mark is looked for first."""

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
KINDS = (
    (b"PK\x03\x04", "is an Excel workbook or a zip archive, not text: name a workbook .xlsx, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook, not text: save it as .xlsx or .csv"),
    (b"PAR1", "is Parquet, not text: name it .parquet"),
    (b"\x1f\x8b", "is compressed, not plain text: name it .csv.gz"),
    (b"BZh", "is compressed (bzip2): unpack it"),
    (b"\xfd7zXZ", "is compressed (xz): unpack it"),
    (b"(\xb5/\xfd", "is compressed (zstd): unpack it"),
    (b"SQLite format 3", "is an SQLite database, not text: export the table as .csv"),
    (b"%PDF", "is a PDF, not text: get the data as .csv or .xlsx"),
    (b"{\\rtf", "is a text document (RTF): save the data as .csv"),
)
_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
_VALUE = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}.*|[^@\s]+@[^@\s]+")
POINT = r"^[+-]?([0-9,]*\.([0-9]{1,2}|[0-9]{4,})|([0-9]{4,}|0+)?\.[0-9]{3}|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+|,[0-9]{3}))$"
COMMA = r"^[+-]?([0-9.]*,([0-9]{1,2}|[0-9]{4,})|([0-9]{4,}|0+)?,[0-9]{3}|[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+|\.[0-9]{3}))$"
EITHER = r"^[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}$"
"""Numbers whose decimal mark is certain, and those in which the mark may stand between thousands."""


@dataclass(frozen=True)
class Header:
    """The columns of a text file, the separator, whether that was found and not declared, and the header's lines."""

    names: tuple[str, ...]
    separator: str
    lines: int
    detected: bool


def no_text(head: bytes, encoding: str) -> str | None:
    """Why a file that begins like this is no text in that encoding, and the mend; None where it may be."""
    if not head:
        return "is empty (0 bytes): get it again from where it came"
    for start, what in KINDS:
        if head.startswith(start):
            return what
    if _PAGE.match(head):
        return "is a web page or XML, not a table: perhaps a log-in page was saved in its place"
    declared = codecs.lookup(encoding).name
    marked = next((name for start, name in MARKS if head.startswith(start)), None)
    if marked and not declared.startswith(marked):
        return f"begins with the mark of {marked}, not of {encoding}: declare encoding: {marked}"
    if not declared.startswith(("utf-16", "utf-32")) and b"\0" in head[:1000]:
        if head[1:100:2].count(0) > 25 or head[0:100:2].count(0) > 25:
            return f"looks like UTF-16: declare encoding: {'utf-16-le' if head[1] == 0 else 'utf-16-be'}"
        return "is not text (it holds zero bytes among its first thousand): get it as .csv, .parquet or .xlsx"
    return None


def header(text: str, wanted: Collection[str], separator: str | None) -> Header | str:
    """Columns and separator of a file whose first lines are `text`; or what is wrong with them, and the mend.

    Parameters
    ----------
    text
        The beginning of the file, cut after a line.
    wanted
        Names that are expected among the columns.
    separator
        As declared, or None.
    """
    blank = re.match(r"(?:[ \t]*(?:\r\n|\r|\n))*", text)[0]
    above = len(blank.splitlines())
    text = text[len(blank) :]
    if not text.strip():
        return "holds no line of text: its first line must name the columns"
    split = {s: _rows(text, s) for s in SEPARATORS}
    found = _separator(split, wanted)
    chosen = separator or found
    if chosen is None:
        fit = " and ".join(shown(s) for s in SEPARATORS if len(split[s][0]) > 1)
        return f"line {above + 1} can be split at {fit}: declare separator, for example separator: {shown(';')}"
    rows = _rows(text, chosen)
    names = [name.strip(BLANKS) for name in rows[0]]
    if separator and len(names) == 1 and found and len(split[found][0]) > 1:
        return f"line {above + 1} is not split at {shown(separator)}: declare separator: {shown(found)}"
    while len(names) > 1 and not names[-1]:
        names.pop()
    fault = _no_names(names, rows, wanted, above)
    if fault:
        return fault
    return Header(tuple(names), chosen, above + _lines_of_first(text, chosen), separator is None and chosen != ",")


def shown(separator: str) -> str:
    """A separator as one would write it in a params file."""
    return '"\\t"' if separator == "\t" else f'"{separator}"'


def _rows(text: str, separator: str, most: int = 30) -> list[list[str]]:
    rows = []
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
        if len(rows) >= most:
            break
        if row:
            rows.append(row)
    return rows or [[""]]


def _lines_of_first(text: str, separator: str) -> int:
    """How many lines the first row takes, for it may have line ends within quotes."""
    read = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    next(read, None)
    return read.line_num


def _separator(split: dict[str, list[list[str]]], wanted: Collection[str]) -> str | None:
    """The separator that finds the names that are wanted, or else the one that splits all lines alike."""
    names = {s: len({name.strip(BLANKS) for name in rows[0]} & set(wanted)) for s, rows in split.items()}
    best = [s for s in split if names[s] == max(names.values())]
    if len(best) == 1:
        return best[0]
    several = [s for s in best if len(split[s][0]) > 1]
    if len(several) < 2:
        return several[0] if several else ","
    even = [s for s in several if all(len(row) == len(split[s][0]) for row in split[s])]
    return even[0] if len(even) == 1 else None


def _no_names(names: Sequence[str], rows: list[list[str]], wanted: Collection[str], above: int) -> str | None:
    there, line = set(names) & set(wanted), above + 1
    if not there:
        for place, row in enumerate(rows[1:20], start=2):
            if len({value.strip(BLANKS) for value in row} & set(wanted)) > 1:
                return (
                    f"line {line} holds {names[0][:40]!r}, the names of the columns stand further down (row {place}): "
                    "remove the lines above them"
                )
        if len(names) > 1 and any(_VALUE.fullmatch(name) for name in names):
            return f"line {line} holds values, not the names of columns: put a line with their names above it"
    blank = [str(place) for place, name in enumerate(names, start=1) if not name]
    if blank:
        return f"line {line}: column {', '.join(blank)} has no name: give it one, or remove it"
    folded = [name.casefold() for name in names]
    twice = sorted({name for name in names if folded.count(name.casefold()) > 1})
    if len({name.casefold() for name in twice}) < len(twice):
        return f"line {line}: columns {', '.join(map(repr, twice))} differ only in case: rename one"
    if twice:
        return f"line {line}: two columns are called {twice[0]!r}: rename one, or remove it"
    return None


def decimal_mark(table: ibis.Table, columns: Sequence[str]) -> str | None:
    """Decimal mark of text columns that hold numbers; None where it cannot be told.

    Looks into the first rows, and where these do not tell into all of them. Without any mark it is the point.
    """
    for rows in (table.limit(LOOKED), table):
        point, comma, either = _marked(rows, columns)
        if point and comma:
            return None
        if point or comma:
            return "." if point else ","
    return None if either else "."


def _marked(rows: ibis.Table, columns: Sequence[str]) -> tuple[int, int, int]:
    def count(pattern: str) -> ir.IntegerValue:
        fits = [rows[c].strip().re_search(pattern).cast("int64").sum().fill_null(0) for c in columns]
        return sum(fits[1:], fits[0])

    counts = rows.aggregate(point=count(POINT), comma=count(COMMA), either=count(EITHER)).to_pyarrow()
    return tuple(counts.to_pylist()[0].values())
