"""What is told of the states of customers: how many are in each, who was lost, who was won back."""

from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

import pandas as pd

from crmlab.base.intervals import jeffreys
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

UNKNOWN, PROSPECT, NEW, ACTIVE = mark("not yet known"), mark("prospect"), mark("new"), mark("active")
WON_BACK, AT_RISK, LAPSED = mark("won back"), mark("at risk"), mark("lapsed")
STATES = (UNKNOWN, PROSPECT, NEW, ACTIVE, WON_BACK, AT_RISK, LAPSED)
"""In the order in which a life passes through them."""
ACTIVE_STATES = (NEW, ACTIVE, WON_BACK)
"""Those who have bought not long ago."""


@dataclass(frozen=True)
class LifeCycle(Result):
    """table: state, customers, share, low, high, customers_before, share_before; one row a state.

    Attributes
    ----------
    customers
        customer_id, before, now: the states of everybody who has ordered or is known.
    flows
        before, now, customers, share (of those who were in it before), low, high: the transition matrix.
    history
        day, state, customers: those who have bought, at the end of each month that lies long enough after the first.
    before
        The day with which `as_of` is compared.
    at_risk_days, lapsed_days, given
        The thresholds, and whether the params gave them.
    newcomers
        Whether customers are seen to come: else nobody is new.
    comparable, lapse_seen
        Whether anything was observed by `before`, and for long enough that a lapse could be seen.
    """

    table: pd.DataFrame
    basis: Basis
    customers: pd.DataFrame = field(default_factory=pd.DataFrame)
    flows: pd.DataFrame = field(default_factory=pd.DataFrame)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    before: date | None = None
    at_risk_days: int = 0
    lapsed_days: int = 0
    given: bool = False
    newcomers: bool = True
    comparable: bool = True
    lapse_seen: bool = True

    title: ClassVar[str] = "The life cycle of customers"
    note: ClassVar[str] = (
        "New: first bought not long ago; won back: bought not long ago, after a lapse; active: bought not long ago; at "
        "risk and lapsed: silent for longer. The same two lengths of silence hold for everybody. Intervals of 90 %."
    )
    people: ClassVar[tuple[str, ...]] = ("customers", "customers_before")
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "state": ("state", "word"),
        "customers": ("customers", ",.0f"),
        "share": ("share", ".1%"),
        "low": ("90 % low", ".1%"),
        "high": ("90 % high", ".1%"),
        "customers_before": ("customers before", ",.0f"),
        "share_before": ("share before", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """The states somebody is in, now or before."""
        return self.table[(self.table["customers"] > 0) | (self.table["customers_before"] > 0)]

    def moved(self, before: tuple[str, ...], now: tuple[str, ...]) -> tuple[int, int]:
        """How many who were in one of these states before are in one of those now, and of how many."""
        were = self.flows[self.flows["before"].isin(before)]
        return int(were.loc[were["now"].isin(now), "customers"].sum()), int(were["customers"].sum())

    def sentences(self) -> list[Sentence]:
        """The thresholds; how many are lapsed, were lost and won back; what cannot be told."""
        bought = self.table[self.table["state"] != PROSPECT]
        if not bought["customers"].sum():
            return [Sentence("Nobody has bought yet: all who are known are prospects.", tone="warn")]
        days = {"risk": self.at_risk_days, "lapsed": self.lapsed_days}
        text = "At risk is who has not bought for more than {risk} days, lapsed for more than {lapsed}: as params say."
        if not self.given:
            text = (
                "At risk is who has not bought for more than {risk} days, lapsed for more than {lapsed}: within these, "
                "three quarters and nine tenths of the gaps that end at all have ended, each customer counting once."
            )
        said = [*self._standing(bought), *self._moves()]
        said.append(Sentence(text, days))
        if not self.newcomers:
            text = "Nobody is called new: the data do not show who was there before they begin."
            said.append(Sentence(text, tone="warn"))
        return said

    def _standing(self, bought: pd.DataFrame) -> list[Sentence]:
        """How many of those who have bought did so not long ago, are at risk and lapsed."""
        n = int(bought["customers"].sum())
        count = bought.set_index("state")["customers"]
        values = {"active": count[list(ACTIVE_STATES)].sum() / n, "risk": count[AT_RISK] / n, "gone": count[LAPSED] / n}
        tone = "warn" if values["gone"] > values["active"] else "plain"
        text = (
            "Of those who have bought, {active:.0%} did so not long ago, {risk:.0%} are at risk and {gone:.0%} lapsed."
        )
        return [Sentence(text, {k: float(v) for k, v in values.items()}, tone)]

    def _moves(self) -> list[Sentence]:
        """Who was lost and who came back since `before`."""
        if not self.comparable:
            text = "Nothing was observed by {before}: there is nothing to compare with."
            return [Sentence(text, {"before": self.before})]
        lost, of = self.moved((*ACTIVE_STATES, AT_RISK), (LAPSED,))
        back, lapsed = self.moved((LAPSED,), (*ACTIVE_STATES, AT_RISK))
        said = []
        if of >= FEWEST:
            text = "Since {before} {share:.1%} [{low:.1%}, {high:.1%}] of the customers who had not lapsed did so."
            said.append(Sentence(text, {"before": self.before, **_share(lost, of)}))
        if not self.lapse_seen:
            text = "By {before} too few days were observed for anybody to have lapsed: who was won back is not known."
            return [*said, Sentence(text, {"before": self.before})]
        if lapsed >= FEWEST:
            text = "Of those lapsed then, {share:.1%} [{low:.1%}, {high:.1%}] have bought again."
            said.append(Sentence(text, _share(back, lapsed)))
        came = self.moved((UNKNOWN, PROSPECT), (*ACTIVE_STATES, AT_RISK))[0]
        values = {"gained": came + back, "lost": lost}
        if min(came + back, lost) < FEWEST:
            return said
        if abs(came + back - lost) < 1.645 * (came + back + lost) ** 0.5:
            text = "About as many were lost ({lost:,}) as gained or won back ({gained:,})."
            said.append(Sentence(text, values))
        elif came + back < lost:
            text = "More were lost ({lost:,}) than gained or won back ({gained:,})."
            said.append(Sentence(text, values, "bad"))
        else:
            text = "More were gained or won back ({gained:,}) than lost ({lost:,})."
            said.append(Sentence(text, values, "good"))
        return said


def _share(k: int, n: int) -> dict[str, float]:
    low, high = jeffreys(k, n)
    return {"share": k / n, "low": float(low), "high": float(high)}
