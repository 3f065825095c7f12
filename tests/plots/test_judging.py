"""Pictures of segmentations compared: drawn from the result alone, with an alt text that says its numbers."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from crmlab.contract import Basis, generator
from crmlab.plots import judging as plots
from crmlab.plots.frame import bundle
from crmlab.segments.agreement import Agreement
from crmlab.segments.explained import explained
from crmlab.segments.future import RESPONSE, SPEND
from crmlab.segments.stability import Stability

matplotlib.use("agg")
BASIS = Basis(300, "customers")


def result(n: int = 300, *, alone: bool = False):
    rng = generator(1, "pictures")
    group, ids = rng.integers(0, 3, n), pd.Index([f"{i:03d}" for i in range(n)], dtype="str", name="customer_id")
    members = {"good": group, "bad": rng.integers(0, 1 if alone else 3, n)}
    members = {k: pd.Series(v, ids).map(lambda s: f"s{s}").astype("str") for k, v in members.items()}
    outcomes = pd.DataFrame({SPEND: group + rng.random(n), RESPONSE: rng.random(n)}, index=ids)
    return explained(members, outcomes, labels={"good": "RFM", "bad": "mixture"}, seed=1, basis=BASIS)


def stability(jaccards: list[float], customers: int = 50) -> Stability:
    names = [f"segment {i}" for i in range(len(jaccards))]
    table = pd.DataFrame({"candidate": "a", "label": "RFM", "segment": names, "name": names, "customers": customers})
    table = table.assign(jaccard=jaccards, low=np.array(jaccards) - 0.1, high=1.0, state="stable")
    return Stability(table, BASIS, Agreement(pd.DataFrame(), BASIS), 20)


def test_what_is_explained_has_a_panel_an_outcome_and_a_point_a_segmentation():
    ax = plots.explained(result())
    assert len(ax.figure.axes) == 2
    assert [t.get_text() for t in ax.get_yticklabels()] == ["RFM", "mixture"]
    assert "Of spend, in ranks, “RFM” explains most" in str(ax.alt)
    assert bundle(ax)[0]["image/png"]


def test_one_segment_alone_has_no_point():
    ax = plots.explained(result(alone=True))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["RFM"]


def test_nothing_to_explain_is_a_picture_that_says_so():
    assert "nothing later" in str(plots.explained(result(0)).alt)


@pytest.mark.parametrize(("jaccards", "told"), [([0.9, 0.4], "1 dissolve"), ([0.9, 0.8], "0 dissolve")])
def test_stability_names_the_weakest_and_how_many_dissolve(jaccards, told):
    ax = plots.stability(stability(jaccards))
    assert told in str(ax.alt)
    assert "weakest is segment 1" in str(ax.alt)
    assert len(ax.get_yticklabels()) == 2


def test_segments_of_few_and_segmentations_of_one_are_not_drawn():
    assert "no two segments" in str(plots.stability(stability([0.9, 0.4], customers=3)).alt)
    assert "no two segments" in str(plots.stability(stability([1.0])).alt)
