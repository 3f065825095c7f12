"""Who moved between segments from one cycle to the next, and whether the segmentation is stable."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.stats import chi2

from crmlab.contract import Basis, Result, Sentence, generator, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.nodes import Tree

DRAWS = 1_000


@dataclass(frozen=True)
class Movement(Result):
    """One row a pair of segments with somebody in it: before, after, customers, share (of before), low, high.

    Attributes
    ----------
    stay, ari
        (value, low, high), 90 %: the share who stay, and the adjusted Rand index, which is 0 for chance and 1 for the
        same partition.
    p_margins, p_symmetry
        Stuart–Maxwell: do the sizes of the segments change; Bowker: do as many move one way as back.
    entered, left
        Customers only after, and only before.
    """

    table: pd.DataFrame
    basis: Basis
    stay: tuple[float, float, float]
    ari: tuple[float, float, float]
    p_margins: float
    p_symmetry: float
    entered: int
    left: int

    title: ClassVar[str] = "Who moved between segments"
    note: ClassVar[str] = (
        "Shares are of those who were in the segment before, with 90 % intervals. A customer in a new branch of its "
        "old segment has stayed."
    )
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "before_name": ("Before", ""),
        "after_name": ("Now", ""),
        "customers": ("Customers", ",.0f"),
        "share": ("Share", ".1%"),
        "low": ("90 % from", ".1%"),
        "high": ("to", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """One row a move; of each former segment, moves of few people and the next smallest stand together."""
        rows = [_together(part) for _, part in self.table.groupby("before", sort=False)]
        return pd.concat(rows, ignore_index=True) if rows else self.table

    def sentences(self) -> list[Sentence]:
        """How many stay, how much better than chance that is, and whether the sizes hold."""
        if not self.basis.n:
            return [Sentence("Nobody is in both cycles: there is no movement to show.", tone="warn")]
        told = [
            Sentence(
                "{stay:.0%} [{low:.0%}, {high:.0%}] stay in their segment.",
                dict(zip(("stay", "low", "high"), self.stay, strict=True)),
            )
        ]
        values = dict(zip(("ari", "low", "high"), self.ari, strict=True))
        if np.isnan(self.ari[0]):
            pass
        elif self.ari[1] > 0.6:
            told.append(Sentence("The segments are stable: ARI {ari:.2f} [{low:.2f}, {high:.2f}].", values, "good"))
        elif self.ari[2] > 0.4:
            told.append(Sentence("The segments are moderately stable: ARI {ari:.2f} [{low:.2f}, {high:.2f}].", values))
        else:
            told.append(
                Sentence(
                    "Who is in which segment is hardly stable: ARI {ari:.2f} [{low:.2f}, {high:.2f}].", values, "warn"
                )
            )
        if self.p_margins < 0.05:
            told.append(Sentence("The sizes of the segments changed (p = {p:.2g}).", {"p": self.p_margins}))
        elif self.p_margins >= 0.05:
            told.append(
                Sentence(
                    "The sizes of the segments did not change detectably (p = {p:.2g}), whoever is in them.",
                    {"p": self.p_margins},
                )
            )
        if self.entered or self.left:
            told.append(
                Sentence(
                    "Not compared: {entered:,} customers who are new and {left:,} who are no longer there.",
                    {"entered": self.entered, "left": self.left},
                )
            )
        return told


def movement(
    before: pd.Series, after: pd.Series, names: Mapping[str, str], *, tree: Tree | None = None, seed: int = 0
) -> Movement:
    """Movement of the customers who are in both cycles.

    Parameters
    ----------
    before, after
        Segment id of each customer, index customer_id.
    names
        Segment id → name, of both cycles.
    tree
        The tree of the later cycle: a segment that was split between the cycles counts as one.
    seed
        For the interval of the ARI (multinomial bootstrap of the transition table).
    """
    both = before.index.intersection(after.index).sort_values()
    was, now = before.loc[both].astype("str"), after.loc[both].astype("str")
    if tree is not None:
        now = now.map({s: origin(s, set(before), tree) for s in set(now)}).astype("str")
    ids = sorted({*was, *now}, key=lambda s: (s[1:].zfill(9), s))
    counts = pd.crosstab(was.to_numpy(), now.to_numpy()).reindex(index=ids, columns=ids, fill_value=0).to_numpy()
    p_margins, p_symmetry = _changed(counts)
    return Movement(
        table=_table(counts, ids, names),
        basis=Basis(n=len(both), what=mark("customers in both cycles")),
        stay=_share(int(np.trace(counts)), len(both)),
        ari=rand_interval(counts, generator(seed, "movement")),
        p_margins=p_margins,
        p_symmetry=p_symmetry,
        entered=len(after.index.difference(before.index)),
        left=len(before.index.difference(after.index)),
    )


def origin(segment: str, known: set[str], tree: Tree) -> str:
    """The segment itself, or the node above it in the later tree that was a segment (is `known`) before."""
    if segment not in {n.id for n in tree.nodes}:
        return segment
    return next((n.id for n in reversed(tree.path(segment)) if n.id in known), segment)


def _table(counts: np.ndarray, ids: list[str], names: Mapping[str, str]) -> pd.DataFrame:
    rows = []
    for i, j in zip(*np.nonzero(counts), strict=True):
        share, low, high = _share(int(counts[i, j]), int(counts[i].sum()))
        labels = (ids[i], names.get(ids[i], ids[i]), ids[j], names.get(ids[j], ids[j]))
        rows.append((*labels, int(counts[i, j]), share, low, high))
    columns = ["before", "before_name", "after", "after_name", "customers", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _together(part: pd.DataFrame) -> pd.DataFrame:
    """The moves out of one segment; those below 3 % of it or of fewer than five people stand in one row."""
    whole = part["customers"].sum()
    ordered = part.sort_values(["customers", "after"], ascending=[False, True], kind="stable")
    keep = (ordered["customers"] >= FEWEST) & (ordered["share"] >= 0.03)
    if keep.all():
        return ordered
    kept = ordered[keep]
    if ordered.loc[~keep, "customers"].sum() < FEWEST:
        kept = kept.iloc[:-1]
    count = int(whole - kept["customers"].sum())
    share, low, high = _share(count, int(whole))
    first = ordered.iloc[0]
    rest = {"before": first["before"], "before_name": first["before_name"], "after": "", "after_name": say("elsewhere")}
    rest |= {"customers": count, "share": share, "low": low, "high": high}
    return pd.concat([kept, pd.DataFrame([rest])], ignore_index=True)


def _share(count: int, n: int) -> tuple[float, float, float]:
    """A share with its 90 % Wilson interval; nan of nobody."""
    from statsmodels.stats.proportion import proportion_confint

    if not n:
        return nan, nan, nan
    low, high = proportion_confint(count, n, alpha=0.10, method="wilson")
    return count / n, float(low), float(high)


def adjusted_rand(counts: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of transition tables (Hubert & Arabie 1985, eq. 5).

    Parameters
    ----------
    counts
        Shape (..., k, l): one table, or many.

    Returns
    -------
    numpy.ndarray
        Shape (...,); 1 where both partitions are trivial and the same.
    """
    c = np.asarray(counts, dtype=np.float64)

    def pairs(x: np.ndarray) -> np.ndarray:
        return x * (x - 1) / 2

    together = pairs(c).sum((-2, -1))
    rows, columns = pairs(c.sum(-1)).sum(-1), pairs(c.sum(-2)).sum(-1)
    expected = rows * columns / np.maximum(pairs(c.sum((-2, -1))), 1)
    most = (rows + columns) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most == expected, 1.0, (together - expected) / (most - expected))


