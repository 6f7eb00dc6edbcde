"""The behaviours of every remote robot, on robots with 100 Hz and 500 Hz of commands."""

import pytest

from bench.judge.verdict import Outcome
from bench.measure import events as ev

PASS, FAIL = Outcome.PASS, Outcome.FAIL
SLOW, ARM = "orthopaedic-robot", "rehabilitation-arm"
JUDGED = {
    "primary-outage": ("MON-2", "SW-1"),
    "blackout": ("MON-2", "FAIL-3", "REC-1"),
    "delay-ramp": ("MON-2", "LIM-1"),
    "loss-step": ("MON-2", "LIM-2"),
    "beijing-shanghai": ("MON-2", "LIM-1", "FAIL-1"),
    "nr-handover": ("MOB-1",),
    "local-stop": ("LOC-1",),
}
FAILING = [
    ("late-alarm", "nr-handover", "MOB-1"),
    ("stale-commands", "beijing-shanghai", "FAIL-1"),
    ("ignores-loss-limit", "loss-step", "LIM-2"),
    ("stopped-while-moving", "local-stop", "LOC-1"),
]


@pytest.mark.parametrize("scenario", JUDGED)
@pytest.mark.parametrize("robot", [SLOW, ARM])
def test_healthy_robots_pass(played, robot, scenario):
    recording = played.play(played.device(robot, streams=("plan",)), scenario, 2)
    assert played.unsound(recording) == []
    for requirement in JUDGED[scenario]:
        found = played.verdict(recording, requirement)
        assert found.verdict is PASS, f"{requirement}: {found.reason}"


@pytest.mark.parametrize(("defect", "scenario", "requirement"), FAILING)
def test_a_defect_fails_on_a_slow_stream_too(played, defect, scenario, requirement):
    for seed in (1, 2):
        device = played.device(SLOW, defect, streams=("plan",))
        found = played.verdict(played.play(device, scenario, seed), requirement)
        assert found.verdict is FAIL, found.reason


def test_how_many_late_commands_make_an_exceedance(played):
    found = {
        name: ev.consecutive(played.play(played.device(name, streams=("plan",)), "null-path"))
        for name in (SLOW, ARM, "telesurgery-robot")
    }
    assert found == {SLOW: 2, ARM: 5, "telesurgery-robot": 10}
