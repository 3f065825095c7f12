"""Whether segments differ in how they respond, and how much of the differences between people that explains."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.proportion import proportion_confint

from crmlab.contract import Basis, generator, mark
from crmlab.reanalysis.levels_result import Between
from crmlab.reanalysis.params import LevelsParams
from crmlab.reanalysis.splits import customer_scores
from crmlab.reanalysis.spread import Array

DESIGNS = {
    "observational": mark("not contacted at random: descriptive"),
    "randomised": mark("contacted at random"),
}
"""How the contacted were chosen, in words."""


def between(
    current: pd.DataFrame,
    names: Mapping[str, str],
    *,
    history: pd.DataFrame | None = None,
    params: LevelsParams | None = None,
    seed: int,
    cycle: str,
    design: str = "observational",
) -> Between:
    """Compare segments' response and spend.

    Parameters
    ----------
    current
        One row a contacted customer × campaign of this cycle: customer_id, campaign_id, segment, response, spend,
        sent_at.
    names
        Segment → name; their order is the order of the table.
    history
        The same over all campaigns so far: where customers were contacted twice, the spread within segments, and so
        the share of variance in propensity, is identified.
    params
        Level, interval and draws.
    seed, cycle
        For the bootstrap.
    design
        ``observational`` or ``randomised``.

    Returns
    -------
    Between
    """
    params = params or LevelsParams()
    segments = in_force(current, names)
    table = pd.DataFrame([_row(current[current["segment"] == s], s, names, params.interval) for s in segments])
    if table.empty:
        table = pd.DataFrame(columns=ROW)
    scores = customer_scores(current, "response")
    scores["spend"] = current.groupby("customer_id")["spend"].mean()
    scores["segment"] = current.groupby("customer_id")["segment"].first()
    tests = _tests(scores, single=len(current["campaign_id"].unique()) == 1)
    rng = generator(seed, "between", cycle)
    explained = explain(scores, history, rng, interval=params.interval, draws=params.draws)
    basis = Basis(
        int(current["customer_id"].nunique()), mark("customers contacted"), *period(current), design=DESIGNS[design]
    )
    return Between(table, basis, tests, explained, params.alpha)


ROW = (
    "segment",
    "name",
    "customers",
    "contacts",
    "responses",
    "rate",
    "low",
    "high",
    "spend",
    "spend_low",
    "spend_high",
)


def in_force(contacts: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Segments with contacts, in the order of `names`; any others after them."""
    there = set(contacts["segment"].dropna())
    return [s for s in names if s in there] + sorted(there - set(names))


def period(contacts: pd.DataFrame) -> tuple:
    """First day of contact and last day of the outcome windows; None without contacts."""
    if contacts.empty:
        return None, None
    return contacts["sent_at"].min().date(), contacts["closes" if "closes" in contacts else "sent_at"].max().date()


def _row(part: pd.DataFrame, segment: str, names: Mapping[str, str], interval: float) -> dict[str, object]:
    contacts, responses = len(part), int(part["response"].sum())
    low, high = rate_interval(part, interval)
    each = part.groupby("customer_id")["spend"].mean().to_numpy(dtype=float)
    spend_low, spend_high = mean_interval(each, interval)
    values = (segment, names.get(segment, segment), part["customer_id"].nunique(), contacts, responses)
    return dict(zip(ROW, (*values, responses / contacts, low, high, each.mean(), spend_low, spend_high), strict=True))


def rate_interval(part: pd.DataFrame, interval: float) -> tuple[float, float]:
    """Wilson's interval of a response rate; repeated contacts of a customer count for as many as they are worth.

    The effective number of contacts is p q over the variance of the rate with customers as clusters, at most the
    number of contacts.
    """
    m, y = part.groupby("customer_id")["response"].agg(["size", "sum"]).to_numpy(dtype=float).T
    p, n = y.sum() / m.sum(), m.sum()
    if m.max() > 1 and 0 < p < 1:
        clustered = ((y - m * p) ** 2).sum() / n**2
        n = min(n, p * (1 - p) / clustered) if clustered > 0 else n
    low, high = proportion_confint(p * n, n, alpha=1 - interval, method="wilson")
    return float(low), float(high)


