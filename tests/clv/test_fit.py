import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.fit import diagnostics, fit, gate, laplace, require_passed
from crmlab.clv.params import CLVParams
from crmlab.contract import GateFailed, Refused

QUICK = CLVParams(tune=100, draws=60, chains=2)
FEW = """
import hashlib, numpy as np, pandas as pd
from crmlab.clv.fit import fit
from crmlab.clv.params import CLVParams
n = np.arange(120)
history = pd.DataFrame({"x": n % 5, "t_x": (n % 5) * (1 + n % 3), "T": 20 + n % 7, "z_bar": 5 + n * 13 % 40})
history["customer_id"] = n.astype(str)
found = fit(history, "bgnbd", seed=4, name="full", params=CLVParams(tune=100, draws=60, chains=2))
print(hashlib.sha256(b"".join(found.draws[k].tobytes() for k in found.draws)).hexdigest())
"""


@pytest.fixture(scope="module")
def spend(cdnow):
    return fit(cdnow, "gamma_gamma", seed=1, name="full", params=CLVParams())


def test_the_posterior_passes_the_gate_and_surrounds_the_published_estimates(spend, validated, published):
    for found in (spend, validated.fit):
        assert found.passed
        assert found.divergences == 0
        assert found.failures == ()
        table = found.table.set_index("parameter")
        for name, value in published[found.model].items():
            assert abs(table.loc[name, "mean"] - value) < table.loc[name, "sd"], name
            assert found.draws[name].shape == (4, 500)
        assert table["r_hat"].max() <= 1.01
        assert table[["ess_bulk", "ess_tail"]].min().min() >= 400
        assert [s.tone for s in found.sentences()] == ["good"]


def test_the_same_seed_and_name_give_the_same_bytes_and_others_do_not(cdnow):
    first = fit(cdnow, "gamma_gamma", seed=7, name="full", params=QUICK)
    fit(cdnow.iloc[::3], "gamma_gamma", seed=7, name="full", params=QUICK)
    again = fit(cdnow, "gamma_gamma", seed=7, name="full", params=QUICK)
    other = fit(cdnow, "gamma_gamma", seed=7, name="calibration", params=QUICK)
    assert all(first.draws[k].tobytes() == again.draws[k].tobytes() for k in first.draws)
    assert not np.array_equal(first.draws["p"], other.draws["p"])
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)


def test_the_bytes_do_not_depend_on_threads_time_zone_or_hash_seed():
    digests = set()
    for threads, zone, hashes in (("1", "UTC", "0"), ("2", "Asia/Tokyo", "5")):
        settings = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", FEW],
            env=os.environ | settings | {"TZ": zone, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == hashlib.sha256().digest_size * 2


def test_too_few_draws_fail_the_gate_which_names_the_statistic(cdnow):
    found = fit(cdnow, "gamma_gamma", seed=7, name="full", params=QUICK)
    assert not found.passed
    assert {s.tone for s in found.sentences()} == {"bad"}
    with pytest.raises(GateFailed, match=r"q has \d+ effective draws") as raised:
        require_passed(found)
    assert raised.value.exit_code == 3


def test_customers_without_a_positive_mean_value_are_set_aside_and_counted(cdnow):
    history = cdnow.copy()
    repeat = history.index[history["x"] > 0][:7]
    history.loc[repeat, "z_bar"] = 0.0
    found = fit(history, "gamma_gamma", seed=7, name="full", params=QUICK)
    assert found.set_aside == 7
    assert found.basis.n == 946 - 7
    assert "7 repeat buyers" in str(found.sentences()[-1])


def test_bad_input_is_refused_before_anything_is_sampled():
    with pytest.raises(Refused, match="z_bar"):
        fit(pd.DataFrame({"x": [1.0]}), "gamma_gamma", seed=1, name="full", params=QUICK)


def row(**changed):
    return pd.DataFrame([{"parameter": "r", "r_hat": 1.001, "ess_bulk": 900.0, "ess_tail": 800.0} | changed])


@pytest.mark.parametrize(
    ("table", "divergences", "said"),
    [
        (row(r_hat=1.02), 0, "R-hat of r is 1.020"),
        (row(r_hat=np.nan), 0, "R-hat"),
        (row(ess_bulk=399.0), 0, "399 effective draws (bulk)"),
        (row(ess_tail=12.0), 0, "12 effective draws (tail)"),
        (row(), 3, "3 divergent transitions"),
    ],
)
def test_each_statistic_alone_fails_the_gate(table, divergences, said):
    (failure,) = gate(table, divergences, params=CLVParams(), model="BG/NBD")
    assert said in str(failure)
    assert failure.tone == "bad"


def test_nothing_fails_where_all_is_well():
    assert gate(row(), 0, params=CLVParams(), model="BG/NBD") == []


def test_diagnostics_tell_independent_chains_from_chains_that_disagree():
    rng = np.random.default_rng(2)
    good, bad = rng.normal(size=(4, 500)), rng.normal(size=(4, 500)) + np.arange(4)[:, None]
    table = diagnostics({"good": good, "bad": bad}, model="m").set_index("parameter")
    assert table.loc["good", "r_hat"] < 1.01
    assert table.loc["good", "ess_bulk"] > 1500
    assert table.loc["bad", "r_hat"] > 1.5
    assert table.loc["bad", "ess_bulk"] < 50
    assert table.loc["good", "low"] == pytest.approx(np.quantile(good, 0.05))


def test_laplace_finds_mode_and_covariance_of_a_normal_and_bounds_flat_directions():
    covariance = np.array([[2.0, 0.9], [0.9, 1.0]])
    precision, mean = np.linalg.inv(covariance), np.array([1.0, -2.0])

    def normal(theta):
        return -0.5 * (theta - mean) @ precision @ (theta - mean), -precision @ (theta - mean)

    mode, found = laplace(normal, np.zeros(2))
    assert mode == pytest.approx(mean, abs=1e-4)
    assert found == pytest.approx(covariance, rel=1e-4)
    _, flat = laplace(lambda t: (-0.5 * t[0] ** 2, np.array([-t[0], 0.0])), np.ones(2))
    assert np.linalg.eigvalsh(flat) == pytest.approx([1, 100], rel=1e-4)
