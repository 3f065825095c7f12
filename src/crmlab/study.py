"""A study: one params file, checked whole, and its calendar of cycles."""

import difflib
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice, takewhile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from crmlab.activation.allocation import ActivationParams
from crmlab.activation.beliefs import BeliefParams
from crmlab.activation.eligibility import EligibilityParams
from crmlab.base.ipt import IPTParams
from crmlab.base.lifecycle import LifeCycleParams
from crmlab.base.retention import RetentionParams
from crmlab.base.rfm import RFMParams
from crmlab.base.summary import SummaryParams
from crmlab.base.traits import TraitsParams
from crmlab.calendar import MOST_CYCLES, Calendar, Cycle, CycleRule, calendar_faults
from crmlab.clv.chosen import clv_faults
from crmlab.clv.params import CLVParams
from crmlab.contract import Fault, Params, Refused
from crmlab.data.params import DataParams
from crmlab.params_file import NAME, placed, read_params, validated
from crmlab.reanalysis.params import EffectParams, HomogeneityParams, RefinementParams
from crmlab.segments.candidates import JudgingParams
from crmlab.segments.params import VALUE, SegmentsParams, ways
from crmlab.trials.protocol import ProtocolParams

Name = Annotated[str, StringConstraints(pattern=NAME)]

FIXED = ("tolerance", "alpha", "interval", "find_share", "power")
"""What the protocol fixes for every re-analysis: set there, and nowhere else."""


class Study(Params):
    """A params file: where the data is, when the loop turns, and what each analysis is told."""

    study: Name
    """Name of the study, and of its folder in reports."""
    title: str = Field(default="", max_length=200)
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
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "EUR"
    """The one currency of all amounts."""
    time_zone: str = "UTC"
    """The time zone whose civil days the data's dates are."""
    data: DataParams
    cycles: Calendar
    topics: tuple[Name, ...] = ()
    """Topics to run after each analysis: names of notebooks in notebooks/topics."""

    summary: SummaryParams = SummaryParams()
    rfm: RFMParams = RFMParams()
    retention: RetentionParams = RetentionParams()
    timing: IPTParams = IPTParams()
    life_cycle: LifeCycleParams = LifeCycleParams()
    traits: TraitsParams = TraitsParams()
    clv: CLVParams = CLVParams()
    segments: SegmentsParams = SegmentsParams()
    judging: JudgingParams = JudgingParams()
    protocol: ProtocolParams = ProtocolParams()
    eligibility: EligibilityParams = EligibilityParams()
    beliefs: BeliefParams = BeliefParams()
    activation: ActivationParams = ActivationParams()
    effects: EffectParams = EffectParams()
    homogeneity: HomogeneityParams = HomogeneityParams()
    refinement: RefinementParams = RefinementParams()

    @field_validator("time_zone")
    @classmethod
    def _a_zone(cls, name: str) -> str:
        known = zoneinfo.available_timezones()
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.7)
            hint = f"did you mean '{near[0]}'?" if near else "write one such as Europe/Rome"
            raise ValueError(f"got {name[:40]!r}, which is no time zone; {hint}")
        return name

    @field_validator("consent")
    @classmethod
    def _recorded_in_live(cls, consent: str, info: ValidationInfo) -> str:
        if consent == "assumed" and info.data.get("mode", "replay") != "replay":
            raise ValueError("consent: assumed is for mode: replay alone; record consents, or replay history")
        return consent

    @field_validator("cycles")
    @classmethod
    def _in_order(cls, cycles: tuple[Cycle, ...] | CycleRule) -> tuple[Cycle, ...] | CycleRule:
        if faults := calendar_faults(cycles):
            raise ValueError("; ".join(faults))
        return cycles

    @field_validator("clv")
    @classmethod
    def _known_models(cls, clv: CLVParams) -> CLVParams:
        if faults := clv_faults(clv):
            raise ValueError("; ".join(f"{fault.where}: {fault.what}" for fault in faults))
        return clv

    @field_validator("segments")
    @classmethod
    def _trees_of_cycles(cls, segments: SegmentsParams, info: ValidationInfo) -> SegmentsParams:
        if not segments.trees or "cycles" not in info.data:
            return segments
        named = [c.cycle for c in islice(info.data["cycles"], MOST_CYCLES)]
        faults = []
        for cycle in segments.trees:
            if cycle not in named:
                near = difflib.get_close_matches(cycle, named, 1)
                hint = f"did you mean '{near[0]}'?" if near else f"those there are: {', '.join(named[:12])}"
                faults.append(f"segments.trees.{cycle}: no such cycle; {hint}")
        if faults:
            raise ValueError("; ".join(faults))
        return segments

    @model_validator(mode="after")
    def _tiers_can_be_made(self) -> "Study":
        if VALUE in ways(self.segments):
            from crmlab.segments.tiers import value_faults

            if faults := value_faults(self.clv):
                raise ValueError("; ".join(f"{fault.where}: {fault.what}" for fault in faults))
        return self

    @field_validator("effects", "homogeneity", "refinement")
    @classmethod
    def _fixed_elsewhere(cls, section: Params) -> Params:
        if wrong := sorted(set(FIXED) & section.model_fields_set):
            raise ValueError("; ".join(f"{w}: the protocol fixes it; set protocol.{w} instead" for w in wrong))
        return section

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
    """A study and the files it came from; `folder` is where its data paths start, `lines` where each name stands."""

    study: Study
    path: Path
    folder: Path
    lines: Mapping[str, str] = field(default_factory=dict, compare=False)

    def located(self, faults: list[Fault]) -> list[Fault]:
        """Faults of data, with the line of the params file that speaks of these."""
        return [Fault(placed(re.sub(r"^files\.", "data.files.", f.where), self.lines), f.what) for f in faults]

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
    read = read_params(path)
    study = validated(Study, read, str(path))
    return StudyFile(study, path.resolve(), read.folder, read.lines)
