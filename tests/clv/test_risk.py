from dataclasses import replace

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.history import history
from crmlab.clv.fitting.fit import fit
from crmlab.clv.models.covariates import with_covariates
from crmlab.clv.models.registry import MODELS
from crmlab.clv.params import CLVParams
from crmlab.clv.risk.by_segment import risk_by_segment
from crmlab.clv.risk.contracts import contract_risk
from crmlab.clv.risk.leaving import risk_of_leaving
from crmlab.clv.risk.result import Risk
from crmlab.clv.risk.silence import periods_ahead, silence
from crmlab.clv.value.lifetime import NoValue
from crmlab.contract import Basis, Refused, Sentence
from tests.clv.buyers import START, buyers, table_of

PARAMETERS = {
    "bgnbd": {"r": [0.8, 0.7], "alpha": [3.0, 2.5], "a": [0.7, 0.9], "b": [2.0, 2.2]},
    "mbgnbd": {"r": [0.8, 0.7], "alpha": [3.0, 2.5], "a": [0.7, 0.9], "b": [2.0, 2.2]},
    "mbg_cnbd_2": {"r": [1.8, 1.7], "alpha": [1.4, 1.5], "a": [0.6, 0.9], "b": [4.0, 4.2]},
    "pareto_nbd": {"r": [0.8, 0.7], "alpha": [3.0, 2.5], "s": [0.6, 0.8], "beta": [8.0, 9.0]},
    "bgbb": {"alpha": [1.2, 1.1], "beta": [0.7, 0.8], "gamma": [0.6, 0.7], "delta": [2.8, 2.5]},
}
WEEKS = 8.0
PARAMS = CLVParams(validation_weeks=8)
PUBLISHED = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}


def customers(name):
    """Histories sorted as a model reads them, several of one (x, T)."""
    if name == "bgbb":
        rows = [(0, 0, 5), (1, 1, 5), (1, 4, 5), (3, 5, 5), (5, 5, 5)]
        return pd.DataFrame(rows, columns=["x", "t_x", "n"], dtype=float).assign(period_weeks=4.0, T=20.0)
    rows = [(0, 0, 20, 0), (2, 6, 20, 2.2), (2, 18, 20, 4.4), (5, 19.5, 20, 6.8), (12, 15, 20, 2.2)]
    table = pd.DataFrame(rows, columns=["x", "t_x", "T", "litt"], dtype=float)
    return table.sort_values(MODELS[name].read, kind="stable", ignore_index=True)


def rng(seed):
    return np.random.default_rng(seed)


def said(result):
    return " ".join(str(s) for s in result.sentences())


@pytest.mark.parametrize("name", PARAMETERS)
def test_silence_is_how_often_drawn_customers_buy_nothing(name):
    model, rows, number = MODELS[name], customers(name), 40_000
    draws = {k: np.repeat(v, number) for k, v in PARAMETERS[name].items()}
    drawn = (model.future_purchases(draws, rows, WEEKS, rng(3)) == 0).mean(axis=1)
    found = silence(model, {k: np.array(v) for k, v in PARAMETERS[name].items()}, rows, WEEKS).mean(axis=1)
    error = np.sqrt(found * (1 - found) / (2 * number))
    assert (np.abs(drawn - found) < 4.5 * error + 1e-4).all(), (drawn, found)


def test_silence_knows_covariates():
    model, rows = with_covariates(MODELS["bgnbd"], purchase=("club",), dropout=("club",)), customers("bgnbd")
    rows = pd.concat([rows.assign(club=c) for c in (0.0, 1.0)]).sort_values(model.read, kind="stable")
    one = {k: np.array(v) for k, v in PARAMETERS["bgnbd"].items()}
    one |= {"purchase_club": np.array([0.6, 0.5]), "dropout_club": np.array([0.4, 0.3])}
    drawn = model.future_purchases({k: np.repeat(v, 20_000) for k, v in one.items()}, rows, WEEKS, rng(3)) == 0
    assert silence(model, one, rows, WEEKS).mean(axis=1) == pytest.approx(drawn.mean(axis=1), abs=0.012)


