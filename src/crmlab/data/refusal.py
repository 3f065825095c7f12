"""Why a table is refused: too many bad rows, or marks that cannot be told apart; with lines, examples and the mend."""

import re
from collections.abc import Mapping, Sequence

import ibis
import pandas as pd

from crmlab.contract import Fault, Sentence
from crmlab.contract.result import FEWEST
from crmlab.data import lines, mends
from crmlab.data.checking import BAD, NO_AMOUNT, NO_DATE, REPEATED, TOO_LATE, Checked
from crmlab.data.convert import How, number_pattern
from crmlab.data.dialect import COMMA, EITHER, POINT
from crmlab.data.params import FileParams
from crmlab.data.rules import listed
from crmlab.data.schema import NO_ID, SCHEMA

MOST_BAD = 0.05
"""A table with a larger share of bad rows than this is refused: something is wrong with how it is read."""
NAMED = 5
"""Lines that a refusal names."""
UNSEEN = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
"""Signs that nobody sees, and that make two ids of one."""
MARKS = "write them alike, or declare decimal (and thousands)"
TRIED = 500
"""Values on which formats are tried."""

HARMLESS = re.compile(r"[\d .,:/+\-€$£()'%]{1,30}|[A-Za-z]{1,4}")
"""What may be shown of what was found: where fields have shifted, an address may stand in place of a date."""

WAYS = {
    NO_ID: "fill in the customers, or map customer_id to the column that names them; where sales to nobody in"
    " particular are as they should be, declare data.anonymous: set_aside",
    TOO_LATE: "declare a later data.extracted_on, or correct the dates",
    REPEATED: "keep one line for each",
    lines.TOO_MANY: "quote fields that hold the separator (a decimal comma, too), or declare the separator",
    lines.TOO_FEW: "complete the lines, or quote fields that hold line ends",
    lines.OPEN_QUOTE: "close the quotes; a quote within a quoted field is written twice",
    lines.STRAY_QUOTE: "write a quote within a quoted field twice",
    lines.UNDECODABLE: "declare the encoding, for example encoding: cp1252",
    lines.NUL: "remove the zero bytes, or declare the encoding (utf-16?)",
    lines.TOO_LONG: "check that the file has line ends",
}


def too_bad(
    where: str,
    found: Checked,
    file: str,
    how: How,
    params: FileParams | None,
    names: Mapping[str, str] | None = None,
    *,
    anonymous: bool = False,
) -> list[Fault]:
    """Faults of a table of which too much is bad, or nothing there.

    Parameters
    ----------
    where
        What faults are attributed to; ends in the name of the table.
    file
        What to call the file.
    how, params
        How values were read, and what was declared.
    names
        Canonical name → name in the file.
    anonymous
        Whether lines of transactions that name nobody are declared to be as they should.
    """
    name, names = where.rpartition(".")[2], names or {}
    by_reason = found.counts.groupby("reason")["rows"].sum()
    bad = by_reason[by_reason.index.isin(BAD)].sort_values(ascending=False, kind="stable")
    total = int(by_reason.sum())
    if total == 0:
        return (
            [Fault(where, f"{file} holds no row below the names of its columns; export it again")]
            if name == "transactions"
            else []
        )
    if params is not None and params.decimal is None and (other := _with_other_mark(found.bad, name, how)):
        return [_both_marks(where, file, other)]
    if anonymous and name == "transactions":
        total -= int(bad.pop(NO_ID)) if NO_ID in bad else 0
    if bad.sum() <= MOST_BAD * total:
        return []
    why = ", ".join(f"{rows:,} {reason}" for reason, rows in bad.items())
    parts = [f"{file}: {bad.sum():,} of {total:,} rows are bad ({why}), more than {MOST_BAD:.0%}"]
    parts += [_told(found.bad[found.bad["reason"] == reason], reason, how, params, names) for reason in bad.index[:3]]
    return [Fault(where, "; ".join(parts))]


