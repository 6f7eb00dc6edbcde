"""SEC-5: no command that was tampered with on the way is ever executed."""

import pytest


@pytest.mark.needs("attacker", "motion")
@pytest.mark.requirement("SEC-5")
@pytest.mark.scenario("tampering")
def test_executes_only_what_the_operator_sent(recordings, judge):
    """Flipped, replayed, reordered and injected commands: none is executed."""
    judge(recordings)
