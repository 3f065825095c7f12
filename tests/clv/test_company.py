"""The company forecast: sums, segments, campaigns, what it says; coverage is in test_calendar and test_rolling."""

from dataclasses import replace
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.history import history
from crmlab.clv.company.forecast import contacted, expected_weeks, forecast, given_acquisition, margin, repeats_before
from crmlab.clv.models.registry import model as registered
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import kept
from crmlab.contract import GateFailed, Refused, generator

CDNOW_END = date(1997, 9, 30)
PARAMS = CLVParams()


def ahead(orders, fitted, *, as_of, **more):
    return forecast(orders, history(orders, as_of=as_of), fitted, as_of=as_of, **more)


@pytest.fixture(scope="module")
def bgnbd(known_fit, published):
    return known_fit("bgnbd", draws=100, spread=0.05, **published["bgnbd"])


@pytest.fixture(scope="module")
def made(cdnow_orders, bgnbd):
    return ahead(cdnow_orders, bgnbd, as_of=CDNOW_END, weeks=26, params=PARAMS, seed=1)


def base(effect: np.ndarray, as_of: date, customers: int = 1_500) -> ibis.Table:
    """Orders of customers who never leave, r = 2, α = 8 weeks, all weeks' rates times exp(effect)."""
    rng = generator(7, "base")
    weeks = len(effect)
    came = rng.integers(0, 20, customers)
    rate = rng.gamma(2, 1 / 8, customers)
    counts = rng.poisson(rate[:, None] * np.exp(effect) * (np.arange(weeks) > came[:, None]))
    who, week = np.nonzero(counts)
    who, week = (np.repeat(v, counts[who, week]) for v in (who, week))
    day = 7 * week + rng.integers(0, 7, len(week))
    first = as_of - timedelta(days=7 * weeks - 1)
    table = pd.DataFrame(
        {
            "customer_id": np.concatenate([np.arange(customers), who]).astype(str),
            "date": [first + timedelta(days=int(d)) for d in np.concatenate([7 * came, day])],
            "amount": 10.0,
        }
    )
    return ibis.memtable(table)


@pytest.fixture(scope="module")
def loyal(known_fit):
    return known_fit("bgnbd", draws=100, spread=0.01, r=2.0, alpha=8.0, a=0.001, b=10.0)


def test_weeks_are_counted_as_by_hand(cdnow_orders):
    found = repeats_before(cdnow_orders, CDNOW_END, 38)
    days = cdnow_orders.execute().drop_duplicates(["customer_id", "date"])
    day = pd.to_datetime(days["date"])
    later = (day > day.groupby(days["customer_id"]).transform("min")) & (day <= pd.Timestamp(CDNOW_END))
    week = (pd.Timestamp(CDNOW_END) - day[later]).dt.days // 7
    assert found[::-1].tolist() == [(week == k).sum() for k in range(38)]


def test_expectation_given_acquisition_adds_up(cdnow, bgnbd):
    model, draws = bgnbd.fitted, kept(bgnbd.draws, 5)
    some = cdnow[cdnow["T"].isin(cdnow["T"].unique()[::12])]
    made, fresh = given_acquisition(model, draws, some, 13)
    new = cdnow.head(1).assign(x=0.0, t_x=0.0, T=0.0)

    days, customers = np.unique(some["T"], return_counts=True)

    def total(shift: float) -> float:
        each = [model.expected_purchases(draws, new, t)[0].mean() if t > 0 else 0.0 for t in days + shift]
        return float((customers * np.array(each)).sum())

    weeks = int(some["T"].max())
    assert made[weeks:].sum() == pytest.approx(total(13) - total(0), rel=1e-3)
    assert made[:weeks].sum() == pytest.approx(total(0) - total(-weeks), rel=1e-3)
    assert (np.diff(fresh[-13:], axis=0) < 0).all()
    assert ((fresh >= 0) & (fresh <= 1)).all()


