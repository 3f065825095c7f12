"""What would mend values that cannot be read: the format or mark that reads them, found by trying."""

import re
from collections.abc import Sequence
from datetime import datetime

from crmlab.data.convert import EARLIEST, LATEST, number_pattern, run_together

DAYS_FIRST = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y", "%d%m%Y")
MONTHS_FIRST = ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%m/%d/%y", "%m.%d.%y", "%m-%d-%y", "%m%d%Y")
OTHERS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y"),
    *("%B %d, %Y", "%Y-%d-%m"),
)
CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S %z")
NUMBERS = ((",", None), (".", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
_SIGNS = re.compile(r"[€$£¥]|\b(EUR|USD|GBP|CHF|JPY)\b|%", re.IGNORECASE)


def for_dates(values: Sequence[str], declared: str | None) -> str:
    """How to make `values`, which are no dates as declared, readable."""
    if not values:
        return "fill them in"
    days, months, others = (_fitting(values, forms) for forms in (DAYS_FIRST, MONTHS_FIRST, OTHERS))
    if days and months:
        return f'they fit date_format: "{days}" (day first) and "{months}" (month first): declare the right one'
    if fits := days or months or others:
        return f'declare date_format: "{fits}", which reads them'
    for day, month in zip(DAYS_FIRST, MONTHS_FIRST, strict=True):
        if all(reads(v, day) or reads(v, month) for v in values):
            one = next(v for v in values if not reads(v, month))
            other = next(v for v in values if not reads(v, day))
            return f"{one!r} is day first and {other!r} month first: write all dates alike where the file is made"
    if all(re.fullmatch(r"[2-6][0-9]{4}(\.[0-9]+)?", v) for v in values):
        return "they are Excel's numbers of days: make the column a date in Excel and save again"
    if all(re.fullmatch(r"1[0-9]{9}([0-9]{3}){0,2}(\.[0-9]+)?", v) for v in values):
        return "they are seconds or their parts since 1970: write them as dates where the file is made"
    there = f" other than {declared!r}" if declared else ""
    return f"write them as 2025-01-31, or declare date_format{there} if one reads them all"


def for_numbers(values: Sequence[str], decimal: str | None, thousands: str | None) -> str:
    """How to make `values`, which are no numbers as declared, readable."""
    if not values:
        return "fill them in"
    for mark, groups in NUMBERS:
        if (mark, groups) != (decimal, thousands) and all(re.match(number_pattern(mark, groups), v) for v in values):
            say = f'decimal: "{mark}"' + (f' and thousands: "{groups}"' if groups else "")
            return f"declare {say}, which reads them"
    if any(_SIGNS.search(v) for v in values):
        return "write them without currency or percent signs"
    if any(re.fullmatch(r"\(.*\)|.*-", v) for v in values):
        return "write what is negative with a minus sign before it"
    return "write them as plain numbers such as 1234.50"


def _fitting(values: Sequence[str], forms: Sequence[str]) -> str | None:
    timed = [form + clock for form in forms for clock in CLOCKS]
    return next((form for form in timed if all(reads(v, form) for v in values)), None)


def reads(value: str, form: str) -> bool:
    """Whether `value` is a date in the format `form`."""
    if (pattern := run_together(form)) and not re.search(pattern, value):
        return False
    try:
        return EARLIEST <= datetime.strptime(value, form).date() <= LATEST
    except ValueError:
        return False
