"""Value tiers: customers by lifetime value, through a model that scores new customers too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.fit import Fit, fit, require_passed
from crmlab.clv.models.model import PurchaseModel, SpendModel
from crmlab.clv.models.registry import MODELS, family, model
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import WEEKS_A_YEAR
from crmlab.clv.value.spend import spend_fit
from crmlab.contract import Fault, Refused, mark

TRAITS = ("x", "t_x", "T", "z_bar")
TERMS = ("horizon_weeks", "annual_discount_rate", "margin_share")
DIGITS = 12
SIGNED = ("delta",)
"""Parameters that may be below 0."""

EQUAL = 9
"""Values that agree in so many significant digits are equal: customers of one history are in one tier."""

NAMES = {
    1: (mark("Everyone with an order"),),
    2: (mark("Top value"), mark("Low value")),
    3: (mark("Top value"), mark("Middle value"), mark("Low value")),
    4: (mark("Top value"), mark("High value"), mark("Middle value"), mark("Low value")),
    5: (mark("Top value"), mark("High value"), mark("Middle value"), mark("Low value"), mark("Lowest value")),
}
NUMBERED = (
    mark("Value tier 1"),
    mark("Value tier 2"),
    mark("Value tier 3"),
    mark("Value tier 4"),
    mark("Value tier 5"),
    mark("Value tier 6"),
    mark("Value tier 7"),
    mark("Value tier 8"),
    mark("Value tier 9"),
    mark("Value tier 10"),
)


@dataclass(frozen=True)
class ValueModel:
    """Expected discounted margin over a horizon, at fixed parameters: the posterior means of two fits.

    Attributes
    ----------
    purchases, spend
        Names of the models in `crmlab.clv.models.registry`.
    bought, spent
        Their parameters, in the order of the models' own.
    horizon_weeks, annual_discount_rate, margin_share
        As in the study's parameters.
    """

    purchases: str
    spend: str
    bought: tuple[float, ...]
    spent: tuple[float, ...]
    horizon_weeks: int
    annual_discount_rate: float
    margin_share: float

    kind: ClassVar[str] = "value"
    traits: ClassVar[tuple[str, ...]] = TRAITS

    def plain(self) -> dict[str, Any]:
        """The model as plain values, floats of twelve significant digits."""
        bought, spent = self._draws()
        return {
            "kind": self.kind,
            "purchases": {"model": self.purchases} | {k: _rounded(v) for k, (v,) in bought.items()},
            "spend": {"model": self.spend} | {k: _rounded(v) for k, (v,) in spent.items()},
            **{name: _rounded(getattr(self, name)) for name in TERMS},
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ValueModel:
        """The model of its plain values; what is missing or cannot be is refused, all at once."""
        faults: list[Fault] = []
        bought = _written(plain, "purchases", _able(), faults)
        spent = _written(plain, "spend", sorted(n for n, m in MODELS.items() if isinstance(m, SpendModel)), faults)
        for name in TERMS:
            if not _is_number(plain.get(name)) or plain[name] < 0:
                faults.append(Fault(name, f"got {plain.get(name)!r}, expected a number from 0 up"))
        if faults:
            raise Refused("value model", faults)
        terms = {name: plain[name] for name in TERMS}
        return cls(plain["purchases"]["model"], plain["spend"]["model"], bought, spent, **terms)

    def derived(self, table: pd.DataFrame) -> np.ndarray:
        """Value of each row, money; NaN where the table does not hold a customer's purchases.

        Parameters
        ----------
        table
            x, t_x, T in weeks, z_bar in money, missing where x = 0.
        """
        numbers = {c: pd.to_numeric(table[c]).to_numpy(dtype=float, na_value=np.nan) for c in TRAITS}
        known = np.isfinite([numbers[c] for c in ("x", "t_x", "T")]).all(axis=0)
        known &= (numbers["x"] == 0) | np.isfinite(numbers["z_bar"])
        values = np.full(len(table), np.nan)
        rows = pd.DataFrame({c: v[known] for c, v in numbers.items()})
        if rows.empty:
            return values
        bought, spent = self._draws()
        timing = model(self.purchases)
        of = rows.groupby(list(timing.columns), sort=True).ngroup().to_numpy()
        distinct = rows.iloc[np.unique(of, return_index=True)[1]]
        discount = float(np.log1p(self.annual_discount_rate) / WEEKS_A_YEAR)
        orders = timing.expected_purchases(bought, distinct, self.horizon_weeks, (discount,))[0, :, 0][of]
        values[known] = orders * model(self.spend).expected_value(spent, rows)[:, 0] * self.margin_share
        return values

    def probabilities(self, table: pd.DataFrame) -> None:
        """A value is a number, not a class: None."""
        return

    def _draws(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Both models' parameters, as one draw."""
        named = ((self.purchases, self.bought), (self.spend, self.spent))
        bought, spent = (
            {k: np.array([v]) for k, v in zip(model(name).parameters, values, strict=True)} for name, values in named
        )
        return bought, spent


def value_faults(params: CLVParams) -> list[Fault]:
    """Why these models cannot make value tiers: a tree scores customers by x, t_x, T and z_bar, and nothing else."""
    able, faults = ", ".join(_able()), []
    if family(params.purchases):
        what = f"{params.purchases} is a family; a tree keeps one model: name one of {able}"
        faults.append(Fault("clv.purchases", what))
    elif params.purchases not in _able():
        what = (
            f"a tree scores by x, t_x, T and z_bar, and {params.purchases} reads more; value tiers need one of {able}"
        )
        faults.append(Fault("clv.purchases", what))
    for process in ("purchase", "dropout", "value"):
        if getattr(params.covariates, process):
            what = "a tree keeps a value model without covariates; take them off, or segment by something else"
            faults.append(Fault(f"clv.covariates.{process}", what))
    return faults


