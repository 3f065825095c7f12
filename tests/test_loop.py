"""The loop, run for real on small simulated companies."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from crmlab.contract.result import FEWEST
from crmlab.loop import Asked, run_study
from crmlab.segments.tree import from_yaml
from tests.world import params_file

LATER = date(2024, 6, 1)


def run(path, *, today=LATER, **asked):
    return run_study(path, Asked(today=today, pictures=False, **asked))


def states(done):
    return {(d.cycle, d.stage): d.state for d in done}


def digests(reports):
    found = {}
    for path in sorted(reports.glob("*/*/*/manifest.json")):
        files = json.loads(path.read_text())["files"]
        found |= {f"{path.parent.relative_to(reports)}/{n}": d for n, d in files.items() if n.startswith("tables/")}
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A study of two cycles with a planted difference in level, run once in this process."""
    folder = tmp_path_factory.mktemp("world")
    path = params_file(folder, options={"heterogeneity": "level"})
    return path, run(path), folder / "reports"


def test_two_cycles_are_published_stage_by_stage(world):
    _, done, reports = world
    assert [(d.cycle, d.stage, d.state) for d in done] == [
        (c, s, "published") for c in ("first", "second") for s in ("analysis", "activation", "reanalysis")
    ], [d.message for d in done if d.exit_code]
    for path in reports.glob("world/*/[123]_*"):
        manifest = json.loads((path / "manifest.json").read_text())
        held = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - {"manifest.json"}
        assert held == set(manifest["files"])


def test_a_second_run_does_nothing_and_says_so(world):
    path, _, reports = world
    before = {p: p.stat().st_mtime_ns for p in reports.glob("*/*/[123]_*/**/*")}
    assert set(states(run(path)).values()) == {"unchanged"}
    assert {p: p.stat().st_mtime_ns for p in reports.glob("*/*/[123]_*/**/*")} == before


def test_planted_heterogeneity_is_found_confirmed_and_in_force_in_the_next_cycle(world):
    _, _, reports = world
    before = from_yaml((reports / "world/first/1_analysis/segments.yaml").read_text())
    proposed = from_yaml((reports / "world/first/3_reanalysis/segments_next.yaml").read_text())
    after = from_yaml((reports / "world/second/1_analysis/segments.yaml").read_text())
    assert proposed == after
    new = [n for n in after.nodes if n.id not in {m.id for m in before.nodes}]
    assert new
    assert all(n.parent for n in new)
    assert {c.trait for n in new for c in n.when} == {"club"}
    splits = pd.read_parquet(reports / "world/first/3_reanalysis/tables/splits.parquet")
    assert splits["adopted"].sum() == len({n.parent for n in new})


def test_without_heterogeneity_the_next_cycle_starts_from_the_same_tree(tmp_path):
    path = params_file(tmp_path, options={"heterogeneity": "none"})
    run(path, through="reanalysis", cycle="first")
    run(path, through="analysis", cycle="second")
    first, second = (tmp_path / f"reports/world/{c}/1_analysis/segments.yaml" for c in ("first", "second"))
    assert first.read_text() == second.read_text()


def test_nobodys_arm_depends_on_who_else_is_there_and_no_list_row_names_more_than_an_id(world):
    _, _, reports = world
    arms = pd.read_parquet(reports / "world/first/2_activation/tables/assignment.parquet")
    assert set(arms["arm"]) <= {"contacted", "control"}
    assert arms["customer_id"].is_unique
    assert not {"email", "name", "phone"} & set(arms.columns)


def test_campaign_ids_end_in_digits_of_the_protocols_digest(world):
    _, _, reports = world
    arms = pd.read_parquet(reports / "world/first/2_activation/tables/assignment.parquet")
    assert re.search(r"[0-9a-f]{8}$", arms["campaign_id"].iloc[0])
    assert (reports / "world/first/2_activation/protocol.yaml").is_file()


