"""Dates, ids, amounts, duplicates: what is read, what is set aside by its line, what is refused."""

import pytest

from tests.battery.case import aside, holds, lines, one


def dated(*days: str, times: int = 1, **more):
    """A file of orders on these days."""
    return one("customer_id,date,amount\n" + "".join(f"c{i},{d},5.5\n" for i, d in enumerate(days * times)), **more)


def paid(*amounts: str, times: int = 1, **more):
    """A file of orders of these amounts."""
    rows = "".join(f"c{i},2025-01-02,{a}\n" for i, a in enumerate(amounts * times))
    return one("customer_id,date,amount\n" + rows, **more)


SLASHES = {"date_format": "%d/%m/%Y"}

DATES = {
    "ISO days": dated("2025-01-02", times=30, rows=(30, 30, []), facts={"min_date": "2025-01-02"}),
    "ISO time stamps": dated("2025-01-02T23:59:59", "2025-01-02 00:00", times=10, rows=(20, 20, [])),
    "fractions of seconds": dated("2025-01-02 10:00:00.123456", times=10, rows=(10, 10, [])),
    "stamps of another zone": dated(
        "2025-01-02T23:30:00Z", times=10, params={"time_zone": "Europe/Rome"}, facts={"min_date": "2025-01-03"}
    ),
    "stamps with an offset": dated("2025-01-02T01:30:00+05:00", times=10, facts={"min_date": "2025-01-01"}),
    "days that fit two formats": dated(
        "02/03/2025", "04/05/2025", times=30, code=2, said=("orders.csv", "%d/%m/%Y", "%m/%d/%Y", "date_format")
    ),
    "days that fit one format": dated("31/12/2025", "01/02/2025", times=30, code=2, said=("%d/%m/%Y", "date_format")),
    "days of that format, declared": dated("31/12/2025", "01/02/2025", times=30, how=SLASHES, rows=(60, 60, [])),
    "a declared format that only half fit": dated(
        "31/12/2025", "12/31/2025", times=30, how=SLASHES, code=2, said=("orders.csv", "30 of 60")
    ),
    "two formats in one file": dated("31/12/2025", "12/31/2025", times=30, code=2, said=("date_format",)),
    "one day of another format": aside("c1,31/01/2025,5.5", said=("orders.csv", "102", "date")),
    "an impossible day": aside("c1,2025-02-30,5.5", said=("102",)),
    "the 29th of February": aside("c1,2024-02-29,5.5", bad=0),
    "the 29th of another February": aside("c1,2025-02-29,5.5"),
    "a day of zeros": aside("c1,0000-00-00,5.5"),
    "the end of time": aside("c1,9999-12-31,5.5"),
    "infinity": aside("c1,infinity,5.5"),
    "no day": aside("c1,,5.5", said=("102",)),
    "a word": aside("c1,yesterday,5.5"),
    "the day the data end": aside("c1,2025-12-31,5.5", bad=0),
    "the day after": aside("c1,2026-01-01,5.5", said=("102", "extracted_on")),
    "years of two digits": dated("31/12/25", times=30, code=2, said=("date_format", "%d/%m/%y")),
    "compact days": dated("20250131", times=30, code=2, said=("date_format", "%Y%m%d")),
    "compact days, declared": dated("20250131", times=30, how={"date_format": "%Y%m%d"}, rows=(30, 30, [])),
    "days of a workbook": dated("45678", times=30, code=2, said=("orders.csv",)),
    "seconds since 1970": dated("1735689600", times=30, code=2, said=("orders.csv",)),
    "a format nobody knows": dated("2025-01-02", how={"date_format": "%Q"}, code=2, said=("date_format", "%d/%m/%Y")),
    "a format without a year": dated("2025-01-02", how={"date_format": "%d/%m"}, code=2, said=("date_format", "year")),
    "days after the cycle": dated(
        *["2025-01-02"] * 20, *["2025-06-02"] * 20, rows=(40, 40, []), facts={"max_date": "2025-06-02"}
    ),
    "the data end on no day": dated(
        "2025-01-02", params={"data": {"extracted_on": "2025-13-01"}}, code=2, said=("extracted_on",)
    ),
    "German months": dated("02.01.2025", "31.01.2025", times=9, how={"date_format": "%d.%m.%Y"}, rows=(18, 18, [])),
}

