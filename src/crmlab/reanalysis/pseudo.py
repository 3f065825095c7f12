"""Does the effect of contact go with a known trait? Doubly robust pseudo-outcomes φ and what is tested on them.

φ is one number a customer whose mean, in any group chosen before contact, is that group's effect: so a split of the
effect is a split of the level of φ.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

FOLDS = 5
CUTS = np.linspace(0.1, 0.9, 9)
"""Quantiles at which a numeric trait may be cut."""


def pseudo_outcome(
    y: np.ndarray, treated: np.ndarray, share: np.ndarray | float, m1: np.ndarray, m0: np.ndarray
) -> np.ndarray:
    """φ = m₁ − m₀ + T(y − m₁)/π − (1 − T)(y − m₀)/(1 − π) [Robins, Rotnitzky and Zhao 1994; Kennedy 2023, eq. 2].

    Parameters
    ----------
    y, treated
        Outcome and whether contacted, (n,).
    share
        π, the share contacted by design, (n,) or one number. With π known φ is unbiased whatever m₁ and m₀ are.
    m1, m0
        Expected outcome if contacted and if not, fitted without the row itself, (n,).
    """
    t = np.asarray(treated, float)
    return m1 - m0 + t * (y - m1) / share - (1 - t) * (y - m0) / (1 - share)


def folds(ids: np.ndarray, seed: int, *, count: int = FOLDS, name: str = "fold") -> np.ndarray:
    """Fold 0 … count − 1 of each id by hash: nobody's fold depends on who else is there."""
    digests = (hashlib.blake2b(f"{name}\x1f{seed}\x1f{i}".encode(), digest_size=8).digest() for i in ids)
    return np.fromiter((int.from_bytes(d, "big") % count for d in digests), dtype=np.int64, count=len(ids))


