from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crmlab.clv.params import CLVParams
from crmlab.clv.validation import comparison
from crmlab.clv.validation.comparison import against, compare_models, default_models, paired, recommend
from crmlab.clv.validation.comparison_result import COLUMNS, Comparison
from crmlab.contract import Basis
from tests.clv.buyers import START, buyers, table_of

DAYS = 280
END = START + pd.Timedelta(days=DAYS - 1)


def said(result):
    return " ".join(str(s) for s in result.sentences())


@pytest.fixture(scope="module")
def compared(cdnow_orders):
    params = CLVParams(validation_weeks=39, validation_share=0.5)
    return compare_models(cdnow_orders, as_of=pd.Timestamp("1998-06-30").date(), params=params, seed=1)


def made(in_use="bgnbd", parameters=None, **scores):
    """A comparison of made-up log probabilities."""
    parameters = parameters or {}
    rows = [
        {"model": name, "title": name.upper(), "status": "fitted", "log_score": s.mean(), "holds": "no", "mae": 1.0}
        | {"parameters": parameters.get(name, 4)}
        for name, s in scores.items()
    ]
    rows.append({"model": "pace", "title": "pace so far", "status": "rule of thumb", "mae": 2.0})
    table = against(pd.DataFrame(rows, columns=COLUMNS), scores, in_use)
    chosen = recommend(table, scores, in_use)
    return Comparison(table, Basis(100, "customers"), 8, 50.0, in_use, chosen, scores=scores)


NOISE, OTHER = (v - v.mean() for v in np.random.default_rng(1).normal(0, 1, (2, 400)))


def test_published_errors_of_individual_customers_are_reproduced(compared):
    """Mean absolute errors of BG/NBD, Pareto/NBD and MBG/NBD: .786, .755 and .765."""
    mae = compared.table.set_index("model")["mae"]
    assert mae["bgnbd"] == pytest.approx(0.786, abs=0.004)
    assert mae["pareto_nbd"] == pytest.approx(0.755, abs=0.004)
    assert mae["mbgnbd"] == pytest.approx(0.765, abs=0.004)
    predicted = compared.table.set_index("model")["predicted"]
    assert predicted["mbgnbd"] == pytest.approx(1577, abs=20)


def test_every_model_of_purchase_times_is_in_the_table_best_first(compared):
    assert {"bgnbd", "mbgnbd", "pareto_nbd", "pace"} <= set(compared.table["model"])
    assert "bgbb" not in default_models()
    assert not {"sbg", "bdw", "contracts"} & set(default_models())
    scores = compared.table["log_score"].dropna()
    assert scores.is_monotonic_decreasing
    assert compared.table["log_score"].isna().tolist() == [False] * len(scores) + [True]


def test_differences_are_paired_over_customers(compared):
    row = compared.row("pareto_nbd")
    differences = compared.scores["pareto_nbd"] - compared.scores["bgnbd"]
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["se"] == pytest.approx(differences.std(ddof=1) / np.sqrt(2357))
    apart = np.sqrt(sum(compared.scores[m].var(ddof=1) for m in ("pareto_nbd", "bgnbd")) / 2357)
    assert row["se"] < apart


def test_models_that_cannot_be_told_apart_leave_the_one_in_use(compared):
    assert compared.recommended == "bgnbd"
    assert "not distinguishable from chance. Keep BG/NBD" in said(compared)
    assert "None of the 3 intervals of the total holds the 1,882 purchases" in said(compared)
    assert "seconds" not in compared._repr_html_()


def test_the_recommendation_follows_the_numbers():
    base = NOISE - 2
    assert "BGNBD, the model in use, predicts best" in said(made(bgnbd=base, other=base - 0.2 + OTHER / 10))
    better = made(bgnbd=base, other=base + 0.2 + OTHER / 10)
    assert better.recommended == "other"
    assert "the difference is distinguishable. Use OTHER" in said(better)
    noisy = made(bgnbd=base, other=base + 0.02 + OTHER)
    assert noisy.recommended == "bgnbd"
    assert "not distinguishable from chance. Keep BGNBD" in said(noisy)


def test_of_two_better_models_the_simpler_is_recommended():
    base = NOISE - 2
    found = made(
        bgnbd=base,
        rich=base + 0.31 + OTHER / 10,
        plain=base + 0.3 + NOISE / 10,
        parameters={"rich": 6, "plain": 3},
    )
    assert found.recommended == "plain"
    assert "PLAIN is simpler and cannot be told from RICH" in said(found)


def test_a_model_in_use_that_failed_is_replaced_and_said():
    base = NOISE - 2
    found = made(in_use="gone", bgnbd=base, other=base - 1 + OTHER / 10)
    assert found.recommended == "bgnbd"
    assert "The model in use could not be fitted" in said(found)


def test_the_rule_of_thumb_wins_where_it_does():
    found = made(bgnbd=NOISE - 2)
    assert "pace so far" not in said(found)
    table = found.table.assign(mae=found.table["mae"].where(found.table["model"] != "pace", 0.5))
    assert "No model misses a customer's purchases by less" in said(replace(found, table=table))


def test_models_that_fail_are_in_the_table_with_their_statistic():
    params = CLVParams(validation_weeks=8, tune=50, draws=50, chains=2, ess=20_000)
    found = compare_models(
        table_of(buyers(80, DAYS, seed=7)), as_of=END, params=params, seed=1, models=["bgnbd", "mbgnbd"]
    )
    assert found.table.set_index("model")["status"].to_dict() == {
        "pace": "rule of thumb",
        "bgnbd": "failed",
        "mbgnbd": "failed",
    }
    assert "effective draws" in said(found)
    assert "No model could be fitted" in said(found)
    assert found.recommended == ""


def test_a_short_history_is_said_and_nothing_is_compared():
    found = compare_models(table_of([(0, 0, 1.0)]), as_of=START, params=CLVParams(), seed=1)
    assert found.table.empty
    assert "too short" in said(found)
    assert "too short" in found._repr_html_()


def test_the_true_model_is_found_where_models_differ():
    """Nobody ever leaves before a second purchase: the model that lets them predicts worse, in sum over bases."""
    differences = []
    for seed in range(3):
        rows = buyers(500, DAYS, seed=seed, r=1.0, alpha=4.0, a=2.0, b=1.5)
        params = CLVParams(validation_weeks=8, kept_draws=50)
        found = compare_models(table_of(rows), as_of=END, params=params, seed=1, models=["bgnbd", "mbgnbd"])
        differences.append(found.scores["bgnbd"] - found.scores["mbgnbd"])
    mean, se = paired(np.concatenate(differences), 0.0)
    assert mean > 2 * se


def test_scores_of_a_sample_say_that_they_are(cdnow_orders, monkeypatch):
    as_of = pd.Timestamp("1998-06-30").date()
    params = CLVParams(validation_weeks=39, validation_share=0.5, kept_draws=40)
    monkeypatch.setattr(comparison, "SCORED", 60)
    found = compare_models(cdnow_orders, as_of=as_of, params=params, seed=1, models=["bgnbd"])
    assert len(found.scores["bgnbd"]) == 60
    assert "60 customers drawn at random" in " ".join(str(s) for s in found.sentences())
