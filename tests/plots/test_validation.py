import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlab.clv.validation.agreement import Tenths
from crmlab.clv.validation.comparison_result import COLUMNS, Comparison
from crmlab.clv.validation.tracking import Tracking
from crmlab.clv.validation.validation_result import Validation
from crmlab.contract import Basis
from crmlab.plots import validation as plots

BASIS = Basis(100, "customers")
EMPTY = Validation(pd.DataFrame(columns=["before"]), Basis(0, "customers"), 0)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def means(**names):
    return pd.DataFrame(
        {
            **names,
            "customers": [50, 30, 20],
            "predicted": [0.2, 1.0, 4.0],
            "low": [0.1, 0.8, 3.5],
            "high": [0.3, 1.2, 4.5],
            "actual": [0.25, 1.3, 4.2],
        }
    )


def tracked(actual_ahead):
    weeks = np.arange(-9, 5)
    actual = np.append(np.full(10, 20.0), actual_ahead)
    table = pd.DataFrame(
        {
            "week": weeks,
            "ending": pd.date_range("2024-01-07", periods=14, freq="7D").date,
            "actual": actual,
            "expected": 21.0,
            "cumulative_actual": actual.cumsum(),
            "cumulative_expected": np.arange(1, 15) * 20.5,
            "low": [np.nan] * 10 + [210.0, 225, 240, 255],
            "high": [np.nan] * 10 + [230.0, 255, 280, 305],
        }
    )
    names = ("low_90", "high_90", "total_low_90", "total_high_90")
    calendar = pd.DataFrame(dict(zip(names, (10.0, 30.0, np.arange(1, 5) * 10.0, np.arange(1, 5) * 30.0), strict=True)))
    return Tracking(table, BASIS, calendar)


def test_by_frequency_shows_predicted_and_actual_and_says_how_many_agree():
    ax = plots.by_frequency(Validation(means(before=["0", "1", "2+"]), BASIS, 13))
    predicted, actual = (line for line in ax.get_lines() if line.get_marker() in "os" and len(line.get_ydata()) == 3)
    assert list(predicted.get_ydata()) == [0.2, 1.0, 4.0]
    assert list(actual.get_ydata()) == [0.25, 1.3, 4.2]
    assert "in 2 of 3 groups" in str(ax.alt).lower()
    assert "13 weeks" in ax.get_title(loc="left")


def test_tenths_are_shown_with_their_shares():
    found = Tenths(means(tenth=[1, 2, 3], share=[0.1, 0.3, 0.6]), BASIS, 0.5, 0.7)
    ax = plots.tenths(Validation(means(before=["0", "1", "2+"]), BASIS, 13, tenths=found))
    assert [t.get_text() for t in ax.texts] == ["10%", "30%", "60%"]
    assert "In 2 of 3 groups" in str(ax.alt)


@pytest.mark.parametrize(("ahead", "side"), [(20.0, "within"), (60.0, "above"), (1.0, "below")])
def test_tracking_says_on_which_side_of_the_interval_the_actual_number_ends(ahead, side):
    ax = plots.tracking(tracked(np.full(4, ahead)))
    assert f"the actual number is {side} its 90 % interval" in str(ax.alt)
    assert len(ax.figure.axes) == 3


def test_a_few_purchases_of_a_week_are_not_drawn():
    ax = plots.tracking(tracked(np.array([20.0, 3, 0, 20])))
    weekly = ax.figure.axes[2].get_lines()[0].get_ydata()
    assert np.isnan(weekly[11])
    assert weekly[12] == 0


def test_models_are_ranked_and_the_recommended_one_is_marked():
    rows = [
        {"model": "a", "title": "A", "log_score": -1.0, "difference": 0.5, "se": 0.1},
        {"model": "b", "title": "B", "log_score": -1.5, "difference": 0.0, "se": 0.0},
        {"model": "pace", "title": "pace so far"},
    ]
    found = Comparison(pd.DataFrame(rows, columns=COLUMNS), BASIS, 8, recommended="a", in_use="b")
    ax = plots.model_scores(found)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["B", "A"]
    marked = next(line for line in ax.get_lines() if line.get_label() == "recommended")
    assert list(marked.get_xdata()) == [0.5]
    assert "A is best (+0.500 ± 0.100)" in str(ax.alt)


def test_nothing_is_drawn_without_a_result():
    assert plots.by_frequency(EMPTY) is None
    assert plots.tenths(EMPTY) is None
    assert plots.tracking(EMPTY) is None
    assert plots.model_scores(Comparison(pd.DataFrame(columns=COLUMNS), BASIS, 0)) is None
