import os
from dataclasses import replace
from pathlib import Path

import ibis
import pytest

from crmlab.contract import Refused
from crmlab.data import DataParams, read
from crmlab.data.locate import PLACES, find

BESIDE = Path(__file__).parents[3] / "shared" / "data"
if BESIDE.is_dir():
    os.environ.setdefault("CRMLAB_DATA", str(BESIDE))


@pytest.fixture
def con():
    return ibis.duckdb.connect(":memory:", threads=1)


@pytest.fixture
def source(con):
    """Read a known source; skips, naming what is missing, where its files are not on this machine."""

    def reads(name, **options):
        for key, place in PLACES.items():
            if key.startswith(name):
                try:
                    find(key, replace(place, address=""))
                except Refused as missing:
                    pytest.skip(str(missing))
        return read(DataParams(source=name, options=options), folder=Path(), con=con)

    return reads


@pytest.fixture
def reads_files(con, tmp_path):
    """Write texts as files and read them: `reads_files({"transactions": text}, transactions={...})`."""

    def reads(texts, *, extracted_on=None, **how):
        files = {}
        for table, text in texts.items():
            content = text if isinstance(text, bytes) else text.encode()
            (tmp_path / f"{table}.csv").write_bytes(content)
            files[table] = {"path": f"{table}.csv"} | how.get(table, {})
        params = DataParams.model_validate({"files": files, "extracted_on": extracted_on})
        return read(params, folder=tmp_path, con=con, name="params/x.yaml")

    return reads
