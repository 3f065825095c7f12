from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crmlab.clv.fitting import pooled as fitting
from crmlab.clv.fitting import pooling
from crmlab.clv.fitting.expansion import (
    Normals,
    Prior,
    around,
    around_common_modes,
    around_modes,
    log_likelihoods,
    prior_of,
)
from crmlab.clv.fitting.importance import resampled, sample
from crmlab.clv.fitting.pooled import fit_by_segment
from crmlab.clv.fitting.pooled_nuts import sample_pooled_nuts
from crmlab.clv.fitting.pooled_result import fits
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.registry import model
from crmlab.clv.params import CLVParams
from crmlab.contract import Refused
from crmlab.plots.pooled import pooled as picture

BGNBD = model("bgnbd")
CENTRE, SPREAD = np.array([-0.4, -2.0, -1.2, 1.0]), np.array([0.2, 0.5, 0.5, 0.2])
QUICK = CLVParams(draws=150, chains=2, ess=20, r_hat=1.2)


def natural(theta, of=BGNBD):
    return of.natural(dict(zip(of.priors, np.moveaxis(theta, -1, 0), strict=True)), {}, NUMPY)


def world(sizes, seed, spread=SPREAD):
    """Segments of these sizes whose coordinates are drawn around a centre, and their true parameters."""
    rng = np.random.default_rng(seed)
    truth = {f"s{i}": natural(CENTRE + spread * rng.normal(size=4)) for i in range(len(sizes))}
    parts = [
        BGNBD.simulate(truth[s], pd.DataFrame({"segment": s, "T": rng.integers(100, 365, n) / 7}), rng)
        for s, n in zip(truth, sizes, strict=True)
    ]
    history = pd.concat(parts, ignore_index=True)
    return history.assign(customer_id=[f"{i:05d}" for i in range(len(history))]), truth


def fitted(history, of="bgnbd", params=QUICK, seed=1):
    return fit_by_segment(
        history, history.set_index("customer_id")["segment"], of, seed=seed, name="full", params=params
    )


@pytest.fixture(scope="module")
def eight():
    history, truth = world([20, 30, 45, 60, 90, 120, 160, 200], 1)
    return history, truth, fitted(history, params=CLVParams())


def test_normal_segments_have_the_posterior_that_integration_gives():
    """Eight schools [Rubin 1981]: effects and standard errors; the posterior of τ by quadrature, θ given τ exactly."""
    y = np.array([28, 8, -3, 7, -1, 1, 18, 12]) / 10
    se = np.array([15, 10, 16, 11, 9, 11, 10, 18]) / 10
    prior = Prior(np.array([0.3]), np.array([2.0]), np.array([0.5]))

    def evaluate(theta):
        return -(((theta[:, :, 0] - y) / se) ** 2) / 2

    normals = around_common_modes(evaluate, y[:, None], prior)
    assert normals.P[:, 0, 0] == pytest.approx(1 / se**2, rel=1e-6)
    found = pooling.gibbs(evaluate, normals, prior, np.random.default_rng(1), chains=8, draws=4000, thin=1)
    tau = np.linspace(1e-3, 3, 3000)[:, None]
    weight = 1 / (se**2 + tau**2)
    precision = weight.sum(axis=1) + 1 / 2.0**2
    centre = ((weight * y).sum(axis=1) + 0.3 / 2.0**2) / precision
    log_density = (
        np.log(weight).sum(axis=1) / 2
        - np.log(precision) / 2
        - ((weight * y**2).sum(axis=1) - centre**2 * precision) / 2
        - tau[:, 0] ** 2 / (2 * 0.5**2)
    )
    share = np.exp(log_density - log_density.max())
    share /= share.sum()
    own = (y / se**2 + centre[:, None] / tau**2) / (1 / se**2 + 1 / tau**2)
    assert found.tau.mean() == pytest.approx((share * tau[:, 0]).sum(), abs=0.012)
    assert found.mu.mean() == pytest.approx((share * centre).sum(), abs=0.015)
    assert found.mu.std() == pytest.approx(
        np.sqrt((share * (1 / precision + centre**2)).sum() - (share * centre).sum() ** 2), rel=0.03
    )
    assert found.theta[..., 0].mean(axis=(0, 1)) == pytest.approx((share[:, None] * own).sum(axis=0), abs=0.02)
    assert found.accepted.min() > 0.6


@pytest.mark.slow
def test_it_samples_the_posterior_that_nuts_samples():
    history, _ = world([12, 25, 40], 5)
    params = CLVParams(draws=400, chains=2, tune=200)
    found = fitted(history, params=CLVParams(draws=1000))
    assert found.method == "Gibbs"
    histories = [part for _, part in history.groupby("segment")]
    nuts = sample_pooled_nuts(BGNBD, histories, {}, np.random.default_rng(2), params)
    reference = fitting._natural(BGNBD, {}, list(found.draws), nuts.theta)
    for segment, draws in found.draws.items():
        for name in BGNBD.parameters:
            ours, theirs = np.log(draws[name]), np.log(reference[segment][name])
            error = np.hypot(ours.std() / np.sqrt(az.ess(ours)), theirs.std() / np.sqrt(az.ess(theirs)))
            assert abs(ours.mean() - theirs.mean()) < 3.5 * error, (segment, name)
            assert ours.std() == pytest.approx(theirs.std(), rel=0.15), (segment, name)


