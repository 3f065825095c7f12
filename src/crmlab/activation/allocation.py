"""The list: whom to contact under a budget, by expected value."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from crmlab.activation.believed import LEVEL, Beliefs
from crmlab.activation.eligibility import REPLAY
from crmlab.activation.plan import Plan
from crmlab.contract import Basis, Fault, GateFailed, Params, Refused, Result, Sentence, mark
from crmlab.trials.assignment import keyed_order

DIGITS = 4
"""Decimals of a value: it is rounded to them before it is ranked, so that equal bytes give equal lists."""

POINTS = 200
"""Points of the cumulative curve."""


class ActivationParams(Params):
    """What may be spent, what a contact costs, and what an order is worth."""

    budget: Decimal = Field(Decimal(500), ge=0, decimal_places=4)
    """Money for contacts in one cycle."""
    cost_per_contact: Decimal = Field(Decimal("0.50"), ge=0, decimal_places=4)
    """Money one contact costs."""
    margin_share: float | None = Field(None, gt=0, le=1)
    """Margin as a share of an order's amount. None: as in the lifetime value."""
    value: Literal["order"] = "order"
    """What a response is worth: the margin of the customer's mean order."""
    min_p_profit: float = Field(0.0, ge=0, le=1)
    """Probability of paying its cost that a contact must have to be on the list."""


def require_value(ltv: Any, failures: Sequence[str | Sentence] = ()) -> pd.DataFrame:
    """The lifetime value's table, one row a customer; without it nobody is chosen.

    Parameters
    ----------
    ltv
        The result of the lifetime value or its table; None, or a result without `order_value`, where its gate failed.
    failures
        Which statistic failed, and how; by default what the result itself says in red.

    Raises
    ------
    GateFailed
        Naming the statistics.
    """
    table = ltv if isinstance(ltv, pd.DataFrame) else getattr(ltv, "table", None)
    if table is not None and {"customer_id", "order_value"} <= set(table.columns):
        return table
    if not failures and isinstance(ltv, Result):
        failures = getattr(ltv, "failures", None) or [s for s in ltv.sentences() if s.tone == "bad"]
    why = "; ".join(str(f).rstrip(".") for f in failures) or "the lifetime value's model did not pass its gate"
    raise GateFailed("activation", f"no list is made without a lifetime value: {why}")


def allocate(
    eligible: pd.DataFrame,
    beliefs: Beliefs,
    ltv: Any,
    membership: pd.Series,
    *,
    as_of: date,
    key: bytes,
    study: str,
    cycle: str,
    params: ActivationParams,
    names: Mapping[str, str] | None = None,
    margin_share: float | None = None,
    mode: Literal["live", "replay"] = "live",
) -> Plan:
    """Rank the eligible by what their contact is expected to bring, and choose down the ranking.

    A contact to customer i of segment s is worth m · r · v_i · e_s − c: margin share m, orders a response r, the
    customer's mean order value v_i, the segment's uplift or response e_s (posterior draws), cost c. Chosen are those
    worth more than nothing, and paying with `min_p_profit`, until the budget is spent. The budget counts everybody
    chosen as if contacted: the control group is drawn inside the list afterwards, and whoever is in it changes nothing
    about who is on the list (so a live cycle spends less than its budget, by the share withheld).

    Parameters
    ----------
    eligible
        customer_id and, optionally, eligible (bool); rows not eligible are dropped.
    beliefs
        What a contact does, by segment.
    ltv
        The lifetime value or its table: customer_id, order_value (money).
    membership
        Segment id, index customer_id.
    key
        The study's secret; ties in value are broken by it.
    names
        Segment id → name. Default: those of `beliefs`.
    margin_share
        What holds where `params.margin_share` is None.

    Raises
    ------
    GateFailed
        No lifetime value.
    Refused
        No margin share.
    """
    value = require_value(ltv).set_index("customer_id")["order_value"].astype("float64")
    margin = params.margin_share if params.margin_share is not None else margin_share
    if margin is None:
        raise Refused("activation", [Fault("activation.margin_share", "missing; add it, or clv.margin_share")])
    ids = eligible.loc[eligible["eligible"], "customer_id"] if "eligible" in eligible else eligible["customer_id"]
    ids = pd.Index(sorted(set(ids)), dtype="str", name="customer_id")
    segment = membership.reindex(ids)
    cost = float(params.cost_per_contact)
    worth = margin * beliefs.orders_per_response * value.reindex(ids).to_numpy()
    scores = _scores(worth, segment, beliefs.draws, cost)
    ranked = _ranked(scores, keyed_order(ids, key, study, cycle, "plan").to_numpy(), params.min_p_profit)
    candidates = int(ranked["candidate"].sum())
    affordable = _affordable(params.budget, params.cost_per_contact, len(ids))
    ranked["chosen"] = ranked["rank"] <= min(candidates, affordable)
    chosen = int(ranked["chosen"].sum())
    table = pd.DataFrame(
        {
            "customer_id": ids,
            "segment": segment.to_numpy(),
            **{c: ranked[c].to_numpy() for c in ("expected_value", "value_low", "value_high", "p_profit")},
            "cost": cost,
            "chosen": ranked["chosen"].to_numpy(),
            "rank": ranked["rank"].to_numpy("int64"),
        }
    ).astype({"customer_id": "str", "segment": "str"})
    spent = params.cost_per_contact * chosen
    labels = dict(names) if names is not None else dict(beliefs.table[["segment", "name"]].itertuples(index=False))
    sums = _sums(table, worth, beliefs.draws)
    return Plan(
        table=table,
        basis=Basis(
            len(ids), mark("eligible customers"), end=as_of, start=as_of, design=REPLAY if mode == "replay" else ""
        ),
        by_segment=_by_segment(table, sums, beliefs.draws, cost, labels),
        curve=_curve(table, worth, beliefs.draws, cost),
        total=_summary(np.einsum("s,sd->d", sums.to_numpy(), beliefs.draws.to_numpy()) - chosen * cost),
        kind=beliefs.kind,
        budget=params.budget,
        spent=spent,
        affordable=affordable,
        worth=candidates,
        unvalued=int(np.isnan(table["expected_value"]).sum()),
        margin_share=margin,
        orders_per_response=beliefs.orders_per_response,
        names=labels,
        baseline={s: float(b) for s, b in beliefs.baseline.items()},
        mode=mode,
    )


