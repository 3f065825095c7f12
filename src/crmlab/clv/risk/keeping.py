"""Who is at risk and worth keeping: customers by what they are worth if they stay, and by their risk."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.contracts.value import ContractValue
from crmlab.clv.risk.reliability import tied_groups
from crmlab.clv.risk.result import Risk
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

WORTHS = (mark("high"), mark("middle"), mark("low"))
"""Thirds of the customers by worth; customers of one worth are in one of them."""

BANDS = (0.0, 1 / 3, 2 / 3, 1.0)
COLUMNS = ("worth", "band", "from_risk", "to_risk", "customers", "risk", "if_stays", "total", "share", "clv")


@dataclass(frozen=True, eq=False)
class WorthKeeping(Result):
    """Customers by worth and risk.

    Attributes
    ----------
    table
        worth (high, middle, low: thirds of the customers), band, from_risk, to_risk (risk, joined until a cell holds
        five), customers, risk (mean), if_stays (mean worth, were the customer known to stay), total (of the same),
        share (of all customers' total), clv (total expected as things stand).
    chosen
        customer_id of those of high worth whose risk is above two thirds.
    length
        The horizon of the risk, in words.
    """

    table: pd.DataFrame
    basis: Basis
    chosen: pd.Series
    length: Sentence

    title: ClassVar[str] = "At risk and worth keeping"
    note: ClassVar[str] = (
        "Thirds of the customers by what they would be worth if they were known to be still there (of contracts: to "
        "renew next), and by their risk; bands of risk are joined where fewer than five customers would be in one."
    )
    columns: ClassVar = {
        "worth": ("worth if they stay", "word"),
        "band": ("risk", ""),
        "customers": ("customers", ",.0f"),
        "risk": ("mean risk", ".1%"),
        "if_stays": ("mean worth if they stay", ",.2f"),
        "total": ("total worth if they stay", ",.0f"),
        "share": ("share of that", ".1%"),
        "clv": ("total CLV as it is", ",.0f"),
    }

    def sentences(self) -> list[Sentence]:
        """How many are worth keeping and at risk, what they would be worth, and whether it is worth a programme."""
        if self.table.empty:
            return [Sentence("Too few customers to say who is at risk and worth keeping.", tone="warn")]
        n, whole = len(self.chosen), int(self.table["customers"].sum())
        values = {"n": n, "length": self.length, "people": n / whole}
        if n < FEWEST:
            text = (
                "Hardly anybody is both worth keeping and at risk: fewer than five customers of the third worth most "
                "if they stay have a risk above two thirds within {length}."
            )
            return [Sentence(text, values, tone="good")]
        cell = self.table[(self.table["worth"] == WORTHS[0]) & (self.table["to_risk"] == 1)].iloc[0]
        if cell["customers"] != n:
            return [Sentence("Too few customers to tell those at risk from the others worth keeping.", tone="warn")]
        values |= {"total": cell["total"], "clv": cell["clv"], "share": cell["share"]}
        text = (
            "{n:,} customers ({people:.1%}) are worth keeping and at risk: they belong to the third worth most if they "
            "stay, and their risk within {length} is above two thirds. If they stayed they would be worth {total:,.0f} "
            "({share:.1%} of what all would); as things stand {clv:,.0f} is expected of them."
        )
        return [Sentence(text, values, tone="warn")]


def worth_keeping(risk: Risk | NoValue, value: LifetimeValue | ContractValue | NoValue) -> WorthKeeping | NoValue:
    """Put customers' risk and worth side by side; without one of them, the reason why.

    Parameters
    ----------
    risk
        Customers' or contracts' risk.
    value
        Value of the same customers or contracts.
    """
    for given in (risk, value):
        if isinstance(given, NoValue):
            return given.again()
    by = ["customer_id", "periods"] if risk.contractual else ["customer_id"]
    table = risk.table.sort_values(by, kind="stable", ignore_index=True)
    worth = value.table.sort_values(by, kind="stable", ignore_index=True)
    if not table[by].equals(worth[by]):
        raise ValueError("risk and value are not those of the same customers")
    stays = (1 - table["next"]) if risk.contractual else worth["p_alive"]
    people = table.assign(clv=worth["clv"], if_stays=worth["clv"] / np.maximum(stays, 1e-12))
    basis = Basis(len(people), risk.basis.what, risk.basis.start, risk.basis.end, risk.basis.design)
    if len(people) < FEWEST:
        return WorthKeeping(pd.DataFrame(columns=[*COLUMNS]), basis, people["customer_id"][:0], risk.length())
    third = tied_groups(people["if_stays"].to_numpy(), len(WORTHS))
    place = np.clip(np.searchsorted(BANDS, people["risk"].round(9), side="right") - 1, 0, len(BANDS) - 2)
    chosen = people["customer_id"][(third == 0) & (place == len(BANDS) - 2)].reset_index(drop=True)
    whole = max(float(people["if_stays"].sum()), 1e-300)
    cells = [
        _cell(people[where], whole) | {"worth": WORTHS[one], "from_risk": BANDS[low], "to_risk": BANDS[high + 1]}
        for one in range(third.max() + 1)
        for low, high in joined(np.bincount(place[third == one], minlength=len(BANDS) - 1))
        if (where := (third == one) & (low <= place) & (place <= high)).any()
    ]
    found = pd.DataFrame(cells).assign(
        band=lambda t: [_band(*ends) for ends in zip(t.from_risk, t.to_risk, strict=True)]
    )
    return WorthKeeping(found[[*COLUMNS]], basis, chosen, risk.length())


def joined(numbers: np.ndarray) -> list[tuple[int, int]]:
    """Neighbouring bands, first and last of each: joined until a band holds nobody or `FEWEST` at least.

    From the highest risk downwards; what is left over joins the band above it.
    """
    found: list[tuple[int, int]] = []
    high, filled = len(numbers) - 1, 0
    for place in range(len(numbers) - 1, -1, -1):
        filled += int(numbers[place])
        if filled >= FEWEST or not filled:
            found.append((place, high))
            high, filled = place - 1, 0
    while 0 < filled < FEWEST and found:
        _, high = found.pop()
        filled = int(numbers[: high + 1].sum())
    return [*found, (0, high)] if filled else found


def _cell(part: pd.DataFrame, whole: float) -> dict:
    total = float(part["if_stays"].sum())
    return {
        "customers": len(part),
        "risk": float(part["risk"].mean()),
        "if_stays": total / len(part),
        "total": total,
        "share": total / whole,
        "clv": float(part["clv"].sum()),
    }


def _band(low: float, high: float) -> str:
    return f"{100 * low:.0f}–{100 * high:.0f} %"
