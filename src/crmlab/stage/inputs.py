"""Canonical inputs, stored once by content, so that a published stage can always be executed again.

A dated table is stored a calendar month a file; what a stage may see of it is the whole months before its cut and one
file for the month of the cut. Adding a month, or a cycle, therefore changes no earlier file.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis
import pandas as pd

from crmlab.contract import Fault, Refused
from crmlab.data.schema import SCHEMA

Files = dict[str, list[str]]
"""Table → the digests of its files, in the order of months."""


def connect() -> ibis.BaseBackend:
    """A DuckDB in memory, its time zone and threads pinned."""
    con = ibis.duckdb.connect(threads=2)
    con.raw_sql("SET TimeZone = 'UTC'")
    con.raw_sql("SET preserve_insertion_order = true")
    return con


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        finally:
            con.raw_sql(f"SET threads = {threads}")
        digest = digest_of(staging)
        with staging.open("rb") as file:
            os.fsync(file.fileno())
        staging.rename(self.path(digest))
        return digest

    def read(self, files: Files, con: ibis.BaseBackend) -> dict[str, ibis.Table]:
        """The tables of `files`, in place, after checking each file against its digest.

        Raises
        ------
        Refused
            Naming every file that is missing or not what its name says.
        """
        wrong = []
        for table, digests in files.items():
            for digest in digests:
                path = self.path(digest)
                if not path.is_file():
                    wrong.append(Fault(table, f"{path.name} is missing from {self.folder}; restore it from a copy"))
                elif digest_of(path) != digest:
                    wrong.append(Fault(table, f"{path.name} was altered after it was stored; restore it from a copy"))
        if wrong:
            raise Refused("stored inputs", wrong)
        return {t: con.read_parquet([str(self.path(d)) for d in digests]) for t, digests in files.items()}


class Intake:
    """Canonical tables of one reading of the raw data, stored month by month as stages ask for them."""

    def __init__(
        self, tables: Mapping[str, ibis.Table], reading: pd.DataFrame, con: ibis.BaseBackend, *, notes: Any = ()
    ) -> None:
        self.con = con
        self.notes = list(notes)
        rows = ibis.memtable(reading.astype({"date": "datetime64[us]"}))
        self.reading = con.create_table("canonical_reading", rows, temp=True)
        # Kept in the engine, so that the raw files are parsed once whatever the number of stages.
        self.tables = {name: con.create_table(f"canonical_{name}", table, temp=True) for name, table in tables.items()}
        self._stored: dict[tuple[Path, str, str], list[str]] = {}

    @cached_property
    def campaigns(self) -> list[str]:
        """The campaigns that contacts know, whenever sent."""
        if "contacts" not in self.tables:
            return []
        return sorted(self.tables["contacts"].select("campaign_id").distinct().campaign_id.to_pandas())

    def store(self, store: Store, through: date) -> Files:
        """Store what is visible on `through` and return its files."""
        return {name: digests for name in sorted(self.tables) if (digests := self._table(store, name, through))}

    def contacts_of(self, store: Store, campaigns: tuple[str, ...]) -> list[str]:
        """Store the contacts of `campaigns`, whenever sent: what replay compares a list with."""
        if "contacts" not in self.tables or not campaigns:
            return []
        contacts = self.tables["contacts"]
        return [store.put(contacts.filter(contacts.campaign_id.isin(list(campaigns))), self.con)]

    def store_reading(self, store: Store) -> list[str]:
        """Store the account of what was read and set aside."""
        return [store.put(self.reading, self.con)]

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
        return self._stored[key]


def _any(table: ibis.Table) -> bool:
    return table.limit(1).count().to_pyarrow().as_py() > 0


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