def _scores(worth: np.ndarray, segment: pd.Series, draws: pd.DataFrame, cost: float) -> pd.DataFrame:
    """Value of each customer's contact, rounded; nan where the order value or the segment is unknown.

    Linear in the segment's draws, so quantiles are taken once a segment, and P(worth · e > cost) by a search in its
    sorted draws: never customers × draws.
    """
    scores = np.full((len(worth), 4), np.nan)
    for name, e in zip(draws.index, draws.to_numpy(), strict=True):
        mine = (segment == name).to_numpy(dtype=bool) & np.isfinite(worth)
        w = worth[mine]
        low, high = np.quantile(e, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        with np.errstate(divide="ignore"):
            needed = np.where(w > 0, cost / np.where(w > 0, w, 1.0), np.inf)
        pays = 1 - np.searchsorted(np.sort(e), needed, side="right") / len(e)
        scores[mine] = np.column_stack([w * e.mean() - cost, w * low - cost, w * high - cost, pays])
    scores = np.round(scores, DIGITS) + 0.0  # no negative zero
    return pd.DataFrame(scores, columns=["expected_value", "value_low", "value_high", "p_profit"])


def _ranked(scores: pd.DataFrame, tie: np.ndarray, min_p_profit: float) -> pd.DataFrame:
    """Rank 1 … n: candidates for the list first, then the others, by value; ties by the keyed hash."""
    candidate = (scores["expected_value"] > 0) & (scores["p_profit"] >= min_p_profit)
    value = scores["expected_value"].fillna(-np.inf).to_numpy()
    order = np.lexsort((tie, -value, ~candidate.to_numpy()))
    rank = np.empty(len(scores), dtype=np.int64)
    rank[order] = np.arange(1, len(scores) + 1)
    return scores.assign(candidate=candidate, rank=rank)


def _affordable(budget: Decimal, cost: Decimal, most: int) -> int:
    """Contacts the budget pays for, exactly."""
    return most if cost == 0 else min(most, int((budget / cost).to_integral_value(ROUND_FLOOR)))


def _sums(table: pd.DataFrame, worth: np.ndarray, draws: pd.DataFrame) -> pd.Series:
    """Σ m r v_i over those chosen, by segment."""
    chosen = table["chosen"].to_numpy()
    return (
        pd.Series(worth[chosen]).groupby(table.loc[chosen, "segment"].to_numpy()).sum().reindex(draws.index).fillna(0.0)
    )


def _summary(profit: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(profit, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "expected": float(profit.mean()),
        "low": float(low),
        "high": float(high),
        "p_profit": float((profit > 0).mean()),
    }


def _by_segment(
    table: pd.DataFrame, sums: pd.Series, draws: pd.DataFrame, cost: float, names: Mapping[str, str]
) -> pd.DataFrame:
    rows = []
    for segment, mine in table.groupby("segment", sort=True)["chosen"]:
        eligible, chosen = len(mine), int(mine.sum())
        row = {"segment": segment, "name": names.get(segment, segment), "eligible": eligible, "chosen": chosen}
        if chosen:
            row |= _summary(sums[segment] * draws.loc[segment].to_numpy() - chosen * cost)
        else:
            row |= dict.fromkeys(("expected", "low", "high", "p_profit"), np.nan)
        rows.append(row | {"cost": chosen * cost})
    columns = ["segment", "name", "eligible", "chosen", "expected", "low", "high", "cost", "p_profit"]
    return pd.DataFrame(rows, columns=columns).sort_values("segment", ignore_index=True)


def _curve(table: pd.DataFrame, worth: np.ndarray, draws: pd.DataFrame, cost: float) -> pd.DataFrame:
    """Cumulative value down the ranking at `POINTS` places and at the cut: customers, expected, low, high, chosen."""
    valued = np.flatnonzero(np.isfinite(table["expected_value"].to_numpy()))
    order = valued[np.argsort(table["rank"].to_numpy()[valued])]
    cut = int(table["chosen"].sum())
    places = np.unique(np.r_[np.linspace(0, len(order), POINTS).round().astype(int), cut])
    bin_of = np.searchsorted(places, np.arange(len(order)), side="right")
    code = pd.Categorical(table["segment"].to_numpy()[order], categories=list(draws.index)).codes
    added = np.zeros((len(places), len(draws)))
    np.add.at(added, (bin_of, code), worth[order])
    # einsum, not @: its sums do not depend on the number of threads
    profit = np.einsum("ps,sd->pd", added.cumsum(axis=0), draws.to_numpy()) - places[:, None] * cost
    low, high = np.quantile(profit, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return pd.DataFrame(
        {"customers": places, "expected": profit.mean(axis=1), "low": low, "high": high, "chosen": places <= cut}
    )
