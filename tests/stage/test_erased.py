from datetime import date

import ibis
import pandas as pd
import pytest

from crmlab.contract import Refused
from crmlab.stage.erased import Seen, accounted, erase, erased, without
from crmlab.stage.folder import publish, staging
from crmlab.stage.inputs import Store, connect

KEY, OTHER = bytes(range(32)), bytes(32)
TODAY = date(2026, 3, 1)


def test_who_was_erased_is_remembered_with_the_day(tmp_path):
    assert erased(tmp_path) == set()
    erase(tmp_path, "p1", KEY, TODAY)
    erase(tmp_path, "p2", KEY, date(2026, 4, 1))
    erase(tmp_path, "p1", KEY, date(2026, 5, 1))
    assert erased(tmp_path, KEY) == {"p1", "p2"}
    path = tmp_path / "erased.json"
    assert '"p1": "2026-03-01"' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_flipped_bit_of_it_is_found(tmp_path):
    erase(tmp_path, "p1", KEY, TODAY)
    path = tmp_path / "erased.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(Refused, match="altered after it was written"):
            erased(tmp_path)


def test_under_another_key_nobody_would_be_recognised(tmp_path):
    erase(tmp_path, "p1", KEY, TODAY)
    with pytest.raises(Refused, match="another key"):
        erased(tmp_path, OTHER)


def test_that_it_is_gone_or_an_older_copy_is_found(tmp_path):
    erase(tmp_path, "p1", KEY, TODAY)
    older = (tmp_path / "erased.json").read_bytes()
    erase(tmp_path, "p2", KEY, TODAY)
    (tmp_path / "inputs").mkdir()
    Store(tmp_path / "inputs").replace("0" * 64, None, "p2")
    assert erased(tmp_path, KEY) == {"p1", "p2"}
    (tmp_path / "erased.json").write_bytes(older)
    with pytest.raises(Refused, match="older than the last erasure"):
        erased(tmp_path, KEY)
    (tmp_path / "erased.json").unlink()
    with pytest.raises(Refused, match="is gone"):
        erased(tmp_path, KEY)


def transactions():
    frame = pd.DataFrame(
        {
            "customer_id": ["p1", "p2", "p1", None],
            "date": pd.to_datetime(["2017-01-01", "2017-01-01", "2017-01-02", None]),
        }
    )
    return ibis.memtable(frame).mutate(date=ibis._.date.cast("date"))


def test_their_rows_are_left_out_and_counted_by_day():
    con = connect()
    tables, lost = without(
        {"transactions": transactions(), "products": ibis.memtable({"product_id": ["p1"]})}, {"p1"}, con
    )
    assert set(tables["transactions"].to_pandas()["customer_id"].fillna("")) == {"p2", ""}
    assert tables["products"].count().to_pyarrow().as_py() == 1
    assert list(lost.sort_values("date")["rows"]) == [1, 1]
    reading = pd.DataFrame(
        {
            "table": "transactions",
            "date": pd.to_datetime(["2017-01-01", "2017-01-02", None, None]).astype("datetime64[s]"),
            "reason": ["kept", "kept", "kept", "no readable date"],
            "rows": [2, 1, 1, 7],
        }
    )
    told = accounted(reading, lost)
    assert dict(told.groupby("reason")["rows"].sum()) == {"kept": 2, "no readable date": 7}
    assert (told["rows"] > 0).all()


def test_where_nobody_was_erased_nothing_changes():
    reading = pd.DataFrame({"table": ["t"], "date": [pd.NaT], "reason": ["kept"], "rows": [1]})
    given = {"transactions": transactions()}
    tables, lost = without(given, set(), connect())
    assert tables == given
    assert accounted(reading, lost) is reading


def test_a_later_stage_does_not_see_their_rows_in_what_was_published(tmp_path):
    frame = pd.DataFrame({"customer_id": ["p1", "p2"], "x": [1, 2]})
    with staging(tmp_path / "1_analysis") as staged:
        frame.to_parquet(staged / "tables" / "traits.parquet")
        stage = publish(staged, tmp_path / "1_analysis", {})
    assert list(Seen(stage.folder, frozenset({"p1"})).table("traits")["customer_id"]) == ["p2"]
    assert list(stage.table("traits")["customer_id"]) == ["p1", "p2"]
