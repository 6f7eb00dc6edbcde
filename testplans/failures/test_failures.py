"""FAIL-1 and FAIL-3: excess control delay and interruption."""

import pytest

pytestmark = pytest.mark.needs("motion")


@pytest.mark.requirement("FAIL-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in (
            "urumqi-shanghai",
            "beijing-shanghai",
            "excess-delay-200ms-to-patient",
            "excess-delay-1s",
        )
    ],
)
def test_executes_no_stale_command(scenario, recordings, judge):
    """No executed command is older than declared, counted from the doctor's interface."""
    judge(recordings)


@pytest.mark.requirement("FAIL-3")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("blackout", "blackout-10s", "blackout-60s", "blackout-to-patient")
    ],
)
def test_reaches_its_safe_state_in_a_blackout(scenario, recordings, judge):
    """Motion stops and the brakes engage within the declared time."""
    judge(recordings)


@pytest.mark.requirement("FAIL-3")
@pytest.mark.scenario("blackout-400ms")
def test_stays_out_of_its_safe_state_in_a_brief_blackout(recordings, judge):
    """Shorter than the silence that is declared for the brakes: they stay released."""
    judge(recordings)
