"""Stage folders: staged beside their place, published by one rename, never changed again."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from crmlab.calendar import RESERVED
from crmlab.contract import Fault, Locked, Refused, strict_yaml
from crmlab.stage.content import digest_of, flush, unsealed, write_sealed, wrong
from crmlab.stage.identity import digest as digest_of_value
from crmlab.stage.ledger import altered_deliveries
from crmlab.stage.people import altered_people

STAGES = ("1_analysis", "2_activation", "3_reanalysis")
NAMES = {stage.split("_")[1]: stage for stage in STAGES}
"""Stage → its folder."""


def folder_of(stage: str) -> str:
    """The folder of a stage or, beside them, of a topic."""
    return NAMES.get(stage, f"topic_{stage}")


@dataclass(frozen=True)
class Published:
    """A published stage: a folder with a valid manifest."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Its manifest, checked against the digest it carries of itself."""
        manifest = unsealed(self.folder / "manifest.json")
        if manifest is None:
            what = "is not what was published; restore the folder from a copy"
            raise Refused(str(self.folder), [Fault("manifest.json", what)])
        return manifest

    @property
    def digest(self) -> str:
        """SHA-256 of its manifest, which holds the digests of all its files."""
        return digest_of_value(self.manifest)

    @property
    def revision(self) -> int:
        """1, or the number after ``.r``."""
        return _revision(self.folder, self.folder.name.split(".")[0])

    def has(self, name: str) -> bool:
        """Whether it published a table of that name."""
        return f"tables/{name}.parquet" in self.manifest["files"]

    def table(self, name: str) -> pd.DataFrame:
        """One of its tables, checked against the manifest before it is read."""
        return pd.read_parquet(self._checked(f"tables/{name}.parquet"))

    def text(self, name: str) -> str:
        """One of its text files, checked against the manifest."""
        return self._checked(name).read_text(encoding="utf-8")

    def plain(self, name: str) -> dict[str, Any]:
        """One of its YAML files as plain values, checked against the manifest."""
        return strict_yaml.loads(self.text(name), subject=str(self.folder / name))

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        wanted = self.manifest["files"].get(name)
        if wanted is None:
            raise Refused(str(self.folder), [Fault(name, "was not published by this stage")])
        if not path.is_file() or digest_of(path) != wanted:
            raise Refused(str(self.folder), [Fault(name, "is not what was published; restore it from a copy")])
        return path


def altered(stage: Published) -> list[Fault]:
    """What is no longer as it was published: the manifest, or any file it names."""
    try:
        files = stage.manifest["files"]
    except Refused as error:
        return [Fault(str(stage.folder / fault.where), fault.what) for fault in error.faults]
    return [fault for name, digest in files.items() for fault in wrong(stage.folder / name, digest)]


def altered_private(study_folder: Path) -> list[Fault]:
    """What is no longer as it was written of what names people: deliveries, the people, lines set aside."""
    lines = sorted((study_folder / "quarantine").glob("[0-9a-f]*.csv"))
    aside = [fault for path in lines for fault in wrong(path, path.stem)]
    return [*altered_deliveries(study_folder), *altered_people(study_folder), *aside]


def published(study_folder: Path, cycle: str, stage: str) -> Published | None:
    """The newest revision of a published stage, or None."""
    beside = (study_folder / cycle).glob(f"{stage}*")
    folders = [f for f in beside if _revision(f, stage) and (f / "manifest.json").is_file()]
    return Published(max(folders, key=lambda f: _revision(f, stage))) if folders else None


def stages_of(study_folder: Path) -> list[Published]:
    """Every published stage and topic of a study, every revision."""
    return [Published(folder) for folder in stage_folders(study_folder) if (folder / "manifest.json").is_file()]


def stage_folders(study_folder: Path) -> list[Path]:
    """Where stages and topics are published, or were before their manifest was lost."""
    folders = (p for p in study_folder.glob("*/[123t]*_*") if p.is_dir() and p.parent.name not in RESERVED)
    return sorted(folders)


def named_inputs(*stages: Published) -> dict[str, list[str]]:
    """Table → digests of all stored files that the stages name, each once, whatever they read them for."""
    found: dict[str, dict[str, None]] = {}
    for manifest in (stage.manifest for stage in stages):
        others = {name: manifest.get(name, []) for name in ("reading", "set_aside")}
        for table, digests in (manifest["identity"]["inputs"] | others).items():
            found.setdefault(table, {}).update(dict.fromkeys(digests))
    return {table: list(digests) for table, digests in found.items()}


def _revision(folder: Path, stage: str) -> int:
    match = re.fullmatch(rf"{re.escape(stage)}(?:\.r([0-9]+))?", folder.name)
    return int(match[1] or 1) if match else 0


def place(study_folder: Path, cycle: str, stage: str, *, revision: int = 1) -> Path:
    """Where a stage is published."""
    return study_folder / cycle / (stage if revision == 1 else f"{stage}.r{revision}")


@contextmanager
def staging(final: Path) -> Iterator[Path]:
    """An empty folder beside `final`; what is still in it at the end is removed.

    It is this process's own: a kernel left over from a killed run finds its folder gone, not another's.
    """
    folder = final.parent / f".staging-{os.getpid()}-{final.name}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (folder / "tables").mkdir(parents=True, mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path, final: Path, manifest: dict[str, Any]) -> Published:
    """Add the manifest with every file's digest, flush all to disk, and rename into place."""
    files = sorted(p for p in staged.rglob("*") if p.is_file())
    digests = {p.relative_to(staged).as_posix(): digest_of(p) for p in files}
    write_sealed(staged / "manifest.json", {**manifest, "files": digests})
    for path in [*staged.rglob("*"), staged]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        flush(path)
    staged.rename(final)
    # The folders above may be as new as the stage, and each is held by the one above it.
    for folder in final.parents[:3]:
        flush(folder)
    return Published(final)


@contextmanager
def lock(study_folder: Path) -> Iterator[None]:
    """Hold the study: a second command is told who holds it. The lock goes with the process that took it.

    What is written while it is held can be read by its owner alone.
    """
    before = os.umask(0o077)
    try:
        with _held(study_folder) as file:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {os.uname().nodename}")
            file.flush()
            yield
    finally:
        os.umask(before)


def _held(study_folder: Path) -> TextIO:
    path = study_folder / ".lock"
    while True:
        study_folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the one before us found nothing worth keeping, and removed the folder
            file = path.open("a+")
            if holder := _taken(file):
                file.close()
                raise Locked(str(study_folder), f"is in use by {holder}; wait for it, or stop it, and run again")
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
            file.close()


def _taken(file: TextIO) -> str:
    """Who holds the lock; nobody once it is ours."""
    holder = ""
    for _ in range(40):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
        else:
            return ""
        match = re.fullmatch(r"process ([0-9]+) on (.+)", holder)
        if match and (match[2] != os.uname().nodename or lives(int(match[1]))):
            return holder
        time.sleep(0.05)  # it has not written its name yet
    return holder or "another process"


def lives(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
