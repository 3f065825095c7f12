"""Canonical inputs, stored once by content, so that a published stage can always be executed again.

A dated table is stored a calendar month a file; what a stage may see of it is the whole months before its cut and one
file for the month of the cut. Adding a month, or a cycle, therefore changes no earlier file. Only erasing a person
does; ``replaced.json`` then says by which file an earlier one was replaced, so that what names it stays valid.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis
import pandas as pd

from crmlab.contract import Fault, Refused
from crmlab.data.schema import SCHEMA
from crmlab.data.totals import campaigns
from crmlab.stage.content import digest_of, place_whole, read_sealed, write_sealed, wrong
from crmlab.stage.folder import lives
from crmlab.stage.people import keep_people, people
from crmlab.stage.quarantine import COLUMNS, PLACE, as_csv, keep_quarantine

Files = dict[str, list[str]]
"""Table → the digests of its files, in the order of months."""


def connect() -> ibis.BaseBackend:
    """A DuckDB in memory, its time zone and threads pinned; what does not fit goes to the folder of temporary files."""
    con = ibis.duckdb.connect(threads=2)
    con.raw_sql("SET TimeZone = 'UTC'")
    con.raw_sql("SET preserve_insertion_order = true")
    con.raw_sql(f"SET temp_directory = '{_quoted(_spill())}'")
    return con


def _spill() -> Path:
    """The folder for what does not fit into memory, for nobody else to read; what killed processes left is removed."""
    folder = Path(tempfile.gettempdir())
    for left in folder.glob("crmlab-*.spill"):
        process = left.name.removeprefix("crmlab-").removesuffix(".spill")
        if process.isdigit() and not lives(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    own = folder / f"crmlab-{os.getpid()}.spill"
    own.mkdir(mode=0o700, exist_ok=True)
    atexit.unregister(_remove_empty)
    atexit.register(_remove_empty, own)
    return own


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@dataclass(frozen=True)
class Store:
    """A folder of Parquet files named by their content."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Where the file of that content lies."""
        return self.folder / f"{digest}.parquet"

    def put(self, table: ibis.Table, con: ibis.BaseBackend) -> str:
        """Write `table`, its rows in the order of all their columns, and return its digest."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        staging = self.folder / f".staging-{os.getpid()}.parquet"
        query = ibis.to_sql(table.order_by([table[c] for c in table.columns]), dialect="duckdb")
        threads = con.raw_sql("SELECT current_setting('threads')").fetchall()[0][0]
        try:
            con.raw_sql("SET threads = 1")  # several threads would cut row groups as they come
            con.raw_sql(f"COPY ({query}) TO '{_quoted(staging)}' (FORMAT parquet, COMPRESSION zstd)")
            digest = digest_of(staging)
            # A file that is there already is left alone: were it damaged, it would be mended unseen.
            if not self.path(digest).exists():
                place_whole(staging, self.path(digest))
        finally:
            con.raw_sql(f"SET threads = {threads}")
            staging.unlink(missing_ok=True)
        return digest

    def read(self, files: Files, con: ibis.BaseBackend) -> dict[str, ibis.Table]:
        """The tables of `files`, in place, after checking each file against its digest.

        Raises
        ------
        Refused
            Naming every file that is missing or not what its name says.
        """
        if faults := self.faults(files):
            raise Refused("stored inputs", faults)
        there = self.standing(files)
        return {t: con.read_parquet([str(self.path(d)) for d in digests]) for t, digests in there.items()}

    def faults(self, files: Files) -> list[Fault]:
        """A fault for every file of `files` that is missing or not what its name says."""
        return [fault for digest in self.digests(files) for fault in wrong(self.path(digest), digest)]

    def digests(self, files: Files) -> list[str]:
        """The digests of all files of `files` as they are to be found after erasures, each once."""
        return list(dict.fromkeys(digest for digests in self.standing(files).values() for digest in digests))

    def standing(self, files: Files) -> Files:
        """`files` as they are to be found after erasures; a table of which nothing is left is gone."""
        replaced = self.replaced
        found = {table: [d for digest in digests if (d := _last(digest, replaced))] for table, digests in files.items()}
        return {table: digests for table, digests in found.items() if digests}

    @property
    def replaced(self) -> dict[str, dict[str, Any]]:
        """Digest of a file from which somebody was erased → ``now`` (of what is left, or None) and ``of`` (whom)."""
        return read_sealed(self.folder / "replaced.json", why="which stored inputs replace others")

    def replace(self, old: str, now: str | None, pseudonym: str) -> None:
        """Have `now` stand for `old`, from which `pseudonym` was erased."""
        write_sealed(self.folder / "replaced.json", self.replaced | {old: {"now": now, "of": pseudonym}})

    def erased_from(self, files: Files) -> set[str]:
        """The pseudonyms of those erased from any of `files` since it was stored."""
        replaced, found = self.replaced, set()
        for digest in (d for digests in files.values() for d in digests):
            while digest in replaced:
                found.add(replaced[digest]["of"])
                digest = replaced[digest]["now"]
        return found


class Intake:
    """Canonical tables of one reading of the raw data, stored month by month as stages ask for them.

    Parameters
    ----------
    tables
        Canonical tables under pseudonyms.
    reading
        The account of what was read and set aside.
    notes, schema
        What is said of the data, and the columns they have.
    people
        Who is behind the pseudonyms: pseudonym, customer_id.
    bad
        The lines set aside, as they were found.
    erased
        The pseudonyms of those whose rows are not in the tables.
    """

    def __init__(
        self,
        tables: Mapping[str, ibis.Table],
        reading: pd.DataFrame,
        con: ibis.BaseBackend,
        *,
        notes: Any = (),
        schema: Mapping[str, Mapping[str, str]] | None = None,
        people: pd.DataFrame | None = None,
        bad: pd.DataFrame | None = None,
        erased: Collection[str] = (),
    ) -> None:
        self.con = con
        self.notes = list(notes)
        self.schema = {name: dict(columns) for name, columns in (schema or {}).items()}
        self.erased = set(erased)
        self._people = people
        self._bad = pd.DataFrame(columns=COLUMNS) if bad is None else bad
        self.tables = dict(tables)
        rows = ibis.memtable(reading.astype({"date": "datetime64[us]"}))
        self.reading = con.create_table("canonical_reading", rows, temp=True)
        self._stored: dict[tuple[Path, str, str], list[str]] = {}

    @cached_property
    def campaigns(self) -> list[str]:
        """The campaigns that contacts know, whenever sent."""
        return sorted(campaigns(self.tables))

    def store(self, store: Store, through: date) -> Files:
        """Store what is visible on `through` and return its files."""
        return {name: digests for name in sorted(self.tables) if (digests := self._table(store, name, through))}

    def contacts_of(self, store: Store, named: tuple[str, ...]) -> list[str]:
        """Store the contacts of the campaigns `named`, whenever sent: what replay compares a list with."""
        if "contacts" not in self.tables or not named:
            return []
        contacts = self.tables["contacts"]
        rows = contacts.filter(contacts.campaign_id.isin(list(named)))
        return self._put(store, "contacts", f"of {', '.join(named)}", rows) if _any(rows) else []

    def store_reading(self, store: Store) -> list[str]:
        """Store the account of what was read and set aside."""
        return self._put(store, "reading", "whole", self.reading)

    def store_set_aside(self, store: Store) -> list[str]:
        """Store which lines were set aside: where they are and why, nothing that stands in them."""
        return [] if self._bad.empty else self._put(store, "set_aside", "whole", self._places)

    def keep_private(self, study_folder: Path) -> None:
        """Keep what names people, as only a run does that holds the study: the mapping, and the lines set aside."""
        if self._people is not None:
            before = people(study_folder)
            keep_people(study_folder, pd.concat([before[~before["pseudonym"].isin(self.erased)], self._people]))
        keep_quarantine(study_folder, self.quarantine)

    @cached_property
    def _places(self) -> ibis.Table:
        return self.con.create_table("places_set_aside", ibis.memtable(self._bad[list(PLACE)]), temp=True)

    @cached_property
    def quarantine(self) -> bytes:
        """The lines set aside as a file."""
        return as_csv(self._bad)

    @cached_property
    def quarantine_digest(self) -> str:
        """The name of that file; empty where no line was set aside."""
        return hashlib.sha256(self.quarantine).hexdigest() if self.quarantine else ""

    def _table(self, store: Store, name: str, through: date) -> list[str]:
        table, column = self.tables[name], self._dated(name)
        if name == "customers":
            return self._put(store, name, f"through {through}", self._known(through))
        if column is None:
            return self._put(store, name, "whole", table)
        # A row without a date (an objection nobody dated) is visible always.
        digests = self._put(store, name, "undated", undated) if _any(undated := table.filter(~column.notnull())) else []
        month = column.truncate("M").cast("date")
        months = table.filter(column <= through).select(month=month).distinct().order_by("month")
        for first in months.to_pandas()["month"]:
            first = pd.Timestamp(first).date()
            rows = table.filter((month == first) & (column <= through))
            whole = (first.year, first.month) != (through.year, through.month)
            digests += self._put(store, name, f"{first:%Y-%m}" + ("" if whole else f" through {through}"), rows)
        return digests

    def _dated(self, name: str) -> ibis.Column | None:
        """The column that places a table's rows in time, if it has it."""
        column = SCHEMA[name].date
        return self.tables[name][column] if column in self.tables[name].columns else None

    def _known(self, through: date) -> ibis.Table:
        """Customers acquired, or first seen in any dated table, by `through`."""
        customers = self.tables["customers"]
        if "acquired_on" in customers.columns:
            return customers.filter(customers.acquired_on <= through)
        seen = [
            t.filter(day <= through).select("customer_id")
            for n, t in sorted(self.tables.items())
            if (day := self._dated(n)) is not None and "customer_id" in t.columns
        ]
        return customers.semi_join(ibis.union(*seen, distinct=True), "customer_id") if seen else customers

    def _put(self, store: Store, name: str, part: str, rows: ibis.Table) -> list[str]:
        key = (store.folder, name, part)
        if key not in self._stored:
            self._stored[key] = [store.put(rows, self.con)]
        return list(self._stored[key])


def _last(digest: str, replaced: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What a file's digest stands for after erasures."""
    while digest in replaced:
        digest = replaced[digest]["now"]
    return digest


def _any(table: ibis.Table) -> bool:
    return table.limit(1).count().to_pyarrow().as_py() > 0


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
