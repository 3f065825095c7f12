"""The quarantine: lines that were set aside, as they were found, in files for their owner's eyes alone."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from crmlab.contract.cells import defused
from crmlab.stage.content import write_named
from crmlab.stage.people import pseudonyms

PLACE = ("table", "file", "line", "reason", "column")
"""Of a line set aside: where it is and why. All of it that a notebook may see."""

COLUMNS = (*PLACE, "found", "customer_id", "text")
"""Columns of a quarantine file."""

EMPTY = dict.fromkeys(("file", "column", "found", "customer_id", "text"), "")

BETWEEN = re.compile(r"[,;\t|\"\r\n]+")
"""What may stand between the fields of a line."""


def as_csv(bad: pd.DataFrame) -> bytes:
    """The lines set aside as CSV, in the order of table, file and line; nothing where there are none."""
    if bad.empty:
        return b""
    rows = bad.fillna(EMPTY).sort_values(["table", "file", "line", "reason"], kind="stable")
    return _csv([[_cell(value) for value in row] for row in rows[list(COLUMNS)].itertuples(index=False)])


def keep_quarantine(study_folder: Path, content: bytes) -> None:
    """Keep a quarantine file, named by its content, where there is anything in it."""
    if content:
        write_named(study_folder / "quarantine", content, ".csv")


def of_others(bad: pd.DataFrame, gone: set[str], key: bytes) -> pd.DataFrame:
    """The lines set aside that do not name anybody of `gone`."""
    if not gone or bad.empty:
        return bad
    rows = bad.fillna(EMPTY)
    called = pseudonyms({word for line in _words(rows) for word in line}, key)
    return _others(rows, set(called.index[called.isin(gone)]))


def forget_in_quarantine(study_folder: Path, words: set[str]) -> dict[Path, Path | None]:
    """Rewrite each quarantine file that holds one of `words`; returns file → what is left of it (None: nothing).

    The old files are not deleted here.
    """
    replaced: dict[Path, Path | None] = {}
    for path, rows, left in _without(study_folder, words):
        if len(left) < len(rows):
            replaced[path] = write_named(path.parent, _csv(left.to_numpy().tolist()), ".csv") if len(left) else None
    return replaced


def named_in_quarantine(study_folder: Path, customer_id: str) -> bool:
    """Whether a line set aside names a customer."""
    return any(len(left) < len(rows) for _, rows, left in _without(study_folder, {customer_id}))


def _without(study_folder: Path, words: set[str]) -> Iterator[tuple[Path, pd.DataFrame, pd.DataFrame]]:
    """Each quarantine file, its lines, and those that hold none of `words` as a field."""
    for path in sorted((study_folder / "quarantine").glob("[0-9a-f]*.csv")):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        rows = pd.DataFrame(list(csv.reader(io.StringIO(text, newline="")))[1:], columns=list(COLUMNS), dtype="object")
        yield path, rows, _others(rows, words)


def _others(rows: pd.DataFrame, theirs: set[str]) -> pd.DataFrame:
    """The rows in which none of somebody's words stands."""
    return rows[[theirs.isdisjoint(line) for line in _words(rows)]]


def _words(rows: pd.DataFrame) -> Iterator[list[str]]:
    """By what each line tells whose it is: its id or, where it has none that can be read, every field."""
    for who, found, text in zip(rows["customer_id"], rows["found"], rows["text"], strict=True):
        yield [word.strip().removeprefix("'") for word in ([who] if who else [found, *BETWEEN.split(text)])]


def _cell(value: object) -> object:
    return defused(value) if isinstance(value, str) else value


def _csv(rows: list) -> bytes:
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\n").writerows([COLUMNS, *rows])
    return held.getvalue().encode("utf-8", "surrogateescape")
