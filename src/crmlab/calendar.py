"""The calendar of a study: cycles that are listed, or given by a rule."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, StringConstraints, Tag

from crmlab.contract import Params
from crmlab.data.convert import EARLIEST, LATEST

RESERVED = {"inputs", "failed", "deliveries", "people", "quarantine"}
"""Folders of a study that are no cycle."""

MOST_CYCLES = 5_000
"""Cycles of a rule that are looked through for a name: a century of weeks."""

OUTSIDE = f"lies outside {EARLIEST.year} to {LATEST.year}"
LONGEST_DAYS = 3_660
"""An outcome window longer than ten years is a slip."""

CycleName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,39}$")]
Window = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}[dw]$")]


def window_days(window: str) -> int:
    """Days of a window like ``56d`` or ``8w``."""
    return int(window[:-1]) * (7 if window.endswith("w") else 1)


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
        return window_days(self.outcome_window)

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


def calendar_faults(cycles: tuple[Cycle, ...] | CycleRule) -> list[str]:
    """All that is wrong with a calendar as a whole, as ``place: what``."""
    if isinstance(cycles, CycleRule):
        return _rule_faults(cycles)
    return _list_faults(cycles) + [
        f"cycles.{number}.outcome_window: {cycle.outcome_window} is longer than ten years"
        for number, cycle in enumerate(cycles)
        if cycle.window_days > LONGEST_DAYS
    ]


def _rule_faults(rule: CycleRule) -> list[str]:
    faults = [
        f"cycles.{name}: {day} {OUTSIDE}"
        for name, day in (("first", rule.first), ("last", rule.last))
        if day is not None and not _sensible(day)
    ]
    if window_days(rule.outcome_window) > LONGEST_DAYS:
        faults.append(f"cycles.outcome_window: {rule.outcome_window} is longer than ten years")
    if rule.last and rule.last < rule.first:
        faults.append(f"cycles.last: {rule.last} lies before first {rule.first}; no cycle is left")
    return faults


def _list_faults(cycles: tuple[Cycle, ...]) -> list[str]:
    if not cycles:
        return ["cycles: at least one is needed"]
    faults, names = [], {}
    for number, cycle in enumerate(cycles):
        place, plain = f"cycles.{number}.cycle", cycle.cycle.lower()
        if plain in RESERVED:
            faults.append(f"{place}: '{cycle.cycle}' is the name of a folder of the study; choose another")
        if plain in names:
            alike = "stands twice" if names[plain] == cycle.cycle else f"is '{names[plain]}' but for capitals"
            faults.append(f"{place}: '{cycle.cycle}' {alike}; each cycle needs a name of its own")
        names.setdefault(plain, cycle.cycle)
        if not _sensible(cycle.as_of):
            faults.append(f"cycles.{number}.as_of: {cycle.as_of} {OUTSIDE}")
    for number, (before, after) in enumerate(pairwise(cycles), start=1):
        if after.as_of == before.as_of:
            what = f"'{before.cycle}' and '{after.cycle}' have the same as_of, {after.as_of}; give each its own"
            faults.append(f"cycles.{number}.as_of: {what}")
        elif after.as_of < before.as_of:
            what = f"{after.as_of} lies before {before.as_of} of '{before.cycle}'; list cycles in their order"
            faults.append(f"cycles.{number}.as_of: {what}")
    return faults


def _sensible(day: date) -> bool:
    return EARLIEST <= day <= LATEST


def _next_start(start: date, day: int, every: str) -> date:
    if every == "week":
        return start + timedelta(days=7)
    month = start.month - 1 + (1 if every == "month" else 3)
    year, month = start.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month, min(day, last))