def test_expected_weeks_are_those_of_all_customers(cdnow, bgnbd):
    model, draws = registered("bgnbd"), kept(bgnbd.draws, 20)
    codes = (cdnow["x"] > 0).to_numpy().astype(int)
    found = expected_weeks(model, draws, cdnow, codes, 2, 26)
    for group, own in enumerate((cdnow, cdnow[codes == 0], cdnow[codes == 1])):
        whole = model.expected_purchases(draws, own, 26.0)[0].sum(axis=0)
        assert found[group].sum(axis=1) == pytest.approx(whole, rel=1e-9)
        for week in (1, 4, 13):
            until = model.expected_purchases(draws, own, float(week))[0].sum(axis=0)
            assert found[group, :, :week].sum(axis=1) == pytest.approx(until, rel=0.01)


def test_model_alone_is_its_predictive_distribution(made, cdnow, bgnbd):
    model, draws = bgnbd.fitted, kept(bgnbd.draws, PARAMS.kept_draws)
    drawn = model.future_purchases(draws, cdnow, 26.0, generator(1, "drawn")).sum(axis=0)
    last = made.table.iloc[-1]
    assert last["total_plain"] == pytest.approx(np.median(drawn), rel=0.02)
    assert last["total_plain_high"] - last["total_plain_low"] == pytest.approx(
        np.diff(np.quantile(drawn, (0.05, 0.95)))[0], rel=0.2
    )


def test_segments_add_up_and_change_nothing(cdnow_orders, cdnow, bgnbd, made):
    segments = cdnow.set_index("customer_id")["x"].map(lambda x: "one" if x == 0 else "more").iloc[:2_000]
    split = ahead(cdnow_orders, bgnbd, as_of=CDNOW_END, weeks=26, params=PARAMS, seed=1, segments=segments)
    assert split.segment_names == ("more", "no segment", "one")
    assert (split.segment_draws.sum(axis=0) == split.draws).all()
    assert split.draws.tobytes() == made.draws.tobytes()
    by_segment = split.by_segment()
    table = by_segment.table
    assert "Most purchases" in str(by_segment.headline())
    even = replace(by_segment, table=table.assign(share=1 / 3))
    assert "No segment" in str(even.headline())
    assert table["customers"].sum() == len(cdnow)
    assert table["share"].sum() == pytest.approx(1)


def test_same_seed_same_bytes(cdnow_orders, bgnbd, made):
    again = ahead(cdnow_orders, bgnbd, as_of=CDNOW_END, weeks=26, params=PARAMS, seed=1)
    assert again.draws.tobytes() == made.draws.tobytes()
    pd.testing.assert_frame_equal(again.table, made.table)


def test_cdnow_is_held_where_the_model_alone_fails(made):
    last = made.table.iloc[-1]
    actual = 1_387
    assert last["total_low_90"] <= actual <= last["total_high_90"]
    assert not last["total_plain_low"] <= actual <= last["total_plain_high"]


def test_campaign_is_recovered_and_a_planned_one_moves_the_forecast(loyal):
    as_of = date(2020, 6, 30)
    weeks = 60
    starts = [as_of - timedelta(weeks=weeks - k) + timedelta(days=1) for k in (25, 33, 41, 49, 57)]
    past = pd.DataFrame({"start": starts, "end": [s + timedelta(days=13) for s in starts], "reach": 0.8})
    effect = 0.6
    orders = base(effect * contacted(past, as_of, weeks, 0)[:, 0], as_of)
    planned = past.iloc[:1].assign(start=as_of + timedelta(days=1), end=as_of + timedelta(days=28))
    runs = {
        name: ahead(orders, loyal, as_of=as_of, weeks=4, params=PARAMS, seed=3, campaigns=campaigns)
        for name, campaigns in (("none", None), ("past", past), ("planned", pd.concat([past, planned])))
    }
    low, high = np.quantile(runs["past"].campaign_effect, (0.005, 0.995))
    assert low <= effect <= high
    assert low > 0.2
    totals = {name: run.table["total_median"].iloc[-1] for name, run in runs.items()}
    assert totals["planned"] / totals["past"] == pytest.approx(np.exp(0.8 * effect), rel=0.12)
    width = {name: run.table.eval("total_high_90 / total_low_90").iloc[-1] for name, run in runs.items()}
    assert width["past"] < width["none"]
    assert "more than chance" in " ".join(map(str, runs["planned"].sentences()))
    assert "counted in" in " ".join(map(str, runs["planned"].sentences()))
    assert "counted in" not in " ".join(map(str, runs["past"].sentences()))


