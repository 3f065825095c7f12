"""Retention by acquisition cohort and age, small cohorts borrowing from the others as far as cohorts are alike."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.active import first_day, label
from crmlab.base.intervals import jeffreys
from crmlab.base.opening import Opening
from crmlab.base.pooled_rates import PooledRates, pooled_rates
from crmlab.base.retention import Retention
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

SMALL = 100
"""Cohorts of fewer customers than this are counted as small in what is said."""

KINDS = {"cohort": "str", "start": "datetime64[s]", "age": "int64", "customers": "int64", "active": "int64"}
KINDS |= dict.fromkeys(("crr", "low", "high", "pooled", "pooled_low", "pooled_high"), "float64") | {"before": "bool"}
AGES = {"age": "int64", "cohorts": "int64", "customers": "int64", "active": "int64", "differ": "bool"}
AGES |= dict.fromkeys(("typical", "low", "high", "from", "to"), "float64")


@dataclass(frozen=True)
class Cohorts(Result):
    """What becomes of those first seen in one period.

    table
        cohort, start, age (in periods), customers, active (who order at that age), crr with low, high (by itself,
        Jeffreys), pooled with pooled_low, pooled_high (borrowing from the other cohorts of that age), before (the
        cohort may hold customers of before the data begin). Ages not yet over are absent; empty where the base shows
        no acquisitions.
    by_age
        age, cohorts, customers, active, typical with low, high (rate of a cohort like these), from, to (between which
        nine cohorts in ten lie), differ (by more than chance); of cohorts whose customers are known to be new.
    """

    table: pd.DataFrame
    basis: Basis
    by_age: pd.DataFrame = field(default_factory=pd.DataFrame)
    opening: Opening | None = None

    title: ClassVar[str] = "Retention by cohort and age"
    note: ClassVar[str] = (
        "A cohort is who ordered for the first time in one period; age counts periods since. The typical rate is the "
        "mean over cohorts like those seen, with its 90 % interval; nine cohorts in ten lie between the last two "
        "columns. In the picture a cohort borrows from the others of its age, the more the fewer customers it has and "
        "the more alike cohorts are. Ages not yet over are absent."
    )
    people: ClassVar[tuple[str, ...]] = ("customers", "active")
    columns: ClassVar[dict[str, tuple[str, str]]] = {
        "age": ("age in periods", ",.0f"),
        "cohorts": ("cohorts", ",.0f"),
        "customers": ("customers", ",.0f"),
        "active": ("order at that age", ",.0f"),
        "typical": ("typical rate", ".1%"),
        "low": ("90 % low", ".1%"),
        "high": ("90 % high", ".1%"),
        "from": ("nine cohorts in ten from", ".1%"),
        "to": ("to", ".1%"),
    }

    def shown(self) -> pd.DataFrame:
        """One row an age."""
        return self.by_age

    def sentences(self) -> list[Sentence]:
        """How many come back at which age, whether cohorts differ, which borrow, and which may be no cohort."""
        if self.table.empty:
            if self.opening is not None and self.opening.kind in ("coming", "one cohort"):
                return [Sentence("No cohort has an age that is over: there is nothing to compare yet.", tone="warn")]
            text = "There are no cohorts: nobody is seen to come for the first time."
            return [Sentence(text, tone="warn")] + ([self.opening.sentence()] if self.opening else [])
        said = []
        ages = self.by_age[self.by_age["customers"] >= FEWEST]
        if len(ages):
            said.append(_at(ages.iloc[0], mark("Of the customers of a cohort {rate:.1%} order at age {age}.")))
            if len(ages) > 1:
                said.append(_at(ages.iloc[-1], mark("Of those old enough, {rate:.1%} order at age {age}.")))
            said.append(_between(ages.iloc[0]))
        sizes = self.table.drop_duplicates("cohort")["customers"]
        if (sizes < SMALL).any() and len(sizes) > 1:
            values = {"small": int((sizes < SMALL).sum()), "all": len(sizes), "size": SMALL}
            text = "{small} of {all} cohorts have fewer than {size} customers: their rates lean on the others'."
            said.append(Sentence(text, values))
        if self.table["before"].any():
            values = {"cohorts": ", ".join(self.table.loc[self.table["before"], "cohort"].unique())}
            text = (
                "The first cohorts ({cohorts}) may hold customers who were there before the data begin; they lend "
                "nothing to the others and stand in no typical rate."
            )
            said.append(Sentence(text, values, "warn"))
        return said


def _at(row: pd.Series, text: str) -> Sentence:
    return Sentence(text, {"rate": row["active"] / row["customers"], "age": int(row["age"])})


def _between(row: pd.Series) -> Sentence:
    if row["cohorts"] < 2:
        return Sentence("There is one cohort alone: it has none to borrow from.")
    values = {"age": int(row["age"]), "low": row["from"], "high": row["to"]}
    if row["differ"]:
        text = "At age {age} cohorts differ by more than chance: nine in ten lie between {low:.1%} and {high:.1%}."
        return Sentence(text, values)
    return Sentence("At age {age} cohorts differ by no more than chance.", values)


def cohorts(crr: Retention) -> Cohorts:
    """Share of each cohort that orders at each age: by itself, and pooled over the cohorts of that age.

    Ages are calendar periods after that of the first order, and the share of age t is Σ active(t) / customers
    [Fader & Hardie 2009]. Pooling is `crmlab.base.pooled_rates`: at each age cohorts' rates are beta distributed.
    Where customers are seen to come but some were there before, the cohorts of the first weeks are pooled apart.

    Parameters
    ----------
    crr
        Retention of the same orders, which counted them.
    """
    ages = _ages(crr)
    if ages.empty:
        empty = pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in KINDS.items()})
        none = pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in AGES.items()})
        return Cohorts(empty, crr.basis, none, crr.opening)
    found, rows = [], []
    for (before, age), of in ages.groupby(["before", "age"], sort=True):
        pooled = pooled_rates(of["active"].to_numpy(), of["customers"].to_numpy())
        found.append(of.assign(pooled=pooled.rate, pooled_low=pooled.low, pooled_high=pooled.high))
        total = {"age": age, "cohorts": len(of), "customers": of["customers"].sum(), "active": of["active"].sum()}
        rows.append(total | _others(pooled) | {"before": before})
    table = pd.concat(found).sort_values(["p", "age"], ignore_index=True)
    low, high = jeffreys(table["active"], table["customers"])
    table = table.assign(
        cohort=[label(p, crr.period) for p in table["p"]],
        start=pd.to_datetime([first_day(p, crr.period) for p in table["p"]]).as_unit("s"),
        crr=table["active"] / table["customers"],
        low=low,
        high=high,
    )
    by_age = pd.DataFrame(rows)
    by_age = by_age[~by_age["before"]] if not by_age["before"].all() else by_age
    return Cohorts(
        table[list(KINDS)].astype(KINDS), crr.basis, by_age[list(AGES)].astype(AGES).reset_index(drop=True), crr.opening
    )


def _others(pooled: PooledRates) -> dict[str, float | bool]:
    """What the cohorts of one age say of others like them; of one cohort alone, nothing."""
    if len(pooled.rate) < 2:
        missing = dict.fromkeys(("typical", "low", "high", "from", "to"), np.nan)
        return missing | {"differ": False}
    typical, low, high = pooled.typical
    limits = dict(zip(("from", "to"), pooled.range, strict=True))
    return {"typical": typical, "low": low, "high": high, "differ": pooled.differ} | limits


def _ages(crr: Retention) -> pd.DataFrame:
    """p, age, customers, active, before of every cohort at each age that is over; nobody active is a true 0."""
    first, last = crr.over
    if not crr.has_cohorts:
        return pd.DataFrame()
    counts = crr.counts[crr.counts["first"] >= first]
    active = {(c, p): n for c, p, n in counts[["first", "p", "active"]].itertuples(index=False)}
    rows = [
        (p, age, active[p, p], active.get((p, p + age), 0))
        for p in range(first, last)
        if (p, p) in active
        for age in range(1, last - p + 1)
    ]
    flat = pd.DataFrame(rows, columns=["p", "age", "customers", "active"]).astype("int64")
    known_from = crr.opening.start + pd.Timedelta(weeks=crr.opening.weeks)
    in_opening = {q: first_day(q, crr.period) < known_from for q in flat["p"].unique()}
    flat["before"] = flat["p"].map(in_opening) if crr.opening.kind == "coming" else False
    return flat
