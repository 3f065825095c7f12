"""Published stages executed again and compared: `crmlab verify`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verified:
    """What became of each table of the stages executed again."""

    exit_code: int = 0


def verify_cycle(cycle: str, *, study: Path | None, stage: str | None = None) -> Verified:
    """Execute the published stages of a cycle in a scratch folder and compare every table."""
    raise NotImplementedError
