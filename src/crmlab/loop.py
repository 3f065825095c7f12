"""The loop: which stages are due, their notebooks run, their folders published."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from crmlab.contract import CrmlabError, Fault, GateFailed, Refused, strict_yaml
from crmlab.cycle import CONTEXT, FINISHED
from crmlab.execute import Stopped, in_kernel, in_process
from crmlab.report.publish import write_index, write_page
from crmlab.stage.context import (
    Context,
    cut_of,
    fingerprint,
    identity_of,
    notebook_of,
    prepare,
    resolved_params,
    study_key,
    take_in,
    topics,
)
from crmlab.stage.folder import NAMES, folder_of, lock, place, publish, published, staging
from crmlab.stage.identity import differences, git_commit, versions
from crmlab.stage.inputs import Intake, Store, digest_of
from crmlab.study import Cycle, StudyFile, load_study

UPKEEP = {"notebook", "package", "lock"}
"""Parts of an identity that change with crmlab itself; a scheduled run leaves such stages as they were published."""


@dataclass(frozen=True)
class Done:
    """What became of one stage in this run."""

    cycle: str
    stage: str
    state: str
    """published, unchanged, kept, differs, failed, waiting or not yet due"""
    message: str = ""
    exit_code: int = 0
    due_on: date | None = None


@dataclass(frozen=True)
class Asked:
    """What `crmlab run` was asked for."""

    today: date
    cycle: str | None = None
    through: str = "reanalysis"
    revise: bool = False
    topics: tuple[str, ...] = ()
    """Topics beside those the study names."""
    pictures: bool = True
    """False: run the notebooks' cells in this process, without plots or pages, as simulations do."""


def run_study(path: Path | str, asked: Asked, *, tell: Callable[..., None] = lambda *_, **__: None) -> list[Done]:
    """Run what is due of a study and publish it.

    Parameters
    ----------
    path
        The params file.
    asked
        What is asked for, and the day it is.
    tell
        Called as ``tell(cycle, stage, cell, cells, heading)`` while notebooks run.

    Returns
    -------
    list of Done
        What became of each stage, in order. A stage that failed stops its own cycle.
    """
    file = load_study(path)
    named = asked.cycle is not None
    cycles = [file.study.cycle_named(asked.cycle)] if named else list(file.study.calendar(asked.today))
    wanted = tuple(dict.fromkeys((*file.study.topics, *asked.topics)))
    _check_topics(path, wanted)
    study_folder = file.reports / file.study.study
    with _nothing_new_on_refusal(study_folder), lock(study_folder):
        _sweep(study_folder)
        store = Store(study_folder / "inputs")
        outcomes: list[Done] = []
        intake: Intake | None = None
        for cycle in cycles:
            for stage in list(NAMES)[: list(NAMES).index(asked.through) + 1]:
                due_on = due(file, cycle, stage)
                if due_on > asked.today:
                    outcomes.append(Done(cycle.cycle, stage, "not yet due", due_on=due_on))
                    continue
                if waiting := _waits(file, cycle, stage):
                    outcomes.append(Done(cycle.cycle, stage, "waiting", waiting))
                    break
                intake = intake or take_in(file)
                outcomes.append(_stage(file, cycle, stage, store, intake, asked, tell))
                if outcomes[-1].exit_code:
                    break
            if not published(study_folder, cycle.cycle, folder_of("analysis")):
                continue
            for topic in wanted:
                intake = intake or take_in(file)
                outcomes.append(_stage(file, cycle, topic, store, intake, asked, tell))
        write_index(file, outcomes, cycles=file.study.calendar(asked.today))
    return outcomes


def _check_topics(path: Path | str, wanted: tuple[str, ...]) -> None:
    there = topics()
    if faults := [
        Fault("topics", f"no topic is called {t!r}; there are: {', '.join(there)}") for t in wanted if t not in there
    ]:
        raise Refused(str(path), faults)


def due(file: StudyFile, cycle: Cycle, stage: str) -> date:
    """The first day on which a stage may run: the day after the last it sees."""
    return cut_of(cycle, stage) + timedelta(days=1)


def _waits(file: StudyFile, cycle: Cycle, stage: str) -> str:
    extracted = file.study.data.extracted_on
    if extracted and extracted < cut_of(cycle, stage):
        return f"waits for data through {cut_of(cycle, stage)}; the data's extracted_on is {extracted}"
    return ""


def _stage(
    file: StudyFile, cycle: Cycle, stage: str, store: Store, intake: Intake, asked: Asked, tell: Callable[..., None]
) -> Done:
    """Publish one stage, or say why it is left as it is or failed."""
    study_folder = file.reports / file.study.study
    try:
        context = prepare(file, cycle, stage, store, intake)
    except CrmlabError as error:
        return _failed(study_folder, cycle, stage, str(error), error.exit_code, None)
    now = identity_of(file, cycle, context)
    there = published(study_folder, cycle.cycle, folder_of(stage))
    revision = 1
    if there:
        differing = differences(there.manifest["identity"], now)
        if not differing:
            _forget_failure(study_folder, cycle, stage)
            return Done(cycle.cycle, stage, "unchanged", "published already; nothing to do")
        if not asked.revise:
            return _left(cycle, stage, differing, only_upkeep=set(differing) <= UPKEEP and asked.cycle is None)
        revision = there.revision + 1
    final = place(study_folder, cycle.cycle, folder_of(stage), revision=revision)
    with staging(final) as staged:
        try:
            notebook = _execute(file, cycle, stage, context, staged, asked, tell)
            _keep_files(file, cycle, stage, staged, notebook)
            publish(staged, final, _manifest(file, cycle, stage, context, now, revision, staged))
        except Stopped as stopped:
            return _failed(study_folder, cycle, stage, stopped.message, stopped.exit_code, stopped.notebook)
    _forget_failure(study_folder, cycle, stage)
    return Done(cycle.cycle, stage, "published", str(final))


