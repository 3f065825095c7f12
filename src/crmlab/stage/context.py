"""What a stage starts from: its study and cycle, the inputs it may see, its parents."""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from crmlab.contract import Fault, Refused
from crmlab.stage.erased import erased
from crmlab.stage.failed import failure_of
from crmlab.stage.folder import NAMES, Published, folder_of, published
from crmlab.stage.identity import git_commit, identity, versions
from crmlab.stage.inputs import Files, Intake, Store
from crmlab.stage.keys import fingerprint, study_key
from crmlab.stage.taking import shown
from crmlab.stage.tree_by_hand import tree_faults
from crmlab.study import Cycle, Study, StudyFile

PROJECT = Path(__file__).parents[3]
SECTIONS = {
    "analysis": ("summary", "rfm", "retention", "timing", "life_cycle", "traits", "clv", "segments"),
    "activation": ("traits", "clv", "protocol", "eligibility", "beliefs", "activation"),
    "reanalysis": ("traits", "protocol", "effects", "homogeneity", "refinement"),
    "segmentations": ("traits", "clv", "segments", "eligibility", "judging"),
}


@dataclass(frozen=True)
class Context:
    """A stage about to run, as plain values that pass to its kernel in a file."""

    study: str
    cycle: str
    stage: str
    store: str
    inputs: Files
    reading: list[str]
    mailed: list[str]
    notes: list[list[Any]] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    quarantine: str = ""
    schema: dict[str, dict[str, str]] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)
    staging: str = ""

    def to_file(self, path: Path) -> None:
        """Write it for the kernel."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def from_file(cls, path: Path) -> "Context":
        """Read what `to_file` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def topics() -> list[str]:
    """The topics there are: one question each, asked of any study after its analysis."""
    return sorted(path.stem for path in (PROJECT / "notebooks" / "topics").glob("*.ipynb"))


def notebook_of(stage: str) -> Path:
    """The notebook of a stage or topic."""
    if stage in NAMES:
        return PROJECT / "notebooks" / "loop" / f"{NAMES[stage]}.ipynb"
    return PROJECT / "notebooks" / "topics" / f"{stage}.ipynb"


def cut_of(cycle: Cycle, stage: str) -> date:
    """The last day a stage may see."""
    return cycle.window_end if stage == "reanalysis" else cycle.as_of


def parents_of(file: StudyFile, cycle: Cycle, stage: str) -> dict[str, Published]:
    """The published stages a stage builds on.

    An analysis builds on the newest re-analysis whose window had closed by its `as_of`, if there is one; a topic on the
    analysis, and on the re-analysis that this one builds on.

    Raises
    ------
    Refused
        When a stage it needs is not published.
    """
    study_folder = file.reports / file.study.study
    if stage == "analysis":
        closed = [c for c in file.study.calendar(cycle.as_of) if c.window_end <= cycle.as_of]
        for earlier in sorted(closed, key=lambda c: c.window_end, reverse=True):
            if found := published(study_folder, earlier.cycle, folder_of("reanalysis")):
                return {"reanalysis": found}
            if not _without_list(study_folder, earlier):
                how = f"crmlab run {shown(file.path)} --cycle {earlier.cycle}"
                what = f"builds on the re-analysis of {earlier.cycle}, which is not published; publish it first: {how}"
                raise Refused(f"{stage} of {cycle.cycle}", what)
        return {}
    needed = ["analysis", "activation"] if stage == "reanalysis" else ["analysis"]
    found = {name: published(study_folder, cycle.cycle, folder_of(name)) for name in needed}
    missing = [name for name, stage_folder in found.items() if stage_folder is None]
    if missing:
        how = f"crmlab run {shown(file.path)} --cycle {cycle.cycle} --through {missing[-1]}"
        raise Refused(
            f"{stage} of {cycle.cycle}", [Fault(m, f"is not published yet; publish it first: {how}") for m in missing]
        )
    if stage not in NAMES and (before := found["analysis"].manifest["parents"].get("reanalysis")):
        found["reanalysis"] = Published(study_folder / before)
    return found


def _without_list(study_folder: Path, cycle: Cycle) -> bool:
    """Whether a cycle can have no re-analysis, because a gate refused its list."""
    failure = failure_of(study_folder, cycle.cycle, "activation")
    return failure is not None and failure["state"] == "refused"


