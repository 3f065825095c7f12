"""What a stage starts from: its study and cycle, the inputs it may see, its parents."""

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import platformdirs

from crmlab.contract import Fault, Refused
from crmlab.data import intake as data_intake
from crmlab.stage.folder import NAMES, Published, folder_of, published
from crmlab.stage.identity import identity
from crmlab.stage.inputs import Files, Intake, Store, connect
from crmlab.study import Cycle, Study, StudyFile

PROJECT = Path(__file__).parents[3]
SECTIONS = {
    "analysis": ("summary", "rfm", "retention", "timing", "traits", "clv", "segments"),
    "activation": ("traits", "clv", "protocol", "eligibility", "beliefs", "activation"),
    "reanalysis": ("traits", "protocol", "effects", "homogeneity", "refinement"),
}


@dataclass(frozen=True)
class Context:
    """A stage about to run, as plain values that pass to its kernel in a file."""

    study: str
    cycle: str
    stage: str
    store: str
    reports: str
    inputs: Files
    reading: list[str]
    mailed: list[str]
    notes: list[list[Any]] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
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


def take_in(file: StudyFile) -> Intake:
    """Read the raw data of a study into canonical tables."""
    con = connect()
    read = data_intake.read(file.study.data, folder=file.folder, con=con, name=_shown(file.path))
    if "transactions" not in read.tables:
        raise Refused(_shown(file.path), [Fault("data.files", "'transactions' is missing; every study needs it")])
    return Intake(read.tables, read.reading, con, notes=[[n.text, _plain(n.values), n.tone] for n in read.notes])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that pass to a kernel in a file: days as text."""
    return {name: str(v) if isinstance(v, date) else v for name, v in values.items()}


def _shown(path: Path) -> str:
    """A path as the user would write it from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def cut_of(cycle: Cycle, stage: str) -> date:
    """The last day a stage may see."""
    return cycle.window_end if stage == "reanalysis" else cycle.as_of


def parents_of(file: StudyFile, cycle: Cycle, stage: str) -> dict[str, Published]:
    """The published stages a stage builds on.

    An analysis builds on the newest re-analysis whose window had closed by its `as_of`, if there is one.

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
                how = f"crmlab run {_shown(file.path)} --cycle {earlier.cycle}"
                what = f"builds on the re-analysis of {earlier.cycle}, which is not published; publish it first: {how}"
                raise Refused(f"{stage} of {cycle.cycle}", what)
        return {}
    needed = ["analysis", "activation"] if stage == "reanalysis" else ["analysis"]
    found = {name: published(study_folder, cycle.cycle, folder_of(name)) for name in needed}
    missing = [name for name, stage_folder in found.items() if stage_folder is None]
    if missing:
        how = f"crmlab run {_shown(file.path)} --cycle {cycle.cycle} --through {missing[-1]}"
        raise Refused(
            f"{stage} of {cycle.cycle}", [Fault(m, f"is not published yet; publish it first: {how}") for m in missing]
        )
    return found


def _without_list(study_folder: Path, cycle: Cycle) -> bool:
    """Whether a cycle can have no re-analysis, because a gate refused its list."""
    failure = study_folder / "failed" / f"{cycle.cycle}-{folder_of('activation')}" / "failure.json"
    return failure.is_file() and json.loads(failure.read_text(encoding="utf-8"))["state"] == "refused"


def prepare(file: StudyFile, cycle: Cycle, stage: str, store: Store, intake: Intake) -> Context:
    """Store what a stage may see and name its parents."""
    in_replay = file.study.mode == "replay" and stage == "activation"
    if unknown := sorted(set(cycle.campaigns) - set(intake.campaigns)):
        there = ", ".join(intake.campaigns[:12]) or "none"
        faults = [
            Fault(f"campaigns of {cycle.cycle}", f"no campaign '{c}' in contacts; there are: {there}") for c in unknown
        ]
        raise Refused(_shown(file.path), faults)
    return Context(
        study=str(file.path),
        cycle=cycle.cycle,
        stage=stage,
        store=str(store.folder),
        reports=str(file.reports),
        inputs=intake.store(store, cut_of(cycle, stage)),
        reading=intake.store_reading(store) if stage == "analysis" else [],
        mailed=intake.contacts_of(store, cycle.campaigns) if in_replay else [],
        notes=intake.notes if stage == "analysis" else [],
        parents={name: str(parent.folder) for name, parent in parents_of(file, cycle, stage).items()},
    )


def resolved_params(study: Study, cycle: Cycle, stage: str) -> dict[str, Any]:
    """The parameters a stage depends on, and no others."""
    whole = study.model_dump(mode="json")
    general = ("study", "title", "lang", "mode", "consent", "design", "seed", "currency", "time_zone")
    data = {k: v for k, v in whole["data"].items() if k != "extracted_on"}
    own = {k: whole[k] for k in (*general, *SECTIONS.get(stage, SECTIONS["analysis"]))}
    return own | {"cycle": cycle.model_dump(mode="json"), "data": data}


def identity_of(file: StudyFile, cycle: Cycle, context: Context) -> dict[str, Any]:
    """The identity of the stage that `context` would start."""
    inputs = dict(context.inputs) | ({"mailed": context.mailed} if context.mailed else {})
    parents = {name: Published(Path(folder)).digest for name, folder in context.parents.items()}
    params = resolved_params(file.study, cycle, context.stage)
    return identity(params, inputs, parents, notebook_of(context.stage))


def study_key(study: Study) -> bytes:
    """The key of the study's random assignment.

    In replay nobody is contacted, so the key follows from the seed and everybody finds the same arms. In live it is
    random, made at first use, and lies outside params and reports (`CRMLAB_KEYS`, or the user's configuration).
    """
    if study.mode == "replay":
        return hmac.digest(str(study.seed).encode(), f"crmlab replay {study.study}".encode(), hashlib.sha256)
    folder = Path(os.environ.get("CRMLAB_KEYS") or platformdirs.user_config_path("crmlab") / "keys")
    path = folder / f"{study.study}.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(handle, secrets.token_hex(32).encode())
        os.fsync(handle)
        os.close(handle)
    return bytes.fromhex(path.read_text().strip())


def fingerprint(key: bytes) -> str:
    """Eight digits by which a key can be recognised and not found."""
    return hashlib.sha256(b"fingerprint" + key).hexdigest()[:8]
