import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.fitting.fit import fit, most_evidence, require_passed
from crmlab.clv.fitting.gate import gate_importance, gate_nuts
from crmlab.clv.fitting.tables import chains_table
from crmlab.clv.models.bgnbd import MODEL as BGNBD
from crmlab.clv.params import CLVParams
from crmlab.contract import GateFailed, Refused

CHAINS = CLVParams(tune=100, draws=60, chains=2, k_hat=1e-9)
"""No importance sampling is this good: Markov chains, with too few draws for their own gate."""

FEW = """
import hashlib, sys, numpy as np, pandas as pd
from crmlab.clv.fitting.fit import fit
from crmlab.clv.params import CLVParams
n = np.arange(120)
history = pd.DataFrame({"x": n % 5, "t_x": (n % 5) * (1 + n % 3), "T": 20 + n % 7, "z_bar": 5 + n * 13 % 40})
history["customer_id"] = n.astype(str)
params = CLVParams(tune=100, draws=60, chains=2, k_hat=float(sys.argv[1]))
found = fit(history, "bgnbd", seed=4, name="full", params=params)
print(found.method, "pymc" in sys.modules)
print(hashlib.sha256(b"".join(found.draws[k].tobytes() for k in found.draws)).hexdigest())
"""


@pytest.fixture(scope="module")
def purchases(cdnow):
    return fit(cdnow, "bgnbd", seed=1, name="full", params=CLVParams())


@pytest.mark.parametrize("name", ["bgnbd", "gamma_gamma"])
def test_the_posterior_passes_the_gate_and_surrounds_the_published_estimates(name, cdnow, published):
    found = fit(cdnow, name, seed=1, name="full", params=CLVParams())
    assert (found.passed, found.method, found.failures) == (True, "importance sampling", ())
    table = found.table.set_index("parameter")
    for parameter, value in published[name].items():
        assert abs(table.loc[parameter, "mean"] - value) < table.loc[parameter, "sd"], parameter
        assert found.draws[parameter].shape == (1, 2000)
    assert found.k_hat < 0.7
    assert table[["ess_bulk", "ess_tail"]].min().min() >= 400
    assert [s.tone for s in found.sentences()] == ["good"]
    assert "R-hat" not in found._repr_html_().split("</table>")[0]


def test_the_same_seed_and_name_give_the_same_bytes_and_others_do_not(cdnow, purchases):
    fit(cdnow.iloc[::3], "bgnbd", seed=1, name="full", params=CLVParams())
    again = fit(cdnow, "bgnbd", seed=1, name="full", params=CLVParams())
    other = fit(cdnow, "bgnbd", seed=1, name="calibration", params=CLVParams())
    assert all(purchases.draws[k].tobytes() == again.draws[k].tobytes() for k in purchases.draws)
    assert not np.array_equal(purchases.draws["r"], other.draws["r"])
    pd.testing.assert_frame_equal(purchases.table, again.table, check_exact=True)


