"""Remove what refused, failed and killed runs left: files half-done, and stored inputs that no stage names."""

import re
import shutil
from pathlib import Path

from crmlab.contract import Refused
from crmlab.stage.folder import Published, lives, named_inputs, stage_folders
from crmlab.stage.inputs import Store


def sweep(study_folder: Path) -> None:
    """Remove what a killed run left half-done; the study's lock is held, so nobody is working on it."""
    for left in [*study_folder.glob("*/.staging-*"), *study_folder.glob(".staging-*")]:
        _remove(left)
    # The index of all studies belongs to none of them: only what a dead process left is removed.
    for left in study_folder.parent.glob(".staging-*"):
        match = re.match(r"\.staging-([0-9]+)-", left.name)
        if match and not lives(int(match[1])):
            _remove(left)


def _remove(left: Path) -> None:
    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def sweep_inputs(study_folder: Path) -> None:
    """Delete the files of ``inputs/`` and ``quarantine/`` that no stage names; the study's lock is held.

    Where any manifest is damaged or missing nothing is deleted: restored from a copy, it may name any of them.
    """
    store, stages = Store(study_folder / "inputs"), [Published(folder) for folder in stage_folders(study_folder)]
    try:
        lines = [stage.manifest.get("quarantine", "") for stage in stages]
        named = set(store.digests({"quarantine": lines, **named_inputs(*stages)}))
    except Refused:
        return
    for path in [*store.folder.glob("*"), *(study_folder / "quarantine").glob("*")]:
        if path.is_file() and path.stem not in named and path.name != "replaced.json":
            path.unlink()
