"""MON-3: no alarm for nothing."""

import pytest


@pytest.mark.requirement("MON-3")
@pytest.mark.scenario("inside-limits")
def test_no_alarm_just_inside_the_limits(recordings, judge):
    """No minute near but inside every limit has a network alarm, or few enough have."""
    judge(recordings)
