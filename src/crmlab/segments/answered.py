"""What was tried on each segment, and how its customers answered against all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from crmlab.base.intervals import jeffreys
from crmlab.base.windows import CONTROL
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

OVERALL = ["segment", "customers", "contacts", "answers", "rate", "expected", "ratio", "low", "high"]


@dataclass(frozen=True)
class Answered(Result):
    """One row a segment, campaign and arm, the latest campaign first.

    Attributes
    ----------
    table
        segment, name, campaign_id, sent (first day), arm, customers, responders, rate, low, high (90 %), base (rate of
        all customers of that campaign and arm).
    overall
        segment, customers, contacts, answers, rate, expected (rate had each contact answered as all of its campaign
        and arm did), ratio, low, high (90 %); those withheld are left out.
    """

    table: pd.DataFrame
    basis: Basis
    overall: pd.DataFrame

    title: ClassVar[str] = "What was tried on each segment"
    note: ClassVar[str] = (
        "In the segment customers were in the day before the contact. The arm control holds customers withheld. "
        "Campaigns differ in whom they reached and what they offered: compare a rate with that of all in its own row."
    )
    people: ClassVar[tuple[str, ...]] = ("customers", "responders")
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "campaign_id": ("Campaign", ""),
        "arm": ("Arm", ""),
        "sent": ("First sent", "%Y-%m-%d"),
        "customers": ("Customers", ",.0f"),
        "responders": ("Answered", ",.0f"),
        "rate": ("Rate", ".1%"),
        "low": ("90 % from", ".1%"),
        "high": ("to", ".1%"),
        "base": ("Rate of all", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """That nothing was tried yet, where it was not."""
        if len(self.table):
            return []
        text = "No campaign is on record whose outcome window has closed: nothing is known of how they answer."
        return [Sentence(text)]


def answered(answers: pd.DataFrame, names: Mapping[str, str], *, design: str = "") -> Answered:
    """Rates by segment, campaign and arm, and each segment's answers over those of all in the same campaigns.

    Parameters
    ----------
    answers
        customer_id, campaign_id, arm, sent_at, response, segment (at the time of contact).
    names
        Segment id → name.
    design
        How customers came to be contacted.
    """
    rows = answers[["customer_id", "campaign_id", "arm", "sent_at", "response", "segment"]].copy()
    rows["response"] = (rows["response"] > 0).astype("int64")
    where = ["campaign_id", "arm"]
    every = rows.groupby(where).agg(all_customers=("response", "size"), all_yes=("response", "sum"))
    first = rows.groupby("campaign_id")["sent_at"].min().rename("sent")
    found = rows.groupby(["segment", *where]).agg(customers=("response", "size"), responders=("response", "sum"))
    table = found.reset_index().join(every, on=where).join(first, on="campaign_id")
    table["rate"] = table["responders"] / table["customers"]
    table["low"], table["high"] = jeffreys(table["responders"], table["customers"])
    table["base"] = table["all_yes"] / table["all_customers"]
    table["name"] = [names.get(s, s) for s in table["segment"]]
    table = table.sort_values(["segment", "sent", "campaign_id", "arm"], ascending=[True, False, True, True])
    columns = ["segment", "name", *where, "sent", "customers", "responders", "rate", "low", "high", "base"]
    start, end = (rows["sent_at"].min().date(), rows["sent_at"].max().date()) if len(rows) else (None, None)
    basis = Basis(int(rows["customer_id"].nunique()), mark("customers contacted or withheld"), start, end, design)
    return Answered(table[columns].reset_index(drop=True), basis, _overall(rows[rows["arm"] != CONTROL]))


def _overall(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers of a segment over those expected from the rates of all in the same campaigns and arms.

    R = Σy / Σp, p the rate of all in the contact's campaign and arm. Linearised, the segment being part of all: a
    contact moves Σy − RΣp by (y − Rp) in the segment and by −R (n_s/n)(y − p) through p; summed by customer, whose
    contacts are alike.
    """
    cell = rows.groupby(["campaign_id", "arm"])["response"]
    p, n = cell.transform("mean").to_numpy(float), cell.transform("size").to_numpy(float)
    y, found = rows["response"].to_numpy(float), []
    for segment in sorted(rows["segment"].unique()):
        here = (rows["segment"] == segment).to_numpy()
        inside = rows.assign(here=here).groupby(["campaign_id", "arm"])["here"].transform("sum").to_numpy(float)
        customers, expected = int(rows.loc[here, "customer_id"].nunique()), p[here].sum()
        ratio = low = high = np.nan
        if expected > 0 and not here.all():
            ratio = y[here].sum() / expected
            moves = np.where(here, y - ratio * p, 0.0) - ratio * inside / n * (y - p)
            by_customer = pd.Series(moves).groupby(rows["customer_id"].to_numpy()).sum().to_numpy()
            se = np.sqrt((by_customer**2).sum() * customers / max(customers - 1, 1)) / expected
            # Few answers: at least the spread of a Poisson count of half an answer more.
            se = max(se, 0.0 if y[here].sum() else np.sqrt(0.5) / expected)
            low, high = max(ratio - norm.isf(0.05) * se, 0.0), ratio + norm.isf(0.05) * se
        said = (segment, customers, int(here.sum()), int(y[here].sum()), y[here].mean(), p[here].mean())
        found.append((*said, ratio, low, high))
    return pd.DataFrame(found, columns=OVERALL)


def latest(table: pd.DataFrame, segment: str, most: int) -> pd.DataFrame:
    """A segment's last campaigns by arm, of at least five customers each."""
    rows = table[(table["segment"] == segment) & (table["customers"] >= FEWEST)]
    return rows.sort_values(["sent", "campaign_id", "arm"], ascending=[False, True, True]).head(most)
