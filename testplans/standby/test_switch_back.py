"""SW-3: back to the primary line, without swinging."""

import pytest


@pytest.mark.needs("standby-link")
@pytest.mark.requirement("SW-3")
@pytest.mark.scenario("switch-back")
def test_returns_to_the_primary_line(recordings, judge):
    """The payload is on the primary line for good within the declared time."""
    judge(recordings)
