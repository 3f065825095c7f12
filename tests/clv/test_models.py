"""One suite for every registered model: a new line in the registry is held to all of it."""

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.fitting.fit import fit, maximum_likelihood
from crmlab.clv.fitting.importance import log_posterior
from crmlab.clv.fitting.nuts import pymc_model
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import ContractModel, PurchaseModel, SpendModel
from crmlab.clv.models.registry import FAMILIES, MODELS, family, model, spend_model
from crmlab.clv.params import CLVParams
from crmlab.contract import Refused

PURCHASE = sorted(n for n, m in MODELS.items() if isinstance(m, PurchaseModel))
SPEND = sorted(n for n, m in MODELS.items() if isinstance(m, SpendModel))
CONTRACT = sorted(n for n, m in MODELS.items() if isinstance(m, ContractModel))
every_model = pytest.mark.parametrize("name", sorted(MODELS))


def customers(n, rng):
    """What a model simulates for: observed for up to two years, or so many periods or purchases."""
    return pd.DataFrame(
        {
            "customer_id": [f"{i:05d}" for i in range(n)],
            "x": rng.integers(0, 12, n).astype(float),
            "t_x": 0.0,
            "T": rng.integers(140, 700, n) / 7,
            "litt": 0.0,
            "z_bar": np.nan,
            "n": rng.integers(4, 12, n).astype(float),
            "period_weeks": 4.0,
            "periods": rng.integers(3, 12, n).astype(float),
            "ended": 0.0,
            "since": 0.0,
        }
    )


def typical(chosen, rng, history, wide=0.4):
    """Parameters near the middle of the prior."""
    theta = {k: rng.normal(mean, wide * sd) for k, (mean, sd) in chosen.priors.items()}
    return theta, chosen.natural(theta, units(chosen, history), NUMPY)


def units(chosen, history):
    """The model's constants; those of the unit of money for a history that has no money yet."""
    spent = history.assign(z_bar=20.0, x=np.maximum(history["x"], 1))
    return chosen.constants(spent)


def simulated(name, seed, n):
    chosen, rng = MODELS[name], np.random.default_rng(seed)
    given = customers(n, rng)
    theta, truth = typical(chosen, rng, given)
    return chosen, theta, truth, chosen.simulate(truth, given, rng)


@every_model
def test_a_model_is_registered_under_its_name_with_a_prior_a_parameter(name):
    chosen, _, truth, _ = simulated(name, 1, 50)
    assert chosen.name == name
    assert tuple(truth) == chosen.parameters
    assert len(chosen.priors) == len(chosen.parameters)
    assert all(np.isfinite(v) for v in truth.values())


@every_model
def test_simulated_histories_are_accepted_and_the_same_seed_gives_the_same(name):
    chosen, _, _, history = simulated(name, 2, 400)
    assert chosen.faults(history) == []
    pd.testing.assert_frame_equal(history, simulated(name, 2, 400)[3])


@every_model
def test_collapsed_and_factorised_the_likelihood_is_that_of_the_paper(name):
    chosen, _, _, history = simulated(name, 3, 500)
    likelihood, constants = log_posterior(chosen, history), chosen.constants(history)
    kept = chosen.rows(history)
    data = {c: kept[c].to_numpy(float) for c in chosen.columns}
    rng = np.random.default_rng(4)
    mean, sd = np.array(list(chosen.priors.values())).T
    for _ in range(6):
        theta = rng.normal(mean, sd)
        prior = -0.5 * (((theta - mean) / sd) ** 2).sum() - np.log(sd * np.sqrt(2 * np.pi)).sum()
        parameters = chosen.natural(dict(zip(chosen.priors, theta, strict=True)), constants, NUMPY)
        paper = chosen.log_likelihood(parameters, data).sum()
        assert likelihood(theta) == pytest.approx(paper + prior, rel=1e-9, abs=1e-7)


