"""Published stages executed again and compared."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from crmlab.contract import Locked, Refused
from crmlab.forgetting import forget_customer
from crmlab.loop import Asked, run_study
from crmlab.stage.comparison import apart, tables_apart
from crmlab.stage.folder import Published, lock, publish
from crmlab.stage.people import people
from crmlab.verification import verify_cycle
from tests.world import called, params_file

TODAY = date(2024, 6, 1)


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A small study whose first cycle is published."""
    path = params_file(tmp_path_factory.mktemp("turned"), options={"n_customers": 600, "heterogeneity": "level"})
    done = run_study(path, Asked(today=TODAY, cycle="first", pictures=False))
    assert [d.state for d in done] == ["published"] * 3, done
    return path


@pytest.fixture
def study(turned, tmp_path):
    """A copy of it that a test may damage."""
    shutil.copytree(turned.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "params" / turned.name


def verify(path, **asked):
    return verify_cycle("first", study=path, pictures=False, **asked)


def everything(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"}


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def reseal(stage):
    """Make a manifest agree with files that somebody changed."""
    manifest = json.loads((stage / "manifest.json").read_text())
    (stage / "manifest.json").unlink()
    del manifest["digest"]
    publish(stage, stage, manifest)


def test_every_table_comes_out_equal_to_the_byte_and_reports_are_not_touched(turned):
    before = everything(turned.parents[1] / "reports")
    verified = verify(turned)
    assert verified.exit_code == 0, str(verified)
    assert [s.stage for s in verified.stages] == ["analysis", "activation", "reanalysis"]
    assert all(len(s.files) >= 6 and "params.yaml" in s.files for s in verified.stages)
    assert str(verified).count("equal to the byte") == 3
    assert everything(turned.parents[1] / "reports") == before


def test_the_command_executes_a_stage_in_a_kernel_under_other_settings(turned):
    command = [Path(sys.executable).parent / "crmlab", "verify", "first", "--stage", "activation"]
    strange = {**os.environ, "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=turned.parents[1], env=strange, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"activation: all [0-9]+ files are equal to the byte", done.stdout)


@pytest.mark.parametrize(
    "what",
    ["1_analysis/tables/traits.parquet", "1_analysis/manifest.json", "2_activation/protocol.yaml", "input", "people"],
)
def test_a_flipped_bit_is_named_before_anything_is_executed(study, what):
    cycle = study.parents[1] / "reports/world/first"
    path = cycle / what
    if what == "input":
        digest = Published(cycle / "1_analysis").manifest["identity"]["inputs"]["transactions"][0]
        path = cycle.parent / "inputs" / f"{digest}.parquet"
    if what == "people":
        (path,) = (cycle.parent / "people").iterdir()
    flip(path)
    with pytest.raises(Refused, match=re.escape(str(path))) as refused:
        verify(study)
    assert "restore" in str(refused.value)


def test_an_altered_parent_is_named(study):
    cycle = study.parents[1] / "reports/world/first"
    flip(cycle / "1_analysis/tables/membership.parquet")
    with pytest.raises(Refused, match=r"membership\.parquet"):
        verify(study, stage="reanalysis")
    (cycle / "1_analysis/manifest.json").rename(cycle / "kept")
    with pytest.raises(Refused, match=r"1_analysis/manifest\.json"):
        verify(study, stage="reanalysis")
    (cycle / "kept").rename(cycle / "1_analysis/manifest.json")
    shutil.copy(study.parents[1] / "params/world.yaml", cycle / "1_analysis/tables/membership.parquet")
    reseal(cycle / "1_analysis")
    with pytest.raises(Refused, match="is not the stage that was built on"):
        verify(study, stage="reanalysis")


def test_a_table_that_comes_out_otherwise_is_told_with_how_far_it_is(study):
    stage = study.parents[1] / "reports/world/first/2_activation"
    table = pd.read_parquet(stage / "tables/plan.parquet")
    table.loc[3, "expected_value"] *= 1.001
    table.to_parquet(stage / "tables/plan.parquet", index=False)
    reseal(stage)
    verified = verify(study, stage="activation")
    assert verified.exit_code == 3
    assert re.search(r"plan\.parquet +1 of [0-9]+ rows differ, in expected_value; by at most 1\.0e-03", str(verified))


def test_erasure_is_told_and_is_no_failure(study):
    reports = study.parents[1] / "reports/world"
    who = list(people(reports)["customer_id"].iloc[[3, 50]])
    for customer in who:
        forget_customer(customer, study=study, today=TODAY)
    verified = verify(study, stage="activation")
    assert verified.exit_code == 0, str(verified)
    assert "2 people were erased since" in str(verified)
    assert "has moved" in str(verified)
    (again,) = verified.stages
    assert again.files["tables/eligibility.parquet"] == ""
    published = pd.read_parquet(reports / "first/2_activation/tables/eligibility.parquet")
    assert set(called(study, who)) <= set(published["customer_id"])


def test_what_is_not_published_is_refused_naming_what_is(turned):
    with pytest.raises(Refused, match="published are analysis, activation, reanalysis"):
        verify(turned, stage="portfolio")
    with pytest.raises(Refused, match="nothing of it is published"):
        verify_cycle("second", study=turned, pictures=False)
    with pytest.raises(Refused, match="nothing of it is published"):
        verify_cycle("../first", study=turned, pictures=False)


def test_a_study_in_use_is_left_alone(turned):
    with lock(turned.parents[1] / "reports/world"), pytest.raises(Locked):
        verify(turned)


def test_tables_are_compared_value_by_value(tmp_path):
    one = pd.DataFrame({"customer_id": ["a", "b"], "x": [1.0, None]})
    assert tables_apart(one, one.copy()) == ""
    assert "2 rows were published, 1 are made now" in tables_apart(one, one.head(1))
    assert "without x" in tables_apart(one, one[["customer_id"]])
    assert "1 of 2 rows differ, in x; by at most inf" in tables_apart(one, one.fillna({"x": 2.0}))
    assert tables_apart(one, one.assign(customer_id=["a", "c"])) == "1 of 2 rows differ, in customer_id"
    paths = [tmp_path / "1.yaml", tmp_path / "2.yaml"]
    for path, text in zip(paths, ("a: 1\nb: 2\n", "a: 1\nb: 3\n"), strict=True):
        path.write_text(text)
    assert apart(*paths) == "1 lines differ; line 2 was 'b: 2', is 'b: 3'"
    assert apart(paths[0], tmp_path / "3.yaml") == "was not made again"