IDS = {
    "zeros in front": one(lines(100, "00123,2025-01-02,5", "123,2025-01-02,5"), facts={"customers": 22}),
    "ids called NA, null, None": one(
        lines(100, "NA,2025-01-02,5", "null,2025-01-02,5", "None,2025-01-02,5"),
        rows=(103, 103, []),
        facts={"customers": 23},
    ),
    "a blank id": aside(",2025-01-02,5", said=("orders.csv", "102", "no customer id")),
    "an id of blanks": aside('"   ",2025-01-02,5'),
    "an id of a no-break space": aside("\u00a0,2025-01-02,5"),
    "an id of nothing visible": aside("\u200b\ufeff,2025-01-02,5"),
    "blanks around an id": one(lines(100, " c01 ,2025-01-02,5"), facts={"customers": 20}),
    "ids that differ in case": one(lines(100, "C01,2025-01-02,5"), facts={"customers": 21}),
    "ids like numbers": one(lines(100, "123.0,2025-01-02,5", "1e3,2025-01-02,5"), facts={"customers": 22}),
    "an id of ten thousand letters": aside("x" * 10_000 + ",2025-01-02,5", bad=0),
    "an id that is a formula": aside("=1+1,2025-01-02,5", bad=0),
    "an id of pictures": aside("🦊,2025-01-02,5", bad=0),
    "more than one line in twenty without an id": one(
        lines(100, *[",2025-01-02,5"] * 9), code=2, said=("orders.csv", "9 of 109", "no customer id")
    ),
    "one customer": one("customer_id,date,amount\nc1,2025-01-02,5\nc1,2025-01-09,5\n", said=("customers: 1",)),
}

AMOUNTS = {
    "decimal commas": paid('"12,50"', '"1,25"', times=20, said=("comma",), facts={"sum_amount": 275.0}),
    "decimal commas, declared": paid('"12,50"', times=20, how={"decimal": ","}, facts={"sum_amount": 250.0}),
    "both decimal marks": paid('"12,50"', "12.50", times=20, code=2, said=("orders.csv", "decimal")),
    "numbers that fit both marks": paid('"1,234"', '"5,678"', times=20, code=2, said=("orders.csv", "decimal")),
    "groups of thousands, undeclared": paid('"1,234.50"', "5.00", times=20, code=2, said=("thousands",)),
    "groups of thousands, declared": paid(
        '"1,234.50"', times=20, how={"thousands": ",", "decimal": "."}, facts={"sum_amount": 24690.0}
    ),
    "groups of thousands as in Italy": paid(
        '"1.234,50"', times=20, how={"thousands": ".", "decimal": ","}, facts={"sum_amount": 24690.0}
    ),
    **{
        f"{amount} as an amount": aside(f"c1,2025-01-02,{amount}", said=("orders.csv", "102", "amount"))
        for amount in (
            "NaN",
            "inf",
            "-Infinity",
            "1e400",
            "abc",
            "€ 5",
            "(5.00)",
            "5-",
            "0x1F",
            "1_000",
            "١٢",
            "1e20",
            "5 5",
        )
    },
    "no amount": aside("c1,2025-01-02,", said=("102", "no readable amount")),
    "minus nothing": aside("c1,2025-01-02,-0", bad=0),
    "blanks around an amount": aside("c1,2025-01-02, 5.00 ", bad=0),
    "a sum that floats would miss": paid("0.1", times=30, facts={"sum_amount": 3.0}),
    "currency signs everywhere": paid("€5.00", times=30, code=2, said=("orders.csv", "amount")),
    "a return": one(lines(100, "c1,2025-01-02,-5.00"), rows=(101, 101, [])),
    "a return, set aside": one(
        lines(100, "c1,2025-01-02,-5.00"),
        params={"data": {"returns": "set_aside"}},
        rows=(101, 100, []),
        said=("return",),
    ),
    "a return, refused": one(
        lines(100, "c1,2025-01-02,-5.00"), params={"data": {"returns": "refuse"}}, code=2, said=("returns",)
    ),
    "nothing but zeros": paid("0", times=30, said=("sum to 0",)),
}

DUPLICATES = {
    "lines that stand twice": one(lines(100, "c1,2025-02-02,5", "c1,2025-02-02,5"), rows=(102, 102, []), said=("1",)),
    "lines that stand twice, dropped": one(
        lines(100, "c1,2025-02-02,5", "c1,2025-02-02,5"), params={"data": {"duplicates": "drop"}}, rows=(102, 101, [])
    ),
    "lines that stand twice, refused": one(
        lines(100, "c1,2025-02-02,5", "c1,2025-02-02,5"),
        params={"data": {"duplicates": "refuse"}},
        code=2,
        said=("duplicates",),
    ),
    "lines equal but for one column": one(
        lines(100, "c1,2025-02-02,5", "c1,2025-02-02,6"), params={"data": {"duplicates": "drop"}}, rows=(102, 102, [])
    ),
    "a policy nobody knows": one(
        lines(), params={"data": {"duplicates": "merge"}}, code=2, said=("duplicates", "drop")
    ),
}


@pytest.mark.parametrize("case", DATES)
def test_dates(tmp_path, case):
    holds(DATES[case], tmp_path)


@pytest.mark.parametrize("case", IDS)
def test_ids(tmp_path, case):
    holds(IDS[case], tmp_path)


@pytest.mark.parametrize("case", AMOUNTS)
def test_amounts(tmp_path, case):
    holds(AMOUNTS[case], tmp_path)


@pytest.mark.parametrize("case", DUPLICATES)
def test_duplicates(tmp_path, case):
    holds(DUPLICATES[case], tmp_path)
