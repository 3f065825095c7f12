"""A tree edited by hand: written out, edited, checked before anything runs, and the next cycle starts from it."""

import json
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import yaml

from crmlab.contract import Refused
from crmlab.loop import Asked, run_study
from crmlab.segments.mixture.model import MixtureModel
from crmlab.segments.mixture.scale import Scale
from crmlab.segments.models import named
from crmlab.segments.probabilities import membership_probabilities
from crmlab.segments.tree import assign, from_yaml, leaves
from crmlab.study import load_study
from crmlab.tree_file import write_tree
from crmlab.verification import verify_cycle
from tests.world import params_file

LOG = Scale(0.0, 1.0, 0.0, 0.0, 1.0)
MODEL = MixtureModel(
    numbers=("frequency", "recency_days"),
    scales=(LOG, LOG),
    weights=(0.6, 0.4),
    means=((1.0, 4.5), (2.2, 3.0)),
    shape="diagonal",
    covariances=((0.3, 0.8), (0.3, 0.8)),
)
"""Two classes: few orders long ago, many orders lately."""
NAME = named(MODEL)
NODES = [
    {"id": "s1", "name": "No orders yet", "when": [{"trait": "frequency", "missing": True}]},
    {"id": "s2", "name": "Busy", "when": [{"trait": NAME, "is": [2]}]},
    {"id": "s4", "name": "Spenders", "when": [{"trait": "monetary", "at_least": 60}]},
    {"id": "s5", "name": "Few", "when": [{"trait": "frequency", "below": 2}]},
    {"id": "s6", "name": "The rest", "when": []},
]
TREE = {"next_id": 7, "nodes": NODES, "models": {NAME: MODEL.plain()}}


def run(path, **asked):
    return run_study(path, Asked(today=date(2024, 6, 1), pictures=False, **asked))


