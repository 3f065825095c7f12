"""The files of a delivery: the sender's three, who stands on which row of them, and what the ledger gains."""

from datetime import date, timedelta

import pandas as pd

from crmlab.contract import Fault, Refused
from crmlab.delivery.choose import Chosen
from crmlab.delivery.formats import form_named, problems, written
from crmlab.stage.ledger import ADDS, COLUMNS, LIST, REMOVES
from crmlab.trials.assignment import CONTROL


def files_of(
    chosen: Chosen, people: pd.DataFrame, *, form: str, channel: str, campaign: str
) -> tuple[dict[str, str], pd.DataFrame]:
    """The sender's files, and who stands on which row: file, row (0 below the header), customer_id, address (a mark).

    Whoever is to be removed and has no address in the raw data any more stands in no file.

    Raises
    ------
    Refused
        A file would not be what the sender states.
    """
    named = people[people["usable"]].assign(campaign=campaign)
    texts, places, faults = {}, [], []
    marks = named["mark"].to_dict()
    for name, group in {LIST: chosen.listed, ADDS: chosen.added, REMOVES: chosen.removed}.items():
        there = [customer for customer in group if customer in named.index]
        texts[name] = written(form_named(form), named.loc[there].to_dict("records"), channel)
        faults += [Fault(name, wrong) for wrong in problems(form_named(form), texts[name])]
        places += [(name, row, customer, marks[customer]) for row, customer in enumerate(there)]
    if faults:
        raise Refused(f"export as {form}", faults[:20])
    rows = pd.DataFrame(places, columns=["file", "row", "customer_id", "address"])
    return texts, rows.astype({"file": "str", "row": "int64", "customer_id": "str", "address": "str"})


def ledger_of(
    chosen: Chosen, assignment: pd.DataFrame, cost: pd.Series, *, as_of: date, channel: str, today: date
) -> pd.DataFrame:
    """Who is contacted by this delivery, and who is withheld from it: `crmlab.stage.ledger.COLUMNS`.

    Parameters
    ----------
    assignment
        The published one: customer_id, arm, campaign_id.
    cost
        What a contact of each customer costs, index customer_id.
    as_of
        Last day before the outcome window.
    """
    rows = assignment[assignment["customer_id"].isin([*chosen.added, *chosen.withheld])].sort_values("customer_id")
    paid = rows["customer_id"].map(cost).fillna(0.0).where(rows["arm"] != CONTROL, 0.0)
    days = {"sent_at": pd.Timestamp(as_of + timedelta(days=1)), "delivered_on": pd.Timestamp(today)}
    return rows.assign(channel=channel, cost=paid, **days)[list(COLUMNS)].astype(COLUMNS).reset_index(drop=True)
