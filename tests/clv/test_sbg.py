import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import hyp2f1

from crmlab.base.periods import from_survivors
from crmlab.clv.fitting.fit import fit, maximum_likelihood
from crmlab.clv.models import sbg
from crmlab.clv.params import CLVParams
from crmlab.contract import Refused

# Fader & Hardie (2007), table 1: subscribers left after each year, of 1,000; the models are fitted to seven years
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394]
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173]
PAPER = {"alpha": 0.668, "beta": 3.806}

shapes = st.floats(0.05, 20)


def contracts(*rows):
    return pd.DataFrame(rows, columns=["periods", "ended", "since"])


def leaving(alpha, beta, last):
    """P(T = t) for t = 1, …, last by the forward recursion, eq. (7)."""
    found = [alpha / (alpha + beta)]
    for t in range(2, last + 1):
        found.append(found[-1] * (beta + t - 2) / (alpha + beta + t - 1))
    return np.array(found)


@pytest.mark.parametrize(
    ("survivors", "alpha", "beta", "log_likelihood"),
    [(HIGH_END, 0.668, 3.806, -1611.158), (REGULAR, 0.704, 1.182, -1680.265)],
)
def test_published_estimates(survivors, alpha, beta, log_likelihood):
    found = maximum_likelihood(from_survivors(survivors[:8]), "sbg")
    assert found["alpha"] == pytest.approx(alpha, abs=6e-4)
    assert found["beta"] == pytest.approx(beta, abs=6e-4)
    assert found["log_likelihood"] == pytest.approx(log_likelihood, abs=6e-4)


def test_the_posterior_lies_around_the_published_estimate():
    found = fit(from_survivors(HIGH_END[:8]), "sbg", seed=1, name="full", params=CLVParams())
    assert found.passed
    assert found.method == "importance sampling"
    for row in found.table.to_dict("records"):
        assert abs(row["mean"] - PAPER[row["parameter"]]) < 0.5 * row["sd"]


@given(alpha=shapes, beta=shapes, last=st.integers(1, 60))
def test_the_likelihood_is_the_papers_recursion(alpha, beta, last):
    p = {"alpha": alpha, "beta": beta}
    t = np.arange(1, last + 1)
    ends = np.exp(sbg.log_likelihood(p, {"periods": t, "ended": 1.0, "since": 0.0}))
    stays = np.exp(sbg.log_likelihood(p, {"periods": last, "ended": 0.0, "since": 0.0}))
    assert ends == pytest.approx(leaving(alpha, beta, last), rel=1e-9)
    assert ends.sum() + stays == pytest.approx(1, rel=1e-9)
    assert np.exp(sbg.log_survival(p, t)) == pytest.approx(1 - np.cumsum(ends), rel=1e-6, abs=1e-9)


@given(alpha=shapes, beta=shapes, since=st.integers(0, 30), more=st.integers(1, 30), ended=st.integers(0, 1))
def test_what_began_before_the_records_is_conditional_on_lasting(alpha, beta, since, more, ended):
    p = {"alpha": alpha, "beta": beta}
    whole, told, lasted = (
        float(sbg.log_likelihood(p, {"periods": t, "ended": e, "since": s}))
        for t, e, s in ((since + more, ended, 0), (since + more, ended, since), (since, 0, 0))
    )
    assert told == pytest.approx(whole - lasted, rel=1e-9, abs=1e-9)


def test_leaving_out_when_the_records_begin_flatters_retention():
    rng = np.random.default_rng(3)
    begun = rng.integers(-40, 0, 20_000)  # renewals due before the records begin; 12 more are seen
    everybody = pd.DataFrame({"periods": 0, "ended": 0, "since": 0, "observed": 12 - begun})
    lives = sbg.simulate({"alpha": 1.0, "beta": 6.0}, everybody, rng)
    on_record = lives.assign(since=-begun)[lives["periods"] > -begun]
    told, untold = (maximum_likelihood(h, "sbg") for h in (on_record, on_record.assign(since=0)))
    share = {k: v["alpha"] / (v["alpha"] + v["beta"]) for k, v in (("told", told), ("untold", untold))}
    assert share["told"] == pytest.approx(1 / 7, abs=0.05)
    assert share["untold"] < 0.02


