"""How long subscribers stay: what was observed, beside the curve of a model and what it expects next."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.survival import observed
from crmlab.clv.fitting.fit import Fit, require_passed
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.sbg import rows
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import kept
from crmlab.contract import Basis, Result, Sentence, mark
from crmlab.contract.result import FEWEST

NEAR = 0.03
"""A model's curve that stays within this of what was observed describes it well."""

FLAT = 0.01
"""A retention rate that moves by less than this is the same at every tenure, whatever a model must believe."""

CLEAR = 0.95
"""What has this probability is said without reserve."""


@dataclass(frozen=True, eq=False)
class RetentionCurve(Result):
    """Who is left after each renewal.

    Attributes
    ----------
    table
        renewal (1, 2, …); customers at risk of leaving at it (0 beyond the data); stayed, stayed_low, stayed_high:
        share of a cohort that survives it (Kaplan–Meier, missing where not seen from the start); rate: share of those
        at risk who renewed; survival, survival_low, survival_high and model_rate: the same by the model. 90 %.
    title_of_model
        The model, as a page calls it.
    rising
        Probability that the retention rate is higher at the last observed renewal than at the first.
    c
        Mean, low, high (90 %) and probability of being above 1 of the model's duration dependence; None without one.
    older
        Share of contracts that began before the records did.
    """

    table: pd.DataFrame
    basis: Basis
    title_of_model: str
    rising: float
    c: tuple[float, float, float, float] | None = None
    older: float = 0.0

    title: ClassVar[str] = "Retention by renewal"
    note: ClassVar[str] = (
        "Of those who start, the share left after each renewal, and of those up for a renewal, the share who renewed: "
        "observed (Kaplan–Meier) and by the model, with 90 % intervals. Beyond the last observed renewal there is only "
        "the model."
    )
    columns: ClassVar = {
        "renewal": ("renewal", ",.0f"),
        "customers": ("up for it", ",.0f"),
        "rate": ("renewed", ".1%"),
        "model_rate": ("renewed, by the model", ".1%"),
        "stayed": ("left after it", ".1%"),
        "survival": ("left after it, by the model", ".1%"),
        "survival_low": ("low (90 %)", ".1%"),
        "survival_high": ("high (90 %)", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """Where the curve leads, whether retention rises with tenure and why, and how well the model describes it."""
        end, seen = self.table.iloc[-1], self._seen()
        said = [
            Sentence(
                "{share:.0%} of new subscribers are expected to be left after {n} renewals (90 % interval {low:.0%} to "
                "{high:.0%}).",
                {"share": end["survival"], "n": int(end["renewal"])}
                | {"low": end["survival_low"], "high": end["survival_high"]},
            )
        ]
        if len(seen) > 1:
            first, last = seen.iloc[0], seen.iloc[-1]
            values = {"a": first["model_rate"], "b": last["model_rate"], "n": int(last["renewal"])}
            values["first"] = int(first["renewal"])
            if abs(values["b"] - values["a"]) < FLAT:
                text = "Retention hardly changes with tenure: {a:.1%} at renewal {first}, {b:.1%} at renewal {n}."
                said.append(Sentence(text, values))
            elif self.rising > CLEAR:
                text = "Retention rises with tenure, from {a:.1%} at renewal {first} to {b:.1%} at renewal {n}."
                said.append(Sentence(text, values, tone="good"))
            elif self.rising < 1 - CLEAR:
                text = "Retention falls with tenure, from {a:.1%} at renewal {first} to {b:.1%} at renewal {n}."
                said.append(Sentence(text, values, tone="bad"))
            else:
                text = "Whether retention changes with tenure is open: {a:.1%} at renewal {first}, {b:.1%} at {n}."
                said.append(Sentence(text, values))
        said.append(self._dependence())
        said.extend(self._fit(seen))
        if self.older:
            said.append(
                Sentence(
                    "{share:.0%} of contracts began before the records do: they were seen only because they lasted, "
                    "and count from their first renewal on record.",
                    {"share": self.older},
                )
            )
        return said

    def _seen(self) -> pd.DataFrame:
        return self.table[self.table["customers"] >= FEWEST]

    def _dependence(self) -> Sentence:
        if self.c is None:
            return Sentence(
                "{model} lets nobody's own loyalty change: where retention rises, it is because those who leave easily "
                "leave first.",
                {"model": self.title_of_model},
            )
        mean, low, high, above = self.c
        values = {"mean": mean, "low": low, "high": high}
        if above > CLEAR and self.rising > CLEAR:
            return Sentence(
                "Each subscriber leaves more easily the longer the contract lasts (c = {mean:.2f}, {low:.2f} to "
                "{high:.2f}); the rate rises all the same because those who leave easily leave first.",
                values,
                tone="warn",
            )
        if above > CLEAR:
            return Sentence(
                "Each subscriber leaves more easily the longer the contract lasts (c = {mean:.2f}, {low:.2f} to "
                "{high:.2f}).",
                values,
                tone="warn",
            )
        if above < 1 - CLEAR:
            return Sentence(
                "Each subscriber leaves less easily the longer the contract lasts (c = {mean:.2f}, {low:.2f} to "
                "{high:.2f}).",
                values,
                tone="good",
            )
        return Sentence(
            "Whether a subscriber's own loyalty changes with tenure is open (c = {mean:.2f}, {low:.2f} to {high:.2f}).",
            values,
        )

    def _fit(self, seen: pd.DataFrame) -> list[Sentence]:
        compared = seen.dropna(subset=["stayed"])
        if compared.empty:
            return []
        gap = float((compared["stayed"] - compared["survival"]).abs().max())
        values = {"model": self.title_of_model, "gap": 100 * gap}
        if gap <= NEAR:
            text = "The curve of {model} is never more than {gap:.1f} percentage points from what was observed."
            return [Sentence(text, values, tone="good")]
        text = "The curve of {model} is up to {gap:.1f} percentage points from what was observed: read it with care."
        return [Sentence(text, values, tone="warn")]


def retention_curve(
    history: pd.DataFrame, fitted: Fit, *, ahead: int, params: CLVParams, basis: Basis | None = None
) -> RetentionCurve:
    """Observed and modelled retention, `ahead` renewals beyond the last that anybody was up for.

    Parameters
    ----------
    history
        One row a contract: periods, ended, since (0 where missing).
    fitted
        A fit of a model of contracts to it.
    ahead
        Renewals beyond the data.
    params
        Draws to keep.
    basis
        What the history rests on; by default its number of contracts.
    """
    require_passed(fitted)
    fitted.fitted.check(history)
    history = rows(history)
    seen = observed(history)
    draws = kept(fitted.draws, params.kept_draws)
    renewals = np.arange(1, int(seen["renewal"].max()) + ahead + 1)
    newcomer = pd.DataFrame({"periods": [0], "ended": [0]})
    survival = np.concatenate([fitted.fitted.survival(draws, newcomer, int(t)) for t in renewals])
    rates = survival / np.concatenate([np.ones((1, survival.shape[1])), survival[:-1]])
    low, high = np.quantile(survival, INTERVAL, axis=1)
    model = pd.DataFrame(
        {"renewal": renewals, "survival": survival.mean(axis=1), "survival_low": low, "survival_high": high}
        | {"model_rate": survival.mean(axis=1) / np.r_[1, survival.mean(axis=1)[:-1]]}
    )
    table = model.merge(seen, on="renewal", how="left").fillna({"customers": 0, "ended": 0})
    enough = np.flatnonzero(table["customers"] >= FEWEST)
    first, last = (int(enough[0]), int(enough[-1])) if len(enough) else (0, 0)
    c = draws.get("c")
    return RetentionCurve(
        table=table.astype({"customers": "int64", "ended": "int64"}),
        basis=basis or Basis(len(history), mark("contracts")),
        title_of_model=fitted.fitted.title,
        rising=float((rates[last] > rates[first]).mean()),
        c=None if c is None else (float(c.mean()), *map(float, np.quantile(c, INTERVAL)), float((c > 1).mean())),
        older=float((history["since"] > 0).mean()),
    )
