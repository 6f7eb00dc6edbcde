"""MOB-1: base-station handover."""

import pytest


@pytest.mark.needs("wireless")
@pytest.mark.requirement("MOB-1")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("nr-handover", "radio-link-failure")
    ],
)
def test_handover_keeps_the_limits_or_alarms(scenario, recordings, judge):
    """Limits hold through the handover, or the alarm comes in time."""
    judge(recordings)


@pytest.mark.needs("wireless", "cells")
@pytest.mark.requirement("MOB-1")
@pytest.mark.scenario("cell-change")
def test_a_change_of_cell_keeps_the_limits_or_alarms(recordings, judge):
    """The modem changes its cell: limits hold through it, or the alarm comes in time."""
    judge(recordings)
