"""SW-2: a dead standby is announced before it is needed."""

import pytest


@pytest.mark.needs("standby-link")
@pytest.mark.requirement("SW-2")
@pytest.mark.scenario("dead-standby")
def test_dead_standby_is_announced(recordings, judge):
    """The alarm comes while the primary works, and is still on when the primary fails."""
    judge(recordings)
