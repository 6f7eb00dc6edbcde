"""LIM-3 and OPS-1 on the virtual bench: healthy robots pass, each defect fails."""

import dataclasses

import pytest

from bench.judge.verdict import Outcome

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ROBOTS = {"telesurgery-robot": 1, "orthopaedic-robot": 6, "rehabilitation-arm": 2}
"""Remote robots with 1 kHz, 100 Hz and 500 Hz of commands, and how many seeds each plays."""
JUDGED = {"jitter-step": ("LIM-3",), "bad-link-before-start": ("OPS-1",)}
SHOWN = {
    "ignores-jitter-limit": ("jitter-step", "LIM-3"),
    "starts-on-a-bad-link": ("bad-link-before-start", "OPS-1"),
}
SLOW = "orthopaedic-robot"


@pytest.mark.parametrize("scenario", JUDGED)
@pytest.mark.parametrize("robot", ROBOTS)
def test_healthy_robots_pass_under_a_sound_stimulus(played, robot, scenario):
    for seed in range(1, 1 + ROBOTS[robot]):
        recording = played.play(played.device(robot, streams=("plan",)), scenario, seed)
        assert played.unsound(recording) == []
        for requirement in JUDGED[scenario]:
            found = played.verdict(recording, requirement)
            assert found.verdict is PASS, found.reason
            assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", SHOWN)
@pytest.mark.parametrize("robot", ROBOTS)
def test_a_defect_fails(played, robot, defect):
    scenario, requirement = SHOWN[defect]
    for seed in range(1, 1 + ROBOTS[robot]):
        device = played.device(robot, defect, streams=("plan",))
        found = played.verdict(played.play(device, scenario, seed), requirement)
        assert found.verdict is FAIL, f"seed {seed}: {found.reason}"


def forged(recording, name, when_ns=None, **changes):
    """The first event of a name changed or, without changes, all of that name left out."""
    events = []
    for event in recording.events:
        if event.name == name:
            if not changes and when_ns is None:
                continue
            event = dataclasses.replace(event, t_ns=when_ns or event.t_ns, **changes)
        events.append(event)
    return dataclasses.replace(recording, events=tuple(events))


def test_a_fault_that_never_came_is_open(played):
    device = played.device(SLOW, streams=("plan",))
    clean = played.play(device, "null-path")
    for scenario, (requirement,) in JUDGED.items():
        found = played.verdict(
            played.shown_clean(played.play(device, scenario), clean), requirement
        )
        assert found.verdict is OPEN


def test_a_start_that_nobody_asked_for_shows_nothing(played):
    recording = played.play(played.device(SLOW, streams=("plan",)), "bad-link-before-start")
    found = played.verdict(forged(forged(recording, "action"), "rearm"), "OPS-1")
    assert found.verdict is OPEN
    assert "nobody asked for a start" in found.reason


def test_a_device_that_never_moves_blocks_nothing(played):
    recording = played.play(played.device(SLOW, streams=("plan",)), "bad-link-before-start")
    found = played.verdict(forged(recording, "motion"), "OPS-1")
    assert found.verdict is OPEN
    assert "did not move on the good link either" in found.reason


def test_a_warning_before_the_start_is_enough(played):
    device = played.device(SLOW, "starts-on-a-bad-link", streams=("plan",))
    recording = played.play(device, "bad-link-before-start")
    (begun, *_) = [e for e in recording.named("brake") if e.value == 0]
    (signal, *_) = recording.named("alarm-signal", side="patient")
    for early_ns, expected in ((10**7, PASS), (-(10**7), FAIL)):
        value = {"alarm": "network-loss", "priority": "medium", "on": True}
        warned = dataclasses.replace(signal, t_ns=begun.t_ns - early_ns, value=value)
        kept = [e for e in recording.events if e.name != "alarm-signal"]
        events = tuple(sorted((*kept, warned), key=lambda event: event.t_ns))
        found = played.verdict(dataclasses.replace(recording, events=events), "OPS-1")
        assert found.verdict is expected


def test_an_action_that_may_answer_something_else_is_open(played):
    """The limit of delay passed as well: a device that declares a lower one."""
    recording = played.play(played.device(SLOW, streams=("plan",)), "jitter-step")
    for limit, name in (("command_delay_s", "delay"), ("command_jitter_s", "jitter")):
        limits = {**recording.device.limits, limit: 0.0005 if name == "delay" else 0.02}
        device = dataclasses.replace(recording.device, limits=limits)
        found = played.verdict(dataclasses.replace(recording, device=device), "LIM-3")
        assert found.verdict is OPEN
        assert name in found.reason