def test_adding_a_cycle_leaves_published_stages_as_they_were(world, tmp_path):
    path, _, reports = world
    shutil.copytree(reports, tmp_path / "reports")
    copy = tmp_path / "params" / path.name
    copy.parent.mkdir()
    study = yaml.safe_load(path.read_text())
    study["cycles"].append({"cycle": "third", "as_of": "2023-12-03", "outcome_window": "4w", "campaigns": ["s03"]})
    copy.write_text(yaml.safe_dump(study))
    done = states(run(copy, through="analysis"))
    assert done[("first", "analysis")] == done[("second", "analysis")] == "unchanged"
    assert done[("third", "analysis")] == "published"


def test_a_changed_parameter_is_refused_by_name_until_a_revision_is_asked_for(world, tmp_path):
    path, _, reports = world
    shutil.copytree(reports, tmp_path / "reports")
    copy = tmp_path / "params" / path.name
    copy.parent.mkdir()
    copy.write_text(path.read_text().replace("budget: 200", "budget: 150"))
    done = run(copy, cycle="first", through="activation")
    assert done[-1].exit_code == 2
    assert "activation.budget was" in done[-1].message
    assert not (tmp_path / "reports/world/first/2_activation.r2").exists()
    done = run(copy, cycle="first", through="activation", revise=True)
    assert states(done) == {("first", "analysis"): "unchanged", ("first", "activation"): "published"}
    assert (tmp_path / "reports/world/first/2_activation.r2/manifest.json").is_file()


def test_a_cycle_waits_for_the_one_it_starts_from(tmp_path):
    path = params_file(tmp_path)
    (done,) = run(path, cycle="second", through="analysis")
    assert done.exit_code == 2
    assert "builds on the re-analysis of first" in done.message
    assert not (tmp_path / "reports/world/second/1_analysis").exists()


def test_an_unknown_campaign_is_refused_naming_those_there_are(tmp_path):
    path = params_file(tmp_path, cycles=[{"cycle": "a", "as_of": "2023-08-13", "campaigns": ["s99"]}])
    (done,) = run(path)
    assert done.exit_code == 2
    assert "no campaign 's99'" in done.message
    assert "s01" in done.message


def test_what_is_due_is_decided_by_the_day(tmp_path):
    path = params_file(tmp_path)
    done = run(path, today=date(2023, 8, 13))
    assert set(states(done).values()) == {"not yet due"}
    assert min(d.due_on for d in done) == date(2023, 8, 14)
    assert "not yet due" in (tmp_path / "reports/world/index.html").read_text()


def test_data_that_does_not_reach_far_enough_is_waited_for(tmp_path):
    path = params_file(tmp_path, cycles=[{"cycle": "late", "as_of": "2024-05-01"}])
    study = yaml.safe_load(path.read_text())
    study["data"]["extracted_on"] = "2024-02-25"
    path.write_text(yaml.safe_dump(study))
    (done,) = run(path)
    assert done.state == "waiting"
    assert "2024-05-01" in done.message


def test_a_fit_that_fails_its_gate_publishes_a_page_without_value_and_no_list(tmp_path):
    path = params_file(tmp_path, clv={"draws": 50, "tune": 50, "chains": 2, "ess": 100_000})
    done = run(path, cycle="first")
    assert states(done) == {("first", "analysis"): "published", ("first", "activation"): "refused"}
    assert done[-1].exit_code == 3
    assert "effective draws" in done[-1].message
    assert not (tmp_path / "reports/world/first/2_activation").exists()
    assert "clv" not in pd.read_parquet(tmp_path / "reports/world/first/1_analysis/tables/value.parquet").columns


