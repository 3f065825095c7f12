"""What a study chose: the history its models read, their fits, and what stands where one cannot be had."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.chosen import clv_faults, counts_chances, fit_purchases, fit_spend, fits_of, history_of
from crmlab.clv.company.ahead import NoForecast, forecast_or_reason, past_or_reason
from crmlab.clv.company.equity import customer_equity
from crmlab.clv.company.rolling import past_origins
from crmlab.clv.fitting.pooled_result import PooledFit
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.comparison import compare_models
from crmlab.clv.validation.validate import validate
from crmlab.clv.validation.withheld import withhold
from crmlab.clv.value.newcomer import new_customer
from crmlab.clv.value.predict import value_or_reason
from crmlab.contract import Refused
from tests.clv.buyers import START, buyers, table_of

DAYS = 900
AS_OF = START + timedelta(days=DAYS)
CHANCES = CLVParams(purchases="bgbb", period="quarter", validation_weeks=26)


@pytest.fixture(scope="module")
def orders():
    return table_of(buyers(300, DAYS))


@pytest.fixture(scope="module")
def traits(orders):
    ids = history_of(orders, as_of=AS_OF, params=CLVParams())["customer_id"]
    return pd.DataFrame({"customer_id": ids, "web": np.arange(len(ids)) % 2 == 0})


def segments(known):
    return pd.Series(np.where(np.arange(len(known)) % 3 == 0, "a", "b"), index=known["customer_id"])


def test_a_model_of_chances_reads_periods_and_says_when_none_is_named(orders):
    assert counts_chances(CHANCES)
    assert not counts_chances(CLVParams(purchases="mbg_cnbd_k"))
    known = history_of(orders, as_of=AS_OF, params=CHANCES)
    assert {"n", "period_weeks"} <= set(known)
    assert (known["x"] <= known["n"]).all()
    with pytest.raises(Refused, match=r"clv\.period"):
        history_of(orders, as_of=AS_OF, params=CLVParams(purchases="bgbb"))


@pytest.mark.parametrize(
    ("given", "where", "said"),
    [
        ({"purchases": "bgnbdd"}, "clv.purchases", "did you mean 'bgnbd'"),
        ({"purchases": "sbg"}, "clv.purchases", "expected one of"),
        ({"spend": "bgnbd"}, "clv.spend", "gamma_gamma"),
        ({"purchases": "bgbb"}, "clv.period", "missing"),
        ({"purchases": "bgbb", "period": "year", "horizon_weeks": 26}, "clv.horizon_weeks", "no whole year"),
        ({"purchases": "mbg_cnbd_k", "covariates": {"dropout": ["web"]}}, "clv.purchases", "family"),
        (
            {"purchases": "bgbb", "period": "year", "covariates": {"purchase": ["web"]}},
            "clv.covariates.purchase",
            "act on",
        ),
    ],
)
def test_what_no_data_could_mend_is_named_before_any_is_read(given, where, said):
    (fault,) = clv_faults(CLVParams(**given))
    assert fault.where == where
    assert said in fault.what
    assert clv_faults(CLVParams()) == []


def test_whole_periods_are_withheld_and_what_happened_in_them_is_counted(orders):
    found = withhold(orders, as_of=AS_OF, params=CHANCES)
    assert found.why is None
    assert found.weeks == 26
    assert (found.until + timedelta(days=1)).day == 1
    assert (found.until + timedelta(days=1)).month in (1, 4, 7, 10)
    assert ((found.actual >= 0) & (found.actual <= 2)).all()
    by_hand = orders.filter(orders.date > found.until, orders.date <= found.as_of).to_pandas()
    quarters = by_hand.assign(quarter=pd.to_datetime(by_hand["date"]).dt.to_period("Q"))
    pairs = quarters[quarters["customer_id"].isin(found.before["customer_id"])][["customer_id", "quarter"]]
    assert found.actual.sum() == len(pairs.drop_duplicates())
    assert found.spent.sum() == pytest.approx(
        float(by_hand[by_hand["customer_id"].isin(found.before["customer_id"])]["amount"].sum())
    )


def test_a_study_of_chances_is_validated_and_says_what_it_has_no_weeks_for(orders):
    check = validate(orders, as_of=AS_OF, params=CHANCES, seed=1)
    assert check.fit.model == "bgbb"
    assert check.tracking is None
    assert check.predicted == pytest.approx(check.actual, rel=0.35)
    compared = compare_models(orders, as_of=AS_OF, params=CHANCES, seed=1)
    assert "nothing to compare" in str(compared.sentences()[0])
    known = history_of(orders, as_of=AS_OF, params=CHANCES)
    bought = fit_purchases(known, segment=segments(known), seed=1, name="t", params=CHANCES)
    for found in (
        forecast_or_reason(orders, known, bought, as_of=AS_OF, params=CHANCES, seed=1),
        past_or_reason(orders, as_of=AS_OF, params=CHANCES, seed=1, basis=bought.basis),
    ):
        assert isinstance(found, NoForecast)
        assert "no weeks" in str(found.sentences()[0])


def test_covariates_are_joined_fitted_and_valued_and_a_family_with_them_is_refused(orders, traits):
    params = CLVParams(covariates={"purchase": ["web"], "value": ["web"]}, kept_draws=50)
    known = history_of(orders, as_of=AS_OF, params=params, traits=traits)
    assert set(known["web"]) == {0.0, 1.0}
    bought = fit_purchases(known, segment=segments(known), seed=1, name="t", params=params)
    spent = fit_spend(known, seed=1, name="t", params=params)
    assert "purchase_web" in bought.draws
    assert "value_web" in spent.draws
    value = value_or_reason(known, fits_of(bought), spent, params=params)
    assert (value.table["clv"] >= 0).all()
    ahead = forecast_or_reason(orders, known, bought, as_of=AS_OF, params=params, seed=1)
    assert len(ahead.table) == params.horizon_weeks
    family = params.model_copy(update={"purchases": "mbg_cnbd_k"})
    with pytest.raises(Refused, match="family"):
        history_of(orders, as_of=AS_OF, params=family, traits=traits)
    with pytest.raises(Refused, match="no such trait"):
        history_of(orders, as_of=AS_OF, params=params)


def test_segments_fitted_together_give_each_customer_the_draws_of_their_segment(orders):
    params = CLVParams(by_segment=True, kept_draws=50)
    known = history_of(orders, as_of=AS_OF, params=params)
    of = segments(known)
    bought = fit_purchases(known, segment=of, seed=1, name="t", params=params)
    assert isinstance(bought, PooledFit)
    spent = fit_spend(known, seed=1, name="t", params=params)
    paired = fits_of(bought)
    value = value_or_reason(known, paired, spent, params=params, segment=of)
    assert sorted(paired) == ["a", "b"]
    assert len(value.table) == len(known)
    new = new_customer(known, paired, spent, params=params, segment=of)
    assert new.draws.shape == (50,)


def test_customer_equity_states_the_interval_that_knows_the_calendar(orders):
    params = CLVParams(kept_draws=100, margin_share=0.4)
    known = history_of(orders, as_of=AS_OF, params=params)
    bought = fit_purchases(known, segment=segments(known), seed=1, name="t", params=params)
    spent = fit_spend(known, seed=1, name="t", params=params)
    value = value_or_reason(known, bought, spent, params=params)
    ahead = forecast_or_reason(orders, known, bought, as_of=AS_OF, params=params, seed=1)
    with_it, without = customer_equity(value, None, ahead), customer_equity(value)
    assert "to plan with" in " ".join(str(s) for s in with_it.sentences())
    assert "to plan with" not in " ".join(str(s) for s in without.sentences())
    model = with_it.table["total"].sum()
    plain = (ahead.table["total_plain"].iloc[-1] / value.table["expected_orders"].sum()) * model
    assert np.median(with_it.with_calendar) == pytest.approx(
        plain * ahead.table["total_median"].iloc[-1] / ahead.table["total_plain"].iloc[-1], rel=0.05
    )


def test_campaigns_of_the_params_enter_the_forecast_and_one_turned_round_is_refused(orders):
    known = history_of(orders, as_of=AS_OF, params=CLVParams())
    bought = fit_purchases(known, segment=segments(known), seed=1, name="t", params=CLVParams())
    days = {"start": AS_OF - timedelta(days=20), "end": AS_OF + timedelta(days=30), "reach": 0.5}
    params = CLVParams(campaigns=[days], horizon_weeks=8)
    told = forecast_or_reason(orders, known, bought, as_of=AS_OF, params=params, seed=1)
    assert told.campaign_effect.size
    assert told.planned_reach == pytest.approx(0.5)
    with pytest.raises(ValueError, match="before start"):
        CLVParams(campaigns=[days | {"end": AS_OF - timedelta(days=40)}])


def test_origins_of_the_past_leave_a_quarter_before_and_four_weeks_after(orders):
    days = past_origins(orders, as_of=AS_OF)
    assert len(days) == 12
    assert max(days) == AS_OF - timedelta(weeks=4)
    assert past_origins(orders, as_of=START + timedelta(weeks=16)) == []
    assert len(past_origins(orders, as_of=START + timedelta(weeks=18))) == 1
    assert past_origins(orders, as_of=START - timedelta(days=1)) == []
