"""The whole way on the virtual bench: a healthy robot passes, each defect fails what it breaks.

Topics of their own have files of their own (``test_defects_TOPIC.py``), each with its ``JUDGED``.
"""

import dataclasses
import importlib.util
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure.behaviours import BEHAVIOURS
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue

PLAYED = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "support/played.py")))
play = PLAYED.play
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")

JUDGED = {
    "primary-outage": ("MON-2", "SW-1"),
    "blackout": ("MON-2", "FAIL-3", "REC-1"),
    "delay-ramp": ("MON-2", "LIM-1"),
    "loss-step": ("MON-2", "LIM-2"),
    "urumqi-shanghai": ("MON-2", "LIM-1", "FAIL-1"),
    "beijing-shanghai": ("MON-2", "LIM-1", "FAIL-1"),
    "radio-link-failure": ("MON-2", "SW-1", "MOB-1"),
    "nr-handover": ("MOB-1",),
    "local-stop": ("LOC-1",),
    "null-path": (),
    "steady-5g-slice": (),
}
SHORT = ("primary-outage", "blackout", "delay-ramp", "loss-step", "urumqi-shanghai",
         "nr-handover", "local-stop")  # fmt: skip
"""Scenarios that together judge every behaviour once."""

HERE = {name for judged in JUDGED.values() for name in judged}
BRIEFLY = {"hasty-safe-state"}
"""Shows in a brief blackout only: tests/judge/test_defects_grid.py."""
OWN = [
    name
    for name, defect in DEFECTS.items()
    if HERE & set(defect.breaks) and ROBOT.machine in defect.machines and name not in BRIEFLY
]

FOLLOWS = {
    "silent-outage": {"MOB-1"},
    "mute-alarms": {"MON-2"},
    "late-alarm": {"MOB-1"},
    "wrong-priority": {"MOB-1"},
    "old-sequence": {"FAIL-1"},
    "resumes-without-rearm": {"LIM-1", "LIM-2"},
}
"""What a defect breaks besides, by its nature: a handover asks for an alarm too; who executes
everything executes what is old; a hold lasts until a re-arm."""

DENSE = {"old-sequence"}
"""What shows only where each ms brings a command: some overtake others."""


def light(device):
    """The same robot without the streams that no behaviour rests on."""
    return PLAYED.light(device, ("control", "haptic-command"))


def slower(device):
    """A light robot with half the commands: its sessions take half the time."""
    kept = light(device)
    streams = tuple(
        dataclasses.replace(s, period_s=2 * s.period_s) if s.name == kept.watched else s
        for s in kept.streams
    )
    return dataclasses.replace(kept, streams=streams)


def verdicts(recording, planned_n=1):
    return PLAYED.verdicts(recording, JUDGED[recording.scenario], planned_n=planned_n)


def judged_in_all_topics():
    """Scenario to requirements, of this file and of every topic's own."""
    found = dict(JUDGED)
    for path in sorted(Path(__file__).parent.glob("test_defects_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        topic = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(topic)
        for scenario, names in topic.JUDGED.items():
            found[scenario] = (*found.get(scenario, ()), *names)
    return found


def test_every_scenario_behaviour_and_defect_is_tested_somewhere():
    assert {name for scenario in SHORT for name in JUDGED[scenario]} == HERE
    everywhere = judged_in_all_topics()
    tested = {name for names in everywhere.values() for name in names}
    behaviours = {r.id for r in CATALOGUE.requirements.values() if r.kind == "behaviour"}
    assert set(everywhere) == set(library.SCENARIOS)
    assert tested == set(BEHAVIOURS) <= behaviours
    broken = {name for defect in DEFECTS.values() for name in defect.breaks}
    assert broken & behaviours <= tested


@pytest.mark.parametrize("name", JUDGED)
def test_a_healthy_robot_passes_under_a_sound_stimulus(name):
    """Seeds 1 to 10, each with a quarter of the scenarios (the first with all)."""
    place = list(JUDGED).index(name)
    for seed in range(1, 11):
        if seed > 1 and (seed + place) % 4:
            continue
        recording = play(ROBOT if seed == 1 else light(ROBOT), name, seed)
        bad = [(s.step, s.phase, s.reason) for s in achieved(recording, None) if not s.ok]
        assert bad == [], f"seed {seed}"
        for requirement, found in verdicts(recording).items():
            assert found.verdict is PASS, f"seed {seed}, {requirement}: {found.reason}"
            assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", OWN)
def test_a_defect_fails_what_it_breaks_and_nothing_else(defect):
    made = light if defect in DENSE else slower
    device = made(ROBOT.with_defects({defect: DEFECTS[defect].size}))
    seen = {}
    for scenario in SHORT:
        for requirement, found in verdicts(play(device, scenario)).items():
            seen.setdefault(requirement, set()).add(found.verdict)
    failed = {requirement for requirement, outcomes in seen.items() if FAIL in outcomes}
    assert failed == (HERE & {*DEFECTS[defect].breaks}) | FOLLOWS.get(defect, set())
    assert not any(OPEN in outcomes for outcomes in seen.values())


def test_what_was_not_asked_of_the_network_is_not_judged():
    """A healthy robot on a clean link, recorded under the name of an outage."""
    outage = play(light(ROBOT), "primary-outage")
    clean = play(light(ROBOT), "steady-5g-slice")
    forged = dataclasses.replace(
        outage, packets=clean.packets, events=clean.events, changes=clean.changes
    )
    for found in verdicts(forged).values():
        assert found.verdict is OPEN


def test_a_stimulus_of_which_no_step_was_checked_backs_nothing():
    recording = play(light(ROBOT), "local-stop")
    found = assess(
        CATALOGUE.get("LOC-1"), recording.device, "", [recording], floor=None, planned_n=1,
        stimulus={recording.session_id: ()}, test="t",
    )  # fmt: skip
    assert found.verdict is OPEN
    assert "was not checked" in found.reason


def test_fewer_trials_than_planned_are_open_and_one_failure_is_not():
    healthy, broken = (
        play(light(ROBOT.with_defects(defects)), "local-stop")
        for defects in ({}, {"ignores-local-stop": 1.0})
    )
    assert verdicts(healthy, planned_n=59)["LOC-1"].verdict is OPEN
    found = verdicts(broken, planned_n=59)["LOC-1"]
    assert found.verdict is FAIL
    assert found.confidence == pytest.approx(0.05)
