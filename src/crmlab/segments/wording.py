"""Rules and names of a segment tree in words, in the language in use."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context

from crmlab.contract import say, use
from crmlab.contract.words import catalogue, language
from crmlab.segments.models import Model, class_name, class_words, has_classes, label, models_of, unknown_words
from crmlab.segments.nodes import Condition, Node, Tree


def rule(tree: Tree, node: Node, called: Mapping[str, str] | None = None) -> str:
    """The rule of a node in words, among its siblings and within its parent.

    Parameters
    ----------
    tree, node
        The node, in its tree.
    called
        Trait → what it is called; others are called as in the tree.
    """

    def told(when: Sequence[Condition]) -> list[Condition]:
        return [c.model_copy(update={"trait": (called or {}).get(c.trait, c.trait)}) for c in when]

    siblings = [told(n.when) for n in tree.children(node.parent) if n.id != node.id]
    return rule_words(told(node.when), siblings, models=models_of(tree))


def rule_words(
    when: Sequence[Condition],
    siblings: Sequence[Sequence[Condition]] = (),
    *,
    models: Mapping[str, Model] | None = None,
) -> str:
    """Conditions in words; an empty rule is said as what its siblings leave, where that is one condition.

    Parameters
    ----------
    when, siblings
        The rule, and those of the branches beside it.
    models
        Name → model of the models that conditions may ask for.
    """
    models = models or {}
    if when:
        words, rest = _band_words(when[0], when[1:], models)
        for condition in rest:
            words = say("{first} and {second}", first=words, second=_said(condition, models))
        return words
    known = [s for s in siblings if not any(c.missing for c in s)] or list(siblings)
    if left := _classes_left(known, models):
        return class_words(*left)
    if len(known) == 1 and len(known[0]) == 1:
        return _labelled(known[0][0], models).opposite_words()
    if lowest := _lowest_end(known):
        return _labelled(lowest, models).opposite_words()
    return say("everyone else")


def _said(condition: Condition, models: Mapping[str, Model]) -> str:
    """A condition in words; of a model, its class or its value."""
    model = models.get(condition.trait)
    if model is None or not (condition.missing or has_classes(model)):
        return _labelled(condition, models).words()
    if condition.missing:
        return unknown_words(model)
    return class_words(model, condition.is_) if condition.is_ is not None else condition.words()


def _labelled(condition: Condition, models: Mapping[str, Model]) -> Condition:
    """The condition with what its model gives in place of the model's name."""
    model = models.get(condition.trait)
    return condition if model is None else condition.model_copy(update={"trait": label(model)})


def _band_words(
    first: Condition, rest: Sequence[Condition], models: Mapping[str, Model]
) -> tuple[str, Sequence[Condition]]:
    """The first condition in words, with the next where both are the ends of one band; and what remains to be said."""
    if first.at_least is not None and rest and rest[0].trait == first.trait and rest[0].below is not None:
        ends = {"trait": _labelled(first, models).trait, "low": first.at_least, "high": rest[0].below}
        return say("{trait} from {low:,.6g} to below {high:,.6g}", **ends), rest[1:]
    return _said(first, models), rest


def _classes_left(
    siblings: Sequence[Sequence[Condition]], models: Mapping[str, Model]
) -> tuple[Model, list[int]] | None:
    """The classes that branches leave, where each branch names classes of one model and nothing else."""
    asked = {c.trait for when in siblings for c in when}
    model = models.get(next(iter(asked))) if len(asked) == 1 else None
    if model is None or not has_classes(model) or any(len(w) != 1 or w[0].is_ is None for w in siblings):
        return None
    taken = {value for when in siblings for value in when[0].is_}
    left = [k for k in range(1, model.classes + 1) if k not in taken]
    return (model, left) if left else None


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

    Names that were composed from a rule are composed again; names of the catalogue are translated, also behind the
    parent's; any other name, a customer's own, is shown as it is written.
    """
    if node.name == in_english(lambda: default_name(tree, node)):
        return default_name(tree, node)
    parent = tree.node(node.parent) if node.parent else None
    own = node.name.removeprefix(f"{parent.name}: ") if parent else node.name
    if own != node.name and own in catalogue(language()):
        return say("{parent}: {rule}", parent=shown_name(tree, parent), rule=say(own))
    return catalogue(language()).get(node.name) or node.name


def default_name(tree: Tree, node: Node) -> str:
    """Name composed of the parent's name and the rule, in the language in use; a class has its own name."""
    words = _class_of(tree, node) or rule(tree, node)
    if node.parent is None:
        return words
    return say("{parent}: {rule}", parent=shown_name(tree, tree.node(node.parent)), rule=words)


def _class_of(tree: Tree, node: Node) -> str:
    """The description of the one class whose customers a node holds; empty where it holds anything else."""
    models = models_of(tree)
    if len(node.when) == 1 and node.when[0].trait in models and node.when[0].is_:
        held = models[node.when[0].trait], node.when[0].is_
    else:
        siblings = [
            n.when for n in tree.children(node.parent) if n.id != node.id and not any(c.missing for c in n.when)
        ]
        held = _classes_left(siblings, models) if not node.when else None
    return class_name(held[0], held[1][0]) if held and len(held[1]) == 1 else ""
