"""Where a study may read: regular files inside its own folder, or inside the folder it declares."""

import os
import stat
from difflib import get_close_matches
from pathlib import Path

from crmlab.contract import Fault

DECLARE = "move it there, or declare its folder: data: {{folder: {folder}}}"
"""How a file outside is mended; ``{folder}`` is the folder in which it lies."""

_KINDS = (
    (stat.S_ISDIR, "a folder; name one file in it"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def study_folder(folder: Path) -> Path:
    """The folder of a study whose params file lies in `folder`: `folder` itself, or its parent if it is ``params``."""
    return folder.parent if folder.name == "params" else folder


def inside(path: str, folder: Path, where: str, *, root: Path | None = None, mend: str = DECLARE) -> Path | list[Fault]:
    """The real path of a regular, readable file inside the study's folder, or the faults that prevent it.

    Parameters
    ----------
    path
        As written in the params file: relative to `folder`, or absolute.
    folder
        Where relative paths start.
    where
        What the fault is attributed to.
    root
        The folder that must not be left, links resolved; default: the `study_folder` of `folder`.
    mend
        What to do about a file outside of `root`.
    """
    if not path.strip() or not path.isprintable():
        return [Fault(where, f"got {path!r}, expected the path of a file")]
    if "://" in path:
        return [Fault(where, f"{path.split('://')[0]}:// is an address; download the file and give its path")]
    root = (root or study_folder(folder)).resolve()
    try:
        real = (folder / path).resolve()
    except (OSError, RuntimeError):
        return [Fault(where, f"{path} is a link that leads back to itself; give the path of the file")]
    if not real.is_relative_to(root):
        is_link = Path(os.path.normpath(root / folder / path)).is_relative_to(root)
        led = f" is a link to {real}, which lies" if is_link else " lies"
        return [Fault(where, f"{path}{led} outside of {root}; {mend.format(folder=real.parent)}")]
    fault = unreadable(real, path)
    return [Fault(where, fault)] if fault else real


def declared(path: str, folder: Path, where: str = "data.folder") -> Path | list[Fault]:
    """The real path of the folder that a params file in `folder` declares as that of its data."""
    try:
        if path.strip() and path.isprintable() and (real := (folder / path).resolve()).is_dir():
            return real
    except (OSError, RuntimeError):
        pass
    return [Fault(where, f"no such folder: {path!r}; give the folder that holds the data, absolute or from {folder}")]


def unreadable(path: Path, shown: str) -> str | None:
    """Why `path`, called `shown`, cannot be read as a file, and the mend; None where it can."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.name != Path(shown).name:
            return f"no such file: {path}, to which {shown} is a link; mend the link"
        return f"no such file: {path}{_near_file(path, shown)}"
    except OSError as error:
        return f"{shown} cannot be read: {error.strerror}; check its name and permissions"
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            return f"{shown} is {kind}" + ("" if is_kind is stat.S_ISDIR else "; give the path of a regular file")
    if not os.access(path, os.R_OK):
        return f"{shown} cannot be read: permission denied; let yourself read it (chmod u+r)"
    return None


def _near_file(path: Path, shown: str) -> str:
    """A hint at what was meant by the `path` of a file that is not there."""
    if "\\" in shown:
        return "; write / between folders, not \\"
    if any(c in shown for c in "*?"):
        return "; a path names one file, patterns are not read"
    if not path.parent.is_dir():
        return f" (there is no folder {path.parent})"
    try:
        names = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    except OSError:
        return ""
    folded = {name.casefold(): name for name in names}
    close = get_close_matches(path.name.casefold(), folded, n=1)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    return f"; the folder holds {', '.join(names[:8])}{', …' if len(names) > 8 else ''}" if names else ""
