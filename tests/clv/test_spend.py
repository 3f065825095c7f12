import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import quad

from crmlab.clv.fitting.fit import maximum_likelihood
from crmlab.clv.fitting.importance import log_posterior
from crmlab.clv.models import gamma_gamma, gamma_gamma_frequency
from crmlab.clv.models.gamma_gamma_frequency import MODEL
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import lifetime_value
from crmlab.clv.value.spend import Dependence, dependence, remedy, spend_fit
from crmlab.contract import Sentence

TRUTH = {"p": 3.0, "q": 3.0, "gamma": 30.0, "delta": 0.3}
ONE = {k: np.array([v]) for k, v in TRUTH.items()}


def base(n=1500, seed=1, share=0.25, **parameters):
    rng = np.random.default_rng(seed)
    customers = pd.DataFrame({"customer_id": np.arange(n).astype(str), "x": rng.geometric(share, n) - 1.0})
    return MODEL.simulate(TRUTH | parameters, customers, rng)


def fitted(history, **params):
    return spend_fit(history, seed=1, name="test", params=CLVParams(**params))


def said(fit):
    return " ".join(str(s) for s in fit.notes)


def test_the_density_is_the_integral_over_customers():
    x, z_bar, (p, q, gamma, delta) = 3.0, 21.0, TRUTH.values()

    def joint(nu):
        mean = stats.gamma.pdf(z_bar, p * x, scale=1 / (nu * x))
        return mean * stats.gamma.pdf(nu, q, scale=1 / (gamma * (1 + x) ** delta))

    density = quad(joint, 0, np.inf, epsabs=0, epsrel=1e-10)[0]
    one = pd.DataFrame({"x": [x], "z_bar": [z_bar]})
    assert MODEL.log_likelihood(TRUTH, one)[0] == pytest.approx(np.log(density), rel=1e-8)
    value = quad(lambda nu: p / nu * joint(nu), 0, np.inf, epsabs=0, epsrel=1e-10)[0] / density
    assert MODEL.expected_value(ONE, one)[0, 0] == pytest.approx(value, rel=1e-8)


def test_without_a_slope_it_is_gamma_gamma(cdnow):
    kept = gamma_gamma.rows(cdnow)
    plain = {"p": 6.25, "q": 3.74, "gamma": 15.44}
    free = MODEL.log_likelihood(plain | {"delta": 0.0}, kept).to_numpy()
    assert free == pytest.approx(gamma_gamma.log_likelihood(plain, kept).to_numpy())
    draws = {k: np.array([v]) for k, v in plain.items()}
    free = MODEL.expected_value(draws | {"delta": np.zeros(1)}, cdnow)
    assert free == pytest.approx(gamma_gamma.expected_value(draws, cdnow))


def test_the_factorised_likelihood_is_that_of_the_rows(cdnow):
    data = MODEL.collapsed(cdnow)
    rows = MODEL.log_likelihood(TRUTH, data)
    assert gamma_gamma_frequency.fast(data)(TRUTH) == pytest.approx((data["weight"] * rows).sum(), rel=1e-12)


def test_the_likelihood_of_cdnow_rises_by_15_units(cdnow):
    found = maximum_likelihood(cdnow, MODEL)
    assert found["delta"] == pytest.approx(0.225, abs=1e-3)
    assert found["log_likelihood"] == pytest.approx(-4055.92 + 15.24, abs=0.01)
    assert np.isfinite(log_posterior(MODEL, cdnow)(np.zeros(4)))


def test_the_currency_changes_the_unit_and_nothing_else():
    history = base(600)
    euros, cents = (fitted(history.assign(z_bar=history["z_bar"] * unit)) for unit in (1, 100))
    assert euros.draws["delta"] == pytest.approx(cents.draws["delta"], abs=1e-6)
    assert 100 * euros.draws["gamma"] == pytest.approx(cents.draws["gamma"], rel=1e-5)


