"""Text cells that a spreadsheet would run as a formula, made harmless."""

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet read a cell as a formula, full-width forms included."""

UNSEEN = " \u00a0\u200b\u200c\u200d\u2060\ufeff"
"""Blanks and characters without width, which may stand before it."""


def defused(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.lstrip(UNSEEN).startswith(STARTS) else text