def test_sentences_say_what_the_numbers_say(made):
    def said(**changes) -> str:
        return " ".join(map(str, replace(made, **changes).sentences()))

    assert "Cold start" in said()
    assert "Cold start" not in said(observed_weeks=60)
    assert "widened" in said(observed_weeks=60)
    assert "widened" not in said(observed_weeks=70, widened=False)
    wide = made.table["total_high_90"]
    low, high = (made.table.assign(total_plain=wide * f) for f in (2.0, 0.4))
    assert "lower, as" in said(table=low)
    assert "higher, as" in said(table=high)
    same = made.table.assign(total_plain_low=made.table["total_low_90"], total_plain_high=wide)
    assert "about as wide" in said(table=same)
    assert "about as wide" not in said()
    unclear = made.draws[:, 0] * 0.0 + np.linspace(-0.5, 0.5, len(made.draws))
    assert "do not show" in said(campaign_effect=unclear)
    assert "more than chance, though" in said(campaign_effect=unclear + 1)


def test_forecast_of_a_steady_base_is_as_wide_as_the_model(loyal):
    as_of = date(2020, 6, 30)
    steady = ahead(base(np.zeros(80), as_of), loyal, as_of=as_of, weeks=4, params=PARAMS, seed=3)
    wavy = 0.4 * np.random.default_rng(1).normal(size=80)
    shaken = ahead(base(wavy, as_of), loyal, as_of=as_of, weeks=4, params=PARAMS, seed=3)
    widths = [r.table.eval("(total_high_90 - total_low_90) / total_median").iloc[-1] for r in (steady, shaken)]
    assert widths[0] < 0.5 * widths[1]
    assert not steady.widened


def test_margin_discounts_and_multiplies(made):
    free = margin(made, np.array([20.0]), annual_discount_rate=0, margin_share=0.5)
    assert free == pytest.approx(made.draws.sum(axis=1) * 10.0)
    dear = margin(made, np.array([20.0]), annual_discount_rate=1, margin_share=0.5)
    assert (dear < free).all()
    assert (dear > free / 2**0.5).all()


def test_faults_are_named_at_once(cdnow_orders, bgnbd):
    bad = pd.DataFrame({"start": ["1997-05-01", "1997-05-01"], "end": ["1997-04-01", "1997-06-01"], "reach": [0.5, 7]})
    with pytest.raises(Refused) as refused:
        ahead(cdnow_orders, bgnbd, as_of=date(1997, 1, 20), weeks=0, params=PARAMS, seed=1, campaigns=bad)
    assert {f.where for f in refused.value.faults} == {"history", "weeks", "reach", "end"}
    with pytest.raises(Refused, match="missing"):
        ahead(cdnow_orders, bgnbd, as_of=CDNOW_END, weeks=4, params=PARAMS, seed=1, campaigns=bad[["start"]])


def test_no_forecast_from_a_fit_that_failed(cdnow_orders, known_fit, published):
    failed = known_fit("bgnbd", failures=("R-hat",), **published["bgnbd"])
    with pytest.raises(GateFailed):
        ahead(cdnow_orders, failed, as_of=CDNOW_END, weeks=4, params=PARAMS, seed=1)


def test_reach_counts_days_of_weeks():
    as_of = date(2020, 6, 30)
    planned = pd.DataFrame({"start": ["2020-06-28", "2020-07-05"], "end": ["2020-07-03", "2020-07-09"], "reach": 0.5})
    assert contacted(planned, as_of, 2, 2)[:, 0] == pytest.approx(np.array([0, 1.5, 3, 1]) / 7)
    assert contacted(None, as_of, 2, 2).shape == (4, 0)


def test_page_and_picture(made):
    from crmlab.plots.company import company_forecast

    assert "weeks ahead" in made._repr_html_()
    assert made.by_segment()._repr_html_()
    assert "26 weeks ahead" in str(company_forecast(made).alt)
