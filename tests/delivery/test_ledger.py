"""The ledger of deliveries: whole or not there, altered files named, nobody left in it after an erasure."""

import shutil

import ibis
import pandas as pd
import pytest

from crmlab.base.windows import reached
from crmlab.contract import Refused
from crmlab.stage import ledger as room
from crmlab.stage.inputs import connect
from crmlab.stage.ledger import (
    ADDS,
    LEDGER,
    LIST,
    REMOVES,
    ROWS,
    altered_deliveries,
    deliver,
    delivered,
    deliveries,
    forget_in_deliveries,
    ledger,
    with_ledger,
)

ROW = {"campaign_id": "shop-k1", "sent_at": "2024-01-01", "channel": "email", "delivered_on": "2024-01-03"}


def give(folder, *, cycle="k1", contacted=("p1", "p2", "p3"), control=("p9",)):
    arms = {**dict.fromkeys(contacted, "contacted"), **dict.fromkeys(control, "control")}
    table = pd.DataFrame(
        [{**ROW, "customer_id": p, "arm": a, "cost": 0.25 * (a != "control")} for p, a in arms.items()]
    )
    rows = [(name, k, p, f"a{p}") for name in (LIST, ADDS) for k, p in enumerate(contacted)]
    texts = {name: "email\n" + "".join(f"{p}@x.it\n" for p in contacted) for name in (LIST, ADDS)}
    return deliver(
        folder,
        {"cycle": cycle, "campaign_id": f"shop-{cycle}", "delivered_on": "2024-01-03"},
        texts={**texts, REMOVES: "email\n"},
        tables={
            LEDGER: table.astype(room.COLUMNS)[list(room.COLUMNS)],
            ROWS: pd.DataFrame(rows, columns=["file", "row", "customer_id", "address"]),
        },
    )


def test_deliveries_are_numbered_and_add_up_to_the_ledger(tmp_path):
    assert ledger(tmp_path).empty
    assert dict(ledger(tmp_path).dtypes.astype(str)) == room.COLUMNS
    give(tmp_path)
    second = give(tmp_path, cycle="k2", contacted=("p4",), control=())
    assert [d.number for d in deliveries(tmp_path)] == ["001", "002"]
    assert list(ledger(tmp_path)["customer_id"]) == ["p1", "p2", "p3", "p4", "p9"]
    assert second.people(LIST) == {"p4"}
    assert (delivered(tmp_path, "k2"), delivered(tmp_path, "k3")) == (True, False)
    assert altered_deliveries(tmp_path) == []


def test_files_are_for_their_owner_alone(tmp_path):
    made = give(tmp_path)
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.folder.iterdir()} == {0o600}
    assert [p.name for p in made.folder.parent.iterdir()] == ["001"]