def mean_interval(x: Array, interval: float) -> tuple[float, float]:
    """Student's interval of a mean; missing for fewer than two values."""
    if len(x) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + interval) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean() - half), float(x.mean() + half)


def _tests(scores: pd.DataFrame, *, single: bool) -> pd.DataFrame:
    """χ² (one campaign), Welch and Kruskal–Wallis over segments with at least two customers."""
    groups = [g for _, g in scores.groupby("segment") if len(g) > 1]
    rows = []
    if single:
        rows.append((mark("response"), mark("χ² of counts"), *chi_square([g["score"].to_numpy() for g in groups])))
    rows.append((mark("response"), mark("Welch’s test of customers’ rates"), *_welch([g["score"] for g in groups])))
    rows.append((mark("spend"), mark("Welch’s test of means"), *_welch([g["spend"] for g in groups])))
    rows.append((mark("spend"), mark("Kruskal–Wallis test of ranks"), *_kruskal([g["spend"] for g in groups])))
    return pd.DataFrame(rows, columns=["outcome", "test", "statistic", "df", "p"])


def chi_square(groups: list[Array]) -> tuple[float, float, float]:
    """χ² of 0/1 answers by group, without continuity correction: statistic, degrees of freedom, p."""
    counts = np.array([[g.sum(), len(g) - g.sum()] for g in groups])
    if len(groups) < 2 or (counts.sum(axis=0) == 0).any():
        return np.nan, np.nan, np.nan
    found = stats.chi2_contingency(counts, correction=False)
    return float(found.statistic), float(found.dof), float(found.pvalue)


def _welch(groups: list[pd.Series]) -> tuple[float, float, float]:
    """Welch's F over groups; groups in which everybody is equal leave it undefined."""
    if len(groups) < 2 or any(g.nunique() < 2 for g in groups):
        return np.nan, np.nan, np.nan
    found = anova_oneway([g.to_numpy(dtype=float) for g in groups], use_var="unequal", welch_correction=True)
    return float(found.statistic), float(found.df[0]), float(found.pvalue)


def _kruskal(groups: list[pd.Series]) -> tuple[float, float, float]:
    if len(groups) < 2 or pd.concat(groups).nunique() < 2:
        return np.nan, np.nan, np.nan
    found = stats.kruskal(*groups)
    return float(found.statistic), float(len(groups) - 1), float(found.pvalue)


def explain(
    scores: pd.DataFrame, history: pd.DataFrame | None, rng: np.random.Generator, *, interval: float, draws: int
) -> pd.DataFrame:
    """Variance between segments, corrected for sampling, against variance of propensity within them.

    Between: Σ w_s(p_s − p)² − Σ w_s(1 − w_s) v_s, v_s the sampling variance of p_s. Within: ρ Σ w_s p_s(1 − p_s), with
    ρ = Σ_{j<k} r_ij r_ik / Σ_{j<k} √(v_ij v_ik) over the history, r = y − rate of the campaign in the segment, v = p q
    of that rate: how far answers of one person go together is taken to hold for this cycle's campaigns, whose rates
    may be others. η² is the share of the answers' own variance.
    Intervals: percentiles over redrawn customers; a redraw adds sampling variance once more, so it is taken off twice.

    Parameters
    ----------
    scores
        Index customer_id; columns score, segment.
    history
        Contacts over all campaigns, or None.
    """
    seen, low, high = np.full((3, 4), np.nan)
    if len(scores):
        seen, low, high = _redrawn(scores, *_pair_products(history), rng, interval=interval, draws=draws)
    return pd.DataFrame(
        {
            "measure": [
                mark("sd of true rates between segments"),
                mark("sd of true rates within segments"),
                mark("share of variance in propensity between segments"),
                mark("share of variance in answers between segments (η²)"),
            ],
            "value": seen,
            "low": low,
            "high": high,
        }
    )


