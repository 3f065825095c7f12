"""Random histories of consent, objection, erasure, caps and deliveries: nobody forbidden, nobody twice."""

from hypothesis import HealthCheck, settings

from benchmarks import histories

TestHistories = histories.Histories.TestCase
TestHistories.settings = settings(
    max_examples=4, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
