from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.activation.allocation import ActivationParams, allocate, require_value
from crmlab.activation.beliefs import Beliefs
from crmlab.contract import Basis, GateFailed, Refused, Result, Sentence

KEY = b"0123456789abcdef0123456789abcdef"
DRAWS = 400


def believed(rates, *, kind="response", spread=0.0, orders=1.0):
    """Beliefs whose draws have exactly the mean given."""
    noise = np.linspace(-spread, spread, DRAWS)
    draws = pd.DataFrame([r + noise for r in rates.values()], index=pd.Index(list(rates), name="segment"))
    table = pd.DataFrame({"segment": list(rates), "name": [f"Segment {s}" for s in rates]})
    return Beliefs(table, Basis(1, "customers"), draws, draws, kind, orders)


def plan(values, rates, *, budget="10", cost="1", segment=None, eligible=None, margin=0.5, **more):
    ids = list(values)
    ltv = pd.DataFrame({"customer_id": ids, "order_value": [float(v) for v in values.values()]})
    membership = pd.Series(segment or dict.fromkeys(ids, "s1"))
    params = ActivationParams(budget=Decimal(budget), cost_per_contact=Decimal(cost), margin_share=margin, **more)
    frame = pd.DataFrame({"customer_id": ids, "eligible": True if eligible is None else [i in eligible for i in ids]})
    beliefs = rates if isinstance(rates, Beliefs) else believed(rates)
    return allocate(
        frame, beliefs, ltv, membership, as_of=date(2024, 1, 1), key=KEY, study="s", cycle="c", params=params
    )


def chosen(result):
    return list(result.table.loc[result.table["chosen"], "customer_id"])


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_expected_value_by_hand():
    # .5 margin x 40 money x .2 response - 1 cost = 3
    result = plan({"a": 40}, {"s1": 0.2})
    assert result.table["expected_value"].tolist() == [3.0]
    assert result.table["p_profit"].tolist() == [1.0]
    assert result.total["expected"] == pytest.approx(3)


def test_interval_and_probability_of_profit_come_from_the_draws():
    beliefs = believed({"s1": 0.2}, spread=0.2)  # uniform on 0 ... .4
    row = plan({"a": 10}, beliefs, cost="0.5").table.iloc[0]
    assert row["value_low"] == pytest.approx(5 * 0.02 - 0.5, abs=0.01)
    assert row["value_high"] == pytest.approx(5 * 0.38 - 0.5, abs=0.01)
    assert row["p_profit"] == pytest.approx(0.75, abs=0.01)  # pays where the response exceeds .1


def test_the_best_are_chosen_until_the_budget_is_spent_exactly():
    result = plan({i: 100 + k for k, i in enumerate("abcdef")}, {"s1": 0.5}, budget="0.30", cost="0.10")
    assert chosen(result) == ["d", "e", "f"]  # binary floats would pay for two
    assert result.spent == Decimal("0.30")
    assert "The budget binds: 3 customers" in said(result)
    assert "3 more would be worth their contact" in said(result)


def test_a_budget_that_does_not_bind_is_said_and_the_rest_stays_unspent():
    result = plan({"a": 100, "b": 90, "c": 1}, {"s1": 0.5}, budget="10")
    assert chosen(result) == ["a", "b"]
    assert "does not bind" in said(result)
    assert "8.00 stays unspent" in said(result)


def test_nobody_is_chosen_below_or_at_nothing():
    result = plan({"a": 4, "b": 3.9}, {"s1": 0.5})
    assert chosen(result) == []
    assert result.table.set_index("customer_id").loc["a", "expected_value"] == 0
    assert said(result) == "No contact is expected to be worth its cost: there is no list."


def test_a_budget_below_one_contact_makes_no_list():
    assert "does not pay for one contact" in said(plan({"a": 100}, {"s1": 0.5}, budget="0.5"))


def test_segments_compete_by_value_and_not_by_response():
    segment = {"a": "s1", "b": "s2"}
    assert chosen(plan({"a": 20, "b": 100}, {"s1": 0.5, "s2": 0.2}, segment=segment, budget="1")) == ["b"]


