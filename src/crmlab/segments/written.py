"""The segment tree as a file one can read, edit by hand and diff, and all that can be wrong with one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import pandas as pd
from pydantic import ValidationError

from crmlab.contract import Fault, Refused, strict_yaml
from crmlab.segments.models import KINDS, Model, has_classes, looks_like_model, name_of, read_model
from crmlab.segments.nodes import OPERATIONS, Condition, Node, Tree

LONGEST = 1_000_000
"""Characters of the longest tree that is read."""

EXPECTED = {
    "next_id": "a whole number above all ids",
    "nodes": "a line like '- {id: s1, name: ..., when: [...]}' for each node",
    "id": "an s and a whole number, for example s12",
    "parent": "the id of a node, for example s12",
    "name": "a name, in quotes where it is a number",
    "when": "a list of conditions like {trait: frequency, at_least: 2}, or []",
    "at_least": "a number, with a decimal point",
    "below": "a number, with a decimal point",
}
"""Key → what stands there, or in each line of it."""

KEYS = {
    "Tree": ("next_id", "nodes", "models"),
    "Node": ("id", "parent", "name", "when", "evidence"),
    "Condition": ("trait", *OPERATIONS),
}


def to_yaml(tree: Tree) -> str:
    """The tree as YAML, one line a node, its models below; `from_yaml` gives the same tree back."""
    return tree.to_yaml()


def from_yaml(text: str, *, subject: str = "segment tree", traits: pd.DataFrame | Iterable[str] | None = None) -> Tree:
    """The tree of a YAML text; refused with all its faults.

    Parameters
    ----------
    text
        See `to_yaml`; plain scalars, lists and maps only.
    subject
        What to call the text in a fault, for example the file's name.
    traits
        Traits there are: a catalogue with columns name and kind, or names; None to accept any.
    """
    if len(text) > LONGEST:
        raise Refused(subject, f"longer than {LONGEST:,} characters")
    return from_plain(strict_yaml.loads(text, subject=subject), subject=subject, traits=traits)


def from_plain(
    data: Mapping[str, Any], *, subject: str = "segment tree", traits: pd.DataFrame | Iterable[str] | None = None
) -> Tree:
    """The tree of plain maps and lists, as `from_yaml` reads them or a params file holds them."""
    try:
        tree = Tree.model_validate(dict(data))
    except ValidationError as error:
        raise Refused(subject, _faults_of(error, data)) from None
    return checked(tree, subject=subject, traits=traits)


def checked(tree: Tree, *, subject: str = "segment tree", traits: pd.DataFrame | Iterable[str] | None = None) -> Tree:
    """The tree itself when it can be used: refused with all that keeps anybody from having exactly one segment."""
    placed = [*_faults_of_ids(tree), *_faults_of_parents(tree)]
    faults = [*placed, *_faults_of_next_id(tree), *_faults_of_models(tree)]
    if not placed:
        for parent in dict.fromkeys([None, *(n.parent for n in tree.nodes)]):
            faults += _faults_of_branches(tree, parent)
    if traits is not None:
        faults += _faults_of_traits(tree, traits)
    if faults:
        raise Refused(subject, faults)
    return tree


def _faults_of_ids(tree: Tree) -> list[Fault]:
    seen: set[str] = set()
    faults = [] if tree.nodes else [Fault("nodes", "there is no node: at least one with 'when: []' is needed")]
    for node in tree.nodes:
        if node.id in seen:
            faults.append(Fault(node.id, "the id is used twice"))
        seen.add(node.id)
    return faults


def _faults_of_next_id(tree: Tree) -> list[Fault]:
    """That the next free id is taken already: said once, with the least that would do."""
    last = max((node.number() for node in tree.nodes), default=0)
    if last < tree.next_id:
        return []
    return [Fault("next_id", f"is {tree.next_id}, but s{last} is used: write {last + 1}, or more")]


def _faults_of_parents(tree: Tree) -> list[Fault]:
    parents = {n.id: n.parent for n in tree.nodes}
    faults = []
    for node in tree.nodes:
        if node.parent is not None and node.parent not in parents:
            faults.append(Fault(node.id, f"its parent {node.parent} does not exist"))
            continue
        steps, up = {node.id}, node.parent
        while up is not None and up in parents:
            if up in steps:
                faults.append(Fault(node.id, "is its own ancestor"))
                break
            steps.add(up)
            up = parents[up]
    return faults


def _faults_of_branches(tree: Tree, parent: str | None) -> list[Fault]:
    """What is wrong among siblings: no branch for everyone else, or branches nobody can reach."""
    branches = tree.children(parent)
    above = [c for n in (tree.path(parent) if parent else []) for c in n.when]
    faults = []
    if not any(not n.when for n in branches):
        where = branches[-1].id if branches else "nodes"
        faults.append(Fault(where, "the last branch must take everyone else: one with 'when: []' is missing"))
    first = next((i for i, n in enumerate(branches) if not n.when), len(branches))
    if after := ", ".join(n.id for n in branches[first + 1 :]):
        what = f"takes everyone who comes to it, so {after} cannot be reached: put its line after theirs"
        faults.append(Fault(branches[first].id, what))
    for i, node in enumerate(branches[: first + 1]):
        if _impossible([*above, *node.when]):
            faults.append(Fault(node.id, "nobody can meet all its conditions together"))
            continue
        before = next((b for b in branches[:i] if _covers(b, node)), None)
        if before is not None:
            faults.append(Fault(node.id, f"cannot be reached: {before.id} comes first and takes all of it"))
    return faults


def _impossible(conditions: list[Condition]) -> bool:
    return any(a.contradicts(b) for i, a in enumerate(conditions) for b in conditions[i + 1 :])


def _covers(earlier: Node, later: Node) -> bool:
    """Whether whoever meets `later` certainly meets `earlier`."""
    return all(any(c.implies(e) for c in later.when) for e in earlier.when)


def _faults_of_models(tree: Tree) -> list[Fault]:
    """Models that are not as they were fitted, that no node asks for, or that are asked for and not there."""
    sound, faults = _sound_models(tree)
    asked: dict[str, str] = {}
    for node in tree.nodes:
        for condition in node.when:
            asked.setdefault(condition.trait, node.id)
            if condition.trait in sound:
                faults += _faults_of_class(node, condition, sound[condition.trait])
    for name in tree.models.keys() - asked.keys():
        faults.append(Fault(f"models.{name}", "no node asks for it; delete it and the lines below it"))
    for name, node_id in asked.items():
        if looks_like_model(name) and name not in tree.models:
            near = get_close_matches(name, tree.models, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "copy its lines from the tree that it comes from"
            faults.append(Fault(node_id, f"'{name}': there is no such model below models; {hint}"))
    return faults


def _sound_models(tree: Tree) -> tuple[dict[str, Model], list[Fault]]:
    """The models that are as they were fitted, and what is wrong with the others."""
    sound, faults = {}, []
    edited = "is not as it was fitted: nodes can be edited, fitted models cannot; put its lines back as they were"
    for name, plain in sorted(tree.models.items()):
        if plain.get("kind") not in KINDS:
            faults.append(Fault(f"models.{name}", f"kind: expected one of {', '.join(KINDS)}"))
        elif name_of(plain) != name:
            faults.append(Fault(f"models.{name}", edited))
        else:
            try:
                sound[name] = read_model(plain)
            except (Refused, LookupError, TypeError, ValueError) as error:
                faults.append(Fault(f"models.{name}", f"cannot be read: {type(error).__name__} {error}"))
    return sound, faults


def _faults_of_class(node: Node, condition: Condition, model: Model) -> list[Fault]:
    """A condition on a model that it can never meet: a class there is not, text, or bounds of a class."""
    if condition.missing:
        return []
    if not has_classes(model):
        what = f"'{condition.trait}' is a value: use at_least or below, not 'is: [...]'"
        return [Fault(node.id, what)] if condition.is_ is not None else []
    if condition.is_ is None:
        return [Fault(node.id, f"'{condition.trait}' is a class: use 'is: [...]', not at_least or below")]
    wrong = [v for v in condition.is_ if not (isinstance(v, int) and 1 <= v <= model.classes)]
    return [Fault(node.id, f"'{condition.trait}': there is no class {v!r}, only 1 to {model.classes}") for v in wrong]


def _faults_of_traits(tree: Tree, traits: pd.DataFrame | Iterable[str]) -> list[Fault]:
    if isinstance(traits, pd.DataFrame):
        kinds = dict(zip(traits["name"], traits["kind"], strict=True))
    else:
        kinds = dict.fromkeys(traits, "")
    faults = []
    for node in tree.nodes:
        for condition in node.when:
            if condition.trait in tree.models or looks_like_model(condition.trait):
                continue
            if condition.trait not in kinds:
                faults.append(Fault(node.id, f"'{condition.trait}': {unknown_trait(kinds, condition.trait)}"))
            else:
                faults += _faults_of_kind(node, condition, kinds[condition.trait])
    for name, model in _sound_models(tree)[0].items():
        absent = [t for t in model.traits if t not in kinds]
        faults += [Fault(f"models.{name}", f"reads '{t}': {unknown_trait(kinds, t)}") for t in absent]
    return faults


def _faults_of_kind(node: Node, condition: Condition, kind: str) -> list[Fault]:
    """A comparison that can never be met because the trait is of another kind."""
    if kind == "category" and (condition.at_least is not None or condition.below is not None):
        return [Fault(node.id, f"'{condition.trait}' is a category: use 'is: [...]', not at_least or below")]
    for value in condition.is_ or ():
        if kind == "category" and not isinstance(value, str):
            return [Fault(node.id, f"'{condition.trait}' is text: write {value!r} in quotes")]
        if kind in ("number", "flag") and isinstance(value, str):
            return [Fault(node.id, f"'{condition.trait}' is a number: {value!r} is text")]
    return []


def _faults_of(error: ValidationError, data: Mapping[str, Any]) -> list[Fault]:
    """Pydantic's errors as faults: where in the file, what was found, the nearest name that would do."""
    faults: dict[Fault, None] = {}
    for problem in error.errors(include_url=False):
        steps = list(problem["loc"])
        if "is" in steps:
            where, what = _place(steps[: steps.index("is") + 1], data), "values are text or numbers"
            faults[Fault(where, f"{what}, a list of at least one: put true, false and null in quotes")] = None
            continue
        if "evidence" in steps:
            where = _place(steps[: steps.index("evidence") + 2], data)
            faults[Fault(where, "evidence is a map of names to text, numbers, true, false or null")] = None
            continue
        if steps and steps[-1] in ("int", "float", "str", "bool", "finite-float"):
            steps = steps[:-1]
        steps = [s for s in steps if not (isinstance(s, str) and s.startswith(("constrained", "function", "literal")))]
        where = _place(steps, data)
        if problem["type"] == "extra_forbidden":
            key = str(steps[-1])
            allowed = KEYS["Tree"] if len(steps) == 1 else KEYS["Condition"] if "when" in steps else KEYS["Node"]
            near = get_close_matches(key, allowed, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(allowed)}"
            if key.isdigit():
                hint = "write a number with a decimal point, not a comma"
            faults[Fault(where, f"no such key; {hint}")] = None
        elif problem["type"] == "missing":
            faults[Fault(where, "is missing")] = None
        elif problem["type"] == "value_error":
            faults[Fault(where, str(problem["ctx"]["error"]))] = None
        elif what := _expected(steps):
            faults[Fault(where, f"got {problem['input']!r}: expected {what}")] = None
        else:
            faults[Fault(where, f"got {problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}")] = None
    return list(faults)


def _expected(steps: list[Any]) -> str:
    """What should stand there, in words; nothing where what pydantic says will do."""
    if len(steps) > 1 and isinstance(steps[-1], int):
        return EXPECTED.get(steps[-2], "")
    return EXPECTED.get(steps[-1], "") if steps else ""


def _place(steps: list[Any], data: Mapping[str, Any]) -> str:
    """A place in the file, a node being called by its id where it has one."""
    try:
        node = data["nodes"][steps[1]] if len(steps) > 1 and steps[0] == "nodes" else None
        if isinstance(node, dict) and isinstance(node.get("id"), str):
            steps = [node["id"], *steps[2:]]
    except (LookupError, TypeError):
        pass
    return ".".join(str(s) for s in steps)


def unknown_trait(there: Iterable[str], trait: str) -> str:
    """What to say of a trait that does not exist: the nearest, and all there are."""
    known = sorted(there)
    near = get_close_matches(trait, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"no such trait{hint or ';'} there are: {', '.join(known)}"
