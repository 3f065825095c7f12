"""Rolling origins: arithmetic on made-up records, no look ahead, and a published base end to end."""

from dataclasses import replace
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from crmlab.clv.company.rolling import assembled, compared, from_origin, naive, repeats_after, rolling_origins
from crmlab.clv.company.rolling_result import FORECAST, MODEL, NAIVE, compatible
from crmlab.clv.params import CLVParams
from crmlab.contract import Refused, generator

AS_OF = date(1998, 6, 30)
PARAMS = CLVParams()


def records(number: int = 30, width: float = 0.3, error: float = 0.1) -> pd.DataFrame:
    """A forecast with normal errors of sd `error`, of stated half width; the model alone ten times as narrow."""
    rng = generator(1, "records")
    actual = 1_000 * np.exp(error * rng.normal(size=number))
    shared = {
        "origin": [date(1997, 1, 1) + timedelta(weeks=4 * k) for k in range(number)],
        "horizon": 4,
        "actual": actual,
        "median": 1_000.0,
        "customers": 500,
        "before": 1_000 * np.exp(0.3 * rng.normal(size=number)),
    }
    made = [
        pd.DataFrame(shared | {"method": method} | ends)
        for method, w in ((FORECAST, width), (MODEL, width / 10))
        for ends in [
            {
                f"{side}_{p}": 1_000 * (1 + sign * w * f)
                for side, sign in (("low", -1), ("high", 1))
                for p, f in ((50, 0.4), (90, 1.0))
            }
        ]
    ]
    return pd.concat(made, ignore_index=True)


@pytest.fixture(scope="module")
def rolled(cdnow_orders):
    origins = [date(1997, 9, 30), date(1997, 11, 25), date(1998, 1, 20), date(1998, 4, 1)]
    return rolling_origins(
        cdnow_orders, as_of=AS_OF, origins=[*origins, date(1997, 1, 20)], horizons=(4, 13), params=PARAMS, seed=1
    )


def test_scores_are_those_worked_by_hand():
    own = pd.DataFrame(
        {"horizon": 4, "method": FORECAST, "actual": [100.0, 200.0], "low_50": 90.0, "high_50": 110.0}
        | {"low_90": 50.0, "high_90": 150.0}
    )
    row = compared(own).iloc[0]
    assert row["coverage_50"] == row["coverage_90"] == 0.5
    assert row["width"] == pytest.approx((1 + 0.5) / 2)
    assert row["interval_score"] == pytest.approx((1 + (100 + 20 * 50) / 200) / 2)


def test_what_is_said_of_coverage_counts_each_forecast_once():
    few, many = records(2, width=0.0), records(38).assign(horizon=13)
    found = assembled(pd.concat([few, many], ignore_index=True), as_of=AS_OF)
    own = found.records[found.records["method"] == FORECAST]
    held = own["actual"].between(own["low_90"], own["high_90"]).mean()
    assert found.mean(FORECAST)["coverage_90"] == pytest.approx(held)
    assert f"{held:.0%} of 40 cases" in " ".join(str(s) for s in found.sentences())


def test_where_no_model_could_be_fitted_that_is_said_and_not_a_short_history():
    none = assembled(records(0), as_of=AS_OF, left_out=3)
    assert [str(s) for s in none.sentences()] == ["3 origins are left out: the model could not be fitted there."]
    assert "too short" in str(assembled(records(0), as_of=AS_OF).sentences()[0])


def test_naive_interval_covers_errors_like_its_own():
    made = naive(records(200)[lambda r: r["method"] == FORECAST])
    row = compared(made).iloc[0]
    assert row["method"] == NAIVE
    assert binomtest(round(row["coverage_90"] * 200), 200, 0.9).pvalue > 0.01
    assert binomtest(round(row["coverage_50"] * 200), 200, 0.5).pvalue > 0.01
    assert naive(records(3)[lambda r: r["method"] == FORECAST]).empty


def test_compatible_is_clopper_pearson():
    for hits, number in ((9, 10), (0, 5), (5, 5)):
        interval = binomtest(hits, number).proportion_ci(0.95)
        assert compatible(hits / number, number) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("width", "words"), [(0.165, "compatible with 90 %"), (0.02, "only"), (3.0, "wider than need be")]
)
def test_coverage_is_judged_by_the_numbers(width, words):
    said = str(assembled(records(200, width), as_of=AS_OF).sentences()[0])
    assert words in said
    assert "proven" not in said


def test_model_and_width_are_judged_by_the_numbers():
    good, poor = (assembled(records(width=w), as_of=AS_OF) for w in (0.165, 3.0))
    assert "forecast is better" in str(good.sentences()[1])
    assert "no better" in str(poor.sentences()[1])
    assert "of the width" in str(good.sentences()[2])
    assert "of no use" in str(poor.sentences()[2])
    assert "not much narrower" in str(assembled(records(width=0.55), as_of=AS_OF).sentences()[2])
    assert "left out" in str(replace(good, left_out=2).sentences()[-1])
    assert "too short" in str(assembled(records(0), as_of=AS_OF).headline())


def test_actual_totals_are_those_counted_by_hand(cdnow_orders):
    origin = date(1997, 9, 30)
    days = cdnow_orders.execute().drop_duplicates(["customer_id", "date"])
    day = pd.to_datetime(days["date"])
    known = days["customer_id"].isin(set(days["customer_id"][day <= pd.Timestamp(origin)]))
    week = (day - pd.Timestamp(origin)).dt.days
    expected = [((week > 7 * k) & (week <= 7 * (k + 1)) & known).sum() for k in range(39)]
    assert repeats_after(cdnow_orders, origin, 39).tolist() == expected
    assert sum(expected) == 1_882


def test_forecasts_see_nothing_after_their_origin(cdnow_orders):
    origin = date(1997, 6, 30)
    seen = cdnow_orders.filter(cdnow_orders.date <= ibis.literal(origin))
    full, cut = (from_origin(o, origin, [4], params=PARAMS, seed=1) for o in (cdnow_orders, seen))
    assert [r["median"] for r in full] == [r["median"] for r in cut]
    assert [r["before"] for r in full] == [r["before"] for r in cut]
    assert full[0]["actual"] > cut[0]["actual"] == 0


def test_published_base_end_to_end(rolled):
    table = rolled.table.set_index(["horizon", "method"])
    assert table.loc[(4, FORECAST), "origins"] == 4
    assert table.loc[(13, FORECAST), "origins"] == 3
    assert rolled.left_out == 1
    own, alone = rolled.mean(FORECAST), rolled.mean(MODEL)
    assert own["coverage_90"] > alone["coverage_90"]
    assert own["interval_score"] < alone["interval_score"]
    assert "model alone" in rolled._repr_html_()


def test_horizons_must_be_meant(cdnow_orders):
    with pytest.raises(Refused, match="horizons"):
        rolling_origins(cdnow_orders, as_of=AS_OF, origins=[], horizons=(0,), params=PARAMS, seed=1)
