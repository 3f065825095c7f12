"""A params file for files nobody has described yet: `crmlab new`."""

import codecs
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import duckdb
import ibis

from crmlab.contract import Fault, Refused
from crmlab.data.convert import converted
from crmlab.data.dialect import MARKS
from crmlab.data.files import TEXT, open_raw
from crmlab.data.likely import Values, values
from crmlab.data.params import FileParams
from crmlab.data.paths import study_folder
from crmlab.data.proposal import Proposal, proposal_for, propose
from crmlab.data.raw import LINE
from crmlab.data.schema import SCHEMA
from crmlab.params_file import NAME, QUESTION
from crmlab.stage.inputs import connect

LOOKED_AT = 5_000
"""Rows of a file that are looked at."""
ASSUMED = "cp1252"
"""Encoding of text that is not UTF-8 and bears no mark."""
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class Looked:
    """One file that was looked at: what its columns hold, what it is taken for, or why it was left."""

    name: str
    columns: dict[str, Values] = field(default_factory=dict)
    proposal: Proposal = field(default_factory=lambda: Proposal(""))
    encoding: str = ""
    stated: tuple[str, ...] = ()
    days: tuple[date, date] | None = None
    left: str = ""

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats in which the dates of the mapped columns may be read; ``()`` where they are ISO or no text."""
        dates = [c for c, raw in self.proposal.columns.items() if SCHEMA[self.proposal.table].columns.get(c) == "date"]
        found = [self.columns[self.proposal.columns[c]].formats for c in dates]
        shared = [f for f in found[0] if all(f in other for other in found)] if found else []
        return () if shared == ["%Y-%m-%d"] else tuple(shared)


def draft_study(name: str, folder: Path, *, into: Path) -> str:
    """Write ``into/name.yaml`` and return what to tell the user.

    Raises
    ------
    Refused
        The name is none, the file is there already, or the folder holds no file that can be read.
    """
    target = into / f"{name}.yaml"
    if not re.fullmatch(NAME, name):
        what = f"got {name!r}, expected small letters, digits, - and _, at most 40, such as shop_2025"
        raise Refused("crmlab new", [Fault("NAME", what)])
    if os.path.lexists(target):
        raise Refused(str(target), "is there already, and is never overwritten; choose another name, or remove it")
    if not folder.is_dir():
        raise Refused("crmlab new", [Fault("--from", f"no such folder: {folder}")])
    files = sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    if not files:
        raise Refused("crmlab new", [Fault("--from", f"{folder} holds no file (folders in it are not looked into)")])
    con = connect()
    try:
        looked = [_look(con, folder, file) for file in files]
    finally:
        con.disconnect()
    if not any(file.columns for file in looked):
        raise Refused("crmlab new", [Fault(file.name, file.left) for file in looked])
    text = "\n".join(_params(name, folder, into, looked)) + "\n"
    _write_new(target, text)
    return _told(target, looked, text)


def _look(con: ibis.BaseBackend, folder: Path, name: str) -> Looked:
    if not name.isprintable():
        return Looked(name, left="its name holds characters that cannot be written; rename it")
    encoding = _encoding(folder / name)
    file = FileParams(path=name, encoding=encoding or "utf-8")
    try:
        found = open_raw(con, name, file, folder.resolve(), root=folder.resolve(), carefully=True)
        if isinstance(found, list):
            return Looked(name, left="; ".join(fault.what for fault in found))
        rows = found.rows.drop(LINE) if LINE in found.rows.columns else found.rows
        columns = _columns(rows)
        looked = Looked(name, columns, propose(name, columns), encoding, tuple(map(str, found.stated)))
        return replace(looked, days=_days(rows, looked))
    except (duckdb.Error, OSError, UnicodeError) as error:
        return Looked(name, left=f"cannot be read: {str(error).strip().splitlines()[0]}")


def _encoding(path: Path) -> str:
    """The encoding of a text file where it is not UTF-8: by its mark, or the one of Windows, assumed."""
    packed = path.suffix.lower() == ".gz"
    if (path.with_suffix("") if packed else path).suffix.lower() not in TEXT:
        return ""
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            start = file.read(1 << 20)
    except (OSError, EOFError, zlib.error):
        return ""
    if marked := next((name for mark, name in MARKS if start.startswith(mark)), ""):
        return "" if marked == "utf-8" else marked
    lines = codecs.getincrementaldecoder("utf-8")("replace").decode(start).splitlines()
    odd = sum("\ufffd" in line for line in lines)
    return ASSUMED if odd > 0.05 * len(lines) and b"\0" not in start else ""


def _columns(rows: ibis.Table) -> dict[str, Values]:
    """What each column of the first rows holds; dates that could be read in two ways are looked at in all rows."""
    start = rows.limit(LOOKED_AT).to_pyarrow()
    found = {}
    for column in rows.columns:
        text = [None if v is None else _as_typed(v) for v in start[column].to_pylist()]
        found[column] = values(text)
        if len(found[column].formats) > 1 and rows[column].type().is_string():
            every = rows.select(column).distinct().limit(20 * LOOKED_AT).to_pyarrow()[column].to_pylist()
            found[column] = replace(found[column], formats=values(every).formats)
    return found


def _as_typed(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _days(rows: ibis.Table, looked: Looked) -> tuple[date, date] | None:
    """First and last day of transactions whose dates can be read."""
    if looked.proposal.table != "transactions" or "date" not in looked.proposal.columns or len(looked.formats) > 1:
        return None
    form = looked.formats[0] if looked.formats else None
    day = converted(rows[looked.proposal.columns["date"]], "date", form)
    found = rows.aggregate(first=day.min(), last=day.max()).to_pyarrow().to_pylist()[0]
    return (found["first"], found["last"]) if found["first"] else None


def _params(name: str, folder: Path, into: Path, looked: list[Looked]) -> Iterator[str]:
    chosen, rivals = _chosen(looked)
    main = chosen.get("transactions")
    days = main.days if main else None
    yield f"# Proposed by `crmlab new {name}` from what the files hold. Read every line: it was found, not asked."
    yield "# CHOOSE is a question: `crmlab check` refuses the file until it is answered."
    yield f"study: {name}"
    yield f"title: {name}"
    yield "mode: replay            # history, nothing can be exported; live: lists are sent"
    yield "consent: recorded       # from a table consents, or columns consent_<channel>; assumed: only in replay"
    yield f"seed: {zlib.crc32(name.encode()) % 1_000_000}            # any number; all randomness follows from it"
    yield "currency: EUR           # assumed"
    yield "time_zone: UTC          # assumed; time stamps with an offset become days of this zone"
    yield "data:"
    if not folder.resolve().is_relative_to(study_folder(into.resolve())):
        yield f"  folder: {_quoted(str(folder.resolve()))}   # lies outside of the study's folder, so it is declared"
    if days:
        yield f"  extracted_on: {days[1]}   # the last day in {_shown(main.name)}; later dates will be bad rows"
    else:
        yield f"  extracted_on: {_asked('the last day the data cover, as 2025-12-31')}"
    yield "  files:"
    if main is None and "customers" in chosen:
        yield "    # transactions: none of the files has a customer, a date and an amount; it does without"
    elif main is None:
        yield "    transactions:         # none of the files has a customer, a date and an amount"
        yield f"      path: {_asked('the file that holds what was bought, by whom, when, for how much')}"
    for table in (t for t in SCHEMA if t in chosen):
        yield from _table(chosen[table], folder, into, rivals.get(table, []))
    yield from _cycles(days)
    yield "# clv: {margin_share: 0.3}   # the share of an amount that is margin; without it the whole amount is taken"
    for file in looked:
        if file.left or not file.proposal.table:
            yield f"# not used: {_shown(file.name)}: {_shown(file.left) or _unknown(file)}"


def _chosen(looked: list[Looked]) -> tuple[dict[str, Looked], dict[str, list[str]]]:
    """The best file of each table, and the others that could be it."""
    chosen: dict[str, Looked] = {}
    rivals: dict[str, list[str]] = {}
    for file in sorted(looked, key=lambda f: -f.proposal.score):
        table = file.proposal.table
        if table and table in chosen:
            rivals.setdefault(table, []).append(file.name)
        elif table:
            chosen[table] = file
    return chosen, rivals


def _table(file: Looked, folder: Path, into: Path, rivals: list[str]) -> Iterator[str]:
    found, names = file.proposal, [file.name, *rivals]
    base = folder.resolve()
    inside = base.is_relative_to(study_folder(into.resolve()))
    paths = [os.path.relpath(base / n, into.resolve()) if inside else n for n in names]
    yield f"    {found.table}:"
    if rivals:
        yield f"      path: {_asked(' or '.join(paths))}   # one table is one file: join them, or choose"
    else:
        yield f"      path: {_quoted(paths[0])}"
    yield from (f"      # {_shown(stated)}" for stated in file.stated)
    if file.encoding:
        certain = "assumed: it is not UTF-8; look at accents" if file.encoding == ASSUMED else "its first bytes say so"
        yield f"      encoding: {file.encoding}   # {certain}"
    if found.columns or found.open:
        yield "      columns:"
    for canonical in dict.fromkeys([*SCHEMA[found.table].columns, *found.columns, *found.open]):
        if canonical in found.columns:
            yield f"        {canonical}: {_quoted(found.columns[canonical])}   # {found.why[canonical]}"
        elif canonical in found.open:
            yield f"        {canonical}: {_asked(_options(file, canonical))}"
    if len(file.formats) == 1:
        yield f"      date_format: {_quoted(file.formats[0])}   # the only one that fits the dates looked at"
    elif file.formats:
        yield f"      date_format: {_asked(' or '.join(file.formats))}   # every date fits each of them"
    yield from _decimal(file)


def _options(file: Looked, canonical: str) -> str:
    likely = file.proposal.open[canonical]
    if likely:
        return " or ".join(map(_shown, likely))
    return f"the column that holds it, one of {', '.join(map(_shown, file.columns))}"


def _decimal(file: Looked) -> Iterator[str]:
    kinds = SCHEMA[file.proposal.table].columns
    numbers = [file.columns[raw] for c, raw in file.proposal.columns.items() if kinds.get(c) in ("money", "number")]
    marks = {n.decimal for n in numbers if n.decimal}
    if "?" in marks or len(marks) > 1:
        yield f"      decimal: {_asked('. or ,')}   # numbers such as 1,234 or both marks are there"
    elif marks == {","} or any(n.thousands for n in numbers):
        yield f'      decimal: "{marks.pop()}"   # all numbers looked at fit it'
        if thousands := next((n.thousands for n in numbers if n.thousands), ""):
            yield f'      thousands: "{thousands}"'


def _cycles(days: tuple[date, date] | None) -> Iterator[str]:
    if days is None:
        first = _asked("the first day of the first cycle, as 2025-06-01")
        yield f"cycles: {{every: month, first: {first}, outcome_window: 4w}}"
        return
    half = days[0] + (days[1] - days[0]) / 2
    first = date(half.year + half.month // 12, half.month % 12 + 1, 1)
    yield f"cycles: {{every: month, first: {first}, outcome_window: 4w}}   # from the middle of the data; choose freely"


def _unknown(file: Looked) -> str:
    missing = ", ".join(proposal_for("transactions", file.name, file.columns).open) or "enough"
    return f"not recognised (as transactions it would lack {missing}); it has {', '.join(map(_shown, file.columns))}"


def _asked(what: str) -> str:
    """A value that somebody has yet to choose."""
    return _quoted(QUESTION + what)


def _quoted(text: str) -> str:
    """`text` as YAML that reads back as it is."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _shown(text: str) -> str:
    """`text` on one line of a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)[:300]


def _write_new(target: Path, text: str) -> None:
    """Write a file that was not there, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with staging.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(staging, target)
    except FileExistsError:
        raise Refused(str(target), "was written by somebody else just now; choose another name") from None
    finally:
        staging.unlink(missing_ok=True)


def _told(target: Path, looked: list[Looked], text: str) -> str:
    lines = [f"Written: {target}"]
    for file in looked:
        what = f"taken for {file.proposal.table}" if file.proposal.table else "not used (the reason is in the file)"
        lines.append(f"  {_shown(file.name)}: {what}")
    questions = text.count(f'"{QUESTION}')
    how = f"answer its {questions} question{'s' * (questions > 1)} (CHOOSE)" if questions else "read it line by line"
    lines.append(f"Next: {how}, then: crmlab check {target}")
    return "\n".join(lines)
