"""The parts of a segment tree: conditions, nodes and the tree itself."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from crmlab.contract import say
from crmlab.segments.models import as_plain

OPERATIONS = ("at_least", "below", "is", "missing")
Value = str | int | FiniteFloat


class _Quoting(yaml.SafeDumper):
    """Quotes every text that the strict reader would take for a number, true, false or null."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    taken = text[:1] in "0123456789+-." or text.lower() in ("true", "false", "null", "~")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if taken else None)


_Quoting.add_representer(str, _quoted)


def plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it holds; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Condition(_Part):
    """One trait and exactly one operation on it; a missing value meets none but ``missing: true``."""

    trait: str = Field(min_length=1)
    at_least: int | FiniteFloat | None = None
    below: int | FiniteFloat | None = None
    is_: tuple[Value, ...] | None = Field(default=None, alias="is", min_length=1)
    missing: Literal[True] | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_values(cls, data: Any) -> Any:
        """Let a list of values stand for the tuple it becomes, and NumPy's numbers for Python's."""
        if isinstance(data, dict):
            data = {key: plain(value) for key, value in data.items()}
            if isinstance(data.get("is"), list):
                return {**data, "is": tuple(plain(v) for v in data["is"])}
        return data

    @model_validator(mode="after")
    def _one_operation(self) -> "Condition":
        given = [name for name in OPERATIONS if self.plain().get(name) is not None]
        if len(given) != 1:
            raise ValueError(f"a condition takes exactly one of {', '.join(OPERATIONS)}; this one has {len(given)}")
        return self

    def plain(self) -> dict[str, Any]:
        """The condition as it is written in a file."""
        data = self.model_dump(by_alias=True, exclude_none=True)
        return {k: list(v) if k == "is" else v for k, v in data.items()}

    def words(self) -> str:
        """The condition in words."""
        if self.at_least is not None:
            return say("{trait} at least {value:,.6g}", trait=self.trait, value=self.at_least)
        if self.below is not None:
            return say("{trait} below {value:,.6g}", trait=self.trait, value=self.below)
        if self.is_ is not None:
            return say("{trait} is {values}", trait=self.trait, values=_listed(self.is_))
        return say("{trait} unknown", trait=self.trait)

    def opposite_words(self) -> str:
        """What holds of customers whose trait is known and who do not meet the condition."""
        if self.at_least is not None:
            return say("{trait} below {value:,.6g}", trait=self.trait, value=self.at_least)
        if self.below is not None:
            return say("{trait} at least {value:,.6g}", trait=self.trait, value=self.below)
        if self.is_ is not None:
            return say("{trait} is not {values}", trait=self.trait, values=_listed(self.is_))
        return say("{trait} known", trait=self.trait)

    def implies(self, other: "Condition") -> bool:
        """Whether whoever meets this condition certainly meets `other`."""
        if self.trait != other.trait:
            return False
        if other.at_least is not None:
            return self.at_least is not None and self.at_least >= other.at_least
        if other.below is not None:
            return self.below is not None and self.below <= other.below
        if other.is_ is not None:
            return self.is_ is not None and set(self.is_) <= set(other.is_)
        return self.missing is True

    def contradicts(self, other: "Condition") -> bool:
        """Whether nobody can meet both conditions."""
        if self.trait != other.trait:
            return False
        if (self.missing is True) != (other.missing is True):
            return True
        if self.is_ is not None and other.is_ is not None:
            return not set(self.is_) & set(other.is_)
        for low, high in ((self, other), (other, self)):
            if low.at_least is not None and high.below is not None and low.at_least >= high.below:
                return True
        return False


class Node(_Part):
    """One node: met by whoever is in its parent, meets all of `when`, and met no earlier sibling."""

    id: str = Field(pattern=r"^s[1-9][0-9]*$")
    parent: str | None = None
    name: str = Field(min_length=1)
    when: tuple[Condition, ...] = ()
    evidence: dict[str, str | int | FiniteFloat | bool | None] | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            if isinstance(data.get("when"), list):
                data["when"] = tuple(data["when"])
            if isinstance(data.get("evidence"), dict):
                data["evidence"] = {key: plain(value) for key, value in data["evidence"].items()}
        return data

    def number(self) -> int:
        """The number of the id: 7 of ``s7``."""
        return int(self.id[1:])

    def plain(self) -> dict[str, Any]:
        """The node as it is written in a file."""
        data: dict[str, Any] = {"id": self.id}
        if self.parent is not None:
            data["parent"] = self.parent
        data |= {"name": self.name, "when": [c.plain() for c in self.when]}
        if self.evidence is not None:
            data["evidence"] = dict(self.evidence)
        return data


class Tree(_Part):
    """A segment tree. Siblings are tried in the order of `nodes`; ids at or above `next_id` were never used.

    `models` holds, under its name, every fitted model whose class or value a condition asks for.
    """

    next_id: int = Field(ge=1)
    nodes: tuple[Node, ...]
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            return {**data, "nodes": tuple(data["nodes"])}
        return data

    @field_validator("models")
    @classmethod
    def _plain_models(cls, models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return as_plain(models)

    def node(self, node_id: str) -> Node:
        """The node of that id."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def children(self, node_id: str | None) -> tuple[Node, ...]:
        """The children of a node, or the first branches (None), in the order in which they are tried."""
        return tuple(n for n in self.nodes if n.parent == node_id)

    def path(self, node_id: str) -> list[Node]:
        """The nodes from the first branch down to `node_id`."""
        steps = [self.node(node_id)]
        while steps[0].parent is not None:
            steps.insert(0, self.node(steps[0].parent))
        return steps

    def to_yaml(self) -> str:
        """The tree as YAML: one line a node; below the nodes its models, one line a parameter."""
        lines = [f"next_id: {self.next_id}", "nodes:", *(f"- {_one_line(node.plain())}" for node in self.nodes)]
        lines += ["models:"] if self.models else []
        for name, model in self.models.items():
            lines += [f"  {name}:", *(f"    {key}: {_one_line(value)}" for key, value in model.items())]
        return "\n".join(lines) + "\n"

    def walk(self, node_id: str | None = None, depth: int = 0) -> Iterator[tuple[Node, int]]:
        """All nodes below `node_id`, parents before children, with their depth."""
        for child in self.children(node_id):
            yield child, depth
            yield from self.walk(child.id, depth + 1)


def _one_line(value: Any) -> str:
    layout = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True, "width": 10**9}
    return yaml.dump(value, Dumper=_Quoting, **layout).removesuffix("...\n").strip()


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(str(v) for v in values)
