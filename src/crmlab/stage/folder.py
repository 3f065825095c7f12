"""Stage folders: staged beside their place, published by one rename, never changed again."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from crmlab.contract import Fault, Locked, Refused, strict_yaml
from crmlab.stage.inputs import digest_of

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
        """Its manifest."""
        try:
            return json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        except ValueError:
            raise Refused(
                str(self.folder), [Fault("manifest.json", "is damaged; restore the folder from a copy, or remove it")]
            ) from None

    @property
    def digest(self) -> str:
        """SHA-256 of its manifest, which holds the digests of all its files."""
        return digest_of(self.folder / "manifest.json")

    @property
    def revision(self) -> int:
        """1, or the number after ``.r``."""
        return _revision(self.folder)

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


def published(study_folder: Path, cycle: str, stage: str) -> Published | None:
    """The newest revision of a published stage, or None."""
    folders = [f for f in (study_folder / cycle).glob(f"{stage}*") if _revision(f) and (f / "manifest.json").is_file()]
    return Published(max(folders, key=_revision)) if folders else None


def _revision(folder: Path) -> int:
    match = re.fullmatch(r"(?:[123]|topic)_[a-z_]+(?:\.r([0-9]+))?", folder.name)
    return (int(match[1]) if match[1] else 1) if match else 0


def place(study_folder: Path, cycle: str, stage: str, *, revision: int = 1) -> Path:
    """Where a stage is published."""
    return study_folder / cycle / (stage if revision == 1 else f"{stage}.r{revision}")


@contextmanager
def staging(final: Path) -> Iterator[Path]:
    """An empty folder beside `final`; what is still in it at the end is removed."""
    folder = final.parent / f".staging-{final.name}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tables").mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path, final: Path, manifest: dict[str, Any]) -> Published:
    """Add the manifest with every file's digest, flush all to disk, and rename into place."""
    files = sorted(p for p in staged.rglob("*") if p.is_file())
    manifest = {**manifest, "files": {p.relative_to(staged).as_posix(): digest_of(p) for p in files}}
    path = staged / "manifest.json"
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    for file in [*files, path]:
        _flush(file)
    _flush(staged / "tables")
    _flush(staged)
    staged.rename(final)
    _flush(final.parent)
    return Published(final)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Replace a derived file whole, never half."""
    staged = path.with_name(f".staging-{os.getpid()}-{path.name}")
    staged.write_text(text, encoding="utf-8")
    staged.rename(path)


@contextmanager
def lock(study_folder: Path) -> Iterator[None]:
    """Hold the study: a second run is told who holds it. The lock goes with the process that took it."""
    study_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (study_folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Locked(str(study_folder), f"is in use by {holder}; wait for it, or stop it, and run again") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield
