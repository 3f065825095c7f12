import pytest
from bs4 import BeautifulSoup

from crmlab.report.index import reports_index, study_index

STATES = ["published", "refused", "waiting", "published", "failed", "due"]
STAGES = [
    {
        "cycle": cycle,
        "stage": stage,
        "state": state,
        "href": f"{cycle}/{stage}/page.html" if state == "published" else None,
        "as_of": "2017-05-07",
        "due_on": "2017-09-01" if state in ("due", "waiting") else None,
        "message": "R-hat 1.03 <b>" if state in ("refused", "failed") else "",
        "figures": [{"label": "Retention", "text": "97.6 % (96.9–98.2 %)"}] if state == "published" else [],
        "changes": ["Champions was split."] if (cycle, stage) == ("2017-08", "1_analysis") else [],
        "revision": 2 if (cycle, stage) == ("2017-05", "1_analysis") else 1,
    }
    for (cycle, stage), state in zip(
        [(c, s) for c in ("2017-05", "2017-08") for s in ("1_analysis", "2_activation", "3_reanalysis")],
        STATES,
        strict=True,
    )
]
STUDY = {"study": "a_b", "title": "A & B", "header": {"mode": "replay", "n": 2469}, "index": "../index.html"}


@pytest.fixture
def soup():
    return BeautifulSoup(study_index(STUDY, STAGES), "html.parser")


def test_the_grid_shows_every_stage_with_its_state_in_words(soup):
    rows = soup.select(".board tbody tr")
    assert [r.th.get_text() for r in rows] == ["2017-05", "2017-08"]
    assert [s.get_text()[2:] for s in soup.select(".board .state")] == STATES
    assert [a["href"] for a in soup.select(".board a")] == [s["href"] for s in STAGES if s["href"]]


def test_a_failure_says_why_and_a_stage_not_run_says_when(soup):
    assert [m.get_text() for m in soup.select(".board small.bad")] == ["R-hat 1.03 <b>"] * 2
    text = soup.select_one(".board").get_text()
    assert text.count("Due on 2017-09-01") == 2
    assert text.count("As of 2017-05-07") == 2
    assert text.count("Revision 2") == 1


def test_figures_and_changes_stand_with_their_cycle(soup):
    turns = {t.h3.get_text(): t.get_text() for t in soup.select(".turns > li")}
    assert "97.6 %" in turns["2017-05"]
    assert "What changed" not in turns["2017-05"]
    assert "Champions was split." in turns["2017-08"]


def test_the_index_is_safe_and_complete_in_itself(soup):
    assert soup.h1.get_text() == "A & B"
    assert not soup.find_all(["script", "img", "iframe"])
    assert {d.dt.get_text(): d.dd.get_text() for d in soup.select(".band .facts div")} == {
        "mode": "replay",
        "n": "2,469",
    }
    assert soup.select_one(".trail a")["href"] == "../index.html"


def test_a_study_without_cycles_says_so():
    assert "No cycle has begun." in study_index({"study": "x"}, [])
    assert "No study has been run yet." in reports_index([])


def test_the_index_of_studies_counts_states_and_names_the_next_day():
    soup = BeautifulSoup(reports_index([{**STUDY, "href": "a_b/index.html", "stages": STAGES}]), "html.parser")
    card = soup.select_one(".cards li")
    assert card.h2.a["href"] == "a_b/index.html"
    assert "2 published" in card.get_text()
    assert "2017-08 · Analysis" in card.get_text()
    assert "2017-09-01" in card.get_text()


@pytest.mark.parametrize("order", [1, -1])
def test_cycles_stand_in_the_order_given(order):
    soup = BeautifulSoup(study_index(STUDY, STAGES[::order]), "html.parser")
    assert [r.th.get_text() for r in soup.select(".board tbody tr")] == ["2017-05", "2017-08"][::order]
    assert [t.get_text() for t in soup.select(".board thead th")] == ["Cycle", "Analysis", "Activation", "Re-analysis"]
