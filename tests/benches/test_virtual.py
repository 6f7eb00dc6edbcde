"""The virtual bench: deterministic, equal for bursts and packets, and the robot's behaviour."""

from dataclasses import replace

import numpy as np
import pytest

from bench.benches import virtual_ports
from bench.benches.virtual import VirtualBench
from bench.devices import registry
from bench.network import library
from bench.network.scenario import Scenario, Segment, Step
from bench.sessions.packets import TAPS
from bench.sessions.recording import Session

COMMAND, FORCE = 1, 2


class ListSink:
    """Keeps what a bench delivers."""

    def __init__(self):
        self.rows, self.events, self.steps = [], [], []

    def packets(self, rows):
        self.rows.append(rows)

    def event(self, event):
        self.events.append(event)

    def progress(self, progress):
        self.steps.append(progress.step)

    def capture_path(self, name):
        return None


def play(scenario, *, seed=7, defects=None, options=(), only=()):
    """One session; ``only``: of these streams, where not of all."""
    device = registry.find_device("telesurgery-robot").with_options(options)
    if only:
        streams = (s if s.name in only else replace(s, option="off") for s in device.streams)
        device = replace(device, streams=tuple(streams))
    session = Session("therapy", device.with_defects(defects or {}), scenario, seed)
    sink = ListSink()
    with VirtualBench() as bench:
        return bench.run(session, sink), sink


def contacts(recording, name):
    return [(e.t_ns / 1e9, e.value) for e in recording.named(name) if e.side == "patient"]


TOPICS = {
    "capacity-ramp",
    "minute-sets",
    "eavesdropping",
    "operation",
    "site-profiles",
    "worst-case",
}
"""One of each topic beside the basic ones; ``./run proof --only repeat`` takes them all."""

SHORTER = {
    "minute-sets": lambda: library.monitoring.minute_sets(82.0),
    "steady-5g-slice": lambda: library.steady(3.0),
}
WHOLE = ("null-path", "radio-link-failure", "steady-5g-slice")
"""With all streams of the device."""


@pytest.mark.parametrize("name", sorted({*library.basic.SCENARIOS, *TOPICS}))
def test_one_seed_one_recording(name):
    scenario = SHORTER[name]() if name in SHORTER else library.find_scenario(name)
    only = () if name in WHOLE else ("control", "haptic-command")
    first, sink = play(scenario, only=only)
    second, _ = play(scenario, only=only)
    other, _ = play(scenario, seed=8, only=only)
    assert first.packets.rows.tobytes() == second.packets.rows.tobytes()
    assert first.events == second.events
    assert first.packets.rows.tobytes() != other.packets.rows.tobytes() or name == "null-path"
    assert sum(len(rows) for rows in sink.rows) == len(first.packets)
    assert tuple(sink.events) == first.events
    assert first.packets.rows["t_ns"].max() <= first.schedule.end_ns


@pytest.mark.parametrize("options", [(), ("video-3d",)])
def test_frames_as_bursts_equal_frames_as_packets(monkeypatch, options):
    scenario = library.basic.radio_link_failure()
    bursts, _ = play(scenario, options=options)
    monkeypatch.setattr(virtual_ports, "_ARRAY_BURST", 10**9)
    packets, _ = play(scenario, options=options)
    assert bursts.packets.rows.tobytes() == packets.packets.rows.tobytes()
    assert bursts.events == packets.events


def test_streams_run_at_their_declared_rates():
    recording, _ = play(library.steady(5.0))
    for stream in recording.device.active_streams:
        tap = TAPS[0] if stream.source == "doctor" else TAPS[1]
        sent = recording.packets.where(tap=tap, stream=stream.code, direction=None)
        mine = sent.where(direction=0 if stream.source == "doctor" else 1)
        links = 2 if stream.name == "control" else 1
        expected = stream.packets_per_s * links * 7.0
        assert len(mine) == pytest.approx(expected, rel=0.02, abs=3 * stream.packets), stream.name
        assert set(mine.rows["size"]) == {stream.frame_bytes}


