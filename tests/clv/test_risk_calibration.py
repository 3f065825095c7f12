import os
from dataclasses import replace
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import brier_score_loss

from crmlab.base.history import history
from crmlab.base.orders import orders
from crmlab.clv.contracts.projection import project
from crmlab.clv.contracts.value import contract_value
from crmlab.clv.fitting.fit import fit
from crmlab.clv.models import bgnbd, sbg
from crmlab.clv.params import CLVParams, Covariates
from crmlab.clv.risk.calibration import Calibration, calibration, compare, contract_calibration
from crmlab.clv.risk.contracts import contract_risk
from crmlab.clv.risk.keeping import joined, worth_keeping
from crmlab.clv.risk.leaving import risk_of_leaving
from crmlab.clv.risk.reliability import grouped, recalibration, reliability, tied_groups
from crmlab.clv.validation.validate import nothing, validate
from crmlab.clv.value.lifetime import NoValue
from crmlab.clv.value.predict import lifetime_value
from crmlab.contract import Basis, Refused, Sentence
from crmlab.contract.result import FEWEST
from crmlab.data.locate import PLACES, find
from tests.clv.buyers import START, buyers, table_of

BESIDE = Path(__file__).parents[3] / "shared" / "data"
if BESIDE.is_dir():
    os.environ.setdefault("CRMLAB_DATA", str(BESIDE))

PARAMS = CLVParams(validation_weeks=13)
BASIS = Basis(100, "customers")
shares = st.integers(0, 40).map(lambda v: v / 40)


def said(result):
    return " ".join(str(s) for s in result.sentences())


@given(arrays(float, st.integers(1, 120), elements=shares))
def test_groups_hold_five_and_never_part_equal_probabilities(p):
    of = tied_groups(p)
    assert set(of) == set(range(of.max() + 1))
    assert (np.bincount(of) >= FEWEST).all() or of.max() == 0
    for value in np.unique(p):
        assert len(set(of[p == value])) == 1
    pairs = pd.DataFrame({"p": p, "of": of}).groupby("of")["p"].agg(["min", "max"])
    assert (pairs["min"].iloc[:-1].to_numpy() > pairs["max"].iloc[1:].to_numpy()).all()
    again = np.random.default_rng(0).permutation(len(p))
    assert (tied_groups(p[again]) == of[again]).all()


def test_groups_of_ten_are_worked_by_hand():
    table = grouped(np.repeat([0.9, 0.5, 0.1], [10, 10, 20]), np.repeat([1, 0, 1, 0, 1, 0], [8, 2, 5, 5, 2, 18]))
    assert table["customers"].tolist() == [10, 10, 20]
    assert table["actual"].tolist() == [0.8, 0.5, 0.1]
    assert table["predicted"].tolist() == pytest.approx([0.9, 0.5, 0.1])


def test_scores_are_those_of_other_libraries():
    rng = np.random.default_rng(1)
    p = rng.beta(1, 2, 800)
    y = rng.random(800) < 0.2 + 0.5 * p
    found = reliability(p, y)
    assert found.brier[0] == pytest.approx(brier_score_loss(y, p))
    assert found.gained[0] == pytest.approx(y.mean() * (1 - y.mean()) - found.brier[0])
    clipped = np.clip(p, 1e-4, 1 - 1e-4)
    model = sm.Logit(y, sm.add_constant(np.log(clipped / (1 - clipped)))).fit(disp=False)
    for mine, place in ((found.intercept, 0), (found.slope, 1)):
        assert mine[0] == pytest.approx(model.params[place], abs=1e-6)
        assert mine[1:] == pytest.approx(model.conf_int(0.1)[place], abs=1e-5)


@pytest.mark.parametrize(
    ("p", "y"), [([0.4] * 30, [0, 1] * 15), ([0.2, 0.7] * 15, [1] * 30), ([0.2] * 20 + [0.8] * 20, [0] * 20 + [1] * 20)]
)
def test_no_slope_where_nothing_differs_or_everything_is_parted(p, y):
    slope, intercept = recalibration(np.array(p), np.array(y))
    assert np.isnan([*slope, *intercept]).all()


def simulated(customers, *, parameters, seed, weeks=13.0):
    """Histories of BG/NBD at T, and who bought within `weeks` after."""
    rng = np.random.default_rng(seed)
    T = rng.integers(26, 60, customers).astype(float)
    rate = rng.gamma(parameters["r"], 1 / parameters["alpha"], customers)
    p = rng.beta(parameters["a"], parameters["b"], customers)
    x, t_x, clock, back = np.zeros(customers), np.zeros(customers), np.zeros(customers), np.zeros(customers, bool)
    alive = np.ones(customers, bool)
    while alive.any():
        clock = clock + rng.exponential(size=customers) / rate
        seen = alive & (clock <= T)
        x[seen], t_x[seen] = x[seen] + 1, clock[seen]
        back |= alive & (clock > T) & (clock <= T + weeks)
        alive &= (clock <= T) & (rng.random(customers) >= p)
    ids = [f"{i:05d}" for i in range(customers)]
    return pd.DataFrame({"customer_id": ids, "x": x, "t_x": t_x, "T": T, "z_bar": 10.0}), back


