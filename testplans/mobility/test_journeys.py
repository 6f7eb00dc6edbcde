"""MOB-2: fast, harsh mobility."""

import pytest


@pytest.mark.needs("mobile")
@pytest.mark.requirement("MOB-2")
@pytest.mark.scenario("harsh-journey")
def test_a_harsh_journey_keeps_the_limits_or_alarms(recordings, judge):
    """Limits hold through every event of a drive, or an alarm comes in time; images arrive."""
    judge(recordings)
