"""From raw tables to canonical ones: convert, check, set aside, and account for every row."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd

from crmlab.contract import Fault, Refused, Sentence, mark
from crmlab.data.convert import converted, covariate
from crmlab.data.files import open_file
from crmlab.data.params import DataParams
from crmlab.data.raw import SET_ASIDE, Raw
from crmlab.data.schema import IDENTITY, KEYS, SCHEMA, Tables
from crmlab.data.sources import SOURCES

KEPT = mark("kept")
NO_DATE = mark("no readable date")
NO_AMOUNT = mark("no readable amount")
NO_ID = mark("no customer id")
INCOMPLETE = mark("a required value is missing or unreadable")
TOO_LATE = mark("dated after the last day of the data")
REPEATED = mark("listed more than once")
REASONS = {"customer_id": NO_ID, "amount": NO_AMOUNT}

MOST_BAD = 0.05
"""A table with a larger share of bad rows than this is refused: something is wrong with how it is read."""


@dataclass(frozen=True)
class Intake:
    """Canonical tables and an account of how they were read.

    Parameters
    ----------
    tables
        Kept rows of all dates, lazily read from the source: not cut at any cycle's ``as_of``.
    reading
        One row a table, date and reason: ``table``, ``date`` (datetime64, missing where there is none), ``reason``
        (``kept`` or why rows were set aside: marked words), ``rows`` (int64).
    notes
        Licence, assumptions and traps, for the page.
    extracted_on
        Last day the data cover; None where nobody said.
    """

    tables: Tables
    reading: pd.DataFrame
    notes: tuple[Sentence, ...] = ()
    extracted_on: date | None = None


def read(
    params: DataParams, *, folder: Path, con: ibis.BaseBackend, extracted_on: date | None = None, name: str = "data"
) -> Intake:
    """Read a study's data into canonical tables.

    Parameters
    ----------
    params
        A known source, or files.
    folder
        Folder to which the paths of files are relative: that of the params file.
    con
        The engine in which the tables live (DuckDB).
    extracted_on
        Last day the raw data cover; takes precedence over that of `params` and of the source.
    name
        What the faults are attributed to, for example the params file.

    Raises
    ------
    Refused
        With all faults of all tables: a missing file or column, unreadable text, too many bad rows.
    """
    con.raw_sql("SET TimeZone = 'UTC'")
    if params.source is not None:
        raw, faults = SOURCES[params.source].read(con, params.source_options()), []
    else:
        raw, faults = _open_files(params, folder, con)
    last = extracted_on or params.extracted_on or raw.extracted_on
    tables, counts, notes = {}, [], list(raw.notes)
    for table in (t for t in SCHEMA if t in raw.tables):
        missing = _missing_columns(table, raw.tables[table])
        if missing:
            faults += missing
            continue
        try:
            checked = _checked(table, raw.tables[table], last, raw.date_formats.get(table))
            counted, lost = _counted(table, checked)
        except duckdb.Error as error:
            faults.append(Fault(table, f"cannot be read: {_first_line(error)}"))
            continue
        faults += _too_bad(table, counted, raw)
        counts.append(counted)
        notes += lost
        tables[table] = _kept(checked, every_row=set(counted["reason"]) == {KEPT})
    if faults:
        raise Refused(name, faults)
    return Intake(tables, pd.concat(counts, ignore_index=True), tuple(notes), last)


def cut(table: ibis.Table, name: str, through: date) -> ibis.Table:
    """Rows of the canonical table `name` dated on or before `through`; a table without dates whole."""
    column = SCHEMA[name].date
    return table if column is None or column not in table.columns else table.filter(table[column] <= through)


def _open_files(params: DataParams, folder: Path, con: ibis.BaseBackend) -> tuple[Raw, list[Fault]]:
    tables, formats, faults = {}, {}, []
    for table, file in params.files.items():
        opened = open_file(con, table, file, folder)
        if isinstance(opened, list):
            faults += opened
        else:
            tables[table] = opened
            if file.date_format:
                formats[table] = file.date_format
    return Raw(tables, date_formats=formats), faults


def _missing_columns(name: str, table: ibis.Table) -> list[Fault]:
    faults = []
    for column in SCHEMA[name].required:
        if column not in table.columns:
            close = get_close_matches(column, table.columns, n=1, cutoff=0.4)
            hint = f"if it is {close[0]!r}, say so: columns: {{{column}: {close[0]}}}" if close else "map it in columns"
            faults.append(Fault(f"{name}.{column}", f"no such column among {', '.join(table.columns)}; {hint}"))
    return faults


def _checked(name: str, raw: ibis.Table, last: date | None, date_format: str | None) -> ibis.Table:
    """`raw` converted, plus `set_aside` (reason or NULL) and `lost_<column>` (a given value that cannot be read)."""
    schema = SCHEMA[name]
    values = {c: converted(raw[c], kind, date_format) for c, kind in schema.columns.items() if c in raw.columns}
    lost = {f"lost_{c}": values[c].isnull() & _given(raw[c]) for c in _losable(name, values)}
    if schema.open:
        further = (c for c in raw.columns if c not in values and c not in (*IDENTITY, SET_ASIDE))
        values |= {c: covariate(raw, c) for c in further}
    own = raw[SET_ASIDE].cast("string") if SET_ASIDE in raw.columns else ibis.null("string")
    typed = raw.select(**values, **lost, set_aside=own)
    return typed.mutate(set_aside=_reason(name, typed, last))


def _losable(name: str, columns: Iterable[str]) -> list[str]:
    """Optional columns that are converted, so that a value may be lost."""
    schema = SCHEMA[name]
    return [c for c in columns if c in schema.columns and c not in schema.required and schema.columns[c] != "text"]


def _given(column: ir.Value) -> ir.BooleanValue:
    return (column.strip().nullif("") if column.type().is_string() else column).notnull()


def _reason(name: str, typed: ibis.Table, last: date | None) -> ir.StringValue:
    schema = SCHEMA[name]
    branches = [(typed.set_aside.notnull(), typed.set_aside)]
    for column in schema.required:
        reason = NO_DATE if schema.columns[column] == "date" else REASONS.get(column, INCOMPLETE)
        branches.append((typed[column].isnull(), ibis.literal(reason)))
    if last is not None and schema.date in typed.columns:
        branches.append((typed[schema.date] > last, ibis.literal(TOO_LATE)))
    if name in KEYS and not _unique(typed[KEYS[name]]):
        columns = [c for c in typed.columns if c != "set_aside"]
        order = [typed[c].asc(nulls_first=False) for c in columns]
        repeated = ibis.row_number().over(group_by=[typed[KEYS[name]], typed.set_aside], order_by=order)
        branches.append((repeated > 0, ibis.literal(REPEATED)))
    return ibis.cases(*branches, else_=ibis.null("string"))


def _unique(key: ir.Value) -> bool:
    return bool((key.count() == key.nunique()).as_scalar().execute())


def _counted(name: str, checked: ibis.Table) -> tuple[pd.DataFrame, list[Sentence]]:
    """Rows by date and reason, and a sentence for each optional column with values that could not be read."""
    column = SCHEMA[name].date
    day = checked[column] if column in checked.columns else ibis.null("date")
    lost = [c for c in checked.columns if c.startswith("lost_")]
    grouped = checked.group_by(date=day, reason=checked.set_aside.fill_null(KEPT))
    counts = grouped.agg(
        rows=lambda t: t.count(), **{c: (lambda t, c=c: t[c].cast("int64").sum().fill_null(0)) for c in lost}
    ).execute()
    counts["date"] = pd.to_datetime(counts["date"]).astype("datetime64[s]")
    counts = counts.sort_values(["date", "reason"], na_position="last", ignore_index=True)
    counts.insert(0, "table", name)
    sentences = [
        Sentence(
            "Values of {column} in {table} that could not be read and count as missing: {rows:,}.",
            {"rows": int(counts[c].sum()), "column": c.removeprefix("lost_"), "table": name},
            tone="warn",
        )
        for c in lost
        if counts[c].sum() > 0
    ]
    return counts.astype({"rows": "int64"})[["table", "date", "reason", "rows"]], sentences


def _too_bad(name: str, counted: pd.DataFrame, raw: Raw) -> list[Fault]:
    """A fault where too many rows are bad; what a source itself sets aside is a decision, not bad."""
    by_reason = counted.groupby("reason")["rows"].sum()
    bad = by_reason[by_reason.index.isin([NO_ID, NO_DATE, NO_AMOUNT, INCOMPLETE, TOO_LATE, REPEATED])]
    total = int(by_reason.sum())
    if total == 0:
        return [Fault(name, "holds no row")] if name == "transactions" else []
    if bad.sum() <= MOST_BAD * total:
        return []
    why = ", ".join(f"{rows:,} {reason}" for reason, rows in bad.sort_values(ascending=False).items())
    hint = "; declare date_format" if NO_DATE in bad.index and name not in raw.date_formats else ""
    return [Fault(name, f"{bad.sum():,} of {total:,} rows are bad ({why}), more than {MOST_BAD:.0%}{hint}")]


def _kept(checked: ibis.Table, *, every_row: bool) -> ibis.Table:
    columns = [c for c in checked.columns if c != "set_aside" and not c.startswith("lost_")]
    return (checked if every_row else checked.filter(checked.set_aside.isnull())).select(*columns)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
