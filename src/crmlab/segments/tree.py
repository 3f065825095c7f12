"""The segment tree: who is in which segment, splitting one, and what changed."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from crmlab.contract import Fault, Refused, Sentence
from crmlab.segments.models import base_traits, with_models
from crmlab.segments.nodes import Condition, Node, Tree
from crmlab.segments.wording import default_name, in_english, rule, shown_name
from crmlab.segments.written import checked, from_yaml, to_yaml, unknown_trait

__all__ = [
    "Condition",
    "Node",
    "Tree",
    "assign",
    "changes",
    "checked",
    "digest",
    "from_yaml",
    "leaves",
    "members",
    "names",
    "rule",
    "split",
    "to_yaml",
    "traits_used",
]


def leaves(tree: Tree) -> list[str]:
    """Ids of the segments: the nodes without children, in the order in which they are tried."""
    inner = {n.parent for n in tree.nodes}
    return [node.id for node, _ in tree.walk() if node.id not in inner]


def names(tree: Tree) -> dict[str, str]:
    """Id → name of every node, in the language in use."""
    return {node.id: shown_name(tree, node) for node in tree.nodes}


def digest(tree: Tree) -> str:
    """SHA-256 of the tree as it is written."""
    return sha256(to_yaml(tree).encode()).hexdigest()


def traits_used(tree: Tree) -> list[str]:
    """The traits the tree asks for, those that its models read included, in order of first use."""
    return base_traits(tree, (c.trait for n in tree.nodes for c in n.when))


def assign(tree: Tree, traits: pd.DataFrame) -> pd.Series:
    """Segment of each customer, new ones included: at each level the first branch whose rule is met.

    Parameters
    ----------
    tree
        The tree in force.
    traits
        One row a customer: customer_id and every trait the tree uses.

    Returns
    -------
    pandas.Series
        Ids of leaves, index customer_id sorted, name ``segment``.
    """
    absent = [t for t in traits_used(tree) if t not in traits.columns]
    if absent:
        there = [c for c in traits.columns if c != "customer_id"]
        raise Refused("segment tree", [Fault(t, unknown_trait(there, t)) for t in absent])
    table = with_models(tree, traits.sort_values("customer_id").reset_index(drop=True))
    if not table["customer_id"].is_unique:
        raise Refused("traits", "a customer has more than one row of traits")
    found = np.full(len(table), "", dtype=object)
    _descend(tree, None, table, np.ones(len(table), dtype=bool), found)
    return pd.Series(found, index=pd.Index(table["customer_id"], dtype="str"), name="segment", dtype="str")


def _descend(tree: Tree, node_id: str | None, table: pd.DataFrame, here: np.ndarray, found: np.ndarray) -> None:
    """Write into `found` the leaf of every customer who is `here`, in the node."""
    branches = tree.children(node_id)
    if not branches:
        found[here] = node_id
    for branch in branches:
        inside = here & meets(branch.when, table)
        _descend(tree, branch.id, table, inside, found)
        here = here & ~inside


def meets(when: Sequence[Condition], table: pd.DataFrame) -> np.ndarray:
    """Who meets every one of the conditions: bool, shape (len(table),)."""
    met = np.ones(len(table), dtype=bool)
    for condition in when:
        met &= _meets_one(condition, table[condition.trait])
    return met


def _meets_one(condition: Condition, values: pd.Series) -> np.ndarray:
    known = values.notna().to_numpy()
    if condition.missing:
        return ~known
    if condition.is_ is not None:
        return known & values.isin(condition.is_).to_numpy()
    try:
        numbers = pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise Refused("segment tree", [(condition.trait, "is not a number: compare it with 'is: [...]'")]) from None
    bound = condition.at_least if condition.at_least is not None else condition.below
    with np.errstate(invalid="ignore"):
        return known & (numbers >= bound if condition.at_least is not None else numbers < bound)


def members(tree: Tree, membership: pd.Series) -> pd.Series:
    """Customers of every node, inner ones included: int64, index node id in the order of the tree."""
    counts = membership.value_counts()
    total = {node.id: 0 for node, _ in tree.walk()}
    for leaf, count in counts.items():
        for node in tree.path(str(leaf)):
            total[node.id] += int(count)
    return pd.Series(total, name="customers", dtype="int64")


def split(
    tree: Tree,
    node_id: str,
    conditions: Iterable[Condition | Mapping[str, Any]],
    *,
    names: Sequence[str] | None = None,
    missing: bool = False,
    evidence: Mapping[str, Any] | None = None,
) -> Tree:
    """The tree with one segment split in two, or in three where the trait can be missing.

    The split node stays as an inner node; its children take the next ids, which are never used again.

    Parameters
    ----------
    tree
        The tree before; it is not changed.
    node_id
        The segment (leaf) to split.
    conditions
        What customers of the first child meet, for example ``[{"trait": "orders_13w", "at_least": 3}]``.
    names
        Names of the children: met, not met and, a third, trait missing. By default composed of parent and rule.
    missing
        Whether to give customers whose trait is missing a branch of their own; implied by a third name.
    evidence
        What the split rests on, plain values; each child carries it.
    """
    if node_id not in leaves(tree):
        raise Refused("segment tree", [(node_id, "only a segment, a node without children, can be split")])
    met = tuple(c if isinstance(c, Condition) else Condition.model_validate(dict(c)) for c in conditions)
    rules = [met]
    if missing or (names is not None and len(names) == 3):
        traits = dict.fromkeys(c.trait for c in met if not c.missing)
        rules += [(Condition(trait=t, missing=True),) for t in traits]
    rules.append(())
    given = list(names) if names is not None else []
    if len(given) == 3:
        given = [given[0], *[given[2]] * (len(rules) - 2), given[1]]
    elif len(given) == 2:
        given = [given[0], *[""] * (len(rules) - 2), given[1]]
    elif given:
        raise Refused("segment tree", [(node_id, f"a split takes 2 or 3 names, {len(given)} were given")])
    children = tuple(
        Node(
            id=f"s{tree.next_id + i}",
            parent=node_id,
            name=(given[i] if given else "") or "?",
            when=when,
            evidence=dict(evidence) if evidence else None,
        )
        for i, when in enumerate(rules)
    )
    return checked(add(tree, children))


def add(tree: Tree, nodes: Sequence[Node], models: Mapping[str, dict[str, Any]] | None = None) -> Tree:
    """The tree with further nodes, and the models they ask for; a node called ``?`` is named by its parent and rule."""
    next_id = max([tree.next_id, *(n.number() + 1 for n in nodes)])
    grown = Tree(next_id=next_id, nodes=(*tree.nodes, *nodes), models=tree.models | dict(models or {}))
    ours = {n.id for n in nodes}
    return grown.model_copy(
        update={"nodes": tuple(_named(grown, n) if n.name == "?" and n.id in ours else n for n in grown.nodes)}
    )


def _named(tree: Tree, node: Node) -> Node:
    return node.model_copy(update={"name": in_english(lambda: default_name(tree, node))})


def changes(old: Tree, new: Tree) -> list[Sentence]:
    """Exactly what differs between two trees, a sentence each; none where they are the same."""
    before, after = {n.id: n for n in old.nodes}, {n.id: n for n in new.nodes}
    told: list[Sentence] = []
    for node in old.nodes:
        if node.id not in after:
            told.append(Sentence("{id} “{name}” is gone", {"id": node.id, "name": node.name}, "warn"))
    for node in new.nodes:
        if node.id not in before:
            told.append(_added(new, node))
        else:
            told.extend(_altered(old, new, before[node.id], node))
    told.extend(_reordered(old, new, set(before) & set(after)))
    if new.next_id < old.next_id or (not told and old.next_id != new.next_id):
        told.append(Sentence("the next free id is s{new}, it was s{old}", {"old": old.next_id, "new": new.next_id}))
    return told


def _added(tree: Tree, node: Node) -> Sentence:
    values = {"id": node.id, "name": node.name, "rule": in_english(lambda: rule(tree, node))}
    if node.parent is None:
        return Sentence("{id} “{name}” is new: {rule}", values)
    return Sentence("{id} “{name}” is new, under {parent}: {rule}", {**values, "parent": node.parent})


def _altered(old: Tree, new: Tree, was: Node, now: Node) -> list[Sentence]:
    rules = {"old": in_english(lambda: rule(old, was)), "new": in_english(lambda: rule(new, now))}
    told = []
    if was.name != now.name and was.when != now.when:
        text = (
            "{id} is another segment now, “{name}”: {new}. It was “{before}”: {old}; what earlier pages say of {id} "
            "is of that one"
        )
        told.append(Sentence(text, {"id": now.id, "name": now.name, "before": was.name, **rules}, "warn"))
    elif was.name != now.name:
        told.append(
            Sentence("{id} is called “{new}”, it was “{old}”", {"id": now.id, "old": was.name, "new": now.name})
        )
    elif was.when != now.when:
        told.append(Sentence("{id} has the rule {new}, it was {old}", {"id": now.id, **rules}, "warn"))
    if was.parent != now.parent:
        values = {"id": now.id, "old": was.parent or "–", "new": now.parent or "–"}
        told.append(Sentence("{id} is under {new}, it was under {old}", values, "warn"))
    if was.evidence != now.evidence:
        told.append(Sentence("{id} has other evidence", {"id": now.id}))
    return told


def _reordered(old: Tree, new: Tree, kept: set[str]) -> list[Sentence]:
    """A sentence for each group of siblings that are tried in another order; first match wins, so it matters."""
    told = []
    for parent in dict.fromkeys(n.parent for n in new.nodes):
        now = [n.id for n in new.children(parent) if n.id in kept]
        was = [n.id for n in old.children(parent) if n.id in now]
        if [i for i in now if i in was] != was:
            told.append(Sentence("the branches {ids} are tried in another order", {"ids": ", ".join(now)}, "warn"))
    return told
