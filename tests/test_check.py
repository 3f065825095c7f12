"""What `crmlab check` tells beyond counts: in which order, from which day on, and never whom."""

from pathlib import Path

import pytest

from crmlab.check import check_study
from tests.battery.case import Case, lines, study
from tests.world import params_file


def test_the_report_tells_tables_then_what_was_assumed_then_what_comes_next(tmp_path):
    case = Case(files={"orders.csv": lines(100, "c1,2025-02-30,5", ",2025-01-02,5").replace(",", ";")})
    told = str(check_study(study(case, tmp_path)))
    order = [
        "transactions (../orders.csv)",
        "102 rows in, 100 kept, 2 set aside; 20 customers; amount 5,000.00; 2025-01-01 to 2025-01-28",
        "1 no readable date (column date): line 102, such as '2025-02-30'; mend them, or declare date_format",
        "What was detected and assumed",
        "What will cost later",
        "What comes next",
    ]
    places = [told.index(part) for part in order]
    assert places == sorted(places)


def test_only_the_first_ten_lines_are_named_and_all_are_in_the_data(tmp_path):
    checked = check_study(study(Case(files={"orders.csv": lines(400, *["c1,no,5"] * 12)}), tmp_path))
    assert "line 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, …" in str(checked)
    assert checked.tables["transactions"]["bad_lines"] == list(range(402, 414))


@pytest.mark.parametrize("found", ["anna.rossi@posta.it", "Anna Rossi", "+39-anna"])
def test_what_stood_in_a_bad_line_is_told_only_where_it_names_nobody(tmp_path, found):
    checked = check_study(study(Case(files={"orders.csv": lines(100, f"c1,{found},5")}), tmp_path))
    assert checked.tables["transactions"]["bad_lines"] == [102]
    assert found not in str(checked) + checked.as_json()


def test_a_refused_table_is_still_told_beside_its_faults(tmp_path):
    checked = check_study(study(Case(files={"orders.csv": lines(20, *["c1,no,5"] * 10)}), tmp_path))
    assert checked.exit_code == 2
    assert (checked.tables["transactions"]["rows_in"], checked.tables["transactions"]["rows_kept"]) == (30, 20)
    assert "mend the faults below" in str(checked)


def test_a_known_source_is_told_without_files(tmp_path):
    checked = check_study(params_file(tmp_path, options={"n_customers": 300}))
    assert checked.exit_code == 0, checked.refusal
    assert checked.tables["transactions"]["file"] == "source simulated"
    assert any("analysis of first, due from 2023-08-14" in message for message in checked.messages)
    assert not (tmp_path / "reports").exists()


def test_consents_that_stand_in_customers_are_told_under_their_file(tmp_path):
    people = "customer_id,consent_email\n" + "".join(f"c{i:02},yes\n" for i in range(20))
    files = {"orders.csv": lines(), "people.csv": people}
    also = {"data": {"files": {"customers": {"path": "../people.csv"}}}}
    assert "consents (../people.csv)" in str(check_study(study(Case(files=files, params=also), tmp_path)))


def test_a_table_without_a_row_is_told_as_any_other(tmp_path):
    files = {"orders.csv": lines(), "answers.csv": "customer_id,campaign_id,date,response\n"}
    also = {"data": {"files": {"outcomes": {"path": "../answers.csv"}}}}
    checked = check_study(study(Case(files=files, params=also), tmp_path))
    assert checked.exit_code == 0, checked.refusal
    told = checked.tables["outcomes"]
    assert (told["rows_in"], told["bad_lines"], told["customers"], told["min_date"]) == (0, [], 0, None)


def test_a_stage_waits_for_data_that_do_not_reach_it(tmp_path):
    late = {"cycles": [{"cycle": "a", "as_of": "2026-03-31"}]}
    checked = check_study(study(Case(params=late), Path(tmp_path)))
    assert any("waits for data through 2026-03-31; extracted_on is 2025-12-31" in m for m in checked.messages)
