"""LOC-2 on the virtual bench: healthy robots pass, each defect of local control fails."""

import dataclasses

import numpy as np
import pytest

from bench.devices.defects import DEFECTS
from bench.judge.verdict import Outcome

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ROBOTS = {"telesurgery-robot": 1, "orthopaedic-robot": 3}
"""Remote robots with 1 kHz and 100 Hz of commands, and how many seeds each plays."""

SLOW, STREAMS = "orthopaedic-robot", ("plan",)
JUDGED = {
    "takeover-delay": ("LOC-2",),
    "takeover-freeze": ("LOC-2",),
    "takeover-blackout": ("LOC-2",),
}
UNTOUCHED = {("no-takeover-in-fault", "takeover-freeze")}
"""What a defect does not show in: commands keep coming in time while only the image freezes."""


@pytest.mark.parametrize("scenario", JUDGED)
@pytest.mark.parametrize("robot", ROBOTS)
def test_healthy_robots_pass_under_a_sound_stimulus(played, robot, scenario):
    for seed in range(1, 1 + ROBOTS[robot]):
        recording = played.play(played.device(robot, streams=STREAMS), scenario, seed)
        assert played.unsound(recording) == []
        found = played.verdict(recording, "LOC-2")
        assert found.verdict is PASS, found.reason
        assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("scenario", JUDGED)
@pytest.mark.parametrize("defect", [d for d in DEFECTS if DEFECTS[d].breaks == ("LOC-2",)])
def test_a_defect_fails(played, defect, scenario):
    expected = PASS if (defect, scenario) in UNTOUCHED else FAIL
    for seed in (1, 8):
        device = played.device(SLOW, defect, streams=STREAMS)
        recording = played.play(device, scenario, seed)
        found = played.verdict(recording, "LOC-2")
        assert found.verdict is expected, found.reason


def without(recording, **actions):
    """A recording in which some actions were not done, or at another time (s)."""
    events = []
    for event in recording.events:
        name = event.value.get("name") if event.name == "action" else None
        at_s = actions.get((name or "").replace("-", "_"), event.t_ns / 1e9)
        if at_s is not None:
            events.append(dataclasses.replace(event, t_ns=round(at_s * 1e9)))
    return dataclasses.replace(recording, events=tuple(events))


def keep(recording, mask):
    rows = recording.packets.rows
    return dataclasses.replace(
        recording, packets=dataclasses.replace(recording.packets, rows=rows[mask(rows)])
    )


@pytest.fixture(scope="module")
def healthy(played):
    return played.play(played.device(SLOW, streams=STREAMS), "takeover-freeze")


def test_what_cannot_show_it_is_open(played, healthy):
    command = healthy.device.stream(healthy.device.watched).code
    taken_s, released_s = 2.8, 5.0
    clean = played.play(played.device(SLOW, streams=STREAMS), "takeover-delay")
    cases = {
        "did not carry out takeover": without(healthy, takeover=None),
        "did not carry out takeover-release": without(healthy, takeover_release=None),
        "did not fall into the fault": without(healthy, takeover=1.9),
        "fresh remote commands arrived while taken over": keep(
            healthy,
            lambda r: (r["stream"] != command) | (r["tap"] != 1)
            | (r["t_ns"] < taken_s * 1e9) | (r["t_ns"] > released_s * 1e9),
        ),
        "fresh remote commands arrived after the release": keep(
            healthy,
            lambda r: (r["stream"] != command) | (r["t_ns"] < released_s * 1e9),
        ),
        "went on arriving": dataclasses.replace(healthy, packets=clean.packets),
    }  # fmt: skip
    for reason, recording in cases.items():
        found = played.verdict(recording, "LOC-2")
        assert found.verdict is OPEN, reason
        assert reason in found.reason


def test_one_remote_command_after_the_takeover_fails_whatever_the_time(played, healthy):
    """Forged into a healthy recording: at the actuator, once."""
    command = healthy.device.stream(healthy.device.watched).code
    rows = healthy.packets.rows
    mine = rows[(rows["tap"] == 2) & (rows["stream"] == command)][-1:].copy()
    for t_s, expected in ((2.7, PASS), (2.9, FAIL), (4.9, FAIL), (5.2, FAIL)):
        mine["t_ns"] = round(t_s * 1e9)
        both = np.sort(np.concatenate([rows, mine]), order="t_ns", kind="stable")
        forged = dataclasses.replace(
            healthy, packets=dataclasses.replace(healthy.packets, rows=both)
        )
        found = played.verdict(forged, "LOC-2")
        assert found.verdict is expected, (t_s, found.reason)


def test_local_control_that_ceases_is_no_takeover(played, healthy):
    ceased = keep(healthy, lambda r: (r["stream"] != 255) | (r["t_ns"] < 3.5e9))
    found = played.verdict(ceased, "LOC-2")
    assert (found.verdict, found.value) == (FAIL, None)
    none = played.verdict(keep(healthy, lambda r: r["stream"] != 255), "LOC-2")
    assert (none.verdict, none.value) == (FAIL, None)
