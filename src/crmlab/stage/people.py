"""Pseudonyms: whom tables, pages and lists name instead of customers, and the one file that says who is behind them."""

import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crmlab.contract import Fault, Refused
from crmlab.data.raw import hold
from crmlab.stage.content import write_named, wrong

NAMED = ("customer_id", "parent_id")
"""Columns that name somebody."""

DIGITS = 20
"""Hexadecimal digits of a pseudonym: among a thousand million customers two alike are not to be expected."""


def pseudonym(key: bytes, customer_id: str) -> str:
    """What a customer is called below the intake: ``p`` and 20 hexadecimal digits of HMAC-SHA256(key, id)."""
    return pseudonyms([customer_id], key).iloc[0]


def pseudonyms(ids: Iterable[str], key: bytes) -> pd.Series:
    """The pseudonym of each distinct id: text, index customer_id in the order of `ids`."""
    index = pd.Index(ids, dtype="str", name="customer_id").unique()
    called = ["p" + _hashed(key, b"pseudonym", customer_id) for customer_id in index.to_numpy("O")]
    return pd.Series(called, index=index, name="pseudonym", dtype="str")


def address_mark(key: bytes, address: str) -> str:
    """By what an address is recognised again without being kept: ``a`` and 20 digits of HMAC-SHA256(key, address)."""
    return "a" + _hashed(key, b"address", address)


def _hashed(key: bytes, what: bytes, text: str) -> str:
    message = what + b"\x1f" + text.encode("utf-8", "surrogatepass")
    return hmac.digest(key, message, "sha256").hex()[:DIGITS]


def renamed(
    tables: Mapping[str, ibis.Table], key: bytes, con: ibis.BaseBackend
) -> tuple[dict[str, ibis.Table], pd.Series]:
    """The tables with pseudonyms in place of customers' ids, kept in the engine, and everybody's pseudonym.

    Raises
    ------
    Refused
        When two ids would be called the same.
    """
    result, known = {}, pseudonyms([], key)
    for name, found in tables.items():
        columns = [c for c in NAMED if c in found.columns]
        ids = pd.Index([], dtype="str")
        for column in columns:
            there = found.filter(found[column].notnull()).select(customer_id=found[column]).distinct()
            ids = ids.union(pd.Index(there.to_pandas()["customer_id"], dtype="str"))
        text = pa.schema({"is_called": pa.string(), "who": pa.string()})
        known = pd.concat([known, pseudonyms(ids.difference(known.index), key)])
        called = pa.table({"is_called": known.loc[ids].to_numpy("O"), "who": ids.to_numpy("O")}, schema=text)
        lookup = hold(con, f"called_{name}", called)
        for column in columns:
            them = lookup.view()
            joined = found.left_join(them, found[column] == them.who)
            found = joined.mutate(**{column: joined.is_called}).drop("is_called", "who")
        result[name] = con.create_table(f"canonical_{name}", found, temp=True)
        con.con.unregister(f"called_{name}")
    if not known.is_unique:
        raise Refused("pseudonyms", "two customers would be called the same; give the study another key (or seed)")
    return result, known.sort_index()


def people(study_folder: Path) -> pd.DataFrame:
    """Who is behind the pseudonyms of a study: pseudonym, customer_id.

    Raises
    ------
    Refused
        When the file is not what was written.
    """
    if faults := altered_people(study_folder):
        raise Refused("people", faults)
    # Killed between writing the new file and deleting the old, both are there, and both are right.
    parts = [pd.read_parquet(file).astype("str") for file in _files(study_folder)]
    empty = pd.DataFrame({"pseudonym": [], "customer_id": []}, dtype="str")
    return pd.concat([empty, *parts]).drop_duplicates("pseudonym").sort_values("pseudonym", ignore_index=True)


def altered_people(study_folder: Path) -> list[Fault]:
    """A fault for each file of `people` that is not what was written."""
    mend = "restore it from a copy, or delete it: the next run writes it again from the raw data"
    return [fault for file in _files(study_folder) for fault in wrong(file, file.stem, mend)]


def _files(study_folder: Path) -> list[Path]:
    return sorted((study_folder / "people").glob("[0-9a-f]*.parquet"))


def keep_people(study_folder: Path, known: pd.DataFrame) -> None:
    """Make `known` (pseudonym, customer_id) what `people` reads; nothing else of it is left."""
    folder = study_folder / "people"
    rows = known[["pseudonym", "customer_id"]].drop_duplicates("pseudonym").sort_values("pseudonym")
    table = pa.table({c: pa.array(rows[c].to_numpy("O"), pa.string()) for c in rows.columns})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    kept = write_named(folder, sink.getvalue().to_pybytes(), ".parquet")
    for other in folder.iterdir():
        if other != kept:
            other.unlink()
