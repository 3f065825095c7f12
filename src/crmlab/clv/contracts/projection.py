"""Were subscribers' renewals foreseen? Models of contracts fitted without the last periods, which they then project."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.survival import observed
from crmlab.clv.fitting.fit import Fit, fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.registry import FAMILIES
from crmlab.clv.models.sbg import rows
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import kept
from crmlab.contract import Basis, Fault, Refused, Result, Sentence, generator, mark, say
from crmlab.contract.result import FEWEST

CONSTANT = mark("constant retention rate")


@dataclass(frozen=True, eq=False)
class Projection(Result):
    """Subscribers left in the periods withheld, projected and actual.

    Attributes
    ----------
    table
        model, ahead (1, 2, …: renewals after the cut), customers running at the cut, actual (left after it), projected,
        low, high (90 %, of the number), inside (whether the actual number lies within).
    fits
        Model → fit to the periods before the cut.
    failed
        One sentence a statistic that failed the gate of a model, which then projects nothing.
    """

    table: pd.DataFrame
    basis: Basis
    fits: Mapping[str, Fit]
    failed: tuple[Sentence, ...] = ()

    title: ClassVar[str] = "Retention projected and actual"
    note: ClassVar[str] = (
        "The models saw nothing of the last periods and project them, with 90 % intervals for the number left. A "
        "constant retention rate, the average so far, stands beside them."
    )
    columns: ClassVar = {
        "model": ("model", ""),
        "ahead": ("renewals after the cut", ",.0f"),
        "customers": ("at the cut", ",.0f"),
        "actual": ("left", ",.0f"),
        "projected": ("projected", ",.0f"),
        "low": ("low (90 %)", ",.0f"),
        "high": ("high (90 %)", ",.0f"),
    }
    people: ClassVar[tuple[str, ...]] = ("customers", "actual")

    def shown(self) -> pd.DataFrame:
        """The table in the reader's language."""
        return self.table.replace({"model": {CONSTANT: say(CONSTANT)}})

    def sentences(self) -> list[Sentence]:
        """How far each projection was off at the end, and how often its interval held."""
        said = list(self.failed)
        for model, part in self.table.groupby("model", sort=False):
            end = part.iloc[-1]
            values = {
                "model": Sentence(CONSTANT) if model == CONSTANT else model,
                "projected": end["projected"],
                "actual": int(end["actual"]),
                "customers": int(end["customers"]),
                "ahead": int(end["ahead"]),
                "inside": int(part["inside"].sum()),
                "off": abs(end["projected"] / max(end["actual"], 1) - 1),
            }
            if end["actual"] < FEWEST:
                text = "{model}: fewer than five of {customers:,} subscribers are left after {ahead} renewals."
                said.append(Sentence(text, values))
            elif part["inside"].mean() >= 0.5:
                text = (
                    "{model}: {projected:,.0f} of {customers:,} subscribers were expected to be left after {ahead} "
                    "renewals, {actual:,} were ({off:.1%} off); the 90 % interval holds in {inside} of {ahead} periods."
                )
                said.append(Sentence(text, values, tone="good"))
            else:
                text = (
                    "{model}: {projected:,.0f} of {customers:,} subscribers were expected to be left after {ahead} "
                    "renewals, {actual:,} were ({off:.1%} off); the 90 % interval holds in only {inside} of {ahead} "
                    "periods."
                )
                said.append(Sentence(text, values, tone="warn"))
        return said


