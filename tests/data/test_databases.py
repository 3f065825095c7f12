"""Tables of databases: DuckDB files in place, PostgreSQL on a real server."""

from decimal import Decimal

import duckdb
import ibis
import psycopg
import pytest

from crmlab.data.convert import converted
from crmlab.data.databases import open_database
from crmlab.data.params import FileParams
from crmlab.data.raw import LINE

FILES = "SELECT database_name FROM duckdb_databases() WHERE path LIKE '%shop.duckdb'"
WHERE = "files.transactions"


def opened(folder, database, table, con=None):
    file = FileParams(database=str(database), table=table)
    return open_database(con or ibis.duckdb.connect(), file, WHERE, folder)


def refused(folder, database, table="sales"):
    found = opened(folder, database, table)
    assert isinstance(found, list), found.rows.execute()
    return " | ".join(f"{f.where}: {f.what}" for f in found)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as con:
        con.execute("CREATE TABLE sales AS SELECT 'a' || i AS id, DATE '2024-01-01' + i::INT AS d FROM range(5) t(i)")
        con.execute('CREATE SCHEMA "odd ""schema"; CREATE TABLE "odd ""schema"."x; DROP TABLE sales" (id TEXT)')
        con.execute("CREATE VIEW spy AS SELECT * FROM read_text('/etc/passwd')")
    return path


def test_a_duckdb_table_is_read_in_place_with_its_rows_numbered(tmp_path, shop):
    before = shop.read_bytes()
    con = ibis.duckdb.connect()
    table = opened(tmp_path, "shop.duckdb", "sales", con).rows.order_by(LINE).execute()
    assert table["id"].to_list() == ["a0", "a1", "a2", "a3", "a4"]
    assert table[LINE].to_list() == [1, 2, 3, 4, 5]
    assert opened(tmp_path, "shop.duckdb", "main.sales", con).rows.count().execute() == 5
    with pytest.raises(duckdb.Error):
        con.raw_sql(f"DROP TABLE {con.raw_sql(FILES).fetchone()[0]}.sales")
    assert shop.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["shop.duckdb"]


def test_odd_names_are_quoted_from_the_databases_own_list(tmp_path, shop):
    assert opened(tmp_path, "shop.duckdb", 'odd "schema.x; DROP TABLE sales').rows.count().execute() == 0
    assert "has no table 'sales; DROP TABLE sales'" in refused(tmp_path, "shop.duckdb", "sales; DROP TABLE sales")


@pytest.mark.parametrize(("table", "says"), [
    ("slaes", "did you mean 'main.sales'?"),
    ("SALES", "did you mean 'main.sales'?"),
    ("orders", "it has main.sales, main.spy"),
    ("spy", "main.spy is a view, which may read other files"),
])  # fmt: skip
def test_a_table_that_is_not_there_is_refused_with_what_is(tmp_path, shop, table, says):
    said = refused(tmp_path, "shop.duckdb", table)
    assert said.startswith(f"{WHERE}.table: shop.duckdb")
    assert says in said


def test_a_file_that_is_no_duckdb_file_is_refused(tmp_path, shop):
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    assert "is no DuckDB file" in refused(tmp_path, "a.db")
    (tmp_path / "b.duckdb").write_bytes(shop.read_bytes()[:5000])
    assert "b.duckdb cannot be read" in refused(tmp_path, "b.duckdb")
    assert "did you mean 'shop.duckdb'?" in refused(tmp_path, "shpo.duckdb")
    assert "lies outside" in refused(tmp_path / "params", "../../shop.duckdb")


def test_a_file_another_program_writes_is_said_to_be_held(tmp_path, shop):
    import subprocess
    import sys

    script = f"import duckdb; c = duckdb.connect({str(shop)!r}); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        assert "another program holds it open" in refused(tmp_path, "shop.duckdb")
        other.communicate(b"\n")


@pytest.fixture
def server(postgres, monkeypatch):
    """A fresh schema of the server, and the variable that holds its address."""
    monkeypatch.setenv("SHOP_DATABASE", postgres)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        connection.execute("CREATE SCHEMA shop")
        yield connection


def columns(folder, table):
    found = opened(folder, "SHOP_DATABASE", table)
    assert not isinstance(found, list), found
    rows = found.rows
    days = {c: converted(rows[c], "date") for c, kind in rows.schema().items() if kind.is_date()}
    return rows.mutate(**days).order_by(LINE).to_pyarrow().to_pydict()