@pytest.mark.parametrize("name", [LEDGER, ROWS, LIST, ADDS, REMOVES, "manifest.json"])
def test_one_flipped_bit_is_found_and_named(tmp_path, name):
    path = give(tmp_path).folder / name
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), max(1, len(content) // 40)):
        content[place] ^= 1
        path.write_bytes(content)
        assert name in altered_deliveries(tmp_path)[0].where
        if name in (LEDGER, "manifest.json"):
            with pytest.raises(Refused, match=name):
                ledger(tmp_path)
        content[place] ^= 1
    path.write_bytes(content)
    assert altered_deliveries(tmp_path) == []


def test_the_senders_files_may_be_deleted_and_nothing_else(tmp_path):
    made = give(tmp_path)
    for name in (LIST, ADDS, REMOVES):
        (made.folder / name).unlink()
    assert altered_deliveries(tmp_path) == []
    assert deliveries(tmp_path)[0].people(LIST) == {"p1", "p2", "p3"}
    (made.folder / LEDGER).unlink()
    assert "is missing" in altered_deliveries(tmp_path)[0].what


def test_a_delivery_that_is_gone_is_missed(tmp_path):
    first = give(tmp_path)
    give(tmp_path, cycle="k2")
    shutil.rmtree(first.folder)
    with pytest.raises(Refused, match=r"001 .*is missing"):
        ledger(tmp_path)


def test_an_erased_person_is_nowhere_in_any_delivery(tmp_path):
    give(tmp_path)
    give(tmp_path, cycle="k2", contacted=("p2",))
    assert forget_in_deliveries(tmp_path, "p2") == 2
    assert forget_in_deliveries(tmp_path, "p2") == 0
    assert [d.folder.name for d in deliveries(tmp_path)] == ["001.r2", "002.r2"]
    assert sorted(p.name for p in (tmp_path / "deliveries").iterdir()) == ["001.r2", "002.r2"]
    assert list(ledger(tmp_path)["customer_id"]) == ["p1", "p3", "p9", "p9"]
    kept = deliveries(tmp_path)[0]
    assert (kept.folder / LIST).read_text() == "email\np1@x.it\np3@x.it\n"
    assert kept.rows[kept.rows["file"] == LIST]["row"].to_list() == [0, 1]
    assert altered_deliveries(tmp_path) == []
    assert not [p for p in (tmp_path / "deliveries").rglob("*") if p.is_file() and b"p2" in p.read_bytes()]


@pytest.mark.parametrize("at", range(1, 7))
def test_an_erasure_killed_anywhere_is_finished_by_the_next(tmp_path, monkeypatch, at):
    give(tmp_path)
    before, calls = ledger(tmp_path), []

    def killed(path, content, *, real=room.write_whole):
        calls.append(path)
        if len(calls) == at:
            raise KeyboardInterrupt
        real(path, content)

    def not_removed(folder, *, real=room.shutil.rmtree, **how):
        if folder.name == "001":
            raise KeyboardInterrupt
        real(folder, **how)

    with monkeypatch.context() as patched:
        patched.setattr(room, "write_whole", killed)
        if at == 6:
            patched.setattr(room.shutil, "rmtree", not_removed)
        with pytest.raises(KeyboardInterrupt):
            forget_in_deliveries(tmp_path, "p2")
    assert len(ledger(tmp_path)) in (len(before), len(before) - 1)
    forget_in_deliveries(tmp_path, "p2")
    assert list(ledger(tmp_path)["customer_id"]) == ["p1", "p3", "p9"]
    assert [p.name for p in (tmp_path / "deliveries").iterdir()] == ["001.r2"]


def contacts(*rows):
    kinds = {"customer_id": "string", "campaign_id": "string", "arm": "string", "sent_at": "date"}
    return ibis.memtable(pd.DataFrame(rows, columns=list(kinds)), schema=ibis.schema(kinds))


def test_contacts_hold_the_ledger_and_what_the_senders_log_only_repeats_counts_once(tmp_path):
    con = connect()
    give(tmp_path)
    day = pd.Timestamp("2024-01-04")
    log = contacts(("p1", "shop-k1", "mailed", day), ("p9", "shop-k1", "mailed", day), ("p1", "other", "mailed", day))
    union = with_ledger(log, ledger(tmp_path), con).to_pandas()
    found = sorted(map(tuple, union[["customer_id", "campaign_id", "arm"]].to_numpy()))
    ours = [(p, "shop-k1", "contacted") for p in ("p1", "p2", "p3")] + [("p9", "shop-k1", "control")]
    assert found == sorted([*ours, ("p9", "shop-k1", "mailed"), ("p1", "other", "mailed")])
    # The re-analysis counts the one who was mailed though withheld in the arm of the ledger, and sees the breach.
    seen = reached(with_ledger(log, ledger(tmp_path), con), 14).to_pandas().set_index(["customer_id", "campaign_id"])
    assert tuple(seen.loc[("p9", "shop-k1")][["arm", "arms"]]) == ("control", 2)
    assert seen.loc[("p1", "shop-k1")]["rows"] == 1


def test_a_first_delivery_changes_no_column_of_earlier_contacts(tmp_path):
    con, log = connect(), contacts(("p1", "other", "mailed", pd.Timestamp("2023-01-04")))
    before = with_ledger(log, ledger(tmp_path), con)
    rows = before.to_pandas()
    give(tmp_path)
    after = with_ledger(log, ledger(tmp_path), con)
    assert before.schema() == after.schema()
    assert after.filter(after.campaign_id == "other").to_pandas().equals(rows)
    assert with_ledger(None, ledger(tmp_path).iloc[:0], con) is None
