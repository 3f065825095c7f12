from datetime import date
from uuid import uuid4

import ibis
import pandas as pd
import pytest

from crmlab.contract import Refused
from crmlab.stage.content import digest_of
from crmlab.stage.failed import keep_failure
from crmlab.stage.folder import publish, staging
from crmlab.stage.inputs import Intake, Store, connect
from crmlab.stage.people import pseudonym
from crmlab.stage.quarantine import (
    COLUMNS,
    as_csv,
    forget_in_quarantine,
    keep_quarantine,
    named_in_quarantine,
    of_others,
)
from crmlab.stage.sweeping import sweep_inputs


def intake(con, days, *, shuffle=False):
    frame = pd.DataFrame({"customer_id": [f"c{i % 7}" for i in range(len(days))], "date": days, "amount": 1.25})
    if shuffle:
        frame = frame.sample(frac=1, random_state=1)
    transactions = ibis.memtable(frame).mutate(
        date=ibis._.date.cast("date"), amount=ibis._.amount.cast("decimal(18,4)")
    )
    customers = ibis.memtable(pd.DataFrame({"customer_id": [f"c{i}" for i in range(9)]}))
    reading = pd.DataFrame({"table": ["transactions"], "date": [pd.NaT], "reason": ["kept"], "rows": [len(days)]})
    tables = {"transactions": transactions, "customers": customers}
    held = {n: con.create_table(f"{n}_{uuid4().hex}", table, temp=True) for n, table in tables.items()}
    return Intake(held, reading, con)


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


def test_a_damaged_file_is_not_mended_unseen_by_storing_it_again(tmp_path):
    con = connect()
    store = Store(tmp_path)
    files = intake(con, SPRING).store(store, date(2017, 2, 15))
    path = store.path(files["transactions"][0])
    path.write_bytes(path.read_bytes()[:-1])
    assert intake(connect(), SPRING).store(store, date(2017, 2, 15)) == files
    assert [f.where for f in store.faults(files)] == [str(path)]


def test_files_named_before_an_erasure_are_found_after_it(tmp_path):
    con = connect()
    store = Store(tmp_path)
    files = intake(con, SPRING).store(store, date(2017, 2, 15))
    january, february = files["transactions"]
    table = con.read_parquet(str(store.path(january)))
    once = store.put(table.filter(table.customer_id != "c1"), con)
    twice = store.put(table.filter(~table.customer_id.isin(["c1", "c2"])), con)
    store.replace(january, once, "p1")
    store.replace(once, twice, "p2")
    store.replace(february, None, "p2")
    assert store.standing(files) == {**files, "transactions": [twice]}
    assert store.standing({"transactions": [february]}) == {}
    assert store.erased_from(files) == {"p1", "p2"}
    assert set(store.read(files, con)["transactions"].to_pandas()["customer_id"]) == {"c0", "c3", "c4", "c5", "c6"}
    path = tmp_path / "replaced.json"
    path.write_text(path.read_text().replace("p2", "p3"))
    with pytest.raises(Refused, match="which stored inputs replace others"):
        store.read(files, con)


BAD = pd.DataFrame(
    [
        ("transactions", "orders.csv", 7, "no readable date", "date", "31/31/2017", "c9", "c9,31/31/2017,1"),
        ("transactions", "orders.csv", 3, "no customer id", "customer_id", "", "", '=SUM(1),"x"'),
    ],
    columns=list(COLUMNS),
)


def test_lines_set_aside_are_kept_for_their_owner_and_a_notebook_sees_only_where_they_are(tmp_path):
    con = connect()
    reading = pd.DataFrame({"table": ["transactions"], "date": [pd.NaT], "reason": ["kept"], "rows": [1]})
    taken = Intake({}, reading, con, bad=BAD)
    taken.keep_private(tmp_path)
    (file,) = (tmp_path / "quarantine").iterdir()
    assert file.stem == taken.quarantine_digest == digest_of(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().splitlines()[1:] == [
        "transactions,orders.csv,3,no customer id,customer_id,,," + """"'=SUM(1),""x""\"""",
        "transactions,orders.csv,7,no readable date,date,31/31/2017,c9," + '"c9,31/31/2017,1"',
    ]
    store = Store(tmp_path / "inputs")
    seen = store.read({"set_aside": taken.store_set_aside(store)}, con)["set_aside"].to_pandas()
    assert list(seen.columns) == ["table", "file", "line", "reason", "column"]


def test_what_no_stage_names_is_swept_and_nothing_else(tmp_path):
    con = connect()
    store = Store(tmp_path / "inputs")
    taken = intake(con, SPRING)
    named, reading = taken.store(store, date(2017, 2, 15)), taken.store_reading(store)
    taken.store(store, date(2017, 4, 15))
    (store.folder / ".staging-1.parquet").write_text("half")
    store.replace("0" * 64, named["transactions"][0], "p1")
    with staging(tmp_path / "a" / "1_analysis") as staged:
        publish(staged, tmp_path / "a" / "1_analysis", {"identity": {"inputs": named}, "reading": reading})
    keep_failure(tmp_path, "2017_05", "analysis", state="failed", message="", code=1, notebook=None)
    sweep_inputs(tmp_path)
    kept = {d for digests in (*named.values(), reading) for d in digests}
    assert {p.stem for p in store.folder.iterdir()} == kept | {"replaced"}
    manifest = tmp_path / "a" / "1_analysis" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("inputs", "onputs"))
    sweep_inputs(tmp_path)
    assert {p.stem for p in store.folder.iterdir()} == kept | {"replaced"}


def test_lines_of_an_erased_person_are_known_by_their_id_or_where_they_have_none_by_any_field(tmp_path):
    rows = [("t", "f", n, "too many fields", "", "", who, text) for n, (who, text) in enumerate(ROWS)]
    bad = pd.DataFrame(rows, columns=list(COLUMNS))
    keep_quarantine(tmp_path, as_csv(bad))
    key = bytes(32)
    assert list(of_others(bad, {pseudonym(key, "7")}, key)["line"]) == [1, 4]
    assert named_in_quarantine(tmp_path, "7")
    assert not named_in_quarantine(tmp_path, "70")
    ((old, now),) = forget_in_quarantine(tmp_path, {"7"}).items()
    assert old.exists()
    assert now.read_text().splitlines()[1:] == ['t,f,1,too many fields,,,8,"8,7,x"', "t,f,4,too many fields,,,,77"]


ROWS = [("7", "7,x"), ("8", "8,7,x"), ("", '"7";x;y'), ("", "a|7"), ("", "77")]
