"""LIM-1 and LIM-2: the declared action when delay or loss reach their limit."""

import pytest

pytestmark = pytest.mark.needs("motion")


@pytest.mark.requirement("LIM-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("delay-ramp", "urumqi-shanghai", "beijing-shanghai")
    ],
)
def test_holds_when_delay_passes_its_limit(scenario, recordings, judge):
    """The drive stops within the declared time, and stays stopped until it is re-armed."""
    judge(recordings)


@pytest.mark.requirement("LIM-2")
@pytest.mark.scenario("loss-step")
def test_holds_when_loss_passes_its_limit(recordings, judge):
    """The drive stops within the declared time after loss begins."""
    judge(recordings)