def _redrawn(
    scores: pd.DataFrame, pairs: pd.Series, count: pd.Series, rng: np.random.Generator, *, interval: float, draws: int
) -> tuple[Array, Array, Array]:
    """The four measures of `explain`, and their low and high over redrawn customers."""
    levels, code = np.unique(scores["segment"].astype(str), return_inverse=True)
    everyone = scores.index.union(pairs.index)
    n, at = len(everyone), everyone.get_indexer(scores.index)
    one, outcome = np.zeros((n, len(levels))), np.zeros((n, 1))
    one[at, code] = 1.0
    outcome[at, 0] = scores["score"].to_numpy(dtype=float)
    products = [s.reindex(everyone, fill_value=0.0).to_numpy(dtype=float) for s in (pairs, count)]
    per_person = np.column_stack([one, one * outcome, one * outcome**2, *products])
    seen = _measures(per_person.sum(axis=0)[None], len(levels), times=1.0)[0]
    drawn = []
    for start in range(0, draws, step := max(1, 4_000_000 // n)):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(step, draws - start)).astype(float)
        drawn.append(_measures(weights @ per_person, len(levels), times=2.0))
    known = ~np.isnan(seen)
    low, high = np.full((2, len(seen)), np.nan)
    ends = [(1 - interval) / 2, (1 + interval) / 2]
    low[known], high[known] = np.nanquantile(np.vstack(drawn)[:, known], ends, axis=0)
    return seen, low, high


def _pair_products(history: pd.DataFrame | None) -> tuple[pd.Series, pd.Series]:
    """Σ_{j<k} r_ij r_ik and Σ_{j<k} √(v_ij v_ik) of every customer, within segment and campaign."""
    if history is None or history.empty:
        empty = pd.Series(dtype=float, index=pd.Index([], dtype="str"))
        return empty, empty
    rate = history.groupby(["segment", "campaign_id"])["response"].transform("mean")
    r, v = history["response"].astype(float) - rate, rate * (1 - rate)
    each = pd.DataFrame({"customer_id": history["customer_id"], "r": r, "rr": r**2, "s": np.sqrt(v), "v": v})
    sums = each.groupby("customer_id")[["r", "rr", "s", "v"]].sum()
    return (sums["r"] ** 2 - sums["rr"]) / 2, (sums["s"] ** 2 - sums["v"]) / 2


def _measures(sums: Array, k: int, *, times: float) -> Array:
    """The four measures of `explain`, one row a draw, from each draw's sums of n, y and y² by segment and of pairs."""
    n, total, square = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k : 3 * k]
    product, count = sums[:, 3 * k], sums[:, 3 * k + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, total / n, 0.0)
        v = np.where(n > 1, (square / n - mean**2) / (n - 1), 0.0)
        w = n / n.sum(axis=1, keepdims=True)
        grand = (w * mean).sum(axis=1, keepdims=True)
        spread = (w * (mean - grand) ** 2).sum(axis=1)
        between = np.maximum(spread - times * (w * (1 - w) * v).sum(axis=1), 0.0)
        chance = (w * np.clip(mean * (1 - mean), 0.0, None)).sum(axis=1)
        within = np.where(count > 0, np.maximum(product / count, 0.0) * chance, np.nan)
        share = np.where(between + within > 0, between / (between + within), np.where(np.isnan(within), np.nan, 0.0))
        whole = square.sum(axis=1) / n.sum(axis=1) - grand[:, 0] ** 2
        eta = np.where(whole > 0, spread / whole, 0.0)
    return np.column_stack([np.sqrt(between), np.sqrt(within), share, eta])
