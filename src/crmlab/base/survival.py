"""How long contracts last, as observed: Kaplan–Meier by group, contracts entering when they come on record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtri

from crmlab.base.intervals import LEVEL
from crmlab.contract import Basis, Result, Sentence, localise, mark
from crmlab.contract.result import FEWEST

ALL = "all"
"""The group of all contracts."""
ONE_IN_TWENTY = 0.05
"""Groups differ where equal ones would differ as much in fewer cases than this."""


@dataclass(frozen=True)
class ContractSurvival(Result):
    """How many contracts are left after each renewal, of all and by group.

    table
        group, name, contracts, ended, median with low, high (renewal at which half have ended; missing where not
        reached), renewal (the last one that five or more of every group were up for), stayed with stayed_low,
        stayed_high (share left after it). All contracts first.
    curve
        group, renewal, customers (at risk), ended, rate, stayed, stayed_low, stayed_high.
    difference
        Log-rank test of the groups of five or more contracts: χ², degrees of freedom, p. None with fewer than two.
    """

    table: pd.DataFrame
    basis: Basis
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    difference: tuple[float, int, float] | None = None
    begins: int = 1
    """The first renewal that enough contracts on record were up for: shares are of those who reached it."""
    by_segment: bool = False

    title: ClassVar[str] = "How long contracts last"
    note: ClassVar[str] = (
        "Kaplan–Meier: a contract that still runs counts up to the last renewal it survived, one that began before the "
        "records did from its first renewal on record. Intervals of 90 % on the scale log(−log)."
    )
    people: ClassVar[tuple[str, ...]] = ("contracts", "ended")
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "name": ("group", ""),
        "contracts": ("contracts", ",.0f"),
        "ended": ("ended", ",.0f"),
        "median": ("half have ended at renewal", ",.0f"),
        "low": ("90 % low", ",.0f"),
        "high": ("90 % high", ",.0f"),
        "renewal": ("renewal", ",.0f"),
        "stayed": ("left after it", ".1%"),
        "stayed_low": ("90 % low", ".1%"),
        "stayed_high": ("90 % high", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """How long half of the contracts last, whether groups differ, and what the figures are of."""
        whole = self.table.iloc[0]
        if whole["contracts"] < FEWEST:
            return [Sentence("There are fewer than five contracts: nothing can be said of them.", tone="warn")]
        said = [_half(whole), *self._groups()]
        if self.begins > 1:
            text = (
                "Hardly any contract is on record before renewal {begins}: all shares and medians are of contracts "
                "that reached it."
            )
            said.append(Sentence(text, {"begins": self.begins}, "warn"))
        if self.by_segment and self.difference is not None:
            text = (
                "The segments are today's: somebody may be in one because they stayed, so that a difference between "
                "segments describes and does not explain."
            )
            said.append(Sentence(text))
        return said

    def _groups(self) -> list[Sentence]:
        if self.difference is None:
            return []
        p = self.difference[2]
        if p >= ONE_IN_TWENTY:
            text = "Contracts last no longer in one group than in another beyond chance (log-rank p = {p:.2f})."
            return [Sentence(text, {"p": p})]
        parts = self.table[(self.table["group"] != ALL) & (self.table["contracts"] >= FEWEST)]
        parts = parts.dropna(subset=["stayed"])
        shown = localise(f"p = {p:.3f}" if p >= 0.001 else "p < 0.001")
        if len(parts) < 2:
            return [Sentence("How long contracts last differs by group (log-rank {p}).", {"p": shown})]
        order = parts.sort_values(["stayed", "group"])
        short, long = order.iloc[0], order.iloc[-1]
        text = (
            "How long contracts last differs by group (log-rank {p}): after renewal {n} {a:.0%} are left of {long}, "
            "{b:.0%} of {short}."
        )
        values = {"p": shown, "n": int(long["renewal"]), "a": long["stayed"], "long": long["name"]}
        return [Sentence(text, values | {"b": short["stayed"], "short": short["name"]})]


def _half(row: pd.Series) -> Sentence:
    if np.isnan(row["median"]):
        if np.isnan(row["renewal"]):
            return Sentence("No contract has come up for renewal yet.", tone="warn")
        values = {"stayed": row["stayed"], "n": int(row["renewal"])}
        return Sentence("Fewer than half of the contracts have ended: {stayed:.0%} are left after renewal {n}.", values)
    values = {k: int(row[k]) for k in ("median", "low", "high") if not np.isnan(row[k])}
    if "high" in values and "low" in values:
        text = "Half of the contracts have ended at renewal {median} (90 % interval {low} to {high})."
    elif "low" in values:
        text = "Half of the contracts have ended at renewal {median} (90 % interval from {low} on)."
    else:
        text = "Half of the contracts have ended at renewal {median}."
    return Sentence(text, values)


def contract_survival(
    history: pd.DataFrame,
    *,
    by: str | pd.Series | None = None,
    names: Mapping[str, str] | None = None,
    basis: Basis | None = None,
) -> ContractSurvival:
    """Kaplan–Meier of contracts, of all and by group, with the log-rank test between groups.

    The log-rank statistic is Σ (observed − expected) over the renewals in units of its hypergeometric covariance
    [Kalbfleisch & Prentice 2002, eq. 1.24], contracts being at risk from their first renewal on record on.

    Parameters
    ----------
    history
        One row a contract (`crmlab.base.periods.contracts`): customer_id, periods, ended, since.
    by
        A column of `history` (``"plan"``), or customer_id → segment; contracts without one are in no group's row.
    names
        Group → name.
    basis
        What the history rests on; by default its number of contracts.
    """
    basis = basis or Basis(len(history), mark("contracts"))
    groups = pd.Series(dtype="str")
    if isinstance(by, str):
        groups = history[by].dropna().astype("str")
    elif by is not None:
        groups = history["customer_id"].map(by).dropna().astype("str")
    parts = {ALL: history} | {g: history.loc[groups.index[groups == g]] for g in sorted(groups.unique())}
    curves = {group: observed(part) for group, part in parts.items()}
    begins = _first_enough(curves[ALL])
    curves = {group: curve if begins == 1 else observed(parts[group], begins) for group, curve in curves.items()}
    large = {g: c for g, c in curves.items() if g != ALL and len(parts[g]) >= FEWEST}
    at = _last_common([curves[ALL], *large.values()])
    called = {ALL: mark("all contracts")} | dict(names or {})
    rows = [
        {"group": g, "name": called.get(g, g), "contracts": len(parts[g]), "ended": int(parts[g]["ended"].sum())}
        | dict(zip(("median", "low", "high"), median(curve), strict=True))
        | _left_after(curve, at)
        for g, curve in curves.items()
    ]
    curve = pd.concat([c.assign(group=g) for g, c in curves.items()], ignore_index=True)
    table = pd.DataFrame(rows).astype({"group": "str", "name": "str"})
    return ContractSurvival(table, basis, curve, log_rank(list(large.values())), begins, isinstance(by, pd.Series))


def observed(history: pd.DataFrame, begins: int = 1) -> pd.DataFrame:
    """Kaplan–Meier by renewal, contracts being at risk only from the first renewal on record on.

    Intervals by Greenwood's variance on the scale of log(−log S) [Kalbfleisch & Prentice 2002, section 1.4].

    Parameters
    ----------
    history
        One row a contract: periods, ended; since where there.
    begins
        Shares are of those who reached this renewal.

    Returns
    -------
    DataFrame
        renewal, customers at risk, ended, rate, stayed, stayed_low, stayed_high (90 %): the last three missing where
        nobody was at risk at an earlier renewal.
    """
    periods, ended = history["periods"].to_numpy(int), history["ended"].to_numpy(int)
    since = history["since"].to_numpy(int) if "since" in history else np.zeros(len(history), dtype=int)
    last = max(int(periods.max(initial=0)), 1)
    renewals = np.arange(1, last + 1)
    entered = np.cumsum(np.bincount(since, minlength=last + 1))[:last]
    past = np.cumsum(np.bincount(periods, minlength=last + 1))[:last]
    at_risk = entered - past
    left = np.bincount(periods[ended == 1], minlength=last + 1)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = 1 - left / at_risk
        stayed = np.cumprod(np.where(renewals < begins, 1.0, rate))
        lost = np.where(renewals < begins, 0.0, left / (at_risk * (at_risk - left)))
        reach = ndtri((1 + LEVEL) / 2) * np.sqrt(np.cumsum(lost)) / np.abs(np.log(stayed))
        low, high = stayed ** np.exp(reach), stayed ** np.exp(-reach)
    sure = (stayed == 1) | (stayed == 0)
    return pd.DataFrame(
        {"renewal": renewals, "customers": at_risk, "ended": left, "rate": rate, "stayed": stayed}
        | {"stayed_low": np.where(sure, stayed, low), "stayed_high": np.where(sure, stayed, high)}
    )


def median(curve: pd.DataFrame) -> tuple[float, float, float]:
    """Renewal at which half have ended, with its limits [Brookmeyer & Crowley 1982]; NaN where not reached."""
    reached = [curve.loc[curve[c] <= 0.5 + 1e-12, "renewal"] for c in ("stayed", "stayed_low", "stayed_high")]
    return tuple(float(r.iloc[0]) if len(r) else np.nan for r in reached)


def log_rank(curves: list[pd.DataFrame]) -> tuple[float, int, float] | None:
    """Whether groups leave at the same rates: χ², degrees of freedom, p; None where nothing can be compared.

    Parameters
    ----------
    curves
        One a group, as `observed` returns them.
    """
    if len(curves) < 2:
        return None
    top = max(int(c["renewal"].max()) for c in curves)
    at_risk, left = np.zeros((len(curves), top)), np.zeros((len(curves), top))
    for row, curve in enumerate(curves):
        at_risk[row, : len(curve)], left[row, : len(curve)] = curve["customers"], curve["ended"]
    n, d = at_risk.sum(axis=0), left.sum(axis=0)
    told = (n > 1) & (d > 0)
    at_risk, left, n, d = at_risk[:, told], left[:, told], n[told], d[told]
    share = at_risk / n
    apart = (left - d * share).sum(axis=1)
    common = d * (n - d) / (n - 1)
    covariance = np.diag((common * share).sum(axis=1)) - (common * share) @ share.T
    free = int(np.linalg.matrix_rank(covariance))
    if not free:
        return None
    statistic = float(apart @ np.linalg.pinv(covariance) @ apart)
    return statistic, free, float(chdtrc(free, statistic))


def _first_enough(curve: pd.DataFrame) -> int:
    """The first renewal that five contracts were up for, or 1: a share of fewer would decide all later ones."""
    enough = curve.loc[curve["customers"] >= FEWEST, "renewal"]
    return int(enough.iloc[0]) if len(enough) else 1


def _last_common(curves: list[pd.DataFrame]) -> float:
    """The last renewal that five contracts of every group were up for."""
    lasts = [c.loc[c["customers"] >= FEWEST, "renewal"].max() for c in curves]
    return float(np.min(lasts)) if lasts else np.nan


def _left_after(curve: pd.DataFrame, renewal: float) -> dict[str, float]:
    row = curve[curve["renewal"] == renewal]
    found = row.iloc[0] if len(row) else dict.fromkeys(("stayed", "stayed_low", "stayed_high"), np.nan)
    return {"renewal": renewal} | {c: float(found[c]) for c in ("stayed", "stayed_low", "stayed_high")}
