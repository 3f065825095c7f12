"""The period withheld from fitting: what is known before it, and what customers then did."""

from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd

from crmlab.base.history import history
from crmlab.base.orders import MONEY
from crmlab.base.periods import WEEKS, in_periods
from crmlab.clv.chosen import counts_chances
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Sentence, mark

FEWEST_WEEKS, FEWEST_CALIBRATION_WEEKS = 4, 8
FEWEST_CUSTOMERS = 50
FEWEST_CHANCES = 2
CALENDAR = {"week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}
TOO_SHORT = Sentence("The history is too short to withhold a period and validate the model.")
TOO_FEW = Sentence("Too few customers bought again before the validation period to fit the model.")


@dataclass(frozen=True, eq=False)
class Withheld:
    """Histories before the validation period, and what their customers did in it.

    Attributes
    ----------
    before
        History up to `until`, one row a customer, sorted by customer_id.
    actual
        (customers,) purchases in the validation period, counted by day as in the history.
    spent
        (customers,) their value, in currency.
    start, until, as_of
        First day seen; last day of the calibration; last day of the validation period.
    weeks
        Length of the validation period; 0 where there is none.
    why
        Why there is none.
    """

    before: pd.DataFrame
    actual: np.ndarray
    spent: np.ndarray
    start: date
    until: date
    as_of: date
    weeks: int
    why: Sentence | None = None

    def basis(self, end: date | None = None) -> Basis:
        """The customers of the calibration, over the days to `end`; by default to the end of validation."""
        return Basis(len(self.before), mark("customers"), self.start, end or self.as_of)


def withhold(orders: ibis.Table, *, as_of: date, params: CLVParams) -> Withheld:
    """Split what is seen into calibration and validation.

    Parameters
    ----------
    orders
        One row an order: customer_id, date, amount.
    as_of
        Last day that is seen; the validation period ends with it.
    params
        Length of the validation period, and its largest share of the time seen.
    """
    if counts_chances(params):
        return chances_withheld(orders, as_of=as_of, params=params)
    seen = orders.filter(orders["date"] <= as_of)
    first = seen["date"].min().execute()
    start = pd.Timestamp(first).date() if pd.notna(first) else as_of
    weeks = withheld_weeks(start, as_of, params=params)
    until = as_of - timedelta(weeks=weeks)
    if not weeks:
        return Withheld(pd.DataFrame(), np.zeros(0), np.zeros(0), start, until, as_of, 0, TOO_SHORT)
    before = history(orders, as_of=until)
    why = TOO_FEW if few(before) else None
    later = seen.filter(seen["date"] > until)
    did = later.group_by("customer_id").agg(purchases=later["date"].nunique(), spent=later["amount"].cast(MONEY).sum())
    did = did.mutate(spent=did["spent"].cast("float64")).execute().set_index("customer_id")
    did = did.reindex(before["customer_id"], fill_value=0).astype(float)
    return Withheld(before, did["purchases"].to_numpy(), did["spent"].to_numpy(), start, until, as_of, weeks, why)


def chances_withheld(orders: ibis.Table, *, as_of: date, params: CLVParams) -> Withheld:
    """The same where purchases are counted by calendar period: whole periods are withheld."""
    period = params.period or "year"
    whole = in_periods(orders, as_of=as_of, period=period)
    seen = int(whole["n"].max()) if len(whole) else 0
    withheld = min(max(1, round(params.validation_weeks / WEEKS[period])), int(seen * params.validation_share))
    last = pd.Period(pd.Timestamp(as_of) + pd.Timedelta(days=1), freq=CALENDAR[period]) - 1
    until, start = (last - withheld).end_time.date(), (last - seen).start_time.date()
    if withheld < 1 or seen - withheld < FEWEST_CHANCES:
        return Withheld(pd.DataFrame(), np.zeros(0), np.zeros(0), start, until, as_of, 0, TOO_SHORT)
    before = in_periods(orders, as_of=until, period=period)
    after = whole.set_index("customer_id").loc[before["customer_id"]]
    spent = [(t["x"] * t["z_bar"].fillna(0)).to_numpy() for t in (before, after)]
    actual, weeks = after["x"].to_numpy() - before["x"].to_numpy(), round(withheld * WEEKS[period])
    why = TOO_FEW if few(before) else None
    return Withheld(before, actual, spent[1] - spent[0], start, until, last.end_time.date(), weeks, why)


def few(before: pd.DataFrame) -> bool:
    """Whether too few came back to fit a model that could be validated."""
    return len(before) < FEWEST_CUSTOMERS or (before["x"] > 0).sum() < FEWEST_CUSTOMERS / 2


def withheld_weeks(start: date, as_of: date, *, params: CLVParams) -> int:
    """Weeks to withhold of the days from `start` to `as_of`; 0 where they do not suffice."""
    days = (as_of - start).days
    weeks = min(params.validation_weeks, int((days + 1) // 7 * params.validation_share))
    return weeks if weeks >= FEWEST_WEEKS and days // 7 - weeks >= FEWEST_CALIBRATION_WEEKS else 0


def pace(before: pd.DataFrame, weeks: float) -> np.ndarray:
    """(customers,) purchases where everyone goes on at the pace so far; 0 for those observed for no time."""
    x, T = before["x"].to_numpy(float), before["T"].to_numpy(float)
    return np.where(T > 0, x / np.where(T > 0, T, 1), 0) * weeks