METADATA = {"kernelspec": {"name": "python3", "display_name": "x"}, "language_info": {"name": "python"}}
BREAKS = {
    "raises": ("raise ValueError('planted')", "ValueError: planted"),
    "exits": ("import sys; sys.exit(0)", "never handed over|stopped"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "was killed"),
    "forgets to finish": ("pass", "never handed over"),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_notebook_that_stops_before_its_end_publishes_nothing(tmp_path, monkeypatch, how):
    cell, said = BREAKS[how]
    cells = [
        nbformat.v4.new_code_cell("study: str = ''\ncycle: str = ''", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(cell),
    ]
    if how != "forgets to finish":
        cells.append(nbformat.v4.new_code_cell("print('not reached')"))
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    monkeypatch.setattr("crmlab.execute.notebook_of", lambda _: tmp_path / "broken.ipynb")
    monkeypatch.setattr("crmlab.stage.context.notebook_of", lambda _: tmp_path / "broken.ipynb")
    path = params_file(tmp_path)
    (done,) = run_study(path, Asked(today=LATER, cycle="first", through="analysis"))
    assert done.state == "failed"
    assert done.exit_code == 1
    assert re.search(said, done.message), done.message
    assert [p.name for p in (tmp_path / "reports/world/first").iterdir()] == []
    assert (tmp_path / "reports/world/failed/first-1_analysis/notebook.ipynb").is_file()
    assert "failed" in (tmp_path / "reports/world/index.html").read_text()


STRANGE = {
    "TZ": "Asia/Kathmandu",
    "OMP_NUM_THREADS": "2",
    "PYTHONHASHSEED": "77",
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "it_IT",
    "PYTHONUTF8": "0",
}
"""Settings of another machine; where it lacks a language, the C library falls back and says nothing."""


@pytest.fixture(scope="module")
def by_kernel(tmp_path_factory):
    """The same study as `world`, by the command line, in kernels, under another machine's settings."""
    folder = tmp_path_factory.mktemp("kernel")
    path = params_file(folder, options={"heterogeneity": "level"})
    command = [Path(sys.executable).parent / "crmlab", "run", path, "--today", str(LATER)]
    done = subprocess.run(
        command, env={**os.environ, **STRANGE}, cwd=folder, capture_output=True, text=True, umask=0o002
    )
    return done, folder / "reports"


def test_kernels_under_other_settings_give_the_same_bytes_as_one_process(world, by_kernel):
    done, reports = by_kernel
    assert done.returncode == 0, done.stdout + done.stderr
    here, there = digests(world[2]), digests(reports)
    assert len(there) >= 20
    assert [name for name in there if here.get(name) != there[name]] == []


def test_check_says_the_same_under_other_settings(world, tmp_path):
    command = [Path(sys.executable).parent / "crmlab", "check", world[0], "--json"]
    said = [
        subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, umask=umask).stdout
        for environment, umask in ((dict(os.environ), 0o077), ({**os.environ, **STRANGE}, 0))
    ]
    assert said[0] == said[1]
    assert json.loads(said[0])["study"]


def test_the_run_ends_by_saying_where_the_pages_are(by_kernel):
    done, reports = by_kernel
    assert done.stdout.rstrip().endswith("reports/index.html")
    assert (reports / "index.html").is_file()


def test_pages_hold_no_request_no_script_and_no_undescribed_picture(by_kernel):
    _, reports = by_kernel
    pages = list(reports.rglob("page.html"))
    assert len(pages) == 6
    for page in pages:
        text = page.read_text()
        assert len(text) < 5_000_000
        asks = r"""<script|<link[^>]+href=(?!["']data:)|@import|url\((?!['"]?data:)|src=["'](?!data:)"""
        assert not re.search(asks, text)
        pictures = re.findall(r"<img[^>]*>", text)
        assert pictures
        assert all(re.search(r'alt="[^"]{20,}"', p) for p in pictures)


def test_pages_show_no_count_of_one_to_four_people(by_kernel):
    _, reports = by_kernel
    for page in reports.rglob("page.html"):
        for few in re.findall(r"\bn = ([0-9]+) (?:customers|people)", page.read_text()):
            assert int(few) == 0 or int(few) >= FEWEST


def test_published_notebooks_carry_no_path_or_clock(by_kernel):
    _, reports = by_kernel
    for path in reports.rglob("[123]_*/notebook.ipynb"):
        text = path.read_text()
        assert str(reports) not in text
        assert " at 0x" not in text
        assert "start_time" not in text
