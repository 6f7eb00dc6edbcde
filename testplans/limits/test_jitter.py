"""LIM-3: the declared action when jitter reaches its limit."""

import pytest


@pytest.mark.needs("motion")
@pytest.mark.requirement("LIM-3")
@pytest.mark.scenario("jitter-step")
def test_holds_when_jitter_passes_its_limit(recordings, judge):
    """The drive stops within the declared time, and stays stopped until it is re-armed."""
    judge(recordings)
