"""Segmentations held against each other before any campaign, and which to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import ibis
import numpy as np
import pandas as pd

from crmlab.base.orders import orders as orders_of
from crmlab.base.traits import Traits, TraitsParams
from crmlab.base.traits import traits as traits_of
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, mark
from crmlab.contract.result import FEWEST
from crmlab.data.intake import cut
from crmlab.data.schema import nothing
from crmlab.segments.again import remade
from crmlab.segments.candidates import Candidate, JudgingParams, candidates
from crmlab.segments.explained import Explained, explained
from crmlab.segments.future import first_day, future, until, weeks_ahead
from crmlab.segments.judged import SURE, Comparison, verdicts
from crmlab.segments.nodes import Tree
from crmlab.segments.params import SegmentsParams, SegmentsSpec
from crmlab.segments.probabilities import membership_probabilities
from crmlab.segments.stability import Stability, stability
from crmlab.segments.tree import assign

DESIGN = mark("segments made before the weeks withheld, behaviour counted in them")


def compare_segmentations(
    tables: Mapping[str, ibis.Table],
    orders: ibis.Table | None = None,
    *,
    as_of: date,
    traits: Traits,
    window_days: int,
    seed: int,
    in_force: Tree | None = None,
    segments: SegmentsSpec | None = None,
    trait_params: TraitsParams | None = None,
    clv: CLVParams | None = None,
    params: JudgingParams | None = None,
    reachable: pd.Series | None = None,
) -> Comparison:
    """Segmentations by what they explain of later behaviour, whether they come again, and what one can do with them.

    Parameters
    ----------
    tables
        Canonical tables, cut at `as_of`.
    orders
        One row an order, where the caller has them at hand.
    as_of
        Last day that is seen.
    traits
        Traits as of that day.
    window_days
        Days within which a contact is answered.
    seed
        The study's seed.
    in_force
        The tree of this cycle, where there is one.
    segments
        What the study's segments are made of: bands, sizes and tiers of all candidates.
    trait_params
        How traits are computed.
    clv
        How lifetime value is computed.
    params
        What else is compared, and how.
    reachable
        Whether each customer may be contacted, index customer_id; nothing is said of it where not given.
    """
    params, segments = params or JudgingParams(), segments or SegmentsParams()
    tables = {"transactions": nothing("transactions")} | dict(tables)
    orders = orders_of(tables["transactions"]) if orders is None else orders
    weeks = weeks_ahead(first_day(tables), as_of, params.outcome_weeks)
    since, how = until(as_of, weeks), {"seed": seed, "clv": clv}
    outcomes = future(tables, orders, since=since, through=as_of, window_days=window_days if weeks else 0)
    then = _traits_then(tables, orders, since, trait_params, outcomes.index) if weeks and len(outcomes) else None
    every = candidates(segments, params.candidates, in_force=in_force, traits=traits, then=then, **how)
    made = [c for c in every if c.tree is not None]
    told = explained(
        {c.key: assign(c.before, then.table) for c in made if c.before is not None},
        outcomes,
        labels={c.key: c.label for c in made},
        seed=seed,
        basis=Basis(len(outcomes), mark("customers known before the weeks withheld"), since, as_of, DESIGN),
    )
    again = stability(
        made,
        traits,
        then,
        remade=lambda c, t, name: remade(c.tree, c.spec, t, f"{c.key} {name}", scales_stay=True, **how),
        resamples=params.resamples,
        scores=(trait_params or TraitsParams()).scores,
        seed=seed,
    )
    allowed = None if reachable is None else reachable.reindex(traits.table["customer_id"]).fillna(False).astype(float)
    table = pd.DataFrame([_row(c, traits, allowed, told, again) for c in made])
    return Comparison(
        table=table.assign(verdict=verdicts(table, told)),
        basis=Basis(len(traits.table), mark("customers"), end=as_of),
        explained=told,
        stability=again,
        weeks=weeks,
        wanted=params.outcome_weeks,
        left_out=tuple((c.label, c.why) for c in every if c.tree is None),
        learnt=tuple(c.label for c in made if c.learnt_from_answers()),
        reachable=float(allowed.mean()) if allowed is not None and len(allowed) else np.nan,
    )


def _traits_then(
    tables: Mapping[str, ibis.Table],
    orders: ibis.Table,
    since: date,
    params: TraitsParams | None,
    known: pd.Index,
) -> Traits:
    """Traits as of `since`, of those known then: who came later is in the table of customers, but was nobody yet."""
    seen = {name: cut(table, name, since) for name, table in tables.items()}
    none = first_day({"transactions": tables["transactions"]}) is None
    found = traits_of(seen, as_of=since, params=params, orders=orders if none else None)
    table = found.table[found.table["customer_id"].isin(known)].reset_index(drop=True)
    return replace(found, table=table, basis=replace(found.basis, n=len(table)))


def _row(
    c: Candidate, traits: Traits, allowed: pd.Series | None, told: Explained, again: Stability
) -> dict[str, object]:
    """One segmentation's row of the comparison."""
    segments = again.table[again.table["candidate"] == c.key]
    rows = told.table[(told.table["candidate"] == c.key) & (told.table["outcome"] == told.headline_outcome())]
    shares = rows.iloc[0] if len(rows) else pd.Series(np.nan, index=["share", "low", "high"])
    rands = again.agreement.table.set_index("candidate").loc[c.key]
    return {
        "candidate": c.key,
        "label": c.label,
        "in_force": c.in_force,
        "segments": len(segments),
        "smallest": int(segments["customers"].min()) if len(segments) else 0,
        "traits": len(c.traits()),
        "modelled": c.modelled(),
        "sure": _sure(c, traits),
        **_reach(c, traits, allowed, dict(zip(segments["segment"], segments["name"], strict=True))),
        "dissolved": int((segments["state"] == "dissolved").sum()),
        "weakest": segments["jaccard"].min(),
        **rands[["ari", "ari_low", "ari_high"]],
        **shares[["share", "low", "high"]],
    }


def _sure(c: Candidate, traits: Traits) -> float:
    """Share of customers who are in their segment with probability .8 or more; of rules, all."""
    if not len(traits.table):
        return np.nan
    found = membership_probabilities(c.tree, traits.table)
    if found is None or found.empty:
        return np.nan if c.modelled() else 1.0
    return 1 - float((found.groupby("customer_id")["probability"].max() < SURE).sum() / len(traits.table))


def _reach(c: Candidate, traits: Traits, allowed: pd.Series | None, names: Mapping[str, str]) -> dict[str, object]:
    """The segment of at least five customers of which the smallest share may be contacted."""
    if allowed is None or not len(traits.table):
        return {"reach": np.nan, "reach_name": None}
    groups = allowed.groupby(assign(c.tree, traits.table).reindex(allowed.index))
    shares = groups.mean()[groups.size() >= FEWEST]
    if shares.empty:
        return {"reach": np.nan, "reach_name": None}
    least = shares.round(9).idxmin()
    return {"reach": float(shares[least]), "reach_name": names.get(least)}
