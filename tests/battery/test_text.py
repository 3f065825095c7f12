"""Encodings and structure: what a text file may be, what is set aside by its line, what is refused."""

import gzip

import pytest

from tests.battery.case import Case, aside, holds, lines, one

HUNDRED = {"rows": (100, 100, [])}
NAMED = lines(100, header="customer_id,date,amount,città")
ACCENTED = "\n".join(["customer_id,date,amount,citta", *(f"c{i},2025-01-0{1 + i % 9},{i}.50,Forlì" for i in range(50))])
TWO = "customer_id;date,x;amount,y\n" + "c1;2025-01-02,1;5.0,2\n" * 30

ENCODINGS = {
    "UTF-8 with accents": one(NAMED.replace(".50", ".50,è"), **HUNDRED),
    "a byte order mark": one(lines().encode("utf-8-sig"), **HUNDRED),
    "one line that is not UTF-8": one(
        lines(100, "x,2025-01-02,1.0").encode() + b"caff\xe8,2025-01-03,5.00\n",
        rows=(102, 101, [103]),
        said=("orders.csv", "103"),
    ),
    "cp1252, undeclared": one(ACCENTED.encode("cp1252"), code=2, said=("orders.csv", "encoding: cp1252")),
    "cp1252, declared": one(ACCENTED.encode("cp1252"), how={"encoding": "cp1252"}, rows=(50, 50, [])),
    "latin-1, declared by another of its names": one(
        ACCENTED.encode("latin-1"), how={"encoding": "ISO-8859-1"}, rows=(50, 50, [])
    ),
    "UTF-16 with its mark, undeclared": one(lines().encode("utf-16"), code=2, said=("encoding: utf-16",)),
    "UTF-16, declared": one(lines().encode("utf-16"), how={"encoding": "utf-16"}, **HUNDRED),
    "UTF-16 without a mark, declared": one(lines().encode("utf-16-le"), how={"encoding": "utf-16-le"}, **HUNDRED),
    "declared UTF-16, and is UTF-8": one(lines(), how={"encoding": "utf-16"}, code=2, said=("orders.csv", "encoding")),
    "Shift-JIS, declared": one(
        lines(100, "東京,2025-01-02,5.0").encode("shift_jis"), how={"encoding": "shift_jis"}, rows=(101, 101, [])
    ),
    "an encoding nobody knows": one(lines(), how={"encoding": "utf-9"}, code=2, said=("encoding", "utf-9", "cp1252")),
    "an encoding that is a compression": one(lines(), how={"encoding": "zlib"}, code=2, said=("encoding", "zlib")),
    "a zero byte in a line": one(
        lines(100).encode() + b"c\x001,2025-01-03,5.00\n", rows=(101, 100, [102]), said=("102",)
    ),
    "a compressed file": Case(
        files={"orders.csv.gz": gzip.compress(lines().encode())}, how={"path": "../orders.csv.gz"}, **HUNDRED
    ),
    "a compressed file cut short": Case(
        files={"orders.csv.gz": gzip.compress(lines(5000).encode())[:-900]},
        how={"path": "../orders.csv.gz"},
        code=2,
        said=("orders.csv.gz",),
    ),
    "a plain file called .gz": Case(
        files={"orders.csv.gz": lines()}, how={"path": "../orders.csv.gz"}, code=2, said=("orders.csv.gz",)
    ),
    "a picture called .csv": one(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, code=2, said=("orders.csv",)),
}

