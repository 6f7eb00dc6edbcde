"""PATH-1: streams are as declared."""

import pytest


@pytest.mark.requirement("PATH-1")
@pytest.mark.scenario("declared-flows")
def test_nothing_flows_that_is_not_declared(recordings, judge):
    """In ordinary use and during an outage every flow is one of the declared streams."""
    judge(recordings)
