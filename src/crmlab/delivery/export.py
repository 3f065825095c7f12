"""Deliver a list: `crmlab export`."""

from datetime import date
from pathlib import Path


def export_list(path: Path, cycle: str, channel: str, *, form: str, today: date) -> str:
    """Deliver a cycle's list for a channel and return what to tell the user."""
    raise NotImplementedError
