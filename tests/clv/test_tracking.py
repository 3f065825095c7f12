from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.company.forecast import acquired, forecast, repeats_before
from crmlab.clv.company.rolling import repeats_after
from crmlab.clv.models.registry import MODELS
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.tracking import track
from crmlab.clv.validation.withheld import withhold
from tests.clv.buyers import START, buyers, table_of

TRUTH = {"r": 1.0, "alpha": 5.0, "a": 0.6, "b": 3.0}
DAYS = 280
END = START + pd.Timedelta(days=DAYS - 1)
PARAMS = CLVParams(validation_weeks=8, kept_draws=40)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def tracked(rows, fitted):
    orders = table_of(rows)
    withheld = withhold(orders, as_of=END, params=PARAMS)
    ahead = forecast(orders, withheld.before, fitted, as_of=withheld.until, weeks=withheld.weeks, params=PARAMS, seed=1)
    return track(orders, withheld, fitted, ahead.table, params=PARAMS), withheld


@pytest.fixture(scope="module")
def followers(known_fit):
    """Customers who follow the model whose parameters are known."""
    return tracked(buyers(1500, DAYS, seed=4, **TRUTH), known_fit("bgnbd", **TRUTH))


def test_weeks_hold_every_repeat_purchase_of_the_customers_acquired_before(followers):
    found, withheld = followers
    assert found.ahead()["actual"].sum() == withheld.actual.sum()
    assert found.table.loc[found.table["week"] <= 0, "actual"].sum() == withheld.before["x"].sum()
    assert found.table["week"].diff().dropna().eq(1).all()
    assert found.table["ending"].iloc[-1] == END


def test_the_expected_number_is_that_of_the_base_before_and_of_each_history_after(followers):
    found, withheld = followers
    model, draws = MODELS["bgnbd"], {k: np.array([v]) for k, v in TRUTH.items()}
    new = pd.DataFrame({"x": 0.0, "t_x": 0.0, "T": 0.0}, index=[0])
    ages = withheld.before["T"][withheld.before["T"] > 0].value_counts()
    each = [float(model.expected_purchases(draws, new, t)[0, 0, 0]) * n for t, n in ages.items()]
    before = found.table[found.table["week"] <= 0]
    assert before["cumulative_expected"].iloc[-1] == pytest.approx(sum(each), rel=1e-3)
    ahead = model.expected_purchases(draws, withheld.before, 8.0)[0].sum()
    assert found.ahead()["expected"].sum() == pytest.approx(ahead)


def test_customers_who_follow_the_model_stay_on_its_track(followers):
    found, _ = followers
    last = found.table.iloc[-1]
    assert last["low"] <= last["cumulative_actual"] <= last["high"]
    assert np.corrcoef(found.table["actual"], found.table["expected"])[0, 1] > 0.8
    assert "it describes the past" in said(found)
    assert "on both sides" in said(found)


def test_the_curve_of_a_new_customer_starts_at_nothing_and_rises():
    draws = {k: np.array([v]) for k, v in TRUTH.items()}
    curve = acquired(MODELS["bgnbd"], draws, pd.DataFrame({"x": [1.0], "t_x": 1.0, "T": 2.0}), longest=30.0)
    assert curve(0.0) == 0
    assert (np.diff(curve(np.linspace(0, 30, 200))) > 0).all()


def test_weeks_are_counted_from_the_day_after_the_calibration():
    rows = [(i, d, 1.0) for i in range(60) for d in (0, 10)]
    rows += [(0, 223, 1.0), (1, 224, 1.0), (2, 230, 1.0), (3, 231, 1.0), (99, 225, 1.0), (99, 226, 1.0), (3, 279, 1.0)]
    orders = table_of(rows)
    withheld = withhold(orders, as_of=END, params=PARAMS)
    before, after = repeats_before(orders, withheld.until, 8), repeats_after(orders, withheld.until, 8)
    assert withheld.until == START + pd.Timedelta(days=223)
    assert before[-1] == 1
    assert after[[0, 1, 7]].tolist() == [2, 1, 1]


def test_it_says_the_opposite_when_the_numbers_do(followers):
    found, _ = followers
    ahead = found.table["week"] > 0
    more = found.table.assign(actual=found.table["actual"].where(~ahead, 1e4))
    less = found.table.assign(actual=found.table["actual"].where(~ahead, 0.0))
    assert "more happened than expected" in said(replace(found, table=more))
    assert "times what was expected" in said(replace(found, table=more))
    assert "less happened than expected" in said(replace(found, table=less))
    off = found.table.assign(cumulative_expected=found.table["cumulative_expected"] * 1.3)
    assert "does not even describe the past" in said(replace(found, table=off))


def test_a_few_purchases_of_a_week_are_not_shown(followers):
    found, _ = followers
    few = replace(found, table=found.table.assign(actual=[*found.table["actual"][:-2], 3.0, 60.0]))
    assert "&lt; 5" in few._repr_html_()
