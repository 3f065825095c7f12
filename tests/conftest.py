"""What all tests share."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where CRMLAB_NO_SKIPS is set, a skipped test fails the run: everything tests need is provided there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CRMLAB_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter) -> None:
    """Say which tests were skipped and what they lacked."""
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"SKIPPED {report.nodeid}: {report.longrepr[-1]}")
