"""Whether data still have the shape that earlier cycles read: what is gone, what changed, what it may be called now."""

from collections.abc import Collection, Mapping
from difflib import SequenceMatcher

import ibis
import ibis.expr.datatypes as dt

from crmlab.contract import Fault, Sentence
from crmlab.data.schema import SCHEMA, Tables

Shape = dict[str, dict[str, str]]
"""Table → column → what it holds: ``text``, ``number``, ``date``, or ``nothing`` where every value is missing."""

NOTHING = "nothing"

ALIKE = 0.55
"""Likeness of two names from which one may be the other's new name."""


def schema_of(tables: Tables) -> Shape:
    """The shape of canonical tables; only covariates are looked into, for the other columns are of declared types."""
    return {name: _columns(name, tables[name]) for name in sorted(tables)}


def _columns(name: str, table: ibis.Table) -> dict[str, str]:
    kinds = {column: _kind(kind) for column, kind in table.schema().items()}
    further = [c for c in table.columns if c not in SCHEMA[name].columns]
    if further:
        given = table.aggregate(**{c: table[c].count() for c in further}).to_pandas().iloc[0]
        kinds |= {c: NOTHING for c in further if given[c] == 0}
    return dict(sorted(kinds.items()))


def _kind(kind: dt.DataType) -> str:
    if kind.is_numeric() or kind.is_boolean():
        return "number"
    return "date" if kind.is_temporal() else "text"


def drift(
    before: Mapping[str, Mapping[str, str]],
    now: Mapping[str, Mapping[str, str]],
    dropped: Mapping[str, Collection[str]],
) -> list[Fault]:
    """Faults where a table or column that earlier cycles had is gone, or holds something else; new ones are fine.

    Parameters
    ----------
    before, now
        `schema_of` the tables that the newest published analysis read, and of those read now.
    dropped
        Table → columns that the params file declares to be gone (all of them for a table that is).
    """
    faults = []
    for table, columns in before.items():
        known = set(dropped.get(table, ()))
        if table not in now:
            if not set(columns) <= known:
                faults.append(_table_gone(table, columns))
            continue
        here = now[table]
        new = {c: kind for c, kind in here.items() if c not in columns}
        for column, kind in columns.items():
            if column in known:
                continue
            if column not in here:
                faults.append(_column_gone(table, column, kind, new))
            elif NOTHING not in (kind, here[column]) and kind != here[column]:
                faults.append(_changed(table, column, kind, here[column]))
    return faults


def news(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> list[Sentence]:
    """Say which tables and columns earlier cycles did not have."""
    said = []
    for table, columns in now.items():
        new = sorted(set(columns) - set(before.get(table, ())))
        if table not in before:
            said.append(Sentence("Earlier cycles did not read {table}.", {"table": table}))
        elif new:
            values = {"table": table, "columns": ", ".join(new)}
            said.append(Sentence("Columns of {table} that earlier cycles did not have: {columns}.", values))
    return said


def _table_gone(table: str, columns: Mapping[str, str]) -> Fault:
    return Fault(
        f"files.{table}",
        f"earlier cycles read this table ({', '.join(columns)}), and it is gone; declare its file again, "
        f"or, if it is gone for good, data.dropped: [{table}]",
    )


def _column_gone(table: str, column: str, kind: str, new: Mapping[str, str]) -> Fault:
    told = f"earlier cycles had this column ({kind}), and it is gone"
    gone = f"if it is gone for good, files.{table}.dropped: [{column}]"
    if likely := _likely(column, kind, new):
        what = f"{told}; {likely!r} is new and holds {new[likely]} too"
        if new[likely] == NOTHING:
            what = f"{told}; {likely!r} is new and empty"
        return Fault(f"files.{table}.{column}", f"{what}: if it is that, columns: {{{column}: {likely}}}; {gone}")
    return Fault(f"files.{table}.{column}", f"{told}; if it has another name now, columns: {{{column}: NAME}}; {gone}")


def _likely(column: str, kind: str, new: Mapping[str, str]) -> str | None:
    """The new column that holds the same and is called most like it; or the only one that holds the same."""
    same = sorted(c for c, k in new.items() if NOTHING in (k, kind) or k == kind)
    likeness = {c: SequenceMatcher(None, column.lower(), c.lower()).ratio() for c in same}
    best = max(same, key=lambda c: likeness[c], default=None)
    return best if best is not None and (likeness[best] >= ALIKE or len(same) == 1) else None


def _changed(table: str, column: str, before: str, now: str) -> Fault:
    return Fault(
        f"files.{table}.{column}",
        f"earlier cycles read {before} here, and now it is {now}; mend the column, or give it up with "
        f"files.{table}.dropped: [{column}]",
    )
