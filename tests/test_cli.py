"""The command line as a person meets it: messages, exit codes, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import params_file

BIN = Path(sys.executable).parent


def crmlab(*words, cwd):
    return subprocess.run([BIN / "crmlab", *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300)


FILES = """
study: shop
seed: 1
consent: assumed
data:
  files:
    transactions: {path: orders.csv, columns: {customer_id: client, date: day, amount: total}}
cycles: [{cycle: a, as_of: 2023-01-31}]
"""


def own_data(folder, header="client,day,total", *, missing=False):
    (folder / "params").mkdir()
    if not missing:
        (folder / "params" / "orders.csv").write_text(f"{header}\nc1,2023-01-02,5.00\n")
    (folder / "params" / "shop.yaml").write_text(FILES)
    return folder / "params" / "shop.yaml"


CASES = {
    "a misspelt parameter": (lambda f: params_file(f, retention={"perod": "M"}), [], ["retention.perod", "'period'"]),
    "a missing params file": (lambda f: "params/nowhere.yaml", [], ["params/nowhere.yaml: no such file"]),
    "a missing data file": (
        lambda f: own_data(f, missing=True),
        [],
        ["transactions", "orders.csv"],
    ),
    "a missing column": (lambda f: own_data(f, "client,day,totale"), [], ["amount", "totale"]),
    "an unknown cycle": (lambda f: params_file(f), ["--cycle", "frist"], ["no cycle 'frist'", "'first'"]),
    "a day that is none": (lambda f: params_file(f), ["--today", "tomorrow"], ["tomorrow"]),
    "an unknown trait": (
        lambda f: params_file(f, segments={"by": "chanel"}),
        ["--cycle", "first", "--through", "analysis"],
        ["chanel"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_message_that_names_it_and_exit_code_2(tmp_path, case):
    make, words, said = CASES[case]
    done = crmlab("run", make(tmp_path), *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for part in said:
        assert part in done.stderr, done.stderr
    assert not list((tmp_path / "reports").rglob("manifest.json"))
    assert case == "an unknown trait" or not (tmp_path / "reports").exists()


def test_a_run_before_anything_is_due_says_when_and_exits_0(tmp_path):
    done = crmlab("run", params_file(tmp_path), "--today", "2023-08-01", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Next due: analysis of first on 2023-08-14" in done.stdout
    assert done.stdout.rstrip().endswith("reports/index.html")


def test_the_help_lists_the_options_of_a_run(tmp_path):
    text = subprocess.run(
        [BIN / "crmlab", "run", "--help"],
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
    ).stdout
    for option in ("--cycle", "--through", "--today", "--revise"):
        assert option in text


ORDERS = "client,day,total\n" + "".join(f"c{i % 9},2023-01-{1 + i % 28:02},{i}.50\n" for i in range(100))


def checkable(folder, *extra):
    path = own_data(folder)
    (folder / "params" / "orders.csv").write_text(ORDERS + "".join(f"{line}\n" for line in extra))
    return path


def test_check_tells_what_is_in_the_files_and_changes_nothing(tmp_path):
    path = checkable(tmp_path, "c1,2023-02-30,5", "c1,2023-01-02")
    before = sorted(tmp_path.rglob("*"))
    done = crmlab("check", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "102 rows in, 100 kept, 2 set aside; 9 customers; amount 5,000.00; 2023-01-01 to 2023-01-28" in done.stdout
    assert "line 102" in done.stdout
    assert "line 103" in done.stdout
    assert "analysis of a, due from 2023-02-01: crmlab run params/shop.yaml" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_check_gives_the_same_as_data(tmp_path):
    done = crmlab("check", checkable(tmp_path, "c1,2023-02-30,5"), "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    table = told["tables"]["transactions"]
    assert (told["study"], told["exit_code"]) == ("shop", 0)
    assert (table["rows_in"], table["rows_kept"], table["bad_lines"]) == (101, 100, [102])
    assert (table["customers"], table["sum_amount"]) == (9, 5000)
    assert (table["min_date"], table["max_date"]) == ("2023-01-01", "2023-01-28")
    assert table["bad"] == [{"line": 102, "reason": "no readable date", "column": "day"}]


@pytest.mark.parametrize("study", ["params/nowhere.yaml", "a misspelt parameter"])
def test_check_gives_data_even_where_params_are_refused(tmp_path, study):
    path = CASES[study][0](tmp_path) if study in CASES else study
    done = crmlab("check", path, "--json", cwd=tmp_path)
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["exit_code"] == 2
    assert told["messages"]
    assert "Traceback" not in done.stderr


def test_new_writes_a_file_that_check_reads(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").write_text(ORDERS)
    done = crmlab("new", "shop", "--from", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "crmlab check params/shop.yaml" in done.stdout
    assert crmlab("check", "params/shop.yaml", cwd=tmp_path).returncode == 0
    again = crmlab("new", "shop", "--from", "data", cwd=tmp_path)
    assert again.returncode == 2
    assert "never overwritten" in again.stderr


def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    words = [BIN / "crmlab", "check", checkable(tmp_path)]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        said = running.stderr.read()
    assert said == ""


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path):
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.wait(60) == 130
    said = running.stderr.read()
    assert said.startswith("stopped;")
    assert "Traceback" not in said


INTERRUPTED = """
import os, signal, sys
from crmlab import check, cli
check.check_study = lambda path: os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["crmlab", "check", "x.yaml"]
cli.main()
"""
