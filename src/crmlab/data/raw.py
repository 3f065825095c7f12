"""What a source hands to the intake: tables under canonical names, not yet converted nor checked."""

from dataclasses import dataclass, field
from datetime import date

import ibis
import pyarrow as pa

from crmlab.contract import Sentence

SET_ASIDE = "set_aside"
"""Column in which a source may say why it sets a row aside (a marked word), or NULL."""


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


def hold(con: ibis.BaseBackend, name: str, table: pa.Table) -> ibis.Table:
    """Make an Arrow table known to the engine under a name, without copying it.

    `con.create_table` would do, but ibis 12 with sqlglot 30 cannot drop the view it makes on the way.
    """
    con.con.register(name, table)
    return con.table(name)
