"""Which study a command means, where the user names only a cycle or a customer."""

from collections.abc import Callable
from pathlib import Path

from crmlab.contract import Fault, Refused
from crmlab.study import StudyFile, load_study


def the_study(named: Path | None, asked: str, has: Callable[[StudyFile], bool]) -> StudyFile:
    """The study of that params file or, where none is named, the only one of ``./params`` that `has` what is asked.

    Parameters
    ----------
    named
        A params file, or None.
    asked
        What is looked for, in words: ``cycle 2025-06``.
    has
        Whether a study has it.

    Raises
    ------
    Refused
        No study has it, or several have: name one with ``--study``.
    """
    if named is not None:
        return load_study(named)
    files = sorted(Path("params").glob("*.yaml"))
    found = [(path, file) for path in files if (file := _loaded(path)) and has(file)]
    if len(found) == 1:
        return found[0][1]
    if not found:
        where = ", ".join(map(str, files)) or "params/ (no params file is there)"
        raise Refused(asked, f"not found in any study of {where}; name the study: --study params/x.yaml")
    raise Refused(asked, [Fault(str(path), "has it; say which is meant with --study") for path, _ in found])


def _loaded(path: Path) -> StudyFile | None:
    try:
        return load_study(path)
    except Refused:
        return None
