"""Fitted classes, frozen: plain numbers that are kept with the tree and score any customer the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from crmlab.base.traits import REGISTRY
from crmlab.contract import Sentence, mark
from crmlab.segments.differences import trait_words
from crmlab.segments.mixture.em import Mixture, Rows, probabilities
from crmlab.segments.mixture.scale import Scale
from crmlab.segments.mixture.suited import rows_of

DIGITS = 12
CERTAINTY_DIGITS = 9
TOLD = 0.5
"""Difference from the base, in its standard deviations, above which a class is called high or low."""


@dataclass(frozen=True)
class _Reading:
    """The traits that are read and how they are scaled; what both models share."""

    numbers: tuple[str, ...]
    scales: tuple[Scale, ...]
    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]

    @property
    def traits(self) -> tuple[str, ...]:
        """The base traits it reads."""
        return self.numbers

    @property
    def classes(self) -> int:
        """How many classes."""
        return len(self.weights)

    def class_name(self, number: int) -> Sentence:
        """What sets class `number` (1 to K) apart, in as many words as tell it from the others."""
        told = [self._apart(i) for i in range(self.classes)]
        for most in (2, 3, 4):
            chosen = [tuple(part for _, part in islice(parts, most)) for parts in told]
            if len({str(c) for c in chosen}) == self.classes:
                return _joined(chosen[number - 1], number)
        return Sentence("class {number}: {words}", {"number": number, "words": _joined(chosen[number - 1], number)})

    def _apart(self, i: int) -> list[tuple[float, Sentence]]:
        """Traits in which a class differs, the most different first."""
        means, weights = np.array(self.means), np.array(self.weights)
        parts = []
        if means.size:
            away = means[i] - weights @ means
            high, low = mark("{trait} high"), mark("{trait} low")
            parts = [
                (abs(float(a)), Sentence(high if a > 0 else low, {"trait": _called(t)}))
                for t, a in zip(self.numbers, away, strict=True)
            ]
        parts += self._categories_apart(i)
        parts.sort(key=lambda part: (-round(part[0], 6), str(part[1])))
        return [part for part in parts if part[0] >= TOLD]

    def _categories_apart(self, i: int) -> list[tuple[float, Sentence]]:
        return []

    def _scales_plain(self) -> list[dict[str, Any]]:
        return [
            {"trait": t, "centre": s.centre, "unit": s.unit, "power": s.power, "mean": s.mean, "sd": s.sd}
            for t, s in zip(self.numbers, self.scales, strict=True)
        ]


@dataclass(frozen=True)
class MixtureModel(_Reading):
    """Gaussian classes with independent categories: gives each customer a probability of each class."""

    shape: str
    covariances: tuple
    """(K, d) variances where diagonal, (1, d, d) where tied, (K, d, d) where full; all of scaled numbers."""
    categories: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    shares: tuple[tuple[tuple[float, ...], ...], ...] = ()

    kind: ClassVar[str] = "mixture"

    @property
    def traits(self) -> tuple[str, ...]:
        """The base traits it reads."""
        return (*self.numbers, *self.categories)

    @classmethod
    def of(cls, mixture: Mixture, numbers: Mapping[str, Scale], categories: Mapping[str, tuple[str, ...]]) -> Self:
        """The frozen form of a fitted mixture, the largest class first."""
        order = sorted(range(mixture.classes), key=lambda k: (-round(float(mixture.weights[k]), 9), *mixture.means[k]))
        inside = mixture.covariances[:1] if mixture.shape == "tied" else mixture.covariances[order]
        return cls(
            numbers=tuple(numbers),
            scales=tuple(numbers.values()),
            weights=_rounded(mixture.weights[order]),
            means=_rounded(mixture.means[order]),
            shape=mixture.shape,
            covariances=_rounded(inside),
            categories=tuple(categories),
            levels=tuple(categories.values()),
            shares=tuple(_rounded(s[order]) for s in mixture.shares),
        )

    def mixture(self) -> Mixture:
        """The mixture as arrays."""
        means, spread = np.array(self.means).reshape(self.classes, len(self.numbers)), np.array(self.covariances)
        if self.shape == "tied":
            spread = np.repeat(spread, self.classes, axis=0)
        return Mixture(self.shape, np.array(self.weights), means, spread, tuple(np.array(s) for s in self.shares))

    def rows(self, table: pd.DataFrame) -> Rows:
        """The traits of `table` as this model reads them."""
        return rows_of(table, self.numbers, self.scales, self.categories, self.levels)

    def probabilities(self, table: pd.DataFrame) -> pd.DataFrame:
        """Probability of each class (columns 1 to K), index as `table`; NaN where hardly anything is known."""
        rows = self.rows(table)
        each = np.round(probabilities(self.mixture(), rows), CERTAINTY_DIGITS)
        each[hardly_known(rows)] = np.nan
        return pd.DataFrame(each, index=table.index, columns=range(1, self.classes + 1))

    def derived(self, table: pd.DataFrame) -> np.ndarray:
        """The most probable class of each customer, 1 to K, the larger of equals; NaN where it cannot say."""
        return _numbered(self.probabilities(table).to_numpy())

    def plain(self) -> dict[str, Any]:
        """As it is written in a file."""
        return {
            "kind": self.kind,
            "numbers": self._scales_plain(),
            "categories": [{"trait": t, "levels": list(v)} for t, v in zip(self.categories, self.levels, strict=True)],
            "shape": self.shape,
            "weights": list(self.weights),
            "means": _lists(self.means),
            "covariances": _lists(self.covariances),
            "shares": _lists(self.shares),
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """The model of a plain map."""
        return cls(
            **_reading(data),
            shape=str(data["shape"]),
            covariances=_tuples(data["covariances"]),
            categories=tuple(str(c["trait"]) for c in data["categories"]),
            levels=tuple(tuple(map(str, c["levels"])) for c in data["categories"]),
            shares=_tuples(data["shares"]),
        )

    def _categories_apart(self, i: int) -> list[tuple[float, Sentence]]:
        parts = []
        for trait, levels, shares in zip(self.categories, self.levels, self.shares, strict=True):
            inside, all_told = np.array(shares)[i], np.array(self.weights) @ np.array(shares)
            away = (inside - all_told) / np.sqrt(np.maximum(all_told * (1 - all_told), 1e-6))
            best = int(np.argmax(np.round(away, 9)))
            parts.append(
                (float(away[best]), Sentence("{trait} {level}", {"trait": _called(trait), "level": levels[best]}))
            )
        return parts


@dataclass(frozen=True)
class KMeansModel(_Reading):
    """Centres of classes in scaled numbers: a customer is in the class of the nearest."""

    kind: ClassVar[str] = "kmeans"

    @classmethod
    def of(cls, centres: np.ndarray, shares: np.ndarray, numbers: Mapping[str, Scale]) -> Self:
        """The frozen form of fitted centres (K, d), the largest class first."""
        order = sorted(range(len(centres)), key=lambda k: (-round(float(shares[k]), 9), *centres[k]))
        return cls(tuple(numbers), tuple(numbers.values()), _rounded(shares[order]), _rounded(centres[order]))

    def rows(self, table: pd.DataFrame) -> Rows:
        """The traits of `table` as this model reads them."""
        return rows_of(table, self.numbers, self.scales, (), ())

    def probabilities(self, table: pd.DataFrame) -> None:
        """Nothing: nearness is no probability."""

    def derived(self, table: pd.DataFrame) -> np.ndarray:
        """The class of the nearest centre over the known numbers, 1 to K; NaN where hardly one is known."""
        rows, centres = self.rows(table), np.array(self.means)
        known = np.isfinite(rows.numbers)
        filled = np.where(known, rows.numbers, 0.0)
        away = known.astype(float) @ (centres**2).T - 2 * filled @ centres.T
        away[hardly_known(rows)] = np.nan
        return _numbered(-np.round(away, CERTAINTY_DIGITS))

    def plain(self) -> dict[str, Any]:
        """As it is written in a file."""
        return {
            "kind": self.kind,
            "numbers": self._scales_plain(),
            "weights": list(self.weights),
            "means": _lists(self.means),
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """The model of a plain map."""
        return cls(**_reading(data))


def _reading(data: Mapping[str, Any]) -> dict[str, Any]:
    names = ("centre", "unit", "power", "mean", "sd")
    return {
        "numbers": tuple(str(entry["trait"]) for entry in data["numbers"]),
        "scales": tuple(Scale(*(float(entry[n]) for n in names)) for entry in data["numbers"]),
        "weights": _tuples(data["weights"]),
        "means": _tuples(data["means"]),
    }


def hardly_known(rows: Rows) -> np.ndarray:
    """Of whom more than half of the traits are unknown: they are not fitted and have no class."""
    known = np.isfinite(rows.numbers).sum(axis=1) + (rows.codes >= 0).sum(axis=1)
    return known < max(0.5 * (rows.numbers.shape[1] + rows.codes.shape[1]), 1)


def _numbered(each: np.ndarray) -> np.ndarray:
    """The place of the greatest of each row, from 1; NaN where the row is missing."""
    lost = np.isnan(each).any(axis=1)
    return np.where(lost, np.nan, np.where(lost[:, None], 0.0, each).argmax(axis=1) + 1.0)


def _joined(parts: tuple[Sentence, ...], number: int) -> Sentence:
    if not parts:
        return Sentence("class {number}, near the middle", {"number": number})
    words = parts[0]
    for part in parts[1:]:
        words = Sentence("{first}, {second}", {"first": words, "second": part})
    return words


def _called(trait: str) -> str:
    """A trait as a reader knows it."""
    return trait_words(trait, REGISTRY[trait].meaning if trait in REGISTRY else "")


def _rounded(values: np.ndarray) -> tuple:
    return _tuples(values.tolist())


def _tuples(values: Any) -> Any:
    if isinstance(values, (list, tuple)):
        return tuple(_tuples(v) for v in values)
    return float(f"{float(values):.{DIGITS}g}")


def _lists(values: Any) -> Any:
    return [_lists(v) for v in values] if isinstance(values, tuple) else values
