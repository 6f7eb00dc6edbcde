"""SW-1 and MOB-1 of a device that moves nothing: the standby line, base-station handover."""

import pytest

pytestmark = pytest.mark.needs("records", "standby-link")


@pytest.mark.requirement("SW-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("primary-outage", "radio-link-failure", "primary-flap")
    ],
)
def test_standby_takes_over(scenario, recordings, judge):
    """What the device sends and what it watches stays away no longer than declared."""
    judge(recordings)


@pytest.mark.requirement("MOB-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("nr-handover", "radio-link-failure")
    ],
)
def test_handover_keeps_the_limits_or_alarms(scenario, recordings, judge):
    """Limits hold through the handover, or the alarm comes in time."""
    judge(recordings)
