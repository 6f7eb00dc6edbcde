"""REC-1: reconnection after everything was gone."""

import pytest


@pytest.mark.needs("motion")
@pytest.mark.requirement("REC-1")
@pytest.mark.scenario("blackout")
def test_reconnects_and_waits_for_rearm(recordings, judge):
    """Connected again in time; no motion before an explicit re-arm; no motion jump."""
    judge(recordings)
