"""Responses: who did what within the window of a contact, against hand-worked cases."""

from datetime import date, timedelta
from decimal import Decimal

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from crmlab.base.responses import contacts, empty_responses, responses, traffic

MONEY = pa.decimal128(18, 4)


def tables(**rows: list[dict]) -> dict[str, ibis.Table]:
    """Ibis tables on one DuckDB connection from plain rows."""
    text, day = pa.string(), pa.date32()
    kinds = {
        "contacts": {"customer_id": text, "campaign_id": text, "arm": text, "sent_at": day, "direction": text},
        "outcomes": {"customer_id": text, "campaign_id": text, "date": day, "response": pa.int64()},
        "orders": {"customer_id": text, "order_id": text, "date": day, "amount": MONEY, "margin": MONEY},
    }
    base = duckdb.connect()
    for name, given_rows in rows.items():
        base.register(f"_{name}", pa.Table.from_pylist(given_rows, schema=pa.schema(list(kinds[name].items()))))
        base.execute(f"create table {name} as select * from _{name}")
    con = ibis.duckdb.from_connection(base)
    return {name: con.table(name) for name in rows}


def contact(customer: str, day: date, *, campaign: str = "c1", arm: str = "mailed", direction: str | None = None):
    return {"customer_id": customer, "campaign_id": campaign, "arm": arm, "sent_at": day, "direction": direction}


def order(customer: str, day: date, amount: str = "10.0000", margin: str = "4.0000"):
    return {
        "customer_id": customer,
        "order_id": f"{customer}{day}",
        "date": day,
        "amount": Decimal(amount),
        "margin": Decimal(margin),
    }


def outcome(customer: str, day: date, *, campaign: str = "c1", response: int = 1):
    return {"customer_id": customer, "campaign_id": campaign, "date": day, "response": response}


SENT = date(2017, 5, 8)
LAST = SENT + timedelta(days=27)
NOBODY = [order("nobody", date(2000, 1, 1))]


def read(t: dict[str, ibis.Table], **more) -> pd.DataFrame:
    orders = t.pop("orders")
    return responses(t, orders, **({"window_days": 28, "through": LAST} | more))


def test_the_window_includes_the_day_of_contact_and_the_last_day_and_nothing_around_them():
    days = {"a": SENT, "b": LAST, "c": SENT - timedelta(days=1), "d": LAST + timedelta(days=1)}
    t = tables(
        contacts=[contact(c, SENT) for c in days],
        outcomes=[outcome(c, d) for c, d in days.items()],
        orders=[order(c, d) for c, d in days.items()],
    )
    frame = read(t).set_index("customer_id")
    assert frame.response.to_dict() == {"a": 1, "b": 1, "c": 0, "d": 0}
    assert frame.orders.to_dict() == {"a": 1, "b": 1, "c": 0, "d": 0}
    assert frame.spend.to_dict() == {"a": 10.0, "b": 10.0, "c": 0.0, "d": 0.0}
    assert frame.margin.to_dict() == {"a": 4.0, "b": 4.0, "c": 0.0, "d": 0.0}


def test_a_window_not_yet_closed_is_absent_never_zero():
    t = tables(contacts=[contact("a", SENT), contact("b", SENT + timedelta(days=1))], outcomes=[], orders=NOBODY)
    assert read(dict(t)).customer_id.tolist() == ["a"]
    assert read(dict(t), through=LAST + timedelta(days=1)).customer_id.tolist() == ["a", "b"]
    assert read(dict(t), through=LAST - timedelta(days=1)).empty


def test_several_orders_add_up_and_several_outcomes_count_once():
    t = tables(
        contacts=[contact("a", SENT), contact("b", SENT, arm="control")],
        outcomes=[
            outcome("a", SENT), outcome("a", LAST),
            outcome("b", SENT, response=0), outcome("b", SENT, campaign="x"),
        ],
        orders=[order("a", SENT, "0.1000"), order("a", LAST, "0.2000"), order("b", SENT, "-5.0000")],
    )  # fmt: skip
    frame = read(t).set_index("customer_id")
    assert frame.loc["a", ["response", "spend", "orders"]].tolist() == [1, 0.3, 2], (
        "0.1 + 0.2 is exactly 0.3 in DECIMAL"
    )
    assert frame.loc["b", ["response", "spend", "orders", "arm"]].tolist() == [0, -5.0, 1, "control"]


def test_a_customer_listed_twice_counts_once_from_the_first_contact():
    t = tables(
        contacts=[contact("a", SENT + timedelta(days=3), arm="control"), contact("a", SENT), contact("a", SENT)],
        outcomes=[outcome("a", SENT)],
        orders=NOBODY,
    )
    frame = read(t)
    assert frame[["customer_id", "arm", "response"]].values.tolist() == [["a", "mailed", 1]]
    assert frame.sent_at.dt.date.tolist() == [SENT]


def test_inbound_contacts_are_not_ours():
    t = tables(contacts=[contact("a", SENT, direction="inbound"), contact("b", SENT)], outcomes=[], orders=NOBODY)
    assert read(t).customer_id.tolist() == ["b"]


