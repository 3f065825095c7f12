"""Who of a published assignment is delivered on a day, and why the others are held back. Nobody new is ever chosen.

Whatever holds somebody back holds back contacted and withheld alike, so that what is left of the two arms still differs
by chance alone. What is known of one customer counts for everybody at the same address.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from crmlab.activation.eligibility import CAPPED, NO_CONSENT, SUPPRESSED
from crmlab.trials.assignment import CONTROL

DELIVERED = "delivered"
ERASED = "erased"
NO_ADDRESS = "no usable address"
SHARED = "address shared with somebody who may not be contacted"
TWICE = "same address as another customer"
EARLIER = "delivered earlier in this campaign"
REASONS = (ERASED, SUPPRESSED, NO_CONSENT, NO_ADDRESS, SHARED, TWICE, EARLIER, CAPPED)
"""In the order in which they are asked: the first that holds is the reason given."""


@dataclass(frozen=True)
class Day:
    """What is known on the day of delivery, customers under their pseudonyms.

    consenting: who permits contact in the channel. objecting: who refused it. suppressed, erased: who may not be
    contacted at all. capped: whom other campaigns contacted too often of late.
    """

    consenting: Collection[str]
    objecting: Collection[str] = ()
    suppressed: Collection[str] = ()
    erased: Collection[str] = ()
    capped: Collection[str] = ()


@dataclass(frozen=True)
class Earlier:
    """What earlier deliveries of the campaign did.

    ledger: everybody contacted or withheld by any of them. listed: who stands on the last list of the same channel.
    reached: addresses that were delivered to, whoever has them now.
    """

    ledger: Collection[str] = ()
    listed: Collection[str] = ()
    reached: Collection[str] = ()


@dataclass(frozen=True)
class Chosen:
    """The delivery of a day: who is on the list, who of them is new, who is taken off, who counts as withheld now.

    `reasons` says of everybody on the assignment whether they are delivered or why not: customer_id, arm, reason.
    """

    listed: list[str]
    added: list[str]
    removed: list[str]
    withheld: list[str]
    reasons: pd.DataFrame = field(repr=False)

    def held_back(self) -> dict[str, int]:
        """Reason → how many of those to be contacted it holds back."""
        rows = self.reasons[(self.reasons["arm"] != CONTROL) & (self.reasons["reason"] != DELIVERED)]
        counts = rows["reason"].value_counts()
        return {reason: int(counts[reason]) for reason in REASONS if reason in counts}


def choose(assignment: pd.DataFrame, people: pd.DataFrame, day: Day, earlier: Earlier) -> Chosen:
    """Who is delivered on a day.

    Parameters
    ----------
    assignment
        The published one: customer_id, arm.
    people
        Everybody the raw data know, index customer_id: `place` (the address at which the channel reaches them, ``""``
        where unknown), `usable` (bool: whether the sender's format can name them) and `order` (which of several at
        one address stands for it: the first).
    day, earlier
        What is known on the day, and what was delivered before.

    Returns
    -------
    Chosen
        A customer added once is never added again in the campaign; one who lost permission is removed.
    """
    rows = assignment[["customer_id", "arm"]].drop_duplicates("customer_id").set_index("customer_id").sort_index()
    rows = rows.join(people[["place", "usable", "order"]])
    rows["place"] = rows["place"].fillna("")
    rows["usable"] = rows["usable"].eq(True)
    rows["control"] = rows["arm"] == CONTROL
    place, before, listed = rows["place"], rows.index.isin(earlier.ledger), rows.index.isin(earlier.listed)
    forbidden = _places(people, {*day.suppressed, *day.erased, *day.objecting})
    both = set(place[rows["control"]]) & set(place[~rows["control"]]) - {""}
    reason = pd.Series(DELIVERED, index=rows.index, dtype="object")

    def bar(word: str, who: pd.Series | np.ndarray) -> None:
        reason[(reason == DELIVERED) & who] = word

    bar(ERASED, rows.index.isin(day.erased))
    bar(SUPPRESSED, rows.index.isin(day.suppressed))
    bar(NO_CONSENT, ~rows.index.isin(day.consenting))
    bar(NO_ADDRESS, ~rows["usable"])
    bar(SHARED, place.isin(forbidden | both))
    bar(TWICE, _second(rows[reason == DELIVERED], earlier, rows).reindex(rows.index, fill_value=False))
    bar(EARLIER, before & ~listed & ~rows["control"])
    often = rows.index.isin(day.capped) | place.isin(_places(people, day.capped))
    bar(CAPPED, often & ~before)
    fine = reason == DELIVERED
    now = sorted(rows.index[fine & ~rows["control"]])
    return Chosen(
        listed=now,
        added=sorted(set(now) - set(earlier.listed)),
        removed=sorted(set(earlier.listed) - set(now)),
        withheld=sorted(rows.index[fine & rows["control"] & ~before]),
        reasons=pd.DataFrame({"customer_id": rows.index, "arm": rows["arm"].to_numpy(), "reason": reason.to_numpy()}),
    )


def _places(people: pd.DataFrame, who: Collection[str]) -> set[str]:
    """The addresses of `who`."""
    return set(people.loc[people.index.isin(who), "place"]) - {""}


def _second(free: pd.DataFrame, earlier: Earlier, everybody: pd.DataFrame) -> pd.Series:
    """Of those nothing else holds back, who is not the one who stands for their address: whoever was first."""
    known = free[free["place"] != ""]
    ranked = known.assign(fresh=~known.index.isin(earlier.ledger)).sort_values(["fresh", "order"])
    second = ranked.duplicated(["control", "place"])
    # An address that was delivered to once is not delivered to again under another customer's id.
    taken = _places(everybody[~everybody["control"]], earlier.ledger) | set(earlier.reached)
    return second | (ranked["fresh"] & ranked["place"].isin(taken) & ~ranked["control"])