def test_a_relation_is_found_modelled_and_said():
    for delta, words in ((0.3, "larger orders"), (-0.3, "smaller orders")):
        found = fitted(base(delta=delta))
        assert found.model == "gamma_gamma_frequency"
        assert found.passed
        low, high = np.quantile(found.draws["delta"], (0.005, 0.995))
        assert low < delta < high
        assert words in said(found)
        assert f"δ = {found.draws['delta'].mean():.2f}" in said(found)
    assert "1.2" in str(fitted(base()).notes[-1])


def test_without_a_relation_gamma_gamma_is_kept():
    found = fitted(base(delta=0.0))
    assert found.model == "gamma_gamma"
    assert "hardly depends" in said(found)
    assert [s.tone for s in found.notes] == ["good"]


def test_skewed_orders_alone_are_no_relation():
    """With p = 1 the model itself shows a rank correlation above 0.1."""
    history = base(3000, share=0.4, delta=0.0, p=1.0, q=6.0)
    kept = gamma_gamma.rows(history)
    assert stats.spearmanr(kept["x"], kept["z_bar"])[0] > 0.1
    assert fitted(history).model == "gamma_gamma"


def test_few_customers_do_not_tell():
    rng, n = np.random.default_rng(8), 16
    history = pd.DataFrame({"x": rng.integers(1, 5, n).astype(float), "z_bar": rng.gamma(4, 5, n)})
    assert "cannot be told here" in said(fitted(history))
    assert "Too few repeat buyers" in said(fitted(history.assign(x=1.0)))


def test_a_relation_is_given_up_only_where_it_is_large_and_sure():
    for off, error, (fails, holds) in (
        (0.3, 0.05, (True, False)),
        (0.3, 0.2, (False, False)),
        (0.05, 0.01, (False, True)),
        (0.05, 0.1, (False, False)),
        (-0.3, 0.05, (True, False)),
        (np.nan, np.nan, (False, False)),
    ):
        found = Dependence(0.1 + off, 0.1, error)
        assert (found.fails, found.holds) == (fails, holds)


def test_the_p_value_is_uniform_where_the_two_are_unrelated(known_fit):
    plain = {"p": 1.0, "q": 3.0, "gamma": 30.0}
    fit, rng = known_fit("gamma_gamma", **plain), np.random.default_rng(4)
    values = [dependence(base(400, seed, delta=0.0, p=1.0), fit, rng=rng).p_value for seed in range(40)]
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_a_whale_changes_nothing_of_it():
    history = base(delta=0.0)
    history.loc[history["x"].idxmax(), "z_bar"] = 1e6
    found = fitted(history)
    assert found.model == "gamma_gamma"
    assert found.passed


def test_where_the_other_model_fails_its_gate_the_plain_one_is_used_and_doubted(known_fit, published):
    plain = known_fit("gamma_gamma", **published["gamma_gamma"])
    failed = known_fit("gamma_gamma", failures=(Sentence("It failed."),), **published["gamma_gamma"])
    for correlation, words in ((0.4, "overstates"), (-0.4, "understates")):
        found = remedy(Dependence(correlation, 0.02, 0.01), plain, failed)
        assert found.draws is plain.draws
        assert "It failed." in said(found)
        assert words in said(found)


def test_the_value_page_repeats_the_warning_and_one_time_buyers_are_worth_less(cdnow, published_fits):
    params = CLVParams(kept_draws=50)
    freed = spend_fit(cdnow, seed=1, name="test", params=params)
    found = lifetime_value(cdnow, published_fits[0], freed, params=params)
    assert "larger orders" in " ".join(str(s) for s in found.sentences())
    plain = lifetime_value(cdnow, *published_fits, params=params)
    once = (found.table["x"] == 0).to_numpy()
    assert found.table.loc[once, "clv"].sum() < 0.9 * plain.table.loc[once, "clv"].sum()


def test_the_same_seed_gives_the_same_bytes(cdnow):
    first, again = (spend_fit(cdnow.head(600), seed=1, name="test", params=CLVParams()) for _ in range(2))
    assert first.draws["p"].tobytes() == again.draws["p"].tobytes()
    assert first.notes == again.notes
