from datetime import date
from decimal import Decimal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlab.activation.allocation import ActivationParams, allocate
from crmlab.activation.beliefs import Beliefs
from crmlab.activation.replayed import compare_with_mailed
from crmlab.contract import Basis
from crmlab.plots import activation as plots

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def plan(budget, n=300):
    ids = [f"{i:04d}" for i in range(n)]
    rng = np.random.default_rng(1)
    draws = pd.DataFrame([rng.beta(5, 45, 400), rng.beta(20, 180, 400)], index=pd.Index(["s1", "s2"], name="segment"))
    names = pd.DataFrame({"segment": ["s1", "s2"], "name": ["One", "Two"]})
    return allocate(
        pd.DataFrame({"customer_id": ids}),
        Beliefs(names, Basis(1, "customers"), draws, draws, "response", 1.0),
        pd.DataFrame({"customer_id": ids, "order_value": rng.lognormal(3.3, 0.6, n), "clv": 5.0}),
        pd.Series(["s1", "s2"] * (n // 2), index=ids),
        as_of=date(2024, 1, 1),
        key=KEY,
        study="s",
        cycle="c",
        params=ActivationParams(budget=Decimal(budget), cost_per_contact=Decimal("0.5"), margin_share=0.3),
        mode="replay",
    )


def test_the_alt_text_of_the_plan_holds_its_numbers():
    result = plan(60)
    ax = plots.plan(result)
    assert f"at {result.chosen:,} customers" in str(ax.alt)
    assert f"{result.total['expected']:,.0f} (90 %" in str(ax.alt)
    assert "if all 300 were contacted" in str(ax.alt)
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_the_line_of_the_plan_is_its_curve_and_the_cut_its_list():
    result = plan(60)
    ax = plots.plan(result)
    line, _, cut = ax.get_lines()
    assert line.get_ydata().tolist() == result.curve["expected"].tolist()
    assert set(cut.get_xdata()) == {result.chosen}


def test_an_empty_list_is_said_in_the_alt_text():
    assert "there is no list" in str(plots.plan(plan(0)).alt)


def test_the_comparison_names_the_extremes_and_hides_groups_below_five():
    result = plan(60)
    mailed = pd.DataFrame({"customer_id": [f"{i:04d}" for i in range(150)] + ["x1", "x2"], "campaign_id": "8"})
    traits = pd.DataFrame({"customer_id": result.table["customer_id"], "monetary": np.arange(300.0)})
    ax = plots.comparison(compare_with_mailed(result, mailed, None, traits))
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert len(labels) == 4
    assert not any("not eligible" in t for t in labels)
    assert "Mean prior spend is highest" in str(ax.alt)
