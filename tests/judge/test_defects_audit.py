"""What the device records: a healthy robot's log passes, each defect of it fails what it breaks."""

import dataclasses

import pytest

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS, audit
from bench.judge.verdict import Outcome
from bench.network import library
from bench.sessions.recording import Event, Session
from bench.units import ns

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE

JUDGED = {
    "logged-faults": ("MON-4",),
    "operation": ("LOG-1", "OPS-2", "OPS-3"),
    "attacked-operation": ("LOG-1",),
    "log-survival": ("LOG-2",),
}
OWN = tuple(defect.name for defect in audit.DEFECTS)


def light(played, defect=None):
    """A robot that costs little: slower commands and heartbeats, one other stream."""
    device = played.device("telesurgery-robot", defect, streams=("temperature",))
    periods = {device.watched: 0.005, "control": 0.05}
    streams = tuple(
        dataclasses.replace(s, period_s=periods.get(s.name, s.period_s)) for s in device.streams
    )
    limits = {**device.limits, "command_delay_packets": 4.0}
    return dataclasses.replace(device, streams=streams, limits=limits)


@pytest.fixture(scope="module")
def healthy(played):
    """One recording of each scenario."""
    return {name: played.play(light(played), name) for name in JUDGED}


@pytest.mark.parametrize("name", JUDGED)
def test_a_healthy_robot_passes_under_a_sound_stimulus(played, name):
    for seed in range(1, 5):
        device = light(played)
        if seed == 1:  # as fast as it is
            device = played.device("telesurgery-robot", streams=("temperature",))
        recording = played.play(device, name, seed)
        assert played.unsound(recording) == [], f"seed {seed}"
        for requirement in JUDGED[name]:
            found = played.verdict(recording, requirement)
            assert found.verdict is PASS, f"seed {seed}, {requirement}: {found.reason}"
            assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", OWN)
def test_a_defect_fails_what_it_breaks_and_nothing_else(played, defect):
    """One seed; what a sized one breaks, with a second one."""
    device = light(played, defect)
    broken, failed = set(DEFECTS[defect].breaks), set()
    for scenario, names in JUDGED.items():
        for seed in (7, 8) if DEFECTS[defect].timed and broken & {*names} else (7,):
            recording = played.play(device, scenario, seed)
            for name in names:
                found = played.verdict(recording, name)
                if name in broken and found.verdict is FAIL:
                    failed.add((name, seed))
                else:
                    assert found.verdict is PASS, found.reason
    wanted = broken & {name for names in JUDGED.values() for name in names}
    seeds = (7, 8) if DEFECTS[defect].timed else (7,)
    assert failed == {(name, seed) for name in wanted for seed in seeds}


@pytest.mark.parametrize("size", [0.45, 0.55])
def test_the_time_error_is_what_was_put_in(played, size):
    device = light(played).with_defects({"log-mistimed": size})
    found = played.verdict(played.play(device, "logged-faults"), "MON-4")
    details = dict(found.details)
    assert found.verdict is FAIL
    # The outage was recognised 40 ms after it began, by a clock that is 20 ms ahead.
    assert details["outage_s"] == pytest.approx(size + 0.06, abs=0.005)
    assert details["clock_offset_s"] == pytest.approx(0.02, abs=1e-6)
    assert details["clock_drift"] == pytest.approx(2e-5, abs=1e-7)


def test_the_devices_clock_is_in_the_budget_and_without_it_nothing_passes(played, healthy):
    recording = healthy["logged-faults"]
    found = played.verdict(recording, "MON-4")
    assert {term.name for term in found.budget} == {"tap", "clock", "event", "device-clock"}
    unread = without(recording, lambda e: e.name == "clock" and e.t_ns > ns(3.0))
    again = played.verdict(unread, "MON-4")
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
def test_a_session_whose_network_did_nothing_shows_nothing(played, healthy, scenario, name):
    """A quiet session under the name of another. LOG-2 rests on nothing of the network."""
    quiet = played.play(light(played), "log-survival")
    forged = played.shown_clean(healthy[scenario], quiet)
    assert played.verdict(forged, name).verdict is OPEN


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
def test_a_recording_that_ends_early_shows_nothing(played, healthy, scenario, name, t_s):
    assert played.verdict(ended(healthy[scenario], t_s), name).verdict is OPEN


