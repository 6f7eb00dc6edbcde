"""REC-1: reconnection after everything was gone."""

import pytest


@pytest.mark.needs("motion")
@pytest.mark.requirement("REC-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("blackout-1s", "blackout", "blackout-10s", "blackout-60s", "blackout-600s")
    ],
)
def test_reconnects_and_waits_for_rearm(scenario, recordings, judge):
    """Connected again in time; no motion before an explicit re-arm; no motion jump."""
    judge(recordings)
