"""ICU-1 and ICU-2: sets of measurements, alarms of the patient, five devices on one patient."""

import pytest


@pytest.mark.needs("minute-sets")
@pytest.mark.requirement("ICU-1")
@pytest.mark.scenario("minute-sets")
def test_reports_each_minute_and_alarms_at_once(recordings, judge):
    """A set of each source each minute; the patient's alarm reaches the station at once."""
    judge(recordings)


@pytest.mark.needs("bedside-gateway")
@pytest.mark.requirement("ICU-2")
@pytest.mark.scenario("five-devices")
def test_serves_five_devices_of_one_patient(recordings, judge):
    """One to five devices send at once, and nothing of theirs is lost."""
    judge(recordings)
