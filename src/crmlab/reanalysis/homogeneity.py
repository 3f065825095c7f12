"""Are people of one segment alike in how they respond: one verdict a segment."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crmlab.base.traits import Traits
from crmlab.contract import Basis, Refused, generator, mark
from crmlab.reanalysis.homogeneity_result import Homogeneity
from crmlab.reanalysis.levels import DESIGNS, in_force, period
from crmlab.reanalysis.params import HomogeneityParams
from crmlab.reanalysis.scores import pair_permutation, pair_score, smallest_spread
from crmlab.reanalysis.splits import (
    aligned,
    best_rule,
    candidates,
    customer_scores,
    difference,
    finding_half,
    in_order,
    search,
    sides,
)
from crmlab.reanalysis.spread import matrix, spread
from crmlab.reanalysis.verdicts import (
    HETEROGENEOUS,
    HOMOGENEOUS,
    NOT_IDENTIFIABLE,
    TRACE,
    UNDECIDED,
    benjamini_hochberg,
    verdict,
)
from crmlab.trials.power import mde_split_level

__all__ = [
    "HETEROGENEOUS", "HOMOGENEOUS", "NOT_IDENTIFIABLE", "TRACE", "UNDECIDED", "Homogeneity", "HomogeneityParams",
    "homogeneity",
]  # fmt: skip

REPEATED = mark("repeated contacts")
SPLIT = mark("a split on the other half")
TRAITS = mark("known traits")
NOTHING = mark("nothing")


def homogeneity(
    history: pd.DataFrame,
    current: pd.DataFrame,
    traits: Traits,
    *,
    names: Mapping[str, str],
    outcome: str = "response",
    params: HomogeneityParams | None = None,
    seed: int,
    cycle: str,
    design: str = "observational",
) -> Homogeneity:
    """Ask of each segment whether its people are alike in how they respond.

    The spread of true rates comes from customers contacted more than once, over all campaigns so far. Whether a known
    trait goes with response comes from this cycle's contacts alone, for traits are of before them. Without repeated
    contacts a lower limit of the spread can come from a split found on one half of the customers and measured on the
    other; an upper limit cannot, so nothing is then called homogeneous.

    Parameters
    ----------
    history
        One row a contacted customer × campaign so far: customer_id, campaign_id, sent_at, segment, `outcome` (0/1).
    current
        The same, this cycle's campaigns.
    traits
        Traits of before this cycle's contacts.
    names
        Segment → name.
    outcome
        The column of yes or no that is looked at.
    params
        Tolerance, levels and sizes.
    seed, cycle
        For the permutations and the halves.
    design
        ``observational`` or ``randomised``.

    Returns
    -------
    Homogeneity
    """
    params = params or HomogeneityParams()
    both = pd.concat([history, current])
    if not both[outcome].isin((0, 1)).all():
        raise Refused("homogeneity", [(outcome, "is not an outcome of 0 and 1")])
    rows = [
        _segment(
            s, history[history["segment"] == s], current[current["segment"] == s], traits, outcome, params, seed, cycle
        )
        for s in in_force(both, names)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    table["name"] = [names.get(s, s) for s in table["segment"]]
    table["q_pair"] = benjamini_hochberg(table["p_pair"])
    table["q_traits"] = benjamini_hochberg(table["p_traits"])
    known = history if len(history) else current
    basis = Basis(
        int(known["customer_id"].nunique()), mark("customers contacted"), *period(known), design=DESIGNS[design]
    )
    return Homogeneity(table, basis, params, outcome)


COLUMNS = {
    "segment": "str",
    "name": "str",
    "mde": "float64",
    "customers": "int64",
    "contacts": "int64",
    "campaigns": "int64",
    "rate": "float64",
    "spread": "float64",
    "low": "float64",
    "high": "float64",
    "tolerance": "float64",
    "pair_z": "float64",
    "p_pair": "float64",
    "q_pair": "float64",
    "customers_now": "int64",
    "best_trait": "object",
    "best_missing": "bool",
    "p_traits": "float64",
    "q_traits": "float64",
    "rests_on": "str",
    "verdict": "str",
}


def _segment(
    segment: str,
    history: pd.DataFrame,
    current: pd.DataFrame,
    traits: Traits,
    outcome: str,
    params: HomogeneityParams,
    seed: int,
    cycle: str,
) -> dict[str, object]:
    """One row of the table."""
    known = history if len(history) else current
    row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan) | {
        "segment": segment,
        "name": segment,
        "tolerance": params.tolerance,
        "customers": known["customer_id"].nunique(),
        "contacts": len(known),
        "campaigns": known["campaign_id"].nunique(),
        "rate": known[outcome].mean(),
        "customers_now": current["customer_id"].nunique(),
        "best_trait": None,
        "best_missing": False,
        "rests_on": NOTHING,
    }
    latent = _latent(history, outcome, params, generator(seed, "homogeneity", "pairs", cycle, segment))
    visible = _visible(current, traits, outcome, params, seed, cycle, segment, split=not latent)
    row |= visible | latent
    row["verdict"] = verdict(row["low"], row["high"], params.tolerance, identifiable=bool(latent or visible))
    return row


def _latent(
    history: pd.DataFrame, outcome: str, params: HomogeneityParams, rng: np.random.Generator
) -> dict[str, object]:
    """The spread from repeated contacts; nothing where too few have two contacts or answered."""
    if history.empty:
        return {}
    _, y = matrix(history, outcome)
    repeated = (~np.isnan(y)).sum(axis=1) > 1
    answers = min(np.nansum(y), np.nansum(1 - y))
    if repeated.sum() < params.min_customers or answers < params.min_answers:
        return {}
    found = spread(y, interval=params.interval)
    if np.isnan(found.sd):
        return {}
    return {
        "mde": smallest_spread(y, params.alpha),
        "spread": found.sd,
        "low": found.low,
        "high": found.high,
        "pair_z": pair_score(y).z,
        "p_pair": pair_permutation(y, rng, params.permutations),
        "rests_on": REPEATED,
    }


def _visible(
    current: pd.DataFrame,
    traits: Traits,
    outcome: str,
    params: HomogeneityParams,
    seed: int,
    cycle: str,
    segment: str,
    *,
    split: bool,
) -> dict[str, object]:
    """The test of known traits and, where `split`, the spread across a split measured on the other half."""
    people = customer_scores(current, outcome)
    answers = min(current[outcome].sum(), (1 - current[outcome]).sum())
    if len(people) < params.min_customers or answers < params.min_answers:
        return {}
    table = aligned(traits.table, people.index)
    found = candidates(table, traits.catalogue)
    scores = people["score"].to_numpy(dtype=float)
    contacts = people["contacts"].to_numpy()
    rng = generator(seed, "homogeneity", "traits", cycle, segment)
    result = search(found, scores, contacts, rng, draws=params.permutations)
    if result is None:
        return {}
    best = found.each[in_order(result)[0]]
    mde = mde_split_level(len(scores), float(scores.std()), candidates=len(found.each), alpha=params.alpha) / 2
    row = {"mde": mde, "best_trait": best.trait, "best_missing": best.missing, "p_traits": result.p, "rests_on": TRAITS}
    if split:
        half = finding_half(people.index, params.find_share, seed, cycle)
        rng = generator(seed, "homogeneity", "half", cycle, segment)
        row |= _across(table, traits.catalogue, people, half, params, rng)
    return row


def _across(
    table: pd.DataFrame,
    catalogue: pd.DataFrame,
    people: pd.DataFrame,
    half: NDArray[np.bool_],
    params: HomogeneityParams,
    rng: np.random.Generator,
) -> dict[str, object]:
    """The sd of rates across the best split: √(share(1 − share))·|difference|, found on one half, from the other."""
    scores, contacts = people["score"].to_numpy(dtype=float), people["contacts"].to_numpy()
    found = candidates(table[half], catalogue)
    result = search(found, scores[half], contacts[half], rng, draws=params.permutations)
    if result is None:
        return {}
    best = found.each[in_order(result)[0]]
    rule = best_rule(best, table, scores, half, least=params.min_child, cuts=10)
    if rule is None:
        return {}
    met, rest = sides([rule], table)
    upwards = scores[met & half].mean() > scores[rest & half].mean()
    gap = difference(scores[met & ~half], scores[rest & ~half], interval=params.interval, upwards=upwards)
    share = met.sum() / (met | rest).sum() if (met | rest).any() else 0.0
    sign = 1.0 if upwards else -1.0
    scale = np.sqrt(share * (1 - share)) * np.sqrt((met | rest).mean())
    near = max(sign * (gap.low if upwards else gap.high), 0.0)
    return {"spread": scale * max(sign * gap.value, 0.0), "low": scale * near, "rests_on": SPLIT}
