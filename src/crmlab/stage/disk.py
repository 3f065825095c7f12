"""A full or failing disk, and memory that ran out, under whatever name a library gives them."""

import errno
import shutil
import tempfile
from pathlib import Path

from crmlab.contract import CrmlabError, Failing

FAILING = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full for this user",
    errno.EFBIG: "no file of that size may be written",
    errno.EIO: "the disk cannot be read or written",
    errno.EROFS: "the disk cannot be written to",
    errno.EACCES: "this user may not read or write it",
    errno.EPERM: "this user may not write it",
}
SAID = ("no space left", "disk is full", "disk quota exceeded", "file too large")
"""How libraries that raise no `OSError` say it: DuckDB, pyarrow, SQLite, and kernels."""
LEAST = 1 << 20
"""Bytes without which nothing can be said to fit on a disk."""


def device_fault(error: BaseException) -> CrmlabError | None:
    """What a disk or the memory did, in words, where `error` or what it came from is that; otherwise None."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, CrmlabError):
            return seen if isinstance(seen, Failing) else None
        if isinstance(seen, OSError) and seen.errno in FAILING:
            return _failing(str(seen.filename or "results"), FAILING[seen.errno])
        if fault := fault_said(type(seen).__name__, str(seen)):
            return fault
        seen = seen.__cause__ or seen.__context__
    return None


def fault_said(name: str, message: str) -> CrmlabError | None:
    """The same, where an error's name and message are all there is: what a kernel told."""
    if any(words in message.lower() for words in SAID):
        return _failing("results", FAILING[errno.ENOSPC])
    if name in {"MemoryError", "OutOfMemoryException"}:
        return CrmlabError("memory", "it did not suffice; close other programs, or use less data, and run again")
    return None


def full_disk(*folders: Path) -> Failing | None:
    """A disk among those of `folders` and of temporary files that has no room left."""
    for folder in (*folders, Path(tempfile.gettempdir())):
        if folder.exists() and shutil.disk_usage(folder).free < LEAST:
            return _failing(str(folder), FAILING[errno.ENOSPC])
    return None


def _failing(where: str, what: str) -> Failing:
    return Failing(where, f"{what}; nothing half-written was kept: mend that, and run again")
