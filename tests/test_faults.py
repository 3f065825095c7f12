"""Everyday versions of `benchmarks/faults.py`: killed, out of disk, started many times, a bit flipped."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.breaking import (
    AFTER_LIST,
    bytes_of,
    contacted_twice,
    half_done,
    keys,
    killed,
    month,
    silent,
    small_disk,
    started,
    tell_exit,
    tiny_study,
    up_to_the_list,
)
from crmlab.stage.folder import published

COMMAND = Path(sys.executable).parent / "crmlab"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A month that nothing disturbed: its folder, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with keys(folder / "keys"):
        begun = time.monotonic()
        process = started(month, tiny_study(folder), folder / "said.json")
        process.join()
        assert process.exitcode == 0, (folder / "said.json").read_text()
        yield folder, time.monotonic() - begun


@pytest.fixture
def reports(undisturbed, tmp_path):
    """A copy of its reports to damage, beside a study of the same name."""
    shutil.copytree(undisturbed[0] / "reports", tmp_path / "reports")
    return tmp_path / "reports"


def test_killed_at_any_instant_the_month_ends_with_the_same_bytes(undisturbed, tmp_path):
    folder, seconds = undisturbed
    rng, path, kills = random.Random(1), tiny_study(tmp_path), 0
    while kills < 6:
        kills += killed(month, path, rng.uniform(0.05, 0.5) * seconds)
        assert half_done(tmp_path / "reports") == []
        if bytes_of(tmp_path / "reports") == bytes_of(folder / "reports"):
            shutil.rmtree(tmp_path / "reports")
    assert tell_exit(month, path)[0] == 0
    assert bytes_of(tmp_path / "reports") == bytes_of(folder / "reports")
    assert contacted_twice(tmp_path / "reports") == 0


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_a_full_disk_ends_in_74_and_nothing_half_written(undisturbed, tmp_path, share):
    folder, path = undisturbed[0], tiny_study(tmp_path)
    room = int(share * sum(-(-p.stat().st_size // 4096) * 4096 for p in (folder / "reports").rglob("*")))
    with little_room(tmp_path / "reports", room) as enlarge:
        code, message = tell_exit(month, path)
        assert (code, half_done(tmp_path / "reports")) == (74, []), message
        enlarge()
        assert tell_exit(month, path)[0] == 0
        assert bytes_of(tmp_path / "reports") == bytes_of(folder / "reports")


@contextmanager
def little_room(folder, room):
    """A disk of that size; where none may be mounted, a bound on the size of one file."""
    if os.geteuid() == 0:
        with small_disk(folder, room) as enlarge:
            yield lambda: enlarge(64 << 20)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room // 40, before[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_message_of_the_command_line_too(tmp_path):
    path = tiny_study(tmp_path)
    with little_room(tmp_path / "reports", 160_000):
        command = [COMMAND, "run", path, "--today", str(AFTER_LIST)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 74, done.stdout + done.stderr
        said = [line for line in done.stderr.splitlines() if line and "cells" not in line]
        assert said == ["analysis of one: the disk is full; nothing half-written was kept: mend that, and run again"]
        assert half_done(tmp_path / "reports") == []


def test_of_eight_starts_at_once_one_wins_and_the_others_name_it(undisturbed, tmp_path):
    path = tiny_study(tmp_path)
    starts = [started(up_to_the_list, path, tmp_path / f"said{n}.json") for n in range(8)]
    for process in starts:
        process.join()
    said = [json.loads((tmp_path / f"said{n}.json").read_text()) for n in range(8)]
    assert {code for code, _ in said} <= {0, 75}, said
    assert min(code for code, _ in said) == 0
    held = {message.split("is in use by process ")[1].split()[0] for code, message in said if code == 75}
    assert held <= {str(process.pid) for process in starts}
    assert half_done(tmp_path / "reports") == []


def test_a_flipped_bit_is_named_or_mended(undisturbed, reports, tmp_path):
    path, rng = tiny_study(tmp_path), random.Random(5)
    kinds = {}
    for file in sorted(p for p in reports.rglob("*") if p.is_file() and p.name != ".lock" and p.stat().st_size):
        kinds.setdefault((file.parent.name, file.suffix), []).append(file)
    assert len(kinds) >= 8
    unseen = [
        str(file.relative_to(reports))
        for files in kinds.values()
        for file in [rng.choice(files)]
        if silent(file, path, rng)
    ]
    assert unseen == []


def test_a_stage_without_its_manifest_is_told_and_left(reports, tmp_path):
    stage = published(reports / "tiny", "one", "1_analysis").folder
    (stage / "manifest.json").unlink()
    code, message = tell_exit(month, tiny_study(tmp_path))
    assert code == 2
    assert "manifest.json" in message
    assert (stage / "tables").is_dir()


def test_everything_is_readable_by_its_owner_alone(reports):
    modes = {oct(p.stat().st_mode & 0o777) for p in reports.rglob("*") if p.is_dir()}
    assert modes == {"0o700"}
    assert {oct(p.stat().st_mode & 0o777) for p in reports.rglob("*") if p.is_file()} == {"0o600"}
