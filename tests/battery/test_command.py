"""A few cases of each kind through the command itself: exit code, JSON, and nothing but words on either stream."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.battery.case import SECRETS, study
from tests.battery.test_attacks import FILES, INJECTION
from tests.battery.test_params_files import PARAMS
from tests.battery.test_tables import CONSENT, OTHERS
from tests.battery.test_text import ENCODINGS, STRUCTURE
from tests.battery.test_values import DATES

CHOSEN = {
    "cp1252, undeclared": ENCODINGS,
    "a quoted line end before the bad line": STRUCTURE,
    "a picture called .csv": ENCODINGS,
    "days that fit two formats": DATES,
    "people whose line is torn": OTHERS,
    "consent assumed in live": CONSENT,
    "a password in params": INJECTION,
    "a bomb": INJECTION,
    "a pipe": FILES,
    "several faults at once": PARAMS,
}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_command_says_it_in_words(tmp_path, name):
    case = CHOSEN[name][name]
    path = study(case, tmp_path)
    words = [Path(sys.executable).parent / "crmlab", "check", path, "--json"]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C", "TZ": "Asia/Tokyo"},
    )
    assert done.returncode == case.code, done.stderr
    told = json.loads(done.stdout)
    assert told["exit_code"] == case.code
    for said in case.said:
        assert said in "\n".join(told["messages"])
    for never in (*SECRETS, "Traceback", "\x1b"):
        assert never not in done.stdout + done.stderr
    assert bool(done.stderr) == bool(case.code)
    assert not (tmp_path / "reports").exists()
    assert not (tmp_path / ".tmp").exists()
