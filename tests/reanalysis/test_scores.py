"""Overdispersion scores and permutation tests: values from R, independent computation, simulated size."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlab.contract import generator
from crmlab.reanalysis import scores
from crmlab.trials.power import spread_min

REFERENCE = Path(os.environ.get("CRMLAB_DATA", "../shared/data")).parent / "reference" / "homogeneity"


@pytest.fixture(scope="module")
def expected():
    if not REFERENCE.exists():
        pytest.skip(f"no reference values in {REFERENCE}")
    return {e["id"]: e for e in json.loads((REFERENCE / "expected.json").read_text())}


def agree(found: float, entry: dict) -> bool:
    return abs(found - entry["expected"]) <= entry["atol"] + entry["rtol"] * abs(entry["expected"])


def contacts(segment: str) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(REFERENCE / "contacts.csv").query("segment == @segment")
    return table["m"].to_numpy(float), table["y"].to_numpy(float)


@pytest.mark.parametrize("segment", ["homog", "betabin"])
def test_tarone_equals_r(expected, segment):
    found = scores.tarone(*contacts(segment))
    assert agree(found.z, expected[f"tarone.{segment}.Z"])
    assert agree(found.p, expected[f"tarone.{segment}.p"])


@pytest.mark.parametrize("segment", ["homog", "betabin", "mixture"])
def test_pearson_equals_r(expected, segment):
    chi2, df, p = scores.pearson(*contacts(segment))
    assert agree(chi2, expected[f"pearson.{segment}"])
    assert df == 119
    assert p == pytest.approx(stats.chi2.sf(chi2, df))


def test_beta_binomial_equals_vgam(expected):
    found = scores.beta_binomial(*contacts("betabin"))
    assert agree(found.lr, expected["betabin.betabin.LR"])
    assert agree(found.rho, expected["betabin.betabin.rho"])


def test_beta_binomial_finds_no_spread_where_there_is_less_than_chance():
    assert scores.beta_binomial(np.full(50, 4.0), np.full(50, 1.0)) == scores.BetaBinomial(0.25, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("segment", ["homog", "gamma"])
def test_dean_equals_r(expected, segment):
    table = pd.read_csv(REFERENCE / "counts.csv").query("segment == @segment")
    p_b, p_c = scores.dean(table["orders"].to_numpy(float), table["weeks"].to_numpy(float))
    assert agree(p_b, expected[f"dean.{segment}.PB"])
    assert agree(p_c, expected[f"dean.{segment}.PC"])


@pytest.fixture(scope="module")
def champions(expected):
    table = pd.read_csv(REFERENCE / "rct_small.csv").query("segment == 'A_champions'").sort_values("id")
    channels = [(table["channel"] == c).to_numpy(float) for c in sorted(table["channel"].unique())]
    columns = np.column_stack([table["history"], table["recency"], table["age"], *channels, table["newbie"]])
    return columns.astype(float), table["resp"].to_numpy(float)


def test_standardised_linear_statistics_equal_coin(expected, champions):
    assert agree(np.abs(scores.standardised(*champions)).max(), expected["coin.max.A_champions"])


def test_global_permutation_p_agrees_with_coin(expected, champions):
    columns, y = champions
    found = scores.min_p(columns, np.zeros(7, dtype=int), y, generator(1, "coin"), draws=20_000)
    assert agree(found.p, expected["coin.max.A_champions.p"])


def test_conditional_moments_equal_enumeration_of_all_permutations():
    from itertools import permutations

    g, h = np.array([[1.0], [2.0], [4.0], [0.0], [3.0]]), np.array([0.0, 1.0, 1.0, 5.0, 2.0])
    sums = np.array([g[:, 0] @ h[list(p)] for p in permutations(range(5))])
    mean, variance = scores.linear_statistics(g, h)
    assert mean[0] == pytest.approx(sums.mean())
    assert variance[0] == pytest.approx(sums.var())


def test_pair_score_by_hand():
    y = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, np.nan]])
    # campaign rates 1/2 and 1/3: r = (.5, 2/3), (.5, -1/3), (-.5, -1/3); v = 1/4, 2/9
    top = 0.5 * 2 / 3 - 0.5 / 3 + 0.5 / 3
    assert scores.pair_score(y).z == pytest.approx(top / np.sqrt(3 * 0.25 * 2 / 9))


def test_pair_score_is_tarone_in_spirit_where_campaigns_have_one_rate():
    """With everybody contacted m times the two are linear in each other up to the estimated campaign rates."""
    rng = generator(5, "tarone")
    zs = []
    for _ in range(60):
        y = (rng.random((300, 5)) < rng.beta(2, 8, size=(300, 1))).astype(float)
        zs.append((scores.pair_score(y).z, scores.tarone(np.full(300, 5.0), y.sum(axis=1)).z))
    a, b = np.array(zs).T
    assert np.corrcoef(a, b)[0, 1] > 0.99


def rejected(hits: int, runs: int, level: float) -> bool:
    """Whether so many rejections are incompatible with a level."""
    return stats.binomtest(hits, runs, level, alternative="greater").pvalue < 0.001


def test_pair_scores_keep_their_size_over_campaigns_of_different_rates():
    rng, runs = generator(7, "size"), 400
    exact = normal = pooled = 0
    for _ in range(runs):
        known = rng.random((150, 6)) < np.linspace(0.2, 0.9, 6)
        y = np.where(known, (rng.random((150, 6)) < np.linspace(0.02, 0.5, 6)).astype(float), np.nan)
        y = y[known.any(axis=1)]
        exact += scores.pair_permutation(y, rng, 99) <= 0.05
        normal += scores.pair_score(y).p < 0.05
        m = (~np.isnan(y)).sum(axis=1).astype(float)
        pooled += abs(scores.tarone(m, np.nansum(y, axis=1)).z) > stats.norm.ppf(0.95)
    assert not rejected(exact, runs, 0.05)
    assert not rejected(normal, runs, 0.06)
    assert exact / runs > 0.02


def test_smallest_spread_is_found_four_times_in_five():
    rng, runs, found = generator(8, "mde"), 200, 0
    p = 0.2
    mde = scores.smallest_spread(np.tile((np.arange(600) % 5 == 0).astype(float)[:, None], (1, 4)))
    assert mde == pytest.approx(spread_min([4] * 600, p), rel=1e-9)
    rho = mde**2 / (p * (1 - p))
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    for _ in range(runs):
        y = (rng.random((600, 4)) < rng.beta(a, b, size=(600, 1))).astype(float)
        found += scores.pair_score(y).p < 0.05
    assert 0.70 < found / runs < 0.88


def test_nothing_is_said_where_nobody_has_two_contacts():
    y = np.array([[1.0, np.nan], [np.nan, 0.0], [0.0, np.nan]])
    assert np.isnan(scores.pair_score(y).z)
    assert np.isnan(scores.pair_permutation(y, generator(1, "x")))
    assert np.isnan(scores.smallest_spread(y))


def test_min_p_keeps_its_size_and_finds_the_covariate_that_matters():
    rng, runs, hits = generator(9, "minp"), 200, 0
    covariate = np.array([0, 1, 2, 2, 2, 3])
    found = []
    for _ in range(runs):
        columns = np.column_stack(
            [rng.normal(size=(120, 2)), np.eye(3)[rng.integers(0, 3, 120)], rng.random(120) < 0.3]
        )
        y = (rng.random(120) < 0.2).astype(float)
        hits += scores.min_p(columns, covariate, y, rng, draws=199).p <= 0.05
        strong = (rng.random(120) < np.where(columns[:, 1] > 0, 0.6, 0.1)).astype(float)
        found.append(int(np.argmin(scores.min_p(columns, covariate, strong, rng, draws=199).adjusted)))
    assert not rejected(hits, runs, 0.05)
    assert np.mean(np.array(found) == 1) > 0.95


def pools() -> list[np.ndarray]:
    """Statistics of K covariates in B + 1 equally likely resamplings: independent, correlated, with ties, one alone."""
    rng = generator(13, "pools")
    common = rng.normal(size=20)
    drawn = [
        rng.normal(size=(6, 20)),
        common + 0.3 * rng.normal(size=(4, 20)),
        rng.integers(0, 4, size=(5, 20)).astype(float),
        rng.normal(size=(1, 100)),
        rng.normal(size=(8, 10)) * np.arange(1, 9)[:, None],
    ]
    return [np.abs(pool) for pool in drawn]


@pytest.mark.parametrize("pool", pools(), ids=["independent", "correlated", "ties", "alone", "scales"])
def test_min_p_is_exact_at_few_resamplings(pool):
    """Each member of the reference set in turn is the one seen: of B + 1, at most k may have p ≤ k/(B + 1)."""
    size = pool.shape[1]
    p = np.array([scores._step_down(pool[:, j], np.delete(pool, j, axis=1)).p for j in range(size)])
    assert all((p <= k / size + 1e-12).sum() <= k for k in range(1, size + 1))


def test_step_down_equals_a_plain_loop():
    rng = generator(14, "loop")
    pool = np.round(np.abs(rng.normal(size=(5, 20))), 1)
    seen, drawn = pool[:, 0], pool[:, 1:]
    extreme = [[(int((row >= value).sum()), -value) for value in row] for row in pool]
    order = sorted(range(5), key=lambda k: extreme[k][0])
    expected, least = {}, 0.0
    for step, k in enumerate(order):
        first = [min(extreme[i][b] for i in order[step:]) for b in range(20)]
        least = max(least, sum(f <= first[0] for f in first) / 20)
        expected[k] = least
    found = scores._step_down(seen, drawn)
    assert found.raw == pytest.approx([(1 + (d >= s).sum()) / 20 for s, d in zip(seen, drawn, strict=True)])
    assert found.adjusted == pytest.approx([expected[k] for k in range(5)])


def test_a_covariate_beyond_doubt_has_the_least_p_there_is_however_many_others_were_tried():
    rng = generator(16, "floor")
    columns = rng.normal(size=(200, 30))
    found = scores.min_p(columns, np.arange(30), columns[:, 7] + rng.normal(size=200), rng, draws=199)
    assert int(np.argmin(found.adjusted)) == 7
    assert found.p == 1 / 200


@pytest.mark.parametrize("wild", [False, True])
def test_min_p_keeps_its_size_at_few_resamplings_of_many_covariates(wild):
    rng, runs = generator(15, "few", str(wild)), 1500
    hits = sum(
        scores.min_p(rng.normal(size=(40, 8)), np.arange(8), rng.normal(size=40), rng, draws=19, wild=wild).p <= 0.05
        for _ in range(runs)
    )
    assert not rejected(hits, runs, 0.05)


def test_adjusted_p_are_no_smaller_than_raw_and_keep_their_order():
    rng = generator(10, "order")
    found = scores.min_p(rng.normal(size=(80, 5)), np.arange(5), rng.normal(size=80), rng, draws=499)
    assert (found.adjusted >= found.raw - 1e-12).all()
    order = np.argsort(found.raw)
    assert (np.diff(found.adjusted[order]) >= 0).all()


def test_permuting_within_blocks_ignores_what_differs_between_blocks():
    rng = generator(11, "blocks")
    block = np.repeat([0, 1], 200)
    column = block + rng.normal(size=400) * 0.1
    y = (rng.random(400) < np.where(block == 1, 0.7, 0.1)).astype(float)
    args = (column[:, None], np.zeros(1, dtype=int), y)
    assert scores.min_p(*args, rng, draws=199).p < 0.01
    assert scores.min_p(*args, rng, draws=199, blocks=block).p > 0.01


def test_flipping_signs_keeps_its_size_where_the_variance_goes_with_the_covariate():
    rng, runs, flips = generator(12, "wild"), 300, 0
    for _ in range(runs):
        x = rng.exponential(size=150)
        flips += (
            scores.min_p(x[:, None], np.zeros(1, dtype=int), rng.normal(size=150) * x, rng, draws=99, wild=True).p
            <= 0.05
        )
    assert not rejected(flips, runs, 0.06)


@given(st.integers(0, 10_000))
def test_the_same_generator_gives_the_same_p(seed):
    rng = generator(seed, "data")
    y = (rng.random((30, 3)) < 0.3).astype(float)
    assert scores.pair_permutation(y, generator(1, "a"), 19) == scores.pair_permutation(y, generator(1, "a"), 19)
