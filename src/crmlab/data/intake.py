"""From raw tables to canonical ones: open, convert, check, set aside, and account for every row."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import ibis
import pandas as pd

from crmlab.contract import Fault, Refused, Sentence
from crmlab.data import rules
from crmlab.data.checking import ACCOUNT, KEPT, Checked, checked
from crmlab.data.consents import wide
from crmlab.data.convert import How
from crmlab.data.dialect import decimal_mark
from crmlab.data.files import Opened, missing, named, open_raw
from crmlab.data.held import held
from crmlab.data.params import DataParams, FileParams
from crmlab.data.paths import declared
from crmlab.data.raw import SET_ASIDE
from crmlab.data.refusal import look_alikes, mixed_marks, too_bad, undated
from crmlab.data.schema import SCHEMA, TYPES, Tables, identifies
from crmlab.data.sources import SOURCES
from crmlab.data.totals import people_of

__all__ = ["KEPT", "Intake", "cut", "read", "read_all"]

BAD_COLUMNS = ["table", "file", *ACCOUNT]
NOTHING = pd.DataFrame(
    {"table": [], "date": pd.array([], "datetime64[s]"), "reason": [], "rows": pd.array([], "int64")}
)
"""The account of a study of which no table could be opened."""


def _none_bad() -> pd.DataFrame:
    return pd.DataFrame(columns=BAD_COLUMNS).astype({"line": "int64"})


@dataclass(frozen=True)
class Intake:
    """Canonical tables and an account of how they were read.

    Parameters
    ----------
    tables
        Kept rows of all dates, not cut at any cycle's ``as_of``; of a known source lazily read in place.
    reading
        One row a table, date and reason: ``table``, ``date`` (datetime64, missing where there is none), ``reason``
        (``kept`` or why rows were set aside: marked words), ``rows`` (int64).
    notes
        Licence, assumptions and traps, and what was detected and not declared, for the page.
    extracted_on
        Last day the data cover; None where nobody said.
    bad
        The rows set aside as bad, one by one: ``table``, ``file``, ``line`` (0: unknown), ``reason``, ``column`` (as
        the file calls it; empty: the whole line), ``found`` (never of columns that identify), ``customer_id``, ``text``
        (the whole row; for nobody's eyes but those who mend it).
    people
        Table → one row a customer, `people_of` it, where that was needed already.
    """

    tables: Tables
    reading: pd.DataFrame
    notes: tuple[Sentence, ...] = ()
    extracted_on: date | None = None
    bad: pd.DataFrame = field(default_factory=_none_bad)
    people: Tables = field(default_factory=dict)


def read(
    params: DataParams,
    *,
    folder: Path,
    con: ibis.BaseBackend,
    name: str = "data",
    time_zone: str = "UTC",
) -> Intake:
    """Read a study's data into canonical tables.

    Parameters
    ----------
    params
        A known source, or files.
    folder
        Folder of the params file, to which paths are relative.
    con
        The engine in which the tables live (DuckDB).
    name
        What the faults are attributed to, for example the params file.
    time_zone
        Where days are days: time stamps that say how far they are from Greenwich are set to it.

    Raises
    ------
    Refused
        With all faults of all tables: a missing file or column, unreadable text, too many bad rows.
    """
    intake, faults = read_all(params, folder=folder, con=con, time_zone=time_zone)
    if faults:
        raise Refused(name, faults)
    return intake


def read_all(
    params: DataParams,
    *,
    folder: Path,
    con: ibis.BaseBackend,
    time_zone: str = "UTC",
    lean: bool = False,
) -> tuple[Intake, list[Fault]]:
    """As `read`, but the faults are returned beside whatever could be read in spite of them.

    If `lean`, texts that no row must have are left out, where these do not matter to the check.
    """
    con.raw_sql("SET TimeZone = 'UTC'")
    taken = _Taken(con, params, params.extracted_on, lean)
    if params.source is not None:
        _from_source(taken, time_zone)
    else:
        _from_files(taken, folder, time_zone)
    bad = pd.concat(taken.bad, ignore_index=True)[BAD_COLUMNS] if taken.bad else _none_bad()
    tables = rules.never_lost({table: taken.tables[table] for table in SCHEMA if table in taken.tables}, bad)
    if not taken.faults:
        taken.notes += rules.across(tables | taken.people)
    reading = pd.concat(taken.counts or [NOTHING])
    reading = reading.groupby(["table", "date", "reason"], dropna=False, sort=False)["rows"].sum().reset_index()
    places = {table: place for place, table in enumerate(SCHEMA)}
    order = {"by": ["table", "date", "reason"], "key": lambda c: c.map(places) if c.name == "table" else c}
    reading = reading.sort_values(**order, na_position="last", ignore_index=True)
    return Intake(tables, reading, tuple(taken.notes), taken.last, bad, taken.people), taken.faults


def cut(table: ibis.Table, name: str, through: date) -> ibis.Table:
    """Rows of the canonical table `name` dated on or before `through`; a table without dates whole."""
    column = SCHEMA[name].date
    return table if column is None or column not in table.columns else table.filter(table[column] <= through)


@dataclass
class _Taken:
    """What has been read so far."""

    con: ibis.BaseBackend
    params: DataParams
    last: date | None
    lean: bool
    tables: Tables = field(default_factory=dict)
    people: Tables = field(default_factory=dict)
    counts: list[pd.DataFrame] = field(default_factory=list)
    bad: list[pd.DataFrame] = field(default_factory=list)
    notes: list[Sentence] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def anonymous(self) -> bool:
        """Whether lines that name nobody are declared to be as they should."""
        return self.params.anonymous == "set_aside"

    def add(self, name: str, found: Checked, file: str, names: dict[str, str]) -> None:
        """One more table, or more rows of one."""
        own = found.kept
        if name in self.tables:
            earlier = self.tables[name]
            columns = [c for c in SCHEMA[name].columns if c in {*own.columns, *earlier.columns}]
            own = ibis.union(*(_with(t, columns, name) for t in (earlier, own)))
        self.tables[name] = own
        self.counts.append(found.counts.assign(table=name))
        if len(found.bad):
            columns = found.bad["column"].map(lambda c: names.get(c, c))
            self.bad.append(found.bad.assign(table=name, file=file, column=columns))
        self.notes += found.notes


def _with(table: ibis.Table, columns: list[str], name: str) -> ibis.Table:
    kinds = SCHEMA[name].columns
    return table.select(**{c: table[c] if c in table.columns else ibis.null(TYPES[kinds[c]]) for c in columns})


def _from_source(taken: _Taken, time_zone: str) -> None:
    raw = SOURCES[taken.params.source].read(taken.con, taken.params.source_options())
    taken.last = taken.last or raw.extracted_on
    taken.notes += raw.notes
    for name in (t for t in SCHEMA if t in raw.tables):
        rows, consents = wide(raw.tables[name]) if name == "customers" else (raw.tables[name], None)
        if absent := missing(name, rows.columns, name):
            taken.faults += absent
            continue
        how = How(raw.date_formats.get(name), time_zone=time_zone)
        for table, part in ((name, rows), ("consents", consents)):
            if part is None:
                continue
            own = {*SCHEMA[table].columns, SET_ASIDE}
            further = [c for c in part.columns if SCHEMA[table].open and c not in own and not identifies(c)]
            options = {"how": how, "further": further, "last": taken.last, "params": taken.params, "found": None}
            try:
                done = checked(taken.con, table, part, **options)
            except duckdb.InvalidInputException as error:
                taken.faults.append(Fault(table, f"cannot be read: {str(error).strip().splitlines()[0]}"))
                continue
            taken.faults += [*done.faults, *too_bad(table, done, table, how, None, anonymous=taken.anonymous)]
            taken.add(table, done, table, {})


def _from_files(taken: _Taken, folder: Path, time_zone: str) -> None:
    params, root = taken.params, None
    if params.folder is not None:
        base = declared(params.folder, folder)
        if isinstance(base, list):
            taken.faults += base
            return
        folder = root = base
    for name in (t for t in SCHEMA if t in params.files):
        file = params.files[name]
        found = open_raw(taken.con, name, file, folder, root=root)
        while not isinstance(found, list):
            opened = named(name, found, file, time_zone)
            if isinstance(opened, list):
                taken.faults += opened
                break
            if absent := missing(name, opened.rows.columns, f"files.{name}", opened.shown):
                taken.faults += absent
                break
            try:
                _file(taken, name, file, opened)
                break
            except duckdb.InvalidInputException as error:
                if found.carefully is None:
                    what = f"{opened.shown} cannot be read: {str(error).strip().splitlines()[0]}"
                    taken.faults.append(Fault(f"files.{name}", what))
                    break
                found = found.carefully()
        else:
            taken.faults += found


def _file(taken: _Taken, name: str, file: FileParams, opened: Opened) -> None:
    """Check the table of one file, and the consents that stand in customers."""
    kinds, rows, how, notes = SCHEMA[name].columns, opened.rows, opened.how, list(opened.stated)
    numbers = [c for c in rows.columns if kinds.get(c) in ("money", "number") and rows[c].type().is_string()]
    if numbers and file.decimal is None:
        mark = decimal_mark(rows, numbers)
        if mark is None:
            taken.faults.append(mixed_marks(rows, numbers, opened.shown, f"files.{name}"))
            return
        how = how._replace(decimal=mark)
        if mark == ",":
            said = "The decimal mark of {file} is a comma: this was found, not declared."
            notes.append(Sentence(said, {"file": opened.shown}))
    consents = None
    if name == "customers":
        rows, consents = wide(rows)
    if consents is not None:  # first, for where the engine fails on the file nothing may have been taken from it
        consents = held(taken.con, consents, large=opened.found.large)
    further = [c for c in opened.further if c in rows.columns]
    options = {"how": how, "last": taken.last, "params": taken.params, "found": opened.found, "lean": taken.lean}
    done = checked(taken.con, name, rows, further=further, **options)
    where = f"files.{name}"
    taken.faults += undated(done, rows, opened.shown, how, where)
    taken.faults += too_bad(where, done, opened.shown, how, file, opened.names, anonymous=taken.anonymous)
    taken.notes += notes
    if name == "transactions":
        reasons = done.counts.groupby("reason")["rows"].sum().to_dict()
        taken.faults += rules.refused(reasons, taken.params, opened.shown, done.lines)
        taken.people[name] = people_of(done.kept, taken.con)
        taken.notes += look_alikes(taken.people[name])
    taken.add(name, done, opened.shown, opened.names)
    if consents is not None:
        given = checked(taken.con, "consents", consents, further=(), **(options | {"found": None}))
        taken.faults += undated(given, consents, opened.shown, how, where)
        taken.add("consents", given, opened.shown, {})
