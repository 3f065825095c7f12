"""Random histories of consent, objection, erasure, caps and deliveries: nobody forbidden, nobody twice."""

import importlib.util
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

PATH = Path(__file__).parents[2] / "benchmarks" / "histories.py"
spec = importlib.util.spec_from_file_location("histories", PATH)
histories = sys.modules["histories"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(histories)

TestHistories = histories.Histories.TestCase
TestHistories.settings = settings(
    max_examples=4, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
