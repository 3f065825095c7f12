"""Should a segment be split: found on one random half of its customers, confirmed on the other."""

from typing import Literal

import numpy as np
import pandas as pd

from crmlab.base.traits import Traits
from crmlab.contract import Basis, generator, mark
from crmlab.reanalysis.levels import DESIGNS, period
from crmlab.reanalysis.params import RefinementParams
from crmlab.reanalysis.refinement_result import Refinement
from crmlab.reanalysis.splits import (
    Array,
    Candidate,
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
from crmlab.reanalysis.verdicts import benjamini_hochberg
from crmlab.segments.tree import Condition, Tree, assign, leaves, split
from crmlab.segments.tree import names as tree_names
from crmlab.segments.wording import in_english

DEMOGRAPHICS = "customers"
"""Source of traits that somebody had to ask for: that they are unknown tells of the asking, not of the person."""


def refine(
    tree: Tree,
    current: pd.DataFrame,
    traits: Traits,
    *,
    params: RefinementParams | None = None,
    seed: int,
    cycle: str,
    kind: Literal["level", "effect"] = "level",
    score: pd.Series | None = None,
    outcome: str = "response",
    design: str = "observational",
) -> Refinement:
    """Look for a split of every segment, and adopt the splits that customers who did not choose them confirm.

    On the finding half the trait is chosen by permutation min-p and cut where scores part most; on the other half the
    difference is tested one-sided in the direction found, Benjamini–Hochberg over proposals. A split on a trait of
    customers being unknown is shown as the artefact that it is, beside the best other split, and never adopted.

    Parameters
    ----------
    tree
        The segment tree in force.
    current
        One row a contacted customer × campaign of this cycle: customer_id, campaign_id, sent_at, `outcome`.
    traits
        Traits of before these contacts, of every customer.
    params
        Levels and sizes.
    seed, cycle
        For halves and permutations. A customer's half depends on these and the customer alone.
    kind
        ``level`` splits what people do, ``effect`` what contact does to them.
    score
        Index customer_id: the score to split instead of the outcome, for example a pseudo-outcome of the effect; its
        search flips signs instead of permuting, for such scores vary more for some people than for others.
    outcome
        Column of `current` whose level is split where there is no score.
    design
        ``observational`` or ``randomised``.

    Returns
    -------
    Refinement
    """
    params = params or RefinementParams()
    if score is None:
        people = customer_scores(current, outcome)
    else:
        people = score.dropna().astype(float).sort_index().to_frame("score").assign(contacts=1)
    membership = assign(tree, traits.table)
    people["segment"] = membership.reindex(people.index)
    people["finding"] = finding_half(people.index, params.find_share, seed, cycle)
    called = tree_names(tree)
    rows: list[dict[str, object]] = []
    rules: list[Condition] = []
    looked = 0
    for segment in leaves(tree):
        part = people[people["segment"] == segment]
        table = aligned(traits.table, part.index)
        searched = _proposals(
            part, table, traits.catalogue, params, (seed, kind, cycle, segment), wild=score is not None
        )
        looked += searched is not None
        for candidate, rule, p_find in searched or []:
            row = _tested(candidate, rule, part, table, params)
            rows.append({"segment": segment, "name": called[segment], "p_find": p_find, **row})
            rules.append(rule)
    table = _judged(pd.DataFrame(rows, columns=list(COLUMNS)), params)
    basis = Basis(len(people), mark("customers contacted"), *period(current), design=DESIGNS[design])
    return Refinement(table, basis, _grown(tree, table, rules, traits, kind, cycle), tuple(rules), looked, kind)


COLUMNS = {
    "segment": "str",
    "name": "str",
    "trait": "str",
    "rule": "str",
    "n_find": "int64",
    "p_find": "float64",
    "difference_find": "float64",
    "n_confirm": "int64",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "p": "float64",
    "q": "float64",
    "confirmed": "bool",
    "artefact": "bool",
    "adopted": "bool",
}


def _proposals(
    part: pd.DataFrame,
    table: pd.DataFrame,
    catalogue: pd.DataFrame,
    params: RefinementParams,
    names: tuple[int, str, str, str],
    *,
    wild: bool,
) -> list[tuple[Candidate, Condition, float]] | None:
    """The best split of the finding half, and the best that is an artefact; None where there is nothing to look at."""
    if len(part) < 2 * params.min_child:
        return None
    finding = part["finding"].to_numpy(dtype=bool)
    scores, contacts = part["score"].to_numpy(dtype=float), part["contacts"].to_numpy()
    found = candidates(table[finding], catalogue)
    seed, *others = names
    rng = generator(seed, "refinement", *others)
    result = search(found, scores[finding], contacts[finding], rng, draws=params.permutations, wild=wild)
    if result is None:
        return None
    proposals: dict[bool, tuple[Candidate, Condition, float]] = {}
    for k in in_order(result):
        candidate, p = found.each[k], float(result.adjusted[k])
        if p > params.alpha or is_artefact(candidate) in proposals:
            continue
        rule = best_rule(candidate, table, scores, finding, least=params.min_child, cuts=params.cuts)
        if rule is not None:
            proposals[is_artefact(candidate)] = (candidate, rule, p)
    return list(proposals.values())


def is_artefact(candidate: Candidate) -> bool:
    """Whether a split would be on a covariate of customers being unknown."""
    return candidate.missing and candidate.source == DEMOGRAPHICS


def _tested(
    candidate: Candidate, rule: Condition, part: pd.DataFrame, table: pd.DataFrame, params: RefinementParams
) -> dict[str, object]:
    """What each half says about one rule."""
    scores: Array = part["score"].to_numpy(dtype=float)
    finding = part["finding"].to_numpy(dtype=bool)
    met, rest = sides([rule], table)
    gap = float(scores[met & finding].mean() - scores[rest & finding].mean())
    told = difference(scores[met & ~finding], scores[rest & ~finding], interval=params.interval, upwards=gap > 0)
    return {
        "trait": candidate.trait,
        "rule": english(rule),
        "n_find": int(((met | rest) & finding).sum()),
        "difference_find": gap,
        "n_confirm": told.n,
        "difference": told.value,
        "low": told.low,
        "high": told.high,
        "p": told.p,
        "artefact": is_artefact(candidate),
    }


def english(rule: Condition) -> str:
    """A rule as the published table states it, in English whatever the page's language."""
    return in_english(rule.words)


def _judged(table: pd.DataFrame, params: RefinementParams) -> pd.DataFrame:
    """Adjust p over proposals, artefacts apart, and decide."""
    table["artefact"] = table["artefact"].astype(bool)
    table["q"] = np.nan
    for kind in (True, False):
        rows = table["artefact"] == kind
        table.loc[rows, "q"] = benjamini_hochberg(table.loc[rows, "p"].astype(float))
    table["confirmed"] = table["q"].astype(float) < params.alpha
    table["adopted"] = table["confirmed"] & ~table["artefact"]
    return table.astype(COLUMNS)


def _grown(tree: Tree, table: pd.DataFrame, rules: list[Condition], traits: Traits, kind: str, cycle: str) -> Tree:
    """The tree with the adopted splits, each carrying its evidence; unknown values of the trait get a branch."""
    for row, rule in zip(table.to_dict("records"), rules, strict=True):
        if not row["adopted"]:
            continue
        evidence = {"cycle": cycle, "kind": kind, "n_find": int(row["n_find"]), "n_confirm": int(row["n_confirm"])}
        evidence |= {k: float(f"{row[k]:.6g}") for k in ("p_find", "difference_find", "difference", "low", "high", "q")}
        missing = not rule.missing and bool(traits.table[rule.trait].isna().any())
        tree = split(tree, row["segment"], [rule], missing=missing, evidence=evidence)
    return tree
