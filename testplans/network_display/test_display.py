"""MON-1: the device displays the state of the network."""

import pytest


@pytest.mark.needs("network-display")
@pytest.mark.requirement("MON-1")
@pytest.mark.scenario("network-steps")
def test_displayed_figures_agree_with_the_network(recordings, judge):
    """Delay, loss and jitter as displayed agree with what the taps saw, one period after a step."""
    judge(recordings)
