import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlab.base.periods import from_survivors
from crmlab.clv.contracts.value import LEFT_OUT, ContractValue, banded, contract_value, whole_lifetime
from crmlab.clv.models import sbg
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, GateFailed, Refused, Sentence

HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]
PAPER = {"alpha": 0.668, "beta": 3.806}
PARAMS = CLVParams()


@pytest.fixture(scope="module")
def fitted(known_fit):
    return known_fit("sbg", spread=0.05, **PAPER)


def contracts(*rows):
    table = pd.DataFrame(rows, columns=["periods", "ended", "fee"])
    return table.assign(customer_id=[f"{i:03d}" for i in range(len(table))])


def value(total=1000.0, naive=500.0, later=0.0, periods_ahead=None, margin_share=1.0, n=100):
    table = pd.DataFrame({"customer_id": np.arange(n).astype(str), "periods": np.arange(n) % 20, "fee": 10.0})
    for column in ("stays", "renewals", "lifetime", "clv", "clv_low", "clv_high"):
        table[column] = 0.9
    return ContractValue(
        table=table,
        basis=Basis(n, "contracts"),
        totals=total * np.linspace(0.9, 1.1, 21),
        newcomer=(50.0, 45.0, 55.0),
        naive=naive,
        longest=12,
        later=later,
        period="month",
        periods_ahead=periods_ahead,
        annual_discount_rate=0.1,
        margin_share=margin_share,
    )


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_value_is_fee_times_margin_times_discounted_renewals(fitted):
    history = contracts((7, 0, 100), (0, 0, 50), (3, 1, 100), (7, 0, 10))
    found = contract_value(history, fitted, period="year", periods_ahead=3, params=CLVParams(margin_share=0.4))
    assert found.table["customer_id"].tolist() == ["000", "001", "003"]
    draws = {k: v.reshape(-1) for k, v in fitted.draws.items()}
    expected = np.zeros(3)
    for ahead in (1, 2, 3):
        for place, t in enumerate((7, 0, 7)):
            s = np.exp(sbg.log_survival(draws, t + ahead) - sbg.log_survival(draws, t))
            expected[place] += s.mean() / 1.1**ahead
    assert found.table["lifetime"].to_numpy() == pytest.approx(expected)
    assert found.table["clv"].to_numpy() == pytest.approx(0.4 * expected * [100, 50, 10])
    assert found.totals.mean() == pytest.approx(found.table["clv"].sum())
    assert found.newcomer[0] == pytest.approx(0.4 * (160 / 3) * (1 + expected[1]))
    assert (found.table["clv_low"] < found.table["clv"]).all()
    assert (found.table["clv"] < found.table["clv_high"]).all()


def test_a_whole_lifetime_is_the_published_residual_lifetime(known_fit):
    exact = known_fit("sbg", **PAPER)
    history = from_survivors(HIGH_END).assign(fee=1.0)
    found = contract_value(history, exact, period="year", periods_ahead=None, params=PARAMS)
    assert 1.1 * found.table["lifetime"].iloc[0] == pytest.approx(7.530, abs=5e-4)
    assert found.table["periods"].unique() == [7]
    assert len(found.table) == 491
    assert "longer than any contract on record" in said(found)
    assert "One retention rate for everybody" in said(found)


@given(rate=st.floats(0.005, 1))
def test_a_whole_lifetime_leaves_out_next_to_nothing(rate):
    delta = np.log1p(rate)
    last = whole_lifetime(delta)
    assert np.exp(-delta * last) / np.expm1(delta) <= LEFT_OUT * (1 + 1e-9)


def test_discounts_are_a_year_s_whatever_the_period(fitted):
    history = contracts((2, 0, 1), (1, 1, 1))
    year, month = (
        contract_value(history, fitted, period=p, periods_ahead=1, params=PARAMS).table["lifetime"][0]
        for p in ("year", "month")
    )
    assert month / year == pytest.approx(1.1 ** (11 / 12), rel=1e-3)


def test_a_contract_that_was_cancelled_is_worth_nothing_though_its_renewal_is_not_due(fitted):
    history = contracts((2, 0, 1), (2, 0, 1), (1, 1, 1)).assign(running=[True, False, False])
    found = contract_value(history, fitted, period="month", periods_ahead=12, params=PARAMS)
    assert found.table["customer_id"].tolist() == ["000"]


def test_the_page_shows_tenures_of_five_contracts_or_more(fitted):
    rng = np.random.default_rng(0)
    rows = [(int(t), 0, 10.0) for t in rng.geometric(0.1, 300)] + [(1, 1, 10.0)]
    found = contract_value(contracts(*rows), fitted, period="month", periods_ahead=12, params=PARAMS)
    shown = found.shown()
    assert shown["customers"].min() >= 5
    assert shown["customers"].sum() == 300
    assert shown["share"].sum() == pytest.approx(1)
    assert len(shown) <= 11
    assert "299" not in found._repr_html_().replace("299 ", "")


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(5, 30))
def test_bands_are_neighbours_and_hold_enough(tenures, least):
    found = banded(pd.Series(tenures), least)
    bands = pd.Series(tenures).map(found)
    sizes = bands.value_counts()
    assert sizes.min() >= min(least, len(tenures))
    assert sorted(found) == sorted(found, key=lambda t: (found[t], t))


def test_it_says_what_one_rate_for_everybody_would_make_of_it():
    assert "50% less" in said(value(naive=500))
    assert "20% more" in said(value(naive=1200))
    assert "One retention rate" not in said(value(naive=1010))


def test_it_says_how_far_it_looks():
    assert "All renewals to come of the 100 running contracts" in said(value())
    assert "The next 12 renewals of the 100" in said(value(periods_ahead=12))
    assert "30% of it is due more than 12 renewals from now" in said(value(later=0.3))
    assert "on record" not in said(value(later=0.02))


def test_it_says_where_the_margin_comes_from():
    assert "A margin of 30.0% of the fee is assumed" in said(value(margin_share=0.3))
    assert "whole fee counts as margin" in said(value())


def test_a_base_in_which_nothing_runs_is_worth_nothing(fitted):
    found = contract_value(contracts((1, 1, 5), (2, 1, 5)), fitted, period="month", periods_ahead=12, params=PARAMS)
    assert found.table.empty
    assert "No contract runs" in said(found)
    assert "No contract runs" in found._repr_html_()


def test_what_has_no_value_is_refused_naming_all(fitted, published_fits):
    history = contracts((2, 0, np.nan), (1, 1, 1))
    with pytest.raises(Refused) as refused:
        contract_value(history, fitted, period="month", periods_ahead=None, params=CLVParams(annual_discount_rate=0))
    assert [f.where for f in refused.value.faults] == ["fee", "annual_discount_rate"]
    with pytest.raises(Refused, match="fee"):
        contract_value(history.drop(columns="fee"), fitted, period="month", periods_ahead=0, params=PARAMS)
    with pytest.raises(Refused, match="not a model of contracts"):
        contract_value(contracts((2, 0, 1)), published_fits[0], period="month", periods_ahead=3, params=PARAMS)


def test_no_value_from_a_fit_that_failed(known_fit):
    failed = known_fit("sbg", failures=[Sentence("k̂ too large")], **PAPER)
    with pytest.raises(GateFailed, match="k̂ too large"):
        contract_value(contracts((2, 0, 1), (1, 1, 1)), failed, period="month", periods_ahead=3, params=PARAMS)
