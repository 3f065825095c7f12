"""Erasure of a person on request: `crmlab forget`."""

from datetime import date
from pathlib import Path


def forget_customer(customer: str, *, study: Path | None, today: date) -> str:
    """Erase a customer and return what to tell the user."""
    raise NotImplementedError
