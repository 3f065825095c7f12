"""In which segment people were when they were contacted: by the day before, whatever is known by then."""

from datetime import date

import ibis
import pandas as pd
import pytest

from crmlab.base.traits import TraitsParams
from crmlab.data.schema import nothing
from crmlab.segments.at_contact import at_contact
from crmlab.segments.tree import from_yaml

BY_JOB = from_yaml("""
next_id: 4
nodes:
- {id: s1, name: Students, when: [{trait: job, is: [student]}]}
- {id: s2, name: Unknown, when: [{trait: job, missing: true}]}
- {id: s3, name: Others, when: []}
""")
BY_SURVEY = from_yaml("""
next_id: 4
nodes:
- {id: s1, name: Happy, when: [{trait: survey_service, at_least: 8}]}
- {id: s2, name: Not asked, when: [{trait: survey_service, missing: true}]}
- {id: s3, name: Unhappy, when: []}
""")


@pytest.fixture(scope="module")
def con():
    return ibis.duckdb.connect()


def held(con, name: str, frame: pd.DataFrame) -> ibis.Table:
    table = ibis.memtable(frame)
    days = [c for c in frame.columns if c in ("date", "sent_at")]
    casts = {c: table[c].cast("date") for c in days}
    if "amount" in frame:
        casts["amount"] = table.amount.cast("decimal(18, 4)")
    return con.create_table(name, table.mutate(**casts), temp=True)


def sent(*pairs: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(pairs, columns=["customer_id", "sent_at"])
    return frame.assign(sent_at=pd.to_datetime(frame["sent_at"]), campaign_id="k", arm="contacted")


def test_people_of_a_list_without_purchases_are_placed_on_any_day(con):
    people = pd.DataFrame({"customer_id": ["a", "b", "c"], "job": ["student", None, "clerk"]})
    contacts = sent(("a", "2024-03-04"), ("b", "2024-03-05"), ("c", "2024-03-05"), ("z", "2024-03-05"))
    tables = {"transactions": nothing("transactions"), "customers": held(con, "people_1", people)}
    tables["contacts"] = held(con, "contacts_1", contacts)
    known = {date(2024, 3, 3): pd.Series({"c": "s3"})}  # the membership of that day knew nobody but c
    found = at_contact(BY_JOB, tables, contacts, params=TraitsParams(), known=known)
    assert found.tolist()[:3] == ["s1", "s2", "s3"]
    assert pd.isna(found.iloc[3])


def test_an_item_that_nobody_had_been_asked_by_then_is_an_answer_not_given(con):
    bought = pd.DataFrame({"customer_id": ["a", "b"], "date": pd.to_datetime(["2024-01-01"] * 2), "amount": [5, 6]})
    asked = pd.DataFrame(
        {"customer_id": ["a", "b"], "date": pd.to_datetime(["2024-02-10"] * 2), "item": "service", "score": [9, 3]}
    )
    tables = {"transactions": held(con, "bought_2", bought), "survey": held(con, "asked_2", asked)}
    contacts = sent(("a", "2024-02-01"), ("a", "2024-02-20"), ("b", "2024-02-20"), ("b", "2023-12-01"))
    found = at_contact(BY_SURVEY, tables, contacts, params=TraitsParams(), known={})
    assert found.tolist()[:3] == ["s2", "s1", "s3"]
    assert pd.isna(found.iloc[3]), "before the first purchase nobody was there"
