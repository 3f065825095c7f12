"""What an analysis returns: a tidy table, what it rests on, and the sentences its numbers allow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any, ClassVar

import pandas as pd

from crmlab.contract.words import Sentence, localise, say

FEWEST = 5
"""No count of people below this is shown."""

MOST_ROWS = 60
"""Longer tables are cut on the page, saying so; the published table is whole."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a figure rests on: how many of what, over which days, by which design."""

    n: int
    what: str
    start: date | None = None
    end: date | None = None
    design: str = ""

    def __str__(self) -> str:
        parts = [say("n = {n:,} {what}", n=self.n, what=say(self.what))]
        if self.start and self.end and self.start != self.end:
            parts.append(say("{start} to {end}", start=self.start, end=self.end))
        elif self.end:
            parts.append(say("as of {end}", end=self.end))
        if self.design:
            parts.append(say(self.design))
        return " · ".join(parts)


class Result:
    """Mixin of the frozen dataclasses that analyses return.

    A subclass is a frozen dataclass with at least `table` (a tidy DataFrame, published whole) and `basis`. It states
    what a page shows of it:

    title
        Heading of the table, English.
    columns
        Column → (heading, format): the columns shown, in this order. A format is a format specification
        (``",.0f"``, ``".1%"``), ``""`` for text as it is, or ``"word"`` for a marked word that is translated.
    people
        The columns that count people: a count from 1 to 4 is shown as ``< 5``, and `hides` with it.
    note
        How to read it, English, one or two sentences.
    """

    table: pd.DataFrame
    basis: Basis

    title: ClassVar[str] = ""
    note: ClassVar[str] = ""
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {}
    people: ClassVar[tuple[str, ...]] = ("customers",)

    def shown(self) -> pd.DataFrame:
        """The rows a page shows; never one row a person."""
        return self.table

    def sentences(self) -> list[Sentence]:
        """What the numbers allow to be said."""
        return []

    def headline(self) -> Sentence | None:
        """The one sentence an index shows: the first, unless a subclass knows better."""
        return next(iter(self.sentences()), None)

    def _repr_html_(self) -> str:
        parts = [f"<h4>{escape(say(self.title))}</h4>"] if self.title else []
        shown = self.shown()
        if len(shown):
            parts.append(frame_html(shown, self.columns, people=self.people))
        parts.append(f'<p class="basis">{escape(str(self.basis))}</p>')
        if self.note and len(shown):
            parts.append(f'<p class="note">{escape(say(self.note))}</p>')
        parts.extend(s._repr_html_() for s in self.sentences())
        return f'<div class="result">{"".join(parts)}</div>'


def frame_html(
    frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]], *, people: tuple[str, ...] = ("customers",)
) -> str:
    """A table as escaped HTML: headings and numbers in the language in use, small cells of people hidden."""
    shown = {c: spec for c, spec in columns.items() if c in frame.columns}
    head = "".join(f"<th>{escape(say(heading))}</th>" for heading, _ in shown.values())
    rows = []
    records = frame.head(MOST_ROWS).to_dict("records")
    lonely = {c: _next_smallest(records, c) for c in people}
    for place, record in enumerate(records):
        hidden = any(_few(record.get(c)) or lonely[c] == place for c in people)
        cells = []
        for column, (_, spec) in shown.items():
            value = record[column]
            if column in people and _few(value):
                text = f"< {FEWEST}"
            elif lonely.get(column) == place or (
                hidden and isinstance(value, (int, float)) and spec not in ("", "word")
            ):
                text = "·"
            else:
                text = cell_text(value, spec)
            kind = "text" if spec in ("", "word") else "number"
            cells.append(f'<td class="{kind}">{escape(text)}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    more = ""
    if len(frame) > MOST_ROWS:
        more = say("{more:,} more rows are in the published table.", more=len(frame) - MOST_ROWS)
        more = f'<p class="basis">{escape(more)}</p>'
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>{more}'
    )


def _next_smallest(records: list[dict[str, Any]], column: str) -> int | None:
    """Where one count alone is hidden, the row to hide with it: the total less the others would tell it."""
    counts = [(r[column], i) for i, r in enumerate(records) if isinstance(r.get(column), (int, float))]
    few = [i for n, i in counts if _few(n)]
    others = sorted((n, i) for n, i in counts if n >= FEWEST)
    return others[0][1] if len(few) == 1 and len(others) > 1 else None


def cell_text(value: Any, spec: str) -> str:
    """One value as a page shows it; missing is a dash."""
    if (
        value is None
        or value is pd.NaT
        or (not isinstance(value, str) and pd.api.types.is_scalar(value) and pd.isna(value))
    ):
        return "–"
    if spec == "word":
        return say(str(value))
    if spec == "":
        return str(value)
    return localise(format(value, spec))


def _few(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value < FEWEST
