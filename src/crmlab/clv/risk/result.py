"""Who may be leaving, as a result: each customer's risk over a stated horizon, and whether anybody leaves at all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark

HARDLY_GONE, HARDLY_SILENT = 0.05, 0.10
"""Below both, hardly anyone leaves: share that has left already, and that stays away through the horizon."""

BANDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

LENGTHS = {
    "week": mark("{n:,} weeks"),
    "month": mark("{n:,} months"),
    "quarter": mark("{n:,} quarters"),
    "year": mark("{n:,} years"),
}

Share = tuple[float, float, float]
"""Mean over the posterior, low, high (90 %)."""

Expected = Callable[[np.ndarray], np.ndarray]
"""(customers,) group of each, from 0, −1 for none → (groups, draws): how many of a group are expected to be lost."""


@dataclass(frozen=True, eq=False)
class Risk(Result):
    """The risk that a customer brings nothing more, over a stated horizon.

    Attributes
    ----------
    table
        One row a customer, sorted by customer_id: customer_id; alive, alive_low, alive_high (probability of still being
        a customer now; missing for contracts, whose end is seen); next (hazard: probability of ending at the next
        renewal; missing without contracts); risk, risk_low, risk_high (probability of no purchase within the horizon,
        or of the contract's end). Means over the posterior, with its 90 % interval.
    expected
        How many of any groups of customers are expected to be lost, under each draw.
    lost
        (draws,): how many of all are expected to be lost.
    horizon, unit
        Length of the horizon, in units: week, or the period of the contracts.
    contractual
        Whether these are contracts, whose end is seen.
    silent
        Share expected to be lost within the horizon: of repeat buyers, who can be known to come back, or of contracts.
    gone
        Share of repeat buyers who have left already; of contracts 0.
    """

    table: pd.DataFrame
    basis: Basis
    expected: Expected = field(repr=False)
    lost: np.ndarray = field(repr=False)
    horizon: float
    unit: str
    contractual: bool
    silent: Share
    gone: Share

    title: ClassVar[str] = "Risk of leaving"
    note: ClassVar[str] = (
        "Customers by the probability of buying nothing within the horizon (of contracts: of ending), and how many of "
        "them are expected to be lost, with the 90 % interval of that expectation under the model."
    )
    columns: ClassVar = {
        "band": ("risk", ""),
        "customers": ("customers", ",.0f"),
        "share": ("share", ".1%"),
        "alive": ("mean P(alive)", ".1%"),
        "risk": ("mean risk", ".1%"),
        "expected": ("expected to be lost", ",.1f"),
        "low": ("low (90 %)", ",.1f"),
        "high": ("high (90 %)", ",.1f"),
    }

    def shown(self) -> pd.DataFrame:
        """Five bands of risk, highest first."""
        return self._bands

    @cached_property
    def _bands(self) -> pd.DataFrame:
        risk = self.table["risk"].to_numpy()
        of = len(BANDS) - 2 - np.clip(np.searchsorted(BANDS, risk.round(9), side="right") - 1, 0, len(BANDS) - 2)
        lost = self.expected(of)
        numbers = np.bincount(of, minlength=len(lost))
        low, high = np.quantile(lost, (0.05, 0.95), axis=1)
        kept = np.flatnonzero(numbers)
        table = pd.DataFrame(
            {
                "band": [_band(len(BANDS) - 2 - k) for k in kept],
                "customers": numbers[kept],
                "share": numbers[kept] / max(len(risk), 1),
                "alive": [self.table["alive"].to_numpy()[of == k].mean() for k in kept],
                "risk": [risk[of == k].mean() for k in kept],
                "expected": lost.mean(axis=1)[kept],
                "low": low[kept],
                "high": high[kept],
            },
            columns=[*self.columns],
        )
        return table.drop(columns="alive") if self.contractual else table

    def hardly_anyone(self) -> bool | None:
        """Whether hardly anyone leaves here; None where the intervals do not tell."""
        if self.silent[2] < HARDLY_SILENT and self.gone[2] < HARDLY_GONE:
            return True
        return False if self.silent[1] >= HARDLY_SILENT or self.gone[1] >= HARDLY_GONE else None

    def length(self) -> Sentence:
        """The horizon in words."""
        return Sentence(LENGTHS[self.unit], {"n": self.horizon})

    def sentences(self) -> list[Sentence]:
        """How many are expected to be lost, and whether people leave here at all."""
        if self.table.empty:
            return [Sentence("There is no customer whose risk could be told.", tone="warn")]
        share, low, high = share_of(self.lost, len(self.table))
        values = {"n": len(self.table), "length": self.length(), "share": share, "low": low, "high": high}
        if self.contractual:
            text = (
                "Of {n:,} running contracts, {share:.0%} are expected to end within {length} (90 % interval {low:.0%} "
                "to {high:.0%} under the model)."
            )
            return [Sentence(text, values), *self._whether()]
        text = (
            "Of {n:,} customers, {share:.0%} are expected to buy nothing within {length} (90 % interval {low:.0%} to "
            "{high:.0%} under the model)."
        )
        return [Sentence(text, values), *self._whether()]

    def _whether(self) -> list[Sentence]:
        values = {"silent": self.silent[0], "gone": self.gone[0], "length": self.length()}
        values |= {"low": self.silent[1], "high": self.silent[2]}
        hardly = self.hardly_anyone()
        if self.contractual:
            return [self._contracts(hardly, values)]
        if not self.silent[2] >= 0:
            text = "Nobody has bought again so far: whether anybody leaves is not known."
            return [Sentence(text, tone="warn")]
        if hardly:
            text = (
                "Hardly anyone leaves here: of repeat buyers {gone:.1%} are thought to have left, and {silent:.1%} "
                "(90 % interval {low:.1%} to {high:.1%}) to buy nothing within {length}. A programme against leaving "
                "has hardly anybody to keep; customers differ by how much they buy."
            )
            return [Sentence(text, values, tone="good")]
        if hardly is None:
            text = (
                "Whether hardly anyone leaves here is open: of repeat buyers {gone:.1%} are thought to have left, and "
                "{silent:.1%} (90 % interval {low:.1%} to {high:.1%}) to buy nothing within {length}."
            )
            return [Sentence(text, values)]
        if self.gone[2] < HARDLY_GONE:
            text = (
                "Customers do stay away: {silent:.0%} of repeat buyers (90 % interval {low:.0%} to {high:.0%}) are "
                "expected to buy nothing within {length}. The model takes them to be slow, not gone ({gone:.1%} have "
                "left, it says); between the two it can hardly tell, so go by the risk, not by P(alive)."
            )
            return [Sentence(text, values, tone="warn")]
        text = (
            "Customers do leave here: {gone:.0%} of repeat buyers are thought to have left, and {silent:.0%} (90 % "
            "interval {low:.0%} to {high:.0%}) to buy nothing within {length}."
        )
        return [Sentence(text, values)]

    def _contracts(self, hardly: bool | None, values: dict) -> Sentence:
        if hardly:
            text = (
                "Hardly anyone leaves here: a programme against leaving would pay most of its cost for contracts that "
                "stay anyway."
            )
            return Sentence(text, values, tone="good")
        if hardly is None:
            return Sentence("Whether hardly anyone leaves here is open: the interval does not tell.", values)
        return Sentence("Contracts do end here: who is likely to leave is worth knowing.", values)


def share_of(draws: np.ndarray, number: int) -> Share:
    """Mean and 90 % interval of a number's draws, as shares of `number`; not numbers where that is 0."""
    if not number:
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(draws, (0.05, 0.95)) / number
    return float(draws.mean() / number), float(low), float(high)


def _band(place: int) -> str:
    return f"{BANDS[place]:.0%}–{BANDS[place + 1]:.0%}".replace("%–", "–").replace("%", " %")
