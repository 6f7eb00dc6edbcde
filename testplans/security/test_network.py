"""SEC-3, SEC-4 and SEC-7: a rogue network, jamming, a flood."""

import pytest


@pytest.mark.needs("attacker", "interceptor", "secure-channel", "motion")
@pytest.mark.requirement("SEC-3")
@pytest.mark.scenario("rogue-network")
def test_accepts_nothing_of_a_rogue_network(recordings, judge):
    """A false gateway that intercepts the session (IP layer): nothing accepted, alarm in time."""
    judge(recordings)


@pytest.mark.needs("motion")
@pytest.mark.requirement("SEC-4")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("jamming", "intermittent-jamming")
    ],
)
def test_reaches_its_safe_state_when_jammed(scenario, recordings, judge):
    """As in an interruption: safe state within its time, alarm within its own."""
    judge(recordings)


@pytest.mark.needs("flooder", "motion")
@pytest.mark.requirement("SEC-7")
@pytest.mark.scenario("flood")
def test_local_stop_works_in_a_flood(recordings, judge):
    """Motion stops within the declared time while foreign packets pour in."""
    judge(recordings)
