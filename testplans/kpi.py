"""The KPI tests, which the folder of every device class imports and marks with its class."""

import pytest


@pytest.mark.scenario("steady-5g-slice")
def test_stream_meets_its_documented_limit(kpi, recordings, judge):
    """What is measured of a stream against the figures documented for its class."""
    judge(recordings, kpi)


@pytest.mark.needs("records")
@pytest.mark.scenario("minute-sets")
def test_reports_as_often_as_documented(kpi, recordings, judge):
    """The time between two sets of measurements of the stream's source."""
    judge(recordings, kpi)


@pytest.mark.needs("image-transfer", "timed-transfer")
@pytest.mark.scenario("large-image-set")
def test_transfers_a_set_in_the_documented_time(kpi, recordings, judge):
    """The largest set of the documents, from its first packet to its last."""
    judge(recordings, kpi)
