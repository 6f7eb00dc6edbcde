"""WC-1: the most unfavourable case."""

import pytest


@pytest.mark.needs("motion", "standby-link", "local-takeover")
@pytest.mark.requirement("WC-1")
@pytest.mark.scenario("worst-case")
def test_every_safety_assertion_holds(recordings, judge):
    """No stale or repeated command, safe state, takeover and local stop: all in one session."""
    judge(recordings)
