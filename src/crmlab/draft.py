"""A params file for files nobody has described yet: `crmlab new`."""

from pathlib import Path


def draft_study(name: str, folder: Path, *, into: Path) -> str:
    """Write ``into/name.yaml`` and return what to tell the user."""
    raise NotImplementedError
