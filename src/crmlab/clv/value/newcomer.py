"""What a customer acquired now would be worth: the models at x = t_x = T = 0 [Fader & Hardie 2005, 2009]."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.base.opening import Opening
from crmlab.clv.fitting.fit import Fit
from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.models.gamma_gamma_frequency import times
from crmlab.clv.models.model import COUNTED
from crmlab.clv.params import CLVParams
from crmlab.clv.value.lifetime import NoValue
from crmlab.clv.value.predict import Fits, Part, each, no_value, parts, weekly
from crmlab.contract import Basis, Result, Sentence, mark


@dataclass(frozen=True, eq=False)
class NewCustomer(Result):
    """Value of a customer just acquired, over the horizon.

    Attributes
    ----------
    table
        key, measure, mean, low, high (90 % of the expectation), unit (orders or currency): repeat orders (expected
        after the first), order_value (of a repeat order), later (discounted margin of the repeat orders), first
        (margin of the first order), ceiling (the two together).
    draws
        (draws,) `later` under each kept draw.
    horizon_weeks
        As in the parameters.
    seen_to_come
        Whether customers are seen to be acquired in the data, and not there before they begin.
    """

    table: pd.DataFrame
    basis: Basis
    draws: np.ndarray
    horizon_weeks: int
    seen_to_come: bool = True

    title: ClassVar[str] = "A customer acquired now"
    note: ClassVar[str] = (
        "Expected of a customer from the day of the first order on, if those who come next are like those of the "
        "history. The first order's margin is stated apart: it is counted where the cost of acquisition has to be "
        "earned by all orders, left out where the first order is already in the books. 90 % intervals of the "
        "expectation."
    )
    columns: ClassVar = {
        "measure": ("measure", "word"),
        "mean": ("mean", ",.2f"),
        "low": ("low (90 %)", ",.2f"),
        "high": ("high (90 %)", ",.2f"),
        "unit": ("unit", "word"),
    }
    people: ClassVar[tuple[str, ...]] = ()

    def sentences(self) -> list[Sentence]:
        """What a new customer is worth, and what acquiring one may cost."""
        by = self.table.set_index("key")
        values = {
            "weeks": self.horizon_weeks,
            "later": by.loc["later", "mean"],
            "low": by.loc["later", "low"],
            "high": by.loc["later", "high"],
            "ceiling": by.loc["ceiling", "mean"],
            "safe": by.loc["ceiling", "low"],
            "share": by.loc["first", "mean"] / by.loc["ceiling", "mean"],
        }
        said = [*self._unseen()]
        said += [
            Sentence(
                "A customer acquired now is expected to bring {later:,.2f} of discounted margin in the {weeks} weeks "
                "after the first order (90 % interval {low:,.2f} to {high:,.2f}).",
                values,
            ),
            Sentence(
                "With the first order's margin it is {ceiling:,.2f}: acquiring a customer pays within the horizon "
                "while it costs less, and with some certainty (95 %) below {safe:,.2f}.",
                values,
            ),
        ]
        if values["share"] > 0.5:
            said.append(
                Sentence(
                    "The first order alone is {share:.0%} of that: most new customers are worth little beyond it.",
                    values,
                    tone="warn",
                )
            )
        return said

    def _unseen(self) -> list[Sentence]:
        """That nobody is seen to be acquired, where it is so."""
        if self.seen_to_come:
            return []
        return [
            Sentence(
                "These customers were there before the data begin, and nobody is seen to be acquired: that a customer "
                "acquired now would be like them is an assumption which nothing here can check.",
                tone="warn",
            )
        ]


def new_customer(
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    *,
    params: CLVParams,
    basis: Basis | None = None,
    segment: pd.Series | None = None,
    opening: Opening | None = None,
) -> NewCustomer | NoValue:
    """What a customer just acquired is worth: the models at x = t_x = T = 0.

    Segments and covariates, where the models have them, are those of the base in its proportions. So is frequency,
    where the value of orders moves with it: that of a newcomer is not low but not known yet.

    Parameters
    ----------
    history, purchases, spend, params, basis, segment
        As in `crmlab.clv.value.predict.lifetime_value`.
    opening
        How the data open: whether customers were there before they begin.
    """
    fits: list[Fit] = [*each(purchases), *each(spend)]
    if not all(f.passed for f in fits):
        return no_value(*fits).again()
    history, found = parts(history, purchases, spend, number=params.kept_draws, segment=segment)
    weeks, margin = params.horizon_weeks, params.margin_share
    orders = value = later = earned = 0.0
    for part in found:
        rows, shares = newcomers(part)
        shares = shares[:, None] * len(part.history) / len(history)
        expected = part.timing.expected_purchases(part.purchase_draws, rows, weeks, (0.0, weekly(params)))
        worth = part.worth.expected_value(part.spend_draws, rows)
        first, repeat = _like_the_base(part)
        orders = orders + (shares * expected[0]).sum(axis=0)
        value = value + (shares * worth * repeat).sum(axis=0)
        later = later + (shares * expected[1] * worth * repeat * margin).sum(axis=0)
        earned = earned + (shares * worth * first * margin).sum(axis=0)
    rows = [
        ("repeat_orders", mark("orders expected after the first"), orders, mark("orders")),
        ("order_value", mark("value of an order"), value, mark("money")),
        ("later", mark("CLV after the first order"), later, mark("money")),
        ("first", mark("margin of the first order"), earned, mark("money")),
        ("ceiling", mark("CLV with the first order: ceiling of acquisition"), later + earned, mark("money")),
    ]
    table = pd.DataFrame(
        [(k, m, float(d.mean()), *np.quantile(d, INTERVAL), u) for k, m, d, u in rows],
        columns=["key", "measure", "mean", "low", "high", "unit"],
    )
    return NewCustomer(
        table,
        basis or Basis(len(history), mark("customers")),
        later,
        weeks,
        opening is None or opening.kind != "already there",
    )


def _like_the_base(part: Part) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Value of a first and of a repeat order, in multiples of that at x = 0, of customers as frequent as the base's.

    First orders count each customer once, repeat orders each as often as they came.
    """
    if "delta" not in part.spend_draws:
        return 1.0, 1.0
    x, customers = np.unique(part.history["x"].to_numpy(float), return_counts=True)
    at_x = times(part.spend_draws, x)
    first = np.average(at_x, axis=0, weights=customers)
    return first, np.average(at_x, axis=0, weights=customers * x) if x.any() else first


def newcomers(part: Part) -> tuple[pd.DataFrame, np.ndarray]:
    """Customers without a past, one for each distinct set of covariates, and the share of the part's customers each is.

    Without covariates it is one row.
    """
    rows = part.history.assign(**dict.fromkeys([c for c in COUNTED if c in part.history], 0.0), z_bar=np.nan)
    read = dict.fromkeys((*part.timing.columns, *part.worth.columns))
    described = [c for c in read if c not in (*COUNTED, "z_bar")]
    if not described:
        return rows.head(1), np.ones(1)
    group = rows.groupby(described, sort=True).ngroup().to_numpy()
    _, first, counts = np.unique(group, return_index=True, return_counts=True)
    return rows.iloc[first], counts / len(rows)