def test_risks_fitted_to_simulated_customers_keep_their_word():
    slopes, totals = [], []
    for seed in range(6):
        known, back = simulated(2_000, parameters={"r": 0.8, "alpha": 5.0, "a": 0.8, "b": 2.5}, seed=seed)
        bought = fit(known, bgnbd.MODEL.name, seed=seed, name="t", params=PARAMS)
        found = compare(known, back, bought, weeks=13, params=PARAMS, basis=BASIS).found
        slopes.append(found.slope[1] <= 1 <= found.slope[2])
        totals.append(found.actual[1] <= found.predicted <= found.actual[2])
    assert sum(slopes) >= 4
    assert sum(totals) >= 4


def test_a_model_that_thinks_everybody_stays_is_found_out(known_fit):
    known, back = simulated(3_000, parameters={"r": 0.8, "alpha": 5.0, "a": 1.5, "b": 2.0}, seed=1)
    naive = known_fit("bgnbd", r=0.8, alpha=5.0, a=0.001, b=5.0)
    words = said(compare(known, back, naive, weeks=13, params=PARAMS, basis=BASIS))
    assert "the risk of leaving was understated" in words
    assert "Where " in words
    timid = known_fit("bgnbd", r=0.8, alpha=5.0, a=9.0, b=2.0)
    assert "the risk of leaving was overstated" in said(
        compare(known, back, timid, weeks=13, params=PARAMS, basis=BASIS)
    )


def checked(predicted, actual, n=400):
    """A calibration with groups at `predicted` of which `actual` came back."""
    p, y = np.repeat(predicted, n), np.concatenate([np.arange(n) < round(a * n) for a in actual])
    found = reliability(p, y)
    return Calibration(found.groups, BASIS, found, horizon=13)


def test_sentences_say_the_opposite_of_opposite_numbers():
    right = said(checked([0.1, 0.3, 0.5, 0.7], [0.1, 0.3, 0.5, 0.7]))
    assert "the total is right" in right
    assert "In 4 of 4 groups the share that came back agrees" in right
    assert "differ as much as customers do" in right
    assert "They tell people apart" in right
    wrong = said(checked([0.02, 0.3, 0.7, 0.98], [0.3, 0.41, 0.5, 0.6]))
    assert "Where 98% were said to come back, 60% did" in wrong
    assert "in only 0 of 4 groups" in wrong
    assert "too extreme" in wrong
    worst = said(checked([0.05, 0.95], [0.6, 0.4]))
    assert "worse than one probability for everybody" in worst
    near = said(checked([0.30, 0.60], [0.32, 0.62], n=4_000))
    assert "off by more than chance, but not by much" in near
    shy = said(checked([0.45, 0.5, 0.55], [0.2, 0.5, 0.8]))
    assert "too timid" in shy
    assert "hardly more than one probability" in said(checked([0.5, 0.51], [0.5, 0.52]))


def test_it_uses_the_fit_of_the_validation_and_says_what_it_leaves_out(cdnow_orders, cdnow):
    params = CLVParams(validation_weeks=39, validation_share=0.5)
    validated = nothing(BASIS, fitted=fit(cdnow, "bgnbd", seed=1, name="calibration", params=params))
    found = calibration(cdnow_orders, validated, as_of=date(1998, 6, 30), params=params)
    assert (found.horizon, found.table["customers"].sum()) == (39, 2357)
    later = cdnow_orders.filter(cdnow_orders.date > date(1997, 9, 30)).customer_id.nunique().execute()
    assert found.found.actual[0] == pytest.approx(later / 2357)
    assert found.found.gained[1] > 0
    assert "plain model" not in said(found)
    by = params.model_copy(update={"covariates": Covariates(purchase=("first_spend",))})
    assert "plain model" in said(calibration(cdnow_orders, validated, as_of=date(1998, 6, 30), params=by))


def test_without_a_validation_the_reason_is_given():
    few = table_of(buyers(20, 300))
    as_of = START + timedelta(days=299)
    check = validate(few, as_of=as_of, params=PARAMS, seed=1)
    assert "Too few customers" in said(calibration(few, check, as_of=as_of, params=PARAMS))
    failed = nothing(BASIS, Sentence("It failed."))
    many = table_of(buyers(300, 364))
    assert said(calibration(many, failed, as_of=START + timedelta(days=363), params=PARAMS)) == "It failed."


def contracts(n, seed=0):
    template = pd.DataFrame({"periods": 0, "ended": 0, "since": 0, "observed": np.arange(n) % 9 + 4})
    made = sbg.simulate({"alpha": 1.0, "beta": 4.0}, template, np.random.default_rng(seed))
    made["customer_id"] = [f"{i:05d}" for i in range(n)]
    return made.assign(contract=1, fee=10.0)