@every_model
def test_pymc_and_numpy_hold_the_same_posterior(name):
    chosen, _, _, history = simulated(name, 5, 300)
    ours = log_posterior(chosen, history)
    theirs = pymc_model(chosen, chosen.collapsed(history), chosen.constants(history)).compile_logp()
    rng = np.random.default_rng(6)
    for _ in range(5):
        theta = {k: np.float64(rng.normal(mean, sd)) for k, (mean, sd) in chosen.priors.items()}
        assert float(theirs(theta)) == pytest.approx(ours(np.array(list(theta.values()))), rel=1e-9)


@every_model
def test_simulated_truth_is_recovered_by_a_fit_that_passes_its_gate(name):
    _, _, truth, history = simulated(name, 7, 3000)
    found = fit(history, name, seed=1, name="truth", params=CLVParams())
    assert found.passed, found.failures
    for parameter, value in truth.items():
        sample = found.draws[parameter]
        assert abs(sample.mean() - value) < 4.5 * sample.std(), parameter


@every_model
def test_bad_input_is_refused_naming_what_is_wrong(name):
    chosen, _, _, history = simulated(name, 8, 100)
    first = next(c for c in chosen.columns if c in ("x", "periods"))
    for bad, named in (
        (history.drop(columns=first), first),
        (history.assign(**{first: np.nan}), "missing"),
        (history.assign(**{first: -1.0}), "negative"),
        (history.assign(customer_id="1"), "more than once"),
        (history.iloc[:0], "empty"),
    ):
        with pytest.raises(Refused, match=named):
            chosen.check(bad)


@pytest.mark.parametrize("name", PURCHASE)
def test_the_expectation_for_a_new_customer_is_the_mean_of_simulated_ones(name):
    chosen, rng = MODELS[name], np.random.default_rng(9)
    many = customers(40_000, rng).assign(T=60.0, n=15.0)
    _, truth = typical(chosen, rng, many)
    new = many.iloc[:1].assign(x=0.0, t_x=0.0, T=0.0, n=0.0)
    drawn = chosen.simulate(truth, many, rng)["x"].to_numpy(float)
    expected = chosen.expected_purchases(truth, new, 60.0)[0, 0, 0]
    assert abs(expected - drawn.mean()) < 4 * drawn.std() / np.sqrt(len(drawn))


@pytest.mark.parametrize("name", PURCHASE)
def test_predictions_have_their_shapes_and_bounds_and_agree_with_one_another(name):
    chosen, _, truth, history = simulated(name, 10, 60)
    draws = {k: np.array([v, v * 1.2]) for k, v in truth.items()}
    alive = chosen.p_alive(draws, history)
    assert alive.shape == (60, 2)
    assert ((alive >= 0) & (alive <= 1)).all()
    plain, discounted = chosen.expected_purchases(draws, history, 24.0, (0.0, 0.01))
    sooner = chosen.expected_purchases(draws, history, 12.0)[0]
    assert plain.shape == (60, 2)
    assert (discounted <= plain + 1e-12).all()
    assert (plain * np.exp(-0.24) <= discounted + 1e-9).all()
    assert (sooner <= plain + 1e-9).all()
    assert (plain >= 0).all()
    repeated = {k: np.full(3000, v) for k, v in truth.items()}
    counts = chosen.future_purchases(repeated, history, 24.0, np.random.default_rng(1))
    assert counts.shape == (60, 3000)
    assert (counts == np.floor(counts)).all()
    error = counts.std(axis=1) / np.sqrt(3000) + 1e-3
    assert (np.abs(counts.mean(axis=1) - plain[:, 0]) < 5 * error).all()
    one = chosen.expected_purchases({k: v[1] for k, v in draws.items()}, history.iloc[[7]], 24.0)
    assert one[0, 0, 0] == pytest.approx(plain[7, 1], rel=1e-9)


