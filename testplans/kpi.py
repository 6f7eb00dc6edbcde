"""The KPI test, which the folder of every device class imports and marks with its class."""

import pytest


@pytest.mark.scenario("steady-5g-slice")
def test_stream_meets_its_documented_limit(kpi, recordings, judge):
    """Delay, jitter, loss and rate of a stream against the figures documented for its class."""
    judge(recordings, kpi)
