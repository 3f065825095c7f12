"""Files written whole or not at all: named by what they hold, or carrying their own digest."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from crmlab.contract import Fault, Refused
from crmlab.stage.identity import digest


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place_whole(staged: Path, final: Path) -> None:
    """Rename a finished file into its place, for its owner alone, on disk when this returns."""
    staged.chmod(0o600)
    flush(staged)
    staged.rename(final)
    flush(final.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f".staging-{os.getpid()}-{path.name}")
    try:
        staged.touch(mode=0o600)
        staged.write_bytes(content)
        place_whole(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def write_named(folder: Path, content: bytes, suffix: str) -> Path:
    """Write a file named by its content, unless it is there."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
    if not path.exists():
        write_whole(path, content)
    return path


def wrong(path: Path, digest: str, mend: str = "restore it from a copy") -> list[Fault]:
    """A fault where a file is missing or does not hold what its digest says."""
    if not path.is_file():
        return [Fault(str(path), f"is missing; {mend}")]
    return [] if digest_of(path) == digest else [Fault(str(path), f"was altered after it was written; {mend}")]


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write plain values as JSON that carries its own digest."""
    write_whole(path, _sealed(value))


def unsealed(path: Path) -> dict[str, Any] | None:
    """What `write_sealed` wrote, without the digest; None where the file is not there or not what was written."""
    try:
        content = path.read_bytes()
        value = {name: held for name, held in json.loads(content).items() if name != "digest"}
        return value if content == _sealed(value) else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None


def read_sealed(path: Path, *, why: str) -> dict[str, Any]:
    """What `write_sealed` wrote; nothing where the file is not there.

    Raises
    ------
    Refused
        When the file is not what was written; `why` says what it is good for.
    """
    if not path.exists():
        return {}
    value = unsealed(path)
    if value is None:
        what = f"was altered after it was written; restore it from a copy, for it says {why}"
        raise Refused(path.name, [Fault(str(path), what)])
    return value


def _sealed(value: dict[str, Any]) -> bytes:
    text = json.dumps(value | {"digest": digest(value)}, sort_keys=True, ensure_ascii=False, indent=1)
    return f"{text}\n".encode()


def flush(path: Path) -> None:
    """Have a file or a folder on disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
