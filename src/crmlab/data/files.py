"""Open a study's own files as tables of text under canonical names, read in place by the engine."""

import codecs
import csv
import gzip
from difflib import get_close_matches
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir

from crmlab.contract import Fault
from crmlab.data.convert import time_stamp
from crmlab.data.params import FileParams
from crmlab.data.schema import IDENTITY, SCHEMA

TEXT = (".csv", ".txt", ".tsv")


def open_file(con: ibis.BaseBackend, table: str, file: FileParams, folder: Path) -> ibis.Table | list[Fault]:
    """The file as a table under canonical names, or the faults that prevent it."""
    where = f"files.{table}.path"
    path = (folder / file.path).resolve()
    if not path.is_file():
        return [Fault(where, f"no such file: {path}{_nearby(path)}")]
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    try:
        if suffix in TEXT:
            raw = _text(con, path, file)
        elif suffix == ".parquet":
            raw = con.read_parquet(path)
        else:
            return [Fault(where, f"{path.name} is neither .csv, .txt, .tsv (or these with .gz) nor .parquet")]
    except (duckdb.Error, OSError, ValueError) as error:
        return [Fault(where, f"{path.name} cannot be read: {str(error).strip().splitlines()[0]}")]
    return _renamed(table, raw, file, path)


def _text(con: ibis.BaseBackend, path: Path, file: FileParams) -> ibis.Table:
    """Every field as text, nothing guessed: names from the first line, each line with as many fields."""
    header = _header(path, file)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"two columns are called {twice[0]!r}")
    return con.read_csv(
        path,
        columns=dict.fromkeys(header, "VARCHAR"),
        auto_detect=False,
        header=True,
        delim=file.separator,
        quote='"',
        escape='"',
        encoding=file.encoding,
    )


def _header(path: Path, file: FileParams) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    encoding = "utf-8-sig" if codecs.lookup(file.encoding).name == "utf-8" else file.encoding
    with opened(path, "rt", encoding=encoding, newline="") as text:
        return next(csv.reader(text, delimiter=file.separator), [])


def _renamed(table: str, raw: ibis.Table, file: FileParams, path: Path) -> ibis.Table | list[Fault]:
    faults = []
    for canonical, name in file.columns.items():
        if name not in raw.columns:
            close = get_close_matches(name, raw.columns, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(raw.columns)}"
            faults.append(Fault(f"files.{table}.columns.{canonical}", f"{path.name} has no column {name!r}; {hint}"))
    if faults:
        return faults
    schema = SCHEMA[table]
    names = {canonical: canonical for canonical in schema.columns if canonical in raw.columns}
    if schema.open:
        taken = set(file.columns.values())
        names |= {c: c for c in raw.columns if c not in taken and c not in IDENTITY}
    names |= file.columns
    return raw.select(
        **{c: _local(raw[name], schema.columns.get(c), file) for c, name in names.items() if c not in IDENTITY}
    )


def _local(column: ir.Value, kind: str | None, file: FileParams) -> ir.Value:
    """Decimal marks and clock of the file made those of the schema."""
    if column.type().is_string() and file.decimal == "," and kind in ("money", "number"):
        return column.replace(".", "!").replace(",", ".")
    if kind == "date" and file.hours:
        if column.type().is_string():
            column = time_stamp(column, file.date_format)
        if column.type().is_timestamp():
            return column + ibis.interval(hours=file.hours)
    return column


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (there is no folder {path.parent})"
    close = get_close_matches(path.name, sorted(p.name for p in path.parent.iterdir()), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
