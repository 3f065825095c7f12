"""Params files: what is accepted, what is refused and in which words; the calendar."""

from datetime import date

import pytest
import yaml

from crmlab.calendar import CycleRule
from crmlab.contract import Refused
from crmlab.study import load_study
from tests.world import params_file


def faults(path):
    with pytest.raises(Refused) as refusal:
        load_study(path)
    return str(refusal.value)


def test_a_misspelt_parameter_is_named_with_the_likely_one_and_its_line(tmp_path):
    path = params_file(tmp_path, retention={"perod": "M"})
    said = faults(path)
    assert "retention.perod (line " in said
    assert "did you mean 'period'?" in said


def test_all_faults_are_told_at_once(tmp_path):
    path = params_file(tmp_path, seed=-1, lang="fr", sed=3, retention={"period": "Y"})
    said = faults(path)
    assert said.startswith(f"{path}: 4 faults")
    for name in ("seed", "lang", "sed", "retention.period"):
        assert name in said


def test_a_wrong_value_is_said_with_what_was_expected(tmp_path):
    assert "got 'fr', expected 'en' or 'it'" in faults(params_file(tmp_path, lang="fr"))


def test_assumed_consent_is_refused_outside_replay(tmp_path):
    assert "assumed is for mode: replay alone" in faults(params_file(tmp_path, mode="live"))


def test_a_missing_file_and_a_missing_parameter_are_named(tmp_path):
    assert "no such file" in faults(tmp_path / "nowhere.yaml")
    path = params_file(tmp_path)
    path.write_text(path.read_text().replace("seed: 11\n", "", 1))
    assert "seed" in faults(path)
    assert "missing; add it" in faults(path)


def test_a_study_extends_another_in_five_lines(tmp_path):
    params_file(tmp_path)
    child = tmp_path / "params" / "child.yaml"
    child.write_text("extends: world.yaml\nstudy: by_club\nsegments:\n  by: club\n")
    base, extended = load_study(tmp_path / "params" / "world.yaml").study, load_study(child).study
    assert extended.study == "by_club"
    assert extended.segments.by == ("club",)
    assert extended.clv == base.clv
    assert extended.cycles == base.cycles


@pytest.mark.parametrize(("text", "says"), [
    ("extends: world.yaml\n", "needs a name of its own"),
    ("extends: nowhere.yaml\nstudy: x\n", "extends (line 1)  no such file"),
    ("extends: self.yaml\nstudy: x\n", "extends itself"),
])  # fmt: skip
def test_an_extension_that_cannot_be_is_refused(tmp_path, text, says):
    params_file(tmp_path)
    (tmp_path / "params" / "self.yaml").write_text(text)
    assert says in faults(tmp_path / "params" / "self.yaml")


@pytest.mark.parametrize(("cycles", "says"), [
    ([{"cycle": 2017, "as_of": "2023-08-13"}], "cycles.0.cycle"),
    ([{"cycle": "a", "as_of": "13.08.2023"}], "cycles.0.as_of"),
    ([{"cycle": "inputs", "as_of": "2023-08-13"}], "name of a folder of the study"),
    ([{"cycle": "a", "as_of": "9999-12-31"}], "outside 1900 to 2199"),
    ({"every": "month", "first": "2023-05-01", "last": "2023-01-01"}, "no cycle is left"),
    ({"every": "fortnight", "first": "2023-05-01"}, "cycles.every"),
    ({"every": "month", "first": "0001-01-01"}, "cycles.first"),
    ({"every": "month", "first": "2023-05-01", "last": "9999-01-01"}, "outside 1900 to 2199"),
    ({"every": "month"}, "cycles.first (line"),
    ({"every": "month", "first": "2023-05-01", "outcome_window": "9999w"}, "longer than ten years"),
    ([], "at least one"),
    (["a"], "cycles.0"),
    ([{"cycle": "../x", "as_of": "2023-08-13"}], "got '../x', expected up to 40 letters"),
    ([{"cycle": "People", "as_of": "2023-08-13"}], "name of a folder of the study"),
    ([{"cycle": "a", "as_of": "2023-08-13", "outcome_window": "8 weeks"}], "days or weeks, as 56d or 8w"),
    ([{"cycle": "a", "as_of": "2023-08-13", "outcome_window": "600w"}], "longer than ten years"),
    ([{"cycle": "a", "as_of": "2023-08-13"}, {"cycle": "a", "as_of": "2023-09-13"}], "'a' stands twice"),
    ([{"cycle": "a", "as_of": "2023-08-13"}, {"cycle": "A", "as_of": "2023-09-13"}], "but for capitals"),
    ([{"cycle": "a", "as_of": "2023-08-13"}, {"cycle": "b", "as_of": "2023-08-13"}], "have the same as_of"),
    ([{"cycle": "a", "as_of": "2023-08-13"}, {"cycle": "b", "as_of": "2023-07-13"}], "lies before 2023-08-13 of 'a'"),
    ("monthly", "cycles"),
])  # fmt: skip
def test_a_calendar_that_cannot_be_is_refused_with_one_fault(tmp_path, cycles, says):
    said = faults(params_file(tmp_path, cycles=cycles))
    assert says in said
    assert "2 faults" not in said


def test_an_unknown_cycle_is_refused_naming_those_there_are(tmp_path):
    study = load_study(params_file(tmp_path)).study
    with pytest.raises(Refused, match="no cycle 'secnd'; did you mean 'second'"):
        study.cycle_named("secnd")


@pytest.mark.parametrize(("every", "first", "names", "starts"), [
    ("month", date(2024, 1, 31), ["2024-01", "2024-02", "2024-03"], [(1, 31), (2, 29), (3, 31)]),
    ("quarter", date(2024, 11, 1), ["2024-11", "2025-02", "2025-05"], [(11, 1), (2, 1), (5, 1)]),
    ("week", date(2024, 12, 23), ["2024-12-23", "2024-12-30", "2025-01-06"], [(12, 23), (12, 30), (1, 6)]),
])  # fmt: skip
def test_a_rule_gives_cycles_whose_as_of_is_the_day_before_each_begins(every, first, names, starts):
    from datetime import timedelta
    from itertools import islice

    cycles = list(islice(CycleRule(every=every, first=first), 3))
    assert [c.cycle for c in cycles] == names
    assert [((c.as_of + timedelta(1)).month, (c.as_of + timedelta(1)).day) for c in cycles] == starts


def test_a_calendar_by_rule_shows_what_has_begun_and_the_next(tmp_path):
    path = params_file(tmp_path)
    study = yaml.safe_load(path.read_text()) | {"cycles": {"every": "month", "first": "2023-09-01"}}
    path.write_text(yaml.safe_dump(study))
    calendar = load_study(path).study.calendar(date(2023, 11, 15))
    assert [c.cycle for c in calendar] == ["2023-09", "2023-10", "2023-11", "2023-12"]


def test_the_window_is_counted_in_days_from_the_day_after_as_of(tmp_path):
    cycle = load_study(params_file(tmp_path)).study.cycle_named("first")
    assert cycle.window_days == 42
    assert cycle.window_end == date(2023, 9, 24)
