"""Segmentations made anew: what is there comes again, and a day on which less is known breaks nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crmlab.base.traits import Traits
from crmlab.contract import Basis, generator
from crmlab.segments.again import refitted, remade
from crmlab.segments.branches import class_rules
from crmlab.segments.candidates import Candidate
from crmlab.segments.mixture.em import fit
from crmlab.segments.mixture.model import KMeansModel, MixtureModel
from crmlab.segments.mixture.scale import fitted_scale
from crmlab.segments.mixture.suited import rows_of
from crmlab.segments.models import as_plain, models_of, named
from crmlab.segments.nodes import Node, Tree
from crmlab.segments.params import SegmentsSpec
from crmlab.segments.stability import Stability, stability
from crmlab.segments.tree import assign

N = 300
NAMES = [f"t{j}" for j in range(4)]
KINDS = pytest.mark.parametrize("kind", ["mixture", "kmeans"])


def of(values: np.ndarray) -> Traits:
    table = pd.DataFrame(values, columns=NAMES).assign(customer_id=[f"{i:04d}" for i in range(N)])
    catalogue = pd.DataFrame({"name": NAMES, "kind": "number", "source": "t", "sensitive": False})
    return Traits(table, Basis(N, "customers"), catalogue)


def three(kind: str, traits: Traits, planted: np.ndarray) -> Tree:
    """A tree of three classes whose model is fitted to the planted groups."""
    scales = {t: fitted_scale(traits.table[t].to_numpy()) for t in NAMES}
    rows = rows_of(traits.table, tuple(NAMES), tuple(scales.values()), (), ())
    hot = np.eye(3)[planted]
    model = MixtureModel.of(fit(rows, hot, "diagonal"), scales, {})
    if kind == "kmeans":
        model = KMeansModel.of(hot.T @ rows.numbers / hot.sum(0)[:, None], hot.mean(0), scales)
    name = named(model)
    nodes = [Node(id=f"s{i + 1}", name=f"{i}", when=when) for i, (_, when) in enumerate(class_rules(name, 3))]
    return Tree(next_id=5, nodes=tuple(nodes), models={name: as_plain(model.plain())})


def groups() -> tuple[np.ndarray, Traits]:
    """Three groups six deviations apart, and their traits."""
    rng = generator(8, "planted")
    group = rng.integers(0, 3, N)
    return group, of(generator(9, "middles").normal(0, 6, (3, 4))[group] + rng.standard_normal((N, 4)))


@KINDS
@pytest.mark.parametrize("scales_stay", [True, False])
def test_planted_classes_come_again_and_structure_that_is_not_there_dissolves(kind, scales_stay):
    def stable(traits: Traits, planted: np.ndarray) -> Stability:
        c = Candidate(kind, kind, SegmentsSpec(by=kind), three(kind, traits, planted))
        anew = lambda c, t, name: remade(c.tree, c.spec, t, name, seed=1, clv=None, scales_stay=scales_stay)  # noqa: E731
        return stability([c], traits, None, remade=anew, resamples=6, scores=5, seed=1)

    group, traits = groups()
    found = stable(traits, group)
    assert set(found.table["state"]) == {"stable"}
    assert found.agreement.table["ari"].min() > 0.95
    rng = generator(7, "cloud")
    cloud = stable(of(rng.standard_normal((N, 4))), rng.integers(0, 3, N))
    assert cloud.table["jaccard"].min() < 0.75


@KINDS
@pytest.mark.parametrize("missing", [1, 3, 4])
def test_traits_of_which_nothing_was_known_on_the_earlier_day_are_left_out_then(kind, missing):
    group, traits = groups()
    tree = three(kind, traits, group)
    before = replace(traits, table=traits.table.assign(**dict.fromkeys(NAMES[:missing], np.nan)))
    made = remade(tree, SegmentsSpec(by=kind), before, "before", seed=1, clv=None)
    [model] = models_of(made).values()
    if missing == 4:
        assert made == tree, "with nothing known, as it was"
        assert len(assign(made, before.table)) == N
    else:
        assert set(model.traits) == set(NAMES[missing:])
        assert len(assign(made, before.table).unique()) > 1


@KINDS
def test_scales_stay_only_where_asked(kind):
    group, traits = groups()
    [model] = models_of(three(kind, traits, group)).values()
    wider = traits.table.assign(**{t: traits.table[t] * 3 for t in NAMES})
    assert refitted(model, wider, seed=1, name="a", scales_stay=True).scales == model.scales
    assert refitted(model, wider, seed=1, name="a").scales != model.scales
