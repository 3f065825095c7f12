import json
import multiprocessing
import os

import pandas as pd
import pytest

from crmlab.contract import Locked, Refused
from crmlab.stage.folder import lock, place, publish, published, staging


def make(final, text="a"):
    with staging(final) as staged:
        pd.DataFrame({"x": [1]}).to_parquet(staged / "tables" / "t.parquet")
        (staged / "segments.yaml").write_text(text)
        return publish(staged, final, {"study": "s"})


def test_a_stage_appears_whole_with_every_file_in_its_manifest(tmp_path):
    final = place(tmp_path, "2017-05", "1_analysis")
    there = make(final)
    assert set(there.manifest["files"]) == {"segments.yaml", "tables/t.parquet"}
    assert there.table("t")["x"].tolist() == [1]
    assert [p.name for p in final.parent.iterdir()] == ["1_analysis"]


def test_what_fails_before_publishing_leaves_nothing(tmp_path):
    final = place(tmp_path, "2017-05", "1_analysis")
    with pytest.raises(RuntimeError), staging(final) as staged:
        (staged / "half").write_text("half")
        raise RuntimeError
    assert list(final.parent.iterdir()) == []


def test_the_newest_revision_is_the_one_in_force(tmp_path):
    for revision in (1, 2, 10):
        make(place(tmp_path, "c", "1_analysis", revision=revision))
    assert published(tmp_path, "c", "1_analysis").revision == 10


def test_a_folder_without_manifest_is_no_stage(tmp_path):
    place(tmp_path, "c", "1_analysis").mkdir(parents=True)
    assert published(tmp_path, "c", "1_analysis") is None


def test_an_altered_table_is_refused_and_named(tmp_path):
    there = make(place(tmp_path, "c", "1_analysis"))
    (there.folder / "segments.yaml").write_text("b")
    with pytest.raises(Refused, match=r"segments\.yaml"):
        there.text("segments.yaml")


def test_the_manifest_holds_no_clock(tmp_path):
    text = json.dumps(make(place(tmp_path, "c", "1_analysis")).manifest)
    assert "time" not in text


def hold(folder, ready, done):
    with lock(folder):
        ready.set()
        done.wait(10)


def test_a_second_run_is_told_who_holds_the_study_and_a_dead_holder_does_not_block(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(20)
    with pytest.raises(Locked, match=f"process {holder.pid}"), lock(tmp_path):
        pass
    os.kill(holder.pid, 9)
    holder.join()
    with lock(tmp_path):
        pass
