"""History: x, t_x, T, z_bar and litt against hand-worked cases and the published summary of CDNOW."""

import math
from datetime import date, timedelta
from importlib.metadata import files
from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmlab.base.history import history
from crmlab.base.orders import orders


def test_hand_worked_case(bought):
    table = bought(b=[1], a=[(1, 100), (8, 10), (8, 20), (15, 60)])
    found = history(table, as_of=date(2024, 1, 29)).set_index("customer_id")
    assert list(found.index) == ["a", "b"]
    assert found.loc["a"].tolist() == [2, 2, 4, 45, 0]  # days 8 and 15; (30 + 60) / 2; log 1 + log 1
    assert found.loc["b", ["x", "t_x", "T", "litt"]].tolist() == [0, 0, 4, 0]
    assert np.isnan(found.loc["b", "z_bar"])


def test_the_unit_scales_time_and_nothing_else(bought):
    table = bought(a=[1, 8, 22])
    weeks, days = (history(table, as_of=date(2024, 1, 31), unit_days=u) for u in (7, 1))
    litt = weeks["litt"] + weeks["x"] * math.log(7)
    pd.testing.assert_frame_equal(weeks.assign(t_x=weeks.t_x * 7, T=weeks["T"] * 7, litt=litt), days)


def test_intervals_count_by_their_logarithm(bought):
    found = history(bought(a=[2, 3, 10, 10, 31]), as_of=date(2024, 1, 31), unit_days=1)  # 1, 7 and 21 days apart
    assert math.isclose(found.loc[0, "litt"], math.log(7) + math.log(21), abs_tol=1e-11)


def test_orders_after_as_of_change_nothing(bought):
    seen, more = bought(a=[1, 3]), bought(a=[1, 3, 20], b=[25])
    pd.testing.assert_frame_equal(*(history(t, as_of=date(2024, 1, 10)) for t in (seen, more)))


def test_no_orders_give_an_empty_table_of_the_same_types(bought):
    found = history(bought(a=[5]), as_of=date(2023, 1, 1))
    assert found.empty
    assert [str(t) for t in found.dtypes] == ["str"] + ["float64"] * 5


def test_cdnow_sample_equals_the_summary_published_with_it(real):
    """The independent summary of the 2,357 customers that ships with the sample, to 1997-09-30, in weeks."""
    _, made = real("cdnow", sample=True)
    found = history(made, as_of=date(1997, 9, 30))
    path = next(f for f in files("lifetimes") if f.name == "cdnow_customers_summary_with_transactions.csv").locate()
    published = pd.read_csv(path, dtype={"ID": str})
    assert len(found) == len(published) == 2357
    published = published.rename(columns={"zbar": "z_bar"})

    def in_days(frame):  # the two number customers differently: both are put in the order of their histories
        days = {c: (frame[c].astype(float) * 7).round() for c in ("t_x", "T")}
        plain = pd.DataFrame({"x": frame["x"].astype(float), **days, "z_bar": frame["z_bar"].fillna(0)})
        return plain.sort_values(["x", "t_x", "T", "z_bar"], ignore_index=True)

    pd.testing.assert_frame_equal(in_days(found), in_days(published), rtol=0, atol=0.0101)
    assert (found["x"] > 0).sum() == found["z_bar"].notna().sum() == 946


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), min_size=1), min_size=1
    )
)
def test_equals_a_plain_computation_on_any_history(make, histories):
    start = date(2024, 1, 1)
    lines = [(w, f"{w}{n}", start + timedelta(d), a) for w, h in histories.items() for n, (d, a) in enumerate(h)]
    table = orders(make("customer_id order_id date amount", lines))
    found = history(table, as_of=start + timedelta(40), unit_days=1).set_index("customer_id")
    for who, entries in histories.items():
        days = sorted({d for d, _ in entries})
        repeats = [a for d, a in entries if d > days[0]]
        row = found.loc[who]
        assert row[["x", "t_x", "T"]].tolist() == [len(days) - 1, days[-1] - days[0], 40 - days[0]]
        assert math.isclose(row["litt"], sum(math.log(n - d) for d, n in pairwise(days)), abs_tol=1e-10)
        assert np.isnan(row["z_bar"]) if len(days) == 1 else np.isclose(row["z_bar"], sum(repeats) / (len(days) - 1))
