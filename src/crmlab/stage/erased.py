"""People erased on request: whom nothing below the intake may see again, known by their pseudonyms alone."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa

from crmlab.contract import Fault, Refused
from crmlab.data.checking import KEPT
from crmlab.data.raw import hold
from crmlab.data.schema import SCHEMA
from crmlab.stage.content import read_sealed, write_sealed
from crmlab.stage.folder import Published
from crmlab.stage.inputs import Store
from crmlab.stage.keys import fingerprint

WHY = "whom not to contact again"


def erased(study_folder: Path, key: bytes | None = None) -> set[str]:
    """The pseudonyms of those erased.

    Raises
    ------
    Refused
        When the file was altered or is gone, or `key` is not the one under which people were erased: it would not
        know them.
    """
    path = study_folder / "erased.json"
    said = read_sealed(path, why=WHY)
    if said and key is not None and said["key"] != fingerprint(key):
        what = "was written under another key (in replay: another seed), and only that one knows those erased; keep it"
        raise Refused(path.name, [Fault(str(path), what)])
    known = set(said.get("people", {}))
    if {rewritten["of"] for rewritten in Store(study_folder / "inputs").replaced.values()} - known:
        what = f"is gone, or older than the last erasure; restore it from a copy, for it says {WHY}"
        raise Refused(path.name, [Fault(str(path), what)])
    return known


def erased_addresses(study_folder: Path) -> set[str]:
    """The marks of the addresses of those erased (`crmlab.stage.people.address_mark`)."""
    return set(read_sealed(study_folder / "erased.json", why=WHY).get("addresses", ()))


def erase(study_folder: Path, pseudonym: str, key: bytes, today: date, addresses: Iterable[str] = ()) -> None:
    """Put a person, and the marks of their addresses, among those erased."""
    path = study_folder / "erased.json"
    said = read_sealed(path, why=WHY)
    people = {pseudonym: str(today)} | said.get("people", {})
    marks = sorted({*said.get("addresses", ()), *addresses})
    write_sealed(path, {"key": fingerprint(key), "people": people, "addresses": marks})


def without(
    tables: Mapping[str, ibis.Table], gone: Iterable[str], con: ibis.BaseBackend
) -> tuple[dict[str, ibis.Table], pd.DataFrame]:
    """The tables without the rows of `gone`, and how many each loses: table, date, rows."""
    result, lost = dict(tables), []
    named = pa.table({"customer_id": pa.array(sorted(gone), pa.string())})
    for name, table in tables.items():
        if not named.num_rows or "customer_id" not in table.columns:
            continue
        them = hold(con, "erased", named)
        column = SCHEMA[name].date
        day = table[column] if column in table.columns else ibis.null("date")
        rows = table.mutate(date_of_row=day).semi_join(them, "customer_id")
        counts = rows.group_by(date="date_of_row").agg(rows=lambda t: t.count()).to_pandas()
        if counts.empty:
            continue
        result[name] = con.create_table(f"others_{name}", table.anti_join(them, "customer_id"), temp=True)
        lost.append(counts.assign(table=name, date=pd.to_datetime(counts["date"]).astype("datetime64[s]")))
    empty = pd.DataFrame({"table": [], "date": pd.to_datetime([]).astype("datetime64[s]"), "rows": []})
    return result, pd.concat(lost)[["table", "date", "rows"]] if lost else empty


def accounted(reading: pd.DataFrame, lost: pd.DataFrame) -> pd.DataFrame:
    """The account of a reading as if those erased had never been in it: a count of them would tell of one person."""
    if lost.empty:
        return reading
    parts = [reading, lost.assign(reason=KEPT, rows=-lost["rows"])]
    whole = pd.concat(parts, ignore_index=True).astype({"rows": "int64"})
    counted = whole.groupby(["table", "date", "reason"], dropna=False, sort=False, as_index=False)["rows"].sum()
    return counted[counted["rows"] != 0][reading.columns].reset_index(drop=True)


@dataclass(frozen=True)
class Seen(Published):
    """A published stage as a later one sees it: without the rows of people erased since."""

    gone: frozenset[str] = frozenset()

    def table(self, name: str) -> pd.DataFrame:
        """One of its tables, without their rows."""
        return others(super().table(name), self.gone)


def others(table: pd.DataFrame, gone: Collection[str]) -> pd.DataFrame:
    """A published table without the rows of `gone`."""
    if not gone or "customer_id" not in table.columns:
        return table
    return table[~table["customer_id"].isin(gone)].reset_index(drop=True)
