"""The loop: which stages are due, their notebooks run, their folders published."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path

import nbformat

from crmlab.contract import CrmlabError, Failing, Fault, GateFailed, Refused
from crmlab.cycle import FINISHED
from crmlab.execute import Stopped, execute
from crmlab.report.publish import keep_files, write_index
from crmlab.stage.context import cut_of, identity_of, manifest_of, prepare, standing, topics
from crmlab.stage.disk import device_fault
from crmlab.stage.failed import forget_failure, keep_failure
from crmlab.stage.folder import (
    NAMES,
    Published,
    altered,
    altered_private,
    folder_of,
    lock,
    named_inputs,
    place,
    publish,
    published,
    staging,
)
from crmlab.stage.identity import differences
from crmlab.stage.inputs import Intake, Store
from crmlab.stage.ledger import delivered
from crmlab.stage.sweeping import sweep, sweep_inputs
from crmlab.stage.taking import take_in
from crmlab.study import Cycle, StudyFile, load_study

UPKEEP = {"notebook", "package", "lock"}
"""Parts of an identity that change with crmlab itself; a scheduled run leaves such stages as they were published."""

SETTLED = ("analysis", "activation")
"""Stages that cannot be revised once the cycle's list was delivered."""

BEFORE_LIST = {
    *("data", "summary", "rfm", "retention", "timing", "clv", "segments"),
    *("eligibility", "beliefs", "activation"),
}
"""Sections that no re-analysis reads: changed after a list was delivered, they hold from the next cycle on."""


@dataclass(frozen=True)
class Done:
    """What became of one stage in this run."""

    cycle: str
    stage: str
    state: str
    """published, unchanged, kept, differs, altered, refused, failed, waiting or not yet due"""
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


