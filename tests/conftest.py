"""What all tests share."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # nothing is timed in tests
settings.load_profile("untimed")

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where CRMLAB_NO_SKIPS is set, a skipped test fails the run: everything tests need is provided there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CRMLAB_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter) -> None:
    """Say which tests were skipped and what they lacked."""
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"SKIPPED {report.nodeid}: {report.longrepr[-1]}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of these tests' own, reached by a socket in a folder of its own."""
    if not BINARIES and not shutil.which("postgres"):
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    found = str(BINARIES[-1]) if BINARIES else shutil.which("postgres")
    home = Path(tempfile.mkdtemp(prefix="crmlab-postgres-", dir="/tmp"))
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=TERM"]
    as_user = nobody if os.geteuid() == 0 else []
    if as_user:
        os.chown(home, 65534, 65534)
    quiet = {"cwd": home, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    initdb = [*as_user, found.removesuffix("postgres") + "initdb", "-D", home / "data", "-U", "tests", "-N"]
    server = None
    try:
        # Passwords for all but the tests' own user; no locale but the machine's smallest.
        subprocess.run([*initdb, "--auth=trust", "--locale=C", "--encoding=UTF8"], **quiet)
        rules = "local all tests trust\nlocal all all scram-sha-256\n"
        (home / "data" / "pg_hba.conf").write_text(rules)
        options = ["-k", str(home), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "datestyle=SQL,DMY"]
        server = subprocess.Popen(
            [*as_user, found, "-D", home / "data", *options],
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=(home / "log").open("wb"),
        )
        _answers(home)
        yield f"postgresql://tests@/postgres?host={home}"
    finally:
        if server is not None:
            server.terminate()
            server.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def _answers(home: Path) -> None:
    import psycopg

    for _ in range(200):
        try:
            psycopg.connect(host=str(home), user="tests", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError(f"the PostgreSQL server of the tests does not start: {(home / 'log').read_text()}")
