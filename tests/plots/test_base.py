"""Pictures of the customer base: drawn from any result, with alt text made of its numbers."""

from datetime import date, timedelta

import ibis
import matplotlib
import numpy as np
import pandas as pd
import pytest

from crmlab.base.cohorts import cohorts
from crmlab.base.ipt import ipt
from crmlab.base.retention import retention
from crmlab.base.rfm import rfm
from crmlab.base.summary import summary
from crmlab.plots import base as plots
from crmlab.plots.frame import bundle, no_pictures

matplotlib.use("agg")
START = date(2023, 1, 1)
END = date(2023, 12, 31)


def world(kind):
    g = np.random.default_rng(4)
    rows = []
    for i in range(150):
        begin = int(g.integers(0, 300)) if kind == "coming" else 0
        for day in np.unique(begin + np.cumsum(g.geometric(0.05, 60))):
            if day < 365:
                rows.append((f"c{i:03}", START + timedelta(int(day)), float(g.integers(5, 50))))
    table = ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date", "amount"]))
    return table.mutate(amount=table.amount.cast("decimal(18, 4)"))


@pytest.fixture(params=["coming", "there"])
def orders(request):
    return world(request.param)


def drawn(ax):
    data, metadata = bundle(ax)
    assert len(data["image/png"]) > 1000
    assert metadata["image/png"]["alt"] == data["text/plain"] != ""
    return data["text/plain"]


def test_every_picture_has_alt_text_with_its_numbers(orders):
    rates = retention(orders, as_of=END)
    assert f"{rates.table['crr'].iloc[0]:.1%}" in drawn(plots.retention(rates))
    gaps = ipt(orders, as_of=END)
    assert f"{gaps.table['median'].iloc[0]:.0f} days" in drawn(plots.ipt(gaps))
    scores = rfm(orders, as_of=END)
    assert f"{scores.shown()['share'].max():.1%}" in drawn(plots.rfm(scores))
    whole = summary(orders, as_of=END)
    assert f"{whole.by_month['customers'].iloc[-1]:,}" in drawn(plots.orders_over_time(whole))
    by_cohort = cohorts(rates)
    if rates.has_cohorts:
        assert f"{by_cohort.table['pooled'].iloc[0]:.1%} order at age 1" in drawn(plots.cohorts(by_cohort))
    else:
        assert plots.cohorts(by_cohort) is None


def test_ipt_by_segment_names_the_fastest_and_the_slowest():
    orders = world("there")
    ids = sorted(orders.customer_id.to_pandas().unique())
    found = ipt(
        orders,
        as_of=END,
        segments=pd.Series(["s1" if i % 3 else "s2" for i in range(len(ids))], index=ids),
        names={"s1": "Many", "s2": "Few"},
    )
    text = drawn(plots.ipt(found, by="segment"))
    assert "Many" in text
    assert "Few" in text
    assert "all customers" not in text


def test_bases_without_anything_to_show_are_drawn_too():
    orders = world("there")
    before = START - timedelta(1)
    for result, draw in (
        (retention(orders, as_of=before), plots.retention),
        (ipt(orders, as_of=before), plots.ipt),
        (rfm(orders, as_of=before), plots.rfm),
        (summary(orders, as_of=before), plots.orders_over_time),
    ):
        assert drawn(draw(result))


def test_groups_of_fewer_than_five_are_not_drawn():
    scores = rfm(world("there").filter(lambda t: t.customer_id < "c004"), as_of=END)
    assert "No group is large enough" in drawn(plots.rfm(scores))


def test_nothing_is_drawn_where_pictures_are_off(orders):
    with no_pictures():
        assert plots.rfm(rfm(orders, as_of=END)) is None
