"""The grid of faults: longer and one-way interruptions, excess delay, a link that flaps."""

import dataclasses

import pytest

from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.verdict import Outcome
from bench.measure import events as ev
from bench.measure.holding import fail_3
from bench.network import library
from bench.sessions.packets import TAPS, PacketTable

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ROBOTS = ("telesurgery-robot", "orthopaedic-robot", "tele-ultrasound-robot", "rehabilitation-arm")
SLOW = "orthopaedic-robot"

JUDGED = {
    "blackout-400ms": ("FAIL-3",),
    "blackout-1s": ("REC-1",),
    "blackout-10s": ("FAIL-3", "REC-1"),
    "blackout-60s": ("FAIL-3", "REC-1"),
    "blackout-600s": ("REC-1",),
    "blackout-to-patient": ("FAIL-3",),
    "excess-delay-200ms-to-patient": ("FAIL-1",),
    "excess-delay-1s": ("FAIL-1", "MON-2"),
    "primary-flap": ("SW-1", "MON-2"),
}
SHOWN = {
    ("hasty-safe-state", "blackout-400ms"): "FAIL-3",
    ("no-safe-state", "blackout-10s"): "FAIL-3",
    ("no-safe-state", "blackout-to-patient"): "FAIL-3",
    ("slow-reconnect", "blackout-1s"): "REC-1",
    ("resumes-without-rearm", "blackout-1s"): "REC-1",
    ("motion-jump", "blackout-10s"): "REC-1",
    ("stale-commands", "excess-delay-200ms-to-patient"): "FAIL-1",
    ("stale-commands", "excess-delay-1s"): "FAIL-1",
    ("never-switches", "primary-flap"): "SW-1",
    ("silent-outage", "primary-flap"): "MON-2",
}
"""Defect and scenario to what it fails there."""


def counts(found):
    details = dict(found.details)
    return details["missed_alarms"], details["false_alarms"]


@pytest.mark.parametrize(
    ("robot", "scenario"),
    [(r, s) for r in ROBOTS for s in JUDGED if r == SLOW or s not in library.LONG],
)
def test_healthy_robots_pass_under_a_sound_stimulus(played, robot, scenario):
    """Of the long ones, the robot with the fewest commands."""
    for seed in (1, 8) if scenario not in library.LONG else (1,):
        recording = played.play(played.device(robot), scenario, seed)
        assert played.unsound(recording) == []
        for requirement in JUDGED[scenario]:
            found = played.verdict(recording, requirement)
            assert found.verdict is PASS, found.reason
            assert 0 <= found.value <= found.limit
            if requirement == "MON-2":
                assert counts(found) == (0, 0), found.details


@pytest.mark.parametrize("device", ["icu-bed", "mobile-dr-ct", "vr-trainer"])
@pytest.mark.parametrize("scenario", ["primary-flap", "excess-delay-1s"])
def test_devices_that_move_nothing_alarm_once_and_for_good_cause(played, device, scenario):
    recording = played.play(played.device(device), scenario)
    found = played.verdict(recording, "MON-2")
    assert (found.verdict, *counts(found)) == (PASS, 0, 0), found.reason
    if "records" in find_device(device).functions and scenario == "primary-flap":
        assert played.verdict(recording, "SW-1").verdict is PASS


@pytest.mark.parametrize(("defect", "scenario"), SHOWN)
def test_a_defect_fails(played, defect, scenario):
    device = played.device(SLOW).with_defects({defect: DEFECTS[defect].size_on(find_device(SLOW))})
    found = played.verdict(played.play(device, scenario), SHOWN[defect, scenario])
    assert found.verdict is FAIL, found.reason


def test_an_interruption_that_was_over_before_the_deadline_shows_no_safe_state(played):
    slow = played.device(SLOW, "no-safe-state")
    slow = dataclasses.replace(slow, declares={**slow.declares, "safe_state_within_s": 1.5})
    found = played.verdict(played.play(slow, "blackout-1s"), "FAIL-3")
    assert found.verdict is OPEN
    assert "was over before the deadline" in found.reason


def test_a_brief_blackout_that_was_not_there_shows_nothing(played):
    brief = played.play(played.device(SLOW), "blackout-400ms")
    clean = played.play(played.device(SLOW), "steady-5g-slice")
    unimpaired = played.shown_clean(brief, clean)
    assert played.verdict(unimpaired, "FAIL-3").verdict is OPEN
    with pytest.raises(ev.Cannot, match="no command was lost at the taps"):
        fail_3(unimpaired, None)


@pytest.mark.parametrize("tap", ["doctor", "patient"])
def test_a_brief_blackout_with_rows_of_a_tap_gone_shows_nothing(played, tap):
    brief = played.play(played.device(SLOW), "blackout-400ms")
    rows = brief.packets.rows
    code = brief.device.stream(brief.device.watched).code
    for upto_s in (2.2, 99.0):
        gone = (rows["tap"] == TAPS.index(tap)) & (rows["stream"] == code)
        gone &= (rows["t_ns"] > 1.5e9) & (rows["t_ns"] < upto_s * 1e9)
        lacking = dataclasses.replace(brief, packets=PacketTable(rows[~gone]))
        assert played.verdict(lacking, "FAIL-3").verdict is OPEN
