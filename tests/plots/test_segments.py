"""Pictures of segments: drawn from the result alone, with an alt text that says what its numbers say."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest

from crmlab.contract import Basis, generator
from crmlab.plots import segments as plots
from crmlab.plots.frame import bundle, no_pictures
from crmlab.segments.movement import movement
from crmlab.segments.profile import Profile, profile

matplotlib.use("agg")
NAMES = {"s1": "Regulars", "s2": "Occasional", "s3": "Rest"}


@pytest.fixture
def result() -> Profile:
    rng, n = generator(1, "plots"), 600
    segment = np.repeat(["s1", "s2", "s3"], [300, 200, 100])
    table = pd.DataFrame(
        {
            "customer_id": [f"{i:03d}" for i in range(n)],
            "monetary": np.where(segment == "s2", 30.0, 10.0),
            "coupons": rng.normal(np.where(segment == "s3", 3.0, 0.0)),
            "noise": rng.normal(size=n),
            "town": rng.choice(["a", "b"], n),
        }
    )
    kinds = ["number", "number", "number", "category"]
    catalogue = pd.DataFrame({"name": table.columns[1:], "kind": kinds, "source": "customers", "sensitive": False})
    membership = pd.Series(segment, index=table["customer_id"], name="segment")
    return profile(
        membership, SimpleNamespace(table=table, catalogue=catalogue, basis=Basis(n, "customers")), names=NAMES
    )


def test_the_heat_map_names_the_largest_difference(result):
    ax = plots.profile(result)
    assert "The largest difference is that of “Rest” in coupons: +1." in str(ax.alt)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Regulars", "Occasional", "Rest"]
    assert ax.get_yticklabels()[0].get_text() == "coupons"
    numbers = [t.get_text() for t in ax.texts]
    assert any(n.startswith("+1.") for n in numbers)
    assert not {"noise", "town is a"} & {t.get_text() for t in ax.get_yticklabels()}, "chance has no row"
    assert bundle(ax)[0]["image/png"]


def test_the_bars_name_the_largest_and_the_richest(result):
    ax = plots.sizes(result)
    assert str(ax.alt) == (
        "Bars of 3 segments. The largest, “Regulars”, has 50% of the customers; the most spend, 60%, is that of "
        "“Occasional”."
    )
    assert len(ax.patches) == 6
    assert bundle(ax)[0]["image/png"]


def test_nothing_to_show_is_said(result):
    empty = Profile(table=result.table.head(0), basis=result.basis, differences=result.differences.head(0))
    assert "no trait" in str(plots.profile(empty).alt)
    assert "no customer" in str(plots.sizes(empty).alt)
    unknown = Profile(table=result.table.assign(spend_share=np.nan), basis=result.basis, differences=result.differences)
    assert str(plots.sizes(unknown).alt).endswith("has 50% of the customers.")


def test_movement_shows_who_stayed_and_hides_the_very_few():
    before = pd.Series(["s1"] * 20 + ["s2"] * 20, index=[f"{i:02d}" for i in range(40)])
    after = before.copy()
    after.iloc[:2] = "s2"
    after.iloc[20:30] = "s1"
    ax = plots.movement(movement(before, after, NAMES))
    assert "70% of the customers stayed" in str(ax.alt)
    assert sorted(t.get_text() for t in ax.texts) == ["50%", "50%", "90%"]
    assert "Nobody" in str(plots.movement(movement(before.head(3), after.tail(3), NAMES)).alt)


def test_where_pictures_are_switched_off_nothing_is_drawn(result):
    with no_pictures():
        assert plots.sizes(result) is None
