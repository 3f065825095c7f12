"""What a study reads, told without changing anything: `crmlab check`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Checked:
    """What was read of a study, table by table, and everything there is to say about it."""

    study: str
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    exit_code: int = 0

    def as_json(self) -> str:
        """The same as data."""
        raise NotImplementedError


def check_study(path: Path) -> Checked:
    """Read all a study reads; faults are told, not raised."""
    raise NotImplementedError