def _left(cycle: Cycle, stage: str, differing: list[str], *, only_upkeep: bool) -> Done:
    what = "; ".join(differing)
    if only_upkeep:
        return Done(cycle.cycle, stage, "kept", f"published before a change of {what}; left as it was published")
    message = f"was published from something else, and is left as it was. Differs in {what}. "
    return Done(
        cycle.cycle, stage, "differs", message + "Publish a revision beside it with --revise", Refused.exit_code
    )


def _execute(
    file: StudyFile, cycle: Cycle, stage: str, context: Context, staged: Path, asked: Asked, tell: Callable[..., None]
) -> nbformat.NotebookNode | None:
    """Run the stage's notebook; it must hand over its results, and nothing else counts."""
    handed = staged.with_name(f"{staged.name}.json")
    Context(**{**context.__dict__, "staging": str(staged)}).to_file(handed)
    where = os.path.relpath(file.path, file.reports.parent)
    source, heard = notebook_of(stage), partial(tell, cycle.cycle, stage)
    # Start-up files of the user's own IPython are no part of a study.
    profile = tempfile.TemporaryDirectory(prefix="crmlab-ipython-")
    try:
        with profile, _environment({CONTEXT: str(handed), "IPYTHONDIR": profile.name, **PINNED}):
            if asked.pictures:
                notebook = in_kernel(source, study=where, cycle=cycle.cycle, cwd=file.reports.parent, tell=heard)
            else:
                notebook = in_process(source, study=where, cycle=cycle.cycle)
    finally:
        handed.unlink()
    if not (staged / FINISHED).is_file():
        raise Stopped("stopped before its last cell: its results were never handed over", 1, notebook)
    token = json.loads((staged / FINISHED).read_text(encoding="utf-8"))
    torn = [name for name, digest in token["files"].items() if digest_of(staged / name) != digest]
    if torn:
        raise Stopped(f"{', '.join(torn)} changed after it was handed over", 1, notebook)
    return notebook


PINNED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "agg",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
"""What every kernel of a run gets, so that the machine's settings change no result."""


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _keep_files(
    file: StudyFile, cycle: Cycle, stage: str, staged: Path, notebook: nbformat.NotebookNode | None
) -> None:
    """Add params, the executed notebook and the page to what the notebook handed over."""
    params = resolved_params(file.study, cycle, stage)
    (staged / "params.yaml").write_text(strict_yaml.dump(params), encoding="utf-8")
    if notebook is not None:
        nbformat.write(notebook, staged / "notebook.ipynb")
        write_page(file, cycle, stage, notebook, staged / "page.html")


def _manifest(
    file: StudyFile, cycle: Cycle, stage: str, context: Context, identity: dict, revision: int, staged: Path
) -> dict[str, Any]:
    token = json.loads((staged / FINISHED).read_text(encoding="utf-8"))
    (staged / FINISHED).unlink()
    study_folder = file.reports / file.study.study
    return {
        "study": file.study.study,
        "cycle": cycle.cycle,
        "stage": folder_of(stage),
        "revision": revision,
        "identity": identity,
        "parents": {name: os.path.relpath(folder, study_folder) for name, folder in context.parents.items()},
        "reading": context.reading,
        "notes": context.notes,
        "seed": file.study.seed,
        "key": fingerprint(study_key(file.study)),
        "versions": versions(),
        "git_commit": git_commit(),
        "main": token["main"],
        "changes": token["changes"],
    }


def _failed(
    study_folder: Path, cycle: Cycle, stage: str, message: str, code: int, notebook: nbformat.NotebookNode | None
) -> Done:
    """Keep the executed notebook for diagnosis, outside the stage's place."""
    folder = _failure_folder(study_folder, cycle, stage)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    if notebook is not None:
        nbformat.write(notebook, folder / "notebook.ipynb")
        message = f"{message} (the executed notebook: {os.path.relpath(folder / 'notebook.ipynb')})"
    state = "refused" if code == GateFailed.exit_code else "failed"
    (folder / "failure.json").write_text(json.dumps({"state": state, "message": message, "exit_code": code}))
    return Done(cycle.cycle, stage, state, message, code)


def _failure_folder(study_folder: Path, cycle: Cycle, stage: str) -> Path:
    return study_folder / "failed" / f"{cycle.cycle}-{folder_of(stage)}"


def _forget_failure(study_folder: Path, cycle: Cycle, stage: str) -> None:
    shutil.rmtree(_failure_folder(study_folder, cycle, stage), ignore_errors=True)


@contextmanager
def _nothing_new_on_refusal(study_folder: Path) -> Iterator[None]:
    """Input that is refused before anything ran leaves no folder that was not there before."""
    new = [f for f in (study_folder, study_folder.parent) if not f.exists()]
    try:
        yield
    except Refused:
        for folder in new:
            if not any(p.is_file() and p.name != ".lock" for p in folder.rglob("*")):
                shutil.rmtree(folder, ignore_errors=True)
        raise


def _sweep(study_folder: Path) -> None:
    """Remove what a killed run left half-done; the lock is held, so nobody is working on it."""
    for left in [*study_folder.glob("*/.staging-*"), *study_folder.glob(".staging-*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