def test_only_the_eligible_are_ranked_and_those_without_value_or_segment_are_left_out_and_counted():
    values = {"a": 100, "b": 100, "c": float("nan"), "d": 100}
    result = plan(values, {"s1": 0.5}, segment={"a": "s1", "b": "s1", "c": "s1"}, eligible={"a", "c", "d"})
    assert list(result.table["customer_id"]) == ["a", "c", "d"]
    assert chosen(result) == ["a"]
    assert result.unvalued == 2
    assert "Fewer than five eligible customers have no value" in said(result)


def test_certainty_can_be_demanded():
    segment = {"a": "s1", "b": "s2"}
    beliefs = believed({"s1": 0.2}, spread=0.2)
    sure = believed({"s2": 0.2}, spread=0.0)
    both = Beliefs(
        pd.concat([beliefs.table, sure.table]),
        beliefs.basis,
        *[pd.concat([beliefs.draws, sure.draws])] * 2,
        "response",
        1.0,
    )
    assert chosen(plan({"a": 12, "b": 11}, both, segment=segment, budget="1")) == ["a"]
    assert chosen(plan({"a": 12, "b": 11}, both, segment=segment, budget="1", min_p_profit=0.95)) == ["b"]


def test_ties_are_broken_by_the_key_and_not_by_the_id():
    values = {f"{i:04d}": 100 for i in range(400)}
    result = plan(values, {"s1": 0.5}, budget="100")
    firsts = [int(i) for i in chosen(result)]
    assert len(firsts) == 100
    assert np.mean(firsts) == pytest.approx(200, abs=35)  # 3 se of a fair draw; by id it would be 50


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(0, 25), st.randoms(use_true_random=False))
def test_the_list_is_a_function_of_the_customers_and_not_of_their_order(values, budget, random):
    customers = {f"c{i}": v for i, v in enumerate(values)}
    shuffled = list(customers.items())
    random.shuffle(shuffled)
    first, again = (plan(c, {"s1": 0.5}, budget=str(budget)) for c in (customers, dict(shuffled)))
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)
    assert first.spent <= first.budget
    assert sorted(first.table["rank"]) == list(range(1, len(values) + 1))
    listed, others = first.table[first.table["chosen"]], first.table[~first.table["chosen"]]
    assert (listed["expected_value"] > 0).all()
    if len(listed) and len(others):
        assert listed["expected_value"].min() >= others["expected_value"].max()


def test_segment_rows_add_up_to_the_list():
    segment = {f"c{i}": f"s{i % 3}" for i in range(30)}
    values = {f"c{i}": 10 + i for i in range(30)}
    result = plan(values, believed({"s0": 0.3, "s1": 0.2, "s2": 0.1}, spread=0.05), segment=segment, budget="12")
    shown = result.shown()
    assert shown["chosen"].sum() == result.chosen == 12
    assert shown["cost"].sum() == pytest.approx(12)
    assert shown["expected"].sum() == pytest.approx(result.total["expected"])
    assert result.table.loc[result.table["chosen"], "expected_value"].sum() == pytest.approx(
        result.total["expected"], abs=1e-3
    )


def test_the_curve_passes_through_the_list_and_ends_with_everybody():
    values = {f"c{i}": i for i in range(500)}
    result = plan(values, {"s1": 0.5}, budget="123")
    curve = result.curve.set_index("customers")
    assert curve.loc[123, "expected"] == pytest.approx(result.total["expected"])
    assert curve.loc[500, "expected"] == pytest.approx(result.table["expected_value"].sum(), abs=0.1)
    assert curve.loc[0, "expected"] == 0
    assert len(curve) <= 202


def test_what_the_list_rests_on_is_said():
    assert "Orders that would have come anyway are counted too" in said(plan({"a": 100}, {"s1": 0.5}))
    assert "uplift measured against a control group" in said(plan({"a": 100}, believed({"s1": 0.5}, kind="uplift")))
    assert "declared prior, not on data" in said(plan({"a": 100}, believed({"s1": 0.5}, kind="prior")))


