from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crmlab.clv.models import bgnbd
from crmlab.clv.params import CLVParams
from crmlab.clv.validation.bands import bands, in_bands
from crmlab.clv.validation.validate import compare, validate
from crmlab.clv.validation.withheld import withheld_weeks, withhold
from crmlab.contract import Basis
from tests.clv.buyers import START, buyers, table_of

DAYS = 280
END = START + pd.Timedelta(days=DAYS - 1)
TRUTH = {"r": 0.8, "alpha": 3.0, "a": 0.7, "b": 2.0}
ON_PAGE = ("tenths", "coverage", "tracking", "spend")


def said(result):
    return " ".join(str(s) for s in result.sentences())


def whole_page(found):
    parts = [found, *(getattr(found, name) for name in ON_PAGE)]
    return " ".join(said(part) + part._repr_html_() for part in parts if part is not None)


def checked(rows, **kwargs):
    return validate(table_of(rows), as_of=END, params=CLVParams(validation_weeks=8), seed=1, **kwargs)


def test_the_published_validation_is_reproduced(validated):
    """Actual 1,882, predicted 1,653, an interval which misses, mean absolute error .786.

    The published interval, 1,516 to 1,846, is of another prior: sampled under ours, under one flat in the coordinates,
    one half-normal on the parameters and the published package's own, its ends lie from 1,466 and 1,804 to 1,507 and
    1,835, each about 330 apart as published. Of 848 draws an end is known to about ten.
    """
    assert validated.weeks == 39
    assert validated.actual == 1882
    assert validated.predicted == pytest.approx(1653, abs=12)
    assert validated.low == pytest.approx(1486, abs=25)
    assert validated.high == pytest.approx(1822, abs=25)
    assert validated.mae == pytest.approx(0.786, abs=0.004)
    assert validated.table["before"].tolist() == ["0", "1", "2", "3", "4", "5", "6", "7+"]
    assert validated.table["customers"].sum() == 2357
    assert "the interval misses, the model predicted too few" in said(validated)
    weighted = (validated.table["predicted"] * validated.table["customers"]).sum()
    assert weighted == pytest.approx(validated.predicted)


def test_the_parts_of_one_validation_agree(validated):
    tenths, coverage, ahead = validated.tenths, validated.coverage.table, validated.tracking.ahead()
    assert (tenths.table["predicted"] * tenths.table["customers"]).sum() == pytest.approx(validated.predicted)
    assert (tenths.table["actual"] * tenths.table["customers"]).sum() == pytest.approx(1882)
    assert tenths.table["share"].sum() == pytest.approx(1)
    assert tenths.gini == validated.gini
    assert coverage.loc[2, ["low", "high"]].tolist() == [validated.low, validated.high]
    assert ahead["actual"].sum() == 1882
    assert ahead["expected"].sum() == pytest.approx(validated.predicted)
    assert validated.spend.actual == pytest.approx(70_976, abs=1)


def test_customers_intervals_keep_their_word_where_the_total_does_not(validated):
    customers, _, total, calendar = validated.coverage.table.to_dict("records")
    assert customers["covered_90"] == pytest.approx(0.89, abs=0.015)
    assert customers["covered_50"] == pytest.approx(0.5, abs=0.02)
    assert total["covered_90"] == 0
    assert calendar["covered_90"] == 1
    assert calendar["low"] < total["low"] < total["high"] < calendar["high"]


def test_the_predictive_interval_holds_the_total_of_customers_who_follow_the_model(known_fit):
    fitted, inside = known_fit("bgnbd", **TRUTH), 0
    for k in range(20):
        rng = np.random.default_rng(k)
        history = bgnbd.simulate(TRUTH, pd.DataFrame({"T": np.full(300, 20.0)}), rng)
        actual = bgnbd.future_purchases(TRUTH, history, 10, rng)[:, 0]
        found = compare(history, actual, fitted, weeks=10, params=CLVParams(), seed=k, basis=Basis(300, "customers"))
        inside += found.low <= found.actual <= found.high
    assert 15 <= inside <= 20


def test_coverage_of_customers_and_segments_who_follow_the_model_is_nominal(known_fit):
    rng, n = np.random.default_rng(5), 8000
    history = bgnbd.simulate(TRUTH, pd.DataFrame({"T": rng.uniform(5, 30, n)}), rng)
    history["customer_id"] = np.arange(n).astype(str)
    actual = bgnbd.future_purchases(TRUTH, history, 10, rng)[:, 0]
    segments = pd.Series(np.arange(n) % 100, index=history["customer_id"])
    params, basis = CLVParams(), Basis(n, "customers")
    found = compare(
        history, actual, known_fit("bgnbd", **TRUTH), weeks=10, params=params, seed=1, basis=basis, segments=segments
    )
    customers, groups, _ = found.coverage.table.to_dict("records")
    assert customers["covered_90"] == pytest.approx(0.9, abs=0.012)
    assert customers["covered_50"] == pytest.approx(0.5, abs=0.02)
    assert groups["units"] == 100
    assert groups["covered_90"] == pytest.approx(0.9, abs=0.09)
    assert groups["covered_50"] == pytest.approx(0.5, abs=0.15)
    assert {s.tone for s in found.coverage.sentences()} == {"good"}


