import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlab.clv.value.by_segment import segment_value
from crmlab.clv.value.lifetime import LifetimeValue, sums_of
from crmlab.contract import Basis
from crmlab.plots import clv as plots


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def ltv():
    values = np.linspace(10, 500, 600)
    table = pd.DataFrame({"customer_id": [f"{i:03d}" for i in range(600)], "clv": values})
    draws = values[:, None] * np.linspace(0.9, 1.1, 21)
    return LifetimeValue(table, Basis(600, "customers"), sums_of(draws), 52, 0.1, 0.3)


def test_the_distribution_marks_median_and_mean_and_says_them(ltv):
    ax = plots.lifetime_value(ltv)
    median, mean = (line.get_xdata()[0] for line in ax.get_lines())
    assert median == pytest.approx(255)
    assert mean == pytest.approx(255)
    assert "median 255" in str(ax.alt)
    assert all(bar.get_height() == 0 or bar.get_height() >= 5 for bar in ax.patches)


def test_segments_are_ranked_with_their_intervals_and_small_ones_left_out(ltv):
    segments = np.repeat(["s1", "s2", "s3"], [300, 297, 3])
    membership = pd.Series(segments, index=ltv.table["customer_id"])
    ax = plots.segment_value(segment_value(ltv, membership, {"s1": "Loyal", "s2": "New", "s3": "Tiny"}))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Loyal", "New"]
    assert "highest New" in str(ax.alt)
