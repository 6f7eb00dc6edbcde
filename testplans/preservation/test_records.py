"""PRE-1: records made in an outage and before a loss of power."""

import pytest


@pytest.mark.needs("records")
@pytest.mark.requirement("PRE-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("records-outage", "power-cut-mid-write")
    ],
)
def test_records_are_preserved(scenario, recordings, judge):
    """After recovery no record is missing, doubled or different."""
    judge(recordings)
