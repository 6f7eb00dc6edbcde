"""OPS-2 and OPS-3: monitoring and alarm during an operation, audit after it."""

import pytest


@pytest.mark.requirement("OPS-2")
@pytest.mark.scenario("operation")
def test_alarm_during_an_operation(recordings, judge):
    """Trouble in the middle of an operation raises the declared alarm in time."""
    judge(recordings)


@pytest.mark.needs("audit-log")
@pytest.mark.requirement("OPS-3")
@pytest.mark.scenario("operation")
def test_exported_log_reproduces_the_operation(recordings, judge):
    """The log that is exported afterwards is complete and in order."""
    judge(recordings)