def test_silence_of_bgnbd_has_a_closed_form():
    x, t_x, T = 2.0, 6.0, 20.0
    rows = pd.DataFrame({"x": [x], "t_x": [t_x], "T": [T]})
    r, alpha, a, b = PUBLISHED.values()
    alive = 1 / (1 + a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x))
    by_hand = 1 - alive + alive * ((alpha + T) / (alpha + T + WEEKS)) ** (r + x)
    draws = {k: np.array([v]) for k, v in PUBLISHED.items()}
    assert silence(MODELS["bgnbd"], draws, rows, WEEKS)[0, 0] == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("name", ["bgnbd", "pareto_nbd", "bgbb"])
def test_the_longer_the_horizon_the_rarer_silence_but_whoever_has_left_stays_silent(name):
    model, rows = MODELS[name], customers(name)
    draws = {k: np.array(v) for k, v in PARAMETERS[name].items()}
    risks = [silence(model, draws, rows, weeks) for weeks in (4.0, 12.0, 40.0)]
    assert (risks[0] > risks[1]).all()
    assert (risks[1] > risks[2]).all()
    if name != "bgbb":  # whose P(alive) is that of the next chance
        assert (risks[2] >= 1 - model.p_alive(draws, rows) - 1e-12).all()


def test_chances_to_buy_are_counted_whole():
    rows = customers("bgbb")
    assert [periods_ahead(rows, weeks) for weeks in (1.0, 7.0, 13.0)] == [1, 2, 3]
    assert periods_ahead(customers("bgnbd"), 7.0) == 7.0


def test_each_customer_has_a_risk_that_no_order_of_rows_and_no_other_customer_moves(cdnow, published_fits):
    bought, _ = published_fits
    found = risk_of_leaving(cdnow, bought, params=PARAMS)
    again = risk_of_leaving(cdnow.sample(frac=1, random_state=1), bought, params=PARAMS)
    pd.testing.assert_frame_equal(found.table, again.table)
    some = cdnow.iloc[::7]
    alone = risk_of_leaving(some, bought, params=PARAMS).table
    there = found.table.set_index("customer_id").loc[alone["customer_id"]].reset_index()
    pd.testing.assert_frame_equal(alone, there, rtol=1e-12)
    assert (found.table["risk_low"] <= found.table["risk"]).all()
    assert (found.table["risk"] <= found.table["risk_high"]).all()
    assert (found.table["risk"] >= 1 - found.table["alive"] - 1e-12).all()
    assert found.expected(np.zeros(len(cdnow), dtype=int))[0] == pytest.approx(found.lost)
    assert found.lost.mean() == pytest.approx(found.table["risk"].sum())


def test_a_longer_horizon_is_stated_and_a_customer_seen_lately_is_at_less_risk(cdnow, published_fits):
    bought, _ = published_fits
    soon, late = (risk_of_leaving(cdnow, bought, params=PARAMS, horizon_weeks=w) for w in (None, 26))
    assert (soon.horizon, late.horizon) == (8, 26)
    assert "within 26 weeks" in said(late)
    assert (late.table["risk"] <= soon.table["risk"] + 1e-12).all()
    twice = cdnow[(cdnow["x"] == 2)].merge(soon.table, on="customer_id")
    assert twice["t_x"].corr(twice["risk"], method="spearman") < -0.5


def test_without_a_sound_fit_there_are_no_risks(cdnow, known_fit):
    failed = known_fit("bgnbd", failures=(Sentence("It failed.", tone="bad"),), **PUBLISHED)
    found = risk_of_leaving(cdnow, failed, params=PARAMS)
    assert isinstance(found, NoValue)
    assert isinstance(risk_by_segment(found, pd.Series(dtype="str"), {}), NoValue)


@pytest.mark.parametrize("x", [[0.0], [0.0] * 10, [3.0] * 10, [3.0] * 3 + [0.0] * 3])
def test_few_and_identical_customers_have_risks_too(x, published_fits):
    rows = pd.DataFrame({"customer_id": [f"{i:02d}" for i in range(len(x))], "x": x, "T": 30.0, "z_bar": 5.0})
    rows["t_x"] = np.where(rows["x"] > 0, 20.0, 0.0)
    found = risk_of_leaving(rows, published_fits[0], params=PARAMS)
    assert found.table["risk"].between(0, 1).all()
    assert found.shown()["customers"].sum() == len(x)
    assert ("Nobody has bought again" in said(found)) == (not any(x))
    assert found.hardly_anyone() in (False, None)


