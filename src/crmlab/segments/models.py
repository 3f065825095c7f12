"""Models in a segment tree: each turns traits into one derived trait, a class or a value, that conditions can use.

A model is kept whole in the tree, as plain values, under a name that ends in a digest of them. So a tree alone scores
customers who were not there when its models were fitted, and a model that was edited by hand is found out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from crmlab.contract import mark, say

if TYPE_CHECKING:
    from crmlab.segments.nodes import Tree

DIGITS = 8
"""Digits of a digest in the name of a model."""


class Model(Protocol):
    """What a tree asks of a fitted model.

    `plain` holds ``kind`` and whatever `KINDS` needs to make the same model again: text, finite numbers of at most 12
    significant digits, true, false, null, lists and maps. Models of classes have `classes` and `class_name` besides.
    """

    kind: ClassVar[str]
    traits: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The model as plain values."""

    def derived(self, table: pd.DataFrame) -> np.ndarray:
        """Class from 1, or value, of each row, float64; NaN where the model cannot say."""

    def probabilities(self, table: pd.DataFrame) -> pd.DataFrame | None:
        """Probability of each class, one column a class in their order; None of a model without classes."""


def _mixture(plain: dict[str, Any]) -> Model:
    from crmlab.segments.mixture.model import MixtureModel

    return MixtureModel.from_plain(plain)


def _kmeans(plain: dict[str, Any]) -> Model:
    from crmlab.segments.mixture.model import KMeansModel

    return KMeansModel.from_plain(plain)


def _value(plain: dict[str, Any]) -> Model:
    from crmlab.segments.tiers import ValueModel

    return ValueModel.from_plain(plain)


KINDS: dict[str, Callable[[dict[str, Any]], Model]] = {"mixture": _mixture, "kmeans": _kmeans, "value": _value}
"""Kind of model → how it is made from its plain values; imported when the first of them is read."""

LABELS = {"value": mark("lifetime value")}
"""What a number that a model gives is called in a rule."""


def as_plain(value: Any) -> Any:
    """Plain values as a file holds them: tuples as lists; refused where a number is not finite."""
    return json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False))


def named(model: Model) -> str:
    """The name of a model in a tree: its kind and the first digits of its digest."""
    return name_of(as_plain(model.plain()))


def name_of(plain: Mapping[str, Any]) -> str:
    """The name that the plain values of a model must have."""
    return f"{plain['kind']}_{sha256(_canonical(plain).encode()).hexdigest()[:DIGITS]}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def read_model(plain: Mapping[str, Any]) -> Model:
    """The model of its plain values."""
    return _read(_canonical(plain))


@lru_cache(maxsize=64)
def _read(text: str) -> Model:
    plain = json.loads(text)
    return KINDS[plain["kind"]](plain)


def models_of(tree: Tree) -> dict[str, Model]:
    """Name → model of all models in the tree."""
    return {name: read_model(plain) for name, plain in tree.models.items()}


def base_traits(tree: Tree, names: Iterable[str]) -> list[str]:
    """`names` with the traits that a model reads in place of its own name, each once, in order of first use."""
    models = models_of(tree)
    read = (models[name].traits if name in models else (name,) for name in names)
    return list(dict.fromkeys(trait for traits in read for trait in traits))


def with_models(tree: Tree, table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the derived trait of every model in the tree, a column of the model's name."""
    return table.assign(**{name: model.derived(table) for name, model in models_of(tree).items()})


def looks_like_model(name: str) -> bool:
    """Whether a name is made as those of models are."""
    return re.fullmatch(rf"({'|'.join(KINDS)})_[0-9a-f]{{{DIGITS}}}", name) is not None


def has_classes(model: Model) -> bool:
    """Whether a model gives classes, not values."""
    return hasattr(model, "class_name")


def class_words(model: Model, classes: Iterable[int]) -> str:
    """Classes in words: one with its description, several by their numbers."""
    classes = list(classes)
    numbers = say("class {numbers}", numbers=", ".join(map(str, classes)))
    if len(classes) > 1:
        return numbers
    name = class_name(model, classes[0])
    return name if name.startswith(numbers) else say("class {number}: {name}", number=classes[0], name=name)


def class_name(model: Model, number: int) -> str:
    """The description of a class in the language in use."""
    if 1 <= number <= model.classes:
        return str(model.class_name(number))
    return str(number)


def unknown_words(model: Model) -> str:
    """What is said of those of whom a model cannot say its class or value."""
    return say("class unknown") if has_classes(model) else say("{trait} unknown", trait=label(model))


def label(model: Model) -> str:
    """What the number that a model gives is called."""
    return say(LABELS.get(model.kind, model.kind))
