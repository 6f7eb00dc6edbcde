"""A change of cell in the simulated laboratory: a healthy robot passes, defects fail MOB-1."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.benches.base import Nowhere
from bench.benches.lab.bench import LabBench
from bench.benches.lab.file import SHIPPED
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.verdict import Outcome
from bench.measure.stimulus import achieved
from bench.network.library import find_scenario
from bench.sessions.recording import Session
from instruments.rf import testers

PLAYED = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "support/played.py")))
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
JUDGED = {"cell-change": ("MOB-1",)}
ROBOT = find_device("tele-ultrasound-robot")
BREAKING = ("mute-alarms", "silent-on-the-move", "wrong-priority")
"""A defect of one alarm alone fails nothing here: another declared one answers in time."""


@pytest.fixture(scope="module")
def laboratory():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testers, "EVERY_S", 0.01)  # simulated testers count polls
        with LabBench(SHIPPED) as bench:
            yield bench


def verdict(bench, device, seed=7):
    light = PLAYED.light(device, ("control", "haptic-command"))
    session = Session("t", light, find_scenario("cell-change"), seed)
    recording = bench.run(session, Nowhere())
    return recording, PLAYED.verdicts(recording, JUDGED["cell-change"])["MOB-1"]


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_healthy_robot_passes_under_a_sound_stimulus(laboratory, seed):
    recording, found = verdict(laboratory, ROBOT, seed)
    assert [(s.phase, s.reason) for s in achieved(recording, None) if not s.ok] == []
    assert found.verdict is PASS, found.reason
    assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", BREAKING)
def test_a_defect_that_keeps_the_alarm_back_fails(laboratory, defect):
    device = ROBOT.with_defects({defect: DEFECTS[defect].size})
    assert verdict(laboratory, device)[1].verdict is FAIL


def test_without_cells_nothing_is_said_of_the_device():
    recording = PLAYED.play(PLAYED.light(ROBOT, ("control", "haptic-command")), "cell-change")
    found = PLAYED.verdicts(recording, ("MOB-1",))["MOB-1"]
    assert found.verdict is OPEN
    assert "this bench has no cells" in found.reason
