"""The reading report: rows in, kept, set aside and why, and what a cycle may not see yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import ClassVar

import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import frame_html
from crmlab.data.checking import KEPT
from crmlab.data.schema import SCHEMA

NUMBERED = 10
"""Lines that are named of each kind; three dots say that there are more."""


@dataclass(frozen=True)
class ReadingReport(Result):
    """table: table, rows_in, kept, later, set_aside, why, first, last: one row a canonical table.

    ``kept`` counts rows dated on or before ``as_of``, ``later`` good rows after it, which are invisible and not bad;
    ``rows_in = kept + later + set_aside``. ``first`` and ``last`` are the days of the kept rows. `reasons` gives every
    reason: table, reason, rows. `lines` says where they are: see `lines_of`; None where the source has no lines.
    """

    table: pd.DataFrame
    basis: Basis
    reasons: pd.DataFrame
    as_of: date
    notes: tuple[Sentence, ...] = ()
    lines: pd.DataFrame | None = None

    title: ClassVar[str] = "What was read"
    note: ClassVar[str] = (
        "Rows in are all rows of the source. Rows set aside could not be used, for the reason given. Later rows are "
        "good, but dated after the last day this cycle may see."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "table": ("Table", ""),
        "rows_in": ("Rows in", ",.0f"),
        "kept": ("Kept", ",.0f"),
        "later": ("Later", ",.0f"),
        "set_aside": ("Set aside", ",.0f"),
        "why": ("Main reason", "word"),
        "first": ("First day", "%Y-%m-%d"),
        "last": ("Last day", "%Y-%m-%d"),
    }
    people: ClassVar[tuple[str, ...]] = ()
    line_columns: ClassVar[dict[str, tuple[str, str]]] = {
        "file": ("File", ""),
        "reason": ("Set aside for", "word"),
        "column": ("Column", ""),
        "rows": ("Lines", ",.0f"),
        "lines": ("Their numbers", ""),
    }

    def _repr_html_(self) -> str:
        shown = super()._repr_html_()
        if self.lines is None or self.lines.empty:
            return shown
        heading = f"<h4>{escape(say('Lines that were set aside'))}</h4>"
        return shown + f'<div class="result">{heading}{frame_html(self.lines, self.line_columns, people=())}</div>'

    def sentences(self) -> list[Sentence]:
        """Whether anything can be analysed, what lies later, what was set aside, and the source's own notes."""
        said = [s for row in self.table.to_dict("records") if (s := self._later(row))]
        for row in self.reasons.to_dict("records"):
            values = {"rows": row["rows"], "table": row["table"], "reason": Sentence(row["reason"])}
            said.append(Sentence("Rows of {table} that were set aside, {reason}: {rows:,}.", values, tone="warn"))
        if self.reasons.empty:
            said.append(Sentence("Nothing was set aside: every row that came in could be used.", tone="good"))
        return [*said, *self.notes]

    def _later(self, row: dict) -> Sentence | None:
        if SCHEMA[row["table"]].date is None:
            return None
        if row["kept"] == 0:
            return Sentence(
                "No row of {table} is dated on or before {as_of}: this cycle sees none.",
                {"table": row["table"], "as_of": self.as_of},
                tone="bad" if row["table"] == "transactions" else "warn",
            )
        if row["table"] != "transactions":
            return None
        if row["later"] == 0:
            return Sentence("No row of transactions is later than {as_of}.", {"as_of": self.as_of})
        share = row["later"] / (row["kept"] + row["later"])
        return Sentence(
            "{share:.1%} of the good rows of transactions lie after {as_of} and are invisible to this cycle.",
            {"share": share, "as_of": self.as_of},
        )


def lines_of(bad: pd.DataFrame) -> pd.DataFrame:
    """Where the rows that were set aside are: table, file, reason, column, rows, lines (text: the first `NUMBERED`).

    Parameters
    ----------
    bad
        `Intake.bad`. Of its columns only table, file, line, reason and column are read: nothing that was found in a
        line gets any further.
    """
    by = ["table", "file", "reason", "column"]
    found = []
    for keys, rows in bad.groupby(by, sort=True)["line"]:
        known = rows[rows > 0].sort_values()
        numbers = ", ".join(map(str, known.head(NUMBERED))) + (", …" if len(known) > NUMBERED else "")
        found.append((*keys, len(rows), numbers))
    return pd.DataFrame(found, columns=[*by, "rows", "lines"])


def reading_report(
    reading: pd.DataFrame, *, as_of: date, notes: Sequence[Sentence] = (), bad: pd.DataFrame | None = None
) -> ReadingReport:
    """Rows in, kept, later than `as_of` and set aside, a row a table.

    Parameters
    ----------
    reading
        `Intake.reading`: table, date, reason, rows.
    as_of
        Last day the cycle may see.
    notes
        `Intake.notes`: licence, assumptions and traps.
    bad
        `Intake.bad`: the rows set aside, one by one.
    """
    rows, cut = [], pd.Timestamp(as_of)
    aside = reading[reading["reason"] != KEPT]
    reasons = aside.groupby(["table", "reason"], sort=True)["rows"].sum().reset_index()
    order = [name for name in SCHEMA if name in set(reading["table"])]
    for name in order:
        here = reading[reading["table"] == name]
        good = here[here["reason"] == KEPT]
        seen = good[~(good["date"] > cut)]
        why = reasons[reasons["table"] == name].sort_values(["rows", "reason"], ascending=[False, True])
        rows.append(
            {
                "table": name,
                "rows_in": int(here["rows"].sum()),
                "kept": int(seen["rows"].sum()),
                "later": int(good["rows"].sum() - seen["rows"].sum()),
                "set_aside": int(why["rows"].sum()),
                "why": why["reason"].iloc[0] if len(why) else "",
                "first": seen["date"].min(),
                "last": seen["date"].max(),
            }
        )
    table = pd.DataFrame(rows).astype({"first": "datetime64[s]", "last": "datetime64[s]"})
    reasons["table"] = pd.Categorical(reasons["table"], order)
    reasons = reasons.sort_values(["table", "reason"], ignore_index=True).astype({"table": "str"})
    main = table.iloc[0]
    days = [None if pd.isna(main[c]) else main[c].date() for c in ("first", "last")]
    basis = Basis(int(main["kept"]), _basis_of(main["table"]), *days)
    return ReadingReport(table, basis, reasons, as_of, tuple(notes), None if bad is None else lines_of(bad))


def _basis_of(table: str) -> str:
    return mark("rows of transactions") if table == "transactions" else mark("rows")
