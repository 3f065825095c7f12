"""A study: one params file, checked whole, and its calendar of cycles."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice, takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, ValidationError, model_validator

from crmlab.activation.allocation import ActivationParams
from crmlab.activation.beliefs import BeliefParams
from crmlab.activation.eligibility import EligibilityParams
from crmlab.base.ipt import IPTParams
from crmlab.base.retention import RetentionParams
from crmlab.base.rfm import RFMParams
from crmlab.base.summary import SummaryParams
from crmlab.base.traits import TraitsParams
from crmlab.clv.chosen import clv_faults
from crmlab.clv.params import CLVParams
from crmlab.contract import Fault, Params, Refused, strict_yaml
from crmlab.data.params import DataParams
from crmlab.reanalysis.effects import EffectParams
from crmlab.reanalysis.homogeneity import HomogeneityParams
from crmlab.reanalysis.refinement import RefinementParams
from crmlab.segments.start import SegmentsParams
from crmlab.trials.protocol import ProtocolParams

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
RESERVED = {"inputs", "failed", "deliveries"}
"""Folders of a study that are no cycle."""

CycleName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,39}$")]
MOST_CYCLES = 5_000
"""Cycles of a rule that are looked through for a name: a century of weeks."""

FIXED = ("tolerance", "alpha", "interval", "find_share", "power")
"""What the protocol fixes for every re-analysis: set there, and nowhere else."""

Window = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}[dw]$")]


class Cycle(Params):
    """One turn of the loop."""

    cycle: CycleName
    """Its name, for example 2017-05."""
    as_of: date
    """The last day its analysis and activation may see."""
    outcome_window: Window = "8w"
    """How long answers are awaited, in days (56d) or weeks (8w), from the day after `as_of`."""
    campaigns: tuple[str, ...] = ()
    """In replay: the campaigns of history that this cycle stands for."""

    @property
    def window_days(self) -> int:
        """Days of the outcome window."""
        return int(self.outcome_window[:-1]) * (7 if self.outcome_window.endswith("w") else 1)

    @property
    def window_end(self) -> date:
        """The last day of the outcome window."""
        return self.as_of + timedelta(days=self.window_days)


class CycleRule(Params):
    """Cycles given by a rule: one every week, month or quarter."""

    every: Literal["week", "month", "quarter"]
    """How often a cycle begins."""
    first: date
    """The first day of the first cycle; its `as_of` is the day before."""
    last: date | None = None
    """No cycle begins after this day."""
    outcome_window: Window = "8w"
    """As of a cycle."""

    def __iter__(self) -> Iterator[Cycle]:  # type: ignore[override]
        """The cycles in order, without end where `last` is not given."""
        start = self.first
        while self.last is None or start <= self.last:
            name = start.isoformat() if self.every == "week" else f"{start:%Y-%m}"
            yield Cycle(cycle=name, as_of=start - timedelta(days=1), outcome_window=self.outcome_window)
            start = _next_start(start, self.first.day, self.every)


def _kind_of_calendar(value: Any) -> str:
    return "by rule" if isinstance(value, dict | CycleRule) else "listed"


Calendar = Annotated[
    Annotated[tuple[Cycle, ...], Tag("listed")] | Annotated[CycleRule, Tag("by rule")],
    Discriminator(_kind_of_calendar),
]
"""Cycles listed, or given by a rule; a fault is told of the kind that was meant."""


def _next_start(start: date, day: int, every: str) -> date:
    if every == "week":
        return start + timedelta(days=7)
    month = start.month - 1 + (1 if every == "month" else 3)
    year, month = start.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month, min(day, last))


class Study(Params):
    """A params file: where the data is, when the loop turns, and what each analysis is told."""

    study: Name
    """Name of the study, and of its folder in reports."""
    title: str = ""
    """What pages call it."""
    lang: Literal["en", "it"] = "en"
    """Language of pages and plots."""
    mode: Literal["live", "replay"] = "replay"
    """live: lists are sent; replay: history, whose contacts were not ours, nothing can be exported."""
    consent: Literal["recorded", "assumed"] = "recorded"
    """assumed: only in replay; pages say so."""
    design: Literal["observational", "randomised"] | None = None
    """Whether who was contacted was left to chance. Default: randomised in live, observational in replay."""
    seed: int = Field(ge=0)
    """Seed of all randomness."""
    currency: str = "EUR"
    """The one currency of all amounts."""
    time_zone: str = "UTC"
    """The time zone whose civil days the data's dates are."""
    data: DataParams
    cycles: Calendar
    topics: tuple[str, ...] = ()
    """Topics to run after each analysis: names of notebooks in notebooks/topics."""

    summary: SummaryParams = SummaryParams()
    rfm: RFMParams = RFMParams()
    retention: RetentionParams = RetentionParams()
    timing: IPTParams = IPTParams()
    traits: TraitsParams = TraitsParams()
    clv: CLVParams = CLVParams()
    segments: SegmentsParams = SegmentsParams()
    protocol: ProtocolParams = ProtocolParams()
    eligibility: EligibilityParams = EligibilityParams()
    beliefs: BeliefParams = BeliefParams()
    activation: ActivationParams = ActivationParams()
    effects: EffectParams = EffectParams()
    homogeneity: HomogeneityParams = HomogeneityParams()
    refinement: RefinementParams = RefinementParams()

    @model_validator(mode="after")
    def _agrees(self) -> "Study":
        if self.consent == "assumed" and self.mode != "replay":
            raise ValueError("consent: assumed is for mode: replay alone; record consents, or replay history")
        for section in ("effects", "homogeneity", "refinement"):
            if wrong := sorted(set(FIXED) & getattr(self, section).model_fields_set):
                raise ValueError(f"{section}.{wrong[0]}: the protocol fixes it; set protocol.{wrong[0]} instead")
        for cycle in islice(self.cycles, MOST_CYCLES):
            if cycle.cycle in RESERVED:
                raise ValueError(f"cycles: '{cycle.cycle}' is the name of a folder of the study; choose another")
            if not 1900 <= cycle.as_of.year < 2200:
                raise ValueError(f"cycles: as_of {cycle.as_of} lies outside 1900 to 2199")
            if not isinstance(self.cycles, tuple):
                break
        if isinstance(self.cycles, CycleRule) and self.cycles.last and self.cycles.last < self.cycles.first:
            raise ValueError(f"cycles: last {self.cycles.last} lies before first {self.cycles.first}; no cycle is left")
        if isinstance(self.cycles, tuple):
            names = [c.cycle for c in self.cycles]
            if not names:
                raise ValueError("cycles: at least one is needed")
            if len(set(names)) < len(names):
                raise ValueError(f"cycles: a name stands twice in {names}")
            if list(self.cycles) != sorted(self.cycles, key=lambda c: c.as_of):
                raise ValueError("cycles: list them in the order of their as_of")
        return self

    @property
    def randomised(self) -> bool:
        """Whether contact was left to chance."""
        return self.design == "randomised" or (self.design is None and self.mode == "live")

    def calendar(self, through: date) -> tuple[Cycle, ...]:
        """All listed cycles, or the rule's cycles that begin by `through` and the next one."""
        if isinstance(self.cycles, tuple):
            return self.cycles
        begun = list(takewhile(lambda c: c.as_of < through, self.cycles))
        return tuple(islice(self.cycles, len(begun) + 1))

    def cycle_named(self, name: str) -> Cycle:
        """The cycle of that name.

        Raises
        ------
        Refused
            When there is none, naming those there are.
        """
        cycles = {c.cycle: c for c in islice(self.cycles, MOST_CYCLES)}
        if name not in cycles:
            near = difflib.get_close_matches(name, cycles, 1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            names = ", ".join(islice(cycles, 12)) + (", …" if len(cycles) > 12 else "")
            raise Refused(f"study '{self.study}'", f"no cycle '{name}'{hint} It has {names}")
        return cycles[name]


@dataclass(frozen=True)
class StudyFile:
    """A study and the files it came from; `folder` is where its data paths start."""

    study: Study
    path: Path
    folder: Path

    @property
    def reports(self) -> Path:
        """Folder of all studies' reports: beside `params/`, or beside the file itself."""
        parent = self.path.parent
        return (parent.parent if parent.name == "params" else parent) / "reports"


def load_study(path: Path | str) -> StudyFile:
    """Read and check a params file and the files it extends.

    Raises
    ------
    Refused
        With every fault of the file, its line and, for a misspelt name, the likely one.
    """
    path = Path(path)
    merged, lines, folder = _merged(path.resolve(), str(path), ())
    try:
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise Refused(str(path), [_fault(e, merged, lines) for e in error.errors()]) from None
    if faults := clv_faults(study.clv):
        known = [replace(f, where=f"{f.where} (line {lines[f.where]})") if f.where in lines else f for f in faults]
        raise Refused(str(path), known)
    return StudyFile(study, path.resolve(), folder)


def _merged(path: Path, shown: str, seen: tuple[Path, ...]) -> tuple[dict, dict[str, int], Path]:
    """The file over the one it extends, the line of each name, and the folder of its data."""
    if path in seen:
        raise Refused(shown, "extends itself: " + " → ".join(p.name for p in (*seen, path)))
    own = strict_yaml.load(path, subject=shown)
    lines = _lines(own)
    folder = path.parent
    base = own.pop("extends", None)
    if base is None:
        return own, lines, folder
    if not isinstance(base, str):
        raise Refused(shown, [Fault("extends", f"got {base!r}, expected the path of a params file")])
    inherited, _, inherited_folder = _merged(
        (path.parent / base).resolve(), f"{base} (extended by {shown})", (*seen, path)
    )
    if "study" not in own:
        raise Refused(shown, [Fault("study", "missing; a study that extends another needs a name of its own")])
    names_files = "files" in (own["data"] if isinstance(own.get("data"), dict) else {})
    return _over(inherited, own), lines, folder if names_files else inherited_folder


def _over(below: dict, above: dict) -> dict:
    result = dict(below)
    for key, value in above.items():
        both_maps = isinstance(value, dict) and isinstance(below.get(key), dict)
        result[key] = _over(below[key], value) if both_maps and key != "cycles" else value
    return result


def _lines(mapping: Any, prefix: str = "") -> dict[str, int]:
    found: dict[str, int] = {}
    if isinstance(mapping, strict_yaml.Lines):
        for key, value in mapping.items():
            found[prefix + key] = mapping.lines[key]
            found |= _lines(value, f"{prefix}{key}.")
    elif isinstance(mapping, list):
        for number, value in enumerate(mapping):
            found |= _lines(value, f"{prefix}{number}.")
    return found


def _fault(error: dict, merged: dict, lines: dict[str, int]) -> Fault:
    """A pydantic error as a person would put it."""
    # A kind of calendar shows up in the location; it is no parameter's name.
    parts = [str(p) for p in error["loc"] if p not in ("listed", "by rule")]
    where = ".".join(parts)
    line = lines.get(where)
    place = where + (f" (line {line})" if line else "")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(parts[-1], _known(parts[:-1]), 1, cutoff=0.6)
        return Fault(place, "no such parameter" + (f"; did you mean '{near[0]}'?" if near else ""))
    if error["type"] == "missing":
        return Fault(place, "missing; add it")
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["type"] == "value_error" or not where:
        return Fault(place or "study", message)
    return Fault(place, f"got {error['input']!r}, expected {message}")


def _known(parts: list[str]) -> list[str]:
    """Names that may stand at a place in a params file."""
    model: Any = Study
    for part in parts:
        if part.isdigit():
            continue
        if part == "cycles":
            return [*Cycle.model_fields, *CycleRule.model_fields]
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else None
    return [*getattr(model, "model_fields", {}), *(["extends"] if model is Study else [])]
