import pytest

from crmlab.data.dialect import Header, header, no_text
from crmlab.data.mends import for_dates, for_numbers

WANTED = ("customer_id", "date", "amount")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_and_said_unless_it_is_the_usual_one(separator):
    found = header(separator.join(WANTED) + "\n" + separator.join("a1,5"[:2] for _ in WANTED) + "\n", WANTED, None)
    assert found == Header(WANTED, separator, 1, separator != ",")


def test_two_separators_that_fit_are_refused():
    assert "declare separator" in header("a;b,c;d,e\n1;2,3;4,5\n", WANTED, None)


def test_a_declared_separator_is_never_overridden():
    assert 'declare separator: ";"' in header("customer_id;date;amount\n", WANTED, ",")
    assert header("customer_id;date,amount\n", WANTED, ",").names == ("customer_id;date", "amount")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("customer_id,date,date\n", "line 1: two columns are called 'date'"),
        ("customer_id,date,Date\n", "differ only in case"),
        ("customer_id,,date\n", "column 2 has no name"),
        ("Sales of 2017\n\ncustomer_id,date,amount\n", "line 1 holds 'Sales of 2017'"),
        ("c1,2017-01-01,5\nc2,2017-01-02,6\n", "holds values, not the names"),
        ("\n \n", "holds no line of text"),
    ],
)
def test_a_header_that_is_none_is_refused_with_its_line(text, said):
    assert said in header(text, WANTED, None)


def test_a_header_may_be_quoted_end_in_a_separator_and_stand_below_empty_lines():
    assert header('\n"customer_id","da\nte",amount,\n', WANTED, None) == Header(
        ("customer_id", "da\nte", "amount"), ",", 3, False
    )


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "empty"),
        (b"PK\x03\x04", ".xlsx"),
        (b"PAR1", ".parquet"),
        (b"\x1f\x8b\x08", ".csv.gz"),
        (b"<!DOCTYPE html><html>", "web page"),
        ("id,a\n".encode("utf-16"), "encoding: utf-16"),
        (("id,a\n" * 20).encode("utf-16-le"), "encoding: utf-16-le"),
        (b"id\0\0\0,a\n", "is not text"),
    ],
)
def test_what_is_no_text_is_named(head, said):
    assert said in no_text(head, "utf-8")


def test_text_is_text():
    assert no_text("\ufeffid,è\n".encode(), "utf-8") is None
    assert no_text("id,è\n".encode("utf-16"), "utf-16") is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["31/12/2025", "01/02/2025"], '"%d/%m/%Y", which reads them'),
        (["12/31/2025", "01/02/2025"], '"%m/%d/%Y", which reads them'),
        (["02/03/2025"], '"%d/%m/%Y" (day first) and "%m/%d/%Y" (month first)'),
        (["31/12/2025", "12/31/2025"], "'31/12/2025' is day first and '12/31/2025' month first"),
        (["20250131"], '"%Y%m%d"'),
        (["31122025", "01022025"], '"%d%m%Y", which reads them'),
        (["01022025"], '"%d%m%Y" (day first) and "%m%d%Y" (month first)'),
        (["31.12.25 10:00"], '"%d.%m.%y %H:%M"'),
        (["45000"], "Excel"),
        (["1700000000"], "since 1970"),
        (["soon"], "date_format"),
        ([], "fill them in"),
    ],
)
def test_dates_that_cannot_be_read_are_answered_with_the_format_that_would(values, said):
    assert said in for_dates(values, None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["5,00"], 'decimal: ","'),
        (["1,234.50"], 'decimal: "." and thousands: ","'),
        (["1.234,50"], 'decimal: "," and thousands: "."'),
        (["€ 5"], "currency"),
        (["(5.00)"], "minus sign"),
        (["twelve"], "plain numbers"),
    ],
)
def test_numbers_that_cannot_be_read_are_answered_with_the_marks_that_would(values, said):
    assert said in for_numbers(values, ".", None)
