"""Pictures of timing, rhythm and life cycle: alt text made of their numbers, nobody shown alone."""

from dataclasses import replace
from datetime import date, timedelta

import ibis
import matplotlib
import numpy as np
import pandas as pd
import pytest

from crmlab import plots
from crmlab.base.lifecycle import LifeCycleParams, life_cycle
from crmlab.base.rhythm import rhythm
from crmlab.base.timing import next_purchase
from crmlab.plots.frame import bundle

matplotlib.use("agg")
START = date(2021, 1, 4)
END = date(2023, 3, 31)


@pytest.fixture(scope="module")
def base():
    g = np.random.default_rng(6)
    rows = []
    for i in range(220):
        begin, life = int(g.integers(0, 600)), g.exponential(400)
        days = np.unique(begin + np.cumsum(g.geometric(g.beta(2, 40), 60)))
        rows += [(f"c{i:03}", START + timedelta(int(d))) for d in days if d < min(816, begin + life)]
    table = ibis.memtable(pd.DataFrame(rows, columns=["customer_id", "date"]))
    ids = sorted({r[0] for r in rows})
    return table, pd.Series(["s1" if i < 120 else "s2" for i in range(len(ids) - 3)] + ["s3"] * 3, index=ids)


def drawn(ax):
    data, metadata = bundle(ax)
    assert len(data["image/png"]) > 1000
    assert metadata["image/png"]["alt"] == data["text/plain"] != ""
    return data["text/plain"]


def words(ax):
    return [t.get_text() for t in (*ax.texts, *ax.get_yticklabels())]


def test_who_is_due_and_whether_it_was_foretold(base):
    table, segments = base
    result = next_purchase(table, as_of=END, segments=segments, names={"s1": "First", "s2": "Second", "s3": "Tiny"})
    ax = plots.due(result)
    assert {"First", "Second"} < set(words(ax))
    assert "Tiny" not in words(ax)  # three customers
    assert f"{result.by_segment['overdue'].iloc[0]:.0%} overdue" in drawn(ax)
    back = result.calibration.set_index("key").loc["back"]
    assert f"{back['observed']:.0%} did" in drawn(plots.foretold(result))
    assert plots.foretold(replace(result, bands=pd.DataFrame())) is None
    nobody = next_purchase(table, as_of=START - timedelta(9))
    assert "Nothing is known" in drawn(plots.due(nobody))


def test_weekdays_and_months(base):
    table, segments = base
    result = rhythm(table, as_of=END, segments=segments, names={"s1": "First", "s2": "Second", "s3": "Tiny"})
    ax = plots.rhythm(result)
    assert "Tiny" not in words(ax)
    top = result.table.head(7).sort_values("share").iloc[-1]
    assert f"{top['share']:.0%} fall on {top['day']}" in drawn(ax)
    assert result.season.loc[result.season["index"].head(12).idxmax(), "called"] in drawn(plots.season(result))
    assert plots.season(rhythm(table, as_of=date(2022, 3, 1))) is None
    assert "no weekday pattern" in drawn(plots.rhythm(rhythm(table, as_of=START - timedelta(9))))


def test_flows_and_states(base):
    table, _ = base
    params = LifeCycleParams(at_risk_days=45, lapsed_days=120)
    result = life_cycle({}, table, as_of=END, params=params)
    same = result.flows[result.flows["before"] == result.flows["now"]]["customers"].sum() / len(result.customers)
    assert f"{same:.0%} are in the same state" in drawn(plots.flows(result))
    assert f"{result.history['day'].nunique()} months" in drawn(plots.states(result))
    assert plots.states(life_cycle({}, table, as_of=START + timedelta(100), params=params)) is None
    nobody = life_cycle({}, table, as_of=START - timedelta(9))
    assert "nobody" in drawn(plots.flows(nobody))


def test_flows_of_fewer_than_five_are_not_drawn_and_their_size_not_told(base):
    table, _ = base
    result = life_cycle({}, table, as_of=END, params=LifeCycleParams(at_risk_days=45, lapsed_days=120))
    few = pd.DataFrame(
        {"before": ["active", "active", "lapsed"], "now": ["active", "lapsed", "won back"], "customers": [40, 3, 4]}
    ).assign(share=[40 / 43, 3 / 43, 1.0], low=0.0, high=1.0)
    ax = plots.flows(replace(result, flows=few))
    assert len(ax.collections) == 1
    assert "won back" in words(ax)
    assert not any(w.startswith("won back ") for w in words(ax))
    assert "most moved" not in drawn(ax)