def value_model(table: pd.DataFrame, params: CLVParams, *, seed: int) -> ValueModel:
    """Fit the study's models of purchases and spend to all customers, and keep their posterior means.

    The value at the posterior means is not quite the posterior mean of the value; with hundreds of customers the two
    differ by far less than the posterior's own width.

    Parameters
    ----------
    table
        One row a customer: customer_id, x, t_x, T in weeks, z_bar in money; customers without a purchase (x missing)
        inform nothing.
    params
        Models, horizon, discount, margin.
    seed
        The study's seed.

    Raises
    ------
    Refused
        When the models are not such that a tree can score by them.
    GateFailed
        When a fit did not pass its gate, naming each statistic.
    """
    faults = value_faults(params)
    lacking = [c for c in TRAITS if c not in table]
    if lacking:
        what = f"{', '.join(lacking)} left out; value tiers read {', '.join(TRAITS)}: include them, exclude none"
        faults.append(Fault("traits", what))
    if faults:
        raise Refused("segments by value", faults)
    known = table.loc[table["x"].notna(), ["customer_id", *TRAITS]].astype(dict.fromkeys(TRAITS, "float64"))
    known = known.sort_values("customer_id", kind="stable", ignore_index=True)
    bought = fit(known, params.purchases, seed=seed, name="value tiers", params=params)
    spent = spend_fit(known, seed=seed, name="value tiers", params=params)
    require_passed(bought, spent)
    return frozen(bought, spent, params)


def frozen(bought: Fit, spent: Fit, params: CLVParams) -> ValueModel:
    """The value model of two fits' posterior means."""
    means = [tuple(_rounded(float(f.draws[k].mean())) for k in f.fitted.parameters) for f in (bought, spent)]
    return ValueModel(bought.model, spent.model, *means, **{name: getattr(params, name) for name in TERMS})


def tier_cuts(values: Sequence[float] | np.ndarray, tiers: int, min_size: int) -> list[float]:
    """Lower bounds of all tiers but the lowest, ascending: customers in as many equal parts as there are tiers.

    A cut lies between two customers' values, at the number of fewest digits there: customers of one value are in one
    tier, and no rounding of theirs can move anybody. Cuts that would leave a tier below `min_size` are left out.

    Parameters
    ----------
    values
        Customers' values; missing ones count for nothing.
    tiers
        Tiers wanted.
    min_size
        Fewest customers of a tier.
    """
    known = np.asarray(values, dtype=float)
    known = np.sort(known[np.isfinite(known)])
    if not len(known):
        return []
    _, starts = np.unique(_significant(known), return_index=True)  # a tier begins where a new value does
    places, last = [], 0
    for tier in range(1, tiers):
        wanted = len(known) * tier / tiers
        able = starts[(starts - last >= max(min_size, 1)) & (len(known) - starts >= max(min_size, 1))]
        if not len(able):
            continue
        nearest = int(able[np.argmin(np.abs(able - wanted))])
        if abs(nearest - wanted) <= len(known) / tiers:
            places.append(nearest)
            last = nearest
    return [_between(float(known[place - 1]), float(known[place])) for place in places]


def tier_names(tiers: int) -> list[str]:
    """English names of so many tiers, highest value first."""
    return list(NAMES.get(tiers) or NUMBERED[:tiers])


def tier_of(values: np.ndarray, cuts: Sequence[float]) -> np.ndarray:
    """(customers,) tier of each, 1 for the highest; 0 where the value is missing."""
    values = np.asarray(values, dtype=float)
    tier = len(cuts) + 1 - np.searchsorted(np.asarray(cuts, dtype=float), values, side="right")
    return np.where(np.isfinite(values), tier, 0)


def _able() -> list[str]:
    return sorted(n for n, m in MODELS.items() if isinstance(m, PurchaseModel) and set(m.columns) <= {"x", "t_x", "T"})


def _written(plain: dict[str, Any], part: str, known: list[str], faults: list[Fault]) -> tuple[float, ...]:
    """The parameters of one of the two models, as they are written; what is wrong with them goes to `faults`."""
    written = plain.get(part) if isinstance(plain.get(part), dict) else {}
    if written.get("model") not in known:
        faults.append(Fault(f"{part}.model", f"got {written.get('model')!r}, expected one of {', '.join(known)}"))
        return ()
    values = {k: written.get(k) for k in MODELS[written["model"]].parameters}
    for name, value in values.items():
        if not _is_number(value) or (name not in SIGNED and value <= 0):
            faults.append(
                Fault(f"{part}.{name}", f"got {value!r}, expected a number{' above 0' * (name not in SIGNED)}")
            )
    return tuple(values.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _significant(values: np.ndarray) -> np.ndarray:
    """Values rounded to `EQUAL` significant digits."""
    with np.errstate(divide="ignore"):
        size = np.where(values == 0, 0, np.floor(np.log10(np.abs(values))))
    scale = 10.0 ** (EQUAL - 1 - size)
    return np.round(values * scale) / scale


def _between(low: float, high: float) -> float:
    """The number of fewest significant digits strictly between two, the nearest to their middle of those."""
    middle = (low + high) / 2
    for digits in range(1, 17):
        found = float(f"{middle:.{digits}g}")
        if low < found < high:
            return found
    return middle
