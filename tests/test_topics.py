"""Topics: one question each, asked of any study after its analysis."""

import json
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import yaml

from crmlab.contract import Refused
from crmlab.loop import Asked, run_study
from crmlab.report.index import TOPICS
from crmlab.stage.context import topics
from tests.world import QUICK_CLV

AS_OF = date(2023, 12, 31)


@pytest.fixture(scope="module")
def subscribers(tmp_path_factory):
    """A company of 600 subscribers whose payments are its orders."""
    folder = tmp_path_factory.mktemp("subscribers")
    rng = np.random.default_rng(3)
    payments, contracts = [], []
    for i in range(600):
        start, stays = date(2022, 1, 10) + timedelta(days=int(rng.integers(0, 500))), rng.geometric(rng.beta(1, 6))
        days = [start + timedelta(days=round(30.5 * k)) for k in range(min(stays, 24))]
        end = start + timedelta(days=round(30.5 * stays))
        contracts.append((f"c{i}", start, end if end <= AS_OF else None, 9.9))
        payments += [(f"c{i}", day, 9.9 + float(rng.integers(0, 5))) for day in days if day <= AS_OF]
    pd.DataFrame(payments, columns=["customer_id", "date", "amount"]).to_csv(folder / "orders.csv", index=False)
    columns = ["customer_id", "started_on", "ended_on", "fee"]
    pd.DataFrame(contracts, columns=columns).to_csv(folder / "contracts.csv", index=False)
    (folder / "params").mkdir()
    path = folder / "params" / "gym.yaml"
    study = {
        "study": "gym",
        "mode": "replay",
        "consent": "assumed",
        "seed": 2,
        "data": {
            "extracted_on": str(AS_OF),
            "files": {"transactions": {"path": "../orders.csv"}, "subscriptions": {"path": "../contracts.csv"}},
        },
        "cycles": [{"cycle": "one", "as_of": str(AS_OF), "outcome_window": "4w"}],
        "segments": {"by": "frequency", "bands": 2},
        "clv": {"margin_share": 0.5, "horizon_weeks": 13, "kept_draws": 50, **QUICK_CLV},
        "topics": ["subscriptions"],
    }
    path.write_text(yaml.safe_dump(study))
    asked = Asked(today=date(2024, 1, 10), through="analysis", pictures=False, topics=("lifetime_value",))
    return path, asked, run_study(path, asked)


def test_topics_of_the_study_and_of_the_command_are_published_after_the_analysis(subscribers):
    path, asked, done = subscribers
    assert [(d.stage, d.state) for d in done] == [
        ("analysis", "published"),
        ("subscriptions", "published"),
        ("lifetime_value", "published"),
    ], [d.message for d in done]
    folder = path.parents[1] / "reports/gym/one"
    value = pd.read_parquet(folder / "topic_subscriptions/tables/contract_value.parquet")
    assert len(value)
    compared = pd.read_parquet(folder / "topic_lifetime_value/tables/comparison.parquet")
    assert {"bgnbd", "pareto_nbd", "pace"} <= set(compared["model"])
    manifest = json.loads((folder / "topic_subscriptions/manifest.json").read_text())
    assert list(manifest["parents"]) == ["analysis"]
    assert {d.state for d in run_study(path, asked)} == {"unchanged"}
    index = (folder.parent / "index.html").read_text()
    assert "Subscriptions" in index
    assert "Lifetime value" in index


def test_a_topic_nobody_wrote_is_refused_naming_those_there_are(subscribers):
    path, _, _ = subscribers
    with pytest.raises(Refused, match="there are: lifetime_value, segment_cards, segmentations, subscriptions"):
        run_study(path, Asked(today=date(2024, 1, 10), topics=("horoscope",)))


def test_a_topic_that_lacks_its_table_fails_alone_and_says_what_to_declare(subscribers):
    path, _, _ = subscribers
    other = path.with_name("shop.yaml")
    study = yaml.safe_load(path.read_text()) | {"study": "shop"}
    del study["data"]["files"]["subscriptions"]
    other.write_text(yaml.safe_dump(study))
    done = run_study(other, Asked(today=date(2024, 1, 10), through="analysis", pictures=False))
    assert [(d.stage, d.exit_code) for d in done] == [("analysis", 0), ("subscriptions", 2)]
    assert "no such table; declare it under data" in done[-1].message


def test_every_topic_has_a_name_on_the_index():
    assert {f"topic_{t}" for t in topics()} == set(TOPICS)
