"""FAIL-4: a link that is up and carries nothing one way."""

import pytest


@pytest.mark.requirement("FAIL-4")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("half-open-to-patient", "half-open-to-doctor")
    ],
)
def test_no_data_are_lost_without_a_sign(scenario, recordings, judge):
    """What is lost is made good, or an alarm or a log entry tells of it in time."""
    judge(recordings)
