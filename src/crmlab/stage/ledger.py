"""What was delivered so far, and to whom: contact caps, comparisons and later deliveries rest on it.

A delivery is a folder ``deliveries/<nnn>``, written whole beside its place and renamed. Its list, adds and removes hold
identity and may be deleted once they were sent; its manifest and its tables of pseudonyms stay. A delivery from which
somebody was erased is written again as ``<nnn>.r2``; the newest revision counts.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from crmlab.contract import Fault, Refused
from crmlab.data.raw import hold
from crmlab.data.schema import SCHEMA, TYPES
from crmlab.stage.content import digest_of, flush, read_sealed, write_sealed, write_whole, wrong
from crmlab.trials.assignment import CONTROL

COLUMNS = {
    "customer_id": "str",
    "campaign_id": "str",
    "arm": "str",
    "sent_at": "datetime64[s]",
    "channel": "str",
    "cost": "float64",
    "delivered_on": "datetime64[s]",
}
"""Columns of the ledger and their types; customers under their pseudonyms."""

LIST, ADDS, REMOVES = "list.csv", "adds.csv", "removes.csv"
SENT = (LIST, ADDS, REMOVES)
"""The files with identity, for the sender."""

LEDGER, ROWS = "ledger.parquet", "rows.parquet"


@dataclass(frozen=True)
class Delivered:
    """A delivery: its folder and its manifest, whose own digest was checked."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def number(self) -> str:
        """Its number, ``001`` and so on."""
        return self.folder.name.partition(".")[0]

    @property
    def delivered_on(self) -> date:
        """The day of delivery."""
        return date.fromisoformat(self.manifest["delivered_on"])

    @property
    def ledger(self) -> pd.DataFrame:
        """Who was contacted by it and who was withheld: `COLUMNS`."""
        return pd.read_parquet(self._checked(LEDGER)).astype(COLUMNS)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Who stands on which row: file, row (0 is the first below the header), customer_id (pseudonym), address.

        The address is a mark (`crmlab.stage.people.address_mark`): it is known again, whoever has it then.
        """
        kinds = {"file": "str", "row": "int64", "customer_id": "str", "address": "str"}
        return pd.read_parquet(self._checked(ROWS)).astype(kinds)

    def people(self, file: str) -> set[str]:
        """The pseudonyms of those in one of its files, also where that file was deleted since."""
        rows = self.rows
        return set(rows.loc[rows["file"] == file, "customer_id"])

    @property
    def reached(self) -> set[tuple[str, str]]:
        """Who was named to the sender, and the mark of the address at which they were."""
        rows = self.rows
        return set(zip(rows["customer_id"], rows["address"], strict=True))

    def altered(self) -> list[Fault]:
        """A fault for each file that is not what was delivered; that a file for the sender is gone is none."""
        return [fault for name in self.manifest["files"] for fault in self._wrong(name)]

    def _wrong(self, name: str) -> list[Fault]:
        path = self.folder / name
        return [] if name in SENT and not path.exists() else wrong(path, self.manifest["files"][name])

    def _checked(self, name: str) -> Path:
        if faults := self._wrong(name):
            raise Refused("deliveries", faults)
        return self.folder / name


def deliveries(study_folder: Path) -> list[Delivered]:
    """All deliveries of a study in the order in which they were made.

    Raises
    ------
    Refused
        Naming every delivery whose manifest is missing or was altered.
    """
    folders, found = _folders(study_folder), []
    numbers = {int(number) for number in folders}
    gone = sorted(set(range(1, max(numbers, default=0))) - numbers)
    faults = [Fault(str(study_folder / "deliveries" / f"{n:03d}"), "is missing; restore it from a copy") for n in gone]
    for folder in (revisions[-1] for revisions in folders.values()):
        try:
            manifest = read_sealed(folder / "manifest.json", why="whom not to contact again")
        except Refused as refused:
            faults += refused.faults
            continue
        if manifest:
            found.append(Delivered(folder, manifest))
        else:
            faults.append(Fault(str(folder / "manifest.json"), "is missing; restore it from a copy"))
    if faults:
        raise Refused("deliveries", faults)
    return found


def altered_deliveries(study_folder: Path) -> list[Fault]:
    """A fault for every file of every delivery that is not what was delivered."""
    try:
        return [fault for delivery in deliveries(study_folder) for fault in delivery.altered()]
    except Refused as refused:
        return refused.faults


def ledger(study_folder: Path) -> pd.DataFrame:
    """Everybody contacted by a delivery, or withheld from it (arm ``control``): `COLUMNS`, sorted.

    `sent_at` is the first day of the protocol's window, the same for contacted and withheld; `delivered_on` the day
    of the delivery itself.
    """
    parts = [delivery.ledger for delivery in deliveries(study_folder)]
    if not parts:
        return pd.DataFrame({c: pd.Series([], dtype=kind) for c, kind in COLUMNS.items()})
    return pd.concat(parts).sort_values(["campaign_id", "customer_id"], ignore_index=True)


def delivered(study_folder: Path, cycle: str) -> bool:
    """Whether a list of the cycle was ever delivered."""
    return any(delivery.manifest["cycle"] == cycle for delivery in deliveries(study_folder))


def with_ledger(contacts: ibis.Table | None, ledger: pd.DataFrame, con: ibis.BaseBackend) -> ibis.Table | None:
    """The contacts of a live study: those imported and those of its own deliveries.

    A contact that the sender's log only repeats is dropped; one that contradicts the ledger, as a contact of somebody
    withheld does, stays beside it, so that the re-analysis sees both. Every column of the canonical table is there,
    whether or not anything was delivered yet: a first delivery changes no earlier month.
    """
    if contacts is None and ledger.empty:
        return None
    kinds = {column: TYPES[kind] for column, kind in SCHEMA["contacts"].columns.items()}

    def whole(table: ibis.Table) -> ibis.Table:
        return table.select(**{c: (table[c] if c in table.columns else ibis.null()).cast(k) for c, k in kinds.items()})

    if ledger.empty:
        return whole(contacts)
    rows = ledger.drop(columns="delivered_on")
    own = whole(hold(con, "ledger_of_deliveries", pa.Table.from_pandas(rows, preserve_index=False)))
    if contacts is None:
        return own
    imported = whole(contacts)
    imported = imported.mutate(
        withheld=imported.arm.fill_null("") == CONTROL, outbound=imported.direction.fill_null("") != "inbound"
    )
    known = own.select("customer_id", "campaign_id", withheld=own.arm == CONTROL, outbound=ibis.literal(True))
    kept = imported.anti_join(known, ["customer_id", "campaign_id", "withheld", "outbound"])
    return ibis.union(own, kept.drop("withheld", "outbound"))


def deliver(
    study_folder: Path, manifest: Mapping[str, Any], *, texts: Mapping[str, str], tables: Mapping[str, pd.DataFrame]
) -> Delivered:
    """Write a delivery beside its place and rename it there: it is whole, or it is not.

    Parameters
    ----------
    study_folder
        Folder of the study, whose lock is held.
    manifest
        What is stated of it; the digests of its files and its own are added.
    texts, tables
        File name → what it holds.
    """
    numbers = [int(number) for number in _folders(study_folder)]
    final = study_folder / "deliveries" / f"{max(numbers, default=0) + 1:03d}"
    return _publish(final, manifest, texts, tables)


def addresses_of(study_folder: Path, pseudonym: str) -> set[str]:
    """The marks of the addresses at which a person was delivered."""
    told = {at for delivery in deliveries(study_folder) for at in delivery.reached}
    return {mark for customer, mark in told if customer == pseudonym and mark}


def forget_in_deliveries(study_folder: Path, pseudonym: str) -> int:
    """Erase a person from every delivery, and return from how many; once more is no harm.

    Each is written again as its next revision, the old one then deleted: killed in between, the newest counts.
    """
    changed = 0
    for delivery in deliveries(study_folder):
        ledger, rows = delivery.ledger, delivery.rows
        mine = rows[rows["customer_id"] == pseudonym]
        if mine.empty and not (ledger["customer_id"] == pseudonym).any():
            continue
        texts = {}
        for name in SENT:
            path = delivery.folder / name
            if path.is_file():
                gone = {1 + row for row in mine.loc[mine["file"] == name, "row"]}
                lines = delivery._checked(name).read_bytes().decode("utf-8").split("\n")
                texts[name] = "\n".join(line for at, line in enumerate(lines) if at not in gone)
        others = rows[rows["customer_id"] != pseudonym].copy()
        others["row"] = others.groupby("file")["row"].rank(method="first").astype("int64") - 1
        tables = {LEDGER: ledger[ledger["customer_id"] != pseudonym], ROWS: others}
        revision = int(delivery.folder.name.partition(".r")[2] or 1) + 1
        manifest = {**delivery.manifest, "erased": delivery.manifest.get("erased", 0) + 1}
        _publish(delivery.folder.with_name(f"{delivery.number}.r{revision}"), manifest, texts, tables)
        changed += 1
    replaced = [old for folders in _folders(study_folder).values() for old in folders[:-1]]
    for left in [*replaced, *(study_folder / "deliveries").glob(".staging-*")]:
        shutil.rmtree(left)
    return changed


def _folders(study_folder: Path) -> dict[str, list[Path]]:
    """Number → its revisions, oldest first; numbers in order."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for folder in (study_folder / "deliveries").glob("*"):
        if match := re.fullmatch(r"([0-9]{3,})(?:\.r([0-9]+))?", folder.name):
            found.setdefault(match[1], []).append((int(match[2] or 1), folder))
    return {number: [folder for _, folder in sorted(found[number])] for number in sorted(found, key=int)}


def _publish(
    final: Path, manifest: Mapping[str, Any], texts: Mapping[str, str], tables: Mapping[str, pd.DataFrame]
) -> Delivered:
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = final.with_name(f".staging-{final.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    try:
        for name, text in texts.items():
            write_whole(staged / name, text.encode("utf-8"))
        for name, table in tables.items():
            sink = pa.BufferOutputStream()
            table.reset_index(drop=True).to_parquet(sink, index=False)
            write_whole(staged / name, sink.getvalue().to_pybytes())
        own = {**manifest, "files": {path.name: digest_of(path) for path in sorted(staged.iterdir())}}
        write_sealed(staged / "manifest.json", own)
        staged.rename(final)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    flush(final.parent)
    flush(final.parent.parent)
    return Delivered(final, own)
