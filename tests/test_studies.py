"""The same notebooks, unchanged, on other companies and from other places."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import yaml

from crmlab.loop import Asked, run_study
from tests.world import QUICK_CLV, params_file

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory):
    """A shop of other columns and another calendar, without campaigns, in Italian, every word of it required."""
    folder = tmp_path_factory.mktemp("cdnow")
    (folder / "params").mkdir()
    study = {
        "study": "cdnow",
        "lang": "it",
        "mode": "replay",
        "consent": "assumed",
        "seed": 1,
        "data": {"source": "cdnow", "options": {"sample": True}},
        "cycles": {"every": "quarter", "first": "1997-10-01", "outcome_window": "12w"},
        "clv": {"margin_share": 0.3, **QUICK_CLV},
    }
    (folder / "params" / "cdnow.yaml").write_text(yaml.safe_dump(study))
    command = [BIN / "crmlab", "run", "params/cdnow.yaml", "--today", "1997-12-24"]
    strict = {**os.environ, "CRMLAB_STRICT_WORDS": "1"}
    return subprocess.run(command, env=strict, cwd=folder, capture_output=True, text=True), folder / "reports" / "cdnow"


def test_a_shop_without_campaigns_turns_through_the_whole_loop_in_italian(cdnow):
    done, reports = cdnow
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(p.parent.name for p in reports.glob("1997-10/*/page.html")) == [
        "1_analysis",
        "2_activation",
        "3_reanalysis",
    ]
    page = (reports / "1997-10/1_analysis/page.html").read_text()
    assert '<html lang="it"' in page
    assert "I clienti ritornano?" in page
    assert "Do they come back?" not in page


def test_a_calendar_by_rule_says_when_the_next_stage_is_due(cdnow):
    assert "Next due: analysis of 1998-01 on 1998-01-01" in cdnow[0].stdout


def test_what_was_published_of_a_known_base_is_what_was_in_it(cdnow):
    """Fader, Hardie & Lee (2005): 2,357 customers, and 1,411 of them without a repeat purchase by 1997-09-30."""
    history = pd.read_parquet(cdnow[1] / "1997-10/1_analysis/tables/value.parquet")
    assert len(history) == 2357
    assert (history["x"] == 0).sum() == 1411


def test_effects_are_estimated_where_contact_was_random(tmp_path):
    options = {"heterogeneity": "none", "effect": 0.2, "n_customers": 2500}
    path = params_file(tmp_path, options=options, protocol={"primary": "effect"})
    done = run_study(path, Asked(today=date(2024, 6, 1), cycle="first", pictures=False))
    assert [d.state for d in done] == ["published"] * 3, done
    effects = pd.read_parquet(tmp_path / "reports/world/first/3_reanalysis/tables/effects.parquet")
    overall = effects[(effects["outcome"] == "response") & (effects["segment"] == "all")]
    assert overall["uplift"].iloc[0] == pytest.approx(0.2, abs=0.05)
    assert overall["low"].iloc[0] > 0.1


def test_nothing_is_called_an_effect_where_contact_was_not_random(tmp_path):
    path = params_file(tmp_path, options={"randomised": False}, design="observational")
    done = run_study(path, Asked(today=date(2024, 6, 1), cycle="first", pictures=False))
    assert [d.state for d in done] == ["published"] * 3, done
    effects = pd.read_parquet(tmp_path / "reports/world/first/3_reanalysis/tables/effects.parquet")
    assert effects.empty
    verdicts = yaml.safe_load((tmp_path / "reports/world/first/3_reanalysis/verdicts.yaml").read_text())["verdicts"]
    assert {v["verdict"] for v in verdicts if v["kind"] == "effect"} == {"not identifiable"}


def snapshot(folder):
    return {p: p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


def test_plain_papermill_runs_from_any_folder_and_publishes_nothing(cdnow, tmp_path):
    before = snapshot(cdnow[1].parent)
    for notebook, cycle in (("3_reanalysis", "1997-10"), ("1_analysis", "1998-01")):
        out = tmp_path / f"{notebook}.ipynb"
        study = cdnow[1].parents[1] / "params" / "cdnow.yaml"
        source = ROOT / "notebooks" / "loop" / f"{notebook}.ipynb"
        words = [BIN / "papermill", source, out, "-p", "study", study, "-p", "cycle", cycle, "--no-progress-bar"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "crmlab run" in out.read_text()
    assert snapshot(cdnow[1].parent) == before
