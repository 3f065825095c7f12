"""A small live study as a company would have it: raw files with identity, consents and objections."""

import csv
from hashlib import sha256
from pathlib import Path

import yaml

from crmlab.data.simulated import Options, _transactions, truth
from tests.world import QUICK_CLV

COMPANY = {"n_customers": 300, "weeks": 60, "seed": 5}
AS_OF = "2023-08-13"
"""The last day of the first cycle; its window of six weeks ends on 2023-09-24."""


def email(customer: str) -> str:
    """The e-mail address of a customer of the live study."""
    return f"{customer}.person@example.com"


def phone(customer: str) -> str:
    """The phone number of a customer of the live study."""
    return f"+3933300{customer[1:]:0>5}"


def name(customer: str) -> str:
    """The name of a customer of the live study."""
    return f"Ada{customer} Lovelace{customer}"


def objected(customers: list[str]) -> dict[str, list[str]]:
    """Who of the live study's customers may not be contacted from the start, and why."""
    return {"withdrawn": customers[3::50], "unknown": customers[7::50], "id": customers[11::50]}


def live_study(folder: Path) -> Path:
    """Write the raw files and the params file of a live study with two cycles, and return the path of the latter.

    Ids are ``c00001`` and so on; everybody has an e-mail address, a name and a phone number. The files are
    ``raw/transactions.csv``, ``customers.csv``, ``consents.csv`` and ``suppression.csv``.
    """
    options = Options(**COMPANY)
    world = truth(options)
    customers = list(world.customers["customer_id"])
    barred = objected(customers)
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    bought = _transactions(options, world)[["customer_id", "date", "amount", "order_id"]]
    bought.to_csv(raw / "transactions.csv", index=False, date_format="%Y-%m-%d")
    write(
        raw / "customers.csv",
        ["customer_id", "email", "name", "phone", "country", "club"],
        [[c, email(c), name(c), phone(c), "IT", k] for c, k in zip(customers, world.customers["club"], strict=True)],
    )
    granted = [[c, "email", "granted", "2023-01-02"] for c in customers if c not in barred["unknown"]]
    refused = [[c, "email", "withdrawn", "2023-03-01"] for c in barred["withdrawn"]]
    write(raw / "consents.csv", ["customer_id", "channel", "state", "date"], [*granted, *refused])
    write(
        raw / "suppression.csv",
        ["customer_id", "email_sha256", "reason", "date"],
        [[c, "", "complaint", "2023-04-01"] for c in barred["id"]],
    )
    params = {
        "study": "shop",
        "title": "A small live study",
        "mode": "live",
        "seed": 11,
        "data": {
            "files": {t: {"path": f"../raw/{t}.csv"} for t in ("transactions", "customers", "consents", "suppression")},
            "extracted_on": "2024-02-25",
        },
        "cycles": [
            {"cycle": "first", "as_of": AS_OF, "outcome_window": "6w"},
            {"cycle": "second", "as_of": "2023-10-08", "outcome_window": "6w"},
        ],
        "protocol": {"primary": "level", "holdout": 0.2},
        "segments": {"by": "frequency", "bands": 2},
        "clv": {"horizon_weeks": 26, "margin_share": 0.3, **QUICK_CLV},
        "activation": {"budget": 60, "cost_per_contact": 0.25},
        "beliefs": {"prior_response": {"mean": 0.2, "strength": 20}},
    }
    path = folder / "params" / "shop.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    return path


def write(path: Path, header: list[str], rows: list[list]) -> None:
    """Write a raw file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def add(path: Path, table: str, *rows: list) -> None:
    """Add rows to a raw file of the live study whose params file is at `path`."""
    with (path.parent.parent / "raw" / f"{table}.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def hashed(address: str) -> str:
    """SHA-256 of an e-mail address, as a suppression list holds it."""
    return sha256(address.strip().lower().encode()).hexdigest()
