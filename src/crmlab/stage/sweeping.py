"""Remove stored inputs that no published stage names: what refused, failed and killed runs left."""

from pathlib import Path

from crmlab.contract import Refused
from crmlab.stage.folder import Published
from crmlab.stage.inputs import Store

STAGE = "*/[123t]*_*"
"""Folders of published stages and topics, from that of the study."""


def sweep_inputs(study_folder: Path) -> None:
    """Delete the files of ``inputs/`` and ``quarantine/`` that no stage names; the study's lock is held.

    Where any manifest is damaged or missing nothing is deleted: restored from a copy, it may name any of them.
    """
    if any(folder.is_dir() and not (folder / "manifest.json").is_file() for folder in study_folder.glob(STAGE)):
        return
    store = Store(study_folder / "inputs")
    inputs, lines = set(), set()
    try:
        for stage in stages_of(study_folder):
            manifest = stage.manifest
            inputs |= set(store.digests(named_inputs(stage)))
            lines |= set(store.digests({"quarantine": [manifest.get("quarantine", "")]}))
    except Refused:
        return
    for folder, named in ((store.folder, inputs), (study_folder / "quarantine", lines)):
        for path in folder.glob("*"):
            if path.is_file() and path.stem not in named and path.name != "replaced.json":
                path.unlink()


def stages_of(study_folder: Path) -> list[Published]:
    """Every published stage and topic of a study, every revision."""
    return [Published(path.parent) for path in sorted(study_folder.glob(f"{STAGE}/manifest.json"))]


def named_inputs(stage: Published) -> dict[str, list[str]]:
    """Table → digests of all stored files that a stage names, whatever it reads them for."""
    manifest = stage.manifest
    return manifest["identity"]["inputs"] | {
        name: manifest[name] for name in ("reading", "set_aside") if manifest.get(name)
    }
