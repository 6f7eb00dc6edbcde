"""FAIL-4: a link that carries small packets and swallows large ones."""

import pytest


@pytest.mark.requirement("FAIL-4")
@pytest.mark.needs("large-packets-to-doctor")
@pytest.mark.scenario("mtu-hole-to-doctor")
def test_no_data_are_lost_without_a_sign_towards_the_doctor(recordings, judge):
    """What is lost for its length is made good, or an alarm or a log entry tells of it in time."""
    judge(recordings)


@pytest.mark.requirement("FAIL-4")
@pytest.mark.needs("large-packets-to-patient")
@pytest.mark.scenario("mtu-hole-to-patient")
def test_no_data_are_lost_without_a_sign_towards_the_patient(recordings, judge):
    """The same the other way."""
    judge(recordings)
