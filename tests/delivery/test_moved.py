"""Addresses that change hands between deliveries: nobody is written to twice, and whoever objects is taken off."""

import csv
from datetime import date

import pandas as pd
import pytest

from crmlab.delivery.export import export_list
from crmlab.forgetting import forget_customer
from crmlab.stage.keys import study_key
from crmlab.stage.ledger import deliveries
from crmlab.stage.people import pseudonyms
from crmlab.study import load_study
from tests.live import add, email

DAY = date(2023, 8, 16)
NEW = "elsewhere@example.com"


@pytest.fixture
def shop(shop):
    """The study, and who is to be contacted."""
    table = pd.read_parquet(shop.parents[1] / "reports/shop/first/2_activation/tables/assignment.parquet")
    called = pseudonyms([f"c{k:05d}" for k in range(1, 301)], study_key(load_study(shop).study))
    arms = table.set_index("customer_id")["arm"]
    return shop, [c for c, p in called.items() if arms.get(p, "control") != "control"]


def now_at(path, **addresses):
    """Give customers other addresses; None: the customer is gone."""
    raw = path.parents[1] / "raw" / "customers.csv"
    with raw.open(newline="") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if addresses.get(row[0], "") is not None]
    for row in kept:
        row[1] = addresses.get(row[0], row[1])
    with raw.open("w", newline="") as file:
        csv.writer(file).writerows([header, *kept])


def deliver(path, day):
    told = export_list(path, "first", "email", form="mailchimp", today=date(2023, 8, day))
    folder = deliveries(path.parents[1] / "reports" / "shop")[-1].folder
    return told, {f: set(pd.read_csv(folder / f"{f}.csv")["Email Address"]) for f in ("list", "adds", "removes")}


def test_an_address_is_written_to_once_whoever_has_it(shop):
    path, (first, second, *_) = shop
    now_at(path, **{second: email(first)})
    assert email(first) in deliver(path, 16)[1]["adds"]
    now_at(path, **{first: NEW})
    told, files = deliver(path, 17)
    assert "same address as another customer" in told
    assert files["adds"] == set()
    assert email(first) not in files["list"]


def test_one_mailbox_of_gmail_is_one_address_however_it_is_written(shop):
    path, (first, second, *_) = shop
    now_at(path, **{first: "ada.lovelace@gmail.com", second: "AdaLovelace+shop@gmail.com"})
    assert {a for a in deliver(path, 16)[1]["adds"] if "lovelace" in a} == {"ada.lovelace@gmail.com"}


def test_that_the_sender_knows_another_address_of_who_is_taken_off_is_said(shop):
    path, (first, second, *_) = shop
    deliver(path, 16)
    now_at(path, **{first: NEW})
    add(path, "consents", [first, "email", "no", "2023-08-17"], [second, "email", "no", "2023-08-17"])
    told, files = deliver(path, 18)
    assert "1 to be taken off are no longer at the address the sender was given" in told
    assert email(second) in files["removes"]


@pytest.mark.parametrize("raw_first", [False, True])
def test_the_address_of_somebody_erased_is_not_written_to_under_another_id(shop, raw_first):
    path, (first, second, third, *_) = shop
    deliver(path, 16)
    if raw_first:
        now_at(path, **{first: None})
    told = forget_customer(first, study=path, today=DAY)
    assert "have them erased there" in told
    now_at(path, **{first: None, second: email(first).upper()})
    told, files = deliver(path, 18)
    assert "erased" in told
    assert email(first) not in files["list"]
    assert email(third) in files["list"]