def test_delay_on_the_link_is_what_the_scenario_asks_for():
    recording, _ = play(library.steady(5.0))
    commands = recording.packets.where(stream=COMMAND, link=0)
    sent = commands.where(tap="doctor").rows
    got = commands.where(tap="patient").rows
    delay = got["t_ns"] - sent["t_ns"][: len(got)]
    assert np.array_equal(got["seq"], sent["seq"][: len(got)])
    assert 2.2e6 <= delay.min() <= delay.max() <= 2.9e6


def test_holds_brakes_and_waits_for_rearm_in_a_blackout():
    recording, _ = play(library.basic.blackout())
    motion, brake = contacts(recording, "motion"), contacts(recording, "brake")
    assert [value for _, value in motion] == [0, 1, 0, 1]
    hold_s, resume_s = motion[2][0], motion[3][0]
    assert 2.06 <= hold_s <= 2.1
    assert [v for t, v in brake if 2.0 < t < 4.0] == [1]
    pedals = [e.t_ns / 1e9 for e in recording.named("rearm")]
    assert any(hold_s < t < resume_s for t in pedals)
    positions = [v["um"] for t, v in contacts(recording, "position") if t > 1.0]
    assert abs(positions[1] - positions[0]) <= 100


def test_executes_nothing_old_and_nothing_twice_over_a_switch():
    recording, _ = play(library.basic.primary_outage())
    executed = recording.packets.where(tap="actuator").rows
    sent = dict(
        recording.packets.where(tap="doctor", stream=COMMAND).rows[["seq", "t_ns"]].tolist()
    )
    assert (np.diff(executed["seq"].astype(int)) > 0).all()
    ages = [t - sent[seq] for seq, t in executed[["seq", "t_ns"]].tolist()]
    assert 0 < max(ages) <= 15_000_000
    switches = [e.value["to"] for e in recording.named("link-switch", side="patient")]
    assert switches == ["standby", "primary"]


def test_one_way_outage_moves_both_sides_to_the_standby():
    scenario = library.basic.primary_outage()
    step = scenario.steps[1]
    state = step.segments[0].links["primary"]
    up = library.steady().steps[1].segments[0].links["primary"]
    half = type(state)(state.to_patient, up.to_doctor)
    segment = Segment("outage", 2.0, {"primary": half})
    steps = (scenario.steps[0], Step("outage", "outage", "beyond", (segment,)))
    recording, _ = play(Scenario("half-open", "half-open", steps))
    for side in ("patient", "doctor"):
        assert [e.value["to"] for e in recording.named("link-switch", side=side)] == ["standby"]


def test_local_stop_is_obeyed_and_latched():
    recording, _ = play(library.basic.local_stop())
    executed = recording.packets.where(tap="actuator").column("t_ns") / 1e9
    arrived = recording.packets.where(tap="patient", stream=COMMAND).column("t_ns") / 1e9
    assert ((executed > 2.3) & (executed <= 2.5)).sum() > 100
    assert not ((executed > 2.5) & (executed < 4.0)).any()
    assert ((arrived > 2.5) & (arrived < 4.0)).sum() > 1000


@pytest.mark.parametrize(
    ("defect", "scenario", "differs"),
    [
        ("silent-outage", "blackout", lambda r: not _alarms(r) & {"network-interrupted"}),
        ("never-switches", "primary-outage", lambda r: not r.named("link-switch")),
        ("ignores-local-stop", "local-stop", lambda r: _executed_between(r, 2.6, 3.9) > 1000),
        ("stale-commands", "urumqi-shanghai", lambda r: _executed_between(r, 2.06, 2.1) > 10),
        ("ignores-delay-limit", "delay-ramp", lambda r: contacts(r, "motion")[-1][0] < 1.0),
        ("no-safe-state", "blackout", lambda r: len(contacts(r, "brake")) == 2),
    ],
)  # fmt: skip
def test_a_defect_changes_what_the_bench_sees(defect, scenario, differs):
    recording, _ = play(library.find_scenario(scenario), defects={defect: 1.0})
    assert differs(recording)
    healthy, _ = play(library.find_scenario(scenario))
    assert not differs(healthy)


def _alarms(recording):
    return {e.value["alarm"] for e in recording.named("alarm-signal") if e.value["on"]}


def _executed_between(recording, start_s, end_s):
    t_ns = recording.packets.where(tap="actuator").column("t_ns")
    return int(((t_ns > start_s * 1e9) & (t_ns < end_s * 1e9)).sum())