@dataclass
class _Run:
    """One run of one study: what is read once and used by all its stages."""

    file: StudyFile
    asked: Asked
    tell: Callable[..., None]
    store: Store
    sound: set[str] = field(default_factory=set)
    """Digests of the stored inputs found to be what they were."""

    @cached_property
    def intake(self) -> Intake:
        """The raw data, read when the first stage needs it."""
        intake = take_in(self.file)
        intake.keep_private(self.folder)
        return intake

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.file.reports / self.file.study.study


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

    Raises
    ------
    Failing
        A disk is full, or fails; it stops the whole run.
    Locked
        Another command holds the study.
    """
    file = load_study(path)
    named = asked.cycle is not None
    cycles = [file.study.cycle_named(asked.cycle)] if named else list(file.study.calendar(asked.today))
    wanted = tuple(dict.fromkeys((*file.study.topics, *asked.topics)))
    _check_topics(path, wanted)
    study_folder = file.reports / file.study.study
    run = _Run(file, asked, tell, Store(study_folder / "inputs"))
    new = not study_folder.exists()
    try:
        with lock(study_folder), _nothing_on_refusal(study_folder, new=new):
            sweep(study_folder)
            if faults := altered_private(study_folder):
                raise Refused(str(study_folder), faults)
            outcomes = [outcome for cycle in cycles for outcome in _cycle(run, cycle, wanted)]
            sweep_inputs(study_folder)
            write_index(file, outcomes, cycles=file.study.calendar(asked.today))
    except Exception as error:
        if fault := device_fault(error):
            raise fault from error
        raise
    return outcomes


def _cycle(run: _Run, cycle: Cycle, wanted: tuple[str, ...]) -> Iterator[Done]:
    """Take a cycle as far as it goes, then the topics wanted of it."""
    for stage in list(NAMES)[: list(NAMES).index(run.asked.through) + 1]:
        due_on = due(run.file, cycle, stage)
        if due_on > run.asked.today:
            yield Done(cycle.cycle, stage, "not yet due", due_on=due_on)
            continue
        if waiting := _waits(run.file, cycle, stage):
            yield Done(cycle.cycle, stage, "waiting", waiting)
            break
        outcome = _stage(run, cycle, stage)
        yield outcome
        if outcome.exit_code:
            break
    if published(run.folder, cycle.cycle, folder_of("analysis")):
        for topic in wanted:
            yield _stage(run, cycle, topic)


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


def _stage(run: _Run, cycle: Cycle, stage: str) -> Done:
    """Publish one stage, or say why it is left as it is or failed."""
    there = published(run.folder, cycle.cycle, folder_of(stage))
    # Before anything is read: what is stored anew would hide what happened to what was stored.
    if there and (faults := _no_longer_whole(run, there)):
        return Done(cycle.cycle, stage, "altered", str(Refused(str(there.folder), faults)), Refused.exit_code)
    intake = run.intake  # refused data stop the run, whatever the stage
    try:
        context = prepare(run.file, cycle, stage, run.store, intake)
        now = identity_of(run.file, cycle, context)
    except CrmlabError as error:
        return _failed(run, cycle, stage, str(error), error.exit_code, None)
    revision = 1
    if there:
        differing = differences(standing(there.manifest["identity"], run.store), now)
        if not differing:
            forget_failure(run.folder, cycle.cycle, stage)
            return Done(cycle.cycle, stage, "unchanged", "published already; nothing to do")
        if outcome := _left(run, cycle, stage, differing):
            return outcome
        revision = there.revision + 1
    final = place(run.folder, cycle.cycle, folder_of(stage), revision=revision)
    if final.is_dir() and any(final.iterdir()):
        what = "is there without its manifest.json, so it is no published stage; restore it from a copy, or remove it"
        return Done(cycle.cycle, stage, "altered", f"{final} {what}", Refused.exit_code)
    with staging(final) as staged:
        try:
            heard, at = partial(run.tell, cycle.cycle, stage), run.file.reports.parent
            notebook = execute(context, staged, cwd=at, pictures=run.asked.pictures, tell=heard)
            finished = json.loads((staged / FINISHED).read_text(encoding="utf-8"))
            (staged / FINISHED).unlink()
            keep_files(run.file, cycle, stage, staged, notebook)
            publish(staged, final, manifest_of(run.file, context, now, revision=revision, finished=finished))
        except Stopped as stopped:
            if stopped.exit_code == Failing.exit_code:
                raise Failing(f"{stage} of {cycle.cycle}", stopped.message) from stopped
            return _failed(run, cycle, stage, stopped.message, stopped.exit_code, stopped.notebook)
    forget_failure(run.folder, cycle.cycle, stage)
    return Done(cycle.cycle, stage, "published", str(final))


def _no_longer_whole(run: _Run, there: Published) -> list[Fault]:
    """What was altered of a published stage, and of the inputs stored for it."""
    if faults := altered(there):
        return faults
    inputs = named_inputs(there).items()
    unseen = {table: [d for d in digests if d not in run.sound] for table, digests in inputs}
    faults = run.store.faults(unseen)
    if not faults:
        run.sound.update(digest for digests in unseen.values() for digest in digests)
    return faults


def _left(run: _Run, cycle: Cycle, stage: str, differing: list[str]) -> Done | None:
    """Whether a published stage from which today's differs is left as it was, and why; None: it is to be revised."""
    what = "; ".join(differing)
    settled = stage in SETTLED and delivered(run.folder, cycle.cycle)
    if not run.asked.revise:
        if settled and all(map(_of_later_cycles, differing)):
            message = f"its list was delivered, so it stands; from the next cycle on holds the change of {what}"
            return Done(cycle.cycle, stage, "kept", message)
        late = all(part in UPKEEP or part.startswith("inputs: ") for part in differing)
        if late and run.asked.cycle is None:
            return Done(cycle.cycle, stage, "kept", f"published before a change of {what}; left as it was published")
        message = f"was published from something else, and is left as it was. Differs in {what}. "
        return Done(
            cycle.cycle, stage, "differs", message + "Publish a revision beside it with --revise", Refused.exit_code
        )
    if settled:
        message = f"its list was delivered, so it cannot be revised. Differs in {what}. Begin a new cycle instead"
        return Done(cycle.cycle, stage, "differs", message, Refused.exit_code)
    return None


def _of_later_cycles(part: str) -> bool:
    """Whether a difference changes nothing of what the re-analysis of a delivered list was promised to be."""
    kind, _, name = part.partition(": ")
    return part in UPKEEP or kind == "inputs" or (kind == "params" and re.split("[. ]", name)[0] in BEFORE_LIST)


def _failed(
    run: _Run, cycle: Cycle, stage: str, message: str, code: int, notebook: nbformat.NotebookNode | None
) -> Done:
    """Keep the executed notebook for diagnosis, outside the stage's place."""
    state = "refused" if code == GateFailed.exit_code else "failed"
    why = {"state": state, "message": message, "code": code, "notebook": notebook}
    return Done(cycle.cycle, stage, state, keep_failure(run.folder, cycle.cycle, stage, **why), code)


@contextmanager
def _nothing_on_refusal(study_folder: Path, *, new: bool) -> Iterator[None]:
    """Input that is refused before anything ran leaves no folder that was not there before."""
    try:
        yield
    except Refused:
        if new and not any(p.is_file() and p.name != ".lock" for p in study_folder.rglob("*")):
            shutil.rmtree(study_folder, ignore_errors=True)
            with suppress(OSError):  # another study is there
                study_folder.parent.rmdir()
        raise
