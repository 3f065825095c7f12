"""Erasure of a person on request: `crmlab forget`."""

from datetime import date
from pathlib import Path

import duckdb
import ibis

from crmlab.contract import CrmlabError, Fault, Refused
from crmlab.data.addresses import place_of
from crmlab.data.identity import read_identity
from crmlab.data.schema import SCHEMA
from crmlab.stage.erased import erase, erased
from crmlab.stage.folder import altered_private, lock, named_inputs, stages_of
from crmlab.stage.inputs import Store, connect
from crmlab.stage.keys import known_key
from crmlab.stage.ledger import addresses_of, forget_in_deliveries
from crmlab.stage.people import address_mark, keep_people, people, pseudonym
from crmlab.stage.quarantine import forget_in_quarantine, named_in_quarantine
from crmlab.stage.sweeping import sweep_inputs
from crmlab.stage.taking import key_of
from crmlab.studies import the_study
from crmlab.study import StudyFile


def forget_customer(customer: str, *, study: Path | None, today: date) -> str:
    """Erase a customer and return what to tell the user.

    Their rows in stored inputs, deliveries and quarantine, and the mapping from their pseudonym to them, are destroyed;
    the pseudonym alone is kept, so that no later reading of the raw data brings them back. Pages and tables that were
    published stay. Killed at any moment, the same command finishes what was begun.

    Parameters
    ----------
    customer
        The id as it stands in the raw data.
    study
        The params file; None: the one of ``params/`` that knows the customer.
    today
        The day that is noted.

    Raises
    ------
    Refused
        No study knows the customer, or what is to be rewritten was altered.
    """
    customer = customer.strip()
    file = the_study(study, "that customer", lambda file: _knows(file, customer))
    study_folder = file.reports / file.study.study
    if not study_folder.is_dir():
        raise Refused("forget", f"{file.study.study} has no reports yet: nothing of that customer is kept")
    with lock(study_folder):
        key = key_of(file)
        if not _knows(file, customer):
            what = "has not read that customer, so it keeps nothing of them; check how the id is written"
            raise Refused("that customer", [Fault(file.study.study, what)])
        called = pseudonym(key, customer)
        done = called in erased(study_folder, key)
        if faults := _altered(study_folder):
            raise Refused("forget", faults)
        addresses = _addresses(file, customer)
        marks = {address_mark(key, place) for address in addresses if (place := place_of(address))}
        # First of all: from now on no reading brings them back, and doing it again finishes it.
        erase(study_folder, called, key, today, marks | addresses_of(study_folder, called))
        counts = {
            "stored input": _forget_in_inputs(study_folder, called),
            "delivery": forget_in_deliveries(study_folder, called),
            "file of lines set aside": _forget_set_aside(study_folder, {customer, *addresses}, called),
        }
        known = people(study_folder)
        if (known["pseudonym"] == called).any():
            keep_people(study_folder, known[known["pseudonym"] != called])
        sweep_inputs(study_folder)
    return _told(file, counts, done=done)


def _knows(file: StudyFile, customer: str) -> bool:
    """Whether a study has read the customer, or has erased them already."""
    study_folder = file.reports / file.study.study
    key = known_key(file.study)
    if key is None or not study_folder.is_dir():
        return False
    if pseudonym(key, customer) in erased(study_folder):
        return True
    return (people(study_folder)["customer_id"] == customer).any() or named_in_quarantine(study_folder, customer)


def _altered(study_folder: Path) -> list[Fault]:
    """Whatever would be rewritten and is not as it was written: it is to be mended first, not sealed anew."""
    store = Store(study_folder / "inputs")
    return [*altered_private(study_folder), *store.faults({"": list(_tables(study_folder, store))})]


def _tables(study_folder: Path, store: Store) -> dict[str, str]:
    """The digest of every stored input as it now stands → its table."""
    named = store.standing(named_inputs(*stages_of(study_folder)))
    return {digest: table for table, digests in named.items() for digest in digests}


def _forget_in_inputs(study_folder: Path, called: str) -> int:
    """Rewrite every stored input that holds the person; returns how many."""
    store, con, changed = Store(study_folder / "inputs"), connect(), 0
    for digest, table in _tables(study_folder, store).items():
        path = store.path(digest)
        rows = con.read_parquet(str(path))
        if "customer_id" not in rows.columns:
            continue
        left = rows.filter(rows.customer_id.isnull() | (rows.customer_id != called))
        before, after = (t.count().to_pyarrow().as_py() for t in (rows, left))
        if before == after:
            continue
        store.replace(digest, store.put(left, con) if after or not _dated(table, rows) else None, called)
        path.unlink()
        changed += 1
    return changed


def _dated(table: str, rows: ibis.Table) -> bool:
    """Whether a table is stored a month a file, so that a month of which nothing is left has none."""
    return SCHEMA["contacts" if table == "mailed" else table].date in rows.columns


def _addresses(file: StudyFile, customer: str) -> set[str]:
    """E-mail and phone of the person, where the raw data still tell: a line without an id may hold them."""
    try:
        known = read_identity(file.study.data, file.folder, connect())
    except (CrmlabError, duckdb.Error):
        return set()
    rows = known[known["customer_id"] == customer]
    return {value for column in ("email", "phone") if column in rows for value in rows[column] if value}


def _forget_set_aside(study_folder: Path, words: set[str], called: str) -> int:
    """Rewrite every file of lines set aside that names the person; returns how many."""
    store, rewritten = Store(study_folder / "inputs"), forget_in_quarantine(study_folder, words)
    for old, now in rewritten.items():
        store.replace(old.stem, now.stem if now else None, called)
        old.unlink()
    return len(rewritten)


def _told(file: StudyFile, counts: dict[str, int], *, done: bool) -> str:
    many = {
        "stored input": "stored inputs",
        "delivery": "deliveries",
        "file of lines set aside": "files of lines set aside",
    }
    found = [f"{n} {one if n == 1 else many[one]}" for one, n in counts.items() if n]
    where = ", ".join(found) or "nothing that was kept"
    lines = [
        f"{file.study.study}: {'erased already; once more' if done else 'erased'}, from {where}.",
        "What is kept are keyed hashes of the id and the addresses, so that nobody contacts them again.",
        "Published pages and tables stand.",
    ]
    if counts["delivery"]:
        lines.append("Whoever sent those deliveries knows them, too, and is not told here: have them erased there.")
    if file.study.data.files:
        named = ", ".join(str(d.path or d.table) for d in file.study.data.files.values())
        lines.append(f"The raw files are yours, and were not changed: delete them there, too ({named}).")
    return "\n".join(lines)
