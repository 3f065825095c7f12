"""What a single customer may actually bring: the predictive distribution, beside the expectation that CLV is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.params import CLVParams
from crmlab.clv.value.lifetime import NoValue, tenths
from crmlab.clv.value.predict import Fits, distinct, each, expected, interval, no_value, parts, pieces, weekly
from crmlab.contract import Basis, Result, Sentence, generator, mark


@dataclass(frozen=True, eq=False)
class PredictiveValue(Result):
    """Discounted margin that each customer may actually bring within the horizon.

    Attributes
    ----------
    table
        One row a customer, sorted by customer_id: customer_id; clv (the mean); none (probability of no order at all);
        orders_low, orders_high, margin_low, margin_high (90 % predictive intervals, margin in currency).
    """

    table: pd.DataFrame
    basis: Basis
    horizon_weeks: int

    title: ClassVar[str] = "What single customers may bring"
    note: ClassVar[str] = (
        "Customers ranked by their expected margin and cut into groups of equal size. Means over a group's customers "
        "of each one's own 90 % predictive interval: how many orders, of what value, and whether the customer is "
        "still there are all drawn."
    )
    columns: ClassVar = {
        "group": ("group", ",.0f"),
        "customers": ("customers", ",.0f"),
        "clv": ("expected margin", ",.2f"),
        "margin_low": ("a customer's margin, low (90 %)", ",.2f"),
        "margin_high": ("a customer's margin, high (90 %)", ",.2f"),
        "orders_low": ("orders, low (90 %)", ",.1f"),
        "orders_high": ("orders, high (90 %)", ",.1f"),
        "none": ("probability of no order", ".0%"),
    }

    def shown(self) -> pd.DataFrame:
        """Groups of equal size by expected margin, highest first."""
        of = tenths(self.table["clv"].to_numpy())
        means = self.table.drop(columns="customer_id").groupby(of + 1).mean()
        return means.assign(customers=np.bincount(of)).rename_axis("group").reset_index()

    def sentences(self) -> list[Sentence]:
        """How far a single customer may be from what is expected."""
        first = self.shown().iloc[0]
        values = {
            "weeks": self.horizon_weeks,
            "clv": first["clv"],
            "low": first["margin_low"],
            "high": first["margin_high"],
            "none": first["none"],
            "silent": float((self.table["none"] > 0.5).mean()),
        }
        return [
            Sentence(
                "Of the customers expected to bring most ({clv:,.0f} on average within {weeks} weeks), a single one "
                "brings between {low:,.0f} and {high:,.0f} nine times in ten, and no order at all with probability "
                "{none:.0%}.",
                values,
            ),
            Sentence("{silent:.0%} of all customers are more likely than not to order nothing.", values),
        ]


def predictive_value(
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    *,
    params: CLVParams,
    seed: int,
    name: str,
    basis: Basis | None = None,
    segment: pd.Series | None = None,
) -> PredictiveValue | NoValue:
    """Draw each customer's purchases and their values, one future a posterior draw.

    A future's margin is discounted by the customer's expected discount, which leaves its mean the CLV.

    Parameters
    ----------
    history, purchases, spend, params, basis, segment
        As in `crmlab.clv.value.predict.lifetime_value`.
    seed, name
        The study's seed, and what the futures are for.
    """
    fits = [*each(purchases), *each(spend)]
    if not all(f.passed for f in fits):
        return no_value(*fits).again()
    history, found = parts(history, purchases, spend, number=params.kept_draws, segment=segment)
    weeks, rng = params.horizon_weeks, generator(seed, "clv", "predictive", name)
    columns = {c: np.empty(len(history)) for c in ("clv", "none", *LOW_HIGH)}
    for part, at in pieces(found):
        block, where = part.history.iloc[at], part.position[at]
        rows, back = distinct(part.timing, block)
        _, (orders, discounted) = expected(part.timing, part.purchase_draws, rows, weeks, (0.0, weekly(params)))
        value = part.worth.expected_value(part.spend_draws, block)
        counts = part.timing.future_purchases(part.purchase_draws, block, weeks, rng)
        spent = part.worth.future_spend(part.spend_draws, block, counts, rng)
        worth = discounted / np.where(orders > 0, orders, 1)
        margin = spent * worth[back] * params.margin_share
        ends = (*interval(counts.astype(float)), *interval(margin))
        columns["clv"][where] = (discounted[back] * value * params.margin_share).mean(axis=1)
        columns["none"][where] = (counts == 0).mean(axis=1)
        for column, values in zip(LOW_HIGH, ends, strict=True):
            columns[column][where] = values
    table = pd.DataFrame({"customer_id": history["customer_id"].to_numpy()} | columns)
    return PredictiveValue(table, basis or Basis(len(history), mark("customers")), weeks)


LOW_HIGH = ("orders_low", "orders_high", "margin_low", "margin_high")
