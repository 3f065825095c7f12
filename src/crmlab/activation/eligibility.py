"""Who may be contacted, and why the others may not: suppression, consent, contact caps, the study's own limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import ClassVar, Literal

import ibis
import pandas as pd
from pydantic import Field, model_validator

from crmlab.activation.permission import consented, suppressed, suppressed_digests
from crmlab.contract import Basis, Fault, Params, Refused, Result, Sentence, mark

REPLAY = mark("replay of history: descriptive")

ELIGIBLE = mark("eligible")
SUPPRESSED = mark("suppressed")
NO_CONSENT = mark("no consent")
CAPPED = mark("contacted too often")
EXCLUDED = mark("segment excluded")
FEW_ORDERS = mark("too few orders")
INACTIVE = mark("no recent order")
REASONS = (SUPPRESSED, NO_CONSENT, CAPPED, EXCLUDED, FEW_ORDERS, INACTIVE)
"""In the order in which they are asked: the first that holds is the reason given."""


class EligibilityParams(Params):
    """Who may be contacted."""

    channel: str = Field("email", min_length=1)
    """Channel of the contact, whose consent is asked."""
    cap: int | None = Field(None, ge=1)
    """Contacts a customer may have had, at most, within `cap_weeks` (this one included). None: no cap."""
    cap_weeks: int = Field(8, ge=1)
    """Weeks over which contacts are counted, the weeks up to `as_of`."""
    min_orders: int = Field(0, ge=0)
    """Orders a customer must have placed."""
    active_within_days: int | None = Field(None, ge=1)
    """Days up to `as_of` within which the last order must lie. None: no limit."""
    exclude_segments: tuple[str, ...] = ()
    """Ids of segments not to be contacted."""

    @model_validator(mode="after")
    def _named_once(self) -> "EligibilityParams":
        if len(set(self.exclude_segments)) < len(self.exclude_segments):
            raise ValueError("exclude_segments names a segment twice")
        return self


@dataclass(frozen=True)
class Eligibility(Result):
    """table: customer_id, eligible (bool), reason (word; ``eligible`` or the first reason that holds)."""

    table: pd.DataFrame
    basis: Basis
    consent: str = "recorded"
    consents_known: bool = True
    by_digest: int = 0
    reasons: pd.DataFrame = field(default_factory=pd.DataFrame)

    title = "Who may be contacted"
    note = "Reasons are asked in the order shown, and each customer is counted once, at the first that holds."
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "reason": ("Eligible, or why not", "word"),
        "customers": ("Customers", ",.0f"),
        "share": ("Share", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """Customers by reason."""
        return self.reasons

    def sentences(self) -> list[Sentence]:
        """How many may be contacted, what mostly stands in the way, and what consent rests on."""
        said = []
        total, eligible = len(self.table), int(self.table["eligible"].sum())
        barred = self.reasons[self.reasons["reason"] != ELIGIBLE]
        if total and eligible == total:
            said.append(Sentence("Every customer may be contacted ({n:,}).", {"n": total}))
        elif eligible == 0:
            said.append(Sentence("Nobody may be contacted: there is no list.", tone="bad"))
        else:
            main = barred.sort_values(["customers", "reason"], ascending=[False, True]).iloc[0]
            values = {"n": eligible, "total": total, "share": eligible / total, "reason": Sentence(str(main["reason"]))}
            said.append(
                Sentence(
                    "{n:,} of {total:,} customers ({share:.0%}) may be contacted; most of the others: {reason}.", values
                )
            )
        if self.consent == "assumed":
            said.append(
                Sentence(
                    "Consent is assumed, not recorded, because this study replays history: the list cannot be "
                    "exported.",
                    tone="warn",
                )
            )
        elif not self.consents_known:
            said.append(
                Sentence(
                    "Nobody's consent is on record for this channel, and unknown consent is no consent.", tone="bad"
                )
            )
        if self.by_digest:
            said.append(
                Sentence(
                    "The suppression list names e-mail addresses by digest: these are applied when a list is exported, "
                    "not here.",
                    tone="warn",
                )
            )
        return said


def eligibility(
    customer_ids: Iterable[str],
    *,
    contacts: ibis.Table | None,
    consents: ibis.Table | None,
    suppression: ibis.Table | None,
    as_of: date,
    mode: Literal["live", "replay"],
    consent: Literal["recorded", "assumed"],
    params: EligibilityParams,
    orders: ibis.Table | None = None,
    membership: pd.Series | None = None,
) -> Eligibility:
    """Who may be contacted after `as_of`, and the first reason why not.

    Suppression beats everything. In the channel, the latest dated consent wins, on the same day the refusal wins, and
    unknown consent is no consent (`crmlab.activation.permission`). Arm ``control`` is no contact and counts towards no
    cap.

    Parameters
    ----------
    customer_ids
        All customers of the base, text; each is answered once.
    contacts, consents, suppression
        Canonical tables, or None where the study has none. Rows dated after `as_of` are not seen; rows of consents
        and suppression without a date are.
    as_of
        Last day that may be seen.
    mode, consent
        ``assumed`` consent is for ``replay`` alone.
    orders
        One row an order (`crmlab.base.orders`); needed for `min_orders` and `active_within_days`.
    membership
        Segment id of each customer, index customer_id; needed for `exclude_segments`.

    Raises
    ------
    Refused
        Consent assumed outside replay, or a parameter that needs a table that is not there.
    """
    _refuse_what_cannot_be(mode, consent, params, orders, membership)
    ids = pd.Index(sorted(set(customer_ids)), dtype="str", name="customer_id")
    bars = dict.fromkeys(REASONS, pd.Index([], dtype="str"))
    by_digest = 0
    if suppression is not None:
        listed = _seen(suppression, as_of)
        bars[SUPPRESSED], by_digest = suppressed(listed), len(suppressed_digests(listed))
    consenting = pd.Index([], dtype="str")
    if consent == "recorded":
        if consents is not None:
            consenting = consented(_seen(consents, as_of), params.channel, as_of)
        bars[NO_CONSENT] = ids.difference(consenting)
    if params.cap is not None and contacts is not None:
        recent = contacts_since(contacts, as_of - timedelta(weeks=params.cap_weeks), as_of)
        bars[CAPPED] = recent.index[recent >= params.cap]
    if params.exclude_segments and membership is not None:
        bars[EXCLUDED] = membership.index[membership.isin(params.exclude_segments)]
    if orders is not None and (params.min_orders > 0 or params.active_within_days is not None):
        past = order_history(orders, as_of).reindex(ids)
        bars[FEW_ORDERS] = ids[(past["orders"].fillna(0) < params.min_orders).to_numpy()]
        if params.active_within_days is not None:
            first = pd.Timestamp(as_of - timedelta(days=params.active_within_days))
            bars[INACTIVE] = ids[~(past["last"] > first).to_numpy()]
    reason = pd.Series(ELIGIBLE, index=ids, name="reason", dtype="str")
    for word in reversed(REASONS):
        reason[ids.isin(bars[word])] = word
    table = pd.DataFrame(
        {"customer_id": ids, "eligible": (reason == ELIGIBLE).to_numpy(), "reason": reason.to_numpy()}
    ).astype({"customer_id": "str", "eligible": "bool", "reason": "str"})
    return Eligibility(
        table=table,
        basis=Basis(len(ids), mark("customers"), end=as_of, start=as_of, design=REPLAY if mode == "replay" else ""),
        consent=consent,
        consents_known=len(consenting) > 0,
        by_digest=by_digest,
        reasons=_counted(reason),
    )


def _seen(table: ibis.Table, as_of: date) -> ibis.Table:
    if "date" not in table.columns:
        return table
    return table.filter(table.date.isnull() | (table.date <= as_of))


def contacts_since(contacts: ibis.Table, after: date, through: date) -> pd.Series:
    """Contacts of each customer on days in (after, through], those withheld not counted; int64, by customer_id."""
    sent = contacts["sent_at"].cast("date")
    arm = contacts["arm"].cast("string").fill_null("")
    rows = contacts.filter(sent > after, sent <= through, arm != "control")
    rows = rows.select("customer_id", "campaign_id", day=rows["sent_at"].cast("date")).distinct()
    counts = rows.group_by("customer_id").aggregate(contacts=rows.count()).order_by("customer_id").execute()
    return pd.Series(
        counts["contacts"].to_numpy("int64"), index=pd.Index(counts["customer_id"], dtype="str"), name="contacts"
    )


def order_history(orders: ibis.Table, as_of: date) -> pd.DataFrame:
    """Orders and day of the last one, by customer_id, through `as_of`."""
    rows = orders.filter(orders["date"].cast("date") <= as_of)
    past = rows.group_by("customer_id").aggregate(orders=rows.count(), last=rows["date"].cast("date").max())
    past = past.order_by("customer_id").execute().set_index("customer_id")
    return past.assign(last=pd.to_datetime(past["last"]))


def _refuse_what_cannot_be(mode, consent, params, orders, membership) -> None:
    faults = []
    if consent == "assumed" and mode != "replay":
        faults.append(Fault("consent", "assumed is for mode: replay alone; record consents, or replay history"))
    if orders is None and (params.min_orders > 0 or params.active_within_days is not None):
        faults.append(Fault("eligibility", "min_orders and active_within_days need the orders, and none were given"))
    if membership is None and params.exclude_segments:
        faults.append(Fault("eligibility.exclude_segments", "no segments were given"))
    elif params.exclude_segments:
        known = sorted(set(membership.dropna()))
        faults += [
            Fault(
                "eligibility.exclude_segments",
                f"no segment '{s}' (one that was split is named by its parts); there are {', '.join(known)}",
            )
            for s in params.exclude_segments
            if s not in known
        ]
    if faults:
        raise Refused("eligibility", faults)


def _counted(reason: pd.Series) -> pd.DataFrame:
    counts = reason.value_counts().reindex([ELIGIBLE, *REASONS], fill_value=0)
    counts = counts[(counts > 0) | (counts.index == ELIGIBLE)]
    share = counts / max(len(reason), 1)
    return pd.DataFrame(
        {"reason": counts.index.astype("str"), "customers": counts.to_numpy("int64"), "share": share.to_numpy()}
    )
