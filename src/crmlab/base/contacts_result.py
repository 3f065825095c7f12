"""Campaigns read, by arm: the table, and what is said of it."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from crmlab.base.windows import CONTROL
from crmlab.contract import Basis, Result, Sentence


@dataclass(frozen=True)
class Contacts(Result):
    """Campaigns read, by arm.

    table: campaign_id, arm, first_sent, last_sent, last_day (of the last window), customers, responders, rate, low,
    high (90 % Wilson interval), spend (mean a customer), orders (mean a customer).
    """

    table: pd.DataFrame
    basis: Basis
    window_days: int

    title: ClassVar[str] = "Who was contacted, and what they did"
    note: ClassVar[str] = (
        "One row a campaign and arm. The arm control holds customers withheld from contact. Response, spend and orders "
        "are those of the outcome window, which starts on the day of contact."
    )
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "campaign_id": ("Campaign", ""),
        "arm": ("Arm", ""),
        "first_sent": ("First sent", "%Y-%m-%d"),
        "last_day": ("Window ends", "%Y-%m-%d"),
        "customers": ("Customers", ",.0f"),
        "responders": ("Responded", ",.0f"),
        "rate": ("Response rate", ".1%"),
        "low": ("Low (90 %)", ".1%"),
        "high": ("High (90 %)", ".1%"),
        "spend": ("Spend a customer", ",.2f"),
        "orders": ("Orders a customer", ",.2f"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers", "responders")

    def sentences(self) -> list[Sentence]:
        """How many were contacted and withheld, or that nobody was."""
        t = self.table
        if t.empty:
            return [Sentence("No campaign's outcome window has closed yet: there is nothing to read.", tone="warn")]
        withheld = int(t.loc[t.arm == CONTROL, "customers"].sum())
        contacted = int(t.loc[t.arm != CONTROL, "customers"].sum())
        values = {"contacted": contacted, "withheld": withheld, "days": self.window_days}
        if withheld:
            return [
                Sentence(
                    "{contacted:,} contacts were made and {withheld:,} withheld; what each customer did in the "
                    "{days} days from the day of contact counts.",
                    values,
                )
            ]
        return [
            Sentence(
                "{contacted:,} contacts were made and nobody was withheld; what each customer did in the {days} days "
                "from the day of contact counts.",
                values,
            )
        ]
