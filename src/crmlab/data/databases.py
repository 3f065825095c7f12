"""Open a table of a database: a DuckDB file in place, a PostgreSQL table as its server writes it, read only."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
from ibis.util import gen_name

from crmlab.contract import Fault, Sentence
from crmlab.data.params import FileParams
from crmlab.data.paths import inside
from crmlab.data.raw import LINE, Found, hold

BLOCK = 50_000
SECONDS = 10
"""How long a server may take to answer."""
DEEPEST = 18
"""Decimal places that are kept of a number."""

_SETTINGS = (
    "SET default_transaction_read_only = on",
    "SET DateStyle = 'ISO, YMD'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
    # The order of rows, and with it their numbers, is that in which they are stored.
    "SET synchronize_seqscans = off",
    "SET max_parallel_workers_per_gather = 0",
)
_TABLES = """
    SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    ORDER BY 1, 2
"""


def open_database(
    con: ibis.BaseBackend, file: FileParams, where: str, folder: Path, root: Path | None = None
) -> Found | list[Fault]:
    """The declared table of a DuckDB file or of a PostgreSQL server, or the faults that prevent it.

    `folder` and `root` are those of `crmlab.data.paths.inside`, for a DuckDB file.
    """
    declared = str(file.database)
    place = f"{where}.database"
    if "://" in declared or "=" in declared:
        mend = "put it into an environment variable and give the name of that"
        return [Fault(place, f"holds an address, which may hold a password; {mend}: database: SHOP_DATABASE")]
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", declared) and not (folder / declared).exists():
        return _postgres(con, declared, str(file.table), where)
    path = inside(declared, folder, place, root=root)
    return path if isinstance(path, list) else _duckdb(con, path, str(file.table), where)


def _duckdb(con: ibis.BaseBackend, path: Path, table: str, where: str) -> Found | list[Fault]:
    """The table where it is: nothing is copied, nothing can be written."""
    with path.open("rb") as opened:
        if opened.read(12)[8:] != b"DUCK":
            return [Fault(f"{where}.database", f"{path.name} is no DuckDB file, whatever its name")]
    try:
        alias = _attached(con, path)
        listed = con.raw_sql(
            f"SELECT schema_name, table_name, true FROM duckdb_tables() WHERE database_name = '{alias}' UNION ALL "
            f"SELECT schema_name, view_name, false FROM duckdb_views() WHERE database_name = '{alias}' AND NOT internal"
        ).fetchall()
        chosen = _chosen(sorted(listed), table, "main", path.name, f"{where}.table")
        if isinstance(chosen, list):
            return chosen
        schema, name, stored = chosen
        if not stored:
            what = f"{path.name}: {schema}.{name} is a view, which may read other files; store it as a table"
            return [Fault(f"{where}.table", what)]
        rows = con.table(name, database=(alias, schema))
        if faults := _twice(rows.columns, f"{path.name}: {schema}.{name}", f"{where}.table"):
            return faults
        return Found(rows.mutate(**{LINE: rows.rowid() + 1}), stated=(_stated(path.name, schema, name),))
    except duckdb.Error as error:
        return [Fault(f"{where}.database", f"{path.name} cannot be read: {_why(error)}")]


def _attached(con: ibis.BaseBackend, path: Path) -> str:
    """The name under which the engine knows the file; a file is attached once."""
    known = dict(con.raw_sql("SELECT path, database_name FROM duckdb_databases()").fetchall())
    if str(path) in known:
        return known[str(path)]
    alias, quoted = gen_name("database"), str(path).replace("'", "''")
    con.raw_sql(f"ATTACH '{quoted}' AS {alias} (TYPE duckdb, READ_ONLY)")
    return alias


def _why(error: duckdb.Error) -> str:
    if "lock" in str(error).lower():
        return "another program holds it open for writing; close that, or read a copy"
    return f"{str(error).strip().splitlines()[0]}; it may be damaged or of a newer DuckDB: make it anew"


def _postgres(con: ibis.BaseBackend, variable: str, table: str, where: str) -> Found | list[Fault]:
    import psycopg

    place = f"{where}.database"
    address = os.environ.get(variable)
    if not address:
        mend = f"export {variable}=postgresql://user:password@host/database"
        return [Fault(place, f"no file and no environment variable is called {variable}; set it: {mend}")]
    if not address.startswith(("postgresql://", "postgres://")):
        return [Fault(place, f"{variable} holds no address that begins with postgresql://")]
    # What the library says may hold the address: none of it is shown.
    try:
        with _server(address) as server:
            chosen = _chosen(server.con.execute(_TABLES).fetchall(), table, "public", variable, f"{where}.table")
            if isinstance(chosen, list):
                return chosen
            schema, name, readable = chosen
            if not readable:
                what = (
                    f"{variable}: you may not read {schema}.{name}; GRANT USAGE on the schema and SELECT on the table"
                )
                return [Fault(f"{where}.table", what)]
            types = server.get_schema(name, database=schema)
            if faults := _twice(list(types), f"{variable}: {schema}.{name}", f"{where}.table"):
                return faults
            return Found(_copied(con, server, schema, name, types), stated=(_stated(variable, schema, name),))
    except psycopg.OperationalError as error:
        return [Fault(place, f"{variable}: {_no_answer(str(error))}")]
    except UnicodeDecodeError:
        return [Fault(f"{where}.table", f"{variable}: {table} holds text that is not in the encoding of its database")]
    except psycopg.Error as error:
        if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
            return [Fault(place, f"{variable} holds no valid address; check it, for example with psql")]
        return [Fault(f"{where}.table", f"{variable}: {table} cannot be read (SQLSTATE {error.sqlstate or 'unknown'})")]


@contextmanager
def _server(address: str) -> Iterator[Any]:
    """The library's own backend on a connection that can only read."""
    import psycopg

    with psycopg.connect(address, autocommit=True, connect_timeout=SECONDS, client_encoding="UTF8") as connection:
        connection.read_only = True
        for setting in _SETTINGS:
            connection.execute(setting)
        yield ibis.postgres.from_connection(connection)


