"""Open a text file as a table of text: nothing guessed, read by the engine where sound and line by line where not."""

import codecs
import glob
import gzip
import tempfile
import zlib
from functools import partial
from pathlib import Path

import duckdb
import ibis
import pandas as pd
import pyarrow as pa

from crmlab.contract import Fault, Sentence
from crmlab.data import dialect, lines
from crmlab.data.dialect import Header
from crmlab.data.held import held, is_large, scratch
from crmlab.data.params import FileParams
from crmlab.data.raw import Found, hold
from crmlab.data.schema import SCHEMA

UNPACKED = "is not compressed, whatever its name: take .gz from it"
DAMAGED = "is cut short or damaged (gzip): copy it again from where it came"


def open_text(
    con: ibis.BaseBackend, path: Path, file: FileParams, where: str, *, carefully: bool = False
) -> Found | list[Fault]:
    """The fields of the file as text, under the names of its first line; or the faults that prevent it.

    Parameters
    ----------
    where
        What faults are attributed to: ``files.`` and the name of the table.
    carefully
        Read every line here, not in the engine.
    """
    try:
        known = header_of(path, file, where.rpartition(".")[2])
        if isinstance(known, str):
            return [Fault(where, f"{path.name} {known}")]
        sound = lines.is_utf8(file.encoding) and len(known.names) > 1 and known.lines == 1
        if sound and not carefully:
            count, zeros = _looked_through(path)
            if not zeros:
                return _in_engine(con, path, file, where, known, count)
        return _line_by_line(con, path, file, where, known)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        with path.open("rb") as opened:
            packed = opened.read(2) == b"\x1f\x8b"
        return [Fault(where, f"{path.name} {DAMAGED if packed else UNPACKED}")]
    except UnicodeError as error:
        what = f"{path.name} cannot be read as {file.encoding} ({error.reason if hasattr(error, 'reason') else error})"
        return [Fault(where, f"{what}; declare the encoding it has, such as utf-8 or cp1252")]
    except duckdb.InvalidInputException as error:
        return [Fault(where, f"{path.name} cannot be read: {str(error).strip().splitlines()[0]}")]
    except (PermissionError, FileNotFoundError) as error:
        return [Fault(where, f"{path.name} cannot be read: {error.strerror}; check the file and its permissions")]


def header_of(path: Path, file: FileParams, table: str) -> Header | str:
    """Columns and separator of a text file, from its first lines; or what is wrong with it, and the mend."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened:
        head = opened.read(dialect.HEAD)
    if fault := dialect.no_text(head, file.encoding):
        return fault
    text = codecs.getincrementaldecoder(file.encoding)("crmlab.undecodable").decode(head).removeprefix("\ufeff")
    if len(head) == dialect.HEAD:
        cut = max(text.rfind("\n"), text.rfind("\r")) + 1
        if not cut:
            return f"has no line end in its first {dialect.HEAD:,} bytes: it is not a table of lines"
        text = text[:cut]
    canonical = SCHEMA[table].columns if table in SCHEMA else ()
    wanted = {*file.columns.values(), *(c for c in canonical if c not in file.columns)}
    found = dialect.header(text, wanted, file.separator)
    if isinstance(found, Header) and any("\udcff" in name for name in found.names):
        return f"line {found.lines} holds bytes that are no {file.encoding}: declare encoding, for example cp1252"
    return found


def _looked_through(path: Path) -> tuple[int, bool]:
    """How many lines there are, and whether there are zero bytes; a damaged gzip file raises."""
    feeds, returns, zeros, last = 0, 0, False, b"\n"
    for piece in lines.pieces(path, "utf-8"):
        feeds += piece.count(b"\n")
        returns += piece.count(b"\r") if not feeds else 0
        zeros = zeros or b"\0" in piece
        last = piece[-1:] or last
    return (feeds or returns) + (last not in b"\r\n"), zeros


def _in_engine(
    con: ibis.BaseBackend, path: Path, file: FileParams, where: str, known: Header, count: int
) -> Found | list[Fault]:
    rows = _engine_reads(con, path, known, header=True)
    opened = partial(_line_by_line, con, path, file, where, known)
    located = partial(_lines_of, path, known, count)
    return Found(rows, stated=_stated(path, known), lines=located, carefully=opened, large=is_large(path))


def _engine_reads(con: ibis.BaseBackend, path: Path, known: Header, *, header: bool) -> ibis.Table:
    places = [f"c{k}" for k in range(len(known.names))]
    table = con.read_csv(
        glob.escape(str(path)),
        columns=dict.fromkeys(places, "VARCHAR"),
        auto_detect=False,
        header=header,
        delim=known.separator,
        quote='"',
        escape='"',
        encoding="utf-8",
    )
    return table.rename(dict(zip(known.names, places, strict=True)))


def _line_by_line(
    con: ibis.BaseBackend, path: Path, file: FileParams, where: str, known: Header
) -> Found | list[Fault]:
    """Rows in a file of their own, which the engine reads; the others told."""
    grammar = lines.grammar(known.separator, len(known.names))
    with tempfile.TemporaryDirectory(prefix="crmlab-", dir=scratch(con)) as folder:
        sound = Path(folder) / "rows.csv"
        with sound.open("wb") as kept:
            read = lines.pieces(path, file.encoding)
            found = lines.sift(read, grammar, skip=known.lines, keep=kept.write)
        if found.rows:
            rows = held(con, _engine_reads(con, sound, known, header=False), large=is_large(sound))
        else:
            rows = hold(con, ibis.util.gen_name("no_rows"), pa.table({n: pa.array([], "string") for n in known.names}))
    bad = pd.DataFrame(found.bad, columns=["line", "reason", "text"]).astype({"line": "int64"})
    return Found(
        rows,
        bad,
        stated=_stated(path, known),
        lines=lambda numbers, _: {n: found.line_of(n) for n in numbers},
        large=is_large(path),
    )


def _lines_of(path: Path, known: Header, count: int, numbers: list[int], rows: int) -> dict[int, int]:
    """Lines of rows of a sound file: read again only where rows are not lines."""
    if count == rows + known.lines:
        return {n: n + known.lines for n in numbers}
    grammar = lines.grammar(known.separator, len(known.names))
    found = lines.sift(lines.pieces(path, "utf-8"), grammar, skip=known.lines)
    return {n: found.line_of(n) for n in numbers}


def _stated(path: Path, known: Header) -> tuple[Sentence, ...]:
    if not known.detected:
        return ()
    values = {"file": path.name, "mark": dialect.shown(known.separator)}
    return (Sentence("The fields of {file} are separated by {mark}: this was found, not declared.", values),)