def test_named_campaigns_alone_are_read_sorted_by_campaign_and_customer():
    rows = [contact(c, SENT, campaign=k) for c in ("b", "a", "10", "9") for k in ("c2", "c1", "c3")]
    t = tables(contacts=rows, outcomes=[], orders=NOBODY)
    frame = read(dict(t), campaigns=["c3", "c1"])
    assert frame.campaign_id.tolist() == ["c1"] * 4 + ["c3"] * 4
    assert frame.customer_id.tolist() == ["10", "9", "a", "b"] * 2
    assert len(read(dict(t))) == 12
    assert read(dict(t), campaigns=[]).empty
    assert read(dict(t), campaigns=["unheard of"]).empty


def test_without_outcomes_an_order_in_the_window_is_the_response():
    t = tables(contacts=[contact("a", SENT), contact("b", SENT)], orders=[order("a", LAST)])
    assert read(t).response.tolist() == [1, 0]


@pytest.mark.parametrize("with_contacts", [True, False])
def test_nothing_in_gives_an_empty_frame_of_the_same_shape(with_contacts):
    t = tables(contacts=[], outcomes=[], orders=NOBODY)
    if not with_contacts:
        del t["contacts"]
    frame = read(t)
    pd.testing.assert_frame_equal(frame, empty_responses(margin=True))
    full = read(tables(contacts=[contact("a", SENT)], outcomes=[], orders=NOBODY))
    assert full.dtypes.to_dict() == frame.dtypes.to_dict()


def test_spend_of_orders_without_a_margin_is_read_without_one():
    t = tables(contacts=[contact("a", SENT)], outcomes=[], orders=[order("a", SENT)])
    frame = responses(t, t["orders"].drop("margin"), window_days=28, through=LAST)
    assert "margin" not in frame
    assert frame.spend.tolist() == [10.0]


@settings(max_examples=15, deadline=None)
@given(
    sent=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["c1", "c2"]), st.integers(0, 9)), max_size=6),
    bought=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.integers(1, 9999)), max_size=12),
    window=st.integers(1, 9),
)
def test_equals_a_plain_loop_over_customers(sent, bought, window):
    day = lambda n: SENT + timedelta(days=n)  # noqa: E731
    t = tables(
        contacts=[contact(c, day(n), campaign=k) for c, k, n in sent],
        outcomes=[outcome(c, day(n), campaign="c1") for c, n, _ in bought],
        orders=[order(c, day(n), str(Decimal(m) / 100)) for c, n, m in bought],
    )
    through = day(12)
    got = read(t, window_days=window, through=through)
    first: dict[tuple[str, str], int] = {}
    for c, k, n in sent:
        first[k, c] = min(n, first.get((k, c), 99))
    expected = []
    for (k, c), n in sorted(first.items()):
        if n + window - 1 <= 12:
            inside = [m for who, d, m in bought if who == c and n <= d <= n + window - 1]
            expected.append([c, k, int(bool(inside) and k == "c1"), round(sum(inside) / 100, 2), len(inside)])
    assert got[["customer_id", "campaign_id", "response", "spend", "orders"]].values.tolist() == expected


def test_traffic_counts_what_could_spoil_a_campaign():
    t = tables(
        contacts=[
            contact("a", SENT), contact("a", SENT),
            contact("b", SENT), contact("b", SENT, arm="control"),
            contact("c", SENT), contact("c", LAST, campaign="c2"),
            contact("d", SENT), contact("d", LAST + timedelta(days=1), campaign="c3"),
            contact("e", SENT), contact("e", SENT, campaign="c2", arm="control"),
        ],
        outcomes=[
            outcome("a", SENT), outcome("c", SENT - timedelta(days=1)),
            outcome("stranger", SENT), outcome("a", LAST, campaign="c2"),
        ],
    )  # fmt: skip
    row = traffic(t, window_days=28, through=LAST).set_index("campaign_id")
    assert row.index.tolist() == ["c1", "c2"], "c2's contact of e is closed, that of c and campaign c3 are not"
    assert row.loc["c1"].to_dict() == {
        "customers": 5, "repeated": 2, "two_arms": 1, "overlapping": 1, "outcomes": 3, "outside": 1, "strangers": 1,
    }  # fmt: skip
    assert row.loc["c2", ["customers", "overlapping", "outcomes", "strangers"]].tolist() == [1, 1, 1, 1]
    assert traffic({}, window_days=28, through=LAST).empty


def test_contacts_says_how_many_were_withheld_or_that_nobody_was():
    rows = [contact(f"a{i}", SENT, arm="control" if i < 20 else "mailed") for i in range(100)]
    t = tables(contacts=rows, outcomes=[outcome("a50", SENT)], orders=NOBODY)
    frame = read(t)
    result = contacts(frame, window_days=28)
    assert result.table[["arm", "customers", "responders"]].values.tolist() == [["control", 20, 0], ["mailed", 80, 1]]
    expected = [proportion_confint(x, n, alpha=0.10, method="wilson") for x, n in [(0, 20), (1, 80)]]
    np.testing.assert_allclose(result.table[["low", "high"]], expected, atol=1e-12)
    assert result.table.last_day.dt.date.tolist() == [LAST, LAST]
    assert "80 contacts were made and 20 withheld" in str(result.sentences()[0])
    assert "nobody was withheld" in str(contacts(frame[frame.arm == "mailed"], window_days=28).sentences()[0])
    assert "nothing to read" in str(contacts(empty_responses(), window_days=28).sentences()[0])
    html = result._repr_html_()
    assert "2017-05-08" in html
    assert "&lt; 5" in html, "a count of one responder is hidden"
