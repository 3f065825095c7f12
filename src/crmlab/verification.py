"""Published stages executed again and compared: `crmlab verify`."""

import json
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crmlab.contract import Fault, GateFailed, Refused, strict_yaml
from crmlab.execute import Stopped, execute
from crmlab.stage.comparison import apart
from crmlab.stage.context import context_of, notebook_of, resolved_params
from crmlab.stage.folder import (
    NAMES,
    Published,
    altered,
    altered_private,
    lock,
    named_inputs,
    published,
    stages_of,
)
from crmlab.stage.identity import lock_digest, notebook_digest, package_digest, versions
from crmlab.stage.inputs import Store
from crmlab.stage.keys import fingerprint, known_key
from crmlab.studies import the_study
from crmlab.study import FIXED, StudyFile, load_study


@dataclass(frozen=True)
class Again:
    """One stage executed again."""

    stage: str
    files: dict[str, str]
    """Each table and YAML file → what differs; empty where nothing does."""
    erased: int = 0
    """People erased since it was published."""
    since: tuple[str, ...] = ()
    """What has changed of crmlab and the packages that compute since it was published."""
    stopped: str = ""
    """Why it could not be executed to its end."""

    @property
    def differs(self) -> list[str]:
        """Files that differ."""
        return [name for name, what in self.files.items() if what]

    @property
    def sound(self) -> bool:
        """Whether it is what was published, as far as it can be after erasures."""
        return not self.stopped and (not self.differs or (self.erased > 0 and not self.since))

    def __str__(self) -> str:
        lines = [self._first()]
        if self.erased and not self.stopped:
            who = "1 person was" if self.erased == 1 else f"{self.erased:,} people were"
            lines.append(f"    {who} erased since it was published; their rows are left out of the comparison.")
            if self.differs:
                lines.append("    What was computed from all of them has moved, and cannot be equal to the byte:")
        lines += [f"    {name}  {what}" for name, what in self.files.items() if what]
        if self.since and (self.differs or self.stopped):
            lines.append(f"    Changed since it was published: {'; '.join(self.since)}.")
        return "\n".join(lines)

    def _first(self) -> str:
        if self.stopped:
            return f"  {self.stage}: could not be executed again: {self.stopped}"
        if self.differs:
            return f"  {self.stage}: {len(self.differs)} of {len(self.files)} files differ"
        return f"  {self.stage}: all {len(self.files)} files are equal{'' if self.erased else ' to the byte'}"


@dataclass(frozen=True)
class Verified:
    """What became of each table of the stages executed again."""

    cycle: str
    stages: tuple[Again, ...]

    @property
    def exit_code(self) -> int:
        """0 where everything is as published, or differs by erasures alone; else 3."""
        return 0 if all(stage.sound for stage in self.stages) else GateFailed.exit_code

    def __str__(self) -> str:
        return "\n".join([f"{self.cycle}, executed again:", *map(str, self.stages)])


def verify_cycle(cycle: str, *, study: Path | None, stage: str | None = None, pictures: bool = True) -> Verified:
    """Execute the published stages of a cycle in a scratch folder and compare every table.

    Nothing is written to reports. People erased since cannot be brought back: their rows are left out of both sides.

    Parameters
    ----------
    cycle
        Name of the cycle.
    study
        Its params file; None: the one of ``params/`` that has published this cycle.
    stage
        Only this stage or topic.
    pictures
        False: in this process, without plots, as simulations do.

    Raises
    ------
    Refused
        Nothing of that name is published, or a file of a stage, of its inputs or of its parents, of the mapping, the
        deliveries or the lines set aside was altered.
    """
    file = the_study(study, f"cycle {cycle}", lambda file: bool(_newest(file, cycle)))
    there = _newest(file, cycle)
    if not there:
        raise Refused(f"cycle {cycle}", f"nothing of it is published in {_folder(file)}; `crmlab run` publishes")
    if stage is not None and stage not in there:
        raise Refused(f"cycle {cycle}", f"{stage} is not published; published are {', '.join(there)}")
    chosen = there if stage is None else {stage: there[stage]}
    with lock(_folder(file)):
        if faults := [*altered_private(_folder(file)), *_altered(file, chosen.values())]:
            raise Refused(f"cycle {cycle}", faults)
        return Verified(cycle, tuple(_again(file, name, one, pictures) for name, one in chosen.items()))