def test_fits_by_segment_give_each_customer_the_risk_of_its_segment(cdnow, known_fit):
    slow, quick = (known_fit("bgnbd", **(PUBLISHED | {"alpha": alpha})) for alpha in (20.0, 2.0))
    segment = pd.Series(np.where(np.arange(len(cdnow)) % 2, "s1", "s2"), index=cdnow["customer_id"])
    both = risk_of_leaving(cdnow, {"s1": slow, "s2": quick}, params=PARAMS, segment=segment).table
    for name, one in (("s1", slow), ("s2", quick)):
        alone = risk_of_leaving(cdnow[(segment == name).to_numpy()], one, params=PARAMS).table
        mine = both[both["customer_id"].map(segment) == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone, rtol=1e-9)


def base(silent, gone, contractual=False):
    table = pd.DataFrame({"customer_id": ["a", "b"], "risk": [0.1, 0.7], "alive": 0.9})
    lost = np.linspace(0.7, 0.9, 21)
    how = {"unit": "month" if contractual else "week", "contractual": contractual, "silent": silent, "gone": gone}
    return Risk(table, Basis(2, "customers"), lambda groups: lost[None], lost, horizon=13, **how)


NOBODY_GONE = (0.01, 0.008, 0.012)


@pytest.mark.parametrize(
    ("silent", "gone", "hardly", "words"),
    [
        ((0.06, 0.05, 0.07), NOBODY_GONE, True, "Hardly anyone leaves here: of repeat buyers 1.0%"),
        ((0.10, 0.08, 0.12), NOBODY_GONE, None, "Whether hardly anyone leaves here is open"),
        ((0.39, 0.38, 0.40), NOBODY_GONE, False, "takes them to be slow, not gone"),
        ((0.06, 0.05, 0.07), (0.2, 0.1, 0.3), False, "Customers do leave here: 20%"),
        ((float("nan"),) * 3, (float("nan"),) * 3, None, "Nobody has bought again"),
    ],
)
def test_whether_hardly_anyone_leaves_is_computed(silent, gone, hardly, words):
    found = base(silent, gone)
    assert found.hardly_anyone() is hardly
    assert words in said(found)
    assert "buy nothing within 13 weeks" in said(found)


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        ((0.02, 0.01, 0.03), "Hardly anyone leaves here: a programme"),
        ((0.10, 0.08, 0.12), "the interval does not tell"),
        ((0.3, 0.2, 0.4), "Contracts do end here"),
    ],
)
def test_whether_contracts_end_is_computed(silent, words):
    found = base(silent, (0.0, 0.0, 0.0), contractual=True)
    assert words in said(found)
    assert "expected to end within 13 months" in said(found)


def test_bands_of_risk_say_how_many_are_expected_to_be_lost(cdnow, published_fits):
    found = risk_of_leaving(cdnow, published_fits[0], params=PARAMS)
    shown = found.shown()
    assert shown["band"].tolist() == ["80–100 %", "60–80 %", "40–60 %", "20–40 %", "0–20 %"]
    for low, high, row in zip((0.8, 0.6), (1.01, 0.8), shown.itertuples(), strict=False):
        inside = found.table["risk"].between(low, high, inclusive="left")
        assert row.customers == inside.sum()
        assert row.expected == pytest.approx(found.table.loc[inside, "risk"].sum())
        assert row.low < row.expected < row.high


def test_risk_by_segment_adds_up_and_says_who_is_most_at_risk(cdnow, published_fits):
    found = risk_of_leaving(cdnow, published_fits[0], params=PARAMS)
    x = cdnow.set_index("customer_id")["x"]
    segment = pd.Series(np.select([x == 0, x < 3], ["s1", "s2"], "s3"), index=x.index)
    names = {"s1": "Once", "s2": "Some", "s3": "Often"}
    by = risk_by_segment(found, pd.concat([segment, pd.Series({"never": "s1"})]), names)
    assert by.table["expected"].sum() == pytest.approx(found.lost.mean())
    for row in by.table.itertuples():
        mine = found.table[found.table["customer_id"].map(segment) == row.segment]
        assert (row.customers, row.risk) == (len(mine), pytest.approx(mine["risk"].mean()))
        assert row.low < row.risk < row.high
    assert by.without == 1
    assert "Once is most at risk" in said(by)
    assert by.shown()["name"].tolist()[0] == "Once"
    overlapping = replace(by, table=by.table.assign(low=0.2, high=0.9))
    assert "are about equally at risk" in said(overlapping)
    unsure = by.table["high"].where(by.table["risk"] != by.table["risk"].min(), 0.99)
    assert "most at risk" not in said(replace(by, table=by.table.assign(high=unsure))), "any other may be as much"
    ends = {"expected_low": [0.0, 800.0, 1.0], "expected_high": [2.0, 1_000.0, 3.0]}
    crowded = replace(by, table=by.table.assign(expected=[1.0, 900.0, 2.0], **ends))
    assert "Most are lost in Some: 900 customers" in said(crowded)
    crowded.table["expected_high"] = 810.0
    assert "Most are lost" not in said(crowded)
    hidden = replace(by, table=by.table.assign(customers=[2, 500, 400]))
    assert "Once" not in said(hidden)


