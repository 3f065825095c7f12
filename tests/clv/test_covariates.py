"""Covariates: on any model, recovered, carried to new customers, and refused where they cannot be used."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.clv.fitting.calibration import calibrate, joint_p
from crmlab.clv.fitting.fit import fit
from crmlab.clv.fitting.importance import log_likelihood, log_posterior
from crmlab.clv.fitting.nuts import pymc_model
from crmlab.clv.models import bgnbd, gamma_gamma, pareto_nbd
from crmlab.clv.models.covariates import described, with_covariates
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import PurchaseModel
from crmlab.clv.params import CLVParams
from crmlab.contract import Refused

COLUMNS = ("age", "web", "noise")
TRUTHS = {
    "bgnbd": {"r": 0.7, "alpha": 6.0, "a": 0.8, "b": 2.5},
    "pareto_nbd": {"r": 0.7, "alpha": 6.0, "s": 0.8, "beta": 15.0},
}
EFFECTS = {"purchase_age": 0.03, "purchase_web": 0.5, "purchase_noise": 0.0} | {
    "dropout_age": -0.02,
    "dropout_web": 0.4,
    "dropout_noise": 0.0,
}
MODELS = {m.name: m for m in (bgnbd.MODEL, pareto_nbd.MODEL)}
both = pytest.mark.parametrize("name", MODELS)


def customers(n, seed=3):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": [f"{i:05d}" for i in range(n)],
            "T": rng.integers(200, 500, n) / 7,
            "age": rng.normal(45, 12, n).round(),
            "web": (rng.random(n) < 0.4).astype(float),
            "noise": rng.normal(size=n),
        }
    )


def simulated(name, n, seed=3):
    model = with_covariates(MODELS[name], purchase=COLUMNS, dropout=COLUMNS)
    truth = TRUTHS[name] | EFFECTS
    return model, truth, model.simulate(truth, customers(n, seed), np.random.default_rng(seed))


@both
def test_effects_on_both_processes_are_recovered_and_noise_has_none(name):
    model, truth, history = simulated(name, 1200)
    found = fit(history, model, seed=1, name="truth", params=CLVParams())
    assert found.passed
    assert found.method == "importance sampling"
    assert tuple(found.draws) == model.parameters
    for parameter, value in truth.items():
        sample = found.draws[parameter]
        assert abs(sample.mean() - value) < 3.5 * sample.std(), parameter
    for parameter in ("purchase_noise", "dropout_noise"):
        low, high = np.quantile(found.draws[parameter], (0.005, 0.995))
        assert low < 0 < high
    low, high = np.quantile(found.draws["purchase_age"], (0.005, 0.995))
    assert low > 0


@both
def test_each_group_of_a_flag_has_the_models_likelihood_and_predictions_at_its_own_rates(name):
    base = MODELS[name]
    model, truth, history = simulated(name, 60)
    history = history.assign(age=0.0, noise=0.0)
    data = {c: history[c].to_numpy(float) for c in model.columns}
    rows = model.log_likelihood(truth, data)
    draws = {k: np.array([v, 0.9 * v]) for k, v in truth.items()}
    alive = model.p_alive(draws, history)
    orders = model.expected_purchases(draws, history, 26.0, (0.0, 0.01))
    for flag in (0.0, 1.0):
        of = (history["web"] == flag).to_numpy()
        own = {k: v for k, v in truth.items() if k in base.parameters}
        own["alpha"] = own["alpha"] / np.exp(0.5 * flag)
        for parameter, sign in base.dropout_scale:
            own[parameter] = own[parameter] * np.exp(sign * 0.4 * flag)
        assert rows[of] == pytest.approx(base.log_likelihood(own, {k: v[of] for k, v in data.items()}))
        assert alive[of, :1] == pytest.approx(base.p_alive(own, history[of]))
        assert orders[:, of, :1] == pytest.approx(base.expected_purchases(own, history[of], 26.0, (0.0, 0.01)))


@both
def test_a_positive_effect_means_buying_more_often_and_leaving_sooner(name):
    model = with_covariates(MODELS[name], purchase=["web"], dropout=["web"])
    plain, web = (pd.DataFrame({"x": [3.0], "t_x": [20.0], "T": [30.0], "web": [v]}) for v in (0.0, 1.0))
    new = pd.DataFrame({"x": [0.0], "t_x": [0.0], "T": [0.0]})
    truth = TRUTHS[name]
    buying, leaving = (truth | {"purchase_web": p, "dropout_web": d} for p, d in ((0.7, 0.0), (0.0, 0.7)))
    assert model.p_alive(leaving, web) < model.p_alive(leaving, plain)
    for parameters, sign in ((buying, 1), (leaving, -1)):
        first, second = (model.expected_purchases(parameters, new.assign(web=v), 52.0)[0, 0, 0] for v in (0.0, 1.0))
        assert sign * (second - first) > 0


@given(shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_units_of_a_covariate_change_coefficients_and_nothing_else(shift, scale):
    history = simulated("bgnbd", 80)[2]
    model = with_covariates(bgnbd.MODEL, purchase=["age"], dropout=["age"])
    other = history.assign(age=shift + scale * history["age"])
    theta = {k: mean + 0.5 * sd for k, (mean, sd) in model.priors.items()}
    found, again = (model.natural(theta, model.constants(h), NUMPY) for h in (history, other))
    assert again["purchase_age"] == pytest.approx(found["purchase_age"] / scale)
    assert log_likelihood(model, other)(np.array([*theta.values()])) == pytest.approx(
        log_likelihood(model, history)(np.array([*theta.values()])), rel=1e-8
    )
    assert model.p_alive(again, other) == pytest.approx(model.p_alive(found, history), rel=1e-6)


@both
def test_pymc_and_numpy_hold_the_same_posterior(name):
    model, _, history = simulated(name, 120)
    ours = log_posterior(model, history)
    theirs = pymc_model(model, model.collapsed(history), model.constants(history)).compile_logp()
    rng = np.random.default_rng(6)
    for _ in range(3):
        theta = {k: np.float64(rng.normal(mean, 0.7 * sd)) for k, (mean, sd) in model.priors.items()}
        assert float(theirs(theta)) == pytest.approx(ours(np.array(list(theta.values()))), rel=1e-9)


def test_without_importance_sampling_nuts_finds_the_same_posterior():
    history = simulated("bgnbd", 300)[2]
    model = with_covariates(bgnbd.MODEL, purchase=["age"], dropout=["web"])
    quick = fit(history, model, seed=1, name="full", params=CLVParams())
    slow = fit(history, model, seed=1, name="full", params=CLVParams().model_copy(update={"k_hat": -9.0}))
    assert (quick.method, slow.method) == ("importance sampling", "NUTS")
    assert slow.passed
    one, other = (f.table.set_index("parameter") for f in (quick, slow))
    error = np.sqrt(one["sd"] ** 2 / one["ess_bulk"] + other["sd"] ** 2 / other["ess_bulk"] + one["sd"] ** 2 / 2000)
    assert (np.abs(one["mean"] - other["mean"]) < 4 * error).all()


def test_the_fit_is_calibrated():
    model = with_covariates(bgnbd.MODEL, purchase=["observed"], dropout=["observed"])
    found = calibrate(model, sets=12, customers=120, seed=2, params=CLVParams())
    assert found["outcome"].isin(["importance sampling", "NUTS"]).mean() > 0.75
    assert joint_p(found) >= 0.01


def test_covariates_on_the_value_of_a_purchase():
    model = with_covariates(gamma_gamma.MODEL, value=["web"])
    rng = np.random.default_rng(4)
    base = customers(1500).assign(x=rng.integers(0, 9, 1500).astype(float))
    truth = {"p": 6.0, "q": 4.0, "gamma": 15.0, "value_web": 0.4}
    history = model.simulate(truth, base, rng)
    found = fit(history, model, seed=1, name="value", params=CLVParams())
    assert found.passed
    for parameter, value in truth.items():
        assert abs(found.draws[parameter].mean() - value) < 3.5 * found.draws[parameter].std(), parameter
    nobody = pd.DataFrame({"x": [0.0, 0.0], "z_bar": np.nan, "web": [0.0, 1.0]})
    plain, web = model.expected_value(truth, nobody)[:, 0]
    assert web / plain == pytest.approx(np.exp(0.4))


def test_the_model_keeps_its_kind_and_says_what_it_reads():
    model = with_covariates(pareto_nbd.MODEL, purchase=["age"], dropout=["age", "web", "web"])
    assert isinstance(model, PurchaseModel)
    assert model.columns == ("x", "t_x", "T", "age", "web")
    assert model.given_alive == ("x", "T", "age", "web")
    assert model.parameters == ("r", "alpha", "s", "beta", "purchase_age", "dropout_age", "dropout_web")
    assert "purchase_age" in model.name


def test_a_process_the_model_lacks_is_refused_and_so_is_nothing_at_all():
    with pytest.raises(Refused, match="can act on purchase, dropout"):
        with_covariates(bgnbd.MODEL, value=["age"])
    with pytest.raises(Refused, match="can act on value"):
        with_covariates(gamma_gamma.MODEL, purchase=["age"])
    with pytest.raises(Refused, match="no covariate"):
        with_covariates(bgnbd.MODEL)
    with pytest.raises(Refused, match="of the model itself"):
        with_covariates(bgnbd.MODEL, purchase=["T"])


def test_bad_columns_are_all_named_at_once():
    model, _, history = simulated("bgnbd", 50)
    bad = history.drop(columns="age").assign(web="yes", noise=history["noise"].where(history.index > 6))
    with pytest.raises(Refused) as raised:
        model.check(bad)
    told = str(raised.value)
    assert "3 faults" in told
    assert "0/1 column" in told
    assert "7 customers" in told


def test_a_covariate_that_cannot_be_fitted_leaves_a_reason_and_no_fit():
    model, _, history = simulated("bgnbd", 50)
    same = fit(history.assign(web=1.0), model, seed=1, name="same", params=CLVParams())
    assert not same.passed
    assert "web is the same for everybody" in str(same.failures[0])
    far = fit(history.assign(age=2e6 + history["age"]), model, seed=1, name="far", params=CLVParams())
    assert "subtract" in str(far.failures[0])
    assert model.too_little(history) == []


HISTORY = pd.DataFrame({"customer_id": ["b", "a", "c"], "x": 1.0})
TRAITS = pd.DataFrame(
    {
        "customer_id": ["a", "b", "c", "d"],
        "income": [10, 20, 30, 40],
        "member": [True, False, True, True],
        "region": ["N", "S", "N", "S"],
        "x": 1.0,
        "asked": pd.array([1, None, 0, 1], dtype="Int64"),
    }
)


def test_traits_are_joined_by_customer_as_numbers():
    found = described(HISTORY, TRAITS, ["income", "member", "income"])
    assert found["income"].tolist() == [20.0, 10.0, 30.0]
    assert found["member"].tolist() == [0.0, 1.0, 1.0]
    assert found["customer_id"].tolist() == ["b", "a", "c"]
    assert list(HISTORY.columns) == ["customer_id", "x"]


def test_traits_that_cannot_be_covariates_are_all_named_with_their_mend():
    with pytest.raises(Refused) as raised:
        described(HISTORY, TRAITS, ["region", "x", "asked", "height"])
    told = str(raised.value)
    assert "4 faults" in told
    assert "no such trait" in told
    assert "0/1 column of each category" in told
    assert "call the trait otherwise" in told
    assert "no number for 1 customers" in told
    with pytest.raises(Refused, match="1 customers"):
        described(HISTORY.assign(customer_id=["b", "a", "z"]), TRAITS, ["member"])
