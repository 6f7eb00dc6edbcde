"""MON-2: the device recognises that its network is abnormal, and alarms."""

import pytest

FAULTS = [
    "primary-outage",
    "primary-flap",
    "blackout",
    "delay-ramp",
    "loss-step",
    "radio-link-failure",
    "urumqi-shanghai",
    "beijing-shanghai",
]


@pytest.mark.requirement("MON-2")
@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=pytest.mark.scenario(name)) for name in FAULTS]
)
def test_alarm_on_network_fault(scenario, recordings, judge):
    """The declared alarm sounds with its declared priority within its declared delay."""
    judge(recordings)
