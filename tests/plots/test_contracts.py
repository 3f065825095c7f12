import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlab.clv.contracts.projection import CONSTANT, Projection
from crmlab.clv.contracts.renewals import RetentionCurve
from crmlab.clv.contracts.value import ContractValue
from crmlab.contract import Basis
from crmlab.plots import contracts as plots

BASIS = Basis(100, "contracts")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def curve(customers):
    survival = np.array([0.8, 0.7, 0.65])
    table = pd.DataFrame(
        {"renewal": [1, 2, 3], "customers": customers, "stayed": [0.82, 0.71, np.nan], "survival": survival}
        | {"survival_low": survival - 0.02, "survival_high": survival + 0.02, "model_rate": 0.9}
        | {"stayed_low": [0.8, 0.7, np.nan], "stayed_high": [0.84, 0.72, np.nan]}
    )
    return RetentionCurve(table, BASIS, "sBG", 0.9)


def projected(actual):
    table = pd.DataFrame(
        {"model": ["sBG", "sBG", CONSTANT, CONSTANT], "ahead": [1, 2, 1, 2], "customers": 100, "actual": actual * 2}
        | {"projected": [80.0, 70.0, 60.0, 40.0], "low": [75.0, 65.0, 55.0, 35.0], "high": [85.0, 75.0, 65.0, 45.0]}
    )
    return Projection(table, BASIS, {})


def worth(n):
    table = pd.DataFrame({"periods": np.repeat([1, 5], n), "clv": np.repeat([20.0, 40.0], n)})
    table = table.assign(clv_low=table["clv"] - 2, clv_high=table["clv"] + 2, stays=0.9, renewals=3.0, lifetime=2.0)
    totals, newcomer = np.array([1.0]), (15.0, 14.0, 16.0)
    return ContractValue(table, BASIS, totals, newcomer, 1.0, 9, 0.0, "month", 12, 0.1, 1.0)


def test_the_curve_starts_whole_and_says_where_it_ends():
    ax = plots.retention_curve(curve([100, 80, 0]))
    model, seen = ax.get_lines()[:2]
    assert list(model.get_ydata()) == [1, 0.8, 0.7, 0.65]
    assert list(seen.get_ydata()) == [0.82, 0.71]
    assert "71% left after renewal 2 as observed, 65% after renewal 3" in str(ax.alt)


def test_renewals_of_fewer_than_five_are_not_drawn():
    ax = plots.retention_curve(curve([100, 4, 0]))
    assert list(ax.get_lines()[1].get_ydata()) == [0.82]
    assert "by the model: 65%" in str(plots.retention_curve(curve([4, 3, 0])).alt)


def test_the_projection_starts_at_the_cut_and_names_the_nearest():
    ax = plots.projection(projected([81, 69]))
    sbg, constant, actual = ax.get_lines()
    assert list(sbg.get_ydata()) == [100, 80, 70]
    assert list(constant.get_ydata()) == [100, 60, 40]
    assert list(actual.get_ydata()) == [81, 69]
    assert "69 in the end; nearest comes sBG with 70" in str(ax.alt)
    assert "nearest comes constant retention rate with 40" in str(plots.projection(projected([60, 41])).alt)
    assert plots.projection(projected([4, 3])) is None


def test_value_is_drawn_by_tenure_beside_that_of_a_new_contract():
    ax = plots.contract_value(worth(10))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "5"]
    assert "20 at 1, 40 at 5; a contract that begins now is worth 15" in str(ax.alt)
    assert plots.contract_value(worth(2)) is None
    assert plots.contract_value(worth(0)) is None
