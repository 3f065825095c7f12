"""How sure it is that a customer is in a segment, where segments rest on classes that a model gives."""

from collections import defaultdict

import numpy as np
import pandas as pd

from crmlab.segments.models import models_of, with_models
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import leaves, meets

LEAST = 0.0005
"""Probabilities below this are left out."""


def membership_probabilities(tree: Tree, traits: pd.DataFrame) -> pd.DataFrame:
    """Probability of each segment that rests on a model's classes, for every customer who may be in it.

    A customer whose class is uncertain goes down every branch in proportion to the probabilities of the classes;
    rules on traits hold or do not. Where two models are asked, one below the other, their classes count as independent
    given the traits.

    Parameters
    ----------
    tree
        The tree in force.
    traits
        One row a customer: customer_id and every trait the tree uses.

    Returns
    -------
    DataFrame
        customer_id, segment, probability (of at least `LEAST`), in the order of customers and of the tree's segments;
        no rows where no segment rests on classes.
    """
    table = with_models(tree, traits.sort_values("customer_id").reset_index(drop=True))
    each = {name: model.probabilities(table) for name, model in models_of(tree).items()}
    chances = {name: p.to_numpy(dtype=np.float64) for name, p in each.items() if p is not None}
    asked = {n.id: {c.trait for c in n.when} & chances.keys() for n in tree.nodes}
    beside = {n.id: set().union(*(asked[b.id] for b in tree.children(n.parent))) for n in tree.nodes}
    resting = [s for s in leaves(tree) if any(beside[n.id] for n in tree.path(s))]
    found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(table)))
    _spread(tree, None, table, np.ones(len(table)), chances, found)
    long = pd.DataFrame(
        {
            "customer_id": pd.Series(np.repeat(table["customer_id"].to_numpy(), len(resting)), dtype="str"),
            "segment": pd.Series(np.tile(resting, len(table)), dtype="str"),
            "probability": np.array([found[s] for s in resting]).T.ravel().round(6),
        }
    )
    return long[long["probability"] >= LEAST].reset_index(drop=True)


def _spread(
    tree: Tree,
    node_id: str | None,
    table: pd.DataFrame,
    weight: np.ndarray,
    chances: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
) -> None:
    """Add to `found` the probability of every leaf below the node, of customers in it with probability `weight`.

    Where branches ask for a class, each class is gone through in turn; `chances` are those of models not asked yet.
    """
    branches = tree.children(node_id)
    if not branches:
        found[node_id] += weight
        return
    asked = next((c.trait for b in branches for c in b.when if c.trait in chances), None)
    if asked is not None:
        each, others = chances[asked], {name: c for name, c in chances.items() if name != asked}
        known = table[asked].notna().to_numpy()
        for k in range(each.shape[1]):
            share = np.where(known, np.nan_to_num(each[:, k]), 0.0)
            _spread(tree, node_id, table.assign(**{asked: float(k + 1)}), weight * share, others, found)
        _spread(tree, node_id, table.assign(**{asked: np.nan}), weight * ~known, others, found)
        return
    left = weight
    for branch in branches:
        inside = meets(branch.when, table)
        _spread(tree, branch.id, table, np.where(inside, left, 0.0), chances, found)
        left = np.where(inside, 0.0, left)
