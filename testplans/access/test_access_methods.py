"""CON-2: each access method is judged apart."""

import pytest


@pytest.mark.requirement("CON-2")
@pytest.mark.scenario("access-methods")
def test_keeps_its_limits_on_each_access_method(recordings, judge):
    """Every stream keeps its limits on each declared way to the network; image sets arrive."""
    judge(recordings)