@pytest.mark.parametrize("k_hat", ["0.7", "1e-9"])
def test_the_bytes_do_not_depend_on_threads_time_zone_or_hash_seed(k_hat):
    said = set()
    for threads, zone, hashes in (("1", "UTC", "0"), ("2", "Asia/Tokyo", "5")):
        settings = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", FEW, k_hat],
            env=os.environ | settings | {"TZ": zone, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(done.stdout.strip())
    method, digest = said.pop().splitlines()
    assert not said
    assert method == ("importance sampling False" if k_hat == "0.7" else "NUTS True")
    assert len(digest) == hashlib.sha256().digest_size * 2


def test_a_fit_that_fails_every_way_says_so_and_names_the_statistic(cdnow):
    found = fit(cdnow, "gamma_gamma", seed=7, name="full", params=CHAINS)
    assert (found.passed, found.method) == (False, "NUTS")
    assert "sampled by Markov chains in PyMC instead" in str(found.sentences()[0])
    assert {s.tone for s in found.failures} == {"bad"}
    with pytest.raises(GateFailed, match=r"q has \d+ effective draws") as raised:
        require_passed(found)
    assert raised.value.exit_code == 3


def test_customers_without_a_positive_mean_value_are_set_aside_and_counted(cdnow):
    history = cdnow.copy()
    repeat = history.index[history["x"] > 0][:7]
    history.loc[repeat, "z_bar"] = 0.0
    found = fit(history, "gamma_gamma", seed=7, name="full", params=CLVParams())
    assert found.set_aside == 7
    assert found.basis.n == 946 - 7
    assert "7 repeat buyers" in str(found.sentences()[-1])


def test_bad_input_is_refused_before_anything_is_sampled():
    with pytest.raises(Refused, match="z_bar"):
        fit(pd.DataFrame({"x": [1.0]}), "gamma_gamma", seed=1, name="full", params=CLVParams())


@pytest.mark.parametrize(("repeating", "said"), [(0, "Nobody bought again"), (4, "Fewer than five"), (5, "passed")])
def test_where_nobody_came_back_there_is_no_fit_and_the_reason_instead(repeating, said):
    x = (np.arange(200) < repeating).astype(float)
    history = pd.DataFrame({"customer_id": np.arange(200).astype(str), "x": x, "t_x": 5 * x, "T": 40.0})
    found = fit(history, "bgnbd", seed=1, name="full", params=CLVParams())
    assert found.passed == (repeating == 5)
    assert said in " ".join(str(s) for s in found.sentences())
    assert found._repr_html_()


@pytest.mark.parametrize(
    "kind", ["identical customers", "all gone at once", "one whale", "ten customers", "two at the same place"]
)
def test_bases_that_strain_a_model_are_fitted_or_refused_but_never_wrong_in_silence(kind):
    rng = np.random.default_rng(5)
    n = 10 if kind == "ten customers" else 400
    given = pd.DataFrame({"customer_id": np.arange(n).astype(str), "x": 5.0, "t_x": 35.0, "T": 40.0})
    if kind in ("one whale", "ten customers"):
        given = BGNBD.simulate({"r": 0.8, "alpha": 5, "a": 0.8, "b": 2.5}, given, rng)
    if kind == "all gone at once":
        given["t_x"] = 5.0
    if kind == "one whale":
        given.loc[0, ["x", "t_x"]] = [5000.0, 39.9]
    if kind == "two at the same place":
        given = given.assign(x=np.arange(n) % 2, t_x=np.arange(n) % 2 * 20.0)
    found = fit(given, "bgnbd", seed=1, name="full", params=CLVParams())
    assert found.passed or found.failures
    if found.passed:
        assert all(np.isfinite(d).all() for d in found.draws.values())
        assert found.table[["ess_bulk", "ess_tail"]].min().min() >= 400
        some = {k: d.reshape(-1)[:50] for k, d in found.draws.items()}
        ahead = BGNBD.expected_purchases(some, given.head(20), 52)
        assert np.isfinite(ahead).all()
        assert (ahead >= 0).all()


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
def test_each_statistic_of_the_chains_alone_fails_the_gate(table, divergences, said):
    (failure,) = gate_nuts(table, divergences, params=CLVParams(), model="BG/NBD")
    assert said in str(failure)
    assert failure.tone == "bad"


@pytest.mark.parametrize(
    ("table", "k_hat", "said"),
    [
        (row(), 0.71, "k̂ of the importance weights is 0.71"),
        (row(), np.nan, "k̂"),
        (row(), np.inf, "k̂"),
        (row(ess_bulk=np.nan), 0.1, "effective draws (bulk)"),
        (row(ess_tail=12.0), 0.1, "12 effective draws (tail)"),
    ],
)
def test_each_statistic_of_the_weights_alone_fails_the_gate(table, k_hat, said):
    (failure,) = gate_importance(table, k_hat, params=CLVParams(), model="BG/NBD")
    assert said in str(failure)
    assert failure.tone == "bad"


def test_nothing_fails_where_all_is_well():
    assert gate_nuts(row(), 0, params=CLVParams(), model="BG/NBD") == []
    assert gate_importance(row(r_hat=np.nan), 0.2, params=CLVParams(), model="BG/NBD") == []


def test_diagnostics_tell_independent_chains_from_chains_that_disagree():
    rng = np.random.default_rng(2)
    good, bad = rng.normal(size=(4, 500)), rng.normal(size=(4, 500)) + np.arange(4)[:, None]
    table = chains_table(BGNBD, {"good": good, "bad": bad}).set_index("parameter")
    assert table.loc["good", "r_hat"] < 1.01
    assert table.loc["good", "ess_bulk"] > 1500
    assert table.loc["bad", "r_hat"] > 1.5
    assert table.loc["bad", "ess_bulk"] < 50
    assert table.loc["good", "low"] == pytest.approx(np.quantile(good, 0.05))


def test_of_several_fits_the_one_of_most_evidence_is_kept_and_its_probability_said(known_fit, published):
    from dataclasses import replace

    one, other = (
        replace(known_fit("bgnbd", **published["bgnbd"]), log_evidence=e, basis=known_fit("bgnbd", r=1.0).basis)
        for e in (-10.0, -12.0)
    )
    seldom = pd.DataFrame({"x": [2.0], "T": [40.0]})
    assert most_evidence([other, one], seldom).log_evidence == -10
    assert "probability 88%" in str(most_evidence([other, one], seldom).notes[0])
    failed = replace(one, passed=False)
    assert most_evidence([failed, other], seldom).log_evidence == -12
    assert most_evidence([failed], seldom).passed is False
    regular = replace(other, model="mbg_cnbd_2", log_evidence=-5.0)
    assert len(most_evidence([one, regular], seldom).notes) == 1
    assert "look regular" in str(most_evidence([one, regular], seldom.assign(x=40.0)).notes[1])
