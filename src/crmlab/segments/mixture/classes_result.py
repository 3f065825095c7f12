"""What is found out about classes: the numbers tried, what stands, and the sentences that allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from crmlab.contract import Basis, Result, Sentence, mark, say
from crmlab.contract.result import FEWEST
from crmlab.segments.mixture.by_definition import Definition
from crmlab.segments.mixture.humps import TOGETHER
from crmlab.segments.mixture.model import KMeansModel, MixtureModel
from crmlab.segments.mixture.suited import Suited

WHY = {
    "few": mark("there are too few customers to look for classes (fewer than 100)"),
    "traits": mark("too few traits are left to look for classes in"),
    "numbers": mark("k-means needs numbers, and no numeric trait is left"),
    "one": mark("more than one class describes customers held out no better than one"),
    "cloud": mark("one cloud with the same traits and correlations, but no classes, looks as much like it has some"),
    "unstable": mark("the classes dissolve when the customers are drawn again"),
    "small": mark("a class would be too small"),
}
TOLD = 3
"""Values that settle others, of which a page names so many."""
LOOSE = 0.75
"""Jaccard similarity below which a class holds a pattern, but not firmly [Hennig 2007]."""


@dataclass(frozen=True)
class Found:
    """What one method found: a model, or the reason (a key of `WHY`) for none.

    Attributes
    ----------
    similar
        Mean Jaccard similarity of each class with its like in bootstrap samples.
    shares
        Share of customers of each class, where the model has no weights of its own.
    beyond
        By how many standard deviations it is more like classes than clouds without classes.
    humps
        The number (its place among the suited; `TOGETHER`: categories) that falls into separate humps by itself; then
        no cloud is asked.
    """

    reason: str = ""
    model: MixtureModel | KMeansModel | None = None
    similar: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    beyond: float = 0.0
    humps: int | None = None


def no_rows() -> pd.DataFrame:
    """The table where nothing was tried."""
    return pd.DataFrame(columns=["method", "classes", "shape", "held_out", "error", "similar", "strength", "chosen"])


@dataclass(frozen=True)
class Classes(Result):
    """One row a method and number of classes: shape, held_out (log likelihood a customer) ± error, similar, strength.

    Attributes
    ----------
    kind
        The method whose model is used.
    suited
        The traits looked at, and those left out.
    mixture, nearest
        What the mixture and k-means found.
    agreement
        Adjusted Rand index between the two; missing where either found none.
    sizes
        One row a class of the model: class, name, customers, share, certainty, similar.
    definitions
        Values that settle other traits: groups by definition, kept in the bases that clusters are held against.
    mere
        Classes that are little more than such a value.
    fitted, searched
        Customers drawn for the fit, and for the choice of the number of classes.
    """

    table: pd.DataFrame
    basis: Basis
    kind: str
    suited: Suited
    mixture: Found = field(default_factory=Found)
    nearest: Found = field(default_factory=Found)
    agreement: float = np.nan
    sizes: pd.DataFrame = field(default_factory=pd.DataFrame)
    definitions: tuple[Definition, ...] = ()
    mere: tuple[tuple[int, Definition], ...] = ()
    fitted: int = 0
    searched: int = 0

    title: ClassVar[str] = "How many classes of customers"
    note: ClassVar[str] = (
        "Log likelihood of customers the mixture was not fitted to (higher is better; the fewest classes within one "
        "standard error of the best are taken). Recovered: how much of the worst class comes back in bootstrap "
        "samples; below one half it dissolves. Prediction strength of k-means: at least .8 is asked for."
    )
    people: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, tuple[str, str]]] = {
        "method": ("Method", "word"),
        "classes": ("Classes", ",.0f"),
        "shape": ("Covariance", "word"),
        "held_out": ("Log likelihood held out", ",.3f"),
        "error": ("standard error", ",.3f"),
        "similar": ("Recovered, worst class", ".2f"),
        "strength": ("Prediction strength", ".2f"),
        "chosen": ("", "word"),
    }

    @property
    def found(self) -> Found:
        """What the method asked for found."""
        return self.nearest if self.kind == "kmeans" else self.mixture

    @property
    def model(self) -> MixtureModel | KMeansModel | None:
        """The model of the method asked for; None where there are no clusters."""
        return self.found.model

    def sentences(self) -> list[Sentence]:
        """Clusters or none and why; how firm; what the other method says; what was not looked at."""
        told = [self._verdict(), *self._by_definition(), *self._firmness(), *self._other()]
        if self.searched < self.fitted:
            told.append(
                Sentence(
                    "Fitted to {fitted:,} customers, the number of classes chosen on {searched:,} of them, drawn at "
                    "random.",
                    {"fitted": self.fitted, "searched": self.searched},
                )
            )
        unknown = self.basis.n - int(self.sizes["customers"].sum()) if self.model is not None else 0
        if unknown >= FEWEST:
            told.append(
                Sentence(
                    "{unknown:,} customers of whom more than half of these traits are unknown are in no class.",
                    {"unknown": unknown},
                )
            )
        for reason in sorted(set(self.suited.left_out.values())):
            names = ", ".join(t for t, r in self.suited.left_out.items() if r == reason)
            told.append(Sentence("Not looked at ({reason}): {names}.", {"reason": Sentence(reason), "names": names}))
        return told

    def _verdict(self) -> Sentence:
        if self.model is None:
            return Sentence("No clusters: {why}.", {"why": Sentence(WHY[self.found.reason])}, "warn")
        if self.found.humps == TOGETHER:
            return Sentence(
                "{classes} clusters of customers: their answers together fall into humps with a valley between.",
                {"classes": self.model.classes},
                "good",
            )
        if self.found.humps is not None:
            return Sentence(
                "{classes} clusters of customers: {trait} alone falls into humps with a valley between.",
                {"classes": self.model.classes, "trait": self.suited.numbers[self.found.humps]},
                "good",
            )
        return Sentence(
            "{classes} clusters of customers, more distinct than any of 9 bases of the same traits and correlations "
            "without classes.",
            {"classes": self.model.classes},
            "good",
        )

    def _by_definition(self) -> list[Sentence]:
        """Groups that are so by definition, which nobody should take for behaviour."""
        said = [
            Sentence(
                "{name} is little more than the customers with {what}: a group by definition, and a rule says it as "
                "well.",
                {"name": self.model.class_name(k), "what": _value(one)},
                "warn",
            )
            for k, one in self.mere
        ]
        others = list(dict.fromkeys(d.trait for d in self.definitions))
        if others:
            values = [str(_value(next(d for d in self.definitions if d.trait == trait))) for trait in others[:TOLD]]
            said.append(
                Sentence(
                    "Some are alike by definition, such as those with {what}, which settles other traits: that is no "
                    "evidence of clusters.",
                    {"what": "; ".join(values)},
                )
            )
        return said

    def _firmness(self) -> list[Sentence]:
        if self.model is None:
            return []
        said = []
        loose = [str(self.model.class_name(i + 1)) for i, s in enumerate(self.found.similar) if s < LOOSE]
        if loose:
            names = "; ".join(loose)
            said.append(
                Sentence(
                    "Less than three quarters of these come back when the customers are drawn again: {names}. Their "
                    "borders are soft.",
                    {"names": names},
                    "warn",
                )
            )
        else:
            said.append(
                Sentence(
                    "Every class comes back when the customers are drawn again, the least firm one by {s:.0%}.",
                    {"s": min(self.found.similar)},
                )
            )
        if isinstance(self.model, MixtureModel) and len(self.sizes):
            sure = float(np.average(self.sizes["certainty"].fillna(0), weights=self.sizes["customers"]))
            said.append(
                Sentence("A customer is in its class with a probability of {sure:.0%} on average.", {"sure": sure})
            )
        return said

    def _other(self) -> list[Sentence]:
        """What the method that was not asked for found."""
        mine, other = self.found, self.mixture if self.kind == "kmeans" else self.nearest
        name = say("The mixture") if self.kind == "kmeans" else say("k-means")
        if mine.reason in ("few", "traits"):
            return []
        if other.model is None:
            return [Sentence("{method} finds none: {why}.", {"method": name, "why": Sentence(WHY[other.reason])})]
        values = {"method": name, "classes": other.model.classes, "ari": self.agreement}
        if mine.model is None:
            return [Sentence("{method} would find {classes}.", values)]
        if self.agreement >= 0.6:
            return [Sentence("{method} finds {classes}, much the same: ARI {ari:.2f}.", values)]
        return [Sentence("{method} finds {classes}, which are others: ARI {ari:.2f}.", values, "warn")]


def _value(one: Definition) -> Sentence:
    if one.value is None:
        return Sentence("{trait} unknown", {"trait": one.trait})
    return Sentence("{trait} {value:g}", {"trait": one.trait, "value": one.value})