def test_a_list_that_may_lose_money_is_said_in_another_tone():
    sure = plan({"a": 100}, {"s1": 0.5}).sentences()[1]
    unsure = plan({"a": 6}, believed({"s1": 0.4}, spread=0.4)).sentences()[1]
    assert (sure.tone, unsure.tone) == ("good", "warn")
    assert "P(it pays) = 100%" in str(sure)


def test_orders_per_response_and_margin_scale_the_value():
    twice = plan({"a": 40}, believed({"s1": 0.2}, orders=2.0))
    assert twice.table["expected_value"].tolist() == [7.0]


def test_the_margin_of_the_lifetime_value_stands_in_and_none_at_all_is_refused():
    args = {"eligible": pd.DataFrame({"customer_id": ["a"]}), "beliefs": believed({"s1": 0.2})}
    args |= {"ltv": pd.DataFrame({"customer_id": ["a"], "order_value": [40.0]}), "membership": pd.Series({"a": "s1"})}
    args |= {"as_of": date(2024, 1, 1), "key": KEY, "study": "s", "cycle": "c"}
    params = ActivationParams(cost_per_contact=Decimal(1))
    assert allocate(**args, params=params, margin_share=0.5).table["expected_value"].tolist() == [3.0]
    with pytest.raises(Refused, match="margin_share"):
        allocate(**args, params=params)


def test_without_a_lifetime_value_the_gate_closes_naming_the_statistic():
    class Failed(Result):
        table = pd.DataFrame()

        def sentences(self):
            return [Sentence("R-hat of a is {r:.3f}, above 1.01.", {"r": 1.2}, "bad"), Sentence("Other.")]

    with pytest.raises(GateFailed, match=r"R-hat of a is 1\.200, above 1\.01") as failed:
        require_value(Failed())
    assert failed.value.exit_code == 3
    with pytest.raises(GateFailed, match="bulk ESS 120 below 400"):
        require_value(None, ["bulk ESS 120 below 400"])
    with pytest.raises(GateFailed, match="did not pass its gate"):
        require_value(None)
    table = pd.DataFrame({"customer_id": ["a"], "order_value": [1.0]})
    assert require_value(table) is table


def test_parameters_are_read_as_exact_money():
    params = ActivationParams.model_validate({"budget": 500.1, "cost_per_contact": 0.1})
    assert (params.budget, params.cost_per_contact) == (Decimal("500.1"), Decimal("0.1"))
    for wrong in (
        {"budget": -1},
        {"budget": "nan"},
        {"cost_per_contact": 0.00001},
        {"margin_share": 1.2},
        {"bugdet": 1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ActivationParams.model_validate(wrong)


def test_nobody_eligible_makes_an_empty_list_with_its_columns():
    result = plan({"a": 100}, {"s1": 0.5}, eligible=set())
    assert list(result.table.columns) == list(plan({"a": 100}, {"s1": 0.5}).table.columns)
    assert (len(result.table), result.chosen, result.spent) == (0, 0, Decimal(0))
    assert "there is no list" in said(result)
    assert result._repr_html_()


def test_columns_have_stable_types_whatever_the_list():
    for result in (plan({"a": 100}, {"s1": 0.5}), plan({"a": 1}, {"s1": 0.5}, eligible=set())):
        types = {c: str(t) for c, t in result.table.dtypes.items()}
        assert types == {
            "customer_id": "str",
            "segment": "str",
            "expected_value": "float64",
            "value_low": "float64",
            "value_high": "float64",
            "p_profit": "float64",
            "cost": "float64",
            "chosen": "bool",
            "rank": "int64",
        }


def test_the_page_shows_segments_and_never_a_customer():
    page = plan({f"secret{i}": 100 + i for i in range(20)}, {"s1": 0.5})._repr_html_()
    assert "Segment s1" in page
    assert "secret" not in page
