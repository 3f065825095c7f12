import ibis
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from crmlab.data.drift import drift, news, schema_of

BEFORE = {
    "customers": {"customer_id": "text", "region": "text", "age": "number"},
    "transactions": {"customer_id": "text", "date": "date", "amount": "number", "order_id": "text"},
}


def now(**customers):
    return {"customers": {"customer_id": "text", **customers}, "transactions": BEFORE["transactions"]}


def only(faults):
    (fault,) = faults
    return fault


def test_the_same_shape_and_new_columns_are_fine():
    assert drift(BEFORE, BEFORE, {}) == []
    assert drift(BEFORE, now(region="text", age="number", club="text"), {}) == []
    first, second = map(str, news(BEFORE, now(region="text", age="number", club="text") | {"contacts": {}}))
    assert first == "Columns of customers that earlier cycles did not have: club."
    assert second == "Earlier cycles did not read contacts."


def test_a_renamed_column_is_refused_with_its_likely_new_name_and_how_to_say_so():
    fault = only(drift(BEFORE, now(regione="text", region_code="number", age="number"), {}))
    assert fault.where == "files.customers.region"
    assert "'regione' is new and holds text too" in fault.what
    assert "columns: {region: regione}" in fault.what
    assert "files.customers.dropped: [region]" in fault.what


def test_what_holds_something_else_is_not_taken_for_the_new_name():
    assert "'area'" in only(drift(BEFORE, now(area="text", regionn="number", age="number"), {})).what
    assert "NAME" in only(drift(BEFORE, now(regionn="number", age="number"), {})).what


def test_a_column_that_is_gone_is_fine_once_it_is_declared():
    assert "gone for good" in only(drift(BEFORE, now(region="text"), {})).what
    assert drift(BEFORE, now(region="text"), {"customers": ("age",)}) == []


def test_a_column_that_holds_something_else_is_refused_unless_one_of_the_two_was_empty():
    fault = only(drift(BEFORE, now(region="text", age="text"), {}))
    assert fault.where == "files.customers.age"
    assert "earlier cycles read number here, and now it is text" in fault.what
    assert drift(BEFORE, now(region="text", age="nothing"), {}) == []
    assert drift(now(region="nothing", age="number"), now(region="number", age="number"), {}) == []


def test_a_table_that_is_gone_is_refused_unless_all_of_it_is_declared_gone():
    without = {"transactions": BEFORE["transactions"]}
    fault = only(drift(BEFORE, without, {}))
    assert fault.where == "files.customers"
    assert "data.dropped: [customers]" in fault.what
    assert drift(BEFORE, without, {"customers": BEFORE["customers"]}) == []


def test_all_that_is_gone_is_told_at_once():
    assert len(drift(BEFORE, {"transactions": {"customer_id": "text"}}, {})) == 4


shapes = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["text", "number", "date", "nothing"]))


@given(shapes, shapes)
def test_only_what_was_there_before_can_be_missed(before, after):
    faults = drift({"customers": before}, {"customers": after}, {})
    gone = {c for c in before if c not in after}
    changed = {c for c, k in before.items() if c in after and k != after[c] and "nothing" not in (k, after[c])}
    assert {f.where.rsplit(".", 1)[1] for f in faults} == gone | changed
    assert drift({"customers": before}, {"customers": after}, {"customers": tuple(before)}) == []


def test_the_shape_of_tables_tells_kinds_and_empty_covariates():
    customers = pd.DataFrame({"customer_id": ["a"], "age": [3], "rate": [0.5], "club": ["x"], "blank": [None]})
    kinds = {"customer_id": "string", "age": "int64", "rate": "float64", "club": "string", "blank": "string"}
    table = ibis.memtable(customers, schema=ibis.schema(kinds))
    assert schema_of({"customers": table}) == {
        "customers": {"age": "number", "blank": "nothing", "club": "text", "customer_id": "text", "rate": "number"}
    }
    dated = ibis.memtable([], schema=ibis.schema({"customer_id": "string", "date": "date", "amount": "decimal(18, 4)"}))
    expected = {"customer_id": "text", "date": "date", "amount": "number"}
    assert schema_of({"transactions": dated}) == {"transactions": expected}
