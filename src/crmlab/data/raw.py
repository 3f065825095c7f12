"""What a source hands to the intake: tables as they were found, not yet converted nor checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import ibis
import pandas as pd
import pyarrow as pa

from crmlab.contract import Fault, Sentence

SET_ASIDE = "set_aside"
"""Column in which a source may say why it sets a row aside (a marked word), or NULL."""

LOST = "lost_"
"""Begins the name of a column that tells on which rows a value was given and could not be read."""

LINE = "line of the file"
"""Column of a raw table: the physical line of a row (of a text file, where the header is line 1), its row in a sheet
(the header counted), or its number from 1 on in Parquet and databases."""


@dataclass(frozen=True)
class Raw:
    """Tables of one source, columns under their canonical names, values as they were found.

    Parameters
    ----------
    tables
        Table → rows. A column `set_aside` may give the source's own reason for setting a row aside.
    extracted_on
        Last day the data cover, where the source knows it.
    notes
        Licence, assumptions and traps of the source, for the page.
    date_formats
        Table → format of its dates where they are text and not ISO 8601.
    """

    tables: dict[str, ibis.Table]
    extracted_on: date | None = None
    notes: tuple[Sentence, ...] = ()
    date_formats: dict[str, str] = field(default_factory=dict)


def no_lines() -> pd.DataFrame:
    """`Found.bad` of a file in which every line is a row."""
    return pd.DataFrame({"line": pd.array([], "int64"), "reason": pd.array([], "str"), "text": pd.array([], "str")})


@dataclass(frozen=True)
class Found:
    """One raw table under the names it has where it was found; of a text file every value is text.

    Parameters
    ----------
    rows
        Rows, with the column `LINE` unless `lines` tells the lines of rows.
    bad
        Lines that are no rows: ``line`` (int64), ``reason`` (a marked word), ``text`` (the line itself).
    stated
        What was detected and accepted, for the page and for ``crmlab check``.
    lines
        Numbers of rows (from 1 on, in the order of `rows`) and how many rows there are → the physical lines of those;
        for files where only the lines of a few rows are ever asked for.
    carefully
        Opens the same file again by reading every line itself: what to do where the engine fails on `rows`.
    large
        Whether `rows` are better kept on disk than in memory.
    """

    rows: ibis.Table
    bad: pd.DataFrame = field(default_factory=no_lines)
    stated: tuple[Sentence, ...] = ()
    lines: Callable[[Sequence[int], int], dict[int, int]] | None = None
    carefully: Callable[[], "Found | list[Fault]"] | None = None
    large: bool = False


def hold(con: ibis.BaseBackend, name: str, table: pa.Table) -> ibis.Table:
    """Make an Arrow table known to the engine under a name, without copying it.

    `con.create_table` would do, but ibis 12 with sqlglot 30 cannot drop the view it makes on the way.
    """
    con.con.register(name, table)
    return con.table(name)
