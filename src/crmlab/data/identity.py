"""Who customers are: e-mail, name, phone. Read here alone, and only when a list is delivered."""

from pathlib import Path

import duckdb
import ibis
import pandas as pd

from crmlab.contract import Fault, Refused
from crmlab.data.convert import converted
from crmlab.data.files import open_raw
from crmlab.data.params import DataParams
from crmlab.data.paths import declared

FIELDS = ("email", "name", "first_name", "last_name", "phone", "country", "zip")
"""What may be read of a customer, under these names or as mapped in ``files.customers.columns``."""


def read_identity(params: DataParams, folder: Path, con: ibis.BaseBackend) -> pd.DataFrame:
    """Each customer's id and those of `FIELDS` that the raw file has: text, ``""`` where missing, one row an id.

    Where the rows of one id contradict each other in a field, nobody knows which is right: it is empty.

    Parameters
    ----------
    params
        The study's data.
    folder
        Folder of the params file.
    con
        The engine in which raw files are read (DuckDB).

    Raises
    ------
    Refused
        No file of customers, no id in it, or the file cannot be read; no value is told.
    """
    if "customers" not in params.files:
        what = "missing: a list is delivered by the e-mail, phone or name that the raw file of customers holds"
        raise Refused("export", [Fault("data.files.customers", what)])
    try:
        frame = _read(params, folder, con)
    except duckdb.Error:
        # The engine's own words may hold a line of the file, and with it somebody's name.
        frame = _read(params, folder, con, carefully=True)
    frame = frame[frame["customer_id"] != ""]
    if not frame["customer_id"].is_unique:
        fields = [c for c in frame.columns if c != "customer_id"]
        grouped = frame.replace("", None).groupby("customer_id", as_index=False)[fields]
        frame = grouped.first().where(grouped.nunique()[fields].le(1).assign(customer_id=True), "")
    return frame.fillna("").sort_values("customer_id", ignore_index=True).astype("str")


def _read(params: DataParams, folder: Path, con: ibis.BaseBackend, *, carefully: bool = False) -> pd.DataFrame:
    file = params.files["customers"]
    base = declared(params.folder, folder) if params.folder else folder
    root = base if params.folder else None
    if isinstance(base, list):
        raise Refused("export", base)
    found = open_raw(con, "customers", file, base, root=root, carefully=carefully)
    if isinstance(found, list):
        raise Refused("export", found)
    names = {c: file.columns.get(c, c) for c in ("customer_id", *FIELDS)}
    there = {c: name for c, name in names.items() if name in found.rows.columns}
    if "customer_id" not in there:
        what = f"the file has no column {names['customer_id']!r}; map it: customer_id: its name in the file"
        raise Refused("export", [Fault("files.customers.columns", what)])
    rows = found.rows
    chosen = rows.select(**{c: converted(rows[name], "text").fill_null("") for c, name in there.items()})
    return chosen.to_pandas()
