"""OPS-1: the network is checked before an operation."""

import pytest


@pytest.mark.needs("motion")
@pytest.mark.requirement("OPS-1")
@pytest.mark.scenario("bad-link-before-start")
def test_no_unwarned_start_on_a_bad_link(recordings, judge):
    """On a link beyond its limits the start is blocked, or a warning precedes it."""
    judge(recordings)