@pytest.mark.slow
def test_segments_fitted_together_are_nearer_the_truth_than_apart_or_as_one():
    """Purchases expected of fifteen customers of each of 8 segments of 15 to 60, over 26 weeks, in two bases."""
    errors = {"together": [], "apart": [], "as one": []}
    for seed in (100, 101):
        history, truth = world([15, 20, 25, 30, 35, 40, 50, 60], seed)
        rng = np.random.default_rng(seed)
        whole = natural(resampled(sample(BGNBD, history, rng), 50, rng))
        together = fitted(history).draws
        for segment, inside in history.groupby("segment"):
            ways = {
                "together": {k: v.ravel()[::6] for k, v in together[segment].items()},
                "apart": natural(resampled(sample(BGNBD, inside, rng), 50, rng)),
                "as one": whole,
            }
            few = inside.iloc[:15]
            expected = BGNBD.expected_purchases(truth[segment], few, 26)[0].mean()
            for way, draws in ways.items():
                errors[way].append(BGNBD.expected_purchases(draws, few, 26)[0].mean() - expected)
    rmse = {way: np.sqrt(np.mean(np.square(found))) for way, found in errors.items()}
    assert rmse["together"] < rmse["apart"]
    assert rmse["together"] < rmse["as one"]


def test_every_segment_is_described_and_small_ones_borrow_more(eight):
    history, truth, found = eight
    assert found.passed
    assert found.method == "Gibbs"
    assert found.table["r_hat"].max() <= 1.01
    assert found.table[["ess_bulk", "ess_tail"]].min().min() >= 400
    assert found.table.groupby("segment").size().tolist() == [4] * 8
    assert found.expected["customers"].tolist() == [20, 30, 45, 60, 90, 120, 160, 200]
    assert found.basis.n == len(history)
    borrowed = found.expected["borrowed"]
    assert borrowed.between(0, 1).all()
    assert stats.spearmanr(borrowed, found.expected["customers"]).statistic < -0.6
    known = [truth[s][p] for s, p in zip(found.table["segment"], found.table["parameter"], strict=True)]
    assert ((found.table["low"] <= known) & (known <= found.table["high"])).mean() > 0.75
    widths = found.expected["high"] - found.expected["low"]
    assert (widths < found.expected["apart_high"] - found.expected["apart_low"]).sum() >= 6


def test_a_large_segment_is_what_it_is_by_itself_and_a_segment_without_data_is_the_common_one():
    history, _ = world([3000, 3000, 3000, 30], 7)
    silent = history["segment"] == "s3"
    spend = model("gamma_gamma").simulate({"p": 6.0, "q": 3.7, "gamma": 15.0}, history, np.random.default_rng(1))
    spend.loc[silent, ["x", "z_bar"]] = [0, np.nan]
    found = fitted(spend, "gamma_gamma")
    shown = found.expected.set_index("segment")
    assert shown.loc["s0", "expected"] == pytest.approx(shown.loc["s0", "apart"], rel=0.02)
    assert shown.loc["s3", "borrowed"] == pytest.approx(1)
    assert shown.loc["s3", "expected"] == pytest.approx(found.typical, rel=0.15)
    assert shown.loc["s3", "high"] - shown.loc["s3", "low"] > 3 * (shown.loc["s0", "high"] - shown.loc["s0", "low"])
    assert found.basis.n == int((spend["x"] > 0).sum())


def test_segments_of_five_and_segments_where_nobody_came_back_are_fitted():
    history, _ = world([5, 5, 5, 5, 60], 3)
    history.loc[history["segment"] == "s1", ["x", "t_x"]] = 0
    found = fitted(history)
    assert found.passed
    shown = found.expected.set_index("segment")
    assert np.isfinite(shown.to_numpy()).all()
    assert shown.loc["s1", "expected"] < found.typical
    assert shown.loc["s1", "borrowed"] > shown.loc["s4", "borrowed"]


def test_expansion_finds_modes_slopes_and_curvatures_that_differences_confirm():
    history, _ = world([40, 300], 2)
    histories = [part for _, part in history.groupby("segment")]
    prior, evaluate = prior_of(BGNBD), log_likelihoods(BGNBD, histories, {})
    found = around_common_modes(evaluate, np.tile(CENTRE, (2, 1)), prior)
    for move in np.random.default_rng(3).normal(size=(5, 4)) * 0.02:
        up, here, down = evaluate(found.theta + np.array([1, 0, -1])[:, None, None] * move)
        slope = ((found.b - (found.P * found.theta[:, None]).sum(axis=-1)) * move).sum(axis=1)
        assert (up - down) / 2 == pytest.approx(slope, rel=0.05, abs=0.01)
        assert up + down - 2 * here == pytest.approx(-np.einsum("i,sij,j->s", move, found.P, move), rel=0.1, abs=0.002)
    modes = around_modes(evaluate, found.theta, found.mu, found.tau)
    slope = modes.b - (modes.P * modes.theta[:, None]).sum(axis=-1)
    assert slope == pytest.approx((modes.theta - modes.mu) / modes.tau**2, abs=0.02)
    stacked = log_likelihoods(BGNBD, histories, {})(found.theta[None])[0]
    alone = [
        BGNBD.log_likelihood(natural(t), {c: h[c].to_numpy(float) for c in BGNBD.columns}).sum()
        for t, h in zip(found.theta, histories, strict=True)
    ]
    assert stacked == pytest.approx(alone, rel=1e-10)


