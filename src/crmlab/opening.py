"""Open a cycle: under a run, or in JupyterLab and by plain papermill, where nothing is published."""

import os
import tempfile
from pathlib import Path
from typing import Any

from crmlab.cycle import CONTEXT, OpenCycle
from crmlab.stage.context import PROJECT, Context, prepare, take_in
from crmlab.stage.folder import folder_of, published
from crmlab.stage.inputs import Store
from crmlab.study import StudyFile, load_study

_scratch: list[tempfile.TemporaryDirectory] = []  # removed with the process


def open_cycle(study: str | Path, cycle: str, *, stage: str) -> OpenCycle:
    """Open one stage of one cycle of a study.

    Under `crmlab run` the stage's inputs are handed over. Anywhere else (JupyterLab, plain papermill) they are those of
    the published stage, or, where it is not published yet, read from the raw data; nothing is written to reports.

    Parameters
    ----------
    study
        Path of the params file, from the working folder or from a folder of notebooks.
    cycle
        Name of the cycle.
    stage
        ``analysis``, ``activation`` or ``reanalysis``, or the name of a topic.
    """
    if handed := os.environ.get(CONTEXT):
        context = Context.from_file(Path(handed))
        return OpenCycle(load_study(context.study), context)
    path = Path(study)
    if not path.exists() and (PROJECT / "notebooks" / "loop" / path).exists():
        path = PROJECT / "notebooks" / "loop" / path
    file = load_study(path)
    # A notebook's cycle may come as a number: `-p cycle 201106` is one to papermill.
    found = file.study.cycle_named(str(cycle))
    return OpenCycle(file, _own_context(file, found, stage))


def _own_context(file: StudyFile, cycle: Any, stage: str) -> Context:
    study_folder = file.reports / file.study.study
    if there := published(study_folder, cycle.cycle, folder_of(stage)):
        inputs = dict(there.manifest["identity"]["inputs"])
        return Context(
            study=str(file.path),
            cycle=cycle.cycle,
            stage=stage,
            store=str(study_folder / "inputs"),
            reports=str(file.reports),
            mailed=inputs.pop("mailed", []),
            inputs=inputs,
            reading=there.manifest["reading"],
            notes=there.manifest["notes"],
            parents={name: str(study_folder / folder) for name, folder in there.manifest["parents"].items()},
        )
    _scratch.append(tempfile.TemporaryDirectory(prefix="crmlab-"))
    return prepare(file, cycle, stage, Store(Path(_scratch[-1].name)), take_in(file))
