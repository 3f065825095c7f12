"""Lists delivered for real, from a small live study with identity, consents and objections."""

import csv
import shutil
from datetime import date

import pandas as pd
import pytest
import yaml

from crmlab.contract import Refused
from crmlab.delivery.export import export_list
from crmlab.loop import Asked, run_study
from crmlab.stage import ledger as ledgers
from crmlab.stage.keys import study_key
from crmlab.stage.ledger import deliveries, ledger
from crmlab.stage.people import pseudonym
from crmlab.study import load_study
from tests.live import add, email, hashed, name, objected, phone, write

DAY = date(2023, 8, 16)
LATER = date(2023, 8, 20)


def deliver(path, *, day=DAY, cycle="first", channel="email", form="plain"):
    return export_list(path, cycle, channel, form=form, today=day)


def made(path):
    return deliveries(path.parent.parent / "reports" / "shop")


def rows(delivery, file="list.csv"):
    with (delivery.folder / file).open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def ids(delivery, file="list.csv"):
    return sorted(row["customer_id"] for row in rows(delivery, file))


def arms(path):
    """Raw id → arm of everybody on the published list."""
    table = pd.read_parquet(path.parent.parent / "reports/shop/first/2_activation/tables/assignment.parquet")
    key = study_key(load_study(path).study)
    called = {pseudonym(key, f"c{k:05d}"): f"c{k:05d}" for k in range(1, 301)}
    return {called[p]: arm for p, arm in zip(table["customer_id"], table["arm"], strict=True)}


def changed(path, **changes):
    study = yaml.safe_load(path.read_text())
    for name_, value in changes.items():
        study[name_] = {**study.get(name_, {}), **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(study, sort_keys=False))


def test_everybody_to_be_contacted_is_delivered_with_identity_and_nobody_else(shop):
    said = deliver(shop)
    (delivery,), assigned = made(shop), arms(shop)
    contacted = sorted(c for c, arm in assigned.items() if arm != "control")
    assert ids(delivery) == ids(delivery, "adds.csv") == contacted
    assert rows(delivery, "removes.csv") == []
    first = rows(delivery)[0]
    who = first["customer_id"]
    assert (first["email"], first["phone"], first["name"]) == (email(who), phone(who), name(who))
    assert first["campaign"] in said
    assert not any(text in said for text in (who, email(who), name(who)))
    barred = {c for group in objected([f"c{k:05d}" for k in range(1, 301)]).values() for c in group}
    assert not barred & set(contacted)
    book = ledger(shop.parent.parent / "reports" / "shop")
    assert book["arm"].value_counts().to_dict() == {
        "contacted": len(contacted),
        "control": len(assigned) - len(contacted),
    }
    assert set(book["sent_at"].astype(str)) == {"2023-08-14"}
    assert set(book.loc[book["arm"] == "control", "cost"]) == {0.0}
    assert not set(book["customer_id"]) & set(assigned)


def test_objections_since_are_taken_off_and_nobody_is_sent_to_twice(shop):
    deliver(shop)
    first = ids(made(shop)[0])
    assert "nothing was written" in deliver(shop)
    assert len(made(shop)) == 1
    add(shop, "consents", [first[0], "email", "withdrawn", "2023-08-18"], [first[1], "all", "no", ""])
    add(shop, "suppression", [first[2], "", "complaint", ""], ["", hashed(f" {email(first[3]).upper()}"), "dead", ""])
    said = deliver(shop, day=LATER, form="mailchimp")
    second = made(shop)[1]
    assert {row["Email Address"] for row in rows(second, "removes.csv")} == {email(c) for c in first[:4]}
    assert {row["Email Address"] for row in rows(second)} == {email(c) for c in first[4:]}
    assert rows(second, "adds.csv") == []
    assert "no consent" in said
    add(shop, "consents", [first[0], "email", "granted", "2023-08-22"])
    assert "delivered earlier in this campaign" in deliver(shop, day=date(2023, 8, 24))
    assert len(ids(made(shop)[2])) == len(first) - 4
    assert len(ledger(shop.parent.parent / "reports" / "shop")) == len(arms(shop))


def test_new_customers_and_other_orders_of_rows_change_nobody(shop):
    add(shop, "customers", ["c00999", "new@example.com", "New", "", "IT", "0"])
    add(shop, "consents", ["c00999", "email", "granted", "2023-08-15"])
    for file in ("customers", "consents", "suppression", "transactions"):
        path = shop.parent.parent / "raw" / f"{file}.csv"
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, *lines[::-1]]) + "\n")
    deliver(shop)
    assert ids(made(shop)[0]) == sorted(c for c, arm in arms(shop).items() if arm != "control")


