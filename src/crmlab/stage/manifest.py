"""What a stage states of itself beside its tables."""

import os
from typing import Any

from crmlab.stage.context import Context
from crmlab.stage.folder import folder_of
from crmlab.stage.identity import git_commit, versions
from crmlab.stage.keys import fingerprint, study_key
from crmlab.study import StudyFile


def manifest_of(
    file: StudyFile, context: Context, identity: dict[str, Any], *, revision: int, finished: dict[str, Any]
) -> dict[str, Any]:
    """The manifest of a stage about to be published, but for the digests of its files.

    Parameters
    ----------
    identity
        What makes the stage the stage it is.
    finished
        What its notebook handed over: main figures, and what changed since the last cycle.
    """
    study_folder = file.reports / file.study.study
    return {
        "study": file.study.study,
        "cycle": context.cycle,
        "stage": folder_of(context.stage),
        "revision": revision,
        "identity": identity,
        "parents": {name: os.path.relpath(folder, study_folder) for name, folder in context.parents.items()},
        "reading": context.reading,
        "set_aside": context.set_aside,
        "quarantine": context.quarantine,
        "schema": context.schema,
        "notes": context.notes,
        "seed": file.study.seed,
        "key": fingerprint(study_key(file.study)),
        "versions": versions(),
        "git_commit": git_commit(),
        "main": finished["main"],
        "changes": finished["changes"],
    }
