"""How segments answered: hand-worked rates, a ratio that is fair to campaigns, intervals that cover."""

import numpy as np
import pandas as pd
import pytest

from crmlab.contract import generator
from crmlab.segments.answered import answered, latest


def rows(parts: list[tuple]) -> pd.DataFrame:
    """campaign, arm, segment, customers, responders → one row a contact."""
    out, k = [], 0
    for campaign, arm, segment, n, yes in parts:
        for i in range(n):
            out.append((f"{k:05d}", campaign, arm, pd.Timestamp("2024-01-01"), int(i < yes), segment))
            k += 1
    return pd.DataFrame(out, columns=["customer_id", "campaign_id", "arm", "sent_at", "response", "segment"])


def test_rates_and_the_expected_rate_are_those_worked_by_hand():
    # s1 got the weak campaign, s2 the strong one: each answers as all do in its campaigns.
    found = answered(
        rows([("w", "mailed", "s1", 90, 9), ("w", "mailed", "s2", 10, 1), ("g", "mailed", "s1", 10, 4),
              ("g", "mailed", "s2", 90, 36)]), {"s1": "One"},
    )  # fmt: skip
    row = found.table.set_index(["segment", "campaign_id"]).loc[("s1", "w")]
    assert row[["customers", "responders", "rate", "base"]].tolist() == [90, 9, 0.1, 0.1]
    assert row["name"] == "One"
    overall = found.overall.set_index("segment")
    assert overall.loc["s1", ["rate", "expected", "ratio"]].tolist() == pytest.approx([0.13, 0.13, 1.0])
    assert overall.loc["s2", "ratio"] == pytest.approx(1.0), "its plain rate is far higher, its answers are not"


def test_those_withheld_have_rows_but_no_part_in_the_ratio():
    sent = [("c", "mailed", "s1", 50, 10), ("c", "control", "s1", 50, 40), ("c", "mailed", "s2", 50, 10)]
    found = answered(rows(sent), {})
    assert found.overall.set_index("segment").loc["s1", ["contacts", "ratio"]].tolist() == pytest.approx([50, 1.0])
    assert set(found.table["arm"]) == {"mailed", "control"}


def test_the_ratio_s_interval_covers_where_a_customer_s_contacts_are_alike():
    rng, covered, times = generator(8, "answered"), 0, 150
    for _ in range(times):
        n = 400
        here = rng.random(n) < 0.3
        rate = np.clip(rng.beta(2, 8, n) * np.where(here, 1.5, 1.0), 0, 1)
        who = np.repeat(np.arange(n), 2)
        frame = pd.DataFrame({"customer_id": [f"{i:03d}" for i in who], "campaign_id": np.tile(["a", "b"], n)})
        frame = frame.assign(arm="mailed", sent_at=pd.Timestamp("2024-01-01"))
        frame = frame.assign(response=(rng.random(2 * n) < rate[who]).astype(int))
        frame = frame.assign(segment=np.where(here[who], "s1", "s2"))
        row = answered(frame, {}).overall.set_index("segment").loc["s1"]
        covered += row["low"] <= 1.5 / 1.15 <= row["high"]
    assert covered / times == pytest.approx(0.90, abs=0.06)


def test_none_of_few_is_not_taken_for_certain_and_one_segment_is_compared_with_nobody():
    overall = answered(rows([("c", "mailed", "s1", 8, 0), ("c", "mailed", "s2", 92, 10)]), {}).overall
    assert overall.loc[0, "high"] > 1
    assert np.isnan(answered(rows([("c", "mailed", "s1", 50, 10)]), {}).overall.loc[0, "ratio"])


def test_nothing_tried_is_said_and_small_cells_are_not_shown():
    nothing = answered(rows([]).astype({"response": "int64", "segment": "str"}), {})
    assert "nothing is known" in str(nothing.sentences()[0])
    some = answered(rows([("c", "mailed", "s1", 4, 1), ("d", "mailed", "s1", 6, 1)]), {})
    assert some.sentences() == []
    assert latest(some.table, "s1", 9)["campaign_id"].tolist() == ["d"]
