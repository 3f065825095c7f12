"""Files of a study: inside its folder, regular, readable; every other is refused in words."""

import os
import socket
from pathlib import Path

import pytest

from crmlab.data.paths import declared, inside, study_folder, unreadable


@pytest.fixture
def home(tmp_path):
    """A study's folder with params and data, and a file outside of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text("a\n1\n")
    home = tmp_path / "home"
    (home / "params").mkdir(parents=True)
    (home / "data").mkdir()
    (home / "data" / "sales.csv").write_text("a\n1\n")
    return home


def refused(path, home, **more):
    found = inside(path, home / "params", "files.transactions.path", **more)
    assert isinstance(found, list), found
    assert [f.where for f in found] == ["files.transactions.path"]
    return found[0].what


def test_a_file_beside_params_is_found_relative_and_absolute(home):
    expected = (home / "data" / "sales.csv").resolve()
    assert inside("../data/sales.csv", home / "params", "") == expected
    assert inside(str(expected), home / "params", "") == expected
    assert inside("data/sales.csv", home, "") == expected


def test_a_link_inside_is_followed_to_the_real_file(home):
    (home / "data" / "today.csv").symlink_to(home / "data" / "sales.csv")
    assert inside("../data/today.csv", home / "params", "") == (home / "data" / "sales.csv").resolve()


@pytest.mark.parametrize("path", ["../../outside/secret.csv", "/etc/passwd", "../data/../../outside/secret.csv"])
def test_a_file_outside_is_refused_with_the_folder_to_declare(home, path):
    said = refused(path, home)
    assert "lies outside of" in said
    assert "data: {folder: " in said


def test_links_that_lead_out_are_refused_as_links(home):
    (home / "data" / "way").symlink_to(home.parent / "outside")
    (home / "data" / "out.csv").symlink_to(home.parent / "outside" / "secret.csv")
    for path in ("../data/out.csv", "../data/way/secret.csv"):
        said = refused(path, home)
        assert "is a link to" in said
        assert "secret.csv, which lies outside" in said


def test_links_to_nothing_and_in_circles_are_refused(home):
    (home / "data" / "gone.csv").symlink_to(home / "data" / "nowhere.csv")
    (home / "data" / "round.csv").symlink_to(home / "data" / "round.csv")
    assert "no such file" in refused("../data/gone.csv", home)
    assert "leads back to itself" in refused("../data/round.csv", home)


def test_what_is_no_regular_file_is_named_and_never_opened(home):
    os.mkfifo(home / "data" / "pipe.csv")
    here = Path.cwd()
    os.chdir(home / "data")
    try:
        socket.socket(socket.AF_UNIX).bind("socket.csv")
    finally:
        os.chdir(here)
    assert "a named pipe" in refused("../data/pipe.csv", home)
    assert "a socket" in refused("../data/socket.csv", home)
    assert "a folder; name one file" in refused("../data", home)
    assert "a device" in refused("/dev/zero", home, root=Path("/"))


@pytest.mark.parametrize(("path", "says"), [
    ("../data/slaes.csv", "did you mean 'sales.csv'?"),
    ("../data/Sales.CSV", "did you mean 'sales.csv'?"),
    ("../data/customers_2024.xlsx", "the folder holds sales.csv"),
    ("../dta/sales.csv", "there is no folder"),
    ("..\\data\\sales.csv", "write / between folders"),
    ("../data/*.csv", "patterns are not read"),
    ("https://example.com/sales.csv", "is an address"),
    ("s3://bucket/sales.csv", "is an address"),
    ("", "expected the path of a file"),
    ("  ", "expected the path of a file"),
    ("../data/sales.csv\0.png", "expected the path of a file"),
    ("../data/‮vsc.selas", "expected the path of a file"),
    ("../data/" + "x" * 300 + ".csv", "cannot be read"),
    ("../data/sales.csv/more.csv", "no such file"),
])  # fmt: skip
def test_a_file_that_is_not_there_is_refused_with_what_was_meant(home, path, says):
    assert says in refused(path, home)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_file_without_permission_is_refused():
    """Asked as nobody, in a child: the superuser may read everything."""
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        os._exit(0 if "chmod u+r" in (unreadable(Path("/etc/shadow"), "shadow") or "") else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_declared_folder_is_one_of_its_own_and_may_not_be_left(home):
    base = declared("../../outside", home / "params")
    assert base == (home.parent / "outside").resolve()
    assert inside("secret.csv", base, "", root=base) == base / "secret.csv"
    assert "lies outside of" in inside("../home/data/sales.csv", base, "", root=base)[0].what


@pytest.mark.parametrize("path", ["nowhere", "../data/sales.csv", "", "a\0b", "x" * 5000])
def test_a_declared_folder_that_is_none_is_refused(home, path):
    assert "no such folder" in declared(path, home / "params")[0].what


def test_the_folder_of_a_study_is_that_of_its_params_file_or_the_one_above():
    assert study_folder(Path("/a/params")) == Path("/a")
    assert study_folder(Path("/a/studies")) == Path("/a/studies")