@pytest.mark.parametrize("name", PURCHASE)
def test_parameters_may_differ_by_customer(name):
    chosen, _, truth, history = simulated(name, 11, 5)
    factors = np.linspace(0.8, 1.3, 5)[:, None]
    each = {k: v * np.broadcast_to(factors, (5, 2)) for k, v in truth.items()}
    together = chosen.expected_purchases(each, history, 20.0)[0]
    for i in range(5):
        alone = chosen.expected_purchases({k: v[i] for k, v in each.items()}, history.iloc[[i]], 20.0)[0, 0]
        assert together[i] == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("name", SPEND)
def test_a_customer_without_a_repeat_purchase_is_worth_the_populations_mean(name):
    chosen, _, truth, history = simulated(name, 12, 200)
    value = chosen.expected_value(truth, history)[:, 0]
    assert (value > 0).all()
    assert len(np.unique(value[history["x"] == 0].round(9))) <= 1


@pytest.mark.parametrize("name", CONTRACT)
def test_survival_falls_from_one_and_renewals_are_its_sum(name):
    chosen, _, truth, history = simulated(name, 13, 40)
    staying = history[history["ended"] == 0]
    curve = np.array([chosen.survival(truth, staying, k)[:, 0] for k in range(6)])
    assert curve[0] == pytest.approx(np.ones(len(staying)))
    assert (np.diff(curve, axis=0) < 0).all()
    renewals = chosen.expected_renewals(truth, staying, 5)[0, :, 0]
    assert renewals == pytest.approx(curve[1:].sum(axis=0))


@pytest.mark.parametrize("name", ["bgnbd", "gamma_gamma"])
def test_importance_sampling_and_nuts_find_the_same_posterior(name, cdnow):
    quick = fit(cdnow, name, seed=1, name="full", params=CLVParams())
    slow = fit(cdnow, name, seed=1, name="full", params=CLVParams(k_hat=1e-9))
    assert (quick.method, slow.method) == ("importance sampling", "NUTS")
    assert slow.passed
    assert "instead" in str(slow.sentences()[0])
    one, other = (f.table.set_index("parameter") for f in (quick, slow))
    error = np.sqrt(one["sd"] ** 2 / one["ess_bulk"] + other["sd"] ** 2 / other["ess_bulk"] + one["sd"] ** 2 / 2000)
    assert (np.abs(one["mean"] - other["mean"]) < 4 * error).all()
    assert one["sd"].to_numpy() == pytest.approx(other["sd"].to_numpy(), rel=0.12)


PUBLISHED = {
    "bgnbd": ({"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}, -9582.4, 0.05),
    "pareto_nbd": ({"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}, -9595.0, 0.05),
    "mbgnbd": ({"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614}, -9582.14, 0.005),
    "gamma_gamma": ({"p": 6.25, "q": 3.74, "gamma": 15.44}, -4055.92, 0.005),
}
"""Estimates on CDNOW, their log-likelihood, and half a unit of its last published digit."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_maximum_likelihood_reproduces_the_published_estimates(name, cdnow):
    estimates, log_likelihood, half = PUBLISHED[name]
    found = maximum_likelihood(cdnow, name)
    assert found.pop("log_likelihood") == pytest.approx(log_likelihood, abs=half)
    assert found == pytest.approx(estimates, rel=2e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_priors_leave_the_published_estimates_where_they_are(name, cdnow):
    """The posterior surrounds them."""
    estimates, _, _ = PUBLISHED[name]
    found = fit(cdnow, name, seed=1, name="published", params=CLVParams())
    table = found.table.set_index("parameter")
    for parameter, value in estimates.items():
        assert table.loc[parameter, "low"] < value < table.loc[parameter, "high"]


def test_an_unknown_model_is_refused_naming_the_known():
    with pytest.raises(Refused, match="bgnbd"):
        model("pareto")
    with pytest.raises(Refused, match="not a model of spend"):
        spend_model("bgnbd")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_members_are_registered(name):
    assert len({type(MODELS[m]) for m in family(name)}) == 1
