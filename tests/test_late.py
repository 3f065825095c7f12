"""Data that came late, and what was delivered: what is published stays."""

import csv
import shutil
from datetime import timedelta

import pandas as pd
import pytest

from benchmarks.breaking import AFTER_ANSWERS, AFTER_LIST, AS_OF, bytes_of, keys, month, tiny_study
from crmlab.loop import Asked, run_study

SECOND = AFTER_ANSWERS + timedelta(days=21)


def run(path, *, today=AFTER_ANSWERS, **asked):
    return run_study(path, Asked(today=today, pictures=False, **asked))


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A live study of two cycles, the first of them delivered and answered."""
    folder = tmp_path_factory.mktemp("late")
    path = tiny_study(folder, cycles=2)
    with keys(folder / "keys"):
        month(path)
        yield path


@pytest.fixture
def study(once, tmp_path):
    """A copy of it to change."""
    shutil.copytree(once.parent.parent, tmp_path / "study", copy_function=shutil.copy2)
    return tmp_path / "study" / "params" / once.name


def reports(path):
    return path.parent.parent / "reports"


def add(path, *rows):
    with (path.parent.parent / "raw" / "transactions.csv").open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def answers(path, cycle):
    table = pd.read_parquet(reports(path) / f"tiny/{cycle}/3_reanalysis/tables/contacts_so_far.parquet")
    return table[table["campaign_id"].str.startswith("tiny-one-")].set_index("arm")["responders"]


def test_late_answers_leave_what_was_published_and_count_in_the_next_cycle(study):
    first = {name: digest for name, digest in bytes_of(reports(study)).items() if name.startswith("tiny/one/")}
    people = [f"c{i:04d}" for i in range(160)]
    add(study, *([c, str(AS_OF + timedelta(days=5)), "20.00", f"late-{c}"] for c in people))
    done = run(study, today=SECOND)
    states = [d.state for d in done]
    assert states == ["unchanged", "unchanged", "kept", *["published"] * 3], [d.message for d in done]
    assert not any(d.exit_code for d in done)
    assert "inputs: transactions" in done[2].message
    assert {name: d for name, d in bytes_of(reports(study)).items() if name.startswith("tiny/one/")} == first
    sent = pd.read_parquet(reports(study) / "tiny/deliveries/001/ledger.parquet")["arm"].value_counts()
    assert (answers(study, "one") < sent).all()
    assert answers(study, "two").to_dict() == sent.to_dict()


def test_a_named_cycle_on_changed_data_is_refused_until_a_revision_is_asked_for(study):
    add(study, ["c0001", str(AS_OF + timedelta(days=5)), "20.00", "late"])
    done = run(study, cycle="one")
    assert [(d.stage, d.state, d.exit_code) for d in done][-1] == ("reanalysis", "differs", 2)
    assert "inputs: transactions" in done[-1].message
    assert run(study, cycle="one", revise=True)[-1].state == "published"
    assert (reports(study) / "tiny/one/3_reanalysis.r2/manifest.json").is_file()


@pytest.mark.parametrize("changed", ["budget: 30", "bands: 2"])
def test_a_list_that_was_delivered_is_never_revised(study, changed):
    name, value = changed.split(": ")
    study.write_text(study.read_text().replace(changed, f"{name}: {int(value) + 1}"))
    before = bytes_of(reports(study) / "tiny/one")
    done = run(study, cycle="one", revise=True)
    assert done[-1].exit_code == 2
    assert "was delivered" in done[-1].message
    assert bytes_of(reports(study) / "tiny/one") == before


def test_an_undelivered_list_can_be_revised(tmp_path):
    path = tiny_study(tmp_path)
    with keys(tmp_path / "keys"):
        run(path, today=AFTER_LIST)
        path.write_text(path.read_text().replace("budget: 30", "budget: 20"))
        assert run(path, today=AFTER_LIST, revise=True, cycle="one")[1].state == "published"
    assert (tmp_path / "reports/tiny/one/2_activation.r2/manifest.json").is_file()


def test_files_of_answers_declared_only_once_there_are_any_stop_nothing(study):
    study.write_text(study.read_text().replace("budget: 30", "budget: 31"))
    raw = study.parents[1] / "raw/outcomes.csv"
    raw.write_text("customer_id,campaign_id,date,response\nc0001,another,2023-01-02,1\n")
    study.write_text(study.read_text().replace("  files:\n", "  files:\n    outcomes: {path: ../raw/outcomes.csv}\n"))
    before = bytes_of(reports(study) / "tiny/one")
    done = run(study, cycle="one", through="activation")
    assert [(d.state, d.exit_code) for d in done] == [("kept", 0), ("kept", 0)], [d.message for d in done]
    assert "budget" in done[1].message
    assert bytes_of(reports(study) / "tiny/one") == before


def test_what_the_re_analysis_was_promised_to_be_is_not_changed_after_the_list(study):
    study.write_text(study.read_text() + "design: observational\n")
    done = run(study, cycle="one")
    assert (done[-1].state, done[-1].exit_code) == ("differs", 2)
