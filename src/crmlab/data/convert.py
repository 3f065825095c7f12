"""Conversion of raw values to the kinds of the schema; what cannot be read becomes NULL, never a guess."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from crmlab.data.schema import TYPES, Kind

EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 31)
"""Dates outside are unreadable (9999-12-31 and ``infinity`` stand for "none" in many systems)."""

SPACES = "".join(map(chr, (*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070))))
BLANKS = f" \t\n\r\v\f\u0085\u00a0\u00ad\u1680\u180e\u3000\ufeff{SPACES}"
"""What is stripped from both ends of text: blanks, also those that nobody sees, and marks of direction."""

DAY = "____-__-__"
STAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?$"
ZONED = STAMP[:-1] + r" ?(Z|[+-]([01][0-9]|2[0-3]):?([0-5][0-9])?)$"
"""ISO 8601: a day, a time stamp, a time stamp with its distance from Greenwich."""

_GROUPS = {" ": " \u00a0\u202f", "'": "'’"}
"""Marks between thousands → the signs that are written for them, where there are several."""
_DIGITS = {"Y": 4, "j": 3} | dict.fromkeys("ymdHIMS", 2)


class How(NamedTuple):
    """How text is to be read: as declared in the params file, or as was found and stated."""

    date_format: str | None = None
    decimal: str = "."
    thousands: str | None = None
    hours: int = 0
    time_zone: str = "UTC"


@ibis.udf.scalar.builtin(name="try_strptime")
def _try_strptime(text: str, form: str) -> dt.timestamp:
    """Time stamp of `text` in the format `form`, or NULL."""


@ibis.udf.scalar.builtin(name="try_strptime")
def _try_strptime_zoned(text: str, form: str) -> dt.Timestamp(timezone="UTC"):
    """Instant of `text` in a format with ``%z``, or NULL."""


@ibis.udf.scalar.builtin(name="timezone")
def _civil(zone: str, instant: dt.Timestamp(timezone="UTC")) -> dt.timestamp:
    """What clocks in `zone` show at `instant`."""


@ibis.udf.scalar.builtin(name="trim")
def _trim(text: str, characters: str) -> str:
    """`text` without `characters` at both ends."""


def converted(column: ir.Value, kind: Kind, date_format: str | None = None) -> ir.Value:
    """`column` as the engine's type for `kind`: `of_bare`, whatever blanks are around it; empty text is NULL."""
    return of_bare(bare(column) if column.type().is_string() else column, kind, How(date_format))


def of_bare(column: ir.Value, kind: Kind, how: How) -> ir.Value:
    """`column` as the engine's type for `kind`, where it has no blanks around it if it is text.

    Ids keep their zeros (``00123``) and their names (``NA``). Amounts that are not finite are NULL. A time stamp
    becomes the civil day of its place: one that says how far it is from Greenwich is set to the time zone of `how`, any
    other is that of the place already.
    """
    if kind == "text":
        return column if column.type().is_string() else as_text(column)
    if kind == "date":
        return _as_date(column, how)
    if column.type().is_string():
        column = _plain_number(column, how.decimal, how.thousands)
    elif column.type().is_floating():
        column = ibis.ifelse(column.isinf() | column.isnan(), ibis.null(column.type()), column)
    if kind == "count" and not column.type().is_integer():
        exact = column.try_cast("decimal(18, 4)")
        return ibis.ifelse(exact == exact.floor(), exact.try_cast("int64"), ibis.null("int64"))
    return column.try_cast(TYPES[kind])


def bare(text: ir.StringValue) -> ir.StringValue:
    """`text` without the blanks around it; NULL if empty. What begins and ends in plain ASCII is not looked into."""
    plain = text.between("!", "~") & text.right(1).between("!", "~")
    return ibis.ifelse(plain, text, _trim(text, BLANKS).nullif(""))


def plain(text: ir.StringValue, kind: Kind, how: How) -> ir.Value | None:
    """What one cast makes of `text`, to be taken where `is_plain`; None where text of that kind needs more."""
    iso = kind == "date" and how.date_format is None
    number = kind in ("money", "number") and how.decimal == "."
    return text.try_cast(TYPES[kind]) if iso or number else None


def is_plain(text: ir.StringValue, cast: ir.Value) -> ir.BooleanValue:
    """Whether `text` is an ISO day, or a number of digits and a point, so that the cast is what `of_bare` makes of it.

    Blanks around numbers do not matter to the cast; those in place of a digit of a date do.
    """
    if cast.type().is_date():
        return text.like(DAY) & text.right(1).between("0", "9") & cast.between(EARLIEST, LATEST)
    odd = text.contains("_") | text.contains("e") | text.contains("E")
    return cast.notnull() & ~odd


def as_text(column: ir.Value) -> ir.StringValue:
    """`column` as text without surrounding blanks; NULL if empty. Whole ids that are decimals lose their ``.0``."""
    if column.type().is_floating() or column.type().is_decimal():
        whole, given = column.try_cast("int64"), column.cast("string")
        column = ibis.ifelse(whole.cast(column.type()) == column, whole.cast("string"), given)
        # The engine believes a Parquet file's statistics, and these know no NaN: isnan() does not find it.
        column = ibis.ifelse(given.re_search("[nN]"), ibis.null("string"), column)
    return bare(column if column.type().is_string() else column.cast("string"))