def test_renewals_are_checked_contract_by_contract():
    made = contracts(2_500)
    before = project(made, held_out=3, seed=1, params=PARAMS)
    found = contract_calibration(made, before, "sbg", held_out=3, period="month", params=PARAMS)
    running = made[(made["observed"] >= 3) & (made["periods"] - made["ended"] >= made["observed"] - 3)]
    stayed = running["ended"].eq(0)
    assert found.table["customers"].sum() == len(running)
    assert found.found.actual[0] == pytest.approx(stayed.mean())
    assert "renewed" in said(found)
    assert "3 months" in said(found)
    assert found.found.slope[1] <= 1 <= found.found.slope[2]
    assert "was not projected" in said(
        contract_calibration(made, before, "x", held_out=3, period="month", params=PARAMS)
    )


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_bands_are_joined_until_nobody_is_alone(numbers):
    found = joined(np.array(numbers))
    covered = [k for low, high in found for k in range(low, high + 1)]
    assert len(covered) == len(set(covered))
    assert {k for k, n in enumerate(numbers) if n} <= set(covered)
    sizes = [sum(numbers[low : high + 1]) for low, high in found]
    assert all(size == 0 or size >= FEWEST for size in sizes) or sum(numbers) < FEWEST


def test_who_is_worth_keeping_adds_up_and_is_said(cdnow, published_fits):
    bought, spent = published_fits
    value = lifetime_value(cdnow, bought, spent, params=PARAMS)
    risk = risk_of_leaving(cdnow, bought, params=PARAMS)
    found = worth_keeping(risk, value)
    assert found.table["customers"].sum() == 2357
    assert found.table["clv"].sum() == pytest.approx(value.table["clv"].sum())
    assert found.table["share"].sum() == pytest.approx(1)
    assert (found.table["customers"] >= FEWEST).all()
    stay = (value.table["clv"] / value.table["p_alive"]).sum()
    assert found.table["total"].sum() == pytest.approx(stay)
    mine = risk.table.set_index("customer_id").loc[found.chosen, "risk"]
    assert (mine >= 2 / 3 - 1e-9).all()
    assert f"{len(found.chosen):,} customers" in said(found)
    assert "Hardly anybody is both" in said(replace(found, chosen=found.chosen[:4]))
    assert "Too few customers to tell" in said(replace(found, chosen=found.chosen[:-3]))
    small = worth_keeping(
        risk_of_leaving(cdnow[:4], bought, params=PARAMS), lifetime_value(cdnow[:4], bought, spent, params=PARAMS)
    )
    assert small.table.empty
    assert "Too few customers" in said(small)
    none = NoValue(pd.DataFrame(), BASIS, ())
    assert isinstance(worth_keeping(risk, none), NoValue)
    with pytest.raises(ValueError, match="same customers"):
        worth_keeping(risk, replace(value, table=value.table[1:]))


def test_contracts_worth_keeping(known_fit):
    made, fitted = contracts(400), known_fit("sbg", spread=0.05, alpha=1.0, beta=4.0)
    how = {"period": "month", "params": PARAMS}
    value = contract_value(made, fitted, periods_ahead=12, **how)
    found = worth_keeping(contract_risk(made, fitted, periods_ahead=6, **how), value)
    assert found.table["customers"].sum() == (made["ended"] == 0).sum()
    assert found.table["clv"].sum() == pytest.approx(value.table["clv"].sum())


@pytest.mark.parametrize(
    ("name", "end", "weeks", "hardly"),
    [
        ("complete_journey", date(2017, 10, 29), 8, True),
        ("online_retail", date(2011, 12, 9), 13, False),
        ("cdnow", date(1998, 6, 30), 13, False),
    ],
)
def test_hardly_anyone_leaves_a_weekly_grocer_but_many_a_web_shop(name, end, weeks, hardly):
    try:
        for key, place in PLACES.items():
            if key.startswith(name):
                find(key, replace(place, address=""))
    except Refused as missing:
        pytest.skip(str(missing))
    source = import_module(f"crmlab.data.sets.{name}")
    lines = source.read(ibis.duckdb.connect(threads=2), source.Options()).tables["transactions"]
    day = lines["date"] if lines["date"].type().is_date() else lines["date"].as_date("%Y%m%d")
    lines = lines.mutate(date=day, amount=lines["amount"].cast("decimal(18, 4)"))
    params = CLVParams(validation_weeks=weeks)
    known = history(orders(lines), as_of=end)
    bought = fit(known, "bgnbd", seed=1, name="risk", params=params)
    found = risk_of_leaving(known, bought, params=params)
    assert found.hardly_anyone() is hardly
    assert ("Hardly anyone leaves here" in said(found)) is hardly


def test_probabilities_that_differ_in_their_last_digits_alone_have_no_slope():
    rng = np.random.default_rng(1)
    for n in (9, 20, 22):
        found = reliability(0.3 + rng.normal(0, 1e-9, n), np.arange(n) % 3 == 0)
        assert np.isnan(found.slope[0])
