"""The forest plot: shows what the table holds, and says in words what it shows."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlab.plots.effects import effects as draw
from crmlab.plots.frame import bundle, no_pictures
from crmlab.reanalysis.effects import EffectParams, effects

mpl.use("agg")


def result(*, design="randomised", segments=("a", "b", "c", "d"), names=None):
    rng = np.random.default_rng(1)
    n = 400 * len(segments)
    segment = np.repeat(segments, 400)
    treated = np.arange(n) % 2 == 0
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "campaign_id": "k1",
            "arm": np.where(treated, "mailed", "control"),
            "sent_at": pd.Timestamp("2020-01-01"),
            "response": (rng.random(n) < 0.2 + treated * 0.1 * (segment == "a")).astype(int),
            "spend": rng.exponential(size=n),
            "orders": 0,
            "segment": segment,
        }
    )
    return effects(frame, names=names or {}, design=design, params=EffectParams())


def test_every_segment_and_the_whole_are_drawn_where_the_table_says():
    r = result()
    ax = draw(r)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == "All customers"
    assert sorted(labels[1:]) == ["a", "b", "c", "d"]
    by = r.table[r.table["outcome"] == "response"].set_index("segment")["uplift"]
    drawn = sorted(x for c in ax.containers for x in np.atleast_1d(c.lines[0].get_xdata()))
    assert drawn == pytest.approx(sorted(100 * by))
    assert labels[-1] == by.drop("all").idxmax(), "the largest uplift is on top"


def test_alt_text_is_computed_from_the_numbers():
    r = result()
    _, metadata = bundle(draw(r))
    by = r.table[r.table["outcome"] == "response"].set_index("segment")["uplift"]
    alt = metadata["image/png"]["alt"]
    assert "in 4 segments" in alt
    assert f"to {100 * by.drop('all').max():.2f} points ({by.drop('all').idxmax()})" in alt
    assert f"overall {100 * by['all']:.2f} points" in alt
    assert "in 1 segments" not in str(draw(result(segments=("a",))).alt)


@pytest.mark.parametrize(("outcome", "label"), [("spend", "spend"), ("response", "percentage points")])
def test_the_axis_names_its_unit(outcome, label):
    ax = draw(result(), outcome=outcome)
    assert label in ax.get_xlabel()


def test_outcomes_that_nobody_showed_are_drawn_without_fault():
    assert draw(result(), outcome="orders").alt


def test_without_a_control_group_no_uplift_is_drawn():
    ax = draw(result(design="observational"))
    assert not ax.containers
    assert str(ax.alt) == "No uplift to draw: nobody was withheld at random."


def test_names_with_a_dollar_are_text_not_formulas():
    png = bundle(draw(result(names={"a": "$0 - $100", "b": "$x_{$"})))[0]["image/png"]
    assert len(png) > 1000


def test_nothing_is_drawn_where_pictures_are_switched_off():
    with no_pictures():
        assert draw(result()) is None
