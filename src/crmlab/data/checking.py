"""One raw table converted and checked: every row kept or set aside, and those set aside told one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from crmlab.contract import Sentence, mark
from crmlab.data import rules
from crmlab.data.convert import How, as_text, bare, covariates, is_plain, of_bare, plain
from crmlab.data.files import multiplied
from crmlab.data.held import held, repeats, viewed
from crmlab.data.lines import MALFORMED
from crmlab.data.params import DataParams
from crmlab.data.raw import LINE, LOST, SET_ASIDE, Found
from crmlab.data.schema import KEYS, NO_ID, SCHEMA, TYPES

KEPT = mark("kept")
NO_DATE = mark("no readable date")
NO_AMOUNT = mark("no readable amount")
INCOMPLETE = mark("a required value is missing or unreadable")
TOO_LATE = mark("dated after the last day of the data")
REPEATED = mark("listed more than once")
REASONS = {"customer_id": NO_ID, "amount": NO_AMOUNT}
BAD = (NO_ID, NO_DATE, NO_AMOUNT, INCOMPLETE, TOO_LATE, REPEATED, *MALFORMED)
"""Reasons that are bad rows; all others are decisions."""

ROW, DIGEST, PLAIN = "crmlab row", "crmlab digest", "crmlab plain "
"""Columns that go beside the values: the number of the row, a hash of all that is in it, values plainly written."""

ACCOUNT = ["line", "reason", "column", "found", "customer_id", "text"]
LONGEST_FOUND = 60
MOST_TOLD = 1_000_000


@dataclass(frozen=True)
class Checked:
    """A table after checking.

    Parameters
    ----------
    kept
        Its good rows.
    counts
        Rows by ``date`` and ``reason``.
    bad
        One row for each bad one: line, reason, column (canonical), found, customer_id, text.
    lines
        What a rule refuses (a reason, or ``lost_date``) → the first lines of it.
    """

    kept: ibis.Table
    counts: pd.DataFrame
    bad: pd.DataFrame
    notes: tuple[Sentence, ...] = ()
    faults: list = field(default_factory=list)
    lines: Mapping[str, list[int]] = field(default_factory=dict)


def checked(
    con: ibis.BaseBackend,
    name: str,
    raw: ibis.Table,
    *,
    how: How,
    further: Sequence[str],
    last: date | None,
    params: DataParams,
    found: Found | None,
    lean: bool = False,
) -> Checked:
    """Convert and check the rows of one table.

    Parameters
    ----------
    raw
        Rows under canonical names.
    further
        Columns kept as covariates.
    found
        Where the rows come from, of a study's own files: these are read once and kept in the engine. Of a known
        source None: its rows are read in place, and have no lines.
    lean
        Do without texts that no row must have, where these do not matter to the check.
    """
    there = [c for c in SCHEMA[name].columns if c in raw.columns and not (lean and _idle(name, c))]
    typed, notes = _typed(con, name, raw, there, how, further, found), []
    if found is not None and name == "transactions":
        typed, notes = _with_repeats(typed)
    ruled = rules.apply(name, typed, last=last, params=params)
    rows = ruled.rows.mutate(**{SET_ASIDE: _reason(name, ruled.rows, last)})
    counts, lost = _counted(name, rows)
    some = counts["reason"].isin(BAD).any()
    bad = _told(rows, raw, name, found, last) if some else pd.DataFrame(columns=ACCOUNT)
    if found is not None and len(found.bad):
        bad = pd.concat([_lines_that_are_no_rows(found), bad], ignore_index=True)
        broken = found.bad.groupby("reason").size().rename("rows").reset_index()
        counts = pd.concat([counts, broken.assign(date=pd.NaT)], ignore_index=True)
    lines = {
        r: _first(rows, rows[SET_ASIDE] == r, found) for r in rules.refusable(params) if r in set(counts["reason"])
    }
    if ruled.faults:
        lines["lost_date"] = _first(rows, rows.lost_date, found)
    rows = rows.mutate(**covariates(rows, further, how.decimal)) if further else rows
    if set(counts["reason"]) - set(MALFORMED) != {KEPT}:
        rows = rows.filter(rows[SET_ASIDE].isnull())
    kept = rows.select(*(c for c in rows.columns if c in SCHEMA[name].columns or c in further))
    return Checked(kept, counts, bad, (*notes, *ruled.notes, *lost), list(ruled.faults), lines)


def _idle(name: str, column: str) -> bool:
    """Whether rows of `name` are good or bad whatever is in the text `column`."""
    schema = SCHEMA[name]
    return schema.columns[column] == "text" and name not in KEYS and column not in (*schema.required, *schema.any_of)


def _typed(
    con: ibis.BaseBackend,
    name: str,
    raw: ibis.Table,
    there: Sequence[str],
    how: How,
    further: Sequence[str],
    found: Found | None,
) -> ibis.Table:
    """Values converted, ``lost_<column>`` (a given value that cannot be read), and what a bad row holds."""
    schema = SCHEMA[name]
    own = raw[SET_ASIDE].cast("string") if SET_ASIDE in raw.columns else ibis.null("string")
    others = {SET_ASIDE: own} if found is None else {}
    if LINE in raw.columns:
        others[LINE] = raw[LINE].cast("int64")
    if found is not None and name == "transactions":
        others[DIGEST] = ibis.struct({c: raw[c] for c in raw.columns if c != LINE}).hash()
    # Views, for otherwise each step would be written, and done, wherever its value is used.
    casts = {c: plain(raw[c], schema.columns[c], how) for c in there if raw[c].type().is_string()}
    casts = {PLAIN + c: cast for c, cast in casts.items() if cast is not None}
    first = viewed(con, raw.select(*there, *further, **casts, **others))
    sure = {c: is_plain(first[c], first[PLAIN + c]) for c in there if PLAIN + c in casts}
    texts = {c: bare(first[c]) for c in (*there, *further) if first[c].type().is_string()}
    texts |= {c: ibis.ifelse(test, ibis.null("string"), texts[c]) for c, test in sure.items()}
    plain_ones = {PLAIN + c: test.ifelse(first[PLAIN + c], ibis.null()) for c, test in sure.items()}
    second = viewed(con, first.mutate(**texts, **plain_ones))
    values = {c: of_bare(second[c], schema.columns[c], how) for c in there}
    values |= {c: ibis.coalesce(second[PLAIN + c], values[c]) for c in sure}
    if multiplied(name, there):
        values["amount"] = (values["quantity"] * values["price"]).cast(TYPES["money"])
    losable = [c for c in there if c not in schema.filled and schema.columns[c] != "text"]
    given = {c: second[c] if c in texts else as_text(second[c]) for c in losable}
    lost = {LOST + c: values[c].isnull() & given[c].notnull() for c in losable}
    typed = second.select(**values, **lost, **{c: second[c] for c in (*further, *others)})
    if found is None:
        return typed
    typed = held(con, typed, large=found.large)
    return typed.mutate(**{ROW: typed.rowid() + 1, SET_ASIDE: ibis.null("string")})


def _wrong(name: str, rows: ibis.Table, last: date | None) -> ir.StringValue:
    """The first column for which a row is bad."""
    schema = SCHEMA[name]
    wrong = {c: rows[c].isnull() for c in schema.filled if c in rows.columns}
    if last is not None and schema.date in rows.columns:
        wrong[schema.date] = wrong.get(schema.date, ibis.literal(False)) | (rows[schema.date] > last).fill_null(False)
    tests = [(test, ibis.literal(c)) for c, test in wrong.items()]
    tests.append((rows[SET_ASIDE] == REPEATED, ibis.literal(KEYS.get(name, ""))))
    return ibis.cases(*tests, else_="")


def _with_repeats(typed: ibis.Table) -> tuple[ibis.Table, list[Sentence]]:
    """Mark lines that equal an earlier one in every column of the file, and say how many there are."""
    found = repeats(typed, ROW, DIGEST)
    typed = typed.drop(DIGEST)
    if found is None:
        return typed, []
    said = Sentence("Lines of transactions that equal an earlier line in every column: {n:,}.", {"n": len(found)})
    return typed.mutate(**{rules.REPEATS: typed[ROW].isin(ibis.memtable(found).row)}), [said]


def _reason(name: str, typed: ibis.Table, last: date | None) -> ir.StringValue:
    schema = SCHEMA[name]
    branches = [(typed[SET_ASIDE].notnull(), typed[SET_ASIDE])]
    for column in schema.filled:
        reason = NO_DATE if schema.columns[column] == "date" else REASONS.get(column, INCOMPLETE)
        branches.append((typed[column].isnull(), ibis.literal(reason)))
    if last is not None and schema.date in typed.columns:
        branches.append((typed[schema.date] > last, ibis.literal(TOO_LATE)))
    if name in KEYS and not _unique(typed[KEYS[name]]):
        columns = [c for c in typed.columns if c != SET_ASIDE and not c.startswith(("crmlab ", LINE))]
        places = [c for c in (LINE, ROW) if c in typed.columns]
        order = [typed[c].asc(nulls_first=False) for c in (*columns, *places)]
        repeated = ibis.row_number().over(group_by=[typed[KEYS[name]], typed[SET_ASIDE]], order_by=order)
        branches.append((repeated > 0, ibis.literal(REPEATED)))
    return ibis.cases(*branches, else_=ibis.null("string"))


def _unique(key: ir.Value) -> bool:
    return bool((key.count() == key.nunique()).as_scalar().execute())


def _counted(name: str, rows: ibis.Table) -> tuple[pd.DataFrame, list[Sentence]]:
    """Rows by date and reason, and a sentence for each optional column with values that could not be read."""
    column = SCHEMA[name].date
    day = rows[column] if column in rows.columns else ibis.null("date")
    lost = [c for c in SCHEMA[name].columns if LOST + c in rows.columns]
    grouped = rows.group_by(date=day, reason=rows[SET_ASIDE].fill_null(KEPT))
    counts = grouped.agg(
        rows=lambda t: t.count(),
        **{LOST + c: (lambda t, c=c: t[LOST + c].cast("int64").sum().fill_null(0)) for c in lost},
    ).execute()
    counts["date"] = pd.to_datetime(counts["date"]).astype("datetime64[s]")
    sentences = [
        Sentence(
            "Values of {column} in {table} that could not be read and count as missing: {rows:,}.",
            {"rows": int(counts[LOST + c].sum()), "column": c, "table": name},
            tone="warn",
        )
        for c in lost
        if counts[LOST + c].sum() > 0
    ]
    return counts.astype({"rows": "int64"})[["date", "reason", "rows"]], sentences


def _told(rows: ibis.Table, raw: ibis.Table, name: str, found: Found | None, last: date | None) -> pd.DataFrame:
    """The bad rows, with their lines where they have any, and what was found there: read again, for they are few."""
    place = next((c for c in (LINE, ROW) if c in rows.columns), None)
    who = rows.customer_id if "customer_id" in rows.columns else ibis.null("string")
    bad = rows.filter(rows[SET_ASIDE].isin(BAD)).select(
        line=rows[place] if place else ibis.literal(0, "int64"),
        reason=rows[SET_ASIDE],
        column=_wrong(name, rows, last),
        customer_id=who.fill_null(""),
    )
    bad = bad.order_by("line").limit(MOST_TOLD).to_pandas().assign(found="", text="")
    if found is None or not len(bad):
        return bad[ACCOUNT]
    there = raw if LINE in raw.columns else raw.mutate(**{LINE: ibis.row_number() + 1})
    # Not a join: the engine takes any file for a few rows, and would hold this one.
    there = there.filter(there[LINE].isin(ibis.memtable(bad[["line"]]).line).fill_null(False))
    cells = [there[c].cast("string").fill_null("") for c in raw.columns if c != LINE]
    shown = {
        c: as_text(there[c])[:LONGEST_FOUND].fill_null("")
        for c in set(bad["column"]) & {*there.columns} - {"customer_id"}
    }
    again = there.select(line=there[LINE].cast("int64"), text=ibis.literal(",").join(cells), **shown)
    again = again.to_pandas().set_index("line").reindex(bad["line"])
    bad["text"] = again["text"].fillna("").to_numpy()
    for column in shown:
        bad["found"] = bad["found"].where(bad["column"] != column, again[column].fillna("").to_numpy())
    return bad.assign(line=_lines(rows, bad["line"].tolist(), found))[ACCOUNT]


def _first(rows: ibis.Table, test: ir.BooleanValue, found: Found | None, most: int = 6) -> list[int]:
    """Lines of the first rows for which `test` holds."""
    if found is None:
        return []
    place = LINE if LINE in rows.columns else ROW
    return _lines(rows, rows.filter(test).order_by(place).limit(most)[place].to_pyarrow().to_pylist(), found)


def _lines(rows: ibis.Table, numbers: list[int], found: Found) -> list[int]:
    """The lines of the rows of these numbers: the numbers themselves where rows carry their lines."""
    if found.lines is None:
        return numbers
    lines = found.lines(numbers, int(rows.count().to_pyarrow().as_py()))
    return [lines[n] for n in numbers]


def _lines_that_are_no_rows(found: Found) -> pd.DataFrame:
    return found.bad.assign(column="", found="", customer_id="")[ACCOUNT]
