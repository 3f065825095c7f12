"""The small live study whose first list is published, made once for all tests of deliveries."""

import shutil
from datetime import date

import pytest

from crmlab.loop import Asked, run_study
from tests.live import live_study


@pytest.fixture(scope="package")
def published(tmp_path_factory):
    """Its folder, with its keys."""
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRMLAB_KEYS", str(folder / "keys"))
        done = run_study(live_study(folder), Asked(today=date(2023, 8, 16), pictures=False))
        assert [d.state for d in done[:2]] == ["published", "published"], done
        yield folder


@pytest.fixture
def shop(published, tmp_path):
    """A copy of it: the path of its params file."""
    for part in ("raw", "params", "reports"):
        shutil.copytree(published / part, tmp_path / part)
    return tmp_path / "params" / "shop.yaml"