def test_borrowed_is_the_shrinkage_factor_of_one_coordinate():
    normals = Normals(
        np.zeros((3, 1)), np.array([0.0, 1.0, 1e9])[:, None, None], np.zeros((3, 1)), np.zeros(1), np.ones(1)
    )
    assert pooling.borrowed(normals, np.array([[2.0]])) == pytest.approx([1, 0.2, 0], abs=1e-8)
    bent = around(lambda theta: theta[..., 0] ** 2, np.ones((3, 1)), np.zeros(1), np.ones(1))
    assert pytest.approx(0) == bent.P


def test_the_same_seed_and_name_give_the_same_bytes_and_draws_are_paired():
    history, _ = world([15, 20, 10, 25], 1)
    first, again, other = fitted(history), fitted(history.sample(frac=1, random_state=1)), fitted(history, seed=2)
    for segment, draws in first.draws.items():
        assert all(v.shape == (2, 150) for v in draws.values())
        assert all(draws[k].tobytes() == again.draws[segment][k].tobytes() for k in draws)
    assert first.draws["s0"]["r"].tobytes() != other.draws["s0"]["r"].tobytes()
    each = fits(first)
    assert list(each) == list(first.draws)
    assert each["s3"].draws["alpha"] is first.draws["s3"]["alpha"]
    assert each["s3"].table["parameter"].tolist() == list(BGNBD.parameters)
    assert each["s3"].passed


def test_all_faults_are_named_at_once():
    history, _ = world([10, 12], 1)
    segment = history.set_index("customer_id")["segment"]
    with pytest.raises(Refused) as raised:
        fit_by_segment(
            history.assign(x=history["x"] + 0.5), segment.iloc[5:10], "bgnbd", seed=1, name="full", params=QUICK
        )
    assert {"x", "segment"} <= {f.where for f in raised.value.faults}
    assert "17 customers are in no segment" in str(raised.value)
    with pytest.raises(Refused, match="more than once"):
        fit_by_segment(history, pd.concat([segment, segment]), "bgnbd", seed=1, name="full", params=QUICK)
    with pytest.raises(Refused, match="customer_id"):
        fit_by_segment(history.drop(columns="customer_id"), segment, "bgnbd", seed=1, name="full", params=QUICK)


def test_a_base_where_nobody_came_back_fails_with_the_reason():
    history, _ = world([10, 12], 1)
    found = fitted(history.assign(x=0.0, t_x=0.0))
    assert not found.passed
    assert "Nobody bought again" in str(found.sentences()[0])
    assert found.draws == {}
    assert picture(found) is None
    assert "Nobody" in found._repr_html_()


def test_where_gibbs_fails_the_gate_nuts_is_tried_and_what_fails_is_named():
    history, _ = world([10, 12], 1)
    found = fitted(history, params=CLVParams(draws=50, tune=50, chains=2, ess=10_000))
    assert found.method == "NUTS"
    assert not found.passed
    said = " ".join(map(str, found.sentences()))
    assert "sampled by NUTS in PyMC instead" in said
    assert "log_r (common) has" in said
    assert "alpha (s1) has" in said
    assert "passed" not in said
    assert not fits(found)["s0"].passed


def test_it_says_whether_segments_differ_and_who_borrows(eight):
    _, _, found = eight
    table = found.expected

    def said(**changed):
        return " ".join(map(str, replace(found, expected=table.assign(**changed)).sentences()))

    assert "Segments differ" in said()
    assert "the intervals do not touch" in said()
    assert "may not differ" in said(low=0.0)
    assert "comes from the other segments" in said()
    assert "rest on the others no more" in said(borrowed=0.5)
    assert "the others" not in said(customers=50)
    assert ((table["low"] <= table["expected"]) & (table["expected"] <= table["high"])).all()
    assert "differ" not in said(customers=[3, 4, 3, 4, 3, 4, 3, 400])


def test_small_segments_are_hidden_on_the_page_and_in_the_picture(eight):
    _, _, found = eight
    few = replace(found, expected=found.expected.assign(customers=[3, 30, 45, 60, 90, 120, 160, 200], expected=987.0))
    page = few._repr_html_()
    assert page.split("</table>")[0].count("987.00") == 6
    assert "&lt; 5" in page
    drawn = picture(few)
    assert [t.get_text() for t in drawn.get_yticklabels()] == [f"s{i}" for i in range(1, 8)]
    assert "7 segments" in str(drawn.alt)
    assert "987.00 together" in str(drawn.alt)
