"""A segmentation made anew: on other customers, or on the traits of another day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crmlab.base.traits import Traits
from crmlab.clv.params import CLVParams
from crmlab.contract import generator
from crmlab.segments.mixture.em import fit
from crmlab.segments.mixture.model import KMeansModel, MixtureModel
from crmlab.segments.mixture.nearest import nearest_fit
from crmlab.segments.mixture.scale import fitted_scale
from crmlab.segments.mixture.starts import best_start, responsibilities
from crmlab.segments.mixture.suited import levels_of, rows_of
from crmlab.segments.models import as_plain, models_of, named
from crmlab.segments.nodes import Tree
from crmlab.segments.params import CLASSES, SegmentsSpec
from crmlab.segments.start import start
from crmlab.segments.tree import assign, leaves

STARTS = 3
"""Starts of a fit of classes, the best of which is followed to its end."""

MOST_FITTED = 20_000
"""Customers that classes are fitted to, at most."""


def remade(
    tree: Tree,
    spec: SegmentsSpec | None,
    traits: Traits,
    name: str,
    *,
    seed: int,
    clv: CLVParams | None,
    scales_stay: bool = False,
) -> Tree:
    """The segmentation made anew on other traits; a tree that stands as it is stays.

    Classes are fitted anew in the number that was found, without being sought again: what is asked is whether these
    come again, and the search would take a minute a time.

    Parameters
    ----------
    tree, spec
        The segmentation, and how it was made; None of a tree that was not made but changed by somebody.
    traits
        What it is made of now.
    name
        What it is made for, so that chance is another each time.
    seed, clv
        For the models.
    scales_stay
        Whether classes are fitted on the scales that were found: in resamples of the same customers, where scales
        hardly differ and would take most of the time.
    """
    if spec is None:
        return tree
    if any(model.kind in CLASSES for model in models_of(tree).values()):
        return _with_classes_anew(tree, traits.table, name, seed, scales_stay)
    if spec.by[0] in CLASSES:
        return tree
    return start(traits, spec, seed=seed, clv=clv).tree


def scaled(spec: SegmentsSpec, share: float) -> SegmentsSpec:
    """The same for a sample of so large a share of the customers: sizes below which branches are joined shrink."""
    if share >= 1:
        return spec
    inner = {name: scaled(further, share) for name, further in spec.within.items()}
    return spec.model_copy(update={"min_size": max(round(spec.min_size * share), 1), "within": inner})


def _with_classes_anew(tree: Tree, table: pd.DataFrame, name: str, seed: int, scales_stay: bool) -> Tree:
    """The tree with each model of classes fitted to the customers in the node that it branches."""
    leaf = assign(tree, table).reindex(table["customer_id"]).to_numpy()
    renamed, models = {}, {}
    for old, model in models_of(tree).items():
        if model.kind in CLASSES:
            parent = next(n.parent for n in tree.nodes if any(c.trait == old for c in n.when))
            inside = _below(tree, parent, leaf)
            model = refitted(model, table[inside], seed=seed, name=name, scales_stay=scales_stay)
        renamed[old] = named(model)
        models[renamed[old]] = as_plain(model.plain())
    nodes = tuple(
        node.model_copy(
            update={"when": tuple(c.model_copy(update={"trait": renamed.get(c.trait, c.trait)}) for c in node.when)}
        )
        for node in tree.nodes
    )
    return Tree(next_id=tree.next_id, nodes=nodes, models=models)


def _below(tree: Tree, parent: str | None, leaf: np.ndarray) -> np.ndarray:
    """Who is in the segments below a node: bool."""
    if parent is None:
        return np.ones(len(leaf), dtype=bool)
    inside = [s for s in leaves(tree) if parent in {n.id for n in tree.path(s)}]
    return np.isin(leaf, inside)


def refitted(
    model: MixtureModel | KMeansModel, table: pd.DataFrame, *, seed: int, name: str, scales_stay: bool = False
) -> MixtureModel | KMeansModel:
    """As many classes of the same kind on the same traits, fitted to other customers: starts, mostly scales, and all.

    Traits of which nothing, or one value only, is known of these customers are left out.

    Parameters
    ----------
    model
        Classes as they were found.
    table
        Traits of the other customers; with fewer than three a class, the model stays as it is.
    seed, name
        For the starts, and for a sample where there are more customers than are fitted.
    scales_stay
        Whether traits keep the scales they have in the model.
    """
    rng = generator(seed, "refitted", name)
    table = table.sort_values("customer_id", kind="stable", ignore_index=True)
    if len(table) > MOST_FITTED:
        table = table.iloc[np.sort(rng.choice(len(table), MOST_FITTED, replace=False))].reset_index(drop=True)
    told = [t for t in model.traits if len(table[t].dropna().unique()) > 1]
    scales = {t: s for t, s in zip(model.numbers, model.scales, strict=True) if t in told}
    if not scales_stay:
        scales = {t: fitted_scale(_numbers(table[t])) for t in scales}
    if len(table) < 3 * model.classes or not told or (isinstance(model, KMeansModel) and not scales):
        return model
    if isinstance(model, KMeansModel):
        rows = rows_of(table, tuple(scales), tuple(scales.values()), (), ())
        centres, labels = nearest_fit(rows, model.classes, rng, starts=STARTS)
        return KMeansModel.of(centres, np.bincount(labels, minlength=model.classes) / len(labels), scales)
    levels = {t: levels_of(table[t]) for t in model.categories if t in told}
    rows = rows_of(table, tuple(scales), tuple(scales.values()), tuple(levels), tuple(levels.values()))
    begun = best_start(rows, responsibilities(rows, model.classes, rng, starts=STARTS), model.shape)
    return MixtureModel.of(fit(rows, begun, model.shape, most_steps=100, enough=1e-4), scales, levels)


def _numbers(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
