"""Calibration by simulation: right fits have uniform ranks, and the test sees the wrong ones."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.fitting.calibration import RANKED, calibrate, joint_p
from crmlab.clv.models import bgnbd, gamma_gamma
from crmlab.clv.models.registry import MODELS
from crmlab.clv.params import CLVParams

PARAMS = CLVParams(chains=2, tune=100, draws=100)
"""Short chains: where importance sampling fails they soon fail, too, and the data set has no rank."""


def run(model, sets, seed=1):
    return calibrate(model, sets=sets, customers=120, seed=seed, params=PARAMS)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_default_fit_of_every_model_is_calibrated(name):
    model, sets = MODELS[name], 12
    found = run(model, sets)
    assert list(found.columns) == ["set", "outcome", *model.parameters, "log_likelihood"]
    assert len(found) == sets
    fitted = found["outcome"].isin(["importance sampling", "NUTS"])
    assert fitted.mean() > 0.7
    ranks = found.drop(columns=["set", "outcome"])
    assert ranks[fitted].notna().all(axis=None)
    assert ranks[~fitted].isna().all(axis=None)
    assert ranks[fitted].to_numpy().min() >= 0
    assert ranks[fitted].to_numpy().max() <= RANKED
    assert joint_p(found) >= 0.01 / len(MODELS)  # 1 % for all models together


def overconfident(data):
    """The log-likelihood as if every customer had been seen four times."""
    right = gamma_gamma.MODEL.fast(data)
    return lambda parameters: 4 * right(parameters)


def blind(data):
    """No data at all: the posterior is the prior."""
    return lambda parameters: 0.0


def dearer(parameters, history, rng):
    """Customers who spend half as much again as the model says: the posterior lies beside the truth."""
    drawn = gamma_gamma.simulate(parameters, history, rng)
    return drawn.assign(z_bar=1.5 * drawn["z_bar"])


@pytest.mark.parametrize("wrong", [{"fast": overconfident}, {"fast": blind}, {"simulate": dearer}])
def test_a_posterior_too_narrow_too_wide_or_beside_the_truth_is_found_out(wrong):
    assert joint_p(run(replace(gamma_gamma.MODEL, **wrong), 12)) < 0.001


def test_the_same_seed_gives_the_same_ranks_and_more_sets_begin_with_them():
    few, more = run(gamma_gamma.MODEL, 3), run(gamma_gamma.MODEL, 5)
    pd.testing.assert_frame_equal(few, more.head(3), check_dtype=False)
    assert not few.equals(run(gamma_gamma.MODEL, 3, seed=2))


def test_a_base_in_which_nobody_buys_again_is_counted_and_has_no_rank():
    idle = replace(bgnbd.MODEL, simulate=lambda p, history, rng: history.assign(x=0.0, t_x=0.0))
    found = run(idle, 2)
    assert list(found["outcome"]) == ["too little", "too little"]
    assert found[list(bgnbd.MODEL.parameters)].isna().all(axis=None)


def uniform(rng, sets, quantities=5):
    return pd.DataFrame(rng.integers(0, RANKED + 1, (sets, quantities)))


@pytest.mark.parametrize("sets", [40, 500])
def test_uniform_ranks_are_rejected_no_more_often_than_the_level_says(sets):
    rng = np.random.default_rng(3)
    p = np.array([joint_p(uniform(rng, sets)) for _ in range(1_000)])
    assert (p < 0.01).mean() < 0.025
    assert (p < 0.10).mean() < 0.12


def test_parameters_that_move_together_are_rejected_no_more_often_either():
    rng = np.random.default_rng(4)
    p = np.array([joint_p(uniform(rng, 100, 1)[[0] * 5].set_axis(range(5), axis=1)) for _ in range(1_000)])
    assert (p < 0.01).mean() < 0.01


@pytest.mark.parametrize(
    ("centre", "spread"), [(0.5, 1.0), (0.0, 1.4), (0.0, 0.65)], ids=["beside the truth", "too narrow", "too wide"]
)
def test_one_quantity_out_of_five_that_is_not_uniform_is_enough(centre, spread):
    """The truth lies `centre` of its posterior's standard deviations off, `spread` times as far as the draws say."""
    rng = np.random.default_rng(5)
    table = uniform(rng, 200)
    truth, draws = rng.normal(centre, spread, 200), rng.normal(size=(200, RANKED))
    table[4] = (draws < truth[:, None]).sum(axis=1)
    assert joint_p(table) < 0.001
    assert joint_p(table[[0, 1, 2, 3]]) > 0.01


def test_rows_without_ranks_and_the_columns_that_describe_them_are_left_out():
    table = uniform(np.random.default_rng(6), 60)
    gaps = pd.concat([table, pd.DataFrame(np.nan, index=range(9), columns=table.columns)], ignore_index=True)
    assert joint_p(gaps.assign(set=range(69), outcome="NUTS")) == joint_p(table)
