"""Pictures of alikeness: drawn from results alone, with alt texts that say what the numbers say."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from crmlab.plots import homogeneity as plots
from crmlab.plots.frame import bundle, no_pictures
from crmlab.reanalysis.homogeneity import HomogeneityParams, homogeneity
from crmlab.reanalysis.levels import LevelsParams, between
from crmlab.reanalysis.refinement import RefinementParams, refine
from tests.reanalysis.planted import contacts, traits, tree

matplotlib.use("agg")
NAMES = {"s1": "Alpha", "s2": "Beta"}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def results(gap: float, campaigns: int = 4):
    known = traits(1200, 1)
    rate = np.where((known.table["half"] == "a") & (known.table["flag"] == 1), 0.15 + gap, 0.15)
    history = contacts(known, rate, 1, campaigns=campaigns)
    current = history[history["campaign_id"] == f"k{campaigns - 1}"]
    same = {"seed": 1, "cycle": "c"}
    return (
        homogeneity(history, current, known, names=NAMES, params=HomogeneityParams(permutations=99), **same),
        between(current, NAMES, history=history, params=LevelsParams(draws=99), **same),
        refine(tree(), current, known, params=RefinementParams(permutations=99), **same),
    )


def test_alt_texts_say_what_the_numbers_say():
    alike, levels, refined = results(0.6, campaigns=5)
    assert "heterogeneous 1" in str(plots.spread(alike).alt)
    assert "in Beta" in str(plots.response_by_segment(levels).alt)
    assert "1 proposed splits, 1 adopted" in str(plots.splits(refined).alt)


def test_alt_texts_say_the_opposite_of_opposite_numbers():
    alike, _, refined = results(0.0, campaigns=1)
    assert "heterogeneous" not in str(plots.spread(alike).alt)
    assert "undecided 2" in str(plots.spread(alike).alt)
    assert refined.table.empty
    assert str(plots.splits(refined).alt) == "No split was proposed."


def test_pictures_carry_their_alt_text_and_what_they_rest_on():
    _, levels, _ = results(0.3)
    ax = plots.response_by_segment(levels)
    assert "customers contacted" in ax.figure.get_supxlabel()
    data, metadata = bundle(ax)
    assert metadata["image/png"]["alt"] == data["text/plain"]


def test_nothing_is_drawn_where_pictures_are_off_or_fails_where_nobody_was_contacted():
    known = traits(200, 1)
    none = contacts(known, np.full(200, 0.2), 1)[:0]
    empty = homogeneity(none, none, known, names=NAMES, seed=1, cycle="c")
    assert plots.spread(empty) is not None
    assert plots.response_by_segment(between(none, NAMES, seed=1, cycle="c")) is not None
    with no_pictures():
        assert plots.spread(empty) is None