def test_the_hazard_of_a_contract_falls_with_tenure_as_published(known_fit):
    alpha, beta = 0.668, 3.806  # Fader & Hardie 2007, the high-end base
    rows = pd.DataFrame({"periods": [0, 1, 6, 6, 3], "ended": [0, 0, 0, 0, 1], "customer_id": list("cbaad")})
    rows["contract"] = [1, 1, 1, 2, 1]
    found = contract_risk(rows, known_fit("sbg", alpha=alpha, beta=beta), periods_ahead=3, period="year", params=PARAMS)
    assert found.table["customer_id"].tolist() == ["a", "a", "b", "c"]
    t = found.table["periods"].to_numpy()
    assert found.table["next"].to_numpy() == pytest.approx(alpha / (alpha + beta + t))
    stays = np.prod([1 - alpha / (alpha + beta + t + j) for j in range(3)], axis=0)
    assert found.table["risk"].to_numpy() == pytest.approx(1 - stays)
    assert found.expected(np.array([0, 1, -1, 1]))[:, 0] == pytest.approx([1 - stays[0], (2 - stays[1] - stays[3])])
    by = risk_by_segment(found, pd.Series({"a": "s1", "b": "s2", "c": "s2"}), {"s1": "Old", "s2": "New"})
    assert by.table["customers"].tolist() == [2, 2]
    assert "alive" not in by.shown()
    assert "alive" not in found.shown()


def test_where_no_contract_runs_and_nobody_is_in_a_segment_tables_are_empty(known_fit, cdnow, published_fits):
    rows = pd.DataFrame({"customer_id": ["a"], "periods": [2], "ended": [1]})
    found = contract_risk(rows, known_fit("sbg", alpha=1.0, beta=2.0), periods_ahead=1, period="week", params=PARAMS)
    assert found.table.empty
    assert found.shown().empty
    assert "no customer whose risk" in said(found)
    risk = risk_of_leaving(cdnow[:50], published_fits[0], params=PARAMS)
    for none in (found, risk):
        by = risk_by_segment(none, pd.Series(["s1"], index=["z"]), {"s1": "Elsewhere"})
        assert by.table.empty
        assert by.without == 1
        assert "left out" in said(by)


def test_contracts_at_fault_are_refused_and_a_failed_fit_gives_none(known_fit):
    rows = pd.DataFrame({"customer_id": ["a"], "periods": [1], "ended": [0]})
    with pytest.raises(Refused, match="look at least one renewal ahead"):
        contract_risk(rows, known_fit("sbg", alpha=1.0, beta=2.0), periods_ahead=0, period="year", params=PARAMS)
    with pytest.raises(Refused, match="not a model of contracts"):
        contract_risk(rows, known_fit("bgnbd", **PUBLISHED), periods_ahead=1, period="year", params=PARAMS)
    failed = known_fit("sbg", failures=(Sentence("It failed."),), alpha=1.0, beta=2.0)
    assert isinstance(contract_risk(rows, failed, periods_ahead=1, period="year", params=PARAMS), NoValue)


def test_a_whale_moves_nobodys_risk():
    rows = buyers(300, 364, seed=2)
    orders = [table_of(rows), table_of([(*rows[0][:2], 1e9), *rows[1:]])]
    as_of = (pd.Timestamp(START) + pd.Timedelta(days=363)).date()
    found = []
    for one in orders:
        known = history(one, as_of=as_of)
        bought = fit(known, "bgnbd", seed=1, name="risk", params=PARAMS)
        found.append(risk_of_leaving(known, bought, params=PARAMS).table)
    pd.testing.assert_frame_equal(*found)
    assert isinstance(orders[0], ibis.Table)
