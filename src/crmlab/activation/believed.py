"""Beliefs as a result: what a contact is believed to do, by segment, and what that rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd
from pydantic import Field

from crmlab.contract import Basis, Params, Result, Sentence

CONTROL = "control"
LEVEL = 0.90
"""Probability inside every interval of this room."""

UPLIFT = "uplift"
RESPONSE = "response"
PRIOR = "prior"


class PriorResponse(Params):
    """What is believed of the response to a contact where nothing has been seen."""

    mean: float = Field(0.05, gt=0, lt=1)
    """Mean share of those contacted who respond."""
    strength: float = Field(20.0, gt=0)
    """How many customers seen that belief is worth."""


@dataclass(frozen=True)
class Beliefs(Result):
    """What a contact is believed to do, by segment.

    table: segment, name, customers, contacts, responses, control, mean, low, high (probability of responding when
    contacted), uplift, uplift_low, uplift_high, p_positive (nan without a control group). Intervals are 90 %.
    draws: segment × draw, what values rest on: uplift where `kind` is ``uplift``, else probability of responding.
    response: segment × draw, probability of responding when contacted.
    kind: ``uplift``, ``response`` (a response model: nobody was withheld at random) or ``prior``.
    """

    table: pd.DataFrame
    basis: Basis
    draws: pd.DataFrame
    response: pd.DataFrame
    kind: str
    orders_per_response: float
    prior: PriorResponse = field(default_factory=PriorResponse)
    campaigns: int = 0
    campaign_spread: tuple[float, float, float] = (0.0, 0.0, 0.0)
    design_effect: float = 1.0

    title = "What a contact is believed to do"
    note = (
        "Posterior means with 90 % intervals for the next campaign. Small segments borrow from the others; a segment "
        "never contacted is believed to be like the rest."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "name": ("Segment", ""),
        "customers": ("Customers contacted", ",.0f"),
        "contacts": ("Contacts", ",.0f"),
        "responses": ("Responses", ",.0f"),
        "control": ("Control group", ",.0f"),
        "mean": ("Response when contacted", ".1%"),
        "low": ("low (90 %)", ".1%"),
        "high": ("high (90 %)", ".1%"),
        "uplift": ("Uplift", "+.1%"),
        "uplift_low": ("low (90 %)", "+.1%"),
        "uplift_high": ("high (90 %)", "+.1%"),
        "p_positive": ("P(uplift > 0)", ".0%"),
    }
    people = ("customers", "responses", "control")

    @property
    def baseline(self) -> pd.Series:
        """Mean rate without contact by segment; without a control group the rate when contacted."""
        rate = self.response - self.draws if self.kind == UPLIFT else self.response
        return rate.mean(axis=1).clip(0, 1).rename("baseline")

    def shown(self) -> pd.DataFrame:
        """One row a segment; no column of uplift where none is identified."""
        if self.kind == UPLIFT:
            return self.table
        return self.table.drop(columns=["control", "uplift", "uplift_low", "uplift_high", "p_positive"])

    def sentences(self) -> list[Sentence]:
        """What the beliefs rest on, whether they tell segments apart, and what is assumed."""
        said = [self._origin()]
        if self.kind != PRIOR and len(self.table) > 1:
            said.append(self._apart())
        if self.kind != PRIOR and self.campaign_spread[2] > 0:
            said.append(self._between_campaigns())
        if self.kind != PRIOR and self.design_effect > 1.05:
            contacts = int(self.table["contacts"].sum())
            said.append(
                Sentence(
                    "The same customers were contacted repeatedly: {contacts:,} contacts tell as much as {worth:,.0f}.",
                    {"contacts": contacts, "worth": contacts / self.design_effect},
                )
            )
        values = {"orders": self.orders_per_response}
        if self.kind == UPLIFT:
            said.append(
                Sentence("Assumed: each additional response stands for {orders:.2f} additional orders.", values)
            )
        else:
            said.append(
                Sentence(
                    "Assumed: each response stands for {orders:.2f} additional orders, none of which would have come "
                    "anyway.",
                    values,
                    tone="warn",
                )
            )
        return said

    def _origin(self) -> Sentence:
        if self.kind == PRIOR:
            return Sentence(
                "No past contact has been answered for long enough: the response is the declared prior, {mean:.1%} "
                "with the weight of {strength:.0f} customers, the same for every segment.",
                {"mean": self.prior.mean, "strength": self.prior.strength},
                tone="warn",
            )
        if self.kind == RESPONSE:
            return Sentence(
                "This is a response model: nobody was withheld at random, so it says who responds to a contact, not "
                "what the contact adds.",
                tone="warn",
            )
        return Sentence(
            "What a contact adds is known from {control:,} customers withheld at random.",
            {"control": int(self.table["control"].sum())},
            tone="good",
        )

    def _apart(self) -> Sentence:
        means = self.draws.mean(axis=1)
        top, bottom = means.idxmax(), means.idxmin()
        sure = float((self.draws.loc[top] > self.draws.loc[bottom]).mean())
        sure = min(sure, 1 - 1 / self.draws.shape[1])  # draws cannot show certainty
        names = self.table.set_index("segment")["name"]
        values = {"top": names[top], "bottom": names[bottom], "p": sure, "high": means[top], "low": means[bottom]}
        if sure >= 0.95:
            return Sentence(
                "Segments differ: from {low:.1%} ({bottom}) to {high:.1%} ({top}); P(the latter is higher) = {p:.1%}.",
                values,
            )
        return Sentence(
            "Past contacts hardly tell the segments apart: from {low:.1%} ({bottom}) to {high:.1%} ({top}), and P(the "
            "latter is higher) is only {p:.0%}.",
            values,
        )

    def _between_campaigns(self) -> Sentence:
        middle, low, high = self.campaign_spread
        values = {"n": self.campaigns, "sd": middle, "low": low, "high": high}
        if self.campaigns > 1:
            return Sentence(
                "The {n} past campaigns differ, their mix of segments apart, by about {sd:.0%} of the rate (sd; 90 % "
                "interval {low:.0%} to {high:.0%}); the next one may as well, and the intervals allow for it.",
                values,
            )
        return Sentence(
            "One campaign cannot show how much campaigns differ: about {sd:.0%} of the rate is assumed (sd; 90 % "
            "interval {low:.0%} to {high:.0%}).",
            values,
        )
