import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlab.clv.risk.by_segment import COLUMNS, SegmentRisk
from crmlab.clv.risk.calibration import Calibration
from crmlab.clv.risk.reliability import reliability
from crmlab.clv.value.lifetime import NoValue
from crmlab.contract import Basis, Sentence
from crmlab.plots import risk as plots


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def by_segment(*rows):
    table = pd.DataFrame(rows, columns=["segment", "name", "customers", "risk", "low", "high"])
    table = table.assign(alive=0.9, expected=1.0, expected_low=0.5, expected_high=2.0)[[*COLUMNS]]
    return SegmentRisk(table, Basis(300, "customers"), 0.4, Sentence("{n:,} weeks", {"n": 13}))


def test_segments_are_ranked_by_risk_and_small_ones_left_out():
    found = by_segment(
        ("s1", "Loyal", 200, 0.1, 0.08, 0.12), ("s2", "New", 100, 0.6, 0.5, 0.7), ("s3", "Tiny", 3, 0.9, 0.8, 1.0)
    )
    ax = plots.risk_by_segment(found)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Loyal", "New"]
    assert ax.get_title(loc="left") == "Risk of leaving within 13 weeks, by segment"
    assert "highest New (60%), lowest Loyal (10%)" in str(ax.alt)
    assert ax.get_xlim()[1] < 0.9
    assert plots.risk_by_segment(by_segment(("s3", "Tiny", 3, 0.9, 0.8, 1.0))) is None
    assert plots.risk_by_segment(NoValue(pd.DataFrame(), Basis(1, "x"), ())) is None


def test_what_came_back_stands_beside_what_was_said():
    p, y = np.repeat([0.8, 0.2], 100), np.concatenate([np.arange(100) < 60, np.arange(100) < 22])
    scores = reliability(p, y)
    ax = plots.calibration(Calibration(scores.groups, Basis(200, "customers"), scores, horizon=13))
    (points,) = ax.containers
    assert points.lines[0].get_xdata().tolist() == pytest.approx([0.8, 0.2])
    assert points.lines[0].get_ydata().tolist() == pytest.approx([0.6, 0.22])
    assert "in 2 groups: 1 agree" in str(ax.alt)
    assert "said of 80% and 60% did" in str(ax.alt)
    assert plots.calibration(Calibration(scores.groups[:0], Basis(0, "customers"))) is None
