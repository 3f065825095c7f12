"""What is known on the day of a delivery."""

from datetime import date

import pandas as pd
import pyarrow as pa

from crmlab.activation.eligibility import EligibilityParams
from crmlab.data.raw import hold
from crmlab.delivery.today import day_of, people_of
from crmlab.stage.inputs import connect
from crmlab.stage.ledger import COLUMNS, with_ledger

KEY = b"a key of thirty-two bytes length"


def test_contacts_of_somebody_withheld_count_on_the_days_their_log_tells():
    con = connect()
    row = {"customer_id": "p1", "campaign_id": "one", "channel": "email", "cost": 0.0}
    days = {"sent_at": "2024-01-02", "delivered_on": "2024-01-03"}
    sent = pd.DataFrame([{**row, **days, "arm": "control"}]).astype(COLUMNS)[list(COLUMNS)]
    log = {
        "customer_id": ["p1", "p1", "p2"],
        "campaign_id": ["one", "one", "one"],
        "arm": ["mailed"] * 3,
        "sent_at": [date(2024, 2, 1), date(2024, 2, 8), date(2024, 2, 8)],
    }
    contacts = with_ledger(hold(con, "log", pa.table(log)), sent, con)
    identity = pd.DataFrame({"customer_id": ["1", "2"], "email": ["a@x.it", "b@x.it"]}, dtype="str")
    called = pd.Series({"1": "p1", "2": "p2"})
    day = day_of(
        {"contacts": contacts},
        people_of(identity, called, channel="email", form="plain", key=KEY),
        sent=sent,
        gone=(),
        channel="email",
        campaign="two",
        params=EligibilityParams(cap=2, cap_weeks=2),
        today=date(2024, 2, 10),
        con=con,
    )
    assert day.capped == {"p1"}