STRUCTURE = {
    "an empty file": one("", code=2, said=("orders.csv", "empty")),
    "nothing but a header": one("customer_id,date,amount\n", code=2, said=("no row",)),
    "nothing but line ends": one("\n\n\n", code=2, said=("orders.csv",)),
    "no line end at the end": one(lines().rstrip("\n"), **HUNDRED),
    "line ends of Windows": one(lines(end="\r\n"), **HUNDRED),
    "line ends of old Macs": one(lines(end="\r"), **HUNDRED),
    "mixed line ends": one(lines(60, end="\r\n") + "\n".join(lines(41).splitlines()[2:]) + "\n", **HUNDRED),
    "blank lines between and after": one(
        lines(50) + "\n\n" + "\n".join(lines(51).splitlines()[2:]) + "\n,2025-01-02,5\n\n\n",
        rows=(101, 100, [104]),
    ),
    "too few fields": aside("c1,2025-01-02", said=("orders.csv", "102")),
    "too many fields": aside("c1,2025-01-02,5.0,more", said=("102",)),
    "a decimal comma without quotes": aside("c1,2025-01-02,12,50"),
    "one bad line among good ones": one(
        lines(40) + "c1,x\n" + "\n".join(lines(61).splitlines()[2:]) + "\n", rows=(101, 100, [42])
    ),
    "a stray quote": aside('c1,2025-01-02,5.0"x'),
    "a quote that is never closed": one(
        lines(50) + '"c1,2025-01-02,5.0\n' + "\n".join(lines(51).splitlines()[2:]) + "\n", rows=(101, 100, [52])
    ),
    "a quoted line end before the bad line": one(
        lines(100, '"c\n1",2025-01-02,5.0', ",2025-01-02,5.0"), rows=(102, 101, [104]), said=("104",)
    ),
    "doubled quotes in a field": one(lines(100, '"c""1",2025-01-02,5.0'), rows=(101, 101, [])),
    "a separator in quotes": one(lines(100, '"c,1",2025-01-02,5.0'), rows=(101, 101, [])),
    "more than one line in twenty is no row": one(
        lines(100, *["c1,2025-01-02"] * 8), code=2, said=("orders.csv", "8 of 108", "102")
    ),
    "exactly one line in twenty is no row": one(
        lines(95, *["c1,2025-01-02"] * 5), rows=(100, 95, [97, 98, 99, 100, 101])
    ),
    "a column twice": one(lines(header="customer_id,date,date"), code=2, said=("orders.csv", "date")),
    "a column without a name": one(lines(header="customer_id,,amount"), code=2, said=("orders.csv", "line 1")),
    "a required column is missing": one(lines(header="customer_id,date,x"), code=2, said=("amount",)),
    "a required column is misspelt": one(lines(header="customer_id,date,amuont"), code=2, said=("'amuont'",)),
    "a required column in capitals": one(lines(header="CUSTOMER_ID,date,amount"), code=2, said=("CUSTOMER_ID",)),
    "a title above the header": one(
        "Orders of the year\n" + lines(), code=2, said=("orders.csv", "Orders of the year")
    ),
    "a header that repeats below": aside("customer_id,date,amount"),
    "quotes around the header": one(lines(header='"customer_id","date","amount"'), **HUNDRED),
    "columns in another order": one("amount,customer_id,date\n" + "5.5,c1,2025-01-02\n" * 20, rows=(20, 20, [])),
    "columns that nobody asked for": one(
        lines(header="customer_id,date,amount,colour").replace(".50", ".50,red"), **HUNDRED
    ),
    "a separator at the end of each line": one(
        lines(header="customer_id,date,amount,").replace(".50", ".50,"), **HUNDRED
    ),
    "semicolons": one(lines().replace(",", ";"), said=('";"',), **HUNDRED),
    "semicolons and decimal commas": one(
        lines().replace(",", ";").replace(".50", ",50"), said=('";"', "comma"), facts={"sum_amount": 5000.0}, **HUNDRED
    ),
    "tabs": one(lines().replace(",", "\t"), **HUNDRED),
    "bars": one(lines().replace(",", "|"), **HUNDRED),
    "semicolons, declared commas": one(
        lines().replace(",", ";"), how={"separator": ","}, code=2, said=("orders.csv", "separator")
    ),
    "two separators that fit": one(
        TWO, how={"columns": {"amount": "amount,y", "date": "date,x"}}, code=2, said=("orders.csv",)
    ),
    "a line of a million letters": aside("c" * 1_000_000 + ",2025-01-02"),
    "lines in the wrong file type": Case(
        files={"orders.json": '[{"customer_id": "c1"}]'},
        how={"path": "../orders.json"},
        code=2,
        said=("orders.json", ".csv"),
    ),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_encodings(tmp_path, case):
    holds(ENCODINGS[case], tmp_path)


@pytest.mark.parametrize("case", STRUCTURE)
def test_structure(tmp_path, case):
    holds(STRUCTURE[case], tmp_path)
