"""The command line as a person meets it: messages, exit codes, nothing left behind."""

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


@pytest.mark.parametrize("case", ["a misspelt parameter", "a missing params file"])
def test_a_params_file_that_is_refused_leaves_nothing_behind(tmp_path, case):
    crmlab("run", CASES[case][0](tmp_path), cwd=tmp_path)
    assert not (tmp_path / "reports").exists()


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
