"""What a cycle tests, fixed before its list exists and named by its digest in every campaign."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crmlab.contract import Basis, Fault, Params, Refused, Result, Sentence, mark, say, strict_yaml

Outcome = Literal["response", "spend", "orders"]
Kind = Literal["level", "effect"]
Design = Literal["observational", "randomised"]


class ProtocolParams(Params):
    """What is tested, how near to homogeneous is near enough, and how many are withheld."""

    outcome: Outcome = "response"
    """The primary outcome: the one on which verdicts and splits rest."""
    primary: Kind | None = None
    """level: are customers of a segment alike in the outcome; effect: in what contact changes. Default: effect where
    contact is left to chance, level otherwise."""
    secondary: tuple[Outcome, ...] = ()
    """Outcomes that are reported, and do not decide."""
    tolerance: float = Field(default=0.05, gt=0, le=1)
    """Standard deviation of true rates (or effects) within a segment that makes no practical difference, absolute."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Size of every test."""
    interval: float = Field(default=0.90, gt=0.5, lt=1)
    """Coverage of the intervals that are compared with the tolerance."""
    power: float = Field(default=0.80, gt=0.5, lt=1)
    """Power at which minimum detectable effects are stated."""
    find_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the customers on which splits are sought; they are confirmed on the others."""
    holdout: float = Field(default=0.10, ge=0, lt=1)
    """Share of every segment that is withheld from contact at random."""
    holdout_by_segment: dict[str, float] = Field(default_factory=dict)
    """Other shares, by segment id."""
    contacted: str = Field(default="contacted", min_length=1)
    """Name of the arm of those contacted."""

    @model_validator(mode="after")
    def _shares(self) -> "ProtocolParams":
        wrong = [f"{s}: {v}" for s, v in self.holdout_by_segment.items() if not 0 <= v < 1]
        if wrong:
            raise ValueError(f"holdout_by_segment: expected shares from 0 to below 1, got {', '.join(wrong)}")
        if self.contacted == "control":
            raise ValueError("contacted: 'control' is the arm of those withheld; choose another name")
        return self


class Hypothesis(BaseModel):
    """One thing that is tested in every segment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome
    kind: Kind
    role: Literal["primary", "secondary"]


class Protocol(BaseModel):
    """A protocol as it is published: everything that was decided before the list existed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str
    cycle: str
    as_of: date
    window_days: int = Field(ge=1)
    mode: Literal["live", "replay"]
    design: Design
    seed: int
    tree: str
    hypotheses: tuple[Hypothesis, ...]
    tolerance: float
    alpha: float
    interval: float
    power: float
    find_share: float
    arms: tuple[str, ...]
    shares: dict[str, float]

    def to_yaml(self) -> str:
        """The protocol as YAML; `from_yaml` gives the same protocol back."""
        return strict_yaml.dump(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of the protocol as it is written."""
        return sha256(self.to_yaml().encode()).hexdigest()


def protocol(
    params: ProtocolParams,
    *,
    study: str,
    cycle: str,
    as_of: date,
    window_days: int,
    seed: int,
    design: Design,
    mode: Literal["live", "replay"],
    tree_digest: str,
    segments: list[str],
) -> Protocol:
    """The protocol of one cycle.

    Parameters
    ----------
    params
        What the study asks for.
    study, cycle, as_of, window_days, seed
        Which cycle, the last day it may see, and the days for which answers are awaited from the day after.
    design, mode
        Whether contact is left to chance, and whether lists are sent.
    tree_digest
        Digest of the segment tree in force, `segments.tree.digest`.
    segments
        Ids of the segments, `segments.tree.leaves`; each gets its share withheld.
    """
    unknown = sorted(set(params.holdout_by_segment) - set(segments))
    if unknown:
        there = ", ".join(segments)
        raise Refused(
            "protocol", [Fault(f"holdout_by_segment.{s}", f"no such segment; there are: {there}") for s in unknown]
        )
    primary = params.primary or ("effect" if design == "randomised" else "level")
    if primary == "effect" and design == "observational":
        raise Refused(
            "protocol", [Fault("primary", "an effect is not identified where nobody was withheld at random: use level")]
        )
    kinds: tuple[Kind, ...] = ("level", "effect") if design == "randomised" else ("level",)
    outcomes = dict.fromkeys((params.outcome, *params.secondary))
    hypotheses = [
        Hypothesis(outcome=o, kind=k, role="primary" if (o, k) == (params.outcome, primary) else "secondary")
        for o in outcomes
        for k in kinds
    ]
    return Protocol(
        study=study,
        cycle=cycle,
        as_of=as_of,
        window_days=window_days,
        mode=mode,
        design=design,
        seed=seed,
        tree=tree_digest,
        hypotheses=tuple(sorted(hypotheses, key=lambda h: h.role)),
        tolerance=params.tolerance,
        alpha=params.alpha,
        interval=params.interval,
        power=params.power,
        find_share=params.find_share,
        arms=(params.contacted, "control"),
        shares={s: params.holdout_by_segment.get(s, params.holdout) for s in segments},
    )


