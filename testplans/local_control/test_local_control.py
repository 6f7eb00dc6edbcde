"""LOC-1: the local side stops the device at any time, absolutely."""

import pytest


@pytest.mark.needs("motion")
@pytest.mark.requirement("LOC-1")
@pytest.mark.scenario("local-stop")
def test_local_stop_always_stops(recordings, judge):
    """Motion stops within the declared time while remote commands keep coming."""
    judge(recordings)
