"""What contact added: contacted minus control, by segment, and whether segments differ in it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crmlab.base.responses import CONTROL
from crmlab.contract import Basis, Refused, mark
from crmlab.reanalysis.effects_result import ALL, BETWEEN, PHRASES, Differing, Effects, amount
from crmlab.reanalysis.levels import period
from crmlab.reanalysis.meta import synthesis
from crmlab.reanalysis.params import EffectParams
from crmlab.reanalysis.uplift import Difference, difference

__all__ = [
    "ALL", "OBSERVATIONAL", "PHRASES", "RANDOMISED", "Differing", "EffectParams", "Effects", "amount", "effects",
    "placed", "rests_on",
]  # fmt: skip

RANDOMISED, OBSERVATIONAL = "randomised", "observational"

COLUMNS = (
    "outcome", "segment", "name", "treated", "control", "treated_mean", "control_mean", "uplift", "se", "low", "high",
    "p", "mde",
)  # fmt: skip


def effects(
    responses: pd.DataFrame,
    membership: pd.Series | None = None,
    *,
    names: Mapping[str, str],
    design: str,
    params: EffectParams,
) -> Effects:
    """Uplift of contacted over control customers, by segment and overall.

    Compared within campaigns (and, overall, within segments), because shares withheld may differ between them; each
    weighs as many customers as it has. Without random withholding nothing is identified and no uplift is computed.

    Parameters
    ----------
    responses
        What `base.responses` returned: one row a customer × campaign; a column ``segment`` where `membership` is None.
    membership
        Segment of each customer, index customer_id, fixed before the contact.
    names
        Segment → name.
    design
        ``randomised`` or ``observational``: how customers came to be contacted.
    params
        Arm, outcomes, intervals.
    """
    rows = placed(responses, membership)
    unplaced = len(responses) - len(rows)
    outcomes = [o for o in params.outcomes if o in rows]
    if design != RANDOMISED or not (rows["arm"] == CONTROL).any() or not (rows["arm"] != CONTROL).any():
        basis = rests_on(rows[rows["arm"] != CONTROL], OBSERVATIONAL)
        nothing = pd.DataFrame(columns=list(COLUMNS))
        between = Differing(pd.DataFrame(columns=list(BETWEEN)), basis, params)
        described = _described(rows[rows["arm"] != CONTROL], names)
        arms = nothing.assign(arm=[])
        return Effects(nothing, basis, params, arms, between, False, described, unplaced)
    contacted = sorted(set(rows["arm"]) - {CONTROL})
    if params.arm is not None and params.arm not in contacted:
        raise Refused("effects.arm", f"no arm {params.arm!r} in these contacts; there are {', '.join(contacted)}")
    basis = rests_on(rows, design)
    compared = rows if params.arm is None else rows[rows["arm"].isin([params.arm, CONTROL])]
    ids = sorted(compared["segment"].unique())
    table, left_out = [], 0
    for outcome in outcomes:
        for segment in ids:
            part = compared[compared["segment"] == segment]
            table.append(_row(outcome, segment, names.get(segment, segment), _compare(part, outcome, params)))
        overall = _compare(compared, outcome, params)
        left_out = overall.left_out
        table.append(_row(outcome, ALL, mark("All customers"), overall))
    arms = [
        {"arm": arm} | _row(outcome, ALL, arm, _compare(rows[rows["arm"].isin([arm, CONTROL])], outcome, params))
        for arm in contacted
        for outcome in outcomes
    ]
    frame = pd.DataFrame(table, columns=list(COLUMNS))
    between = Differing(_between(frame, params), basis, params)
    return Effects(frame, basis, params, pd.DataFrame(arms), between, True, frame.iloc[:0], unplaced, left_out)


def placed(responses: pd.DataFrame, membership: pd.Series | None) -> pd.DataFrame:
    """Rows of customers who have a segment, with it as column ``segment``, sorted by campaign and customer."""
    rows = responses if membership is None else responses.assign(segment=responses["customer_id"].map(membership))
    rows = rows[rows["segment"].notna()].astype({"segment": "str"})
    return rows.sort_values(["campaign_id", "customer_id"], kind="stable").reset_index(drop=True)


def _compare(rows: pd.DataFrame, outcome: str, params: EffectParams) -> Difference:
    return difference(
        rows[outcome].to_numpy(float),
        (rows["arm"] != CONTROL).to_numpy(),
        stratum=(rows["campaign_id"] + "\x1f" + rows["segment"]).to_numpy(),
        customer=rows["customer_id"].to_numpy(),
        level=params.interval,
        alpha=params.alpha,
        power=params.power,
    )


def _row(outcome: str, segment: str, name: str, d: Difference) -> dict[str, Any]:
    return {"outcome": outcome, "segment": segment, "name": name} | {c: getattr(d, c) for c in COLUMNS[3:]}


def _between(table: pd.DataFrame, params: EffectParams) -> pd.DataFrame:
    """Synthesis of the segments' uplifts, one row an outcome with at least two usable segments."""
    enough = (table["treated"] >= params.fewest) & (table["control"] >= params.fewest) & (table["se"] > 0)
    rows = []
    for outcome, part in table[enough & (table["segment"] != ALL)].groupby("outcome", sort=False):
        if len(part) < 2:
            continue
        s = synthesis(part["uplift"].to_numpy(), part["se"].to_numpy() ** 2, level=params.interval)
        tau_low, tau_high = np.sqrt([s.tau2_low, s.tau2_high])
        spread = (s.k, s.q, s.k - 1, s.p, s.i2, s.tau, tau_low, tau_high)
        rows.append((outcome, *spread, s.mu, s.low, s.high, s.predicted_low, s.predicted_high))
    return pd.DataFrame(rows, columns=list(BETWEEN))


def _described(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Responses of the contacted by segment: no uplift."""
    by = rows.groupby("segment", sort=True)
    out = pd.DataFrame({"treated": by.size(), "treated_mean": by["response"].mean()})
    out.loc[ALL] = [len(rows), rows["response"].mean()]
    out = out.reset_index(names="segment").astype({"treated": "int64"})
    return out.assign(outcome="response", name=[names.get(s, s) for s in out["segment"]])


def rests_on(rows: pd.DataFrame, design: str) -> Basis:
    """The customers of these contacts, first and last day of contact, and how the contacted were chosen."""
    words = mark("withheld at random") if design == RANDOMISED else mark("not contacted at random: descriptive")
    return Basis(int(rows["customer_id"].nunique()), mark("customers"), *period(rows), words)
