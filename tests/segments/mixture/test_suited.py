"""Which traits classes are sought in."""

import pandas as pd

from crmlab.segments.mixture.suited import suited

CATALOGUE = pd.DataFrame(
    [
        ("frequency", "number", "transactions"),
        ("contacts_26w", "number", "contacts"),
        ("responses_26w", "number", "outcomes"),
        ("job", "category", "customers"),
        ("age", "number", "customers"),
    ],
    columns=["name", "kind", "source"],
).assign(sensitive=False, allowed_for_splits=True)


def people(**more):
    n = range(200)
    plain = {"frequency": [k % 9 for k in n], "contacts_26w": [k % 5 for k in n], "responses_26w": [k % 3 for k in n]}
    return pd.DataFrame(plain | {"job": ["a", "b"] * 100, "age": [20 + k % 50 for k in n]} | more)


def test_what_customers_do_is_looked_at_and_what_the_company_did_is_not():
    found = suited(people(), CATALOGUE, None)
    assert (found.numbers, found.categories) == (("frequency", "responses_26w"), ())


def test_where_nobody_is_seen_to_buy_people_are_looked_at_as_they_are():
    found = suited(people(frequency=0), CATALOGUE, None)
    assert (found.numbers, found.categories) == (("responses_26w", "age"), ("job",))
    assert found.left_out == {"frequency": "the same for nearly everybody"}
    without = suited(people().drop(columns="frequency"), CATALOGUE, None)
    assert (without.numbers, without.categories) == (("responses_26w", "age"), ("job",))


def test_whoever_asks_for_contacts_gets_them():
    assert suited(people(), CATALOGUE, ("contacts_26w",)).numbers == ("contacts_26w",)