def project(
    history: pd.DataFrame,
    *,
    held_out: int,
    seed: int,
    params: CLVParams,
    models: tuple[str, ...] = FAMILIES["contracts"],
    basis: Basis | None = None,
) -> Projection:
    """Fit models to all but the last periods, and project who is left in them.

    Parameters
    ----------
    history
        One row a contract: periods, ended, observed; since (0 where missing).
    held_out
        Periods withheld, in calendar time: a contract's last `held_out` renewals that were due.
    seed
        The study's seed.
    params
        Sampler, gate and draws to keep.
    models
        Models of contracts.
    basis
        What the history rests on; by default its number of contracts.

    Raises
    ------
    Refused
        When the history does not allow it, naming every fault.
    """
    before, ahead = cut(history, held_out)
    running = before["ended"] == 0
    fits = {m: fit(before, m, seed=seed, name=f"held out {held_out}", params=params) for m in models}
    steps = np.arange(1, held_out + 1)
    actual = np.array([int((ahead[running] > j).sum()) for j in steps - 1])
    tenures = before.loc[running, ["periods"]].assign(ended=0).groupby(["periods", "ended"]).size()
    at_cut, numbers = tenures.index.to_frame(index=False), tenures.to_numpy()
    rates = {}
    for found in fits.values():
        if found.passed:
            draws = kept(found.draws, params.kept_draws)
            survival = np.stack([found.fitted.survival(draws, at_cut, int(j)) for j in [0, *steps]])
            rates[found.fitted.title] = survival[1:] / np.maximum(survival[:-1], 1e-300)
    seen = observed(before)
    up, left = int(seen["customers"].sum()), int(seen["ended"].sum())
    rng = generator(seed, "clv", "projection", str(held_out))
    constant = rng.beta(up - left + 0.5, left + 0.5, size=params.kept_draws)
    rates[CONSTANT] = np.broadcast_to(constant, (held_out, len(numbers), params.kept_draws))
    tables = [_drawn(name, rate, numbers, rng).assign(actual=actual) for name, rate in rates.items()]
    table = pd.concat(tables, ignore_index=True)
    table["inside"] = (table["low"] <= table["actual"]) & (table["actual"] <= table["high"])
    return Projection(
        table=table[["model", "ahead", "customers", "actual", "projected", "low", "high", "inside"]],
        basis=basis or Basis(len(before), mark("contracts")),
        fits=fits,
        failed=tuple(s for f in fits.values() for s in f.failures),
    )


def cut(history: pd.DataFrame, held_out: int) -> tuple[pd.DataFrame, pd.Series]:
    """The contracts as they were `held_out` periods before the end, and the renewals each survived afterwards.

    Contracts that had not begun, or were not on record, are left out.
    """
    faults = []
    if held_out < 1:
        faults.append(Fault("held_out", f"got {held_out}; withhold at least one period"))
    if "observed" not in history:
        faults.append(Fault("observed", "this column is missing; it says how many renewals were due"))
    elif ((history["ended"] == 0) & (history["periods"] < history["observed"])).any():
        faults.append(Fault("observed", "above periods where ended = 0; everybody must be followed to the end"))
    if faults:
        raise Refused("contracts", faults)
    history = rows(history)
    due = history["observed"] - held_out
    there = history[(due >= 0) & (history["since"] <= due)]
    due = due[there.index]
    ended = (there["ended"] == 1) & (there["periods"] <= due)
    before = there.assign(periods=there["periods"].clip(upper=due), ended=ended.astype("int64"), observed=due)
    if int((~ended).sum()) < FEWEST:
        raise Refused("contracts", [Fault("held_out", "fewer than five contracts ran at the cut; withhold less")])
    return before, there["periods"] - there["ended"] - due


def _drawn(name: str, rates: np.ndarray, numbers: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Numbers left after each renewal, drawn: rates (renewals, tenures, draws), numbers (tenures,) at the cut."""
    left = np.broadcast_to(numbers[:, None], rates.shape[1:])
    records = []
    for ahead, rate in enumerate(rates, start=1):
        left = rng.binomial(left, np.clip(rate, 0, 1))
        total = left.sum(axis=0)
        low, high = np.quantile(total, INTERVAL)
        records.append(
            {"model": name, "ahead": ahead, "customers": int(numbers.sum()), "projected": float(total.mean())}
            | {"low": float(low), "high": float(high)}
        )
    return pd.DataFrame(records)
