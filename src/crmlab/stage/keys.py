"""The key of a study: behind everybody's arm and everybody's pseudonym."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

import platformdirs

from crmlab.contract import Fault, Refused
from crmlab.stage.content import flush
from crmlab.study import Study


def study_key(study: Study) -> bytes:
    """The key of the study's random assignment and of its pseudonyms.

    In replay nobody is contacted, so the key follows from the seed and everybody finds the same arms. In live it is
    random, made at first use, and lies outside params and reports (`CRMLAB_KEYS`, or the user's configuration).
    """
    if found := known_key(study):
        return found
    path = _path(study)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        written.touch(mode=0o600)
        written.write_text(secrets.token_hex(32), encoding="ascii")
        flush(written)
        # A link is made whole or not at all, and never over a key that somebody else made first.
        with suppress(FileExistsError):
            os.link(written, path)
    finally:
        written.unlink(missing_ok=True)
    flush(path.parent)
    return _read(path)


def known_key(study: Study) -> bytes | None:
    """The key of the study, or None where none was made yet.

    Raises
    ------
    Refused
        The key's file does not hold a key.
    """
    if study.mode == "replay":
        return hmac.digest(str(study.seed).encode(), f"crmlab replay {study.study}".encode(), hashlib.sha256)
    path = _path(study)
    return _read(path) if path.exists() else None


def fingerprint(key: bytes) -> str:
    """Eight digits by which a key can be recognised and not found."""
    return hashlib.sha256(b"fingerprint" + key).hexdigest()[:8]


def _path(study: Study) -> Path:
    folder = Path(os.environ.get("CRMLAB_KEYS") or platformdirs.user_config_path("crmlab") / "keys")
    return folder / f"{study.study}.key"


def _read(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        what = "does not hold the study's key (64 hexadecimal digits); restore it from a copy: with another one"
        raise Refused("key", [Fault(str(path), f"{what}, everybody would be somebody else")])
    return key
