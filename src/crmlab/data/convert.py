"""Conversion of raw values to the kinds of the schema; what cannot be read becomes NULL, never a guess."""

from datetime import date

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from crmlab.data.schema import TYPES, Kind

EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 31)
"""Dates outside are unreadable (9999-12-31 and ``infinity`` stand for "none" in many systems)."""


@ibis.udf.scalar.builtin(name="try_strptime")
def _try_strptime(text: str, form: str) -> dt.timestamp:
    """Time stamp of `text` in the format `form`, or NULL."""


def converted(column: ir.Value, kind: Kind, date_format: str | None = None) -> ir.Value:
    """`column` as the engine's type for `kind`.

    Text is stripped of blanks and empty text is NULL; ids keep their zeros (``00123``) and their names (``NA``).
    Amounts that are not finite are NULL.
    """
    match kind:
        case "text":
            return as_text(column)
        case "date":
            return _as_date(column, date_format)
        case _:
            bare = column.strip().nullif("") if column.type().is_string() else column
            return bare.try_cast(TYPES[kind])


def as_text(column: ir.Value) -> ir.StringValue:
    """`column` as text without surrounding blanks; NULL if empty. Whole floating-point ids lose their ``.0``."""
    if column.type().is_floating():
        whole = column.try_cast("int64")
        column = ibis.ifelse(whole.cast("float64") == column, whole.cast("string"), column.cast("string"))
    return column.cast("string").strip().nullif("")


def _as_date(column: ir.Value, date_format: str | None) -> ir.DateValue:
    if column.type().is_string():
        column = time_stamp(column, date_format)
    day = column.try_cast("date")
    return ibis.ifelse(day.between(EARLIEST, LATEST), day, ibis.null("date"))


def time_stamp(text: ir.StringValue, date_format: str | None = None) -> ir.TimestampValue:
    """Time stamp of `text` in `date_format`, default ISO 8601; NULL where it is not one."""
    bare = text.strip().nullif("")
    return _try_strptime(bare, date_format) if date_format else bare.try_cast("timestamp")


def covariate(table: ibis.Table, name: str) -> ir.Value:
    """A further column of customers: float64 or int64 where it is a number, else text.

    Text counts as numbers only if every given value is one and none is a code with a leading zero. Decides by
    looking at the values, in the engine.
    """
    column = table[name]
    kind = column.type()
    if kind.is_boolean() or kind.is_integer():
        return column.cast("int64")
    if kind.is_numeric():
        return column.try_cast("float64")
    if kind.is_temporal():
        return column.cast("string")
    text = as_text(column)
    if not kind.is_string():
        return text
    code = text.re_search(r"^[+-]?0[0-9]")
    finite = text.re_search(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    whole = text.re_search(r"^[+-]?[0-9]{1,15}$")
    given, numbers, integers = (
        table.aggregate(given=text.count(), numbers=(finite & ~code).sum(), integers=(whole & ~code).sum())
        .execute()
        .fillna(0)
        .iloc[0]
    )
    if given and integers == given:
        return text.try_cast("int64")
    return text.try_cast("float64") if given and numbers == given else text