def prepare(file: StudyFile, cycle: Cycle, stage: str, store: Store, intake: Intake) -> Context:
    """Store what a stage may see and name its parents."""
    in_replay = file.study.mode == "replay" and stage == "activation"
    if unknown := sorted(set(cycle.campaigns) - set(intake.campaigns)):
        there = ", ".join(intake.campaigns[:12]) or "none"
        faults = [
            Fault(f"campaigns of {cycle.cycle}", f"no campaign '{c}' in contacts; there are: {there}") for c in unknown
        ]
        raise Refused(shown(file.path), faults)
    parents = _same_key(file, parents_of(file, cycle, stage))
    if stage == "analysis" and (faults := tree_faults(file, cycle, intake.tables, parents.get("reanalysis"))):
        raise Refused(shown(file.path), faults)
    return Context(
        study=str(file.path),
        cycle=cycle.cycle,
        stage=stage,
        store=str(store.folder),
        inputs=intake.store(store, cut_of(cycle, stage)),
        reading=intake.store_reading(store) if stage == "analysis" else [],
        mailed=intake.contacts_of(store, cycle.campaigns) if in_replay else [],
        notes=intake.notes if stage == "analysis" else [],
        parents={name: str(parent.folder) for name, parent in parents.items()},
        set_aside=intake.store_set_aside(store) if stage == "analysis" else [],
        quarantine=intake.quarantine_digest if stage == "analysis" else "",
        schema=intake.schema if stage == "analysis" else {},
        erased=sorted(intake.erased),
    )


def context_of(file: StudyFile, stage: Published, study_folder: Path) -> Context:
    """What a published stage started from, without anybody erased since, to be executed again with `file`'s params."""
    manifest = stage.manifest
    inputs = dict(manifest["identity"]["inputs"])
    return Context(
        study=str(file.path),
        cycle=manifest["cycle"],
        stage=manifest["stage"].partition("_")[2],
        store=str(study_folder / "inputs"),
        mailed=inputs.pop("mailed", []),
        inputs=inputs,
        reading=manifest["reading"],
        notes=manifest["notes"],
        parents={name: str(study_folder / folder) for name, folder in manifest["parents"].items()},
        set_aside=manifest["set_aside"],
        quarantine=manifest["quarantine"],
        schema=manifest["schema"],
        erased=sorted(erased(study_folder)),
    )


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


def _same_key(file: StudyFile, parents: dict[str, Published]) -> dict[str, Published]:
    """`parents`, refused where one calls everybody by other names: it was published under another key."""
    now = fingerprint(study_key(file.study))
    if other := [p for p in parents.values() if p.manifest["key"] != now]:
        what = "was published under another key (in replay: seed), where everybody has another name; revise it first"
        raise Refused(shown(file.path), [Fault(str(p.folder), what) for p in other])
    return parents


def standing(identity: dict[str, Any], store: Store) -> dict[str, Any]:
    """A published identity with its inputs as they are to be found after erasures, to compare with one of now."""
    return identity | {"inputs": store.standing(identity["inputs"])}


def resolved_params(study: Study, cycle: Cycle, stage: str) -> dict[str, Any]:
    """The parameters a stage depends on, and no others."""
    whole = study.model_dump(mode="json")
    general = ("study", "title", "lang", "mode", "consent", "design", "seed", "currency", "time_zone")
    data = {k: v for k, v in whole["data"].items() if k != "extracted_on"}
    own = {k: whole[k] for k in (*general, *SECTIONS.get(stage, SECTIONS["analysis"]))}
    if "segments" in own:  # another cycle's tree is none of this one's
        trees = {name: tree for name, tree in own["segments"]["trees"].items() if name == cycle.cycle}
        own["segments"] = own["segments"] | {"trees": trees}
    return own | {"cycle": cycle.model_dump(mode="json"), "data": data}


def identity_of(file: StudyFile, cycle: Cycle, context: Context) -> dict[str, Any]:
    """The identity of the stage that `context` would start."""
    inputs = dict(context.inputs) | ({"mailed": context.mailed} if context.mailed else {})
    parents = {name: Published(Path(folder)).digest for name, folder in context.parents.items()}
    params = resolved_params(file.study, cycle, context.stage)
    return identity(params, inputs, parents, notebook_of(context.stage))
