import json
import multiprocessing
import os

import pandas as pd
import pytest

from crmlab.contract import Locked, Refused
from crmlab.stage.disk import device_fault
from crmlab.stage.folder import Published, altered, lock, place, publish, published, staging


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
        done.wait(120)


def test_a_second_run_is_told_who_holds_the_study_and_a_dead_holder_does_not_block(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(120)
    with pytest.raises(Locked, match=f"process {holder.pid}"), lock(tmp_path):
        pass
    os.kill(holder.pid, 9)
    holder.join()
    with lock(tmp_path):
        pass


def test_every_altered_or_missing_file_is_named(tmp_path):
    there = make(place(tmp_path, "c", "1_analysis"))
    assert altered(there) == []
    (there.folder / "segments.yaml").write_text("b")
    (there.folder / "tables" / "t.parquet").unlink()
    assert {fault.where.rpartition("/")[2] for fault in altered(there)} == {"segments.yaml", "t.parquet"}


@pytest.mark.parametrize(
    "change", [("study", "sTudy"), ('"s"', '"t"'), ("digest", "digesu"), ("\n", " \n"), ("\n", "\r\n"), ("{", "")]
)
def test_an_altered_manifest_is_never_read(tmp_path, change):
    folder = make(place(tmp_path, "c", "1_analysis")).folder
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(*map(str.encode, change), 1))
    assert [fault.where for fault in altered(Published(folder))] == [str(path)]
    with pytest.raises(Refused, match=r"manifest\.json"):
        _ = Published(folder).manifest


def test_a_stage_whose_name_begins_like_anothers_is_another(tmp_path):
    make(place(tmp_path, "c", "topic_value_more"))
    assert published(tmp_path, "c", "topic_value") is None


def test_what_is_written_under_the_lock_is_its_owners_alone(tmp_path):
    before = os.umask(0o022)
    try:
        with lock(tmp_path / "reports" / "s"):
            make(place(tmp_path / "reports" / "s", "c", "1_analysis"))
            (tmp_path / "reports" / "s" / "index.html").write_text("x")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    there = list((tmp_path / "reports").rglob("*"))
    assert {oct(p.stat().st_mode & 0o777) for p in there if p.is_file()} == {"0o600"}
    assert {oct(p.stat().st_mode & 0o777) for p in there if p.is_dir()} == {"0o700"}


@pytest.mark.parametrize("error", ["No space left on device", "database or disk is full"])
def test_a_full_disk_is_known_by_whatever_name_it_comes(error):
    raised = RuntimeError("Papermill failed")
    raised.__cause__ = ValueError(f"IO Error: could not write: {error}")
    assert device_fault(raised).exit_code == 74
    assert device_fault(OSError(28, "x", "reports/a")).exit_code == 74
    assert device_fault(MemoryError()).exit_code == 1
    assert device_fault(ValueError("something else")) is None
    assert device_fault(FileNotFoundError(2, "x")) is None