def mixed_marks(rows: ibis.Table, columns: Sequence[str], file: str, where: str) -> Fault:
    """The fault of a file whose decimal mark cannot be told, with examples."""
    examples = []
    for pattern in (POINT, COMMA, EITHER):
        for column in columns:
            value = rows.filter(rows[column].strip().re_search(pattern))[column].strip()
            examples += value.name("v").as_table().limit(1).to_pyarrow()["v"].to_pylist()
    seen = " and ".join(dict.fromkeys(map(repr, examples)))
    if all(re.search(EITHER, example) for example in examples):
        what = f"{file} holds numbers such as {seen}, whose mark may be decimal or stand between thousands"
        mark, other = (",", ".") if "," in examples[0] else (".", ",")
        mend = f'declare decimal: "{mark}", or decimal: "{other}" and thousands: "{mark}"'
        return Fault(where, f"{what}; {mend}")
    return _both_marks(where, file, seen)


def _both_marks(where: str, file: str, seen: str) -> Fault:
    return Fault(
        where, f"{file} writes numbers with a decimal point and with a decimal comma, for example {seen}; {MARKS}"
    )


def undated(found: Checked, rows: ibis.Table, file: str, how: How, where: str) -> list[Fault]:
    """The faults of consents most of whose dates cannot be read, with the file, its lines and the format that reads."""
    if not found.faults:
        return []
    given = rows["date"].cast("string").name("v").as_table().filter(lambda t: t.v.strip() != "").limit(TRIED)
    mend = mends.for_dates(given.to_pyarrow()["v"].to_pylist(), how.date_format)
    return [Fault(where, f"{file}: {f.what}{listed(found.lines.get('lost_date', []))}: {mend}") for f in found.faults]


def look_alikes(people: ibis.Table) -> list[Sentence]:
    """Say that ids differ from others only in capitals, leading zeros or unseen signs: they are kept apart."""
    alike = people.group_by(plain=people.customer_id.lower().re_replace(f"^0+|{UNSEEN}", "")).agg(n=lambda t: t.count())
    count = alike.filter(alike.n > 1).n.sum().fill_null(0).to_pyarrow().as_py()
    if count < FEWEST:
        return []
    said = (
        "Customers whose ids differ from another's only in capitals or leading zeros, or in signs that nobody sees, "
        "and who are kept apart: {n:,}."
    )
    return [Sentence(said, {"n": int(count)}, tone="warn")]


def _told(bad: pd.DataFrame, reason: str, how: How, params: FileParams | None, names: Mapping[str, str]) -> str:
    """Lines, an example and the mend of the rows that are bad for one reason."""
    numbers = bad.loc[bad["line"] > 0, "line"].sort_values()
    given = bad[bad["found"] != ""].head(TRIED)
    seen = []
    if len(numbers):
        seen.append("line " + ", ".join(map(str, numbers.head(NAMED))) + (", …" if len(numbers) > NAMED else ""))
    if len(given):
        told = given[[HARMLESS.fullmatch(value) is not None for value in given["found"]]].head(1)
        seen += [f"found {one.found!r} in column {names.get(one.column, one.column)!r}" for one in told.itertuples()]
    mend = WAYS.get(reason, "fill in what is required")
    if reason == NO_DATE:
        mend = mends.for_dates(given["found"].tolist(), how.date_format)
    elif reason == NO_AMOUNT:
        mend = mends.for_numbers(given["found"].tolist(), how.decimal, how.thousands)
    return f"{reason}: {', '.join(seen)}: {mend}" if seen else f"{reason}: {mend}"


def _with_other_mark(bad: pd.DataFrame, name: str, how: How) -> str:
    """A number that is certainly written with the other decimal mark than those that were read, and its line."""
    kinds = SCHEMA[name].columns
    rows = bad[bad["column"].map(kinds.get).isin(["money", "number"])]
    pattern = COMMA if how.decimal == "." else POINT
    mark = "," if how.decimal == "." else "."
    both = [re.compile(pattern), re.compile(number_pattern(mark, None))]
    fits = rows[[all(one.search(value) for one in both) for value in rows["found"]]]
    if fits.empty:
        return ""
    first = fits.iloc[0]
    return f"{first['found']!r} on line {first['line']}"
