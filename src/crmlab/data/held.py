"""Tables kept in the engine, so that a file is read once whatever is asked of it."""

import contextlib
import tempfile
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
from ibis.util import gen_name

LARGE = 32_000_000
"""Files of more bytes than this, or of a quarter if packed, are kept on disk and not in memory."""


def is_large(path: Path) -> bool:
    """Whether the rows of a file are better kept on disk."""
    return path.stat().st_size > (LARGE // 4 if path.suffix.lower() in (".gz", ".parquet") else LARGE)


def scratch(con: ibis.BaseBackend) -> str | None:
    """The folder for what the engine need not keep; None for that of the system."""
    folder = Path(con.raw_sql("SELECT current_setting('temp_directory')").fetchall()[0][0] or ".")
    if not folder.is_absolute():
        return None
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(folder)


def held(con: ibis.BaseBackend, table: ibis.Table, *, large: bool = False) -> ibis.Table:
    """`table` computed once, its rows in their order.

    A large one lies in a file that no folder lists any more: it is gone as soon as the engine is, however that ends.
    """
    name = gen_name("held")
    query = ibis.to_sql(table, dialect="duckdb")
    if not large:
        con.raw_sql(f"CREATE TEMP TABLE {name} AS {query}")
        return con.table(name)
    con.raw_sql("SET force_compression = 'dictionary'")  # the others take as long to write as the file to read
    folder = Path(tempfile.mkdtemp(prefix="crmlab-", dir=scratch(con)))
    path = folder / f"{name}.duckdb"
    quoted = str(path).replace("'", "''")
    try:
        con.raw_sql(f"ATTACH '{quoted}' AS {name}")
        try:
            con.raw_sql(f"CREATE TABLE {name}.main.{name} AS {query}")
        finally:
            con.raw_sql(f"DETACH {name}")
        con.raw_sql(f"ATTACH '{quoted}' AS {name} (READ_ONLY)")
    finally:
        con.raw_sql("RESET force_compression")
        for file in folder.iterdir():
            with contextlib.suppress(OSError):
                file.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
    return con.table(name, database=(name, "main"))


def viewed(con: ibis.BaseBackend, table: ibis.Table) -> ibis.Table:
    """`table` under a name of its own in the engine: not computed, but written once."""
    name = gen_name("viewed")
    con.raw_sql(f"CREATE TEMP VIEW {name} AS {ibis.to_sql(table, dialect='duckdb')}")
    return con.table(name)


def repeats(table: ibis.Table, number: str, digest: str) -> pd.DataFrame | None:
    """Numbers of rows (``row``) equal to an earlier one in the 64-bit column `digest`; None where there are none."""
    digests = table.select(digest=table[digest]).to_pyarrow()["digest"].to_numpy().copy()
    digests.sort()
    twice = np.unique(digests[1:][digests[1:] == digests[:-1]])
    del digests
    if not len(twice):
        return None
    rows = table.select(row=table[number], digest=table[digest])
    rows = rows.semi_join(ibis.memtable(pd.DataFrame({"digest": twice})), "digest").to_pandas()
    rows = rows.sort_values("row", ignore_index=True)
    return rows.loc[rows.duplicated("digest"), ["row"]]
