"""Consent, suppression, contacts and outcomes: nobody is contacted by mistake, and nothing is lost without a word."""

import hashlib

import pytest

from tests.battery.case import Case, holds, lines

DIGEST = hashlib.sha256(b"anna.rossi@posta.it").hexdigest()
CONSENTS = "customer_id,channel,state,date\n" + "".join(f"c{i:02},email,yes,2024-12-01\n" for i in range(40))
PEOPLE = "customer_id,email,name,phone,region\n" + "".join(
    f"c{i:02},anna.rossi@posta.it,Anna Rossi,333 1234567,Lazio\n" for i in range(40)
)
CONTACTS = "customer_id,campaign_id,arm,sent_at\n" + "".join(f"c{i:02},m1,treated,2025-01-10\n" for i in range(40))
OUTCOMES = "customer_id,campaign_id,date,response\n" + "".join(f"c{i:02},m1,2025-01-12,1\n" for i in range(40))
LIVE = {"mode": "live", "consent": "recorded"}


def beside(table: str, content: str, *extra: str, how: dict | None = None, **more) -> Case:
    """A hundred good orders and a second table; counts are of that one."""
    content += "".join(f"{line}\n" for line in extra)
    params = {"data": {"files": {table: {"path": f"../{table}.csv", **(how or {})}}}}
    params |= more.pop("params", {})
    return Case(files={"orders.csv": lines(), f"{table}.csv": content}, params=params, table=table, **more)


def bad(*found: int) -> tuple[int, int, list[int]]:
    """Forty good rows, and these lines set aside."""
    return (40 + len(found), 40, list(found))


CONSENT = {
    "consent assumed in live": Case(params={"mode": "live"}, code=2, said=("consent", "replay")),
    "consent in other words": Case(params={"consent": "always"}, code=2, said=("consent", "recorded")),
    "no consents at all": Case(params=LIVE, said=("no consents", "nobody may be contacted")),
    "no consents in replay": Case(params={"consent": "recorded"}, said=("consent: assumed",)),
    "plain consents": beside("consents", CONSENTS, params=LIVE, rows=bad(), facts={"customers": 40}),
    "states that nobody can read": beside(
        "consents", CONSENTS, *[f"c{i:02},email,perhaps,2025-01-01" for i in range(9)], said=("plain yes or no", "9")
    ),
    "nobody consents": beside(
        "consents",
        CONSENTS.replace("yes", "no"),
        params=LIVE,
        rows=bad(),
        said=("channel email", "nobody may be contacted"),
    ),
    "a refusal without a day": beside("consents", CONSENTS, "c01,email,no,", rows=(41, 41, []), said=("Refusals",)),
    "a refusal in the future": beside("consents", CONSENTS, "c01,email,no,2199-01-01", rows=(41, 41, [])),
    "a refusal on no channel": beside("consents", CONSENTS, "c01,,no,2025-01-01", rows=(41, 41, [])),
    "a permission without a day": beside("consents", CONSENTS, "c01,email,yes,soon", rows=(41, 41, [])),
    "a permission of nobody": beside("consents", CONSENTS, ",email,yes,2025-01-01", rows=bad(42), said=("42",)),
    "days in another format": beside(
        "consents", CONSENTS.replace("2024-12-01", "31/12/2024"), code=2, said=("consents", "date_format")
    ),
    "consents without a state": beside("consents", CONSENTS.replace("state", "x"), code=2, said=("state",)),
    "consent in columns of customers": beside(
        "customers",
        "customer_id,consent_email,consent_date\n" + "".join(f"c{i:02},si,2024-12-01\n" for i in range(40)),
        params=LIVE,
        rows=bad(),
        unsaid=("no consents",),
    ),
    "a suppression list": beside(
        "suppression", "customer_id,reason,date\n" + "c01,asked,2025-01-01\n" * 40, rows=bad()
    ),
    "a suppression list of digests": beside("suppression", f"email_sha256\n{DIGEST}\n" * 1, rows=(1, 1, [])),
    "digests that are none": beside(
        "suppression", f"email_sha256\n{DIGEST}\nabc\n", code=2, said=("suppression.csv", "line 3")
    ),
    "e-mails where digests are asked for": beside(
        "suppression", "email_sha256\nanna.rossi@posta.it\n", rows=(1, 1, [])
    ),
    "a suppression without a day": beside("suppression", "customer_id,date\nc01,\nc02,never\n", rows=(2, 2, [])),
    "a suppression that names nobody": beside(
        "suppression", "customer_id,reason\nc01,x\n,y\n", code=2, said=("suppression.csv", "line 3")
    ),
    "a suppression list without names": beside("suppression", "reason\nasked\n", code=2, said=("customer_id",)),
}

