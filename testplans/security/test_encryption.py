"""DAT-1 and DAT-2: nothing in plain text, and what encryption costs."""

import pytest


@pytest.mark.needs("attacker", "listener")
@pytest.mark.requirement("DAT-1")
@pytest.mark.scenario("eavesdropping")
def test_nothing_passes_in_plain_text(recordings, judge):
    """A listener reads no known content of any stream; the suite is the declared one."""
    judge(recordings)


@pytest.mark.needs("attacker", "motion", "secure-channel", "service-mode")
@pytest.mark.requirement("DAT-2")
@pytest.mark.scenario("encryption-cost")
def test_encryption_adds_no_more_delay_than_declared(recordings, judge):
    """From making a command to executing it, with encryption and without."""
    judge(recordings)
