"""One delivery made by the product, as `crmlab export` makes it, from the facts that stand in `bookkeeping.Books`."""

from functools import cache
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa

from benchmarks import bookkeeping
from benchmarks.bookkeeping import CAP, CAP_WEEKS, KEY, Books
from crmlab.activation.eligibility import EligibilityParams
from crmlab.data.raw import hold
from crmlab.delivery.choose import choose
from crmlab.delivery.files import files_of, ledger_of
from crmlab.delivery.today import day_of, earlier_of, erased_of, people_of
from crmlab.stage.inputs import connect
from crmlab.stage.ledger import LEDGER, ROWS, deliver, deliveries, ledger, with_ledger

RULES = EligibilityParams(channel="email", cap=CAP, cap_weeks=CAP_WEEKS)
TEXT, DAY = pa.string(), pa.date32()
SCHEMAS = {
    "consents": {"customer_id": TEXT, "channel": TEXT, "state": TEXT, "date": DAY},
    "suppression": {"customer_id": TEXT, "email_sha256": TEXT, "date": DAY},
    "contacts": {"customer_id": TEXT, "campaign_id": TEXT, "arm": TEXT, "sent_at": DAY},
}
called = cache(bookkeeping.called)
engine = cache(connect)


def delivered(
    folder: Path, books: Books, cycle: str, channel: str, form: str, turn: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Deliver a list, its rows turned: the sender's files, and the reason told of everybody by pseudonym."""
    (as_of, arms), campaign = books.lists[cycle], f"shop-{cycle}"
    names = list(arms)[turn:] + list(arms)[:turn]
    assignment = pd.DataFrame({"customer_id": map(called, names), "arm": map(arms.get, names)}, dtype="str")
    assignment["campaign_id"] = campaign
    identity = pd.DataFrame({"customer_id": sorted(books.emails)}, dtype="str")
    identity["email"], identity["phone"] = (identity["customer_id"].map(c) for c in (books.emails, books.phones))
    people = people_of(identity, pd.Series({n: called(n) for n in books.emails}), channel=channel, form=form, key=KEY)
    sent, past = ledger(folder), [d for d in deliveries(folder) if d.manifest["campaign_id"] == campaign]
    day = day_of(
        _tables(books, sent),
        people,
        sent=sent,
        gone=erased_of(folder, people, KEY),
        channel=channel,
        campaign=campaign,
        params=RULES,
        today=books.today,
        con=engine(),
    )
    same = [d for d in past if d.manifest["channel"] == channel]
    chosen = choose(assignment, people, day, earlier_of(past, same, people))
    texts, rows = files_of(chosen, people, form=form, channel=channel, campaign=campaign)
    cost = pd.Series(0.25, index=assignment["customer_id"])
    gains = ledger_of(chosen, assignment, cost, as_of=as_of, channel=channel, today=books.today)
    manifest = {"campaign_id": campaign, "cycle": cycle, "channel": channel, "delivered_on": str(books.today)}
    deliver(folder, manifest, texts=texts, tables={LEDGER: gains, ROWS: rows})
    return texts, chosen.reasons.set_index("customer_id")["reason"].to_dict()


def _tables(books: Books, sent: pd.DataFrame) -> dict[str, ibis.Table | None]:
    """The facts as canonical tables under pseudonyms, those erased left out, deliveries among the contacts."""
    tables = {}
    for name, kinds in SCHEMAS.items():
        rows = [(r[0] and called(r[0]), *r[1:]) for r in vars(books)[name] if r[0] not in books.erased]
        columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
        arrays = {c: pa.array(cells, kind) for (c, kind), cells in zip(kinds.items(), columns, strict=True)}
        tables[name] = hold(engine(), f"facts_{name}", pa.table(arrays))
    return tables | {"contacts": with_ledger(tables["contacts"], sent, engine())}
