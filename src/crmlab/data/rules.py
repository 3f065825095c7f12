"""Rules of single tables: consent, suppression, returns and repeated lines, and who is known in one table alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from crmlab.contract import Fault, Sentence, mark
from crmlab.contract.result import FEWEST
from crmlab.data.consents import EVERY, GRANTED, OTHERS, UNREADABLE, channel_of, state_of
from crmlab.data.convert import BLANKS
from crmlab.data.params import DataParams
from crmlab.data.raw import LOST, SET_ASIDE
from crmlab.data.schema import NO_ID, Tables

REPEATS = "repeats"
"""Column of raw transactions: whether the line is the second, third … of lines that are exactly equal."""

KNOWN = ("transactions", "customers", "consents")
"""Tables whose customers could be contacted."""

DUPLICATE = mark("exactly the same line again")
RETURNED = mark("a return, set aside as declared")
"""Reasons that are decisions, not bad rows."""

MOST_UNDATED = 0.5
"""Where more of the dates given cannot be read, they are written in another format than was declared."""


@dataclass(frozen=True)
class Ruled:
    """A converted table after its rules: its rows, what is to be said, and what refuses it."""

    rows: ibis.Table
    notes: tuple[Sentence, ...] = ()
    faults: tuple[Fault, ...] = ()


def apply(name: str, typed: ibis.Table, *, last: date | None, params: DataParams) -> Ruled:
    """The rules of one table.

    Parameters
    ----------
    name
        Which canonical table it is.
    typed
        Its columns converted, with ``set_aside`` (why a row is set aside, or NULL) and ``lost_<column>`` (a value was
        given and could not be read).
    last
        Last day the data cover, where somebody said.
    params
        Which policies are declared for returns and repeated lines.
    """
    match name:
        case "transactions":
            return Ruled(_transactions(typed, params))
        case "consents":
            return _consents(typed, last)
        case "suppression":
            return _suppression(typed, last)
        case "outcomes":
            return Ruled(typed, _outcomes(typed))
    return Ruled(typed)


def refusable(params: DataParams) -> list[str]:
    """Reasons for which transactions are refused, if there are such rows."""
    return [r for r, p in ((DUPLICATE, params.duplicates), (RETURNED, params.returns)) if p == "refuse"]


def refused(reasons: Mapping[str, int], params: DataParams, file: str, lines: Mapping[str, list[int]]) -> list[Fault]:
    """Faults where transactions hold what the study declares it refuses.

    Parameters
    ----------
    reasons
        Rows of transactions by the reason for which they were set aside.
    params
        The policies.
    file, lines
        Where they stand: reason → the first lines.
    """
    said = {
        DUPLICATE: ("", "lines repeat an earlier one exactly", "duplicates: keep or drop"),
        RETURNED: (".amount", "lines have a negative amount", "returns: net or set_aside"),
    }
    faults = []
    for reason in refusable(params):
        column, what, policy = said[reason]
        if rows := reasons.get(reason, 0):
            what = f"{file}: {rows:,} {what}{listed(lines.get(reason, []))}; mend the file, or declare data.{policy}"
            faults.append(Fault(f"files.transactions{column}", what))
    return faults


def listed(lines: Sequence[int], most: int = 5) -> str:
    """The first lines, in brackets; nothing where none are known."""
    return f" (line {', '.join(map(str, lines[:most]))}{', …' if len(lines) > most else ''})" if lines else ""


def _transactions(typed: ibis.Table, params: DataParams) -> ibis.Table:
    branches = [(typed[SET_ASIDE].notnull(), typed[SET_ASIDE])]
    if REPEATS in typed.columns and params.duplicates != "keep":
        branches.append((typed[REPEATS], ibis.literal(DUPLICATE)))
    if params.returns != "net":
        branches.append((typed.amount < 0, ibis.literal(RETURNED)))
    if len(branches) > 1:
        typed = typed.mutate(**{SET_ASIDE: ibis.cases(*branches, else_=ibis.null("string"))})
    return typed.drop(REPEATS) if REPEATS in typed.columns else typed


def _consents(typed: ibis.Table, last: date | None) -> Ruled:
    """Nothing but a row without a customer is set aside; what cannot be read is made to count against contact."""
    day = ibis.ifelse(_late(typed, last), ibis.null("date"), typed.date)
    rows = typed.mutate(state=state_of(typed.state), channel=channel_of(typed.channel), date=day)
    given, undated = rows.state == GRANTED, rows.date.isnull()
    found = rows.aggregate(
        unreadable=(rows.state == UNREADABLE).sum(),
        undated_yes=(given & undated).sum(),
        undated_no=(~given & undated).sum(),
        anywhere=(~given & ~rows.channel.isin([*OTHERS, EVERY])).sum(),
        nowhere=(given & (rows.channel == "")).sum(),
        dates=rows.date.count(),
        **({"lost": rows[f"{LOST}date"].sum()} if f"{LOST}date" in rows.columns else {}),
    )
    counts = _whole(found)
    faults, dates, lost = [], counts["dates"], counts.get("lost", 0)
    if lost > MOST_UNDATED * (dates + lost):
        faults.append(Fault("consents.date", f"{lost:,} of {dates + lost:,} dates given cannot be read"))
    said = {
        "unreadable": mark("Consents whose state is no plain yes or no, which count as refusals: {n:,}."),
        "undated_yes": mark("Permissions without a readable day in the time of the data, which permit nothing: {n:,}."),
        "undated_no": mark("Refusals without a readable day in the time of the data, which hold for ever: {n:,}."),
        "anywhere": mark("Refusals whose channel is missing or unknown, which hold for every other channel: {n:,}."),
        "nowhere": mark("Permissions that name no channel, which permit nothing: {n:,}."),
    }
    notes = [Sentence(text, {"n": counts[key]}, tone="warn") for key, text in said.items() if counts[key]]
    return Ruled(rows, tuple(notes), tuple(faults))


def _suppression(typed: ibis.Table, last: date | None) -> Ruled:
    """A row that names somebody counts whatever else is wrong with it."""
    values, counts = {}, {}
    nobody = typed[SET_ASIDE].isnull()
    if "customer_id" in typed.columns:
        nobody &= typed.customer_id.isnull()
    if "email_sha256" in typed.columns:
        digest = values["email_sha256"] = _digest(typed.email_sha256)
        counts["malformed"] = (typed.email_sha256.notnull() & digest.isnull()).sum()
        nobody &= digest.isnull()
    if "date" in typed.columns:
        day = values["date"] = ibis.ifelse(_late(typed, last), ibis.null("date"), typed.date)
        counts["undated"] = day.isnull().sum()
    values[SET_ASIDE] = ibis.ifelse(nobody, ibis.literal(NO_ID), typed[SET_ASIDE])
    found = _whole(typed.aggregate(**counts)) if counts else {}
    said = {
        "malformed": mark("Rows of suppression whose email_sha256 is not 64 hexadecimal digits: {n:,}."),
        "undated": mark("Rows of suppression without a readable day in the time of the data, which count: {n:,}."),
    }
    notes = [Sentence(text, {"n": found[key]}, tone="warn") for key, text in said.items() if found.get(key)]
    return Ruled(typed.mutate(**values), tuple(notes))


def _outcomes(typed: ibis.Table) -> tuple[Sentence, ...]:
    """Every outcome is kept: answers are counted once a customer and campaign, whatever they are worth."""
    keys = {c: typed[c] for c in ("customer_id", "campaign_id", "date", "response")}
    found = typed.aggregate(
        odd=(~typed.response.isin([0, 1])).sum(), repeats=typed.count() - ibis.struct(keys).nunique()
    )
    counts = _whole(found)
    said = {
        "odd": mark("Outcomes whose response is neither 0 nor 1, of which those above 0 count as answers: {n:,}."),
        "repeats": mark("Outcomes listed again on the same day, which count once: {n:,}."),
    }
    return tuple(Sentence(text, {"n": counts[key]}, tone="warn") for key, text in said.items() if counts[key])


def _late(typed: ibis.Table, last: date | None) -> ir.BooleanValue:
    if last is None:
        return ibis.literal(False)
    return (typed.date > last).fill_null(False)


def _digest(column: ir.StringValue) -> ir.StringValue:
    """SHA-256 of an address in lower case; of one written out plainly its digest, for it is meant; NULL if neither."""
    bare = column.strip().lower()
    plain = bare.re_search(r"^[^@\s]+@[^@\s]+$")
    whole = bare.re_search("^[0-9a-f]{64}$")
    return ibis.cases((whole, bare), (plain, bare.hexdigest("sha256")), else_=ibis.null("string"))


def _whole(counted: ibis.Table) -> dict[str, int]:
    return {str(c): int(n) for c, n in counted.to_pandas().fillna(0).iloc[0].items()}


def never_lost(tables: Tables, bad: pd.DataFrame) -> Tables:
    """Let lines of consents and suppression that are no rows count against contact of the customers they name.

    Such a line may have been a refusal. Whoever's id stands in it as a whole field, and could otherwise be contacted,
    gets a refusal without date and channel, or is suppressed.

    Parameters
    ----------
    tables
        The kept rows of all tables.
    bad
        Rows set aside: table, customer_id (empty where the line could not be taken apart), text.
    """
    added = dict(tables)
    for name in ("consents", "suppression"):
        lines = bad.loc[(bad["table"] == name) & (bad["customer_id"] == ""), "text"]
        fields = {f.strip(f"{BLANKS}\0\"'") for line in lines for f in re.split(r"[,;|\t\r\n]", str(line))} - {""}
        if not fields or name not in tables:
            continue
        ids = [t.select("customer_id") for n, t in tables.items() if n in KNOWN]
        if ids and "customer_id" in tables[name].columns:
            known = ibis.union(*ids, distinct=True) if len(ids) > 1 else ids[0].distinct()
            named = known.filter(known.customer_id.isin(sorted(fields)))
            added[name] = ibis.union(added[name], _doubt(tables[name], named))
        digests = sorted(f.lower() for f in fields if re.fullmatch("[0-9a-fA-F]{64}", f))
        if digests and "email_sha256" in tables[name].columns:
            named = ibis.memtable(pd.DataFrame({"email_sha256": digests}))
            added[name] = ibis.union(added[name], _doubt(tables[name], named))
    return added


def _doubt(table: ibis.Table, named: ibis.Table) -> ibis.Table:
    """Rows like those of `table`, empty but for whom they name, and a state that is no permission."""
    given = {column: named[column] for column in named.columns} | {"state": ibis.literal(UNREADABLE)}
    kinds = table.schema().items()
    return named.select(**{c: given[c].cast(kind) if c in given else ibis.null(kind) for c, kind in kinds})


def across(tables: Tables) -> tuple[Sentence, ...]:
    """Say of which customers one table knows and the others do not; fewer than five are not counted."""
    if "transactions" not in tables:
        return ()
    bought = tables["transactions"].select("customer_id").distinct()
    known, notes = bought, []
    if "customers" in tables:
        listed = tables["customers"].select("customer_id")
        notes += _strangers(bought, listed, "transactions", "customers")
        known = ibis.union(bought, listed, distinct=True)
    for name in sorted(set(tables) - {"transactions", "customers"}):
        if "customer_id" in tables[name].columns:
            ids = tables[name].select("customer_id").filter(lambda t: t.customer_id.notnull()).distinct()
            notes += _strangers(ids, known, name, "customers" if "customers" in tables else "transactions")
    if {"outcomes", "contacts"} <= set(tables):
        unknown = tables["outcomes"].anti_join(tables["contacts"], "campaign_id").count().to_pyarrow().as_py()
        if unknown:
            text = "Outcomes of campaigns that contacts do not know, which no cycle reads: {n:,}."
            notes.append(Sentence(text, {"n": unknown}, tone="warn"))
        if early := _early(tables["outcomes"], tables["contacts"]):
            text = "Outcomes dated before the campaign contacted their customer: {n:,}."
            notes.append(Sentence(text, {"n": early}, tone="warn"))
    return tuple(notes)


def _early(outcomes: ibis.Table, contacts: ibis.Table) -> int:
    """Outcomes dated before the first contact of their customer by their campaign."""
    keys = ["customer_id", "campaign_id"]
    first = contacts.group_by(keys).agg(first=lambda t: t.sent_at.min())
    return int(outcomes.inner_join(first, keys).filter(lambda t: t.date < t.first).count().to_pyarrow().as_py())


def _strangers(ids: ibis.Table, known: ibis.Table, here: str, there: str) -> list[Sentence]:
    count = int(ids.anti_join(known, "customer_id").count().to_pyarrow().as_py())
    if count == 0:
        return []
    text = (
        "Customers of {here} who are not in {there}: {n:,}."
        if count >= FEWEST
        else "Fewer than {n} customers of {here} are not in {there}."
    )
    return [Sentence(text, {"here": here, "there": there, "n": max(count, FEWEST)}, tone="warn")]
