"""Open a cycle: under a run, or in JupyterLab and by plain papermill, where nothing is published."""

import os
import tempfile
from itertools import islice
from pathlib import Path

from crmlab.contract import Refused
from crmlab.cycle import CONTEXT, OpenCycle
from crmlab.stage.context import PROJECT, Context, context_of, prepare
from crmlab.stage.folder import folder_of, published
from crmlab.stage.inputs import Store
from crmlab.stage.taking import take_in
from crmlab.study import MOST_CYCLES, Cycle, Study, StudyFile, load_study

_scratch: list[tempfile.TemporaryDirectory] = []  # removed with the process


def open_cycle(study: str | Path, cycle: str | int, *, stage: str) -> OpenCycle:
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
    return OpenCycle(file, _own_context(file, file.study.cycle_named(_name(file.study, cycle)), stage))


def _name(study: Study, cycle: str | int) -> str:
    """The name of a cycle that came as a number: `-p cycle 2017_05` and `-p cycle 201705` are one to papermill."""
    if isinstance(cycle, int):
        meant = [c.cycle for c in islice(study.cycles, MOST_CYCLES) if c.cycle.replace("_", "") == str(cycle)]
        if len(meant) > 1 and str(cycle) not in meant:
            raise Refused(f"cycle {cycle}", f"may be {' or '.join(meant)}; give it as text, as in -r cycle {meant[0]}")
        if meant and str(cycle) not in meant:
            return meant[0]
    return str(cycle)


def _own_context(file: StudyFile, cycle: Cycle, stage: str) -> Context:
    study_folder = file.reports / file.study.study
    if there := published(study_folder, cycle.cycle, folder_of(stage)):
        return context_of(file, there, study_folder)
    _scratch.append(tempfile.TemporaryDirectory(prefix="crmlab-"))
    return prepare(file, cycle, stage, Store(Path(_scratch[-1].name) / "inputs"), take_in(file))
