"""FAIL-4: a side that is reached at another address in mid-session."""

import pytest


@pytest.mark.requirement("FAIL-4")
@pytest.mark.needs("address-change")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("address-change-patient", "address-change-doctor")
    ],
)
def test_no_data_are_lost_without_a_sign(scenario, recordings, judge):
    """Data go to the new address in time, or an alarm or a log entry tells of the loss."""
    judge(recordings)