def test_values_of_every_type_arrive_as_they_are(tmp_path, server):
    server.execute("CREATE TYPE shop.mood AS ENUM ('sad', 'happy'); CREATE DOMAIN shop.cents AS bigint")
    server.execute("""CREATE TABLE shop.kinds (i int, big bigint, n numeric, fixed numeric(12, 2), x float8, t text,
        c char(4), b boolean, d date, ts timestamp, tz timestamptz, u uuid, raw bytea, j jsonb, a int[], m shop.mood,
        cents shop.cents, iv interval, p point, "Od d""; --" text)""")
    server.execute("INSERT INTO shop.kinds (i) VALUES (2)")
    server.execute("""INSERT INTO shop.kinds VALUES (1, 9007199254740993, 12.345, 12.50, 0.1, '00123', 'ab', true,
        '2024-01-31', '2024-01-31 23:30:00', '2024-01-31 23:30:00-05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
        '\\x00ff', '{"a": 1}', '{1,2}', 'happy', 5, '1 day', '(1,2)', 'é'), (3, 1, 'NaN', 0, 'Infinity', '', '',
        false, 'infinity', '9999-12-31', '2024-01-01', NULL, '', '{}', '{}', 'sad', 0, '0', '(0,0)', '')""")
    row = columns(tmp_path, "shop.kinds")
    first = {name: values[1] for name, values in row.items()}
    assert first["big"] == 9007199254740993
    assert (first["n"], first["fixed"], first["x"]) == (Decimal("12.345"), Decimal("12.50"), 0.1)
    assert (first["t"], first["b"], str(first["d"]), str(first["ts"])) == (
        "00123", True, "2024-01-31", "2024-01-31 23:30:00")  # fmt: skip
    assert first["tz"].isoformat() == "2024-02-01T04:30:00+00:00"
    assert (first["u"], first["raw"], first["m"]) == ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "\\x00ff", "happy")
    assert (first["a"], first["cents"], first['Od d"; --'], first["p"]) == ("{1,2}", "5", "é", "(1,2)")
    assert {values[0] for name, values in row.items() if name not in ("i", LINE)} == {None}
    assert (row["n"][2], row["d"][2]) == (None, None)
    assert row[LINE] == [1, 2, 3]


def test_many_blocks_keep_the_order_in_which_rows_are_stored(tmp_path, server):
    server.execute(
        "CREATE TABLE shop.many AS SELECT 'c' || i AS id, i * 0.01 AS amount FROM generate_series(1, 120000) i"
    )
    found = opened(tmp_path, "SHOP_DATABASE", "many").rows
    assert found.filter(found["id"] != "c" + found[LINE].cast("string")).count().execute() == 0
    assert found["amount"].sum().execute() == Decimal("72000600.00")


def test_a_view_and_an_empty_table_can_be_read_and_nothing_is_written(tmp_path, server):
    server.execute("CREATE SEQUENCE shop.called; CREATE TABLE shop.none (id text)")
    server.execute("CREATE VIEW shop.calls AS SELECT nextval('shop.called') AS id")
    assert columns(tmp_path, "shop.none") == {"id": [], LINE: []}
    assert "shop.calls cannot be read (SQLSTATE 25006)" in refused(tmp_path, "SHOP_DATABASE", "shop.calls")


def test_tables_are_listed_where_the_name_is_wrong_or_stands_in_several_schemas(tmp_path, server):
    server.execute('CREATE TABLE shop.orders (id text); CREATE TABLE shop.lines (id text, "ID" text)')
    server.execute("DROP SCHEMA IF EXISTS old CASCADE; CREATE SCHEMA old; CREATE TABLE old.orders (id text)")
    assert "did you mean 'shop.orders'?" in refused(tmp_path, "SHOP_DATABASE", "shop.oders")
    assert "several tables 'orders': old.orders, shop.orders" in refused(tmp_path, "SHOP_DATABASE", "orders")
    assert "second column 'ID' but for capitals" in refused(tmp_path, "SHOP_DATABASE", "lines")
    server.execute("DROP SCHEMA old CASCADE")


def test_a_table_one_may_not_read_is_said_to_need_a_grant(tmp_path, server, postgres, monkeypatch):
    server.execute("DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN PASSWORD 'open-sesame'")
    server.execute("CREATE TABLE shop.orders (id text)")
    monkeypatch.setenv("SHOP_DATABASE", postgres.replace("tests@", "clerk:open-sesame@"))
    assert "you may not read shop.orders; GRANT" in refused(tmp_path, "SHOP_DATABASE", "shop.orders")


@pytest.mark.parametrize(("change", "says"), [
    (("tests@", "clerk:wrong-secret@"), "refuses the user or the password"),
    (("tests@", "nobody:wrong-secret@"), "refuses the user or the password"),
    (("/postgres?", "/nowhere?"), "no such database"),
    (("host=/tmp", "host=/tmp/not-there"), "no server answers"),
    (("postgresql://tests@/postgres", "postgresql://u:wrong-secret@127.0.0.1:1/x"), "no server answers"),
    (("postgresql://tests@/postgres", "postgresql://u:wrong-secret@no-such-host.invalid/x"), ""),
    (("?host", "?wrong-secret"), "no valid address"),
    (("postgresql://", "mysql://wrong-secret:"), "begins with postgresql://"),
])  # fmt: skip
def test_a_server_that_does_not_let_one_in_is_refused_without_its_address(
    tmp_path, server, postgres, monkeypatch, change, says
):
    address = postgres.replace(*change)
    if "127.0.0.1" in address or "invalid" in address:
        address = address.split("?")[0]
    monkeypatch.setenv("SHOP_DATABASE", address)
    said = refused(tmp_path, "SHOP_DATABASE", "shop.orders")
    assert said.startswith(f"{WHERE}.database: SHOP_DATABASE")
    assert says in said
    assert "wrong-secret" not in said
    assert "crmlab-postgres" not in said


def test_an_address_in_params_and_a_variable_that_is_not_set_are_refused(tmp_path, monkeypatch):
    for address in ("postgresql://me:secret@host/shop", "host=db password=secret"):
        said = refused(tmp_path, address)
        assert "environment variable" in said
        assert "secret" not in said
    monkeypatch.delenv("SHOP_DATABASE", raising=False)
    assert "no environment variable is called SHOP_DATABASE" in refused(tmp_path, "SHOP_DATABASE")
