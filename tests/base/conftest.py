import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pytest

from crmlab.base.orders import orders
from crmlab.contract import Refused
from crmlab.data import DataParams, read
from crmlab.data.locate import PLACES, find

BESIDE = Path(__file__).parents[3] / "shared" / "data"
if BESIDE.is_dir():
    os.environ.setdefault("CRMLAB_DATA", str(BESIDE))

MONEY = pa.decimal128(18, 4)
TYPES = {"date": pa.date32(), "sent_at": pa.date32(), "amount": MONEY, "margin": MONEY, "coupon_discount": MONEY}
TYPES |= {"acquired_on": pa.date32(), "birth_year": pa.int64(), "score": MONEY}
TYPES |= {"response": pa.int64(), "club": pa.int64(), "age": pa.int64(), "income": pa.float64(), "vip": pa.bool_()}


@pytest.fixture
def make():
    """A canonical table from columns and rows: `make("customer_id date amount", [("a", day, 10), ...])`."""
    base = duckdb.connect(config={"threads": 2})
    con = ibis.duckdb.from_connection(base)
    count = iter(range(10_000))

    def table(columns, rows):
        names = columns.split()
        schema = pa.schema([(n, TYPES.get(n, pa.string())) for n in names])
        arrow = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)
        name = f"t{next(count)}"
        base.register(f"_{name}", arrow)
        base.execute(f"create table {name} as select * from _{name}")
        base.unregister(f"_{name}")
        return con.table(name)

    return table


@pytest.fixture
def bought(make):
    """Orders from customer → days (of January 2024, 1 = the first) or (day, amount)."""

    def table(**histories):
        rows = []
        for who, days in histories.items():
            for n, day in enumerate(days):
                day, amount = day if isinstance(day, tuple) else (day, 10)
                rows.append((who, f"{who}{n}", date.fromordinal(date(2024, 1, 1).toordinal() + day - 1), amount))
        return orders(make("customer_id order_id date amount", rows))

    return table


@pytest.fixture(scope="session")
def real():
    """Canonical tables of a known source, read once; skips naming the file that is not on this machine."""
    kept = {}

    def reads(name, **options):
        for key, place in PLACES.items():
            if key.startswith(name):
                try:
                    find(key, replace(place, address=""))
                except Refused as missing:
                    pytest.skip(str(missing))
        if (name, str(options)) not in kept:
            con = ibis.duckdb.connect(threads=2)  # of its own, for tables are views that a later reading would replace
            tables = read(DataParams(source=name, options=options), folder=Path(), con=con).tables
            made = con.create_table(f"orders_{len(kept)}", orders(tables["transactions"]), temp=True)
            kept[name, str(options)] = (tables, made)
        return kept[name, str(options)]

    return reads