def number_pattern(decimal: str, thousands: str | None) -> str:
    """Regular expression of numbers written with these marks, groups of three digits whole or not at all."""
    mark = f"[{decimal}]"
    digits = "[0-9]+"
    if thousands:
        digits = f"([0-9]{{1,3}}([{_GROUPS.get(thousands, thousands)}][0-9]{{3}})+|[0-9]+)"
    return rf"^[+-]?({digits}{mark}?|{digits}{mark}[0-9]+|{mark}[0-9]+)([eE][+-]?[0-9]{{1,3}})?$"


def _plain_number(given: ir.StringValue, decimal: str, thousands: str | None) -> ir.StringValue:
    """Digits with a decimal point, where `given` is a number written with these marks; else NULL."""
    digits = given
    if thousands:
        for mark in _GROUPS.get(thousands, thousands):
            digits = digits.replace(mark, "")
    if decimal != ".":
        digits = digits.replace(decimal, ".")
    return ibis.ifelse(given.re_search(number_pattern(decimal, thousands)), digits, ibis.null("string"))


def _as_date(column: ir.Value, how: How) -> ir.DateValue:
    kind = column.type()
    if kind.is_string():
        day = _day_of_text(column, how)
    elif not kind.is_temporal():
        day = _day_of_text(as_text(column), how)
    elif kind.is_timestamp():
        day = _later(_civil(how.time_zone, column) if kind.timezone else column, how.hours)
    else:
        day = column.try_cast("date")
    return ibis.ifelse(day.between(EARLIEST, LATEST), day, ibis.null("date"))


def _day_of_text(text: ir.StringValue, how: How) -> ir.DateValue:
    form, hours = how.date_format, how.hours
    if form is None:
        zoned = _civil(how.time_zone, text.try_cast(dt.Timestamp(timezone="UTC")))
        return ibis.cases(
            (text.like(DAY), text.try_cast("date")),
            (text.re_search(STAMP), _later(text.replace(",", ".").try_cast("timestamp"), hours)),
            (text.re_search(ZONED), _later(zoned, hours)),
            else_=ibis.null("date"),
        )
    if pattern := run_together(form):
        text = ibis.ifelse(text.re_search(pattern), text, ibis.null("string"))
    if "%z" in form:
        return _later(_civil(how.time_zone, _try_strptime_zoned(text, form)), hours)
    stamp = _try_strptime(text, form)
    return _later(stamp, hours) if "H" in form or "I" in form else stamp.cast("date")


def run_together(form: str) -> str | None:
    """Regular expression of dates in a format such as ``%Y%m%d``, in which only the number of digits parts them."""
    if not re.search(r"%[YymdHIMSj]%[YymdHIMSj]", form):
        return None
    parts = re.findall(r"%-?.|[^%]+", form)
    return (
        "^"
        + "".join(
            f"[0-9]{{{_DIGITS[part[-1]]}}}"
            if part[0] == "%" and part[-1] in _DIGITS
            else ".+"
            if part[0] == "%" and part != "%%"
            else re.escape(part.replace("%%", "%"))
            for part in parts
        )
        + "$"
    )


def _later(stamp: ir.TimestampValue, hours: int) -> ir.DateValue:
    return (stamp + ibis.interval(hours=hours) if hours else stamp).cast("date")


def covariates(table: ibis.Table, names: Sequence[str], decimal: str = ".") -> Mapping[str, ir.Value]:
    """Further columns of customers: int64 or float64 where they are numbers, else text.

    Text counts as numbers only if every given value is one and none is a code with a leading zero. Decides by
    looking at the values, in the engine, all columns at once.
    """
    found = {name: _covariate(table[name]) for name in names}
    texts = {name: value for name, value in found.items() if value.type().is_string()}
    if not texts:
        return found
    looked = {}
    for place, text in enumerate(texts.values()):
        code = text.re_search(r"^[+-]?0[0-9]")
        looked |= {
            f"given{place}": text.count(),
            f"numbers{place}": (text.re_search(number_pattern(decimal, None)) & ~code).sum().fill_null(0),
            f"whole{place}": (text.re_search(r"^[+-]?[0-9]{1,15}$") & ~code).sum().fill_null(0),
        }
    counts = table.aggregate(**looked).to_pyarrow().to_pylist()[0]
    for place, (name, text) in enumerate(texts.items()):
        given = counts[f"given{place}"]
        if given and counts[f"whole{place}"] == given:
            found[name] = text.try_cast("int64")
        elif given and counts[f"numbers{place}"] == given:
            found[name] = text.replace(decimal, ".").try_cast("float64")
    return found


def _covariate(column: ir.Value) -> ir.Value:
    kind = column.type()
    if kind.is_boolean() or kind.is_integer():
        return column.cast("int64")
    if kind.is_numeric():
        return column.try_cast("float64")
    return column.cast("string") if kind.is_temporal() else as_text(column)
