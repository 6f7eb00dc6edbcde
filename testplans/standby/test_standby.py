"""SW-1: the standby network takes over."""

import pytest


@pytest.mark.needs("standby-link")
@pytest.mark.requirement("SW-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("primary-outage", "radio-link-failure", "primary-stall", "primary-flap")
    ],
)
def test_standby_takes_over(scenario, recordings, judge):
    """The gap is as declared; no command is executed twice or out of order."""
    judge(recordings)
