"""Differences: none told twice, none by chance called sure, traits said as people say them."""

import numpy as np
import pandas as pd

from crmlab.contract import generator
from crmlab.segments.differences import UNKNOWN, alike, compared, differences, telling, trait_words


def planted(n: int = 1_200) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """s1 has more of `visits` and of its double `calls`; `noise` is noise; `town` is a category."""
    rng = generator(9, "differences")
    people = [f"{i:04d}" for i in range(n)]
    membership = pd.Series(np.where(np.arange(n) < n // 4, "s1", "s2"), index=people)
    visits = rng.normal(np.where(membership == "s1", 1.0, 0.0))
    table = pd.DataFrame(
        {"visits": visits, "calls": visits + rng.normal(0, 0.1, n), "noise": rng.normal(size=n),
         "town": rng.choice(["a", "b"], n)}, index=people,
    )  # fmt: skip
    catalogue = pd.DataFrame({"name": table.columns, "kind": ["number"] * 3 + ["category"], "source": "customers"})
    meaning = ["visits to the shop; of all kinds", "calls", "noise", "as given in the customers table"]
    return membership, table, catalogue.assign(sensitive=False, meaning=meaning)


def test_of_traits_that_say_the_same_one_stands_for_all():
    membership, table, catalogue = planted()
    found = differences(membership, table, catalogue, ())
    same = alike(table, catalogue)
    told = telling(found[found["segment"] == "s1"], same, (), 8)
    assert len(set(told["trait"]) & {"visits", "calls"}) == 1
    assert telling(found[found["segment"] == "s1"], same, ("calls",), 8)["trait"].tolist() in ([], ["noise"], ["town"])
    assert same.loc[("visits", ""), ("calls", "")]
    assert not same.loc[("visits", ""), ("noise", "")]


def test_what_differs_by_chance_alone_is_seldom_called_sure():
    rng, called = generator(10, "differences"), 0
    for _ in range(12):
        table = pd.DataFrame(rng.normal(size=(300, 20)), columns=[f"t{i}" for i in range(20)], index=range(300))
        catalogue = pd.DataFrame({"name": table.columns, "kind": "number", "source": "x", "sensitive": False})
        found = differences(pd.Series(["s1", "s2", "s3"] * 100), table, catalogue.assign(meaning=""), ())
        called += found.groupby("segment")["sure"].any().sum()
    assert called / 36 <= 0.25, "of segments that do not differ at all about a tenth have anything named"


def test_one_whale_neither_hides_a_difference_nor_makes_one():
    membership, table, catalogue = planted()
    before = differences(membership, table, catalogue, ()).set_index(["segment", "trait", "level"])
    table.loc["1199", "visits"] = 1e9
    table.loc["0000", "noise"] = 1e9
    after = differences(membership, table, catalogue, ()).set_index(["segment", "trait", "level"])
    moved = (after["difference"] - before["difference"]).abs()
    assert moved.loc[("s1", "visits", "")] < 0.03
    assert not after.loc[("s1", "noise", ""), "sure"]


def test_constant_and_identical_traits_have_no_difference():
    membership, table, catalogue = planted(40)
    found = differences(membership, table.assign(visits=1.0, calls=np.nan), catalogue, ())
    assert found.loc[found["trait"].isin(["visits", "calls"]), "difference"].isna().all()
    assert not found.loc[found["trait"].isin(["visits", "calls"]), "sure"].any()
    nobody = differences(membership.head(0), table.head(0), catalogue, ())
    assert nobody.empty
    assert alike(table.head(0), catalogue).empty


def test_traits_are_said_by_their_meaning_and_those_of_the_company_by_their_name():
    assert trait_words("visits_13w", "visits to the shop; of all kinds") == "visits to the shop"
    assert compared("household_size", "2", "as given in the customers table") == "household size is 2"
    assert compared("household_size", UNKNOWN) == "household size unknown"


def test_a_few_customers_of_skewed_traits_differ_by_chance_alone_and_nothing_is_called_sure():
    rng, cells, called, runs = generator(11, "differences"), [], 0, 0
    for few in (3, 10, 30):
        for _ in range(12):
            spent = rng.lognormal(0, 1, (400, 20)) * (rng.random((400, 20)) < 0.2)
            table = pd.DataFrame(spent, columns=[f"t{i}" for i in range(20)], index=range(400))
            catalogue = pd.DataFrame({"name": table.columns, "kind": "number", "source": "x", "sensitive": False})
            who = pd.Series(np.where(np.arange(400) < few, "s1", "s2"))
            found = differences(who, table, catalogue.assign(meaning=""), ())
            cells.append(((found["low"] <= 0) & (found["high"] >= 0)).mean())
            called, runs = called + found.loc[found["segment"] == "s1", "sure"].any(), runs + 1
    assert called / runs <= 0.15
    assert np.mean(cells) > 0.82, "intervals hold 0 about nine times in ten, however few they are of"
