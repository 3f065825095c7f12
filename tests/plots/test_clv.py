import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlab.clv.by_segment import segment_value
from crmlab.clv.validate import Validation
from crmlab.clv.value import LifetimeValue
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
    return LifetimeValue(table, Basis(600, "customers"), draws, 0.0, 52, 0.1, 0.3)


@pytest.fixture
def validation():
    table = pd.DataFrame(
        {
            "before": ["0", "1", "2+"],
            "customers": [50, 30, 20],
            "predicted": [0.2, 1.0, 4.0],
            "low": [0.1, 0.8, 3.5],
            "high": [0.3, 1.2, 4.5],
            "actual": [0.25, 1.3, 4.2],
        }
    )
    return Validation(table, Basis(100, "customers"), 13)


def test_tracking_shows_predicted_and_actual_and_says_how_many_agree(validation):
    ax = plots.tracking(validation)
    predicted, actual = ax.get_lines()
    assert list(predicted.get_ydata()) == [0.2, 1.0, 4.0]
    assert list(actual.get_ydata()) == [0.25, 1.3, 4.2]
    assert "in 2 of 3 groups" in str(ax.alt)
    assert "13 weeks" in ax.get_title(loc="left")


def test_tracking_draws_nothing_without_a_table():
    empty = Validation(pd.DataFrame(columns=["before"]), Basis(0, "customers"), 0)
    assert plots.tracking(empty) is None


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