def cross_fitted(y: np.ndarray, treated: np.ndarray, features: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Expected outcome by arm, each row's from the other folds.

    Ridge regression of y on standardised features in each arm, with as large a penalty as there are features;
    predictions stay within the range of y. An arm with fewer than ten rows to fit on gets its mean.

    Returns
    -------
    ndarray
        (2, n): expected outcome if not contacted, and if contacted.
    """
    out = np.full((2, len(y)), float(y.mean()) if len(y) else np.nan)
    for f in np.unique(fold):
        there = fold == f
        for arm in (0, 1):
            fit = ~there & (treated == bool(arm))
            if not fit.any():
                continue
            middle = y[fit].mean()
            out[arm, there] = middle
            if fit.sum() < 10 or features.shape[1] == 0:
                continue
            centre = features[fit].mean(axis=0)
            x = features[fit] - centre
            gram = x.T @ x + features.shape[1] * np.eye(x.shape[1])
            slope = np.linalg.solve(gram, x.T @ (y[fit] - middle))
            out[arm, there] += (features[there] - centre) @ slope
    return np.clip(out, y.min(), y.max()) if len(y) else out


@dataclass(frozen=True, slots=True)
class Candidates:
    """Traits as numbers that a test or a regression can take.

    Attributes
    ----------
    columns
        (n, k): mid-ranks of a number from −1 to 1 (missing: 0), or 0/1 for a category, a flag or "is missing".
    covariate
        (k,) which of `names` a column belongs to.
    names
        Covariates: traits, and ``<trait> is missing`` for those that may be.
    labels
        (k,) what a column is: the trait, or trait and category.
    """

    columns: np.ndarray
    covariate: np.ndarray
    names: tuple[str, ...]
    labels: tuple[str, ...]


def candidates(traits: pd.DataFrame, kinds: dict[str, str], *, fewest: int = 10) -> Candidates:
    """Traits of one segment's customers as columns; those that hardly differ within it are left out.

    Parameters
    ----------
    traits
        One row a customer; the columns of `kinds` are used.
    kinds
        Trait → ``number``, ``flag`` or ``category``.
    fewest
        A 0/1 column needs that many customers on both sides, a number that many above its minimum.
    """
    columns, covariate, names, labels = [], [], [], []

    def add(name: str, parts: list[tuple[str, np.ndarray]]) -> None:
        if parts:
            names.append(name)
            for label, values in parts:
                columns.append(values)
                covariate.append(len(names) - 1)
                labels.append(label)

    def enough(yes: np.ndarray) -> bool:
        return fewest <= yes.sum() <= len(yes) - fewest

    for name, kind in sorted(kinds.items()):
        missing = traits[name].isna().to_numpy()
        if kind == "category":
            text = traits[name].astype("object").map(str, na_action="ignore")
            values = [(v, (text == v).to_numpy(float)) for v in sorted(set(text[~missing]))]
            shown = [(f"{name} = {v}", yes) for v, yes in values if enough(yes)]
            add(name, shown[:1] if len(values) == 2 and not missing.any() else shown)
        else:
            value = traits[name].astype("float64").to_numpy()
            known = value[~missing]
            if len(known) and np.sum(known > known.min()) >= fewest:
                ranks = np.zeros(len(value))
                ranks[~missing] = (2 * rankdata(known) - len(known) - 1) / len(known)
                add(name, [(name, ranks)])
        if enough(missing):
            add(f"{name} is missing", [(f"{name} is missing", missing.astype(float))])
    matrix = np.column_stack(columns) if columns else np.zeros((len(traits), 0))
    return Candidates(matrix, np.array(covariate, dtype=np.int64), tuple(names), tuple(labels))


@dataclass(frozen=True, slots=True)
class HonestSplit:
    """A split of the effect chosen on one half of the customers and measured on the other.

    Attributes
    ----------
    label, cut
        Column it splits by; a number is split at or above the `cut`-th quantile of the finding half (NaN: 0/1 column).
    difference, se
        Difference of effects on the measuring half, in the direction found.
    share
        q, share of the measuring half on the upper side.
    spread, low, high
        |difference| √(q(1 − q)), the sd of effects that this split alone accounts for, and its interval.
    """

    label: str
    cut: float
    difference: float
    se: float
    share: float
    spread: float
    low: float
    high: float


def honest_split(
    phi: np.ndarray, given: Candidates, finding: np.ndarray, *, level: float = 0.90, fewest: int = 10
) -> HonestSplit | None:
    """Find the split of φ with the largest |t| where `finding` holds, measure it where it does not.

    The measured spread is a lower bound of the spread of effects: whatever the split does not see comes on top. Its
    interval covers as stated because the half it is measured on had no part in choosing the split.
    None where no split leaves `fewest` customers on every side of both halves.
    """
    best: tuple[float, int, float, np.ndarray, float] | None = None
    for k in range(given.columns.shape[1]):
        x = given.columns[:, k]
        if set(np.unique(x)) <= {0.0, 1.0}:
            sides = [(np.nan, x > 0.5)]
        else:
            levels = np.unique(np.quantile(x[finding], CUTS))
            sides = [(float(c), x >= c) for c in levels]
        for cut, upper in sides:
            t = _welch(phi[finding], upper[finding], fewest)
            if t is not None and (best is None or abs(t[0] / t[1]) > best[0] * (1 + 1e-9)):
                best = (abs(t[0] / t[1]), k, cut, upper, np.sign(t[0]))
    if best is None:
        return None
    _, k, cut, upper, sign = best
    measured = _welch(phi[~finding], upper[~finding], fewest)
    if measured is None:
        return None
    gap, se = sign * measured[0], measured[1]
    q = float(upper[~finding].mean())
    unit = np.sqrt(q * (1 - q))
    reach = norm.ppf((1 + level) / 2) * se
    return HonestSplit(
        label=given.labels[k],
        cut=cut,
        difference=float(gap),
        se=float(se),
        share=q,
        spread=float(max(gap, 0.0) * unit),
        low=float(max(gap - reach, 0.0) * unit),
        high=float(max(gap + reach, 0.0) * unit),
    )


def _welch(phi: np.ndarray, upper: np.ndarray, fewest: int) -> tuple[float, float] | None:
    """Difference of means and its standard error with unequal variances; None with too few on a side."""
    one, other = phi[upper], phi[~upper]
    if min(len(one), len(other)) < fewest:
        return None
    se = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return (float(one.mean() - other.mean()), float(se)) if se > 0 else None
