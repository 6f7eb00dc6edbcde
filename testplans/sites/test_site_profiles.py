"""ENV-1 and LIFE-1: the networks of the places where the device is used."""

import pytest


@pytest.mark.requirement("ENV-1")
@pytest.mark.scenario("site-profiles")
def test_keeps_its_limits_over_its_operating_envelope(recordings, judge):
    """Every stream keeps its limits at each site within the declared envelope."""
    judge(recordings)


@pytest.mark.requirement("LIFE-1")
@pytest.mark.scenario("site-reruns")
def test_the_site_still_meets_the_need_later(recordings, judge):
    """Every stream keeps its limits when the site is measured again, held against its baseline."""
    judge(recordings)