def _folder(file: StudyFile) -> Path:
    return file.reports / file.study.study


def _newest(file: StudyFile, cycle: str) -> dict[str, Published]:
    """The stages and topics published of a cycle, in the order in which they run."""
    folders = {one.folder.name.partition(".")[0] for one in stages_of(_folder(file)) if one.folder.parent.name == cycle}
    order = sorted(folders, key=lambda name: (name not in NAMES.values(), name))
    return {name.partition("_")[2]: published(_folder(file), cycle, name) for name in order}


def _altered(file: StudyFile, chosen: Collection[Published]) -> list[Fault]:
    """Whatever is not as it was of stages, their inputs, their parents, and the study's key; each is read once."""
    found = {stage.folder: altered(stage) for stage in chosen}
    whole = [stage for stage in chosen if not found[stage.folder]]
    for stage in whole:
        for name, folder in stage.manifest["parents"].items():
            parent = Published(_folder(file) / folder)
            if parent.folder not in found:
                found[parent.folder] = altered(parent)
            if not found[parent.folder] and parent.digest != stage.manifest["identity"]["parents"][name]:
                what = "is not the stage that was built on; restore it from a copy"
                found[parent.folder] = [Fault(str(parent.folder), what)]
    faults = [fault for own in found.values() for fault in own]
    faults += Store(_folder(file) / "inputs").faults(named_inputs(*whole))
    key = known_key(file.study)
    if file.study.mode == "live" and any(key is None or fingerprint(key) != s.manifest["key"] for s in whole):
        faults.append(Fault("the study's key", "is missing, or another; restore it from a copy"))
    return faults


def _again(file: StudyFile, name: str, stage: Published, pictures: bool) -> Again:
    """Execute a published stage from its own params, inputs and parents, and compare."""
    store = Store(_folder(file) / "inputs")
    gone = store.erased_from(named_inputs(stage))
    since = _changed_since(name, stage)
    with tempfile.TemporaryDirectory(prefix="crmlab-verify-", ignore_cleanup_errors=True) as scratch:
        staged = Path(scratch) / "staged"
        (staged / "tables").mkdir(parents=True)
        own = _own_file(stage, Path(scratch))
        context = context_of(own, stage, _folder(file))
        try:
            execute(context, staged, cwd=Path(scratch), pictures=pictures, tell=lambda *_: None)
        except Stopped as stopped:
            return Again(name, {}, len(gone), since, stopped.message)
        params = resolved_params(own.study, own.study.cycle_named(context.cycle), name)
        (staged / "params.yaml").write_text(strict_yaml.dump(params), encoding="utf-8")
        kept = [n for n in stage.manifest["files"] if n.endswith((".parquet", ".yaml"))]
        files = {n: apart(stage.folder / n, staged / n, gone) for n in kept}
        made = (p.relative_to(staged).as_posix() for p in sorted(staged.rglob("*.*")))
        files |= {n: "is new" for n in made if n.endswith((".parquet", ".yaml")) and n not in files}
    return Again(name, files, len(gone), since)


def _own_file(stage: Published, scratch: Path) -> StudyFile:
    """A params file with what the stage was published from, and nothing else."""
    params: dict[str, Any] = dict(stage.plain("params.yaml"))
    params["cycles"] = [params.pop("cycle")]
    for section in ("effects", "homogeneity", "refinement"):  # what the protocol fixes stands in the protocol alone
        if section in params:
            params[section] = {k: v for k, v in params[section].items() if k not in FIXED}
    path = scratch / "params" / f"{params['study']}.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps(params, ensure_ascii=False), encoding="utf-8")  # which is YAML, too
    return load_study(path)


def _changed_since(name: str, stage: Published) -> tuple[str, ...]:
    """What is no longer as it was when the stage was published: notebook, package, lock, versions."""
    identity, before = stage.manifest["identity"], stage.manifest["versions"]
    now = {"notebook": notebook_digest(notebook_of(name)), "package": package_digest(), "lock": lock_digest()}
    parts = [part for part, digest in now.items() if identity[part] != digest]
    return (*parts, *(f"{p} {before.get(p)} → {v}" for p, v in versions().items() if before.get(p) != v))
