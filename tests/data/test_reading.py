from datetime import date

import pandas as pd

from crmlab.contract import Sentence
from crmlab.data import reading_report
from crmlab.data.reading import lines_of


def reading(*rows):
    frame = pd.DataFrame(rows, columns=["table", "date", "reason", "rows"])
    frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
    return frame


MIXED = reading(
    ("transactions", "2017-05-01", "kept", 30),
    ("transactions", "2017-05-07", "kept", 5),
    ("transactions", "2017-05-08", "kept", 65),
    ("transactions", "2017-05-02", "no customer id", 2),
    ("transactions", None, "no readable date", 3),
    ("customers", None, "kept", 10),
)
AS_OF = date(2017, 5, 7)


def test_rows_in_are_rows_kept_later_and_set_aside():
    table = reading_report(MIXED, as_of=AS_OF).table.set_index("table")
    row = table.loc["transactions"]
    assert (row["rows_in"], row["kept"], row["later"], row["set_aside"]) == (105, 35, 65, 5)
    assert row["why"] == "no readable date"
    assert (row["first"], row["last"]) == (pd.Timestamp("2017-05-01"), pd.Timestamp("2017-05-07"))
    assert table.loc["customers", ["rows_in", "kept", "later", "set_aside"]].tolist() == [10, 10, 0, 0]


def test_the_words_follow_the_numbers():
    said = [str(s) for s in reading_report(MIXED, as_of=AS_OF).sentences()]
    assert "65.0% of the good rows of transactions lie after 2017-05-07 and are invisible to this cycle." in said
    assert "Rows of transactions that were set aside, no readable date: 3." in said
    assert not any("Nothing was set aside" in s for s in said)


def test_the_words_say_the_opposite_where_the_numbers_do():
    clean = reading(("transactions", "2017-05-01", "kept", 30))
    said = reading_report(clean, as_of=AS_OF).sentences()
    assert [str(s) for s in said] == [
        "No row of transactions is later than 2017-05-07.",
        "Nothing was set aside: every row that came in could be used.",
    ]
    early = reading_report(clean, as_of=date(2017, 4, 30)).sentences()[0]
    assert early.tone == "bad"
    assert "is dated on or before 2017-04-30" in str(early)


def test_notes_of_the_source_are_carried():
    report = reading_report(MIXED, as_of=AS_OF, notes=[Sentence("Simulated.")])
    assert str(report.sentences()[-1]) == "Simulated."


def test_the_report_shows_itself():
    html = reading_report(MIXED, as_of=AS_OF)._repr_html_()
    assert "2017-05-07" in html
    assert "n = 35" in html


BAD = pd.DataFrame(
    [("transactions", "orders.csv", line, "no readable date", "day", "31/31/2025") for line in range(40, 20, -1)]
    + [("transactions", "orders.csv", 7, "no customer id", "", ""), ("customers", "people.csv", 0, "kept", "", "")],
    columns=["table", "file", "line", "reason", "column", "found"],
)


def test_the_lines_set_aside_are_named_by_reason_the_first_ten_of_each():
    lines = lines_of(BAD).set_index(["table", "reason"])
    dates = lines.loc[("transactions", "no readable date")]
    assert dates["rows"] == 20
    assert dates["lines"] == "21, 22, 23, 24, 25, 26, 27, 28, 29, 30, …"
    assert dates["column"] == "day"
    assert lines.loc[("transactions", "no customer id"), "lines"] == "7"
    assert lines.loc[("customers", "kept"), "lines"] == ""


def test_the_page_names_lines_and_never_what_stood_in_them():
    html = reading_report(MIXED, as_of=AS_OF, bad=BAD)._repr_html_()
    assert "orders.csv" in html
    assert "21, 22, 23" in html
    assert "31/31/2025" not in html
    assert "Lines that were set aside" not in reading_report(MIXED, as_of=AS_OF)._repr_html_()
