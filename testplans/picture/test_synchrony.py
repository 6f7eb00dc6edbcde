"""SYNC-1: voice, video and ultrasound in step."""

import pytest


@pytest.mark.needs("play-out")
@pytest.mark.requirement("SYNC-1")
@pytest.mark.scenario("differential-delay")
def test_streams_are_presented_in_step(recordings, judge):
    """The presentation delays of voice and pictures differ by no more than declared."""
    judge(recordings)
