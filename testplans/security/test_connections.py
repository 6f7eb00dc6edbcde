"""CON-1: the declared number of remote connections."""

import pytest


@pytest.mark.needs("attacker", "motion", "secure-channel", "clients")
@pytest.mark.requirement("CON-1")
@pytest.mark.scenario("connections")
def test_serves_as_many_connections_as_declared_and_no_more(recordings, judge):
    """1 to N keep every limit; N + 1 is refused, logged and disturbs nobody."""
    judge(recordings)
