"""What the device records: a healthy robot's log passes, each defect of it fails what it breaks."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from bench.devices.defects import DEFECTS, audit
from bench.devices.registry import find_device
from bench.judge.verdict import Outcome
from bench.measure.stimulus import achieved
from bench.network import library
from bench.sessions.recording import Event
from bench.units import ns

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ROBOT = find_device("telesurgery-robot")

JUDGED = {
    "logged-faults": ("MON-4",),
    "operation": ("LOG-1", "OPS-2", "OPS-3"),
    "log-survival": ("LOG-2",),
}
OWN = tuple(defect.name for defect in audit.DEFECTS)


def _robot():
    """The helpers of the robot's own tests."""
    path = Path(__file__).with_name("test_defects.py")
    spec = importlib.util.spec_from_file_location("robot_defects", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def robot():
    return _robot()


def light(robot, device=ROBOT):
    """A robot that costs little: slower commands and heartbeats, one other stream."""
    periods = {device.watched: 0.005, "control": 0.05}
    streams = tuple(
        dataclasses.replace(s, period_s=periods.get(s.name, s.period_s))
        for s in robot.light(device, "temperature").streams
    )
    limits = {**device.limits, "command_delay_packets": 4.0}
    return dataclasses.replace(device, streams=streams, limits=limits)


@pytest.fixture(scope="module")
def healthy(robot):
    """One recording of each scenario."""
    return {name: robot.play(light(robot), name) for name in JUDGED}


def judge(robot, recording, name):
    return robot.verdicts(recording, judged={recording.scenario: (name,)})[name]


@pytest.mark.parametrize("name", JUDGED)
def test_a_healthy_robot_passes_under_a_sound_stimulus(robot, name):
    for seed in range(1, 5):
        device = robot.light(ROBOT, "temperature") if seed == 1 else light(robot)
        recording = robot.play(device, name, seed)
        bad = [(s.step, s.phase, s.reason) for s in achieved(recording, None) if not s.ok]
        assert bad == [], f"seed {seed}"
        for requirement, found in robot.verdicts(recording, judged=JUDGED).items():
            assert found.verdict is PASS, f"seed {seed}, {requirement}: {found.reason}"
            assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", OWN)
def test_a_defect_fails_what_it_breaks_and_nothing_else(robot, defect):
    """One seed; what a sized one breaks, with a second one."""
    device = light(robot, ROBOT.with_defects({defect: DEFECTS[defect].size}))
    broken = set(DEFECTS[defect].breaks)
    for scenario, names in JUDGED.items():
        for seed in (7, 8) if DEFECTS[defect].timed and broken & {*names} else (7,):
            recording = robot.play(device, scenario, seed)
            for name, found in robot.verdicts(recording, judged=JUDGED).items():
                assert found.verdict is (FAIL if name in broken else PASS), found.reason


@pytest.mark.parametrize("size", [0.45, 0.55])
def test_the_time_error_is_what_was_put_in(robot, size):
    device = light(robot, ROBOT.with_defects({"log-mistimed": size}))
    found = judge(robot, robot.play(device, "logged-faults"), "MON-4")
    details = dict(found.details)
    assert found.verdict is FAIL
    # The outage was recognised 40 ms after it began, by a clock that is 20 ms ahead.
    assert details["outage_s"] == pytest.approx(size + 0.06, abs=0.005)
    assert details["clock_offset_s"] == pytest.approx(0.02, abs=1e-6)
    assert details["clock_drift"] == pytest.approx(2e-5, abs=1e-7)


def test_the_devices_clock_is_in_the_budget_and_without_it_nothing_passes(robot, healthy):
    recording = healthy["logged-faults"]
    found = judge(robot, recording, "MON-4")
    assert {term.name for term in found.budget} == {"tap", "clock", "event", "device-clock"}
    unread = without(recording, lambda e: e.name == "clock" and e.t_ns > ns(3.0))
    again = judge(robot, unread, "MON-4")
    assert again.verdict is OPEN
    assert "was not measured" in again.reason


# ---- recordings that cannot show it ----------------------------------------------------------


def without(recording, unwanted):
    events = tuple(e for e in recording.events if not unwanted(e))
    return dataclasses.replace(recording, events=events)


def ended(recording, t_s):
    """The same recording, broken off."""
    end = ns(t_s)
    schedule = recording.schedule
    windows = tuple(
        dataclasses.replace(w, end_ns=min(w.end_ns, end))
        for w in schedule.windows
        if w.start_ns < end
    )
    return dataclasses.replace(
        recording,
        schedule=dataclasses.replace(schedule, windows=windows, end_ns=end),
        packets=recording.packets.between(0, end),
        events=tuple(e for e in recording.events if e.t_ns < end),
    )


NETWORK = [
    (scenario, name) for scenario, names in JUDGED.items() for name in names if name != "LOG-2"
]


@pytest.mark.parametrize(("scenario", "name"), NETWORK)
def test_a_session_whose_network_did_nothing_shows_nothing(robot, healthy, scenario, name):
    """A quiet session under the name of another. LOG-2 rests on nothing of the network."""
    quiet = robot.play(light(robot), "log-survival")
    forged = dataclasses.replace(
        healthy[scenario], packets=quiet.packets, events=quiet.events, changes=quiet.changes
    )
    assert judge(robot, forged, name).verdict is OPEN


@pytest.mark.parametrize(
    ("scenario", "name", "t_s"),
    [
        ("logged-faults", "MON-4", 12.0),
        ("operation", "LOG-1", 12.6),
        ("operation", "OPS-3", 12.6),
        ("operation", "OPS-2", 2.6),
        ("log-survival", "LOG-2", 3.6),
    ],
)
def test_a_recording_that_ends_early_shows_nothing(robot, healthy, scenario, name, t_s):
    assert judge(robot, ended(healthy[scenario], t_s), name).verdict is OPEN


KINDS = {
    "operator": lambda e: e.name == "action" and e.value["name"].startswith("sign-"),
    "procedure": lambda e: e.name == "action" and e.value["name"].startswith("procedure-"),
    "alarm": lambda e: e.name == "alarm-signal",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_without_some_kind_of_event_shows_nothing_of_it(robot, healthy, kind):
    """Neither the event nor its entry: the log may hold such things or not."""
    gone = without(healthy["operation"], KINDS[kind])
    gone = with_entries(gone, lambda entries: [e for e in entries if e["kind"] != kind])
    found = judge(robot, gone, "LOG-1")
    if kind == "procedure":  # its summary of the connection, too
        assert found.verdict is OPEN
        return
    assert found.verdict is OPEN
    assert f"no {kind}" in found.reason


def with_entries(recording, change):
    """The same recording with other entries in every export."""
    events = tuple(
        dataclasses.replace(e, value={**e.value, "entries": change(e.value["entries"])})
        if e.name == "audit-export"
        else e
        for e in recording.events
    )
    return dataclasses.replace(recording, events=events)


def test_without_trouble_nothing_is_shown_about_the_logs_survival(robot, healthy):
    for what in ("power-cut", "disk-full", "edit-log"):
        gone = without(
            healthy["log-survival"],
            lambda e, what=what: e.name == "action" and e.value["name"].startswith(what),
        )
        found = judge(robot, gone, "LOG-2")
        assert found.verdict is OPEN, found.reason


def test_a_power_cut_that_never_was_shows_nothing(robot, healthy):
    recording = without(healthy["log-survival"], lambda e: e.name == "power-on")
    found = judge(robot, recording, "LOG-2")
    assert found.verdict is OPEN
    assert "nothing shows that the power was cut" in found.reason


def test_a_medium_that_was_never_full_shows_nothing(robot):
    scenario = library.find_scenario("log-survival")
    actions = tuple(a for a in scenario.actions if a.name != "disk-full")
    assert len(actions) < len(scenario.actions)
    recording = robot.play(light(robot), "log-survival")
    roomy = _play(robot, dataclasses.replace(scenario, actions=actions))
    pressed = [e for e in recording.named("action") if e.value["name"] == "disk-full"]
    events = tuple(sorted((*roomy.events, *pressed), key=lambda e: e.t_ns))
    found = judge(robot, dataclasses.replace(roomy, events=events), "LOG-2")
    assert found.verdict is OPEN
    assert "nothing shows that the medium was full" in found.reason


def _play(robot, scenario):
    device = light(robot)
    with robot.VirtualBench() as bench:
        return bench.run(robot.Session("therapy", device, scenario, 7), robot.Nowhere())


# ---- the reconciliation, entry by entry ------------------------------------------------------

WITNESSED = ("operator", "procedure", "command", "alarm", "connection")


@pytest.mark.parametrize("kind", WITNESSED)
def test_any_one_witnessed_entry_that_is_missing_is_found(robot, healthy, kind):
    """Entries are taken out one by one."""
    export = healthy["operation"].named("audit-export", side="patient")[-1].value["entries"]
    wanted = [e for e in export if e["kind"] == kind and witnessed(e)]
    assert wanted
    for entry in wanted:
        gone = with_entries(healthy["operation"], lambda all_, e=entry: [x for x in all_ if x != e])
        found = judge(robot, gone, "LOG-1")
        assert found.verdict is FAIL, entry
        assert found.value >= 1


def witnessed(entry):
    """Whether something beside the log tells of an entry."""
    return entry["name"] not in ("connection", "link-state")


def test_every_anomaly_of_a_fault_must_go_for_it_to_be_missing(robot, healthy):
    def loss_gone(entries):
        return [e for e in entries if not (e["kind"] == "anomaly" and e["clock_ns"] > ns(6.0))]

    found = judge(robot, with_entries(healthy["operation"], loss_gone), "LOG-1")
    assert found.verdict is FAIL
    assert "anomaly of loss" in dict(found.details)["missing"]


def test_attacks_of_the_bench_must_be_in_the_log(robot, healthy):
    recording = healthy["operation"]
    attack = Event(ns(5.0), "patient", "bench", "attack", {"name": "replay"})
    attacked = dataclasses.replace(recording, events=(*recording.events, attack))
    found = judge(robot, attacked, "LOG-1")
    assert found.verdict is FAIL
    assert found.value == 1

    def known(entries):
        last = entries[-1]
        return [*entries, {**last, "kind": "attack", "name": "attack-replay", "clock_ns": ns(5.1)}]

    assert judge(robot, with_entries(attacked, known), "LOG-1").verdict is PASS


def test_without_a_declared_time_error_a_wrong_time_is_open_and_a_missing_entry_is_not(robot):
    declares = {k: v for k, v in ROBOT.declares.items() if k != "log_time_error_s"}
    quiet = dataclasses.replace(ROBOT, declares=declares)
    found = judge(robot, robot.play(light(robot, quiet), "operation"), "LOG-1")
    assert found.verdict is OPEN
    assert "no time error is declared" in found.reason
    lacking = light(robot, quiet.with_defects({"log-lacks-operator": 1.0}))
    assert judge(robot, robot.play(lacking, "operation"), "LOG-1").verdict is FAIL
    assert judge(robot, robot.play(lacking, "logged-faults"), "MON-4").verdict is OPEN


def test_a_log_that_is_no_longer_given_out_is_lost(robot, healthy):
    """After the power cut nothing answers any more."""
    mute = without(healthy["log-survival"], lambda e: e.name == "audit-export" and e.t_ns > ns(2.6))
    mute = dataclasses.replace(
        mute,
        events=tuple(
            e
            for e in mute.events
            if not (e.name == "action" and e.t_ns > ns(2.9) and "export" not in e.value["name"])
        ),
    )
    found = judge(robot, mute, "LOG-2")
    assert found.verdict is FAIL
    silent = without(healthy["operation"], lambda e: e.name == "audit-export")
    assert judge(robot, silent, "LOG-1").verdict is OPEN  # it may still have come
