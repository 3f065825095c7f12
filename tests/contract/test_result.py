from dataclasses import dataclass
from datetime import date

import pandas as pd

from crmlab.contract import Basis, Result, Sentence, say, use
from crmlab.contract.result import cell_text

BASIS = Basis(7, "customers", date(2017, 1, 1), date(2017, 5, 7))


@dataclass(frozen=True)
class Small(Result):
    table: pd.DataFrame
    basis: Basis = BASIS

    title = "A <b>title</b>"
    columns = {"name": ("Segment", ""), "customers": ("Customers", ",.0f"), "rate": ("Rate", ".1%")}  # noqa: RUF012

    def sentences(self):
        return [Sentence("{n} of them", {"n": 1234.5}, tone="bad")]


FRAME = pd.DataFrame({"name": ["<script>", "b"], "customers": [3, 1200], "rate": [0.333, 0.25], "hidden": [1, 2]})


def test_markup_in_data_and_titles_is_escaped():
    html = Small(FRAME)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>title" not in html


def test_fewer_than_five_people_are_not_shown_nor_what_would_tell_them():
    html = Small(FRAME)._repr_html_()
    assert "&lt; 5" in html
    assert "33.3%" not in html
    assert "25.0%" in html


def test_only_declared_columns_are_shown_and_the_basis_with_them():
    html = Small(FRAME)._repr_html_()
    assert "hidden" not in html
    assert "n = 7 customers · 2017-01-01 to 2017-05-07" in html


def test_sentences_carry_their_tone():
    assert '<p class="says bad">1234.5 of them</p>' in Small(FRAME)._repr_html_()


def test_a_long_table_is_cut_and_says_so():
    long = pd.DataFrame({"name": ["x"] * 100, "customers": 50, "rate": 0.5})
    assert "40 more rows" in Small(long)._repr_html_()


def test_italian_numbers_take_the_decimal_comma():
    use("it")
    try:
        assert cell_text(1234.5, ",.1f") == "1.234,5"
        assert say("{n:,.1f}", n=1234.5) == "1.234,5"
        assert say("{day}", day=date(2017, 5, 7)) == "2017-05-07"
    finally:
        use("en")


def test_what_is_missing_is_a_dash():
    assert [cell_text(v, ",.0f") for v in (None, float("nan"), pd.NaT, pd.NA)] == ["–"] * 4
