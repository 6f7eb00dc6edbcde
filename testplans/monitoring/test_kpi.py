"""KPI-*: every stream keeps its documented limits while the network is within them."""

import pytest


@pytest.mark.scenario("steady-5g-slice")
def test_stream_meets_its_documented_limit(kpi, recordings, judge):
    """Delay, jitter, loss and rate of each stream against the tables of the device's class."""
    judge(recordings, kpi)