def from_yaml(text: str, *, subject: str = "protocol") -> Protocol:
    """The protocol of a YAML text; refused with all its faults."""
    try:
        return Protocol.model_validate(dict(strict_yaml.loads(text, subject=subject)))
    except ValidationError as error:
        faults = [Fault(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors(include_url=False)]
        raise Refused(subject, faults) from None


def campaign_id(protocol: Protocol, study: str, cycle: str) -> str:
    """Name of the cycle's campaign, ending in eight digits of the protocol's digest.

    The sender's own log thereby witnesses which protocol was in force when the list was sent.
    """
    return f"{study}-{cycle}-{protocol.digest()[:8]}"


def role(protocol: Protocol, outcome: str, kind: str) -> str:
    """``primary``, ``secondary``, or ``exploratory`` for whatever the protocol does not contain."""
    found = [h.role for h in protocol.hypotheses if (h.outcome, h.kind) == (outcome, kind)]
    return found[0] if found else "exploratory"


@dataclass(frozen=True)
class ProtocolResult(Result):
    """One row an item: item, value (in English; the page says them in its language)."""

    table: pd.DataFrame
    basis: Basis
    protocol: Protocol

    title: ClassVar[str] = "The protocol"
    note: ClassVar[str] = (
        "Fixed before the list existed. The campaign's name ends in eight digits of its digest, so that it cannot be "
        "changed afterwards without notice. What is tested later and does not stand here is exploratory."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {"item": ("What", ""), "value": ("As decided", "")}
    people: ClassVar[tuple[str, ...]] = ()

    def shown(self) -> pd.DataFrame:
        """The rows in the language in use."""
        return pd.DataFrame(
            [(say(item), str(value)) for item, value in items(self.protocol)], columns=["item", "value"]
        )

    def sentences(self) -> list[Sentence]:
        """What the design allows to be learned."""
        if self.protocol.design == "observational":
            return [
                Sentence(
                    "Who is contacted is not left to chance here: levels of response can be compared, effects of "
                    "contact cannot.",
                    tone="warn",
                )
            ]
        if not any(self.protocol.shares.values()):
            return [Sentence("Nobody is withheld: the effect of contact will not be identified.", tone="bad")]
        return [Sentence("A control group is withheld at random: the effect of contact is identified.", tone="good")]


def protocol_result(protocol: Protocol) -> ProtocolResult:
    """The protocol as a readable table."""
    rows = [(item, value.text.format(**value.values)) for item, value in items(protocol)]
    table = pd.DataFrame(rows, columns=["item", "value"])
    basis = Basis(n=len(protocol.shares), what=mark("segments"), start=None, end=protocol.as_of)
    return ProtocolResult(table=table, basis=basis, protocol=protocol)


def items(protocol: Protocol) -> list[tuple[str, Sentence]]:
    """Each item of the protocol and what was decided, in the order in which a reader asks for it."""
    p = protocol
    tested = [
        (mark("Tested first"), [h for h in p.hypotheses if h.role == "primary"]),
        (mark("Also reported"), [h for h in p.hypotheses if h.role == "secondary"]),
    ]
    rows = [(item, _hypothesis(h)) for item, hypotheses in tested for h in hypotheses]
    rows += [
        (
            mark("Order of verdicts"),
            Sentence("not identifiable, heterogeneous, trace, homogeneous, undecided: the first that holds"),
        ),
        (
            mark("Tolerance"),
            Sentence(
                "customers of a segment are alike in practice where the standard deviation of their true values is "
                "below {tolerance:.3g}",
                {"tolerance": p.tolerance},
            ),
        ),
        (
            mark("Size, interval, power"),
            Sentence(
                "tests at {alpha:.3g}, intervals of {interval:.0%}, minimum detectable effects at {power:.0%} power",
                {"alpha": p.alpha, "interval": p.interval, "power": p.power},
            ),
        ),
        (
            mark("Splits"),
            Sentence(
                "sought on {find:.0%} of the customers, drawn by the seed; adopted where the others confirm them",
                {"find": p.find_share},
            ),
        ),
        (mark("Withheld at random"), _withheld(p.shares)),
        (
            mark("Awaited"),
            Sentence("answers of {days} days, from the day after {as_of}", {"days": p.window_days, "as_of": p.as_of}),
        ),
        (mark("Design"), _design(p)),
        (mark("Seed"), Sentence("{seed}", {"seed": str(p.seed)})),
        (mark("Segment tree"), Sentence("{digits}", {"digits": p.tree[:12]})),
        (mark("Campaign"), Sentence("{name}", {"name": campaign_id(p, p.study, p.cycle)})),
    ]
    return rows


def _hypothesis(h: Hypothesis) -> Sentence:
    """What is tested, in words."""
    texts = {
        ("response", "level"): Sentence("are customers of a segment alike in how often they respond"),
        ("spend", "level"): Sentence("are customers of a segment alike in what they spend"),
        ("orders", "level"): Sentence("are customers of a segment alike in how often they order"),
        ("response", "effect"): Sentence("are customers of a segment alike in what contact changes in their response"),
        ("spend", "effect"): Sentence("are customers of a segment alike in what contact changes in their spend"),
        ("orders", "effect"): Sentence("are customers of a segment alike in what contact changes in their orders"),
    }
    return texts[h.outcome, h.kind]


def _withheld(shares: Mapping[str, float]) -> Sentence:
    """The shares withheld in words: one for all, or the range."""
    if len(set(shares.values())) == 1:
        return Sentence(
            "{share:.1%} of every segment, each customer by a keyed hash of its own",
            {"share": next(iter(shares.values()))},
        )
    listed = ", ".join(f"{segment} {share:.1%}" for segment, share in shares.items())
    return Sentence("by segment: {shares}; each customer by a keyed hash of its own", {"shares": listed})


def _design(p: Protocol) -> Sentence:
    if p.mode == "live":
        return Sentence("live: the list is sent, the control group is withheld")
    if p.design == "randomised":
        return Sentence("replay of history in which contact was left to chance")
    return Sentence("replay of history in which contact was not left to chance: descriptive")
