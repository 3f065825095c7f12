from datetime import date

import ibis
import pandas as pd
import pytest

from crmlab.contract import Refused
from crmlab.stage.inputs import Intake, Store, connect, digest_of


def intake(con, days, *, shuffle=False):
    frame = pd.DataFrame({"customer_id": [f"c{i % 7}" for i in range(len(days))], "date": days, "amount": 1.25})
    if shuffle:
        frame = frame.sample(frac=1, random_state=1)
    transactions = ibis.memtable(frame).mutate(
        date=ibis._.date.cast("date"), amount=ibis._.amount.cast("decimal(18,4)")
    )
    customers = ibis.memtable(pd.DataFrame({"customer_id": [f"c{i}" for i in range(9)]}))
    reading = pd.DataFrame({"table": ["transactions"], "date": [pd.NaT], "reason": ["kept"], "rows": [len(days)]})
    return Intake({"transactions": transactions, "customers": customers}, reading, con)


SPRING = list(pd.date_range("2017-01-03", "2017-04-20", freq="D"))


def test_whole_months_are_stored_once_and_the_month_of_the_cut_apart(tmp_path):
    store, taken = Store(tmp_path), intake(connect(), SPRING)
    march, april = (taken.store(store, date(2017, m, 15))["transactions"] for m in (3, 4))
    assert len(march) == 3
    assert len(april) == 4
    assert march[:2] == april[:2]
    assert march[2] != april[2]


def test_later_rows_change_nothing_that_a_cut_sees(tmp_path):
    store, cut = Store(tmp_path), date(2017, 3, 15)
    early = intake(connect(), SPRING).store(store, cut)
    late = intake(connect(), [*SPRING, *pd.date_range("2017-04-21", "2017-06-30")]).store(store, cut)
    assert early["transactions"] == late["transactions"]


def test_the_order_of_rows_changes_no_byte(tmp_path):
    store, cut = Store(tmp_path), date(2017, 3, 15)
    assert intake(connect(), SPRING).store(store, cut) == intake(connect(), SPRING, shuffle=True).store(store, cut)


def test_customers_not_yet_seen_are_invisible(tmp_path):
    con = connect()
    store, taken = Store(tmp_path), intake(con, SPRING)
    files = taken.store(store, date(2017, 1, 5))
    assert sorted(store.read(files, con)["customers"].to_pandas()["customer_id"]) == ["c0", "c1", "c2"]


def test_files_are_named_by_their_content(tmp_path):
    store = Store(tmp_path)
    for digests in intake(connect(), SPRING).store(store, date(2017, 4, 15)).values():
        assert all(digest_of(store.path(d)) == d for d in digests)


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_flipped_bit_or_missing_file_is_found_and_named(tmp_path, damage):
    con = connect()
    store = Store(tmp_path)
    files = intake(con, SPRING).store(store, date(2017, 2, 15))
    path = store.path(files["transactions"][1])
    if damage == "flip":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    else:
        path.unlink()
    with pytest.raises(Refused, match=path.name):
        store.read(files, con)