def test_it_says_the_opposite_when_the_numbers_do(validated):
    assert "holds the actual total" in said(replace(validated, actual=1700.0))
    assert "too many" in said(replace(validated, actual=1000.0))
    assert "no better than that rule" in said(replace(validated, naive_mae=0.5))
    assert "no better" not in said(replace(validated, naive_mae=0.9))
    assert "five customers missed most" in said(replace(validated, largest_errors=0.7))
    assert "five customers missed most" not in said(validated)


def test_coverage_says_the_opposite_when_the_numbers_do(validated):
    def changed(row, **values):
        table = validated.coverage.table.copy()
        table.loc[row, list(values)] = list(values.values())
        return said(replace(validated.coverage, table=table))

    assert "too narrow" not in said(validated.coverage)
    assert "too narrow" in changed(0, covered_90=0.8)
    assert "wider than they need be" in changed(0, covered_90=0.97)
    assert "its interval holds the total" in said(validated.coverage)
    assert "misses the total, too" in changed(3, covered_90=0.0)


def test_tenths_say_the_opposite_when_the_numbers_do(validated):
    tenths = validated.tenths
    assert "could have been reached" in said(tenths)
    worthless = tenths.table.assign(share=0.1)
    assert "the order is worth nothing" in said(replace(tenths, table=worthless))
    assert "the same for everybody" in said(replace(tenths, table=tenths.table.assign(predicted=1.0)))
    assert "no order to predict" in said(replace(tenths, gini=float("nan")))


def test_a_period_in_which_nobody_buys_is_said_and_breaks_nothing():
    rows = [r for r in buyers(400, DAYS, seed=3) if r[1] < DAYS - 56]
    found = checked([*rows, (9999, DAYS - 1, 1.0)])
    assert found.actual == 0
    assert "Nobody bought in the 8 weeks withheld" in said(found)
    assert "misses the total, too" in said(found.coverage)
    assert "less happened than expected" in said(found.tracking)
    assert "nan" not in whole_page(found)


def test_a_whale_is_said():
    rows = buyers(150, DAYS, seed=5) + [(9999, d, 5000.0) for d in range(DAYS)]
    found = checked(rows)
    assert "Five customers made" in said(found.spend)
    assert "nan" not in whole_page(found)


def test_sixty_customers_suffice():
    found = checked(buyers(60, DAYS, seed=2, r=3, alpha=6))
    assert found.tenths.table["customers"].sum() == found.basis.n
    assert found.coverage.table["units"].iloc[0] == found.basis.n
    assert "nan" not in whole_page(found)


def regular(days, customers=80):
    return [(i, d, 1.0) for i in range(customers) for d in range(i % 7, days, 7 + i % 11)]


def test_a_short_history_has_a_sentence_and_no_table():
    found = validate(table_of(regular(60)), as_of=date(2020, 2, 29), params=CLVParams(), seed=1)
    assert found.table.empty
    assert "too short" in said(found)
    assert "too short" in found._repr_html_()
    assert all(getattr(found, name) is None for name in ON_PAGE)


def test_few_customers_have_a_sentence_and_no_table():
    found = checked(regular(DAYS, customers=20))
    assert found.table.empty
    assert "Too few customers" in said(found)


def test_a_fit_that_fails_its_gate_leaves_no_table_and_names_the_statistic():
    params = CLVParams(tune=50, draws=50, chains=2, ess=20_000, validation_weeks=8)
    found = validate(table_of(buyers(80, DAYS, seed=7)), as_of=END, params=params, seed=1)
    assert found.table.empty
    assert "effective draws" in said(found)
    assert {s.tone for s in found.sentences()} == {"bad"}


def test_the_withheld_period_is_bounded_by_its_share_of_the_history():
    params = CLVParams(validation_weeks=13, validation_share=1 / 3)
    start = date(2017, 1, 1)
    assert withheld_weeks(start, date(2017, 12, 31), params=params) == 13
    assert withheld_weeks(start, date(2017, 5, 7), params=params) == 6
    assert withheld_weeks(start, date(2017, 3, 1), params=params) == 0


def test_purchases_and_spend_of_the_withheld_weeks_are_counted_by_day():
    rows = [(i, d, 2.0) for i in range(60) for d in range(0, 140, 20)]
    rows += [(0, 139, 1.0), (0, 139, 4.0), (77, 138, 9.0)]
    found = withhold(table_of(rows), as_of=START + pd.Timedelta(days=139), params=CLVParams(validation_weeks=5))
    assert found.weeks == 5
    assert len(found.before) == 60
    assert found.actual.tolist() == [2.0] + [1.0] * 59
    assert found.spent.tolist() == [7.0] + [2.0] * 59


@given(arrays(np.int64, st.integers(5, 300), elements=st.integers(0, 40)))
def test_bands_hold_every_customer_once_and_at_least_five(x):
    edges = bands(x)
    counts = [((x >= low) & (x <= high)).sum() for low, high in edges]
    assert sum(counts) == len(x)
    assert min(counts) >= 5
    assert np.bincount(in_bands(x)).tolist() == counts


def test_frequent_buyers_are_cut_into_eighths():
    edges = bands(np.arange(8, 88))
    assert len(edges) == 8
    assert edges[0][0] == 8
    assert edges[-1][1] == 87
