"""Erasure of a person: nothing of them is left, nobody else is touched, and what was published stands."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from crmlab.contract import Refused
from crmlab.delivery.export import export_list
from crmlab.forgetting import forget_customer
from crmlab.loop import Asked, run_study
from crmlab.stage.erased import erased
from crmlab.stage.folder import Published
from crmlab.stage.ledger import deliveries
from crmlab.stage.people import people
from crmlab.stage.taking import take_in
from crmlab.study import load_study
from tests.live import add, email, live_study, name
from tests.world import called

TODAY, ERASED_ON = date(2023, 8, 20), date(2023, 8, 21)

NAMELESS = [f"c{i:05d}" for i in range(0, 60, 5)]
"""Customers of whom the raw file has a line without an id, too."""


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """A live study whose first list was delivered, with a customer of that list who has a line set aside, too."""
    folder = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRMLAB_KEYS", str(folder / "keys"))
        path = live_study(folder)
        add(path, "transactions", *([f"c{i:05d}", "no day", "5.00", f"bad{i}"] for i in range(0, 300, 5)))
        add(path, "customers", *(["", email(c), "", "", "IT", "0"] for c in NAMELESS))
        done = run(path)
        assert [d.state for d in done] == ["published", "published", "not yet due"], done
        export_list(path, "first", "email", form="plain", today=TODAY)
        yield path


def run(path):
    return run_study(path, Asked(today=TODAY, cycle="first", pictures=False))


@pytest.fixture
def study(delivered, tmp_path):
    shutil.copytree(delivered.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "params" / delivered.name


def reports(path):
    return path.parents[1] / "reports" / "shop"


def on_the_list(path):
    """A customer on the delivered list of whom lines were set aside, too: with the id, and with the e-mail alone."""
    sent = pd.read_csv(next(iter(deliveries(reports(path)))).folder / "list.csv", dtype=str)
    (column,) = [c for c in sent.columns if sent[c].str.contains("@example.com").all()]
    return next(c for address in sent[column] if (c := address.partition(".")[0]) in NAMELESS)


def holding(folder, *words):
    """Files that hold one of the words: in their bytes, their names, or a value of a table."""
    found = set()
    for path in (p for p in folder.rglob("*") if p.is_file()):
        text = path.read_bytes() + str(path).encode()
        if path.suffix == ".parquet":
            text += pd.read_parquet(path).to_csv().encode()
        found |= {str(path.relative_to(folder)) for word in words if word.encode() in text}
    return sorted(found)


def test_nothing_of_an_erased_person_is_left_and_runs_leave_everything_as_it_was(study):
    customer = on_the_list(study)
    words = customer, email(customer), name(customer)
    assert {Path(f).parts[0] for f in holding(reports(study), *words)} == {"people", "quarantine", "deliveries"}
    everybody, (pseudonym,) = len(people(reports(study))), called(study, [customer])
    told = forget_customer(customer, study=study, today=ERASED_ON)
    assert holding(reports(study), *words) == []
    assert customer not in told
    assert re.search("from [0-9]+ stored inputs, 1 delivery, 1 file of lines set aside", told)
    assert "delete them there, too" in told
    assert len(people(reports(study))) == everybody - 1
    assert erased(reports(study)) == {pseudonym}
    inputs = {Path(f).parts[0] for f in holding(reports(study), pseudonym)}
    assert inputs == {"erased.json", "first", "inputs"}  # in inputs/ alone replaced.json
    assert holding(reports(study) / "inputs", pseudonym) == ["replaced.json"]
    done = run(study)
    assert {d.state for d in done} == {"unchanged", "not yet due"}, done
    assert holding(reports(study), *words) == []
    intake = take_in(load_study(study))
    assert "erased" not in " ".join(intake.reading.to_pandas()["reason"])
    assert (
        intake.tables["transactions"]
        .filter(intake.tables["transactions"].customer_id == pseudonym)
        .count()
        .to_pyarrow()
        .as_py()
        == 0
    )
    assert pseudonym in set(Published(reports(study) / "first/2_activation").table("assignment")["customer_id"])


def test_forgetting_twice_says_so_and_a_stranger_is_refused_without_a_hint(study):
    customer = on_the_list(study)
    forget_customer(customer, study=study, today=ERASED_ON)
    assert "erased already" in forget_customer(customer, study=study, today=date(2024, 1, 1))
    with pytest.raises(Refused, match="has not read that customer") as refused:
        forget_customer(customer[:-1] + "x", study=study, today=ERASED_ON)
    assert customer[:-1] not in str(refused.value)


def test_the_study_is_found_by_who_knows_the_customer(study, monkeypatch):
    monkeypatch.chdir(study.parents[1])
    customer = on_the_list(study)
    assert "shop: erased" in forget_customer(customer, study=None, today=ERASED_ON)
    with pytest.raises(Refused, match="that customer: not found"):
        forget_customer("nobody", study=None, today=ERASED_ON)


def test_a_person_erased_is_never_delivered_again(study):
    customer = on_the_list(study)
    forget_customer(customer, study=study, today=ERASED_ON)
    export_list(study, "first", "email", form="plain", today=date(2023, 8, 22))
    assert holding(reports(study) / "deliveries", customer, email(customer)) == []


KILLED = """
import os, sys
from datetime import date
from pathlib import Path
from crmlab.forgetting import forget_customer

folder, file, customer = sys.argv[1:4]
for at in map(int, sys.argv[4:]):
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9, at
        continue
    left = [at]
    def kill(event, args):
        if event in ("os.rename", "os.remove") and "reports" in str(args[0]):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), 9)
    sys.addaudithook(kill)
    forget_customer(customer, study=Path(folder) / str(at) / "params" / file, today=date(2023, 8, 21))
    os._exit(0)
"""


def test_killed_anywhere_it_is_finished_by_doing_it_again(delivered, tmp_path):
    customer, points = on_the_list(delivered), ["0", "1", "2", "4", "7", "11"]
    for at in points:
        shutil.copytree(delivered.parents[1], tmp_path / at)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, tmp_path, delivered.name, customer, *points]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for at in points:
        path = tmp_path / at / "params" / delivered.name
        forget_customer(customer, study=path, today=ERASED_ON)
        assert holding(reports(path), customer, email(customer)) == []
    assert {d.state for d in run(path)} == {"unchanged", "not yet due"}


def test_what_was_altered_is_mended_first_and_nothing_is_sealed_anew(study):
    customer = on_the_list(study)
    path = sorted((reports(study) / "inputs").glob("*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Refused, match=path.name):
        forget_customer(customer, study=study, today=ERASED_ON)
    assert erased(reports(study)) == set()
