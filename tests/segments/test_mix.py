"""What segments buy: hand-worked shares and lifts, intervals that cover, wholesalers that decide nothing."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.orders import orders
from crmlab.contract import generator
from crmlab.segments.mix import level_words, lifts, mixes

AS_OF = date(2024, 6, 30)


def lines(rows: list[tuple], columns=("customer_id", "date", "amount", "category")) -> dict[str, ibis.Table]:
    frame = pd.DataFrame(rows, columns=list(columns))
    kinds = {"date": "date", "amount": "decimal(18, 4)"}
    table = ibis.memtable(frame)
    return {"transactions": table.mutate(**{c: table[c].cast(k) for c, k in kinds.items()})}


def of(tables, membership, as_of=AS_OF):
    return mixes(tables, orders(tables["transactions"]), membership, as_of=as_of)


def test_shares_are_means_over_customers_and_lifts_are_those_worked_by_hand():
    rows = [
        ("a", "2024-06-03", 30, "food"), ("a", "2024-06-03", 10, "toys"),
        ("b", "2024-06-04", 5, "food"),
        ("c", "2024-06-08", 1e6, "toys"),
        ("d", "2024-06-09", 8, "food"), ("d", "2024-06-09", 8, "toys"),
    ]  # fmt: skip
    membership = pd.Series({"a": "s1", "b": "s1", "c": "s2", "d": "s2"})
    t = of(lines(rows), membership).table.set_index(["part", "segment", "level"])
    food = t.loc[("category", "s1", "food")]
    assert food[["buyers", "of"]].tolist() == [2, 2]
    assert food[["share", "base", "lift"]].tolist() == pytest.approx([0.875, 0.5625, 0.875 / 0.5625])
    assert t.loc[("category", "s2", "toys"), "share"] == pytest.approx(0.75)
    assert t.loc[("weekday", "s1", "0"), ["share", "base"]].tolist() == pytest.approx([0.5, 0.25]), "the Monday"
    assert (level_words("weekday", "0"), level_words("month", "12")) == ("Monday", "December")


def test_the_interval_is_that_of_the_delete_one_jackknife():
    rng = generator(3, "mix")
    v = np.r_[rng.beta(2, 5, 60), rng.beta(2, 9, 140)]
    of_segment = np.repeat(["s1", "s2"], [60, 140])
    parts = [(s, v[of_segment == s]) for s in ("s1", "s2")]
    sums = pd.DataFrame(
        [(s, "x", (x > 0).sum(), x.sum(), (x**2).sum()) for s, x in parts],
        columns=["segment", "level", "buyers", "one", "two"],
    )
    found = lifts(sums, pd.Series({"s1": 60, "s2": 140})).set_index("segment").loc["s1"]
    left_out = []
    for i in range(200):
        keep = np.arange(200) != i
        left_out.append(np.log(v[keep & (of_segment == "s1")].mean() / v[keep].mean()))
    se = np.sqrt(199 / 200 * ((np.array(left_out) - np.mean(left_out)) ** 2).sum())
    assert np.log(found["high"] / found["lift"]) / 1.644854 == pytest.approx(se, rel=0.02)


def test_its_intervals_cover_the_true_ratio_in_nine_of_ten_samples():
    rng, covered = generator(4, "mix"), []
    truth = (2 / 7) / (0.25 * 2 / 7 + 0.75 * 2 / 11)
    levels = [f"{i:02d}" for i in range(30)]  # each a sample of its own
    for _ in range(40):
        parts = {"s1": rng.beta(2, 5, (75, 30)), "s2": rng.beta(2, 9, (225, 30))}
        sums = [
            pd.DataFrame({"segment": s, "level": levels, "buyers": len(v), "one": v.sum(0), "two": (v**2).sum(0)})
            for s, v in parts.items()
        ]
        found = lifts(pd.concat(sums), pd.Series({"s1": 75, "s2": 225}))
        rows = found[found["segment"] == "s1"]
        covered += list((rows["low"] <= truth) & (truth <= rows["high"]))
    assert np.mean(covered) == pytest.approx(0.90, abs=0.03)


def test_where_nobody_differs_few_are_called_sure_and_where_they_do_they_are():
    rng, wrong, compared = generator(5, "mix"), 0, 0
    people = [f"{i:03d}" for i in range(200)]
    for _ in range(3):
        rows = [(c, "2024-06-03", 1.0, k) for c in people for k in rng.choice(list("abcdefgh"), 12)]
        half = pd.Series(np.where(np.arange(200) < 80, "s1", "s2"), index=people)
        t = of(lines(rows), half).table
        wrong, compared = wrong + int(t["sure"].sum()), compared + len(t)
    assert wrong <= 4, compared
    rows = [(c, "2024-06-03", 1.0, k) for c in people[:80] for k in rng.choice(list("ab"), 12, p=[0.7, 0.3])]
    rows += [(c, "2024-06-03", 1.0, k) for c in people[80:] for k in rng.choice(list("ab"), 12)]
    t = of(lines(rows), half).table.set_index(["part", "segment", "level"])
    assert t.loc[("category", "s1", "a"), "sure"]
    assert t.loc[("category", "s1", "a"), "low"] > 1
    assert t.loc[("category", "s1", "b"), "high"] < 1


def test_one_whale_counts_as_anybody():
    people = [f"{i:02d}" for i in range(40)]
    rows = [(c, "2024-06-03", 10.0, "food") for c in people] + [(c, "2024-06-03", 10.0, "toys") for c in people]
    membership = pd.Series(np.repeat(["s1", "s2"], 20), index=people)
    rows += [("00", "2024-06-03", 1e9, "toys")]
    t = of(lines(rows), membership).table.set_index(["part", "segment", "level"])
    assert t.loc[("category", "s1", "toys"), "share"] == pytest.approx((19 * 0.5 + 1) / 20, abs=1e-6)
    assert not t.loc[("category", "s1", "toys"), "sure"]


def test_what_the_data_lack_is_said_once_and_left_out():
    tables = lines([("a", "2024-06-03", 1.0)], ("customer_id", "date", "amount"))
    found = of(tables, pd.Series({"a": "s1"}))
    assert set(found.table["part"]) == {"weekday"}
    said = " ".join(map(str, found.sentences()))
    assert "no categories" in said
    assert "channel" in said
    assert "less than two years" in said
    assert not found.table["sure"].any(), "one customer differs from nobody"
    days = ("2022-06-03", "2023-10-03", "2024-06-03")
    found = of(lines([(c, d, 1.0, "x") for c in "ab" for d in days]), pd.Series({"a": "s1", "b": "s2"}))
    assert found.table.loc[found.table["part"] == "month", "level"].tolist() == ["10", "10"]
    assert "Seasons" not in " ".join(map(str, found.sentences()))
    found = of(lines([("a", days[0], 1.0, "x"), ("b", days[2], 1.0, "x")]), pd.Series({"a": "s1", "b": "s2"}))
    assert "nobody bought before the year" in " ".join(map(str, found.sentences()))


def test_categories_may_come_from_the_products():
    bought = [("a", "2024-06-03", 1.0, "p1"), ("b", "2024-06-03", 1.0, "p2")]
    tables = lines(bought, ("customer_id", "date", "amount", "product_id"))
    tables["products"] = ibis.memtable(pd.DataFrame({"product_id": ["p1", "p2"], "category": ["tea", "jam"]}))
    t = of(tables, pd.Series({"a": "s1", "b": "s2"})).table
    assert set(t.loc[t["part"] == "category", "level"]) == {"tea", "jam"}


def test_nobody_at_all_makes_an_empty_table():
    tables = lines([("a", "2024-06-03", 1.0, "x")])
    empty = {"transactions": tables["transactions"].filter(ibis.literal(False))}
    assert of(empty, pd.Series([], index=pd.Index([], dtype="str"), dtype="str")).table.empty


def test_rows_in_another_order_give_the_same_bytes():
    rng = generator(6, "mix")
    people = [f"{i:02d}" for i in range(50)]
    days, spent = rng.integers(1, 30, (50, 9)), rng.lognormal(2, 1, (50, 9)).round(2)
    kinds = rng.choice(list("abc"), (50, 9))
    rows = [
        (c, f"2024-06-{d:02d}", float(a), k)
        for i, c in enumerate(people)
        for d, a, k in zip(days[i], spent[i], kinds[i], strict=True)
    ]
    membership = pd.Series(rng.choice(["s1", "s2"], 50), index=people)
    one = of(lines(rows), membership).table
    other = of(lines([rows[i] for i in rng.permutation(len(rows))]), membership.sample(frac=1, random_state=1)).table
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_who_came_or_left_within_the_year_has_no_season():
    rng, rows, groups = generator(6, "mix"), [], {}
    for i in range(400):
        begins, ends = ((0, 900), (760, 900), (0, 500))[i % 3]
        days = np.unique(rng.integers(begins, ends, (ends - begins) // 25))
        groups[f"{i:03d}"] = ("stays", "new", "gone")[i % 3]
        rows += [(f"{i:03d}", date(2022, 1, 10) + timedelta(int(d)), 1.0, "x") for d in days]
    membership = pd.Series(groups).where(lambda s: s != "stays", lambda s: s + (s.index.astype(int) % 2).astype(str))
    found = of(lines(rows), membership).table
    months = found[found["part"] == "month"]
    assert set(months["segment"]) == {"stays0", "stays1"}
    assert months["share"].between(0.05, 0.12).all()
    assert months["sure"].sum() <= 1
