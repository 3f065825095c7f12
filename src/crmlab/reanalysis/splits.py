"""How a split is found and how it is confirmed: candidate traits, cut points, honest halves, differences.

Used for splits of levels (scores are answers) and of effects (scores are pseudo-outcomes) alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from crmlab.contract.seeds import integer_seed
from crmlab.reanalysis.scores import MinP, min_p, standardised
from crmlab.segments.tree import Condition, meets

Array = NDArray[np.float64]

RARE = 5
"""Fewer customers than this do not make a level of a trait."""


class Candidate(NamedTuple):
    """A trait that may split a segment, or (`missing`) its being unknown."""

    trait: str
    missing: bool
    kind: str
    source: str


class Candidates(NamedTuple):
    """Candidates with their regressors: `columns` (customers × k) and which candidate each column belongs to."""

    each: list[Candidate]
    columns: Array
    covariate: NDArray[np.int64]


class Difference(NamedTuple):
    """Mean of who meets the rule minus mean of who does not, with interval and one-sided p in a stated direction."""

    value: float
    low: float
    high: float
    p: float
    n: int


def customer_scores(current: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """One row a customer: score and number of contacts.

    With one campaign the score is the answer itself. With several it is the mean over the customer's contacts of
    answer − campaign rate, plus the overall rate: customers of a campaign that did well are not better for it.

    Returns
    -------
    pandas.DataFrame
        Index customer_id (sorted); columns score, contacts.
    """
    y = current[outcome].astype(float)
    if len(current["campaign_id"].unique()) > 1:
        y = y - y.groupby(current["campaign_id"]).transform("mean") + y.mean()
    groups = y.groupby(current["customer_id"])
    return pd.DataFrame({"score": groups.mean(), "contacts": groups.size()}).sort_index()


def aligned(table: pd.DataFrame, customers: pd.Index) -> pd.DataFrame:
    """The traits of these customers, in their order; all missing where a customer has none."""
    return table.set_index("customer_id").reindex(customers).reset_index()


def candidates(table: pd.DataFrame, catalogue: pd.DataFrame) -> Candidates:
    """Regressors of every trait allowed for splits, over the rows of `table`.

    Numbers and flags: mid-ranks. Categories: one indicator a level. Where the trait is unknown the regressors are at
    their mean, so they say nothing there; that it is unknown is a candidate of its own. Columns that hardly vary (the
    rarer side has fewer than five customers) are left out.
    """
    each: list[Candidate] = []
    columns: list[Array] = []
    covariate: list[int] = []
    for row in catalogue.itertuples():
        if not row.allowed_for_splits or row.name not in table.columns:
            continue
        values = table[row.name]
        known = values.notna().to_numpy()
        found = _regressors(values, known, row.kind)
        unknown = (~known).astype(float)
        for missing, group in ((False, found), (True, [unknown])):
            group = [g for g in group if _varies(g)]
            if group:
                columns += group
                covariate += [len(each)] * len(group)
                each.append(Candidate(row.name, missing, row.kind, row.source))
    stacked = np.column_stack(columns) if columns else np.empty((len(table), 0))
    return Candidates(each, stacked, np.array(covariate, dtype=np.int64))


def _regressors(values: pd.Series, known: NDArray[np.bool_], kind: str) -> list[Array]:
    if kind == "category":
        text = values.astype(object)
        levels = sorted(text[known].unique(), key=str)
        found = [(text == level).to_numpy(dtype=float) for level in levels]
    else:
        found = [stats.rankdata(numbers(values), nan_policy="omit")]
    return [np.where(known, g, g[known].mean() if known.any() else 0.0) for g in found]


def _varies(column: Array) -> bool:
    values, counts = np.unique(column, return_counts=True)
    return len(values) > 1 and len(column) - counts.max() >= RARE


def numbers(values: pd.Series) -> Array:
    """A trait as float64, NaN where unknown."""
    return pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)


def search(
    found: Candidates,
    scores: Array,
    contacts: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    draws: int,
    wild: bool = False,
) -> MinP | None:
    """Min-p of the candidates over customers with the same number of contacts; None where there is nothing to test."""
    if not found.each or len(scores) < 2 * RARE or np.ptp(scores) == 0:
        return None
    return min_p(found.columns, found.covariate, scores, rng, draws=draws, blocks=contacts, wild=wild)


def in_order(result: MinP) -> list[int]:
    """Candidates from the strongest to the weakest: adjusted p, own p, size of the statistic, order of the traits."""
    return [int(k) for k in np.lexsort((-np.round(result.statistic, 9), result.raw, result.adjusted))]


def finding_half(customers: pd.Index, share: float, seed: int, *names: str) -> NDArray[np.bool_]:
    """Who is in the finding half: by a hash of seed, names and customer, whoever else is there."""
    scale = float(2**63)
    return np.array([integer_seed(seed, "half", *names, str(c)) / scale < share for c in customers], dtype=bool)


def best_rule(
    candidate: Candidate, table: pd.DataFrame, scores: Array, finding: NDArray[np.bool_], *, least: int, cuts: int
) -> Condition | None:
    """The cut of a candidate that parts the finding half's scores most, both sides having `least` customers.

    Numbers are cut at quantiles, to three digits; categories in the order of their mean scores; an unknown trait one
    way. `least` counts both halves (that does not look at the confirming half's scores). None: no cut leaves enough.
    """
    best, most = None, 0.0
    for condition in _rules(candidate, table[candidate.trait][finding], scores[finding], cuts):
        met, rest = sides([condition], table)
        if min(met.sum(), rest.sum()) < least:
            continue
        use = finding & (met | rest)
        if min((met & use).sum(), (rest & use).sum()) < 2:
            continue
        strength = abs(float(standardised(met[use].astype(float)[:, None], scores[use])[0]))
        if strength > most + 1e-9:
            best, most = condition, strength
    return best


def _rules(candidate: Candidate, values: pd.Series, scores: Array, cuts: int) -> list[Condition]:
    trait, known = candidate.trait, values.notna().to_numpy()
    if candidate.missing:
        return [Condition(trait=trait, missing=True)]
    if not known.any():
        return []
    if candidate.kind == "category":
        means = pd.Series(scores[known]).groupby(values[known].to_numpy(dtype=object)).agg(["mean", "size"])
        means = means[means["size"] >= RARE].reset_index(names="level")
        means["text"] = means["level"].astype(str)
        ordered = means.sort_values(["mean", "text"], kind="stable")["level"].tolist()
        halves = [(ordered[:k], ordered[k:]) for k in range(1, len(ordered))]
        listed = [low if len(low) < len(high) else high for low, high in halves]
        return [Condition.model_validate({"trait": trait, "is": sorted(part, key=str)}) for part in listed]
    numeric = numbers(values[known])
    points = np.quantile(numeric, np.arange(1, cuts) / cuts, method="higher")
    points = sorted({tidy(p) for p in points if p > numeric.min()})
    return [Condition(trait=trait, at_least=int(p) if p == int(p) else p) for p in points]


def tidy(value: float) -> float:
    """A cut point to three significant digits; whole numbers stay as they are."""
    return float(value) if value == int(value) else float(f"{value:.3g}")


def sides(conditions: Sequence[Condition], table: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who meets the rule and who, their trait known (or the rule being about that), does not."""
    met = meets(conditions, table)
    known = np.ones(len(table), dtype=bool)
    for c in conditions:
        if not c.missing:
            known &= table[c.trait].notna().to_numpy()
    return met, ~met & known


def difference(met: Array, rest: Array, *, interval: float, upwards: bool) -> Difference:
    """Mean of `met` minus mean of `rest`.

    Answers of 0 and 1: Newcombe's interval [Newcombe 1998, method 10] and Fisher's exact test, for a side may hold few
    answers. Other scores: Welch.
    """
    n1, n2 = len(met), len(rest)
    if min(n1, n2) < 2:
        return Difference(np.nan, np.nan, np.nan, np.nan, n1 + n2)
    value = float(met.mean() - rest.mean())
    both = np.concatenate([met, rest])
    if np.isin(both, (0.0, 1.0)).all():
        low, high = confint_proportions_2indep(
            met.sum(), n1, rest.sum(), n2, method="newcomb", compare="diff", alpha=1 - interval
        )
        answers = [[met.sum(), n1 - met.sum()], [rest.sum(), n2 - rest.sum()]]
        p = stats.fisher_exact(answers, alternative="greater" if upwards else "less").pvalue
        return Difference(value, float(low), float(high), float(p), n1 + n2)
    v1, v2 = met.var(ddof=1) / n1, rest.var(ddof=1) / n2
    if v1 + v2 == 0:
        return Difference(value, value, value, 1.0, n1 + n2)
    df = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1))
    se, t = np.sqrt(v1 + v2), stats.t.ppf((1 + interval) / 2, df)
    p = stats.t.sf(value / se if upwards else -value / se, df)
    return Difference(value, float(value - t * se), float(value + t * se), float(p), n1 + n2)
