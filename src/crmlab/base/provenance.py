"""Nothing of the future: tables that reach beyond the day, and traits that read what they were not given."""

from collections.abc import Iterable, Mapping
from datetime import date

import ibis
import ibis.expr.operations as ops
import pandas as pd

from crmlab.contract import Fault, Refused

UNDATED = ("customers", "products", "offers", "subscriptions")
"""Tables whose dates describe a person, a thing or a contract, not when the row came to be."""


def refuse_later(tables: Mapping[str, ibis.Table], as_of: date) -> None:
    """Refuse tables that hold a row dated after `as_of`, in whatever column of dates."""
    faults = []
    for name, table in tables.items():
        dated = [c for c, kind in table.schema().items() if kind.is_date() or kind.is_timestamp()]
        if name in UNDATED or not dated:
            continue
        latest = table.agg(**{c: table[c].cast("date").max() for c in dated}).to_pandas().iloc[0]
        for column in dated:
            if pd.notna(latest[column]) and pd.Timestamp(latest[column]) > pd.Timestamp(as_of):
                last = pd.Timestamp(latest[column]).date()
                faults.append(Fault(f"{name}.{column}", f"reaches {last}: cut the table at {as_of} before traits"))
    if faults:
        raise Refused("traits would see the future", faults)


def strangers(expression: ibis.Expr, given: Iterable[ibis.Table]) -> list[str]:
    """Names of the tables that `expression` reads other than through one of `given`.

    The leaves of the expression are looked for, but not below a table that was given: a table that was given cut at a
    day may be read as it was given, and not past the cut.
    """
    allowed = {table.op() for table in given}
    found, seen, waiting = set(), set(), [expression.op()]
    while waiting:
        node = waiting.pop()
        if node in seen or node in allowed:
            continue
        seen.add(node)
        below = node.__children__
        if isinstance(node, ops.Relation) and not any(isinstance(c, ops.Relation) for c in below):
            found.add(getattr(node, "name", "a query"))
        waiting.extend(below)
    return sorted(found)
