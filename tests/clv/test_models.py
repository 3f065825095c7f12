"""One suite for every registered model."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from crmlab.clv import fit as fitting
from crmlab.clv.models import MODELS, model, purchase_model, spend_model
from crmlab.contract import Refused

LOG_LIKELIHOODS = {"bgnbd": -9582.4, "gamma_gamma": -4055.92}
ESTIMATES = {"bgnbd": (0.243, 4.414, 0.793, 2.426), "gamma_gamma": (6.25, 3.74, 15.44)}
TRUTHS = {
    "bgnbd": [{"r": 0.6, "alpha": 6.0, "a": 0.9, "b": 2.5}, {"r": 1.4, "alpha": 1.3, "a": 0.3, "b": 6.0}],
    "gamma_gamma": [{"p": 6.0, "q": 3.7, "gamma": 15.0}, {"p": 0.6, "q": 4.0, "gamma": 200.0}],
}
GOOD = pd.DataFrame(
    {
        "customer_id": [f"{i:02d}" for i in range(12)],
        "x": [0.0, *range(1, 12)],
        "t_x": [0.0, *np.linspace(3, 29, 11)],
        "T": 30.0,
        "z_bar": [np.nan, *np.linspace(5, 50, 11)],
    }
)
BAD = {
    "bgnbd": [
        (GOOD.drop(columns="t_x"), "t_x"),
        (GOOD.assign(T=10.0), "T"),
        (GOOD.assign(x=-GOOD["x"]), "negative"),
        (GOOD.assign(x=GOOD["x"] + 0.5), "whole"),
        (GOOD.assign(T=np.nan), "missing"),
        (GOOD.assign(T=np.inf), "infinite"),
        (GOOD.assign(x=0.0, t_x=0.0), "again"),
        (GOOD.assign(t_x=0.0), "distinct"),
        (GOOD.assign(customer_id="1"), "more than once"),
        (GOOD.iloc[:0], "empty"),
    ],
    "gamma_gamma": [
        (GOOD.drop(columns="z_bar"), "z_bar"),
        (GOOD.assign(z_bar=np.nan), "missing"),
        (GOOD.assign(z_bar=np.inf), "infinite"),
        (GOOD.assign(z_bar=-1.0), "above 0"),
        (GOOD.assign(x=np.nan), "missing"),
        (GOOD.assign(customer_id="1"), "more than once"),
        (GOOD.iloc[:0], "empty"),
    ],
}
every_model = pytest.mark.parametrize("name", sorted(MODELS))


def maximum_likelihood(chosen, history):
    """Estimates, their standard errors on the log scale, and the log-likelihood."""

    def negative(logs):
        return -chosen.log_likelihood(dict(zip(chosen.parameters, np.exp(logs), strict=True)), history).sum()

    start = np.zeros(len(chosen.parameters))
    if "z_bar" in history and "gamma" in chosen.parameters:
        start[-1] = np.log(history["z_bar"].mean())
    rough = minimize(negative, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-6, "fatol": 1e-7})
    found = minimize(negative, rough.x, method="BFGS")
    return np.exp(found.x), np.sqrt(np.diag(found.hess_inv)), -found.fun


@every_model
def test_likelihood_reproduces_the_published_estimates(name, cdnow):
    estimates, _, log_likelihood = maximum_likelihood(MODELS[name], cdnow)
    assert log_likelihood == pytest.approx(LOG_LIKELIHOODS[name], abs=0.05)
    assert estimates == pytest.approx(ESTIMATES[name], rel=2e-3)


@every_model
@pytest.mark.parametrize("case", [0, 1])
def test_simulated_truth_is_recovered(name, case):
    chosen, truth = MODELS[name], TRUTHS[name][case]
    rng = np.random.default_rng(20 + case)
    n = 3000
    given = pd.DataFrame({"x": rng.integers(0, 12, n), "t_x": 0.0, "T": rng.integers(100, 365, n) / 7, "z_bar": np.nan})
    estimates, errors, _ = maximum_likelihood(chosen, chosen.simulate(truth, given, rng))
    away = (np.log(estimates) - np.log([truth[p] for p in chosen.parameters])) / errors
    assert np.abs(away).max() < 3.5


@every_model
def test_the_pymc_graph_equals_the_numpy_likelihood(name, cdnow):
    import pymc as pm

    chosen = MODELS[name]
    built, logp_dlogp = fitting._compiled(name)
    prior_sd = np.array([sd for _, sd in chosen.priors.values()])
    prior_mean = np.array([mean for mean, _ in chosen.priors.values()])
    rng = np.random.default_rng(3)
    for history in (cdnow, GOOD, cdnow.iloc[::7]):
        data = chosen.statistics(history)
        pm.set_data(data, model=built)
        for _ in range(5):
            theta = prior_mean + prior_sd * rng.normal(size=len(prior_mean))
            prior = -0.5 * (((theta - prior_mean) / prior_sd) ** 2).sum() - np.log(prior_sd * np.sqrt(2 * np.pi)).sum()
            parameters = chosen.natural(dict(zip(chosen.priors, theta, strict=True)), data, np)
            reference = chosen.log_likelihood(parameters, history).sum()
            assert float(logp_dlogp(theta)[0]) - prior == pytest.approx(reference, rel=1e-9)


@every_model
def test_bad_input_is_refused_naming_what_is_wrong(name):
    MODELS[name].check(GOOD)
    for history, named in BAD[name]:
        with pytest.raises(Refused, match=named):
            MODELS[name].check(history)


@every_model
def test_a_model_is_registered_under_its_name_with_a_prior_a_parameter(name):
    chosen = MODELS[name]
    assert chosen.name == name
    assert len(chosen.priors) == len(chosen.parameters)
    theta = {k: mean for k, (mean, _) in chosen.priors.items()}
    assert tuple(chosen.natural(theta, chosen.statistics(GOOD), np)) == chosen.parameters


@every_model
def test_the_priors_do_not_shut_out_the_published_estimates(name, cdnow):
    """The published estimates lie within 1.5 prior sd in every coordinate."""
    chosen = MODELS[name]
    data = chosen.statistics(cdnow)

    def miss(theta):
        found = chosen.natural(dict(zip(chosen.priors, theta, strict=True)), data, np)
        return sum((np.log(found[p]) - np.log(v)) ** 2 for p, v in zip(chosen.parameters, ESTIMATES[name], strict=True))

    theta = minimize(miss, [m for m, _ in chosen.priors.values()], method="BFGS").x
    assert miss(theta) < 1e-8
    assert max(abs(t - m) / sd for t, (m, sd) in zip(theta, chosen.priors.values(), strict=True)) < 1.5


def test_an_unknown_model_is_refused_naming_the_known():
    with pytest.raises(Refused, match="bgnbd"):
        model("pareto")
    with pytest.raises(Refused, match="not a model of purchases"):
        purchase_model("gamma_gamma")
    with pytest.raises(Refused, match="not a model of spend"):
        spend_model("bgnbd")
