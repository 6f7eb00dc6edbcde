"""FAIL-2: a frozen image is detected, and shown without a sign of life."""

import pytest


@pytest.mark.needs("picture")
@pytest.mark.requirement("FAIL-2")
@pytest.mark.scenario("picture-stall")
def test_frozen_picture_is_marked(recordings, judge):
    """Each picture's live sign goes out in time when its video stalls and control goes on."""
    judge(recordings)