def rand_interval(counts: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Adjusted Rand index of a transition table with its 90 % multinomial bootstrap interval; nan below two customers.

    Parameters
    ----------
    counts
        Shape (k, l).
    rng
        Draws the tables.
    """
    n = int(counts.sum())
    if n < 2:
        return nan, nan, nan
    drawn = rng.multinomial(n, counts.ravel() / n, size=DRAWS).reshape(DRAWS, *counts.shape)
    low, high = np.quantile(adjusted_rand(drawn), [0.05, 0.95])
    return float(adjusted_rand(counts)), float(low), float(high)


def _changed(counts: np.ndarray) -> tuple[float, float]:
    """p-values of Stuart–Maxwell and of Bowker; nan where nobody moves, or the margins cannot be compared."""
    some = (counts.sum(0) > 0) | (counts.sum(1) > 0)
    table = counts[np.ix_(some, some)].astype(np.float64)
    return (_stuart_maxwell(table), _bowker(table)) if np.trace(table) < table.sum() else (nan, nan)


def _stuart_maxwell(table: np.ndarray) -> float:
    """Stuart–Maxwell test of equal margins (Maxwell 1970): d' V⁻¹ d, d the differences of all margins but one."""
    rows, columns = table.sum(1), table.sum(0)
    d = (rows - columns)[:-1]
    v = (np.diag(rows + columns) - table - table.T)[:-1, :-1]
    if np.linalg.matrix_rank(v) < len(d):
        return nan
    return float(chi2.sf(d @ np.linalg.solve(v, d), len(d)))


def _bowker(table: np.ndarray) -> float:
    """Bowker's test of symmetry over the pairs of segments between which anybody moved."""
    i, j = np.triu_indices(len(table), 1)
    one, back = table[i, j], table[j, i]
    some = one + back > 0
    if not some.any():
        return nan
    statistic = ((one - back)[some] ** 2 / (one + back)[some]).sum()
    return float(chi2.sf(statistic, some.sum()))
