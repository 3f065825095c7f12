import hmac
import stat

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.contract import Refused
from crmlab.stage import people as room
from crmlab.stage.inputs import connect
from crmlab.stage.people import keep_people, people, pseudonym, pseudonyms, renamed

KEY = bytes(range(32))


def rows(**columns):
    return ibis.memtable(pd.DataFrame(columns), schema=dict.fromkeys(columns, "string"))


def test_a_pseudonym_is_a_keyed_hash_of_the_id_alone():
    expected = "p" + hmac.new(KEY, b"pseudonym\x1f00123", "sha256").hexdigest()[:20]
    assert pseudonym(KEY, "00123") == expected
    assert len({pseudonym(KEY, i) for i in ("00123", "123", "123 ", "NA")}) == 4
    assert pseudonym(KEY[::-1], "00123") != expected


def test_pseudonyms_are_named_once_an_id():
    found = pseudonyms(["b", "a", "b"], KEY)
    assert list(found.index) == ["b", "a"]
    assert found["a"] == pseudonym(KEY, "a")


def test_two_customers_who_would_be_called_the_same_are_refused(monkeypatch):
    monkeypatch.setattr(room, "DIGITS", 0)
    with pytest.raises(Refused, match="called the same"):
        renamed({"transactions": rows(customer_id=["a", "b"])}, KEY, connect())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_every_row_keeps_its_customer_under_another_name(ids):
    con = connect()
    found, everybody = renamed(
        {"transactions": rows(customer_id=ids, order_id=[str(n) for n in range(len(ids))])}, KEY, con
    )
    table = found["transactions"].to_pandas().sort_values("order_id", key=lambda s: s.astype(int))
    assert list(table.columns) == ["customer_id", "order_id"]
    assert list(table["customer_id"]) == [pseudonym(KEY, i) for i in ids]
    assert everybody.to_dict() == {i: pseudonym(KEY, i) for i in ids}


def test_accounts_above_are_renamed_too_and_nobody_stays_nobody():
    tables = {
        "customers": rows(customer_id=["a", "b"], parent_id=["g", None], club=["x", "y"]),
        "suppression": rows(customer_id=[None, "c"], email_sha256=["0f", None]),
        "products": rows(product_id=["a"]),
    }
    found, everybody = renamed(tables, KEY, connect())
    customers = found["customers"].to_pandas().sort_values("club")
    assert list(customers["customer_id"]) == [pseudonym(KEY, "a"), pseudonym(KEY, "b")]
    assert list(customers["parent_id"].fillna("")) == [pseudonym(KEY, "g"), ""]
    assert set(found["suppression"].to_pandas()["customer_id"].dropna()) == {pseudonym(KEY, "c")}
    assert list(found["products"].to_pandas()["product_id"]) == ["a"]
    assert sorted(everybody.index) == ["a", "b", "c", "g"]


def known(*ids):
    return pd.DataFrame({"pseudonym": [pseudonym(KEY, i) for i in ids], "customer_id": list(ids)})


def test_the_mapping_is_one_file_for_its_owners_eyes(tmp_path):
    assert people(tmp_path).empty
    keep_people(tmp_path, known("a", "b"))
    keep_people(tmp_path, known("a", "b", "c"))
    (file,) = (tmp_path / "people").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dict(people(tmp_path).to_numpy()) == {pseudonym(KEY, i): i for i in "abc"}


def test_writing_the_same_mapping_again_writes_nothing(tmp_path):
    keep_people(tmp_path, known("a", "b"))
    (file,) = (tmp_path / "people").iterdir()
    before = file.stat()
    keep_people(tmp_path, known("b", "a"))
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_a_mapping_killed_between_two_files_loses_nobody(tmp_path):
    keep_people(tmp_path, known("a"))
    old = next((tmp_path / "people").iterdir())
    content = old.read_bytes()
    keep_people(tmp_path, known("a", "b"))
    old.write_bytes(content)
    assert set(people(tmp_path)["customer_id"]) == {"a", "b"}


def test_a_flipped_bit_of_the_mapping_is_named_with_its_mend(tmp_path):
    keep_people(tmp_path, known("a", "b"))
    (file,) = (tmp_path / "people").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(bytes(data))
    with pytest.raises(Refused, match=f"{file.name}.*delete it"):
        people(tmp_path)
