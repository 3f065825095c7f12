import shutil
from datetime import date

import pytest

from crmlab.contract import Refused
from crmlab.opening import open_cycle
from crmlab.stage.erased import erase
from crmlab.stage.folder import publish, staging
from crmlab.stage.keys import fingerprint, study_key
from crmlab.stage.taking import take_in
from crmlab.study import load_study
from tests.live import add, live_study
from tests.world import called, params_file


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A live study with the manifest of an analysis; its key lies beside it."""
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRMLAB_KEYS", str(folder / "keys"))
        path = live_study(folder)
        intake = take_in(load_study(path))
        identity = {"params": {"cycle": {"as_of": "2023-08-13"}}, "inputs": {}}
        manifest = {"identity": identity, "revision": 1, "cycle": "first", "schema": intake.schema}
        final = folder / "reports" / "shop" / "first" / "1_analysis"
        with staging(final) as staged:
            publish(staged, final, {**manifest, "key": fingerprint(study_key(load_study(path).study))})
    return path


@pytest.fixture
def study(published, tmp_path, monkeypatch):
    shutil.copytree(published.parents[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("CRMLAB_KEYS", str(tmp_path / "keys"))
    return tmp_path / "params" / published.name


def refused(path, said):
    with pytest.raises(Refused, match=said):
        take_in(load_study(path))


def test_everybody_is_called_by_a_pseudonym_and_nothing_is_written(study):
    before = sorted(study.parents[1].rglob("*"))
    intake = take_in(load_study(study))
    (ada,) = called(study, ["c00001"])
    for table in intake.tables.values():
        assert set(table.select("customer_id").distinct().to_pandas()["customer_id"].dropna().str[0]) == {"p"}
    assert ada in set(intake.tables["transactions"].customer_id.to_pandas())
    assert sorted(study.parents[1].rglob("*")) == before


def test_a_live_study_whose_key_is_gone_goes_no_further_and_makes_no_other(study, tmp_path, monkeypatch):
    monkeypatch.setenv("CRMLAB_KEYS", str(tmp_path / "elsewhere"))
    refused(study, "key is missing")
    assert not (tmp_path / "elsewhere").exists()


def test_a_live_study_under_another_key_goes_no_further(study, tmp_path):
    (tmp_path / "keys" / "shop.key").write_text("ab" * 32)
    refused(study, "another key")
    (tmp_path / "keys" / "shop.key").write_text("")
    refused(study, "64 hexadecimal")


def test_a_key_is_made_once_for_its_owner_alone(study, tmp_path, monkeypatch):
    monkeypatch.setenv("CRMLAB_KEYS", str(tmp_path / "new"))
    one = study_key(load_study(study).study)
    assert study_key(load_study(study).study) == one
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["shop.key"]
    assert (tmp_path / "new" / "shop.key").stat().st_mode & 0o777 == 0o600


def test_of_two_who_make_the_key_at_once_both_have_that_of_the_first(study, tmp_path, monkeypatch):
    def another_is_first(_):
        (tmp_path / "new" / "shop.key").write_text("cd" * 32)
        return "ab" * 32

    monkeypatch.setenv("CRMLAB_KEYS", str(tmp_path / "new"))
    monkeypatch.setattr("crmlab.stage.keys.secrets.token_hex", another_is_first)
    assert study_key(load_study(study).study).hex() == "cd" * 32
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["shop.key"]


def test_contacts_of_a_list_that_was_never_published_are_refused(study):
    (study.parents[1] / "raw" / "contacts.csv").write_text("customer_id,campaign_id,arm,sent_at\n")
    added = "    contacts: {path: ../raw/contacts.csv}\n    transactions:"
    study.write_text(study.read_text().replace("    transactions:", added, 1))
    add(study, "contacts", ["c00001", "spring", "contacted", "2023-01-01"])
    assert "contacts" in take_in(load_study(study)).tables
    add(study, "contacts", ["c00001", "shop-zero-0123abcd", "contacted", "2023-01-01"])
    refused(study, r"shop-zero-0123abcd.*cycle zero")


def test_a_column_that_is_gone_is_refused_with_its_likely_name(study):
    raw = study.parents[1] / "raw" / "customers.csv"
    raw.write_text(raw.read_text().replace("country,club", "country,club_member", 1))
    refused(study, r"club.*columns: \{club: club_member\}")


def test_who_was_erased_does_not_come_back_from_the_raw_data(study):
    file = load_study(study)
    whole = take_in(file)
    (gone,) = called(study, ["c00002"])
    erase(file.reports / "shop", gone, study_key(file.study), date(2023, 8, 21))
    intake = take_in(file)
    assert intake.erased == {gone}
    for name, table in intake.tables.items():
        assert not (table.customer_id == gone).any().to_pyarrow().as_py(), name
    count = dict(intake.reading.to_pandas().groupby("reason")["rows"].sum())
    before = whole.reading.to_pandas()["rows"].sum()
    assert before - sum(count.values()) >= 2
    assert set(count) == {"kept"}


def test_a_replay_under_another_seed_would_not_know_those_erased(tmp_path):
    path = params_file(tmp_path, options={"n_customers": 50})
    file = load_study(path)
    erase(file.reports / "world", "p1", study_key(file.study), date(2023, 8, 21))
    path.write_text(path.read_text().replace("seed: 11", "seed: 12"))
    refused(path, "another seed")


@pytest.mark.parametrize(
    ("names", "given", "found"),
    [
        (["2017_05", "2017_06"], 201705, "2017_05"),
        (["201705", "2017_05"], 201705, "201705"),
        (["7"], 7, "7"),
    ],
)
def test_a_cycle_that_came_as_a_number_is_the_one_that_was_meant(tmp_path, names, given, found):
    cycles = [{"cycle": n, "as_of": f"2023-0{i}-13"} for i, n in enumerate(names, 7)]
    path = params_file(tmp_path, options={"n_customers": 50}, cycles=cycles)
    assert open_cycle(path, given, stage="analysis").cycle.cycle == found


def test_a_number_that_two_cycles_could_be_is_refused_naming_them(tmp_path):
    cycles = [{"cycle": n, "as_of": f"2023-0{i}-13"} for i, n in enumerate(["2017_05", "20_1705"], 7)]
    path = params_file(tmp_path, options={"n_customers": 50}, cycles=cycles)
    with pytest.raises(Refused, match="2017_05 or 20_1705"):
        open_cycle(path, 201705, stage="analysis")
