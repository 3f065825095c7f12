"""Segments' levels: equal to R and to hand-worked cases; variance explained against simulated truth."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from crmlab.contract import generator
from crmlab.reanalysis.levels import Between, LevelsParams, between, explain, rate_interval
from tests.reanalysis.planted import contacts, traits

REFERENCE = Path(os.environ.get("CRMLAB_DATA", "../shared/data")).parent / "reference" / "homogeneity"
NAMES = {"s1": "Alpha", "s2": "Beta"}
QUICK = LevelsParams(draws=199)


def compare(current: pd.DataFrame, history: pd.DataFrame | None = None, names: dict[str, str] = NAMES) -> Between:
    return between(current, names, history=history, params=QUICK, seed=1, cycle="c")


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    if not REFERENCE.exists():
        pytest.skip(f"no reference values in {REFERENCE}")
    table = pd.read_csv(REFERENCE / "rct_small.csv").rename(columns={"id": "customer_id", "resp": "response"})
    return table.assign(
        customer_id=table["customer_id"].astype(str), campaign_id="c", sent_at=pd.Timestamp("2020-01-01").as_unit("s")
    )


@pytest.mark.parametrize(
    ("entry", "test"),
    [
        ("between.resp_chisq_nocorrect", "χ² of counts"),
        ("between.spend_kruskal", "Kruskal–Wallis test of ranks"),
        ("between.spend_welch", "Welch’s test of means"),
    ],
)
def test_tests_equal_r(trial, entry, test):
    expected = {e["id"]: e for e in json.loads((REFERENCE / "expected.json").read_text())}
    found = compare(trial).tests.set_index("test").loc[test]
    for quantity, key in (("statistic", entry), ("p", f"{entry}.p")):
        assert found[quantity] == pytest.approx(expected[key]["expected"], rel=expected[key]["rtol"])


def test_eta_squared_is_chi_square_over_n(trial):
    found = compare(trial)
    eta = found.measure("share of variance in answers between segments (η²)")[0]
    assert eta == pytest.approx(found.tests["statistic"].iloc[0] / len(trial))


def test_rates_and_spend_by_hand():
    frame = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d"],
            "campaign_id": "k",
            "segment": ["s1", "s1", "s1", "s2"],
            "response": [1, 0, 0, 0],
            "spend": [3.0, 6.0, 9.0, 5.0],
            "sent_at": pd.Timestamp("2020-01-01").as_unit("s"),
        }
    )
    table = compare(frame).table.set_index("segment")
    assert table.loc["s1", ["customers", "contacts", "responses"]].tolist() == [3, 3, 1]
    assert table.loc["s1", "rate"] == pytest.approx(1 / 3)
    assert table.loc["s1", "spend"] == 6.0
    low, high = proportion_confint(1, 3, alpha=0.10, method="wilson")
    assert table.loc["s1", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert np.isnan(table.loc["s2", "spend_low"])


def test_the_interval_of_a_rate_is_wider_where_contacts_are_of_the_same_customers():
    once = pd.DataFrame({"customer_id": [str(i) for i in range(100)], "response": [1, 0] * 50})
    same = pd.DataFrame(
        {"customer_id": [str(i // 5) for i in range(100)], "response": [i // 5 % 2 for i in range(100)]}
    )
    narrow, wide = rate_interval(once, 0.9), rate_interval(same, 0.9)
    assert narrow == pytest.approx(proportion_confint(50, 100, alpha=0.1, method="wilson"))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def planted(gap: float, n: int = 1200, sd: float = 0.1, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """This cycle's contacts and the history of two segments whose mean rates lie `gap` apart; and sd `sd` within."""
    known = traits(n, 1)
    rng = generator(seed, "rates")
    mean = np.where(np.arange(n) < n // 2, 0.25 + gap / 2, 0.25 - gap / 2)
    rho = sd**2 / (mean * (1 - mean))
    rate = rng.beta(mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho)
    history = contacts(known, rate, seed, campaigns=5, share=0.7)
    return history[history["campaign_id"] == "k4"], history


def test_share_of_variance_covers_the_truth():
    inside, runs = 0, 80
    gap, sd = 0.12, 0.1
    truth = (gap / 2) ** 2 / ((gap / 2) ** 2 + sd**2)
    for i in range(runs):
        current, history = planted(gap, sd=sd, seed=i)
        scores = (
            current.set_index("customer_id").assign(score=lambda t: t["response"])[["score", "segment"]].sort_index()
        )
        found = explain(scores, history, generator(i, "draws"), interval=0.9, draws=199).set_index("measure")
        low, high = found.loc["share of variance in propensity between segments", ["low", "high"]]
        inside += low <= truth <= high
    assert inside / runs > 0.80


def test_sentences_say_that_segments_differ_and_explain_little():
    current, history = planted(0.10)
    told = [str(s) for s in compare(current, history).sentences()]
    assert told[0].startswith("Segments differ")
    assert "most differences are between people of the same segment" in told[1]


def test_sentences_say_the_opposite_where_segments_are_equal():
    current, history = planted(0.0)
    assert str(compare(current, history).sentences()[0]).startswith("Segments do not differ clearly")


def test_sentences_praise_a_segmentation_that_explains_much():
    current, history = planted(0.4, sd=0.05)
    last = compare(current, history).sentences()[-1]
    assert last.tone == "good"
    assert "most differences" not in str(last)


def test_with_one_contact_each_the_share_is_not_identified():
    current, _ = planted(0.2)
    found = compare(current)
    assert np.isnan(found.measure("share of variance in propensity between segments")[0])
    assert "not identified" in str(found.sentences()[-1])


def test_one_segment_or_none_is_said_and_does_not_fail():
    current, history = planted(0.2)
    alone = compare(current[current["segment"] == "s1"], history[history["segment"] == "s1"])
    assert "fewer than two" in str(alone.sentences()[0])
    empty = compare(current[:0], history[:0])
    assert empty.table.empty
    assert "fewer than two" in str(empty.sentences()[0])
    assert "<table>" in empty._repr_html_()


def test_the_order_of_rows_does_not_matter():
    current, history = planted(0.1)
    a = compare(current, history)
    b = compare(current.sample(frac=1, random_state=3), history.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(a.table, b.table)
    pd.testing.assert_frame_equal(a.explained, b.explained)
