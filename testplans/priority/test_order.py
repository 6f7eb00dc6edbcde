"""PATH-2 and US-1: the declared order of the streams when the rate falls."""

import pytest


@pytest.mark.needs("priorities")
@pytest.mark.requirement("PATH-2")
@pytest.mark.scenario("capacity-ramp")
def test_top_stream_keeps_its_limits(recordings, judge):
    """Lower streams give way first; the top one holds down to the declared capacity."""
    judge(recordings)


@pytest.mark.needs("priorities", "dual-video")
@pytest.mark.requirement("US-1")
@pytest.mark.scenario("capacity-ramp")
def test_two_videos_and_sound_degrade_in_order(recordings, judge):
    """Two videos and sound both ways degrade in the declared order."""
    judge(recordings)
