"""Pictures of cards: one a segment, only of what is known, held in the page they stand on."""

import re
from base64 import b64decode

import matplotlib
import pytest

from crmlab import plots
from crmlab.plots.frame import no_pictures
from crmlab.report.clean import clean
from crmlab.report.prose import anchored
from tests.segments.test_cards import company, told

matplotlib.use("agg")


@pytest.fixture(scope="module")
def result():
    c = company()
    was = c["membership"].copy()
    was.iloc[:50] = "s2"
    return told(c, was=was)


def test_a_card_s_picture_has_a_panel_for_each_part_that_is_known(result):
    ax = plots.card(result.card("Gold"))
    titles = [a.get_title(loc="left") for a in ax.figure.axes]
    assert titles == [
        "Who they are, against all", "What they are worth", "What they buy", "On which days they buy",
        "How they answered", "Who came, and who left",
    ]  # fmt: skip
    assert "6 panels on “Gold”: Who they are" in str(ax.alt)


def test_what_is_not_known_has_no_panel_and_nothing_known_no_picture():
    c = company(same=True)
    c["answers"], c["lines"] = c["answers"].head(0), c["lines"].drop("category")
    found = told(c)
    assert [a.get_title(loc="left") for a in plots.card(found.card("Gold")).figure.axes] == ["On which days they buy"]
    c["membership"] = c["membership"].head(0)
    assert "no segment of five" in str(plots.overview(told(c)).alt)


def test_bars_of_fewer_than_five_are_not_drawn():
    c = company(40)
    panel = plots.card(told(c).card("Gold")).figure.axes
    bars = next(a for a in panel if a.get_title(loc="left") == "What they are worth").patches
    counts = told(c).card("Gold").tenths
    drawn = counts[(counts["customers"] >= 5) | (counts["customers"] == 0)]
    assert len(bars) == len(drawn)


def test_the_overview_has_a_line_a_segment(result):
    ax = plots.overview(result)
    assert {t.get_text() for t in ax.get_yticklabels()} == {"Gold", "Silver"}
    assert "One line for each of 2 segments" in str(ax.alt)


def test_the_sheets_hold_text_then_picture_and_survive_the_page(result):
    html = clean(plots.cards(result)._repr_html_())
    html, headings = anchored(html, frozenset({"gold"}))
    assert {h.text for h in headings} == {"Gold", "Silver"}
    assert {h.anchor for h in headings} == {"gold-2", "silver"}, "no two alike on a page"
    assert html.count('class="sheet"') == 2
    pictures = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', html)
    assert len(pictures) == 2
    assert all(b64decode(p).startswith(b"\x89PNG") for p in pictures)
    assert all("panels on" in alt for alt in re.findall(r'alt="([^"]+)"', html))
    assert len(html) < 400_000


def test_the_same_cards_make_the_same_bytes(result):
    assert plots.cards(result).html == plots.cards(result).html


def test_where_pictures_are_switched_off_nothing_is_drawn(result):
    with no_pictures():
        assert plots.cards(result) is None
        assert plots.overview(result) is None
