"""The parts of a segment tree: conditions, nodes, and how they are said in words."""

from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from crmlab.contract import say, use
from crmlab.contract.words import catalogue, language

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
    """A segment tree. Siblings are tried in the order of `nodes`; ids at or above `next_id` were never used."""

    next_id: int = Field(ge=1)
    nodes: tuple[Node, ...]

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            return {**data, "nodes": tuple(data["nodes"])}
        return data

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
        """The tree as YAML, one line a node."""
        layout = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True, "width": 10**9}
        lines = [yaml.dump(node.plain(), Dumper=_Quoting, **layout).strip() for node in self.nodes]
        return "\n".join([f"next_id: {self.next_id}", "nodes:", *(f"- {line}" for line in lines)]) + "\n"

    def walk(self, node_id: str | None = None, depth: int = 0) -> Iterator[tuple[Node, int]]:
        """All nodes below `node_id`, parents before children, with their depth."""
        for child in self.children(node_id):
            yield child, depth
            yield from self.walk(child.id, depth + 1)


def rule(tree: Tree, node: Node) -> str:
    """The rule of a node in words, among its siblings and within its parent."""
    return rule_words(node.when, [n.when for n in tree.children(node.parent) if n.id != node.id])


def rule_words(when: Sequence[Condition], siblings: Sequence[Sequence[Condition]] = ()) -> str:
    """Conditions in words; an empty rule is said as what its siblings leave, where that is one condition."""
    if when:
        words, rest = _band_words(when[0], when[1:])
        for condition in rest:
            words = say("{first} and {second}", first=words, second=condition.words())
        return words
    known = [s for s in siblings if not any(c.missing for c in s)] or list(siblings)
    if len(known) == 1 and len(known[0]) == 1:
        return known[0][0].opposite_words()
    if lowest := _lowest_end(known):
        return lowest.opposite_words()
    return say("everyone else")


def _band_words(first: Condition, rest: Sequence[Condition]) -> tuple[str, Sequence[Condition]]:
    """The first condition in words, with the next where both are the ends of one band; and what remains to be said."""
    if first.at_least is not None and rest and rest[0].trait == first.trait and rest[0].below is not None:
        ends = {"trait": first.trait, "low": first.at_least, "high": rest[0].below}
        return say("{trait} from {low:,.6g} to below {high:,.6g}", **ends), rest[1:]
    return first.words(), rest


def _lowest_end(siblings: Sequence[Sequence[Condition]]) -> Condition | None:
    """The lowest lower end, where the siblings are adjoining bands of one trait."""
    if len({c.trait for when in siblings for c in when}) != 1:
        return None
    lower = [c for when in siblings for c in when if c.at_least is not None]
    upper = {c.below for when in siblings for c in when if c.below is not None}
    ends = sorted(c.at_least for c in lower)
    bands = len(lower) == len(siblings) and sum(map(len, siblings)) == len(lower) + len(upper)
    return min(lower, key=lambda c: c.at_least) if bands and upper == set(ends[1:]) else None


def in_english(speak: Callable[[], str]) -> str:
    """What `speak` says, in English whatever the language in use."""

    def spoken() -> str:
        use("en")
        return speak()

    return copy_context().run(spoken)


def shown_name(tree: Tree, node: Node) -> str:
    """The name of a node in the language in use.

    Names that were composed from a rule are composed again; names of the catalogue are translated; any other name,
    a customer's own, is shown as it is written.
    """
    if node.name == in_english(lambda: default_name(tree, node)):
        return default_name(tree, node)
    return catalogue(language()).get(node.name) or node.name


def default_name(tree: Tree, node: Node) -> str:
    """Name composed of the parent's name and the rule, in the language in use."""
    words = rule(tree, node)
    if node.parent is None:
        return words
    return say("{parent}: {rule}", parent=shown_name(tree, tree.node(node.parent)), rule=words)


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(str(v) for v in values)
