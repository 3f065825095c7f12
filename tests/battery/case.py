"""What every case of the battery is: files and params in; an exit code, words and counts out; nothing left behind."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from crmlab.check import check_study

SECRETS = ("hunter2", "anna.rossi@posta.it", "Anna Rossi", "333 1234567")
"""What no output may ever hold."""


def lines(n: int = 100, *extra: str, header: str = "customer_id,date,amount", end: str = "\n") -> str:
    """A header, `n` good orders (lines 2 to n + 1), then the lines of the case."""
    good = [f"c{i % 20:02},2025-01-{1 + i % 28:02},{i}.50" for i in range(n)]
    return end.join([header, *good, *extra]) + end


@dataclass(frozen=True)
class Case:
    """One malformed, odd or sound study.

    Parameters
    ----------
    files
        Name → content; ``orders.csv`` is read as transactions unless `how` says otherwise.
    how
        What ``data.files.transactions`` says beside its path.
    params
        Further params, or changes to those of a plain study; text: the params file itself.
    code
        Exit code.
    said, unsaid
        Words that the messages hold, and words that they do not.
    rows
        ``(rows_in, rows_kept, bad_lines)`` of transactions, or of the table `table`; None: not looked at.
    before
        Called with the study's folder before it is checked.
    """

    files: Mapping[str, str | bytes] = field(default_factory=lambda: {"orders.csv": lines()})
    how: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] | str | bytes = field(default_factory=dict)
    code: int = 0
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    rows: tuple[int, int, list[int]] | None = None
    table: str = "transactions"
    facts: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[Path], Any] | None = None


def one(content: str | bytes, **more: Any) -> Case:
    """A case of one file of orders."""
    return Case(files={"orders.csv": content}, **more)


def aside(*extra: str, bad: int | None = None, **more: Any) -> Case:
    """A hundred good orders and these lines, of which the first `bad` (all) are set aside by their line."""
    bad = len(extra) if bad is None else bad
    rows = (100 + len(extra), 100 + len(extra) - bad, [102 + i for i in range(bad)])
    return one(lines(100, *extra), rows=rows, **more)


def study(case: Case, folder: Path) -> Path:
    """Write the case below `folder` and return its params file."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder / "params" / "shop.yaml"
    path.parent.mkdir(exist_ok=True)
    if isinstance(case.params, str | bytes):
        path.write_bytes(case.params if isinstance(case.params, bytes) else case.params.encode())
    else:
        plain = {
            "study": "shop",
            "seed": 1,
            "consent": "assumed",
            "data": {
                "extracted_on": "2025-12-31",
                "files": {"transactions": {"path": "../orders.csv", **case.how}},
            },
            "cycles": [{"cycle": "a", "as_of": "2025-01-31", "outcome_window": "4w"}],
        }
        path.write_text(yaml.safe_dump(_over(plain, case.params), sort_keys=False, allow_unicode=True))
    if case.before:
        case.before(folder)
    return path


def holds(case: Case, folder: Path) -> None:
    """Check the study and hold what came of it against the case."""
    path = study(case, folder)
    before = _tree(folder)
    with _scratch(folder) as scratch:
        checked = check_study(path)
        assert not (left := [p.name for p in scratch.rglob("*")]), f"temporary files are left: {left}"
    assert _tree(folder) == before, "the study's folder was changed"
    told = json.loads(checked.as_json())
    whole = f"{checked}\n{checked.refusal or ''}\n{checked.as_json()}"
    messages = "\n".join(told["messages"])
    assert told["exit_code"] == checked.exit_code == case.code, messages
    for words in case.said:
        assert words in messages, f"{words!r} is not said:\n{messages}"
    for words in (*SECRETS, *case.unsaid, "Traceback"):
        assert words not in whole, f"{words!r} is said:\n{whole}"
    assert "\x1b" not in whole
    if case.rows is not None:
        table = told["tables"][case.table]
        assert (table["rows_in"], table["rows_kept"], table["bad_lines"]) == case.rows, messages
    for name, value in case.facts.items():
        assert told["tables"][case.table][name] == value
    if case.code:
        assert all(fault.what for fault in checked.refusal.faults)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` changed by `above`; None removes."""
    result = dict(below)
    for key, value in above.items():
        maps = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        result[key] = _over(below[key], value) if maps else value
    return {key: value for key, value in result.items() if value is not None}


def _tree(folder: Path) -> dict[str, Any]:
    return {str(p.relative_to(folder)): _content(p) for p in folder.rglob("*")}


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder of temporary files of its own, beside the study's."""
    scratch = folder.parent / f"{folder.name}-scratch"
    scratch.mkdir()
    with patch.object(tempfile, "tempdir", str(scratch)):
        yield scratch


def _content(path: Path) -> str | bytes | None:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else None
