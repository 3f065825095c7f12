"""Traits: computed strictly from the past, declared, complete, and one function to add."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from crmlab.base.traits import REGISTRY, Data, TraitsParams, trait, traits
from crmlab.contract import Refused, mark
from crmlab.data.schema import nothing

AS_OF = date(2024, 6, 30)


def ago(days):
    return AS_OF - timedelta(days)


@pytest.fixture
def tables(make):
    lines = "customer_id order_id date amount category channel coupon_discount"
    return {
        "transactions": make(
            lines,
            [
                ("a", "1", ago(200), 10, "tea", "web", 0),
                ("a", "2", ago(100), 20, "tea", "shop", 1),
                ("a", "3", ago(90), 30, "cake", "shop", 2),
                ("a", "3", ago(90), 5, None, "shop", 0),
                ("a", "4", ago(0), 40, "tea", "web", 0),
                ("b", "5", ago(91), 8, "tea", None, 0),
            ],
        ),
        "customers": make(
            "customer_id email region club birth_year acquired_on vip income parent_id",
            [
                ("a", "a@x.org", "North", 1, 1984, ago(300), True, 1.5, "g1"),
                ("c", "c@x.org", None, 0, 1850, AS_OF + timedelta(1), None, None, "g1"),
            ],
        ),
        "contacts": make(
            "customer_id campaign_id arm sent_at direction",
            [
                ("a", "k1", "mailed", ago(0), None),
                ("a", "k2", "mailed", ago(181), "outbound"),
                ("a", "k0", "mailed", ago(182), "outbound"),
                ("a", "k3", "mailed", ago(5), "inbound"),
                ("b", "k1", "control", ago(0), None),
                ("b", "k4", "mailed", ago(300), None),
            ],
        ),
        "survey": make(
            "customer_id date item score",
            [("a", ago(9), "Q1: staff?", 4), ("a", ago(9), "Q1: staff?", 5), ("a", ago(40), "Q1: staff?", 1)],
        ),
        "texts": make("customer_id date text", [("a", ago(364), "-"), ("a", ago(363), "-"), ("b", ago(400), "-")]),
        "outcomes": make(
            "customer_id campaign_id date response",
            [("a", "k2", ago(170), 1), ("a", "k2", ago(169), 1), ("b", "k1", ago(0), 0)],
        ),
    }


def test_hand_worked_values(tables):
    found = traits(tables, as_of=AS_OF).table.set_index("customer_id")
    assert found.index.tolist() == ["a", "b", "c"]
    expected = {
        "recency_days": [0, 91, np.nan],
        "frequency": [4, 1, 0],
        "monetary": [105, 8, 0],
        "orders_13w": [2, 0, 0],  # 91 days, as_of included: 90 days ago is the first, 91 ago no longer
        "spend_13w": [75, 0, 0],
        "mean_order_value": [26.25, 8, np.nan],
        "ipt_mean_days": [200 / 3, np.nan, np.nan],
        "tenure_days": [200, 91, np.nan],
        "categories": [2, 1, 0],
        "coupon_orders_17w": [2, 0, 0],
        "coupon_ever": [1, 0, 0],
        "contacts_26w": [2, 0, 0],
        "responses_26w": [1, 0, 0],
        "r_score": [3, 1, np.nan],
        "club": [1, np.nan, 0],
        "age": [40, np.nan, np.nan],  # born in 1850 is a slip of the pen
        "tenure_acquired_days": [300, np.nan, np.nan],  # acquired after the day is not known on it
        "days_since_contact": [0, 300, np.nan],
        "response_rate_52w": [1 / 3, 0, np.nan],  # of k0, k1 and k2; k3 came in, and control is no contact
        "last_response_days": [169, np.nan, np.nan],
        "survey_q1__staff": [4.5, np.nan, np.nan],
        "texts_52w": [1, 0, 0],
        "days_since_text": [363, 400, np.nan],
        "items_per_order": [5 / 4, 1, np.nan],
        "coupon_share": [2 / 4, 0, np.nan],
        "discount_share": [3 / 108, 0, np.nan],
        "category_entropy": [-(3 / 4 * np.log(3 / 4) + 1 / 4 * np.log(1 / 4)) / np.log(2), 0, np.nan],
        "channels_used": [2, 0, 0],
        "spend_trend": [np.log(75 / 20), np.nan, np.nan],
        "x": [3, 0, np.nan],
        "t_x": [200 / 7, 0, np.nan],
        "T": [200 / 7, 13, np.nan],
        "z_bar": [95 / 3, np.nan, np.nan],
        "returns_share": [np.nan] * 3,  # no returns in these data
        "vip": [1, np.nan, np.nan],
        "income": [1.5, np.nan, np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].astype(float), values, err_msg=name)
    assert found["channel"].iloc[0] == "shop"  # two orders each; the first by name
    assert found["channel"].isna().tolist() == [False, True, True]
    assert found["region"].isna().tolist() == [False, True, True]


def test_identity_is_never_a_trait(tables):
    found = traits(tables, as_of=AS_OF)
    assert not {"email", "name", "phone", "parent_id"} & set(found.table.columns)
    assert found.table.columns.tolist() == ["customer_id", *found.catalogue["name"]]


def test_kinds_follow_the_columns(tables):
    kinds = traits(tables, as_of=AS_OF).catalogue.set_index("name")["kind"]
    assert (kinds["club"], kinds["vip"], kinds["coupon_ever"]) == ("flag",) * 3
    assert (kinds["age"], kinds["income"], kinds["r_score"]) == ("number",) * 3
    assert (kinds["region"], kinds["channel"]) == ("category",) * 2


@pytest.mark.parametrize("name", ["transactions", "contacts", "outcomes"])
def test_a_row_from_the_future_in_any_table_refuses_the_whole(tables, make, name):
    rows = {
        "transactions": ("customer_id date amount", ("a", AS_OF + timedelta(1), 1)),
        "contacts": ("customer_id campaign_id arm sent_at", ("a", "k9", "mailed", AS_OF + timedelta(1))),
        "outcomes": ("customer_id campaign_id date response", ("a", "k9", AS_OF + timedelta(1), 1)),
    }
    columns, row = rows[name]
    with pytest.raises(Refused, match=f"{name}.*2024-07-01"):
        traits({**tables, name: make(columns, [row])}, as_of=AS_OF)


def test_adding_a_trait_is_one_function(tables):
    kept = dict(REGISTRY)

    @trait("largest", kind="number", source="transactions", meaning=mark("money spent so far"), registry=kept)
    def _(data: Data):
        return data.orders.group_by("customer_id").agg(value=data.orders.amount.max())

    found = traits(tables, as_of=AS_OF, registry=kept)
    assert found.table["largest"].tolist()[:2] == [40, 8]
    assert "largest" in set(found.catalogue["name"])
    assert "largest" not in REGISTRY


def test_a_covariate_of_the_same_name_wins(tables, make):
    own = make("customer_id channel", [("a", "phone"), ("b", "phone")])
    found = traits({**tables, "customers": own}, as_of=AS_OF)
    assert found.table["channel"].tolist() == ["phone", "phone"]
    assert (found.catalogue["name"] == "channel").sum() == 1
    assert found.catalogue.set_index("name").loc["channel", "source"] == "customers"


def test_parameters_choose_restrict_and_mark(tables):
    params = TraitsParams(include=("age", "region", "frequency"), sensitive=("region",), not_for_splits=("region",))
    found = traits(tables, as_of=AS_OF, params=params)
    catalogue = found.catalogue.set_index("name")
    assert set(catalogue.index) == {"age", "region", "frequency"}
    assert catalogue["sensitive"].to_dict() == {"age": True, "region": True, "frequency": False}
    assert catalogue["allowed_for_splits"].to_dict() == {"age": True, "region": False, "frequency": True}
    assert any("Sensitive" in str(s) and "age" in str(s) for s in found.sentences())
    assert "club" not in traits(tables, as_of=AS_OF, params=TraitsParams(exclude=("club",))).table


def test_unknown_names_are_refused_together_with_the_nearest(tables):
    with pytest.raises(Refused) as refused:
        traits(tables, as_of=AS_OF, params=TraitsParams(include=("recency_day",), sensitive=("agee",)))
    assert "'recency_days'" in str(refused.value)
    assert "'age'" in str(refused.value)


def test_a_category_of_too_many_values_may_not_split(tables):
    found = traits(tables, as_of=AS_OF, params=TraitsParams(most_levels=2))
    assert found.catalogue.set_index("name").loc["channel", "allowed_for_splits"]
    many = make_many(tables)
    assert not many.catalogue.set_index("name").loc["region", "allowed_for_splits"]


def make_many(tables):
    customers = tables["customers"].select("customer_id", region=tables["customers"].customer_id)
    everybody = customers.union(tables["transactions"].select("customer_id", region="customer_id").distinct())
    own = everybody.distinct()
    return traits({**tables, "customers": own}, as_of=AS_OF, params=TraitsParams(most_levels=2))


def test_absent_tables_and_columns_are_absent_traits_unless_asked_for(make):
    plain = {"transactions": make("customer_id date amount", [("a", ago(3), 5)])}
    names = set(traits(plain, as_of=AS_OF).catalogue["name"])
    assert not names & {"channel", "categories", "coupon_ever", "contacts_26w", "responses_26w"}
    with pytest.raises(Refused, match="lacks its columns"):
        traits(plain, as_of=AS_OF, params=TraitsParams(include=("channel",)))
    only = {"customers": make("customer_id region", [("a", "N"), ("b", None)])}
    assert traits(only, as_of=AS_OF).table["region"].notna().tolist() == [True, False]


def test_types_do_not_depend_on_who_is_there(tables):
    whole = traits(tables, as_of=AS_OF).table
    orders_only = traits({"transactions": tables["transactions"]}, as_of=AS_OF).table
    shared = orders_only.columns
    assert orders_only.dtypes.equals(whole[shared].dtypes)


def test_sparse_covariates_are_called_an_artefact_and_full_ones_are_not(tables):
    said = " ".join(map(str, traits(tables, as_of=AS_OF).sentences()))
    assert "artefact" in said
    assert "age" in said
    full = {"transactions": tables["transactions"]}
    assert not any("artefact" in str(s) for s in traits(full, as_of=AS_OF).sentences())


def test_the_page_shows_traits_and_no_customer(tables):
    found = traits(tables, as_of=AS_OF)
    shown = found.shown()
    assert "customer_id" not in shown
    assert set(found.catalogue["name"]) - set(shown["name"]) == {"returns_share"}, "nobody has it"
    assert any("nobody" in str(s) and "returns_share" in str(s) for s in found.sentences())
    assert shown.set_index("name").loc["ipt_mean_days", "meaning"] == "mean days between two days with an order"
    assert set(shown["typical"]) == {"·"}, "three customers: none is told apart"
    assert found._repr_html_()


def test_orders_at_hand_give_the_same(real):
    tables, made = real("online_retail")
    end = date(2011, 12, 9)
    pd.testing.assert_frame_equal(
        traits(tables, as_of=end).table, traits(tables, as_of=end, orders=made).table, check_exact=True
    )


def test_what_is_typical_is_shown_of_five_and_more(make):
    many = [(f"c{i}", ago(i), 10, "web" if i < 5 else "shop") for i in range(9)]
    found = traits({"transactions": make("customer_id date amount channel", many)}, as_of=AS_OF)
    typical = found.shown().set_index("name")["typical"]
    assert typical["recency_days"] == "4"
    assert typical["channel"] == "55.6% web"
    rare = [(who, day, n, f"shop {i}") for i, (who, day, n, _) in enumerate(many)]
    found = traits({"transactions": make("customer_id date amount channel", rare)}, as_of=AS_OF)
    assert found.shown().set_index("name").loc["channel", "typical"] == "·", "one customer's own shop"
    assert not any("nobody" in str(s) for s in traits({"transactions": make(*BACK)}, as_of=AS_OF).sentences())


BACK = (
    "customer_id date amount order_id",
    [("a", ago(200), 9, "1"), ("a", ago(100), 9, "2"), ("a", ago(1), 9, "3"), ("a", ago(1), -2, "3")],
)


def test_an_empty_table_made_in_this_process_goes_with_tables_of_an_engine(make):
    known = make("customer_id region", [("a", "N"), ("b", None)])
    sent = make("customer_id campaign_id arm sent_at", [("a", "k", "mailed", ago(3))])
    found = traits({"transactions": nothing("transactions"), "customers": known, "contacts": sent}, as_of=AS_OF).table
    assert found["frequency"].tolist() == [0, 0]
    assert found["contacts_26w"].tolist() == [1, 0]
    assert found["recency_days"].isna().all()
