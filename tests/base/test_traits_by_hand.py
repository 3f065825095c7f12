"""Every built-in trait equals plain pandas: on real data, on made-up tables, on what breaks averages."""

from datetime import date, timedelta
from decimal import Decimal

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crmlab.base.history import history
from crmlab.base.orders import orders
from crmlab.base.traits import REGISTRY, traits
from crmlab.contract import Refused
from tests.base.traits_by_hand import by_hand

AS_OF = date(2024, 6, 30)
PERSONAL = {"age", "tenure_acquired_days"}
"""From single cells of customers: worked by hand in test_traits.py."""


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Every trait of pandas is there and equal, missing where it is missing."""
    found = found.set_index("customer_id")
    assert found.index.tolist() == expected.index.tolist()
    for name in expected:
        assert name in found, name
        if name in ("channel", "top_category"):
            pd.testing.assert_series_equal(found[name].astype(object), expected[name].astype(object), check_index=False)
        else:
            ours, theirs = found[name].to_numpy(float), expected[name].to_numpy(float)
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=2e-9, err_msg=name)


def cut(tables, day):
    """Tables up to `day`, kept in the engine, and as frames."""
    at, kept = {"contacts": "sent_at"}, {}
    for name, table in tables.items():
        rows = table if name == "customers" else table.filter(table[at.get(name, "date")] <= day)
        kept[name] = table.get_backend().create_table(f"{name}_{day:%Y%m%d}", rows, temp=True)
    return kept, {name: plain(table) for name, table in kept.items()}


def plain(table: ibis.Table) -> pd.DataFrame:
    kinds = table.schema().items()
    doubles = {c: table[c].cast("float64") for c, kind in kinds if kind.is_decimal()}
    frame = table.mutate(**doubles).to_pandas()
    return frame.astype({c: "datetime64[s]" for c, kind in kinds if kind.is_date()})


@pytest.mark.parametrize(
    ("source", "day"), [("online_retail", date(2011, 9, 30)), ("complete_journey", date(2017, 4, 7))]
)
def test_real_data_give_what_pandas_gives(real, source, day):
    tables, _ = real(source)
    kept, frames = cut(tables, day)
    same(traits(kept, as_of=day).table, by_hand(frames, day))
    with pytest.raises(Refused, match="would see the future"):
        traits(tables, as_of=day)


def test_the_models_numbers_are_exactly_those_of_history(real):
    tables, made = real("online_retail")
    day = date(2011, 12, 9)
    found = traits(tables, as_of=day, orders=made).table.set_index("customer_id")
    expected = history(made, as_of=day).set_index("customer_id")
    names = ["x", "t_x", "T", "z_bar"]
    pd.testing.assert_frame_equal(found.loc[expected.index, names], expected[names], check_exact=True)


DAYS = st.integers(0, 420).map(lambda n: AS_OF - timedelta(n))
WHO = st.sampled_from(["a", "b", "c", "é", "Z"])
CENTS = st.one_of(st.integers(-500, 5000), st.just(0), st.just(10**11)).map(lambda n: Decimal(n) / 100)
COINS = st.integers(0, 300).map(lambda n: Decimal(n) / 100)
NAME = st.one_of(st.none(), st.sampled_from(["tea", "cake", "web"]))
COLUMNS = {
    "transactions": {
        "customer_id": WHO,
        "date": DAYS,
        "amount": CENTS,
        "order_id": st.one_of(st.none(), st.sampled_from("12345")),
        "category": NAME,
        "channel": NAME,
        "coupon_discount": COINS,
    },
    "contacts": {
        "customer_id": WHO,
        "campaign_id": st.sampled_from("kl"),
        "arm": st.sampled_from(["mailed", "control"]),
        "sent_at": DAYS,
        "direction": st.sampled_from([None, "inbound", "outbound"]),
    },
    "outcomes": {"customer_id": WHO, "campaign_id": st.sampled_from("kl"), "date": DAYS, "response": st.integers(0, 1)},
    "survey": {"customer_id": WHO, "date": DAYS, "item": st.sampled_from(["q1", "q2"]), "score": COINS},
    "texts": {"customer_id": WHO, "date": DAYS, "text": st.just("private")},
}
KINDS = {"date": pa.date32(), "sent_at": pa.date32(), "response": pa.int64()}
KINDS |= dict.fromkeys(["amount", "coupon_discount", "score"], pa.decimal128(18, 4))
EVERYTHING = {
    n: st.lists(st.fixed_dictionaries(c), min_size=n == "transactions", max_size=25) for n, c in COLUMNS.items()
}


@settings(
    max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
)
@given(rows=st.fixed_dictionaries(EVERYTHING))
def test_made_up_tables_give_what_pandas_gives(rows):
    tables = {n: ibis.memtable(_arrow(n, rows[n])) for n in COLUMNS}
    frames = {n: plain(t) for n, t in tables.items()}
    found = traits(tables, as_of=AS_OF)
    expected = by_hand(frames, AS_OF)
    same(found.table, expected)
    assert set(REGISTRY) - PERSONAL <= set(expected), "a built-in trait is missing here"


def _arrow(name: str, rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, pa.schema([(c, KINDS.get(c, pa.string())) for c in COLUMNS[name]]))


def lots(seed: int, n: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in rng.integers(0, 300, n)],
            "date": pd.Timestamp(AS_OF) - pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
            "amount": rng.integers(-200, 9000, n) / 100,
            "order_id": [f"o{i}" for i in rng.integers(0, 900, n)],
            "category": rng.choice(["tea", "cake", "wine"], n),
            "channel": rng.choice(["web", "shop"], n),
        }
    )


def engine(frame: pd.DataFrame, threads: int = 2) -> ibis.Table:
    con = ibis.duckdb.connect(threads=threads)
    raw = ibis.memtable(frame)
    typed = raw.mutate(date=raw.date.cast("date"), amount=raw.amount.cast("decimal(18, 4)"))
    return con.create_table("t", typed, temp=True)


def test_neither_threads_nor_the_order_of_rows_change_a_bit():
    frame = lots(1)
    one = traits({"transactions": engine(frame, 1)}, as_of=AS_OF).table
    other = traits({"transactions": engine(frame.sample(frac=1, random_state=2), 2)}, as_of=AS_OF).table
    pd.testing.assert_frame_equal(one, other, check_exact=True)


TRAPS = {
    "identical": lambda f: f.assign(date=f["date"].iloc[0], amount=5.0, category="tea", order_id="o1"),
    "whale": lambda f: f.assign(amount=np.where(f.index == 0, 1e9, f["amount"])),
    "ten": lambda f: f.assign(customer_id=[f"c{i % 10}" for i in range(len(f))]),
    "one": lambda f: f.assign(customer_id="c1"),
    "missing": lambda f: f.assign(
        category=f["category"].where(f.index % 10 == 0), channel=f["channel"].where(f.index < 0)
    ),
    "nobody": lambda f: f.head(0),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_give_finite_traits_of_the_same_columns(trap):
    usual = traits({"transactions": engine(lots(3))}, as_of=AS_OF).table
    frame = TRAPS[trap](lots(3))
    found = traits({"transactions": engine(frame)}, as_of=AS_OF)
    assert found.table.columns.tolist() == usual.columns.tolist()
    assert len(found.table) == frame["customer_id"].nunique()
    assert not np.isinf(found.table.select_dtypes("number").to_numpy(float)).any()
    assert found.table["category_entropy"].dropna().between(0, 1).all()
    assert found._repr_html_()
    if len(frame):
        same(found.table, by_hand({"transactions": frame}, AS_OF))


def test_orders_at_hand_and_orders_made_give_the_same():
    lines = engine(lots(5))
    made = traits({"transactions": lines}, as_of=AS_OF).table
    pd.testing.assert_frame_equal(made, traits({"transactions": lines}, as_of=AS_OF, orders=orders(lines)).table)
