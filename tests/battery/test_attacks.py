"""Names, values, paths and params that would do harm: nothing runs, nothing else is reached, nothing secret is said."""

import os
import socket
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from tests.battery.case import Case, holds, lines, one

DROP = '"; DROP TABLE people_of_transactions; --'
QUOTED = '"' + DROP.replace('"', '""') + '"'
SECRET = "postgresql://crm:hunter2@db.example.org/sales"


def reads(path: str, *, code: int = 2, **more) -> Case:
    """Transactions of that path."""
    return Case(how={"path": path}, code=code, **more)


def linked(target: str) -> Case:
    """Transactions that are a link to `target`."""
    return Case(
        files={}, before=lambda folder: (folder / "orders.csv").symlink_to(target), code=2, said=("orders.csv",)
    )


def sheets(folder: Path, *names: str) -> None:
    """Write a workbook whose sheets hold sound orders."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in names:
        sheet = book.create_sheet(name)
        for line in lines(40).splitlines():
            sheet.append(line.split(","))
    book.save(folder / "orders.xlsx")


def parquet(folder: Path) -> None:
    """Write sound orders as Parquet."""
    rows = [line.split(",") for line in lines(40).splitlines()]
    pd.DataFrame(rows[1:], columns=rows[0]).to_parquet(folder / "orders.parquet")


INJECTION = {
    "a column whose name is SQL": one(lines(header=f"customer_id,date,{QUOTED}"), how={"columns": {"amount": DROP}}),
    "a mapping that is SQL": one(
        lines(), how={"columns": {"amount": "amount); DROP TABLE x; --"}}, code=2, said=("amount",)
    ),
    "a column that is called as one of ours": one(
        lines(header="customer_id,date,amount,set_aside").replace(".50", ".50,x"), rows=(100, 100, [])
    ),
    "columns that are called as others of ours": one(
        lines(header="customer_id,date,amount,line of the file,lost_amount").replace(".50", ".50,1,true"),
        rows=(100, 100, []),
    ),
    "values that are formulas, scripts and pictures": one(
        lines(
            100, "=HYPERLINK(),2025-01-02,5", "<script>alert(1)</script>,2025-01-02,5", "<img src=//evil>,2025-01-02,5"
        ),
        rows=(103, 103, []),
        unsaid=("<script", "HYPERLINK", "evil"),
    ),
    "a bad value that is a script": one(
        lines(100, "c1,<script>alert(1)</script>,5"), rows=(101, 100, [102]), unsaid=("<script",)
    ),
    "a value that clears the screen": one(lines(100, "c1,\x1b[2J,5"), rows=(101, 100, [102])),
    "a file whose name is SQL": Case(
        files={"o'; DROP TABLE x; --.csv": lines()}, how={"path": "../o'; DROP TABLE x; --.csv"}, rows=(100, 100, [])
    ),
    "a file whose name is a pattern": Case(
        files={"o[rd]*.csv": lines()}, how={"path": "../o[rd]*.csv"}, rows=(100, 100, [])
    ),
    "a pattern": reads("../*.csv", said=("*.csv", "pattern")),
    "an address": reads("https://example.org/orders.csv", said=("address",)),
    "a bucket": reads("s3://bucket/orders.csv", said=("address",)),
    "a file of the system": reads("/etc/passwd", said=("/etc/passwd", "folder")),
    "a way out of the study": reads("../../../../../../etc/passwd", said=("outside", "folder")),
    "a password in params": Case(
        how={"path": None, "database": SECRET, "table": "sales.orders"}, code=2, said=("environment variable",)
    ),
    "a database of no address": Case(
        how={"path": None, "database": "CRMLAB_NO_SUCH", "table": "sales.orders"}, code=2, said=("CRMLAB_NO_SUCH",)
    ),
    "a study called as a path": Case(params={"study": "../shop"}, code=2, said=("study",)),
    "a study called as a folder of its own": Case(
        params={"cycles": [{"cycle": "inputs", "as_of": "2025-01-31"}]}, code=2, said=("inputs",)
    ),
    "a cycle called as a path": Case(
        params={"cycles": [{"cycle": "../a", "as_of": "2025-01-31"}]}, code=2, said=("cycle",)
    ),
    "a script for a title": Case(params={"title": "<script>alert(1)</script>"}, unsaid=("<script",)),
    "a table nobody knows": Case(
        params={"data": {"files": {"sqlite_master": {"path": "../orders.csv"}}}}, code=2, said=("sqlite_master",)
    ),
    "an object for a value": Case(
        params="study: !!python/object/apply:os.system ['true']\n", code=2, said=("tags", "line 1")
    ),
    "an anchor": Case(params="study: &a shop\ntitle: *a\n", code=2, said=("anchors", "line 1")),
    "a bomb": Case(params="a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n", code=2, said=("anchors",)),
    "a merged map": Case(params="study: shop\n<<: {seed: 1}\n", code=2, said=("line 2",)),
}

FILES = {
    "a file that is not there": Case(
        files={"orders_2025.csv": lines()}, code=2, said=("orders.csv", "orders_2025.csv")
    ),
    "a folder that is not there": reads("../dta/orders.csv", said=("orders.csv", "folder")),
    "a folder for a file": reads("../params", said=("folder",)),
    "a link out of the study": linked("/etc/passwd"),
    "a link to nothing": linked("nowhere.csv"),
    "a link to itself": linked("orders.csv"),
    "a link inside of the study": Case(
        files={"data/o.csv": lines()},
        before=lambda folder: (folder / "orders.csv").symlink_to("data/o.csv"),
        rows=(100, 100, []),
    ),
    "a device": reads("/dev/zero", said=("/dev/zero",)),
    "a link to a device": linked("/dev/zero"),
    "a pipe": Case(files={}, before=lambda folder: os.mkfifo(folder / "orders.csv"), code=2, said=("pipe",)),
    "a socket": Case(
        files={},
        before=lambda folder: socket.socket(socket.AF_UNIX).bind(str(folder / "orders.csv")),
        code=2,
        said=("socket",),
    ),
    "blanks in a name": Case(files={"my orders.csv": lines()}, how={"path": "../my orders.csv"}, rows=(100, 100, [])),
    "a declared folder": Case(
        files={"far/away/orders.csv": lines()},
        how={"path": "orders.csv"},
        params={"data": {"folder": "../far/away"}},
        rows=(100, 100, []),
    ),
    "a declared folder that is not there": Case(params={"data": {"folder": "../far"}}, code=2, said=("folder", "far")),
    "a way out of a declared folder": Case(
        files={"orders.csv": lines(), "far/x.csv": lines()},
        params={"data": {"folder": "../far"}},
        code=2,
        said=("outside",),
    ),
    "no path": Case(how={"path": ""}, code=2, said=("path",)),
    "Parquet": Case(how={"path": "../orders.parquet"}, before=parquet, rows=(40, 40, [])),
    "Parquet that is none": Case(
        files={"orders.parquet": lines()}, how={"path": "../orders.parquet"}, code=2, said=("orders.parquet",)
    ),
    "a workbook": Case(how={"path": "../orders.xlsx"}, before=lambda f: sheets(f, "Orders"), rows=(40, 40, [])),
    "a workbook of several sheets": Case(
        how={"path": "../orders.xlsx"},
        before=lambda f: sheets(f, "Orders", "Notes"),
        code=2,
        said=("Orders", "Notes", "sheet"),
    ),
    "a workbook, its sheet declared": Case(
        how={"path": "../orders.xlsx", "sheet": "Orders"},
        before=lambda f: sheets(f, "Orders", "Notes"),
        rows=(40, 40, []),
    ),
    "a sheet that is not there": Case(
        how={"path": "../orders.xlsx", "sheet": "Order"}, before=lambda f: sheets(f, "Orders"), code=2, said=("Orders",)
    ),
    "a workbook that is none": Case(
        files={"orders.xlsx": lines()}, how={"path": "../orders.xlsx"}, code=2, said=("orders.xlsx",)
    ),
    "an old workbook": Case(
        files={"orders.xls": b"\xd0\xcf\x11\xe0"}, how={"path": "../orders.xls"}, code=2, said=("xlsx",)
    ),
    "a table in a database": Case(
        files={},
        how={"path": None, "database": "../shop.duckdb", "table": "main.orders"},
        code=2,
        said=("shop.duckdb",),
    ),
    "a file and a database": Case(how={"database": "X", "table": "y"}, code=2, said=("path", "database")),
}


@pytest.mark.parametrize("case", INJECTION)
def test_injection(tmp_path, case):
    holds(INJECTION[case], tmp_path)


@pytest.mark.parametrize("case", FILES)
def test_files(tmp_path, case):
    holds(FILES[case], tmp_path)