def test_shared_unreadable_and_poisonous_identities(shop):
    contacted = [c for c, arm in sorted(arms(shop).items()) if arm != "control"]
    withheld = next(c for c, arm in sorted(arms(shop).items()) if arm == "control")
    path = shop.parent.parent / "raw" / "customers.csv"
    with path.open(newline="") as text:
        header, *lines = csv.reader(text)
    people = {line[0]: line for line in lines}
    people[contacted[1]][1] = people[contacted[0]][1].upper()
    people[contacted[2]][1] = people[withheld][1]
    people[contacted[3]][1] = "=HYPERLINK(1)@example.com"
    people[contacted[4]][1] = ""
    people[contacted[5]][2] = '=cmd|"/c calc"!A1'
    people[contacted[6]][2] = 'Zoë "😀"\nO\'Neil, \u202eInc.'
    write(path, header, list(people.values()))
    said = deliver(shop)
    listed = {row["customer_id"]: row for row in rows(made(shop)[0])}
    assert sorted(set(contacted) - set(listed)) == sorted(contacted[1:5])
    assert listed[contacted[5]]["name"] == '\'=cmd|"/c calc"!A1'
    assert listed[contacted[6]]["name"] == 'Zoë "😀" O\'Neil, Inc.'
    for count, reason in ((2, "no usable address"), (1, "may not be contacted"), (1, "same address as another")):
        assert any(f"{count}  " in line and reason in line for line in said.splitlines()), said


def test_contacts_by_others_count_against_the_cap_of_the_day(shop):
    contacted = sorted(c for c, arm in arms(shop).items() if arm != "control")
    raw = shop.parent.parent / "raw" / "contacts.csv"
    write(
        raw,
        ["customer_id", "campaign_id", "arm", "sent_at"],
        [
            [contacted[0], "other", "mailed", "2023-08-15"],
            [contacted[1], "other", "control", "2023-08-15"],
            [contacted[2], "other", "mailed", "2023-06-01"],
        ],
    )
    files = yaml.safe_load(shop.read_text())["data"]["files"] | {"contacts": {"path": "../raw/contacts.csv"}}
    changed(shop, eligibility={"cap": 1, "cap_weeks": 8}, data={"files": files})
    assert "contacted too often" in deliver(shop)
    assert sorted(set(contacted) - set(ids(made(shop)[0]))) == contacted[:1]


def bad_table(path):
    table = path.parent.parent / "reports/shop/first/2_activation/tables/assignment.parquet"
    table.write_bytes(table.read_bytes().replace(b"control", b"contacx", 1))


def no_manifest(path):
    stage = path.parent.parent / "reports/shop/first/2_activation"
    shutil.copytree(stage, stage.with_name("2_activation.r2"))
    (stage.with_name("2_activation.r2") / "manifest.json").unlink()


def no_identity(path):
    raw = path.parent.parent / "raw" / "customers.csv"
    frame = pd.read_csv(raw, dtype=str)
    frame[["customer_id", "country", "club"]].to_csv(raw, index=False)


def no_emails(path):
    raw = path.parent.parent / "raw" / "customers.csv"
    pd.read_csv(raw, dtype=str).assign(email="?").to_csv(raw, index=False)


REFUSALS = {
    "replay": ({}, lambda p: changed(p, mode="replay"), "replays history"),
    "too early": ({"day": date(2023, 8, 13)}, None, "is not after 2023-08-13"),
    "too late": ({"day": date(2023, 9, 25)}, None, "after 2023-09-24, the end of the outcome window"),
    "not published": ({"cycle": "second", "day": date(2023, 10, 10)}, None, "is not published yet; publish it first"),
    "no such cycle": ({"cycle": "frist"}, None, "did you mean 'first'"),
    "no consent to the channel": ({"channel": "sms"}, None, "nobody's consent to 'sms' is on record"),
    "no such format": ({"form": "csv"}, None, "no format 'csv'; there are: plain"),
    "another channel's format": ({"channel": "sms", "form": "mailchimp"}, None, "names nobody by phone"),
    "no identity": ({}, no_identity, "no customer has a usable email; map it"),
    "no usable address": ({"form": "klaviyo"}, no_emails, "no customer has a usable email"),
    "a revision that lost its manifest": ({}, no_manifest, r"2_activation\.r2/manifest\.json .*is missing"),
    "an altered list": ({}, bad_table, "assignment.parquet"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_delivered_is_refused_and_leaves_nothing(shop, case):
    how, change, said = REFUSALS[case]
    if change:
        change(shop)
    with pytest.raises(Refused, match=said) as refused:
        deliver(shop, **how)
    assert "@" not in str(refused.value)
    assert not (shop.parent.parent / "reports/shop/deliveries").exists()


def test_a_full_disk_leaves_no_half_of_a_delivery(shop, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "write_whole", full)
        with pytest.raises(OSError, match="No space left"):
            deliver(shop)
    assert list((shop.parent.parent / "reports/shop/deliveries").iterdir()) == []
    deliver(shop)
    assert [d.number for d in made(shop)] == ["001"]


def test_the_re_analysis_counts_whom_the_ledger_names(shop):
    deliver(shop)
    done = run_study(shop, Asked(today=date(2023, 9, 25), cycle="first", pictures=False))
    assert [d.state for d in done] == ["unchanged", "unchanged", "published"], [d.message for d in done]
    tables = shop.parent.parent / "reports/shop/first/3_reanalysis/tables"
    seen = pd.read_parquet(tables / "integrity.parquet").set_index("check")
    assert seen.loc["sizes of the arms", "of"] == len(arms(shop))
    assert seen.loc["sizes of the arms", "verdict"] != "fails"