OTHERS = {
    "people, whom no output names": beside("customers", PEOPLE, rows=bad(), facts={"customers": 40}),
    "people with a bad line": beside(
        "customers", PEOPLE, ",anna.rossi@posta.it,Anna Rossi,333 1234567,Lazio", rows=bad(42), said=("42",)
    ),
    "people whose line is torn": beside(
        "customers", PEOPLE, "c99,anna.rossi@posta.it,Anna Rossi", rows=bad(42), said=("customers.csv", "42")
    ),
    "people whose columns have shifted": beside(
        "transactions",
        "customer_id,email,date,amount\n"
        + "".join(f"c{i:02},anna.rossi@posta.it,2025-01-02,5\n" for i in range(40))
        + "c1,x,anna.rossi@posta.it,Anna Rossi\n",
        rows=bad(42),
    ),
    "an address for an id": beside(
        "customers", PEOPLE.replace("customer_id,", "id,"), code=2, said=("customer_id", "columns")
    ),
    "a customer twice": beside("customers", PEOPLE, "c01,x,y,z,Umbria", rows=bad(42), said=("more than once",)),
    "customers nobody lists": beside(
        "customers", "customer_id\n" + "".join(f"x{i}\n" for i in range(9)), said=("20", "customers")
    ),
    "customers who never bought": beside("customers", PEOPLE, said=("20 of 40 customers have no transaction",)),
    "plain contacts": beside("contacts", CONTACTS, rows=bad()),
    "a contact without an arm": beside("contacts", CONTACTS, "c01,m1,,2025-01-10", rows=bad(42), said=("42",)),
    "a contact of nobody": beside("contacts", CONTACTS, ",m1,treated,2025-01-10", rows=bad(42)),
    "a contact on no day": beside("contacts", CONTACTS, "c01,m1,treated,tomorrow", rows=bad(42)),
    "a contact in the future": beside("contacts", CONTACTS, "c01,m1,treated,2026-02-01", rows=bad(42)),
    "a campaign that contacts do not know": beside(
        "contacts",
        CONTACTS,
        params={"cycles": [{"cycle": "a", "as_of": "2025-01-09", "campaigns": ["m2"]}]},
        code=2,
        said=("'m2'", "m1"),
    ),
    "a campaign that they know": beside(
        "contacts", CONTACTS, params={"cycles": [{"cycle": "a", "as_of": "2025-01-09", "campaigns": ["m1"]}]}
    ),
    "plain outcomes": beside("outcomes", OUTCOMES, rows=bad(), facts={"min_date": "2025-01-12"}),
    "an answer that is no number": beside("outcomes", OUTCOMES, "c01,m1,2025-01-12,yes", rows=bad(42), said=("42",)),
    "an answer that is half a number": beside("outcomes", OUTCOMES, "c01,m1,2025-01-12,1.5", rows=bad(42)),
    "an answer on no day": beside("outcomes", OUTCOMES, "c01,m1,,1", rows=bad(42)),
    "an answer from the future": beside("outcomes", OUTCOMES, "c01,m1,2026-01-12,1", rows=bad(42)),
    "an answer twice": beside("outcomes", OUTCOMES, "c01,m1,2025-01-12,1", rows=(41, 41, [])),
    "an answer to a campaign unknown": beside("outcomes", OUTCOMES, "c01,m9,2025-01-12,1", rows=(41, 41, [])),
    "outcomes without a campaign": beside(
        "outcomes", OUTCOMES.replace("campaign_id", "x"), code=2, said=("campaign_id",)
    ),
    "most answers are words": beside(
        "outcomes", OUTCOMES, *["c01,m1,2025-01-12,yes"] * 9, code=2, said=("outcomes.csv", "9 of 49")
    ),
    "an optional value that cannot be read": beside(
        "outcomes",
        OUTCOMES.replace("response\n", "response,spend\n").replace(",1\n", ",1,5.0\n"),
        *["c01,m1,2025-01-12,1,much"] * 6,
        said=("spend", "6"),
    ),
    "a product twice": beside(
        "products", "product_id,price\na,1\na,2\nb,1\n" + "".join(f"p{i},1\n" for i in range(40))
    ),
    "neither transactions nor customers": Case(
        files={"offers.csv": "offer_id\na\n"},
        params={"data": {"files": {"transactions": None, "offers": {"path": "../offers.csv"}}}},
        code=2,
        said=("neither 'transactions' nor 'customers'",),
    ),
    "people without transactions": Case(
        files={"people.csv": PEOPLE},
        params={"data": {"files": {"transactions": None, "customers": {"path": "../people.csv"}}}},
        said=("analysis of a, due",),
    ),
    "quantity and price instead of an amount": Case(
        files={"orders.csv": lines(header="customer_id,date,price,quantity").replace(".50\n", ".50,2\n")},
        facts={"sum_amount": 10_000.0},
        said=("quantity times price",),
        rows=(100, 100, []),
    ),
    "a price that cannot be read": Case(
        files={
            "orders.csv": lines(100, "c01,2025-01-12,dear", header="customer_id,date,price,quantity")
            .replace("\n", ",2\n")
            .replace("quantity,2", "quantity")
        },
        said=("no readable amount",),
        rows=(101, 100, [102]),
    ),
    "a quarter of the sales to nobody": Case(
        files={"orders.csv": lines(75, *[",2025-01-12,3.00"] * 25)}, code=2, said=("anonymous: set_aside",)
    ),
    "a quarter of the sales to nobody, as they should": Case(
        files={"orders.csv": lines(75, *[",2025-01-12,3.00"] * 25)},
        params={"data": {"anonymous": "set_aside"}},
        rows=(100, 75, list(range(77, 102))),
    ),
    "sales to nobody declared, and too many other faults": Case(
        files={"orders.csv": lines(75, *[",2025-01-12,3.00"] * 20, *["c01,2025-01-12,"] * 5)},
        params={"data": {"anonymous": "set_aside"}},
        code=2,
        said=("5 no readable amount",),
    ),
    "a cycle before the data": Case(
        params={"cycles": [{"cycle": "a", "as_of": "2024-01-31"}]}, said=("2024-01-31", "none")
    ),
    "a cycle after the data": Case(
        params={"cycles": [{"cycle": "a", "as_of": "2027-01-31"}]}, said=("cycle a", "2027-01-31")
    ),
    "one day of data": Case(
        files={"orders.csv": "customer_id,date,amount\n" + "".join(f"c{i},2025-01-02,5\n" for i in range(30))},
        said=("one day of data",),
    ),
    "nobody comes back": Case(
        files={
            "orders.csv": "customer_id,date,amount\n" + "".join(f"c{i},2025-01-{1 + i % 28:02},5\n" for i in range(30))
        },
        said=("nobody comes back",),
    ),
}


@pytest.mark.parametrize("case", CONSENT)
def test_consent(tmp_path, case):
    holds(CONSENT[case], tmp_path)


@pytest.mark.parametrize("case", OTHERS)
def test_people_contacts_and_outcomes(tmp_path, case):
    holds(OTHERS[case], tmp_path)