def with_tree(path, text, name="edited.yaml"):
    """Put an edited tree beside the params file and have the second cycle start from it."""
    (path.parent / name).write_text(text)
    study = yaml.safe_load(path.read_text())
    study["segments"]["trees"] = {"second": name}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def copied(world, folder):
    shutil.copytree(world.parent.parent, folder, dirs_exist_ok=True)
    return folder / "params" / world.name


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A first cycle whose tree holds a mixture, run to its re-analysis."""
    path = params_file(
        tmp_path_factory.mktemp("world"), options={"n_customers": 500, "acquired_weeks": 45}, segments={"tree": TREE}
    )
    assert [d.state for d in run(path, cycle="first")] == ["published"] * 3
    return path


@pytest.fixture(scope="module")
def edited(world, tmp_path_factory):
    """The second cycle, run from a tree in which everything that can be edited was edited."""
    path = copied(world, tmp_path_factory.mktemp("edited"))
    write_tree(path, "second")
    text = (path.parent / "world_second_tree.yaml").read_text()
    text = text.replace("name: Spenders", "name: Good spenders").replace("at_least: 60", "at_least: 80")
    text = text.replace("name: Busy", "name: Regulars")
    text = re.sub(r"- \{id: s5.*\n", "", text)  # what it held is now the rest's
    free = int(re.search(r"next_id: (\d+)", text)[1])
    text = text.replace(f"next_id: {free}", f"next_id: {free + 2}")
    children = (
        f"- {{id: s{free}, parent: s6, name: Club, when: [{{trait: club, at_least: 1}}]}}\n"
        f"- {{id: s{free + 1}, parent: s6, name: No club, when: []}}\n"
    )
    text = text.replace("models:\n", children + "models:\n")
    with_tree(path, text)
    (done,) = run(path, cycle="second", through="analysis")
    assert done.state == "published", done.message
    return path, text


def folder_of(path, cycle):
    return path.parent.parent / "reports" / "world" / cycle / "1_analysis"


def test_the_tree_is_written_once_with_what_to_do_with_it(world, tmp_path):
    path = copied(world, tmp_path)
    said = write_tree(path, "second")
    file = path.parent / "world_second_tree.yaml"
    assert f"    second: {file.name}" in said
    left = (path.parent.parent / "reports/world/first/3_reanalysis/segments_next.yaml").read_text()
    assert file.read_text().endswith(left)
    assert from_yaml(file.read_text()) == from_yaml(left)
    with pytest.raises(Refused, match="is there already and is not overwritten"):
        write_tree(path, "second")
    own = tmp_path / "params" / "own.yaml"
    assert "the tree that first was run with" in write_tree(path, "first", to=own)
    assert own.read_text().endswith((folder_of(path, "first") / "segments.yaml").read_text())
    with pytest.raises(Refused, match="where the study cannot read it"):
        write_tree(path, "first", to=tmp_path.parent / "outside.yaml")
    assert not (tmp_path.parent / "outside.yaml").exists()


def test_the_command_says_what_it_wrote(world, tmp_path):
    path = copied(world, tmp_path)
    command = ["crmlab", "tree", "params/world.yaml", "second", "--to", "params/mine.yaml"]
    command[0] = Path(sys.executable).parent / command[0]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Wrote params/mine.yaml: the tree that the re-analysis of first left")
    assert (path.parent / "mine.yaml").is_file()


def test_before_any_cycle_ran_there_is_no_tree_to_write(tmp_path):
    path = params_file(tmp_path)
    with pytest.raises(Refused, match="has no tree yet: it makes the first one itself"):
        write_tree(path, "first")
    with pytest.raises(Refused, match="builds on the re-analysis of first"):
        write_tree(path, "second")
    with pytest.raises(Refused, match="did you mean 'first'"):
        write_tree(path, "frist")


def test_the_next_cycle_runs_with_the_edited_tree_and_says_what_was_done_by_hand(edited):
    path, text = edited
    folder = folder_of(path, "second")
    assert from_yaml((folder / "segments.yaml").read_text()) == from_yaml(text)
    changes = pd.read_parquet(folder / "tables/changes.parquet").set_index("segment")
    by_hand = changes[changes["origin"] == "by hand"]["change"]
    assert by_hand["s2"] == "other name"
    assert by_hand["s4"] == "other rule"
    assert by_hand["s5"] == "removed"
    assert (by_hand == "added").sum() == 2
    said = " ".join(json.loads((folder / "manifest.json").read_text())["changes"])
    assert "changed by hand" in said
    assert "s2 is called “Regulars”, it was “Busy”" in said
    assert "s4 is another segment now, “Good spenders”: monetary at least 80" in said
    assert "s5 “Few” is gone" in said
    assert "“Club” is new, under s6: club at least 1" in said


def test_a_mixture_travels_to_the_next_cycle_and_places_customers_who_are_new(edited):
    path, _ = edited
    then, now = (pd.read_parquet(folder_of(path, c) / "tables/membership.parquet") for c in ("first", "second"))
    new = set(now["customer_id"]) - set(then["customer_id"])
    assert len(new) > 20
    tree = from_yaml((folder_of(path, "second") / "segments.yaml").read_text())
    assert tree.models == {NAME: MODEL.plain()}
    traits = pd.read_parquet(folder_of(path, "second") / "tables/traits.parquet")
    placed = now.set_index("customer_id")["segment"]
    busy = traits.loc[MODEL.derived(traits) == 2, "customer_id"]
    assert len(new & set(busy))
    assert (placed[busy] == "s2").all()
    assert set(placed) <= set(leaves(tree))
    assert assign(tree, traits).equals(placed.rename_axis(assign(tree, traits).index.name))
    sure = membership_probabilities(tree, traits).groupby("customer_id")["probability"].sum()
    assert ((sure - 1).abs() < 0.01).all()


def test_other_cycles_stay_as_they_were_and_a_later_edit_is_refused_until_revised(edited, tmp_path):
    path, text = edited
    (done,) = run(path, cycle="first", through="analysis")
    assert done.state == "unchanged"
    (path.parent / "edited.yaml").write_text(text.replace("name: Club", "name: Members"))
    (done,) = run(path, cycle="second", through="analysis")
    (path.parent / "edited.yaml").write_text(text)
    assert done.exit_code == 2
    assert "params: segments.trees.second" in done.message


def test_it_is_executed_again_to_the_byte_without_the_file(edited, tmp_path):
    path, _ = edited
    assert verify_cycle("second", study=path, stage="analysis", pictures=False).exit_code == 0


def test_all_that_is_wrong_is_said_with_its_line_before_any_notebook_runs(world, tmp_path):
    path = copied(world, tmp_path)
    text = (path.parent.parent / "reports/world/first/3_reanalysis/segments_next.yaml").read_text()
    text = text.replace("trait: monetary, at_least: 60", "trait: monetry, at_least: 60")
    text = text.replace("trait: frequency, below: 2", "trait: club, is: ['yes']").replace("id: s5", "id: s3")
    (done,) = run(with_tree(path, text), cycle="second", through="analysis")
    assert done.exit_code == 2
    assert not folder_of(path, "second").exists()
    assert re.search(r"line 5 of edited.yaml\) +s4: 'monetry': no such trait; did you mean 'monetary'", done.message)
    assert re.search(r"line 6 of edited.yaml\) +s3: was another segment in an earlier cycle; call this", done.message)
    assert re.search(r"line 6 of edited.yaml\) +s3: 'club' is a (number|flag): 'yes' is text", done.message)


FAULTS = {
    "an id above next_id": (("next_id: 7", "next_id: 6"), r"line 1 of edited.yaml\) +is 6, but s6 is used"),
    "an id twice": (("id: s4", "id: s2"), r"s2: the id is used twice"),
    "nobody can reach it": (
        ("trait: frequency, missing: true", ""),
        r"line 3 of edited.yaml\) +s1: takes everyone who comes to it, so s2, s4, s5, s6 cannot be reached",
    ),
    "a decimal comma": (("at_least: 60", "at_least: 60,5"), r"s4: no such key; write a number with a decimal point"),
    "a number in quotes": (("at_least: 60", "at_least: '60'"), r"2 faults(.|\n)*s4: got '60': expected a number, with"),
    "a name that is a number": (("name: Busy", "name: 12"), r"s2: got 12: expected a name, in quotes"),
    "a condition in words": (("{trait: frequency, below: 2}", "frequency < 2"), r"expected a list of conditions like"),
    "two ids above next_id": (("next_id: 7", "next_id: 5"), r"line 1 of edited.yaml\) +is 5, but s6 is used: write 7"),
    "a model edited": (("0.6, 0.4", "0.5, 0.5"), r"fitted models cannot"),
    "a misspelt key": (("name: Busy", "nam: Busy"), r"no such key; did you mean 'name'"),
    "no YAML": (("nodes:", "nodes: ["), r"line \d+ of edited.yaml"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_tree_that_cannot_be_is_refused_with_the_params(tmp_path, case):
    path = params_file(tmp_path, segments={"by": "frequency"}, retention={"perod": "M"})
    (old, new), says = FAULTS[case]
    from crmlab.segments.written import from_plain, to_yaml

    text = to_yaml(from_plain(TREE))
    assert old in text
    text = text.replace("{" + old + "}" if not new else old, new)
    with pytest.raises(Refused) as refused:
        load_study(with_tree(path, text))
    assert re.search(says, str(refused.value)), str(refused.value)
    assert "did you mean 'period'" in str(refused.value), "with the other faults of the params file"


def test_where_a_tree_may_lie_and_which_cycles_there_are_is_said(tmp_path):
    path = params_file(tmp_path)
    study = yaml.safe_load(path.read_text())
    (path.parent / "mine.yaml").write_text("next_id: 2\nnodes:\n- {id: s1, name: All, when: []}\n")
    (tmp_path.parent / "else.yaml").write_text("next_id: 2\nnodes:\n- {id: s1, name: All, when: []}\n")
    study["segments"]["trees"] = {"first": "../../else.yaml", "second": "mien.yaml", "scond": "mine.yaml"}
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(Refused) as refused:
        load_study(path)
    said = str(refused.value)
    assert "lies outside of" in said
    assert "did you mean 'mine.yaml'?" in said
    study["segments"]["trees"] = {"scond": "mine.yaml"}
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(Refused, match=r"segments.trees.scond \(line \d+\) +no such cycle; did you mean 'second'"):
        load_study(path)
    study["segments"]["trees"] = {"second": "mine.yaml"}
    path.write_text(yaml.safe_dump(study))
    (path.parent / "child.yaml").write_text(
        "extends: world.yaml\nstudy: child\nsegments: {trees: {first: mine.yaml}}\n"
    )
    assert set(load_study(path.parent / "child.yaml").study.segments.trees) == {"first", "second"}