def test_simulated_contracts_end_as_the_curve_says():
    rng = np.random.default_rng(1)
    template = pd.DataFrame({"periods": 0, "ended": 0, "since": np.repeat([0, 3], 100_000), "observed": 10})
    found = sbg.simulate(PAPER, template, rng)
    for since, part in found.groupby("since"):
        ended = part["ended"] == 1
        assert (part["periods"] > since).all()
        for t in (since + 1, since + 2, 10):
            left = (~(ended & (part["periods"] <= t))).mean()
            expected = np.exp(sbg.log_survival(PAPER, t) - sbg.log_survival(PAPER, since))
            assert left == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 100_000))


@pytest.mark.parametrize("renewed", [0, 1, 4, 7])
def test_discounted_expected_residual_lifetime_is_the_closed_form(renewed):
    """Fader & Hardie (2010) count the renewal that is just due whole; ours lies a period ahead."""
    alpha, beta, d, n = *PAPER.values(), 0.1, renewed + 1
    paper = (beta + n - 1) / (alpha + beta + n - 1) * hyp2f1(1, beta + n, alpha + beta + n, 1 / (1 + d))
    found = sbg.expected_renewals(PAPER, contracts((renewed, 0, 0)), 250, (np.log1p(d),))[0, 0, 0]
    assert found * (1 + d) == pytest.approx(paper, rel=1e-6)
    if renewed == 7:
        assert paper == pytest.approx(7.530, abs=5e-4)  # as other implementations print it


def test_renewals_are_the_sum_of_survivals_and_nothing_is_left_of_what_ended():
    draws = {"alpha": np.array([0.5, 0.7, 2.0]), "beta": np.array([3.0, 4.0, 1.0])}
    history = contracts((0, 0, 0), (5, 0, 2), (5, 1, 0))
    found = sbg.expected_renewals(draws, history, 6, (0.0, 0.05))
    assert found.shape == (2, 3, 3)
    chances = np.stack([sbg.survival(draws, history, j) for j in range(1, 7)])
    assert found[0] == pytest.approx(chances.sum(axis=0))
    assert found[1] == pytest.approx((chances * np.exp(-0.05 * np.arange(1, 7))[:, None, None]).sum(axis=0))
    assert (found[:, 2] == 0).all()
    assert chances[0, 1] == pytest.approx((draws["beta"] + 5) / (draws["alpha"] + draws["beta"] + 5))
    apiece = {k: np.broadcast_to(v, (3, 3)) for k, v in draws.items()}
    assert sbg.expected_renewals(apiece, history, 6) == pytest.approx(found[:1])


@given(alpha=shapes, beta=shapes, t=st.integers(0, 100))
@settings(max_examples=50)
def test_retention_rises_with_tenure(alpha, beta, t):
    now, later = (sbg.survival({"alpha": alpha, "beta": beta}, contracts((k, 0, 0)), 1)[0, 0] for k in (t, t + 1))
    assert 0 < now <= later < 1


def test_every_fault_is_named_at_once():
    wrong = contracts((1.5, 0, 0), (2, 3, 0), (np.nan, 1, 0))
    with pytest.raises(Refused) as refused:
        sbg.MODEL.check(wrong)
    assert [f.where for f in refused.value.faults] == ["periods"]
    wrong = contracts((0, 1, 0), (2, 3, 0), (4, 0, 5), (4, 1, 4)).assign(observed=[1, 1, 5, 5])
    with pytest.raises(Refused) as refused:
        sbg.MODEL.check(wrong)
    assert [f.where for f in refused.value.faults] == ["ended", "periods", "since", "since", "observed"]
    with pytest.raises(Refused, match="no contract has ended"):
        sbg.MODEL.check(contracts((3, 0, 0)))
    with pytest.raises(Refused, match=r"(?s)missing.*empty"):
        sbg.MODEL.check(contracts().drop(columns="ended"))
    twice = contracts((3, 1, 0), (3, 0, 0)).assign(customer_id="a")
    with pytest.raises(Refused, match="more than once"):
        sbg.MODEL.check(twice)
    sbg.MODEL.check(twice.assign(contract=[1, 2]))
    sbg.MODEL.check(contracts((3, 1, 0)).drop(columns="since"))
