import os
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from crmlab.contract import language
from crmlab.contract.words import catalogue
from crmlab.report.page import page

HEADER = {
    "study": "Corner <i>Shop",
    "cycle": "2017-05",
    "sees data through": "2017-05-07",
    "mode": "replay: history, whose contacts were not ours; nothing can be exported",
    "customers": 2469,
}
VOID = {"meta", "link", "img", "br", "hr", "col"}


@pytest.fixture(scope="module")
def html(notebook):
    return page(notebook, title="Analysis", header=HEADER, lang="en", index="../../index.html", notice="Mind this.")


@pytest.fixture(scope="module")
def soup(html):
    return BeautifulSoup(html, "html.parser")


def test_nothing_is_asked_of_any_host(html, soup):
    for tag in soup.find_all(True):
        for name, value in tag.attrs.items():
            if name in ("src", "srcset", "data", "poster", "background", "action") or tag.name == "link":
                assert name != "href" or str(value).startswith("data:")
                assert name != "src" or str(value).startswith("data:image/")
                assert name in ("src", "href", "rel")
    style = soup.style.string
    assert not re.search(r"url\(|@import|@font-face|image-set", style)
    assert not soup.find_all(["script", "iframe", "object", "embed", "audio", "video", "base", "form"])
    assert not [a for t in soup.find_all(True) for a in t.attrs if a.lower().startswith("on") or a == "style"]


