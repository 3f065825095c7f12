"""Columns written after the answer are found; honest ones, however strong, and chance are not called leaks."""

from datetime import date
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from crmlab.base.leaks import DOUBT, FEW, FINE, LEAK, _auc, interval, leaks
from crmlab.base.responses import responses
from crmlab.base.traits import TraitsParams, traits
from crmlab.contract import Refused
from crmlab.data import DataParams, read
from crmlab.data.locate import locate
from crmlab.data.schema import nothing

AS_OF = date(2024, 6, 30)


def world(n=2000, seed=1, **columns):
    """Traits of customers, of whom a fifth answered, and the answers; each column is made from rng and answers."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.2
    ids = [f"c{i:05d}" for i in range(n)]
    customers = pd.DataFrame({"customer_id": ids} | {name: make(rng, y) for name, make in columns.items()})
    found = traits({"customers": ibis.memtable(customers)}, as_of=AS_OF)
    return found, pd.DataFrame({"customer_id": ids, "response": y.astype(int)})


def verdicts(found, answers):
    return leaks(found, answers).table.set_index("trait")["verdict"].to_dict()


def test_each_kind_of_leak_is_found_and_no_honest_column_is():
    found, answers = world(
        redeemed=lambda rng, y: y.astype(int),
        basket_after=lambda rng, y: np.where(y, rng.gamma(5, 10, len(y)), 0.0),
        reason=lambda rng, y: np.where(y, rng.choice(["price", "gift"], len(y)), None),
        odd_code=lambda rng, y: np.where(y, 5, rng.choice([1, 2, 8, 9], len(y))),
        strong=lambda rng, y: rng.normal(1.75 * y, 1),
        chance=lambda rng, y: rng.normal(0, 1, len(y)),
        own_id=lambda rng, y: [f"z{i}" for i in rng.permutation(len(y))],
    )
    found_out = verdicts(found, answers)
    assert {k for k, v in found_out.items() if v == LEAK} == {"redeemed", "basket_after", "reason", "odd_code"}
    assert found_out["strong"] == DOUBT
    assert {found_out["chance"], found_out["own_id"]} == {FINE}


def test_leaks_may_not_split_and_the_strong_only_where_a_person_names_them():
    found, answers = world(redeemed=lambda rng, y: y.astype(int), strong=lambda rng, y: rng.normal(1.75 * y, 1))
    result = leaks(found, answers)
    assert result.barred == ("redeemed",)
    told = result.applied(found).catalogue.set_index("name")
    assert told.loc[["redeemed", "strong"], "allowed_for_splits"].tolist() == [False, False]
    assert told.loc[["redeemed", "strong"], "leak"].tolist() == [True, False]
    assert found.catalogue["allowed_for_splits"].all(), "what was given is not changed"


def test_sentences_say_the_one_or_the_other():
    said = [str(s) for s in leaks(*world(redeemed=lambda rng, y: y.astype(int))).sentences()]
    assert len(said) == 1
    assert "redeemed tells" in said[0]
    assert "may not split" in said[0]
    asks = [str(s) for s in leaks(*world(strong=lambda rng, y: rng.normal(1.75 * y, 1))).sentences()]
    assert "make sure that it is known before" in asks[0]
    fine = [str(s) for s in leaks(*world(chance=lambda rng, y: rng.normal(0, 1, len(y)))).sentences()]
    assert "shows signs of having been written" in fine[0]
    few = leaks(*world(n=12, redeemed=lambda rng, y: y.astype(int)))
    assert few.table["verdict"].tolist() == [FEW]
    assert "Too few" in str(few.sentences()[0])
    assert few._repr_html_()
    assert "no further column" in str(leaks(*world()).sentences()[0])


def test_a_perfect_column_of_very_few_is_not_yet_called_a_leak():
    assert verdicts(*world(n=60, redeemed=lambda rng, y: y.astype(int)))["redeemed"] != LEAK


def test_nobody_and_customers_who_were_never_contacted():
    found, answers = world(n=50, chance=lambda rng, y: rng.normal(0, 1, len(y)))
    assert leaks(found, answers.head(0)).table["verdict"].tolist() == [FEW]
    assert leaks(found, answers.head(40)).basis.n == 40


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_customers_changes_nothing(seed):
    found, answers = world(chance=lambda rng, y: rng.normal(0, 1, len(y)))
    shuffled = leaks(found, answers.sample(frac=1, random_state=seed))
    pd.testing.assert_frame_equal(leaks(found, answers).table, shuffled.table)


def test_the_area_is_that_of_scikit_learn_and_a_column_of_chance_has_one_half():
    rng = np.random.default_rng(3)
    score, y = rng.integers(0, 9, 500), rng.random(500) < 0.3
    assert _auc(score, y) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    one = [
        leaks(*world(n=500, seed=s, chance=lambda rng, y: rng.normal(0, 1, len(y)))).table["auc"][0] for s in range(30)
    ]
    assert np.mean(one) == pytest.approx(0.5, abs=0.03)


def test_intervals_cover_the_true_area():
    rng = np.random.default_rng(1)
    for shift in (0.0, 1.0, 2.5):
        true = norm.cdf(shift / np.sqrt(2))
        hits = 0
        for _ in range(300):
            answered, other = rng.normal(shift, 1, 25), rng.normal(0, 1, 100)
            low, high = interval((answered[:, None] > other).mean(), 25, 100)
            hits += low <= true <= high
        assert 0.85 <= hits / 300 <= 0.96
    low, high = interval(1.0, 50, 500)
    assert low == pytest.approx(0.985, abs=0.001)
    assert high == 1


@pytest.fixture(scope="module")
def bank():
    """A bank's list, customers without transactions, and how long each was on the telephone, as a column of theirs."""
    con = ibis.duckdb.connect(threads=2)
    try:
        lasted = pd.read_csv(locate("bank_contacts"), sep=";", usecols=["duration"])
        tables = dict(read(DataParams(source="bank_contacts"), folder=Path(), con=con).tables)
    except Refused as missing:
        pytest.skip(str(missing))
    lasted["customer_id"] = [f"b{k:05d}" for k in range(1, len(lasted) + 1)]
    with_duration = tables["customers"].inner_join(con.create_table("lasted", ibis.memtable(lasted)), "customer_id")
    tables["customers"] = con.create_table("with_duration", with_duration, temp=True)
    return tables


def test_a_list_of_contacts_without_transactions_has_traits_and_its_duration_is_doubted(bank):
    end = date(2010, 11, 30)
    found = traits(bank, as_of=end)
    assert len(found.table) == 41188
    assert "frequency" not in found.table
    assert {"contacts_26w", "days_since_contact", "last_response_days", "duration", "job"} <= set(found.table)
    assert found.table["last_response_days"].notna().sum() == 4640
    orders = nothing("transactions").mutate(order_id=ibis.literal(""))
    told = leaks(found, responses(bank, orders, window_days=1, through=end)).table.set_index("trait")["verdict"]
    assert told.index[0] == "duration"
    assert told["duration"] == DOUBT
    assert set(told.drop("duration")) == {FINE}
    left_out = traits(bank, as_of=end, params=TraitsParams(exclude=("duration",)))
    assert "duration" not in left_out.table
