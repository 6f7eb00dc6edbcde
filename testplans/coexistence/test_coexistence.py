"""COEX-1, and alarms and failover when interference takes the radio's link (ANSI C63.27)."""

import pytest


@pytest.mark.needs("radio")
@pytest.mark.requirement("COEX-1")
@pytest.mark.scenario("coexistence")
def test_works_beside_the_radios_of_its_declared_environment(recordings, judge):
    """The performance is kept beside each declared signal, and regained in time after it."""
    judge(recordings)


@pytest.mark.needs("radio")
@pytest.mark.requirement("MON-2")
@pytest.mark.scenario("interferer-beyond")
def test_alarm_when_interference_takes_the_link(recordings, judge):
    """The declared alarm sounds with its declared priority within its declared delay."""
    judge(recordings)


@pytest.mark.needs("radio", "standby-link")
@pytest.mark.requirement("SW-1")
@pytest.mark.scenario("interferer-beyond")
def test_standby_takes_over_when_interference_takes_the_link(recordings, judge):
    """The gap is as declared; no command is executed twice or out of order."""
    judge(recordings)
