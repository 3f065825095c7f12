"""Customers in tiers of lifetime value: what each tier holds, and how sure it is who belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.clv.fitting.tables import INTERVAL
from crmlab.clv.params import CLVParams
from crmlab.clv.value.lifetime import LifetimeValue, NoValue
from crmlab.clv.value.predict import Fits
from crmlab.contract import Basis, Result, Sentence
from crmlab.contract.result import FEWEST
from crmlab.segments.models import models_of
from crmlab.segments.nodes import Tree
from crmlab.segments.tier_chances import tier_probabilities
from crmlab.segments.tiers import tier_cuts, tier_names, tier_of

SURE = 0.8
ALIKE = 1.25
"""Neighbouring tiers whose mean values differ by less than this factor are said to be alike."""

COLUMNS = (
    "tier",
    "name",
    "customers",
    "people",
    "at_least",
    "below",
    "clv",
    "total",
    "share",
    "low",
    "high",
    "belongs",
    "sure",
    "brings",
)


@dataclass(frozen=True, eq=False)
class Tiers(Result):
    """Tiers of lifetime value.

    Attributes
    ----------
    table
        One row a customer, sorted by customer_id: customer_id, tier (1: highest), belongs_1 … (probability of each tier
        by the expected value, over posterior draws), brings_1 … (by what the customer brings within the horizon, chance
        included). Each set of probabilities sums to 1.
    summary
        One row a tier: tier, name, customers, people (share of customers), at_least, below (bounds of value, missing
        where there is none), clv (mean), total, share (of all value), low, high (its 90 % interval under the model),
        belongs (mean probability of the own tier by the expected value), sure (customers of whom that is `SURE` or
        more), brings (mean probability that what a customer brings lies in the own tier).
    horizon_weeks
        As in the study's parameters.
    in_force
        Whether these tiers are segments of the study.
    """

    table: pd.DataFrame
    basis: Basis
    summary: pd.DataFrame
    horizon_weeks: int
    in_force: bool

    title: ClassVar[str] = "Tiers of lifetime value"
    note: ClassVar[str] = (
        "Equal parts of the customers by their lifetime value, customers of one value together; the share of value has "
        "a 90 % interval under the model. A customer belongs to a tier with the probability that the expected value "
        "lies between its bounds; what the customer brings, chance included, lies there less often."
    )
    columns: ClassVar = {
        "name": ("tier", "word"),
        "customers": ("customers", ",.0f"),
        "people": ("share of customers", ".1%"),
        "at_least": ("CLV from", ",.2f"),
        "below": ("to below", ",.2f"),
        "clv": ("mean CLV", ",.2f"),
        "share": ("share of total CLV", ".1%"),
        "low": ("low (90 %)", ".1%"),
        "high": ("high (90 %)", ".1%"),
        "belongs": ("belongs to it (mean probability)", ".0%"),
        "sure": ("sure (80 % or more)", ",.0f"),
        "brings": ("what one brings lies in it (mean probability)", ".0%"),
    }

    def shown(self) -> pd.DataFrame:
        """A row a tier; how many are sure is hidden where they, or the others, are few."""
        rest = self.summary["customers"] - self.summary["sure"]
        few = self.summary["sure"].between(1, FEWEST - 1) | rest.between(1, FEWEST - 1)
        return self.summary.assign(sure=self.summary["sure"].astype("float64").mask(few))

    def sentences(self) -> list[Sentence]:
        """What the top tier holds, how sure its members are, and how little that says of one of them."""
        if self.summary.empty:
            return [Sentence("Nobody has bought yet: there are no tiers of value.", tone="warn")]
        if len(self.summary) == 1:
            text = "Nothing parts these customers by value, or they are too few: they are one tier."
            return [Sentence(text, tone="warn")]
        return [*self._top(), *self._alike(), self._sure(), self._single()]

    def _top(self) -> list[Sentence]:
        top = self.summary.iloc[0]
        if top["customers"] < FEWEST:
            return []
        values = {"name": Sentence(top["name"]), "people": top["people"], "share": top["share"]}
        values |= {"low": top["low"], "high": top["high"]}
        if top["low"] > 2 * top["people"]:
            text = (
                "Value is concentrated: the tier “{name}” is {people:.0%} of customers and holds {share:.0%} of the "
                "value (90 % interval {low:.0%} to {high:.0%})."
            )
        elif top["low"] > 1.2 * top["people"]:
            text = (
                "The tier “{name}” is {people:.0%} of customers and holds {share:.0%} of the value (90 % interval "
                "{low:.0%} to {high:.0%})."
            )
        else:
            text = (
                "Customers are worth much the same: the tier “{name}” is {people:.0%} of them and holds {share:.0%} of "
                "the value (90 % interval {low:.0%} to {high:.0%}); tiers by value tell little here."
            )
        return [Sentence(text, values)]

    def _alike(self) -> list[Sentence]:
        seen = self.summary[self.summary["customers"] >= FEWEST]
        said = []
        for (_, upper), (_, lower) in pairwise(seen.iterrows()):
            if upper["clv"] < ALIKE * lower["clv"]:
                text = (
                    "The tiers “{upper}” and “{lower}” hardly differ: {first:,.2f} and {second:,.2f} a customer. Treat "
                    "them as one."
                )
                values = {"upper": Sentence(upper["name"]), "lower": Sentence(lower["name"])}
                said.append(Sentence(text, values | {"first": upper["clv"], "second": lower["clv"]}, tone="warn"))
        return said

    def _sure(self) -> Sentence:
        share = self.summary["sure"].sum() / self.summary["customers"].sum()
        belongs = np.average(self.summary["belongs"], weights=self.summary["customers"])
        values = {"share": share, "belongs": belongs}
        if share >= SURE:
            text = (
                "By their expected value {share:.0%} of customers belong to their tier with a probability of 80 % or "
                "more: who is in which tier hardly depends on what the models do not know."
            )
            return Sentence(text, values, tone="good")
        text = (
            "By their expected value only {share:.0%} of customers belong to their tier with a probability of 80 % or "
            "more ({belongs:.0%} on average): many stand near a bound, and may be in another tier next time."
        )
        return Sentence(text, values, tone="warn")

    def _single(self) -> Sentence:
        brings = np.average(self.summary["brings"], weights=self.summary["customers"])
        values = {"brings": brings, "weeks": self.horizon_weeks}
        if brings >= SURE:
            text = (
                "What a single customer brings within {weeks} weeks lies in the tier of its expectation {brings:.0%} "
                "of the time."
            )
            return Sentence(text, values, tone="good")
        text = (
            "What a single customer brings within {weeks} weeks lies in the tier of its expectation only {brings:.0%} "
            "of the time: tiers rank customers, they do not foretell them."
        )
        return Sentence(text, values)


def tiers(
    value: LifetimeValue | NoValue,
    history: pd.DataFrame,
    purchases: Fits,
    spend: Fits,
    *,
    params: CLVParams,
    seed: int,
    tree: Tree | None = None,
    number: int = 4,
    min_size: int = 50,
    segment: pd.Series | None = None,
) -> Tiers | NoValue:
    """Tiers of lifetime value and the probability of each, for every customer; without values, the reason why.

    The tiers are those of the tree, where it holds a value model; else customers are cut into equal parts by `value`.

    Parameters
    ----------
    value
        Lifetime values of the same history and fits.
    history, purchases, spend, params, segment
        As in `crmlab.clv.value.predict.lifetime_value`.
    seed
        The study's seed.
    tree
        The segments in force.
    number, min_size
        Tiers to cut, and the fewest customers of one, where the tree has none.
    """
    if isinstance(value, NoValue):
        return value.again()
    history = history.sort_values("customer_id", kind="stable", ignore_index=True)
    names, cuts, point = _in_tree(tree, history) if tree is not None else (None, [], None)
    if point is None:
        point = value.table["clv"].to_numpy()
        cuts = tier_cuts(point, number, min_size)
    tier = tier_of(point, cuts)
    belongs, brings, totals = tier_probabilities(
        history, purchases, spend, cuts, tier, params=params, seed=seed, segment=segment
    )
    rows = np.arange(len(history))
    table = pd.DataFrame({"customer_id": history["customer_id"].to_numpy(), "tier": tier})
    for name, found in (("belongs", belongs), ("brings", brings)):
        table = table.join(pd.DataFrame(found, columns=[f"{name}_{k + 1}" for k in range(len(cuts) + 1)]))
    own = pd.DataFrame(
        {"belongs": belongs[rows, tier - 1], "brings": brings[rows, tier - 1], "clv": value.table["clv"].to_numpy()}
    )
    own["sure"] = own["belongs"].round(9) >= SURE
    summary = _summary(own, tier, totals, cuts, names or tier_names(len(cuts) + 1))
    return Tiers(table, value.basis, summary, params.horizon_weeks, names is not None)


def _in_tree(tree: Tree, history: pd.DataFrame) -> tuple[list[str] | None, list[float], np.ndarray | None]:
    """Names, cuts and customers' values by the one value model that parts all customers; none where there is none."""
    for name, model in models_of(tree).items():
        nodes = [n for n in tree.children(None) if any(c.trait == name and c.at_least is not None for c in n.when)]
        cuts = sorted({c.at_least for n in nodes for c in n.when if c.trait == name and c.at_least is not None})
        if model.kind == "value" and cuts:
            point = model.derived(history)
            if np.isfinite(point).all():
                return tier_names(len(cuts) + 1), [float(c) for c in cuts], point
    return None, [], None


def _summary(
    own: pd.DataFrame, tier: np.ndarray, totals: np.ndarray, cuts: Sequence[float], names: list[str]
) -> pd.DataFrame:
    ends = [np.nan, *cuts, np.nan]
    whole, shares = max(float(own["clv"].sum()), 1e-300), totals / np.maximum(totals.sum(axis=0), 1e-300)
    records = []
    for k, name in enumerate(names, start=1):
        part = own[tier == k]
        if part.empty:
            continue
        low, high = np.quantile(shares[k - 1], INTERVAL)
        at_least, below = ends[len(names) - k], ends[len(names) - k + 1]
        records.append(
            {"tier": k, "name": name, "customers": len(part), "people": len(part) / len(own)}
            | {
                "at_least": at_least,
                "below": below,
                "clv": float(part["clv"].mean()),
                "total": float(part["clv"].sum()),
            }
            | {"share": float(part["clv"].sum()) / whole, "low": float(low), "high": float(high)}
            | {"belongs": float(part["belongs"].mean()), "sure": int(part["sure"].sum())}
            | {"brings": float(part["brings"].mean())}
        )
    return pd.DataFrame(records, columns=[*COLUMNS])