def test_the_policy_forbids_everything_but_the_pages_own_style(html, soup):
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    digest = b64encode(sha256(re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_every_picture_has_an_alternative_text(soup):
    assert soup.find_all("img")
    assert all(len(i["alt"]) > 10 for i in soup.find_all("img"))
    assert soup.find("img")["alt"] == 'Bars of value by segment: Champions highest, "by far" > others.'


def test_one_first_heading_and_a_table_of_contents_whose_links_arrive(soup):
    assert [h.get_text() for h in soup.find_all("h1")] == ["Analysis"]
    assert soup.select_one(".asks").get_text() == "Who are the customers, and what are they worth?"
    links = [a["href"][1:] for a in soup.select(".toc.side a")]
    assert links == ["what-was-read", "what-customers-are-worth", "by-segment", "a-plain-table", "what-stopped"]
    assert all(soup.find(id=anchor) for anchor in links)
    ids = [t["id"] for t in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_the_band_states_every_entry_escaped(soup):
    assert soup.select_one(".trail a")["href"] == "../../index.html"
    assert "Corner <i>Shop" in soup.select_one(".trail").get_text()
    facts = {d.dt.get_text(): d.dd.get_text() for d in soup.select(".facts div")}
    assert facts["customers"] == "2,469"
    assert set(facts) == set(HEADER) - {"study", "cycle"}
    assert soup.select_one(".strip").get_text() == "Mind this."


def test_code_and_messages_are_there_and_folded(soup):
    folds = soup.select("details.code")
    assert not any(f.has_attr("open") for f in folds)
    assert "crmlab.open_cycle" in soup.find("main").get_text()
    assert [f.select_one("pre.log").get_text() for f in folds if f.select_one("pre.log")] == ["Sampling 100 %"]
    assert "0x7f0" not in soup.get_text()


def test_a_small_count_of_people_and_the_tones_reach_the_page(soup):
    assert "< 5" in soup.select_one(".result table").get_text()
    assert [p["class"] for p in soup.select(".says")] == [["says", "warn"], ["says", "good"], ["says", "bad"]]
    assert soup.select_one(".error").get_text().startswith("ZeroDivisionError: division by zero")


def test_the_page_is_balanced_html_in_its_language(html):
    stack = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in VOID:
                stack.append(tag)

        def handle_endtag(self, tag):
            assert stack.pop() == tag

    Balance().feed(html)
    assert stack == []
    assert '<html lang="en">' in html


def test_the_same_notebook_gives_the_same_bytes(html, notebook):
    again = page(notebook, title="Analysis", header=HEADER, lang="en", index="../../index.html", notice="Mind this.")
    assert again == html


def test_a_page_stays_under_five_megabytes_whatever_the_notebook_holds():
    loud = [new_output("stream", name="stdout", text="line\n" * 900_000)]
    wide = [new_output("display_data", data={"text/html": f"<p>{'x' * 1_500_000}</p>"}) for _ in range(4)]
    html = page(new_notebook(cells=[new_code_cell("a", outputs=loud + wide)]), title="A", header={}, lang="en")
    assert len(html.encode()) < 5_000_000
    assert html.count("too large for a page") == 2


def test_prose_is_looked_up_whole_and_the_language_is_put_back(monkeypatch):
    monkeypatch.delenv("CRMLAB_STRICT_WORDS", raising=False)
    source = "# Question?\n\n## Where it began\n\nText with {braces}."
    monkeypatch.setitem(catalogue("it"), source, "# Domanda?\n\n## Dove cominciò\n\nTesto con {graffe}.")
    notebook = new_notebook(cells=[new_markdown_cell(source + "\n"), new_markdown_cell("Not in the catalogue.")])
    soup = BeautifulSoup(page(notebook, title="Analisi", header={"n": 1234.5}, lang="it"), "html.parser")
    assert soup.html["lang"] == "it"
    assert soup.select_one(".asks").get_text() == "Domanda?"
    assert soup.h2["id"] == "dove-comincio"
    assert "Testo con {graffe}." in soup.main.get_text()
    assert "Not in the catalogue." in soup.main.get_text()
    assert soup.select_one(".facts dd").get_text() == "1.234,5"
    assert language() == "en"


def test_an_opening_heading_that_says_the_title_is_not_said_twice():
    html = page(new_notebook(cells=[new_markdown_cell("# Analysis\n\nText.")]), title="Analysis", header={}, lang="en")
    assert BeautifulSoup(html, "html.parser").main.get_text().strip() == "Text."
    assert 'class="asks"' not in html


@pytest.mark.parametrize(("width", "height"), [(1280, 1600), (500, 1600)])
def test_a_real_browser_draws_the_page_in_its_own_style(html, tmp_path, width, height):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("chromium is not installed")
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    picture = Path(os.environ.get("CRMLAB_SHOTS", tmp_path)) / f"page-{width}.png"
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"
    quiet += " --disable-component-update --disable-sync --enable-logging=stderr"
    done = subprocess.run(
        [chromium, *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}",
         f"--screenshot={picture}", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, "the browser complains about the page"
    with Image.open(picture) as image:
        pixels = image.convert("RGB")
        assert pixels.size == (width, height)
        assert pixels.getpixel((5, 5)) == (20, 59, 82), "the band is drawn: the policy lets the style through"
        assert pixels.getpixel((width - 3, height - 3)) == (255, 255, 255)


def test_cells_in_a_row_that_show_nothing_are_folded_together():
    cells = [new_code_cell("import a"), new_code_cell("import b"), new_code_cell("c", outputs=[shown("text")])]
    soup = BeautifulSoup(page(new_notebook(cells=cells), title="A", header={}, lang="en"), "html.parser")
    folded = [d.pre.get_text() for d in soup.find_all("details") if d.pre]
    assert folded == ["import a\nimport b", "c"]


def shown(text):
    return new_output("display_data", data={"text/plain": text})


def test_headings_of_outputs_stand_in_the_contents_too():
    card = new_output(
        "display_data", data={"text/html": "<div class='sheet'><h3>Gold &amp; co</h3><h4>Not this</h4></div>"}
    )
    cells = [new_markdown_cell("## Gold co"), new_code_cell("cards", outputs=[card])]
    made = page(new_notebook(cells=cells), title="t", header={}, lang="en")
    soup = BeautifulSoup(made, "html.parser")
    assert [a.text for a in soup.select(".toc.side a")] == ["Gold co", "Gold & co"]
    assert soup.select_one("h3")["id"] == "gold-co-2"
    assert soup.select_one(".toc.side a[href='#gold-co-2']")
