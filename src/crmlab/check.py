"""What a study reads, told without changing anything: `crmlab check`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from crmlab.contract import CrmlabError, Fault, Refused, visible
from crmlab.contract.result import FEWEST
from crmlab.data.checking import KEPT, NO_AMOUNT, NO_DATE
from crmlab.data.held import scratch
from crmlab.data.intake import Intake, read_all
from crmlab.data.params import DataParams
from crmlab.data.reading import lines_of
from crmlab.data.refusal import HARMLESS, WAYS
from crmlab.data.schema import NOBODY
from crmlab.data.totals import Totals, campaigns, idle, people_of, permitting, totals
from crmlab.stage.context import cut_of
from crmlab.stage.folder import NAMES, published
from crmlab.stage.inputs import connect
from crmlab.study import Cycle, StudyFile, load_study

MEND = "mend them, or leave them: they are not used"
MENDS = {
    **WAYS,
    NO_DATE: "mend them, or declare date_format",
    NO_AMOUNT: "mend them, or declare decimal and thousands",
}
MEMORY = "500MB"
"""What the engine may hold; the rest it puts into the folder of temporary files."""


@dataclass(frozen=True)
class Checked:
    """What was read of a study, table by table, and everything there is to say about it.

    Parameters
    ----------
    study
        Name of the study, or of its file where that was refused.
    tables
        Table → ``file``, ``rows_in``, ``rows_kept``, ``bad_lines``, ``bad`` (line, reason, column), ``customers``,
        ``sum_amount``, ``min_date``, ``max_date``.
    aside
        Table → the lines in which the report tells of rows set aside.
    said
        Heading → what there is to say under it.
    refusal
        All faults, as every command tells them; None where there are none.
    """

    study: str
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    aside: dict[str, list[str]] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    refusal: CrmlabError | None = None

    @property
    def exit_code(self) -> int:
        """0, or that of the refusal."""
        return self.refusal.exit_code if self.refusal else 0

    @property
    def messages(self) -> list[str]:
        """Every refusal, warning and statement."""
        faults = self.refusal.faults if self.refusal else []
        told = [": ".join(filter(None, (self.refusal.subject, f.where, f.what))) for f in faults]
        aside = [
            f"{n} ({self.tables[n]['file']}): set aside: {line}" for n, told in self.aside.items() for line in told
        ]
        return [visible(line) for line in (*told, *aside, *(line for lines in self.said.values() for line in lines))]

    def as_json(self) -> str:
        """The same as data."""
        what = {
            "study": self.study,
            "exit_code": self.exit_code,
            "tables": self.tables,
            "messages": self.messages,
        }
        return json.dumps(what, ensure_ascii=False, indent=1)

    def __str__(self) -> str:
        parts = [_table_text(name, table, self.aside.get(name, [])) for name, table in self.tables.items()]
        parts += ["\n  ".join([heading, *lines]) for heading, lines in self.said.items() if lines]
        return visible("\n\n".join(parts))


def check_study(path: Path) -> Checked:
    """Read all a study reads, change nothing on disk; faults are told in the answer, not raised."""
    try:
        file = load_study(path)
    except CrmlabError as refusal:
        return Checked(Path(path).stem, refusal=refusal)
    con = connect()
    con.raw_sql(f"SET memory_limit = '{MEMORY}'")
    spilled = Path(scratch(con))
    try:
        return _checked(file, str(path), con)
    except CrmlabError as refusal:
        return Checked(file.study.study, refusal=refusal)
    finally:
        con.disconnect()
        with suppress(OSError):  # another reading of this process uses it
            spilled.rmdir()


def _checked(file: StudyFile, shown: str, con: Any) -> Checked:
    study = file.study
    intake, faults = read_all(study.data, folder=file.folder, con=con, time_zone=study.time_zone, lean=True)
    others = {n: people_of(t, con) for n, t in intake.tables.items() if n not in intake.people}
    people = intake.people | {n: p for n, p in others.items() if p is not None}
    counted = {name: totals(people.get(name)) for name in intake.tables}
    tables = {name: _table(name, study.data, intake, counted[name]) for name in intake.tables}
    faults = [*faults, *_missing(study.data, intake, faults), *_unknown_campaigns(file, intake)]
    said = {"What was detected and assumed": [str(note) for note in intake.notes]}
    if "transactions" in intake.tables:
        said["What will cost later"] = list(_costs(file, intake, counted, idle(people)))
        said["What cannot be computed"] = list(_out_of_reach(file, intake, counted["transactions"]))
    said["What comes next"] = [_next(file) if not faults else "mend the faults below: nothing runs before"]
    aside = {name: _aside(name, intake) for name in tables}
    return Checked(study.study, tables, aside, said, Refused(shown, file.located(faults)) if faults else None)


def _table(name: str, data: DataParams, intake: Intake, counted: Totals) -> dict[str, Any]:
    reading = intake.reading[intake.reading["table"] == name]
    kept = reading[reading["reason"] == KEPT]
    bad = intake.bad[intake.bad["table"] == name].sort_values("line")
    days = [None if pd.isna(d) else d.date().isoformat() for d in (kept["date"].min(), kept["date"].max())]
    return {
        "file": _source_of(name, data),
        "rows_in": int(reading["rows"].sum()),
        "rows_kept": int(kept["rows"].sum()),
        "bad_lines": sorted({int(line) for line in bad["line"] if line > 0}),
        "bad": bad[["line", "reason", "column"]].to_dict("records"),
        "customers": counted.customers,
        "sum_amount": None if counted.amount is None else float(counted.amount),
        "min_date": days[0],
        "max_date": days[1],
    }


def _source_of(name: str, data: DataParams) -> str:
    if data.source:
        return f"source {data.source}"
    file = data.files.get(name) or data.files["customers"]  # which may hold consents
    return file.path or f"{file.database}: {file.table}"


def _aside(name: str, intake: Intake) -> list[str]:
    """Rows set aside by reason, the first of their lines, and the mend; decisions are counted too."""
    bad = intake.bad[intake.bad["table"] == name]
    told = []
    for row in lines_of(bad).itertuples():
        column = f" (column {row.column})" if row.column else ""
        where = f": line {row.lines}" if row.lines else ""
        told.append(f"{row.rows:,} {row.reason}{column}{where}{_example(bad, row)}; {MENDS.get(row.reason, MEND)}")
    reading = intake.reading[intake.reading["table"] == name]
    others = reading[~reading["reason"].isin([KEPT, *bad["reason"]])].groupby("reason")["rows"].sum()
    return [*told, *(f"{rows:,} {reason}" for reason, rows in others.items())]


def _example(bad: pd.DataFrame, row: Any) -> str:
    """The first value found, where it is nothing but a number, a date or a word of a few letters."""
    found = bad[(bad["reason"] == row.reason) & (bad["column"] == row.column)].sort_values("line")["found"]
    first = next(filter(HARMLESS.fullmatch, found), "")
    return f", such as {first!r}" if first else ""


def _missing(data: DataParams, intake: Intake, faults: list[Fault]) -> list[Fault]:
    if {"transactions", "customers"} & set(intake.tables) or faults:
        return []
    return [Fault("data.files", NOBODY)]


def _unknown_campaigns(file: StudyFile, intake: Intake) -> list[Fault]:
    cycles = file.study.cycles if isinstance(file.study.cycles, tuple) else ()
    named = [(cycle, campaign) for cycle in cycles for campaign in cycle.campaigns]
    known = campaigns(intake.tables) if named else set()
    there = ", ".join(sorted(known)[:12]) or "none"
    return [
        Fault(f"campaigns of {cycle.cycle}", f"no campaign '{campaign}' in contacts; there are: {there}")
        for cycle, campaign in named
        if campaign not in known
    ]


def _costs(file: StudyFile, intake: Intake, counted: Mapping[str, Totals], idle: int) -> Iterator[str]:
    """What is no fault now and will be missed later."""
    study, there = file.study, intake.tables
    if study.consent == "recorded" and "consents" not in there:
        yield (
            "no consents: nobody may be contacted; add data.files.consents, or consent_<channel> columns of customers"
            + ("" if study.mode == "live" else ", or declare consent: assumed for a replay of history")
        )
    channel = study.eligibility.channel
    if study.consent == "recorded" and "consents" in there and not permitting(there, channel):
        yield f"no consent permits the channel {channel}: nobody may be contacted; see eligibility.channel"
    if study.mode == "live" and "suppression" not in there:
        yield "no suppression list: objections can only come as consents; add data.files.suppression if there is one"
    if "margin" not in there["transactions"].columns and study.clv.margin_share == 1:
        yield "no column margin and no clv.margin_share: lifetime value will take the whole amount for margin"
    if intake.extracted_on is None:
        yield "no data.extracted_on: a date in the future cannot be told from a good one; declare the data's last day"
    if idle:
        yield f"{idle:,} of {counted['customers'].customers:,} customers have no transaction"
    first, last = _days(intake)
    if last is None:
        return
    for cycle in study.calendar(last):
        if cycle.as_of < first:
            yield f"cycle {cycle.cycle}: as_of {cycle.as_of} lies before the first transaction, {first}: it sees none"
        if isinstance(study.cycles, tuple) and cycle.as_of > max(last, intake.extracted_on or last):
            yield (
                f"cycle {cycle.cycle}: as_of {cycle.as_of} lies after the data's last day, "
                f"{max(last, intake.extracted_on or last)}: the days between would count as days without a purchase"
            )


def _out_of_reach(file: StudyFile, intake: Intake, bought: Totals) -> Iterator[str]:
    """What these transactions cannot tell, whatever the parameters."""
    first, last = _days(intake)
    if not bought.customers:
        yield "everything: no transaction could be used"
        return
    if bought.customers < FEWEST:
        few = f"customers: {bought.customers}. With fewer than {FEWEST}"
        yield f"{few} nothing is shown of them, and no model is fitted"
    if first == last:
        yield f"one day of data ({first}): no retention, no time between purchases, no lifetime value"
    elif not bought.returning:
        yield "nobody comes back on another day: no time between purchases, and no model of lifetime value"
    if bought.amount is not None and bought.amount <= 0:
        yield f"the amounts sum to {bought.amount:,.2f}: no spend per order; are returns or signs the wrong way round?"


def _days(intake: Intake) -> tuple[Any, Any]:
    """First and last day of the transactions kept."""
    reading = intake.reading
    kept = reading[(reading["table"] == "transactions") & (reading["reason"] == KEPT)]["date"].dropna()
    return (kept.min().date(), kept.max().date()) if len(kept) else (None, None)


def _next(file: StudyFile) -> str:
    """The first stage that is not published, and from which day on it is due."""
    cycles = file.study.cycles if isinstance(file.study.cycles, tuple) else iter(file.study.cycles)
    for cycle in cycles:
        for stage, folder in NAMES.items():
            if not published(file.reports / file.study.study, cycle.cycle, folder):
                return _due(file, cycle, stage)
    return "every stage of every cycle is published"


def _due(file: StudyFile, cycle: Cycle, stage: str) -> str:
    cut = cut_of(cycle, stage)
    extracted = file.study.data.extracted_on
    if extracted and extracted < cut:
        return f"{stage} of {cycle.cycle} waits for data through {cut}; extracted_on is {extracted}"
    return f"{stage} of {cycle.cycle}, due from {cut + timedelta(days=1)}: crmlab run {file.path}"


def _table_text(name: str, table: Mapping[str, Any], aside: list[str]) -> str:
    put_aside = table["rows_in"] - table["rows_kept"]
    facts = [f"{table['rows_in']:,} rows in, {table['rows_kept']:,} kept, {put_aside:,} set aside"]
    if table["customers"] is not None:
        facts.append(f"{table['customers']:,} customers")
    if table["sum_amount"] is not None:
        facts.append(f"amount {table['sum_amount']:,.2f}")
    if table["min_date"]:
        facts.append(f"{table['min_date']} to {table['max_date']}")
    return "\n".join([f"{name} ({table['file']})", f"  {'; '.join(facts)}", *(f"  set aside: {a}" for a in aside)])
