"""Security on the virtual bench: a healthy robot passes, each defect fails what it breaks."""

import dataclasses
from functools import cache

import pytest

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS, security
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure.stimulus import achieved
from bench.network import library
from bench.network.library import security as attacked
from bench.requirements.loader import load_catalogue
from bench.sessions.recording import Session

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")

JUDGED = {
    "tampering": ("SEC-5",),
    "intrusion": ("SEC-1",),
    "unlisted-peer": ("SEC-2",),
    "rogue-network": ("SEC-3",),
    "unsigned-update": ("SEC-6",),
    "flood": ("SEC-7",),
    "eavesdropping": ("DAT-1",),
    "encryption-cost": ("DAT-2",),
    "connections": ("CON-1",),
    "jamming": ("SEC-4",),
    "intermittent-jamming": ("SEC-4",),
}
OWN = tuple(defect.name for defect in security.DEFECTS)
OTHERS = {
    "no-safe-state": {"SEC-4"},
    "silent-outage": {"SEC-4"},
    "wrong-priority": {"SEC-4"},
    "ignores-local-stop": {"SEC-7"},
    "slow-local-stop": {"SEC-7"},
}
"""Defects of other topics that security catches as well."""


class Nowhere:
    """A sink that keeps nothing."""

    def packets(self, rows):
        pass

    event = progress = packets

    def capture_path(self, name):
        return None


def light(device, *more):
    """The same robot without the streams that nothing here rests on."""
    used = ("control", "haptic-command", *more)
    streams = tuple(
        dataclasses.replace(s, option=s.option if s.name in used else "off") for s in device.streams
    )
    return dataclasses.replace(device, streams=streams)


@cache
def play(name, defect="", seed=7):
    device = light(ROBOT, "ecg", "heart-rate") if name == "eavesdropping" else light(ROBOT)
    if defect:
        device = device.with_defects({defect: DEFECTS[defect].size})
    with VirtualBench() as bench:
        return bench.run(Session("security", device, library.find_scenario(name), seed), Nowhere())


def verdict(recording, planned_n=1):
    stimulus = {recording.session_id: achieved(recording, None)}
    (name,) = JUDGED[recording.scenario]
    return assess(
        CATALOGUE.get(name), recording.device, "", [recording], stimulus=stimulus, floor=None,
        planned_n=planned_n, test="t",
    )  # fmt: skip


def test_every_scenario_of_the_topic_is_judged():
    assert set(JUDGED) == set(attacked.SCENARIOS)


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize("seed", [7, 8])
def test_a_healthy_robot_passes_under_a_sound_stimulus(name, seed):
    recording = play(name, seed=seed)
    assert [(s.step, s.phase, s.reason) for s in achieved(recording, None) if not s.ok] == []
    found = verdict(recording)
    assert found.verdict is PASS, found.reason
    assert found.independent
    assert found.value >= found.limit if name == "connections" else found.value <= found.limit


@pytest.mark.parametrize("defect", [*OWN, *OTHERS])
def test_a_defect_fails_what_it_breaks_and_nothing_else(defect):
    """In every scenario that judges what it breaks, and in two of the others, by turns."""
    breaks = OTHERS.get(defect, set(DEFECTS[defect].breaks))
    mine = [name for name, (requirement,) in JUDGED.items() if requirement in breaks]
    others = [name for name in JUDGED if name not in mine]
    turn = [*OWN, *OTHERS].index(defect)
    for name in [*mine, others[turn % len(others)], others[(turn + 4) % len(others)]]:
        found = verdict(play(name, defect))
        assert found.verdict is (FAIL if name in mine else PASS), f"{name}: {found.reason}"


@pytest.mark.parametrize("defect", OWN)
def test_a_defect_fails_under_every_seed(defect):
    name = next(name for name, found in JUDGED.items() if found[0] in DEFECTS[defect].breaks)
    assert [verdict(play(name, defect, seed)).verdict for seed in (8, 9)] == [FAIL, FAIL]