def _no_answer(said: str) -> str:
    """Why there is no connection, in words that do not repeat the address."""
    for signs, words in (
        (("password", "no pg_hba.conf entry", "role "), "the server refuses the user or the password in it"),
        (("database ",), "the server has no such database as is named in it"),
        (("resolve", "translate host"), "the host in it is unknown"),
        (("refused", "timeout", "timed out", "No such file", "unreachable"), "no server answers at the address in it"),
    ):
        if any(sign in said for sign in signs):
            return f"{words}; check it, for example with psql"
    return "the connection failed or broke off; check the address in it, for example with psql, and run again"


def _copied(con: ibis.BaseBackend, server: Any, schema: str, name: str, types: ibis.Schema) -> ibis.Table:
    """All rows, in blocks, as a table of the engine; numbers and days typed as on the server."""
    from psycopg.types.string import TextLoader

    # As text the server's infinite days, unbounded numbers and unknown types arrive like any other value.
    for info in server.con.adapters.types:
        for oid in filter(None, (info.oid, info.array_oid)):
            server.con.adapters.register_loader(oid, TextLoader)
    asked = ibis.table(dict.fromkeys(types, "string"), name=name, database=schema)
    held, read = gen_name("postgres"), 0
    with server.to_pyarrow_batches(asked, chunk_size=BLOCK) as batches:
        _insert(con, held, batches.schema.empty_table(), read)
        for batch in batches:
            _insert(con, held, pa.Table.from_batches([batch]), read)
            read += len(batch)
    rows = con.table(held)
    return rows.mutate(**{c: _typed(rows[c], kind) for c, kind in types.items()})


def _insert(con: ibis.BaseBackend, held: str, block: pa.Table, read: int) -> None:
    lines = pa.array(range(read + 1, read + len(block) + 1), pa.int64())
    name = gen_name("block")
    hold(con, name, block.append_column(LINE, lines))
    into = "INSERT INTO {held} FROM {name}" if len(block) else "CREATE TEMP TABLE {held} AS FROM {name}"
    con.raw_sql(into.format(held=held, name=name))
    con.con.unregister(name)


def _typed(text: ir.StringColumn, kind: dt.DataType) -> ir.Column:
    if kind.is_decimal():
        places = text.re_extract(r"\.([0-9]+)$", 1).length().max().execute()
        return text.try_cast(dt.Decimal(38, min(int(places or 0), DEEPEST)))
    if kind.is_integer() or kind.is_floating() or kind.is_boolean() or kind.is_date() or kind.is_timestamp():
        return text.try_cast(kind)
    return text


def _chosen(listed: list[tuple], wanted: str, default: str, of: str, where: str) -> tuple | list[Fault]:
    """The row of `listed` (schema, table, …) that is meant: nothing else is ever quoted into a query."""
    named = {f"{row[0]}.{row[1]}": row for row in listed}
    alike = {full: row for full, row in named.items() if row[1] == wanted}
    for full in (wanted, f"{default}.{wanted}"):
        if full in named:
            return named[full]
    if len(alike) == 1:
        return next(iter(alike.values()))
    if alike:
        return [Fault(where, f"{of} has several tables {wanted!r}: {', '.join(alike)}; say which, with its schema")]
    folded = {full.casefold(): full for full in named} | {row[1].casefold(): full for full, row in named.items()}
    close = get_close_matches(wanted.casefold(), folded, n=1)
    some = ", ".join(list(named)[:8]) + (", …" if len(named) > 8 else "")
    hint = f"did you mean {folded[close[0]]!r}?" if close else f"it has {some}" if named else "it has none you may see"
    return [Fault(where, f"{of} has no table {wanted!r}; {hint}")]


def _twice(columns: Sequence[str], of: str, where: str) -> list[Fault]:
    """Faults of columns that the engine cannot tell apart: it does not mind capitals."""
    if not columns:
        return [Fault(where, f"{of} has no column")]
    folded = Counter(column.casefold() for column in (*columns, LINE))
    return [
        Fault(where, f"{of} has a second column {column!r} but for capitals; rename it in a view")
        for column in columns
        if folded[column.casefold()] > 1
    ]


def _stated(of: str, schema: str, name: str) -> Sentence:
    return Sentence("{database}: table {table}, read only.", {"database": of, "table": f"{schema}.{name}"})
