"""Open a study's own files and databases as raw tables, and give their columns canonical names."""

import glob
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from crmlab.contract import Fault, Sentence
from crmlab.data.convert import How
from crmlab.data.held import is_large
from crmlab.data.params import FileParams
from crmlab.data.paths import inside
from crmlab.data.raw import LINE, LOST, SET_ASIDE, Found
from crmlab.data.schema import IDENTITY, PRODUCT, SCHEMA, identifies
from crmlab.data.text import open_text

TEXT = (".csv", ".txt", ".tsv")
OTHER = " of the file"
"""Added to the name of a column that is not the canonical one it is called after."""


@dataclass(frozen=True)
class Opened:
    """A raw table whose columns have canonical names, and how its values are to be read.

    Parameters
    ----------
    rows
        All its columns: canonical ones, further ones under their own names, and `LINE` where rows carry it.
    further
        Those of the further columns that are kept as covariates.
    names
        Canonical name → name in the file.
    shown
        What to call the file.
    """

    found: Found
    rows: ibis.Table
    further: tuple[str, ...]
    names: dict[str, str]
    how: How
    shown: str
    stated: tuple[Sentence, ...] = ()


def open_raw(
    con: ibis.BaseBackend,
    table: str,
    file: FileParams,
    folder: Path,
    *,
    root: Path | None = None,
    carefully: bool = False,
) -> Found | list[Fault]:
    """The raw table under the names it has where it was found, or the faults that prevent it.

    Parameters
    ----------
    folder
        Where the paths of files start.
    root
        The folder that no path may leave; default: that of the study.
    carefully
        Read every line of a text file here and not in the engine, which fails on lines that are no rows.
    """
    where = f"files.{table}"
    if file.database is not None:
        from crmlab.data.databases import open_database

        return open_database(con, file, where, folder, root=root)
    path = inside(file.path, folder, f"{where}.path", root=root)
    if isinstance(path, list):
        return path
    suffix = path.with_suffix("").suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix in TEXT:
        return open_text(con, path, file, where, carefully=carefully)
    if path.suffix.lower() == ".parquet":
        return _open_parquet(con, path, where)
    from crmlab.data.workbook import WORKBOOKS, open_workbook

    if path.suffix.lower() in WORKBOOKS:
        return open_workbook(con, path, file, where)
    what = f"{path.name} is neither .csv, .txt, .tsv (or these with .gz) nor .parquet nor .xlsx"
    return [Fault(f"{where}.path", what)]


def _open_parquet(con: ibis.BaseBackend, path: Path, where: str) -> Found | list[Fault]:
    if twice := _twice(path):
        what = f"{path.name} has columns that cannot be told apart: {twice}; rename one where the file is made"
        return [Fault(where, what)]
    try:
        rows = con.read_parquet(glob.escape(str(path)), file_row_number=True)
    except (duckdb.Error, OSError) as error:
        return [Fault(where, f"{path.name} cannot be read: {str(error).strip().splitlines()[0]}")]
    numbered = rows.rename({LINE: "file_row_number"})
    return Found(numbered.mutate(**{LINE: numbered[LINE] + 1}), large=is_large(path))


def _twice(path: Path) -> str:
    """Names of columns that the engine would change, for it minds no case and numbers the rows itself."""
    try:
        ours, names = ["file_row_number", LINE], pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return ""
    folded = [name.casefold() for name in (*ours, *names)]
    return ", ".join(repr(name) for name in names if folded.count(name.casefold()) > 1)


def named(table: str, found: Found, file: FileParams, time_zone: str) -> Opened | list[Fault]:
    """`found` under canonical names, or the faults in its columns."""
    shown = Path(file.path).name if file.path else f"{file.table} of {file.database}"
    there = [c for c in found.rows.columns if c != LINE and c not in file.dropped]
    faults = []
    for canonical, name in file.columns.items():
        if name not in there:
            close = get_close_matches(name, there, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {_listed(there)}"
            faults.append(Fault(f"files.{table}.columns.{canonical}", f"{shown} has no column {name!r}; {hint}"))
    if faults:
        return faults
    schema, mapped = SCHEMA[table], set(file.columns.values())
    own = [c for c in there if c not in mapped]
    # A further column may be called after a canonical one, or one of ours, or differ from it in case alone: the engine
    # knows no case.
    taken = {c.casefold() for c in file.columns} | {c for c in schema.columns if c in own}
    taken |= {SET_ASIDE, *(LOST + c for c in schema.columns)}
    names = dict(file.columns)
    for column in own:
        canonical = column in schema.columns and column not in file.columns
        names[column if canonical or column.casefold() not in taken else column + OTHER] = column
    further = [c for c in names if schema.open and c not in schema.columns and not c.endswith(OTHER)]
    left_out = [c for c in further if c not in IDENTITY and c not in file.columns and identifies(c)]
    kept = tuple(c for c in further if c not in IDENTITY and c not in left_out)
    rows = found.rows.select(
        **{c: found.rows[name] for c, name in sorted(names.items(), key=lambda item: there.index(item[1]))},
        **({LINE: found.rows[LINE]} if found.lines is None else {}),
    )
    how = How(file.date_format, file.decimal or ".", file.thousands, file.hours, time_zone)
    stated = found.stated
    if multiplied(table, rows.columns):
        stated += (Sentence("No column of {file} is an amount: it is quantity times price.", {"file": shown}),)
    if left_out:
        said = "Columns of {file} that seem to say who somebody is, by their names, are not read: {columns}."
        stated += (Sentence(said, {"file": shown, "columns": ", ".join(left_out)}),)
    return Opened(found, rows, kept, names, how, shown, stated)


def missing(table: str, columns: tuple[str, ...], where: str, shown: str = "the source") -> list[Fault]:
    """Faults for required columns that are not among `columns` of what is called `shown`."""
    schema, given = SCHEMA[table], [c.removesuffix(OTHER) for c in columns if c != LINE]
    absent = [c for c in schema.required if c not in columns]
    if multiplied(table, columns):
        absent.remove("amount")
    if schema.any_of and not set(schema.any_of) & set(columns):
        absent.append(schema.any_of[0])
    faults = []
    for column in absent:
        close = get_close_matches(column, given, n=1, cutoff=0.4)
        hint = "map it in columns"
        if close:
            written = close[0] if re.fullmatch(r"[A-Za-z][\w -]*\w", close[0]) else json.dumps(close[0])
            hint = f"if it is {close[0]!r}, say so: columns: {{{column}: {written}}}"
        faults.append(Fault(f"{where}.{column}", f"no such column in {shown}, which has {_listed(given)}; {hint}"))
    return faults


def multiplied(table: str, columns: Sequence[str]) -> bool:
    """Whether the amount of a line is its quantity times its price: no column holds it, and both of these are there."""
    return table == "transactions" and "amount" not in columns and set(PRODUCT) <= set(columns)


def _listed(names: Sequence[str], most: int = 40) -> str:
    """The names as one may read them: not too many, none too long."""
    some = [name if len(name) <= most else f"{name[:most]}…" for name in names[:most]]
    return ", ".join(some) + (f" and {len(names) - most:,} more" if len(names) > most else "")
