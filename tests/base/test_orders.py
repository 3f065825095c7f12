"""Orders: lines into orders, and what is no order."""

from datetime import date
from decimal import Decimal

import pytest

from crmlab.base.orders import orders, returns

DAY = date(2024, 1, 1)
NEXT = date(2024, 1, 2)


def rows(table):
    return table.order_by(["customer_id", "order_id"]).to_pandas().to_dict("records")


def test_lines_of_an_order_are_summed_exactly(make):
    lines = make("customer_id order_id date amount", [("a", "1", DAY, Decimal("0.1"))] * 10)
    (order,) = rows(orders(lines))
    assert order["amount"] == Decimal("1.0000")
    assert order["lines"] == 10


def test_without_order_id_a_customers_day_is_one_order(make):
    lines = make("customer_id date amount", [("a", DAY, 1), ("a", DAY, 2), ("a", NEXT, 4), ("b", DAY, 8)])
    assert [(o["customer_id"], float(o["amount"])) for o in rows(orders(lines))] == [("a", 3), ("a", 4), ("b", 8)]


def test_missing_order_ids_fall_back_to_the_day_and_do_not_merge_customers(make):
    lines = make(
        "customer_id order_id date amount",
        [("a", None, DAY, 1), ("a", None, NEXT, 1), ("b", None, DAY, 1), ("a", "7", DAY, 1), ("b", "7", DAY, 1)],
    )
    assert orders(lines).count().to_pandas() == 5


def test_an_order_over_two_days_is_dated_by_its_first_line(make):
    lines = make("customer_id order_id date amount", [("a", "1", NEXT, 1), ("a", "1", DAY, 1)])
    (order,) = rows(orders(lines))
    assert order["date"] == DAY or order["date"].date() == DAY


def test_free_orders_count_and_returns_on_their_own_do_not(make):
    lines = make(
        "customer_id order_id date amount",
        [("a", "free", DAY, 0), ("a", "net", DAY, 5), ("a", "net", DAY, -2), ("a", "return", DAY, -3)],
    )
    assert [o["order_id"] for o in rows(orders(lines))] == ["free", "net"]
    assert [o["order_id"] for o in rows(returns(lines))] == ["return"]


def test_the_channel_is_that_of_most_lines_then_by_name(make):
    lines = make(
        "customer_id order_id date amount channel",
        [
            *[("a", "1", DAY, 1, c) for c in ("web", "web", "app")],
            *[("a", "2", DAY, 1, c) for c in ("web", "app")],
            ("a", "3", DAY, 1, None),
            *[("a", "4", DAY, 1, c) for c in (None, None, "web")],
        ],
    )
    found = {o["order_id"]: o["channel"] for o in rows(orders(lines))}
    assert (found["1"], found["2"], found["4"]) == ("web", "app", "web")
    assert found["3"] != found["3"] or found["3"] is None


def test_money_stays_decimal_and_optional_columns_are_carried_only_when_there(make):
    plain = orders(make("customer_id date amount", [("a", DAY, 1)]))
    assert plain.columns == ("customer_id", "order_id", "date", "amount", "lines")
    rich = orders(make("customer_id date amount margin coupon_discount", [("a", DAY, 1, 1, 0), ("a", DAY, 1, 1, 2)]))
    for column in ("amount", "margin", "coupon_discount"):
        assert str(rich[column].type()) == "decimal(18, 4)"
        assert float(rich[column].sum().to_pandas()) == 2


def test_orders_are_lazy(make):
    lines = make("customer_id date amount", [("a", DAY, 1)])
    found = orders(lines)
    lines.get_backend().raw_sql(f"insert into {lines.get_name()} values ('b', '2024-01-02', 3)")
    assert found.count().to_pandas() == 2


@pytest.mark.parametrize(
    ("name", "counted", "customers"),
    [("complete_journey", 155_848, 2_469), ("online_retail", 18_532, 4_338), ("cdnow", None, 23_570)],
)
def test_real_data_hold_the_orders_and_customers_they_are_known_for(real, name, counted, customers):
    tables, found = real(name)
    assert found.customer_id.nunique().to_pandas() == customers
    assert counted is None or found.count().to_pandas() == counted
    assert returns(tables["transactions"]).count().to_pandas() == 0
