"""Verdicts: each is reached on data made for it, in the stated order, and the sentences follow."""

import numpy as np
import pandas as pd
import pytest
import yaml

from crmlab.contract import Refused, generator
from crmlab.reanalysis.homogeneity import Homogeneity, HomogeneityParams, homogeneity
from crmlab.reanalysis.verdicts import HETEROGENEOUS, HOMOGENEOUS, NOT_IDENTIFIABLE, TRACE, UNDECIDED
from tests.reanalysis.planted import contacts, traits

NAMES = {"s1": "Alpha", "s2": "Beta"}
QUICK = HomogeneityParams(permutations=199)


def ask(
    rate: np.ndarray, *, campaigns: int = 6, known=None, params: HomogeneityParams = QUICK, seed: int = 1
) -> Homogeneity:
    known = known or traits(len(rate), 1)
    history = contacts(known, rate, seed, campaigns=campaigns, share=0.8 if campaigns > 1 else 1.0)
    current = history[history["campaign_id"] == f"k{campaigns - 1}"]
    return homogeneity(history, current, known, names=NAMES, params=params, seed=1, cycle="c")


def text(result: Homogeneity) -> str:
    return " ".join(str(s) for s in result.sentences())


def test_planted_spread_is_found_in_the_segment_that_has_it_and_the_sentence_names_it():
    rng = generator(2, "rates")
    rate = np.full(2000, 0.2)
    rate[:1000] = rng.beta(1.0, 4.0, 1000)
    result = ask(rate)
    table = result.table.set_index("segment")
    assert table.loc["s1", "verdict"] == HETEROGENEOUS
    assert table.loc["s1", "spread"] == pytest.approx(0.163 * 0.75, rel=0.2)  # rates are halved in every other campaign
    assert table.loc["s2", "verdict"] != HETEROGENEOUS
    assert "People are not alike in 1 of 2 segments: Alpha." in text(result)
    assert "No segment is shown" not in text(result)


def test_equal_rates_are_called_homogeneous_only_where_the_contacts_suffice():
    many = ask(np.full(3000, 0.15), campaigns=12)
    assert (many.table["verdict"].isin([HOMOGENEOUS, TRACE])).any()
    assert (many.table["verdict"] != HETEROGENEOUS).all()
    few = ask(np.full(300, 0.15), campaigns=2)
    assert (few.table["verdict"] == UNDECIDED).all()
    assert "Not rejecting is not homogeneity: 2 of 2 segments are undecided" in text(few)
    assert "No segment is shown to be heterogeneous" in text(few)


def test_the_minimum_detectable_effect_is_said_first():
    first = str(ask(np.full(300, 0.15), campaigns=2).sentences()[0])
    assert first.startswith("With these contacts a spread of")
    assert list(Homogeneity.columns)[:2] == ["name", "mde"]


def test_a_small_spread_is_a_trace():
    rng = generator(3, "rates")
    p, sd = 0.3, 0.07
    rho = sd**2 / (p * (1 - p))
    rate = rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, 4000)
    result = ask(rate, campaigns=12, params=HomogeneityParams(permutations=99, tolerance=0.09))
    assert (result.table["verdict"] == TRACE).all()
    assert "differ, but by less than the tolerance" in text(result)


def test_one_contact_each_and_no_traits_is_not_identifiable_whatever_the_rates():
    known = traits(1000, 1)
    barred = type(known)(known.table, known.basis, known.catalogue.assign(allowed_for_splits=False))
    rate = np.where(known.table["flag"] == 1, 0.5, 0.05)
    result = ask(rate, campaigns=1, known=barred)
    assert (result.table["verdict"] == NOT_IDENTIFIABLE).all()
    assert "cannot be answered" in text(result)


def test_one_contact_each_is_heterogeneous_by_a_split_confirmed_on_the_other_half():
    known = traits(2000, 1)
    rate = np.where((known.table["flag"] == 1) & (known.table["half"] == "a"), 0.45, 0.1)
    result = ask(rate, campaigns=1)
    table = result.table.set_index("segment")
    assert table.loc["s1", "verdict"] == HETEROGENEOUS
    assert table.loc["s1", "best_trait"] == "flag"
    assert table.loc["s1", "rests_on"] == "a split on the other half"
    assert np.isnan(table.loc["s1", "high"])
    assert "Inside Alpha, response goes with flag" in text(result)
    assert table.loc["s2", "verdict"] == UNDECIDED


def test_one_contact_each_is_never_homogeneous_and_rarely_heterogeneous_where_all_are_alike():
    found = [v for i in range(25) for v in ask(np.full(600, 0.2), campaigns=1, seed=i).table["verdict"]]
    assert set(found) <= {UNDECIDED, HETEROGENEOUS}
    assert found.count(HETEROGENEOUS) <= 3


def test_too_few_customers_are_not_analysed():
    result = ask(np.full(60, 0.5), campaigns=4)
    assert (result.table["verdict"] == NOT_IDENTIFIABLE).all()
    assert result.table["spread"].isna().all()


def test_verdicts_are_plain_and_rounded():
    given = ask(np.full(300, 0.15), campaigns=2).verdicts()
    assert [v["segment"] for v in given] == ["s1", "s2"]
    assert all(v["kind"] == "level" and v["outcome"] == "response" for v in given)
    assert yaml.safe_load(yaml.safe_dump(given)) == given
    assert all(v["spread"] is None or v["spread"] == float(f"{v['spread']:.6g}") for v in given)


def test_an_outcome_that_is_not_yes_or_no_is_refused():
    known = traits(100, 1)
    history = contacts(known, np.full(100, 0.2), 1)
    with pytest.raises(Refused, match="spend"):
        homogeneity(history, history, known, names=NAMES, outcome="spend", seed=1, cycle="c")


def test_no_contacts_give_an_empty_table_and_a_sentence():
    known = traits(100, 1)
    none = contacts(known, np.full(100, 0.2), 1)[:0]
    result = homogeneity(none, none, known, names=NAMES, seed=1, cycle="c")
    assert result.table.empty
    assert "No segment was contacted" in text(result)
    assert "<table>" not in result._repr_html_()


def test_the_same_input_in_another_order_gives_the_same_table():
    known = traits(600, 1)
    history = contacts(known, np.full(600, 0.2), 1, campaigns=3)
    current = history[history["campaign_id"] == "k2"]
    a = homogeneity(history, current, known, names=NAMES, params=QUICK, seed=1, cycle="c")
    mixed = type(known)(known.table.sample(frac=1, random_state=1), known.basis, known.catalogue)
    b = homogeneity(
        history.sample(frac=1, random_state=2),
        current.sample(frac=1, random_state=3),
        mixed,
        names=NAMES,
        params=QUICK,
        seed=1,
        cycle="c",
    )
    pd.testing.assert_frame_equal(a.table, b.table)
