"""What a segmentation explains of later behaviour: by hand, against statsmodels, against simulated truth."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.anova import anova_lm

from crmlab.base.orders import orders as orders_of
from crmlab.contract import Basis, generator
from crmlab.segments.explained import DRAWS, Explained, explained, omega_squared
from crmlab.segments.future import MONEY_SPENT, ORDERS, RESPONSE, SPEND, first_day, future, weeks_ahead

BASIS = Basis(0, "customers")


def ids(n: int) -> pd.Index:
    return pd.Index([f"{i:06d}" for i in range(n)], dtype="str", name="customer_id")


def series(segments) -> pd.Series:
    return pd.Series([f"s{s + 1}" for s in segments], index=ids(len(segments)), dtype="str")


def judged(outcomes: dict, **segmentations) -> Explained:
    n = len(next(iter(outcomes.values())))
    frame = pd.DataFrame({k: np.asarray(v, dtype=float) for k, v in outcomes.items()}, index=ids(n))
    members = {name: series(segments) for name, segments in segmentations.items()}
    return explained(members, frame, labels={name: name for name in members}, seed=3, basis=BASIS)


def share(found: Explained, candidate: str, outcome: str = SPEND) -> pd.Series:
    return found.table.set_index(["candidate", "outcome"]).loc[(candidate, outcome)]


def test_omega_squared_of_a_table_worked_by_hand():
    # segments (1 2 3) and (4 5 6): SST 17.5, SSB 13.5, MSW 4 / 4; ω² = (13.5 − 1) / (17.5 + 1), η² = 13.5 / 17.5
    omega, eta = omega_squared(np.array([[3.0], [3]]), np.array([[6.0], [15]]), np.array([[14.0], [77]]))
    assert omega[0] == pytest.approx(12.5 / 18.5)
    assert eta[0] == pytest.approx(13.5 / 17.5)
    one, _ = omega_squared(np.array([[6.0]]), np.array([[21.0]]), np.array([[91.0]]))
    assert one[0] == 0, "one segment explains nothing"
    same, _ = omega_squared(np.array([[3.0], [3]]), np.array([[6.0], [6]]), np.array([[12.0], [12]]))
    assert np.isnan(same[0]), "where nothing varies there is nothing to explain"


def test_omega_squared_is_that_of_an_analysis_of_variance():
    rng = generator(1, "anova")
    segment = rng.integers(0, 5, 300)
    y = rng.gamma(2.0, 1.0, 300) + 0.4 * segment
    table = anova_lm(smf.ols("y ~ C(segment)", pd.DataFrame({"y": y, "segment": segment})).fit())
    between, within = table["sum_sq"]
    mean_square, df = table["mean_sq"].iloc[1], table["df"].iloc[0]
    expected = (between - df * mean_square) / (between + within + mean_square)
    assert share(judged({SPEND: y}, a=segment), "a")["share"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("truth", [0.0, 0.1, 0.4])
def test_intervals_hold_the_true_share(truth):
    rng, held, above = generator(5, "coverage", str(truth)), 0, 0
    effect = np.linspace(-1, 1, 6) / np.linspace(-1, 1, 6).std()
    for _ in range(60):
        segment = rng.integers(0, 6, 400)
        y = np.sqrt(truth) * effect[segment] + np.sqrt(1 - truth) * rng.standard_normal(400)
        row = share(judged({SPEND: y}, a=segment), "a")
        held += max(row["low"], 0.0) <= truth <= row["high"]
        above += row["low"] > truth
    assert held / 60 >= 0.8
    assert above / 60 <= 0.1


def test_segments_drawn_at_random_explain_nothing_however_many_they_are():
    rng = generator(2, "random")
    y = rng.lognormal(0, 1, 3_000)
    found = judged({SPEND: y}, few=rng.integers(0, 3, 3_000), many=rng.integers(0, 60, 3_000))
    assert found.table["share"].abs().max() < 0.01
    (told,) = map(str, found.sentences())
    assert "no segmentation explains anything worth having" in told


def test_a_better_one_is_called_better_only_where_the_difference_is_sure():
    rng = generator(4, "better")
    group = rng.integers(0, 4, 2_000)
    y = group + rng.standard_normal(2_000)
    blurred = np.where(rng.random(2_000) < 0.6, rng.integers(0, 4, 2_000), group)
    nearly = np.where(rng.random(2_000) < 0.005, rng.integers(0, 4, 2_000), group)
    clear = judged({SPEND: y}, true=group, blurred=blurred)
    assert "“true” explains most" in str(clear.sentences()[0])
    assert "and more than every other" in str(clear.sentences()[0])
    less, low, high = clear.less(SPEND, "blurred", "true")
    assert 0 < low < less < high
    assert clear.less(SPEND, "true", "blurred") == pytest.approx((-less, -high, -low))
    level = judged({SPEND: y}, true=group, nearly=nearly, blurred=blurred)
    assert "but not clearly more than “nearly”." in str(level.sentences()[0])


def test_one_whale_changes_what_is_explained_in_money_and_nothing_in_ranks():
    rng, start = generator(6, "whale"), date(2024, 1, 1)
    n = 400
    group = rng.integers(0, 2, n)
    spend = np.round(rng.lognormal(3 + group, 0.5), 2)

    def world(spend):
        lines = [(f"{i:06d}", start, 1.0) for i in range(n)]
        lines += [(f"{i:06d}", start + timedelta(days=100), float(spend[i])) for i in range(n)]
        tables = {"transactions": transactions(lines)}
        orders = orders_of(tables["transactions"])
        after = future(tables, orders, since=date(2024, 2, 1), through=date(2024, 6, 1), window_days=28)
        return explained({"a": series(group)}, after, labels={"a": "a"}, seed=3, basis=BASIS)

    calm, wild = world(spend), world(np.where(np.arange(n) == int(np.argmin(spend)), 1e9, spend))
    assert share(calm, "a")["share"] == pytest.approx(share(wild, "a")["share"], abs=0.02)
    assert share(calm, "a", MONEY_SPENT)["share"] > 0.3
    assert share(wild, "a", MONEY_SPENT)["share"] < 0.01
    assert calm.headline_outcome() == wild.headline_outcome() == SPEND


@pytest.mark.parametrize("n", [0, 1, 10, 300])
def test_of_nobody_of_ten_and_of_identical_customers_nothing_is_explained_and_it_is_said(n):
    found = judged({SPEND: np.ones(n)}, a=np.arange(n) % 2)
    assert found.headline_outcome() is None
    assert found.table["share"].isna().all()
    (told,) = found.sentences()
    assert "nothing can be explained" in str(told)
    assert "<table>" in found._repr_html_()


def test_neither_the_order_of_rows_nor_the_names_of_segments_matter():
    rng = generator(8, "order")
    y, group = rng.standard_normal(500), rng.integers(0, 4, 500)
    frame, members = pd.DataFrame({SPEND: y + group}, index=ids(500)), series(group)
    how = {"labels": {"a": "a"}, "seed": 3, "basis": BASIS}
    one = explained({"a": members}, frame, **how)
    mixed = rng.permutation(500)
    other = explained({"a": members.iloc[mixed].map(lambda s: f"x{s}")}, frame.iloc[mixed[::-1]], **how)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_more_customers_than_groups_are_drawn_in_groups_with_intervals_of_the_same_width():
    rng = generator(9, "groups")
    group = rng.integers(0, 4, 15_000)
    y = 0.3 * group + rng.standard_normal(15_000)
    row = share(judged({SPEND: y}, a=group), "a")
    resampled = []
    for _ in range(DRAWS // 2):
        at = rng.integers(0, 15_000, 15_000)
        counts = [np.bincount(group[at], w, 4)[:, None] for w in (np.ones(15_000), y[at], y[at] ** 2)]
        resampled.append(omega_squared(*counts)[0][0])
    low, high = np.quantile(resampled, [0.05, 0.95])
    assert row["high"] - row["low"] == pytest.approx(high - low, rel=0.15)
    assert row["low"] == pytest.approx(low, abs=0.003)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), min_size=20, max_size=60), st.integers(1, 10_000))
def test_shares_lie_below_one_and_the_unit_does_not_matter(rows, unit):
    segment, y = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    one, other = (judged({SPEND: values}, a=segment.astype(int)).table.iloc[0] for values in (y, y * unit + 7))
    if np.isnan(one["share"]):
        assert np.isnan(other["share"])
        return
    assert one["share"] <= 1
    assert one["share"] == pytest.approx(other["share"], abs=1e-9)


# What happened after a day


def transactions(lines: list[tuple[str, date, float]]) -> ibis.Table:
    frame = pd.DataFrame(lines, columns=["customer_id", "date", "amount"])
    frame["date"] = pd.to_datetime(frame["date"])
    table = ibis.memtable(frame)
    return table.mutate(date=table.date.cast("date"))


def test_the_future_is_what_those_known_on_the_day_did_after_it_worked_by_hand():
    day = date(2024, 3, 31)
    lines = [
        ("a", day, 5.0), ("a", day + timedelta(days=1), 10.0), ("a", day + timedelta(days=2), 20.0),
        ("b", day, 5.0), ("b", day + timedelta(days=30), 7.0), ("b", day + timedelta(days=31), 99.0),
        ("c", day, 5.0), ("late", day + timedelta(days=1), 50.0),
    ]  # fmt: skip
    contacts = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "b", "a"],
            "campaign_id": ["one", "one", "one", "two", "early"],
            "arm": ["mail", "mail", "control", "mail", "mail"],
            "sent_at": pd.to_datetime(["2024-04-01"] * 4 + ["2024-03-31"]),
        }
    )
    outcomes = pd.DataFrame(
        {"customer_id": ["a"], "campaign_id": ["one"], "date": pd.to_datetime(["2024-04-03"]), "response": [1]}
    )
    tables = {"transactions": transactions(lines)}
    tables |= {"contacts": ibis.memtable(contacts), "outcomes": ibis.memtable(outcomes)}
    orders = orders_of(tables["transactions"])
    found = future(tables, orders, since=day, through=day + timedelta(days=30), window_days=7)
    assert list(found.index) == ["a", "b", "c"], "who came later was nobody yet"
    assert found[MONEY_SPENT].tolist() == [30.0, 7.0, 0.0]
    assert found[ORDERS].tolist() == pytest.approx([5 / 6, 3 / 6, 1 / 6])
    assert found[SPEND].tolist() == pytest.approx([5 / 6, 3 / 6, 1 / 6])
    # campaign one: a answered, b did not (mean .5); two: b alone (mean 0); c was withheld; early was sent before
    assert found[RESPONSE].iloc[:2].tolist() == pytest.approx([0.5, -0.25])
    assert np.isnan(found[RESPONSE].iloc[2])


def test_a_list_without_transactions_has_responses_alone():
    rng = generator(1, "list")
    people = [f"{i:04d}" for i in range(200)]
    sent = pd.to_datetime(date(2024, 1, 1)) + pd.to_timedelta(rng.integers(0, 300, 200), unit="D")
    contacts = pd.DataFrame({"customer_id": people, "campaign_id": "calls", "arm": "phone", "sent_at": sent})
    replied = rng.random(200) < 0.3
    outcomes = pd.DataFrame({"customer_id": people, "campaign_id": "calls", "date": sent, "response": 1})[replied]
    tables = {
        "transactions": transactions([]).filter(ibis.literal(False)),
        "customers": ibis.memtable(pd.DataFrame({"customer_id": people})),
        "contacts": ibis.memtable(contacts),
        "outcomes": ibis.memtable(outcomes),
    }
    orders = orders_of(tables["transactions"])
    found = future(tables, orders, since=date(2024, 5, 1), through=date(2024, 12, 31), window_days=7)
    assert list(found.columns) == [RESPONSE]
    assert len(found) == 200
    assert found[RESPONSE].notna().sum() == (sent > "2024-05-01").sum()
    assert first_day(tables) == sent.min().date()


@pytest.mark.parametrize(
    ("weeks", "wanted", "withheld"),
    [(52, 26, 26), (43, 26, 26), (31, 26, 18), (18, 26, 9), (2, 26, 1), (1, 26, 0), (60, 8, 8)],
)
def test_as_many_weeks_are_withheld_as_leave_thirteen_or_half_before(weeks, wanted, withheld):
    first = date(2024, 1, 1)
    assert weeks_ahead(first, first + timedelta(weeks=weeks), wanted) == withheld
    assert weeks_ahead(None, first, wanted) == 0
