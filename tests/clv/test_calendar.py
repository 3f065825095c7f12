"""The calendar's state space: against dense Gaussian algebra, PyMC, and truth drawn from its prior."""

import numpy as np
import pytest
from scipy.stats import binom, multivariate_normal

from crmlab.clv.company.calendar import FIRST_LEVEL_SD, PERSISTENCE, PRIOR_SCALES, Calendar, calendar, filtered, waves
from crmlab.contract import generator


def unknown(repeats: np.ndarray, ahead: int, rng: np.random.Generator, expected: float = 200.0) -> Calendar:
    """The calendar of weeks of which nothing is known but their number."""
    weeks = len(repeats)
    return calendar(repeats, np.full(weeks, expected), np.zeros((weeks + ahead, 0)), np.zeros(0), rng)


def persistent(weeks: int) -> np.ndarray:
    """(weeks, weeks): what is left of each week's step in each later week."""
    apart = np.subtract.outer(np.arange(weeks), np.arange(weeks))
    return np.where(apart >= 0, PERSISTENCE ** np.maximum(apart, 0.0), 0.0)


def simulated(weeks: int, ahead: int, rng: np.random.Generator, expected: float = 200.0):
    """Repeat purchases drawn from the prior, and the effects of the weeks ahead."""
    q, s, amplitude = PRIOR_SCALES * np.abs(rng.normal(size=3))
    sd = np.append(FIRST_LEVEL_SD, np.full(weeks + ahead - 1, q))
    level = persistent(weeks + ahead) @ (sd * rng.normal(size=weeks + ahead))
    season = waves(weeks + ahead) @ (amplitude / np.repeat([1, 2, 3], 2) * rng.normal(size=6))
    effect = level + season + s * rng.standard_t(4, size=weeks + ahead)
    return rng.poisson(expected * np.exp(effect[:weeks])).astype(float), effect[weeks:]


def test_marginal_likelihood_is_that_of_the_dense_gaussian():
    rng = generator(1, "dense")
    weeks, chains = 30, 3
    campaigns = rng.random((weeks, 1))
    design = np.column_stack([waves(weeks), campaigns])
    z, noise, weights = rng.normal(size=weeks), rng.random(weeks), rng.gamma(2, 1, (weeks, chains))
    log_scales = np.log(PRIOR_SCALES) + rng.normal(size=(chains, 3))
    found = filtered(log_scales, np.column_stack([z, design]), np.array([0.3]), noise, weights)[0]
    left = persistent(weeks)
    dense = []
    for (q, s, amplitude), own in zip(np.exp(log_scales), weights.T, strict=True):
        sd = np.append(amplitude / np.repeat([1, 2, 3], 2), 0.3)
        steps = np.append(FIRST_LEVEL_SD, np.full(weeks - 1, q))
        covariance = (left * steps**2) @ left.T + (design * sd**2) @ design.T + np.diag((s**2 + noise) / own)
        prior = (-0.5 * (np.array([q, s, amplitude]) / PRIOR_SCALES) ** 2).sum() + np.log(q * s * amplitude)
        dense.append(multivariate_normal.logpdf(z, np.zeros(weeks), covariance) + prior)
    assert found - found[0] == pytest.approx(np.array(dense) - dense[0], abs=1e-8)


def test_posterior_is_that_of_pymc():
    import arviz as az
    import pymc as pm
    import pytensor.tensor as pt

    rng = generator(2, "pymc")
    weeks = 12
    repeats, _ = simulated(weeks, 0, rng)
    expected = np.full(weeks, 200.0)
    own = unknown(repeats, 1, rng)
    z, noise = np.log((repeats + 0.5) / (expected + 0.5)), 1 / (expected + 0.5)
    with pm.Model():
        q, s, amplitude = (pm.HalfNormal(n, sd) for n, sd in zip("qsA", PRIOR_SCALES, strict=True))
        sd = pt.concatenate([[FIRST_LEVEL_SD], pt.repeat(q, weeks - 1)])
        level = pm.Deterministic("level", pt.dot(persistent(weeks), sd * pm.Normal("steps", 0, 1, shape=weeks)))
        season = pt.dot(waves(weeks), amplitude / np.repeat([1, 2, 3], 2) * pm.Normal("b", 0, 1, shape=6))
        pm.StudentT("z", 4, mu=level + season, sigma=pt.sqrt(s**2 + noise), observed=z)
        tree = pm.sample(
            300,
            tune=250,
            chains=2,
            cores=1,
            random_seed=1,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
    pairs = [(own.scales[:, k], tree["posterior"][n].values) for k, n in enumerate("qsA")]
    pairs.append((own.level[:, -1], tree["posterior"]["level"].values[:, :, -1]))
    for ours, theirs in pairs:
        n_theirs = float(az.ess(theirs, method="mean"))
        error = theirs.std() * np.sqrt(1 / n_theirs + 1 / (len(ours) / 8))
        assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * error)
        assert ours.std() == pytest.approx(theirs.std(), rel=4 * np.sqrt(1 / n_theirs + 8 / len(ours)))


def test_effects_ahead_are_covered_as_often_as_claimed():
    sets, weeks, inside = 20, 16, 0
    for k in range(sets):
        rng = generator(3, "covered", str(k))
        repeats, truth = simulated(weeks, 13, rng)
        found = unknown(repeats, 13, rng)
        low, high = np.quantile(np.exp(found.ahead).sum(axis=1), (0.25, 0.75))
        inside += low <= np.exp(truth).sum() <= high
    assert binom.ppf(0.005, sets, 0.5) <= inside <= binom.ppf(0.995, sets, 0.5)


def test_same_stream_same_bytes():
    repeats, _ = simulated(20, 0, generator(4, "bytes"))
    once, again, other = (unknown(repeats, 4, generator(4, name)) for name in ("a", "a", "b"))
    assert once.ahead.tobytes() == again.ahead.tobytes() != other.ahead.tobytes()


def test_a_closed_week_hardly_moves_the_level():
    rng = generator(5, "closed")
    repeats = rng.poisson(200, 40).astype(float)
    closed = repeats.copy()
    closed[-3] = 0
    levels = [np.median(unknown(r, 1, generator(5, "closed")).level[:, -1]) for r in (repeats, closed)]
    assert abs(levels[1] - levels[0]) < 0.1
    assert np.log(0.5 / 200.5) / 40 < -0.1  # what a plain mean would have lost
