"""LOC-2: the patient's side takes over during a failure."""

import pytest


@pytest.mark.needs("motion", "local-takeover")
@pytest.mark.requirement("LOC-2")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=pytest.mark.scenario(name))
        for name in ("takeover-delay", "takeover-freeze", "takeover-blackout")
    ],
)
def test_local_side_takes_over(scenario, recordings, judge):
    """Local commands move the device in time; remote ones do not, before release and re-arm."""
    judge(recordings)