KINDS = {
    "operator": lambda e: e.name == "action" and e.value["name"].startswith("sign-"),
    "procedure": lambda e: e.name == "action" and e.value["name"].startswith("procedure-"),
    "alarm": lambda e: e.name == "alarm-signal",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_without_some_kind_of_event_shows_nothing_of_it(played, healthy, kind):
    """Neither the event nor its entry: the log may hold such things or not."""
    gone = without(healthy["operation"], KINDS[kind])
    gone = with_entries(gone, lambda entries: [e for e in entries if e["kind"] != kind])
    found = played.verdict(gone, "LOG-1")
    if kind == "procedure":  # its summary of the connection, too
        assert found.verdict is OPEN
        return
    assert found.verdict is OPEN
    assert f"no {kind}" in found.reason


def test_a_fault_outside_an_operation_shows_nothing_of_one(played, healthy):
    gone = without(healthy["operation"], KINDS["procedure"])
    found = played.verdict(gone, "OPS-2")
    assert found.verdict is OPEN
    assert "no operation was running" in found.reason


def with_entries(recording, change):
    """The same recording with other entries in every export."""
    events = tuple(
        dataclasses.replace(e, value={**e.value, "entries": change(e.value["entries"])})
        if e.name == "audit-export"
        else e
        for e in recording.events
    )
    return dataclasses.replace(recording, events=events)


def test_without_trouble_nothing_is_shown_about_the_logs_survival(played, healthy):
    for what in ("power-cut", "disk-full", "edit-log"):
        gone = without(
            healthy["log-survival"],
            lambda e, what=what: e.name == "action" and e.value["name"].startswith(what),
        )
        found = played.verdict(gone, "LOG-2")
        assert found.verdict is OPEN, found.reason


def test_a_power_cut_that_never_was_shows_nothing(played, healthy):
    recording = without(healthy["log-survival"], lambda e: e.name == "power-on")
    found = played.verdict(recording, "LOG-2")
    assert found.verdict is OPEN
    assert "nothing shows that the power was cut" in found.reason


def test_a_medium_that_was_never_full_shows_nothing(played):
    scenario = library.find_scenario("log-survival")
    actions = tuple(a for a in scenario.actions if a.name != "disk-full")
    assert len(actions) < len(scenario.actions)
    recording = played.play(light(played), "log-survival")
    roomy = _play(played, dataclasses.replace(scenario, actions=actions))
    pressed = [e for e in recording.named("action") if e.value["name"] == "disk-full"]
    events = tuple(sorted((*roomy.events, *pressed), key=lambda e: e.t_ns))
    found = played.verdict(dataclasses.replace(roomy, events=events), "LOG-2")
    assert found.verdict is OPEN
    assert "nothing shows that the medium was full" in found.reason


def _play(played, scenario):
    device = light(played)
    with VirtualBench() as bench:
        return bench.run(Session("t", device, scenario, 7), played.Nowhere())


# ---- the reconciliation, entry by entry ------------------------------------------------------

WITNESSED = ("operator", "procedure", "command", "alarm", "connection")


@pytest.mark.parametrize("kind", WITNESSED)
def test_any_one_witnessed_entry_that_is_missing_is_found(played, healthy, kind):
    """Entries are taken out one by one."""
    export = healthy["operation"].named("audit-export", side="patient")[-1].value["entries"]
    wanted = [e for e in export if e["kind"] == kind and witnessed(e)]
    assert wanted
    for entry in wanted:
        gone = with_entries(healthy["operation"], lambda all_, e=entry: [x for x in all_ if x != e])
        found = played.verdict(gone, "LOG-1")
        assert found.verdict is FAIL, entry
        assert found.value >= 1


def witnessed(entry):
    """Whether something beside the log tells of an entry."""
    return entry["name"] not in ("connection", "link-state", "session")


def test_every_anomaly_of_a_fault_must_go_for_it_to_be_missing(played, healthy):
    def loss_gone(entries):
        return [e for e in entries if not (e["kind"] == "anomaly" and e["clock_ns"] > ns(6.0))]

    found = played.verdict(with_entries(healthy["operation"], loss_gone), "LOG-1")
    assert found.verdict is FAIL
    assert "anomaly of loss" in dict(found.details)["missing"]


def test_attacks_of_the_bench_must_be_in_the_log(played, healthy):
    recording = healthy["operation"]
    attack = Event(ns(5.0), "patient", "bench", "attack", {"name": "replay"})
    attacked = dataclasses.replace(recording, events=(*recording.events, attack))
    found = played.verdict(attacked, "LOG-1")
    assert found.verdict is FAIL
    assert found.value == 1

    def known(entries):
        last = entries[-1]
        return [*entries, {**last, "kind": "attack", "name": "attack-replay", "clock_ns": ns(5.1)}]

    assert played.verdict(with_entries(attacked, known), "LOG-1").verdict is PASS


def test_without_a_declared_time_error_a_wrong_time_is_open_and_a_missing_entry_is_not(played):
    device = light(played)
    declares = {k: v for k, v in device.declares.items() if k != "log_time_error_s"}
    quiet = dataclasses.replace(device, declares=declares)
    found = played.verdict(played.play(quiet, "operation"), "LOG-1")
    assert found.verdict is OPEN
    assert "no time error is declared" in found.reason
    lacking = quiet.with_defects({"log-lacks-operator": 1.0})
    assert played.verdict(played.play(lacking, "operation"), "LOG-1").verdict is FAIL
    assert played.verdict(played.play(lacking, "logged-faults"), "MON-4").verdict is OPEN


def test_a_log_that_is_no_longer_given_out_is_lost(played, healthy):
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
    found = played.verdict(mute, "LOG-2")
    assert found.verdict is FAIL
    silent = without(healthy["operation"], lambda e: e.name == "audit-export")
    assert played.verdict(silent, "LOG-1").verdict is OPEN  # it may still have come
