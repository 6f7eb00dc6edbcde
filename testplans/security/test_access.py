"""SEC-1, SEC-2 and SEC-6: who and what is let in."""

import pytest

pytestmark = pytest.mark.needs("attacker", "secure-channel", "clients")


@pytest.mark.requirement("SEC-1")
@pytest.mark.scenario("intrusion")
def test_refuses_who_has_no_valid_identity(recordings, judge):
    """No, an expired, a foreign, a revoked certificate, and a repeated opening: refused, logged."""
    judge(recordings)


@pytest.mark.requirement("SEC-2")
@pytest.mark.scenario("unlisted-peer")
def test_refuses_who_is_not_on_the_whitelist(recordings, judge):
    """A peer with a good certificate that is not on the list: refused and logged."""
    judge(recordings)


@pytest.mark.needs("attacker", "secure-channel", "clients", "updates")
@pytest.mark.requirement("SEC-6")
@pytest.mark.scenario("unsigned-update")
def test_refuses_an_update_without_a_valid_signature(recordings, judge):
    """Unsigned, signed by somebody else, altered since: not installed; the maker's own is."""
    judge(recordings)
