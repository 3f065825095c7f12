"""Was the risk of leaving right before? Probabilities of coming back given before the weeks withheld, and who came."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
from scipy.stats import binom

from crmlab.base.periods import Period
from crmlab.clv.contracts.projection import Projection, cut
from crmlab.clv.fitting.fit import Fit
from crmlab.clv.models.model import ContractModel
from crmlab.clv.params import CLVParams
from crmlab.clv.risk.leaving import risk_of_leaving
from crmlab.clv.risk.reliability import Reliability, reliability
from crmlab.clv.risk.result import LENGTHS
from crmlab.clv.validation.validation_result import Validation
from crmlab.clv.validation.withheld import withhold
from crmlab.clv.value.predict import kept
from crmlab.contract import Basis, Result, Sentence, mark

COLUMNS = ("group", "customers", "predicted", "actual", "low", "high")
UNLIKELY = 0.05
NEAR = 0.03
"""A share within this of what was said is nearly right."""


@dataclass(frozen=True, eq=False)
class Calibration(Result):
    """Probabilities of coming back (of renewing) in time withheld, against who did.

    Attributes
    ----------
    table
        group (1: most likely to come back), customers, predicted (mean probability), actual (share that came back),
        low, high (90 %). Empty where there is nothing to compare.
    found
        The scores; None where there is no table.
    horizon, unit
        Length of the time withheld, in units.
    contractual
        Whether contracts were to be renewed, rather than customers to come back.
    unfit
        Why there is no table.
    plain
        Whether the model checked lacks the covariates, or the segments' own parameters, of the one in use.
    """

    table: pd.DataFrame
    basis: Basis
    found: Reliability | None = None
    horizon: float = 0
    unit: str = "week"
    contractual: bool = False
    unfit: tuple[Sentence, ...] = ()
    plain: bool = False

    title: ClassVar[str] = "Were such risks right before?"
    note: ClassVar[str] = (
        "The model saw nothing of the time withheld. Customers are grouped by the probability it gave to their coming "
        "back (of contracts: their renewal); beside it the share that did, with its 90 % interval."
    )
    columns: ClassVar = {
        "group": ("group", ",.0f"),
        "customers": ("customers", ",.0f"),
        "predicted": ("said to come back (to renew)", ".1%"),
        "actual": ("did", ".1%"),
        "low": ("low (90 %)", ".1%"),
        "high": ("high (90 %)", ".1%"),
    }

    def sentences(self) -> list[Sentence]:
        """Whether probabilities kept their word: in all, in the group furthest off, in their spread, in their order."""
        if self.found is None:
            return list(self.unfit)
        said = [self._all(), self._furthest(), *self._spread(), self._score()]
        if self.plain:
            text = (
                "Checked is the plain model, without the covariates or the segments' own parameters of the one in use."
            )
            said.append(Sentence(text))
        return said

    def _values(self) -> dict:
        actual, low, high = self.found.actual
        return {
            "n": int(self.table["customers"].sum()),
            "length": Sentence(LENGTHS[self.unit], {"n": self.horizon}),
            "predicted": self.found.predicted,
            "actual": actual,
            "low": low,
            "high": high,
        } | self._words()

    def _words(self) -> dict[str, Sentence]:
        if self.contractual:
            return {"did": Sentence("renewed"), "do": Sentence("renew")}
        return {"did": Sentence("came back"), "do": Sentence("come back")}

    def _all(self) -> Sentence:
        values = self._values()
        if values["low"] <= values["predicted"] <= values["high"]:
            text = (
                "In the {length} withheld {actual:.0%} of {n:,} {did} (90 % interval {low:.0%} to {high:.0%}); "
                "{predicted:.0%} had been expected to: the total is right."
            )
            return Sentence(text, values, tone="good")
        if abs(values["actual"] - values["predicted"]) <= NEAR:
            text = (
                "In the {length} withheld {actual:.0%} of {n:,} {did} (90 % interval {low:.0%} to {high:.0%}); "
                "{predicted:.0%} had been expected to: off by more than chance, but not by much."
            )
            return Sentence(text, values)
        if values["actual"] > values["predicted"]:
            text = (
                "In the {length} withheld {actual:.0%} of {n:,} {did} (90 % interval {low:.0%} to {high:.0%}), more "
                "than the {predicted:.0%} expected: the risk of leaving was overstated."
            )
            return Sentence(text, values, tone="warn")
        text = (
            "In the {length} withheld {actual:.0%} of {n:,} {did} (90 % interval {low:.0%} to {high:.0%}), fewer than "
            "the {predicted:.0%} expected: the risk of leaving was understated."
        )
        return Sentence(text, values, tone="warn")

    def _furthest(self) -> Sentence:
        table = self.table
        inside = (table["low"] <= table["predicted"]) & (table["predicted"] <= table["high"])
        values = self._words() | {"inside": int(inside.sum()), "groups": len(table)}
        off = (table["predicted"] - table["actual"]).abs()
        row = table.loc[(off if inside.all() else off[~inside]).round(9).idxmax()]
        values |= {"predicted": row["predicted"], "actual": row["actual"], "low": row["low"], "high": row["high"]}
        if binom.cdf(values["inside"], values["groups"], 0.9) > UNLIKELY:
            text = (
                "In {inside} of {groups} groups the share that {did} agrees with what was said; furthest off, "
                "{predicted:.0%} were said to {do} and {actual:.0%} did ({low:.0%} to {high:.0%})."
            )
            return Sentence(text, values, tone="good")
        text = (
            "Where {predicted:.0%} were said to {do}, {actual:.0%} did ({low:.0%} to {high:.0%}); in only {inside} of "
            "{groups} groups does what was said lie within the interval."
        )
        return Sentence(text, values, tone="warn")

    def _spread(self) -> list[Sentence]:
        slope, low, high = self.found.slope
        if not np.isfinite(slope):
            return []
        values = {"slope": slope, "low": low, "high": high}
        if high < 1:
            text = (
                "The risks are too extreme (calibration slope {slope:.2f}, 90 % interval {low:.2f} to {high:.2f}; 1 is "
                "right): who was said to be safe was less so, and who was said to be gone less gone."
            )
            return [Sentence(text, values, tone="warn")]
        if low > 1:
            text = (
                "The risks are too timid (calibration slope {slope:.2f}, 90 % interval {low:.2f} to {high:.2f}; 1 is "
                "right): customers differ more than was said."
            )
            return [Sentence(text, values)]
        text = "The risks differ as much as customers do (calibration slope {slope:.2f}, {low:.2f} to {high:.2f})."
        return [Sentence(text, values, tone="good")]

    def _score(self) -> Sentence:
        gained, low, high = self.found.gained
        brier = self.found.brier[0]
        values = {"brier": brier, "naive": brier + gained, "gained": gained, "low": low, "high": high}
        if low > 0:
            text = (
                "They tell people apart: Brier score {brier:.3f}, against {naive:.3f} for one probability for "
                "everybody (gain {gained:.3f}, {low:.3f} to {high:.3f})."
            )
            return Sentence(text, values, tone="good")
        if high < 0:
            text = (
                "They are worse than one probability for everybody: Brier score {brier:.3f} against {naive:.3f} (gain "
                "{gained:.3f}, {low:.3f} to {high:.3f}). Do not choose anybody by them."
            )
            return Sentence(text, values, tone="bad")
        text = (
            "They tell hardly more than one probability for everybody: Brier score {brier:.3f} against {naive:.3f} "
            "(gain {gained:.3f}, {low:.3f} to {high:.3f})."
        )
        return Sentence(text, values, tone="warn")


def calibration(orders: ibis.Table, check: Validation, *, as_of: date, params: CLVParams) -> Calibration:
    """The probabilities of coming back in the weeks withheld, against who did.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    check
        The validation of the same weeks (`crmlab.clv.validation.validate.validate`), whose fit is used.
    as_of, params
        As they were given to it.
    """
    withheld = withhold(orders, as_of=as_of, params=params)
    if check.fit is None or not check.fit.passed or withheld.why or withheld.before.empty:
        return _nothing(withheld.basis(), *check.unfit)
    covered = params.covariates
    return compare(
        withheld.before,
        withheld.actual > 0,
        check.fit,
        weeks=withheld.weeks,
        params=params,
        basis=withheld.basis(),
        plain=bool(covered.purchase or covered.dropout or params.by_segment),
    )


def compare(
    before: pd.DataFrame,
    back: np.ndarray,
    fitted: Fit,
    *,
    weeks: int,
    params: CLVParams,
    basis: Basis,
    plain: bool = False,
) -> Calibration:
    """The same from a history, a sound fit to it, and who came `back` in the `weeks` after."""
    risk = risk_of_leaving(before, fitted, params=params, horizon_weeks=weeks).table.set_index("customer_id")["risk"]
    found = reliability(1 - risk.loc[before["customer_id"]].to_numpy(), back)
    return Calibration(found.groups, basis, found, horizon=weeks, plain=plain)


def contract_calibration(
    history: pd.DataFrame, projection: Projection, model: str, *, held_out: int, period: Period, params: CLVParams
) -> Calibration:
    """The probabilities of renewing through the periods withheld, against which contracts did.

    Parameters
    ----------
    history
        One row a contract: periods, ended, observed; since (0 where missing).
    projection
        As of `crmlab.clv.contracts.projection.project`, whose fits are used.
    model
        Name of the model in use, among them.
    held_out, period, params
        Periods withheld, as there; their length; draws to keep.
    """
    fitted = projection.fits.get(model)
    if fitted is None or not fitted.passed:
        failures = fitted.failures if fitted is not None else ()
        return _nothing(projection.basis, *(failures or (Sentence("The model in use was not projected."),)))
    before, ahead = cut(history, held_out)
    running = (before["ended"] == 0).to_numpy()
    rows, chosen = before[running], fitted.fitted
    assert isinstance(chosen, ContractModel)
    tenures, at = np.unique(rows["periods"].to_numpy(int), return_inverse=True)
    distinct = pd.DataFrame({"periods": tenures, "ended": 0})
    stays = chosen.survival(kept(fitted.draws, params.kept_draws), distinct, held_out).mean(axis=1)[at]
    found = reliability(stays, (ahead[rows.index] >= held_out).to_numpy())
    basis = Basis(len(rows), mark("contracts"), projection.basis.start, projection.basis.end)
    return Calibration(found.groups, basis, found, horizon=held_out, unit=period, contractual=True)


def _nothing(basis: Basis, *why: Sentence) -> Calibration:
    return Calibration(pd.DataFrame(columns=[*COLUMNS]), basis, unfit=why)
