"""Security on the virtual bench: a healthy robot passes, each defect fails what it breaks."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.benches import virtual_ports
from bench.benches.attacker import Attacker
from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS, security
from bench.devices.registry import find_device
from bench.devices.wire import decode, encode
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure.behaviours import expected_alarms, measure_behaviour
from bench.measure.connecting import con_1
from bench.measure.events import Cannot
from bench.measure.securing import altered, sec_5
from bench.measure.stimulus import achieved
from bench.network import library
from bench.network.attacks import Attack
from bench.network.library import security as attacked
from bench.requirements.loader import load_catalogue
from bench.runs.content import recording_hash
from bench.sessions.packets import TAPS, PacketTable
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
    """In every scenario that judges what it breaks, and in one of the others, by turns."""
    breaks = OTHERS.get(defect, set(DEFECTS[defect].breaks))
    mine = [name for name, (requirement,) in JUDGED.items() if requirement in breaks]
    others = [name for name in JUDGED if name not in mine]
    turn = [*OWN, *OTHERS].index(defect)
    for name in [*mine, others[turn % len(others)]]:
        found = verdict(play(name, defect))
        assert found.verdict is (FAIL if name in mine else PASS), f"{name}: {found.reason}"


@pytest.mark.parametrize("defect", OWN)
def test_a_defect_fails_under_another_seed(defect):
    name = next(name for name, found in JUDGED.items() if found[0] in DEFECTS[defect].breaks)
    assert verdict(play(name, defect, 8)).verdict is FAIL


# ---- what a recording cannot show ---------------------------------------------------------------


def _no_foreign(recording):
    rows = recording.packets.rows
    kept = rows[rows["tap"] != TAPS.index("third-party")]
    return dataclasses.replace(recording, packets=PacketTable(kept))


def _old(recording):
    """What the attackers made up arrives with numbers that the device's own went past."""
    rows = recording.packets.rows.copy()
    made_up = (rows["tap"] == TAPS.index("third-party")) & (rows["direction"] == 0)
    rows["seq"][made_up] = 0
    events = tuple(
        dataclasses.replace(e, value={**e.value, "seq": 0}) if e.name == "attack" else e
        for e in recording.events
    )
    return dataclasses.replace(recording, packets=PacketTable(rows), events=events)


def _late(recording):
    """What the attackers made up is older where it arrives than a command may be."""
    early_ns = round(recording.device.declares["command_age_s"] * 1e9)
    events = tuple(
        dataclasses.replace(e, t_ns=e.t_ns - early_ns) if e.name == "attack" else e
        for e in recording.events
    )
    return dataclasses.replace(recording, events=events)


def _without(name, **wanted):
    """Without the events of that name whose value says so."""

    def change(recording):
        def hit(event):
            return event.name == name and all(event.value.get(k) == v for k, v in wanted.items())

        kept = tuple(e for e in recording.events if not hit(e))
        assert len(kept) < len(recording.events)
        return dataclasses.replace(recording, events=kept)

    return change


def _idle(recording):
    kept = tuple(e for e in recording.events if e.name != "motion")
    return dataclasses.replace(recording, events=kept)


def _ends_early(recording):
    window = next(w for w in recording.schedule.windows if w.name != "settle")
    end = window.start_ns + 150_000_000
    return dataclasses.replace(
        recording,
        schedule=dataclasses.replace(recording.schedule, end_ns=end),
        packets=recording.packets.between(0, end),
        events=tuple(e for e in recording.events if e.t_ns < end),
    )


def _no_suite(recording):
    streams = tuple(dataclasses.replace(s, suite="") for s in recording.device.streams)
    device = dataclasses.replace(recording.device, streams=streams)
    return dataclasses.replace(recording, device=device)


def _no_alarm(recording):
    device = dataclasses.replace(recording.device, alarms=())
    return dataclasses.replace(recording, device=device)


def _declares_more(recording):
    declares = {**recording.device.declares, "connections": 20.0}
    device = dataclasses.replace(recording.device, declares=declares)
    return dataclasses.replace(recording, device=device)


CANNOT = [
    *((name, _ends_early) for name in JUDGED if name != "flood"),
    *((name, _no_foreign) for name, (found,) in JUDGED.items()
      if found not in ("SEC-4", "DAT-1", "DAT-2")),
    *((name, _idle) for name in ("tampering", "rogue-network", "flood", "connections", "jamming")),
    *(("tampering", _without("attack", kind=kind))
      for kind in ("flip", "replay", "reorder", "inject")),
    ("tampering", _without("commands-sent")),
    ("tampering", _without("commands-executed")),
    ("intrusion", _without("attempt", **{"as": "valid"})),
    ("intrusion", _without("attempt", **{"as": "revoked"})),
    ("unlisted-peer", _without("attempt", **{"as": "valid"})),
    ("rogue-network", _without("attack")),
    ("rogue-network", _old),
    ("rogue-network", _late),
    ("tampering", _old),
    ("tampering", _late),
    ("rogue-network", _no_alarm),
    ("jamming", _no_alarm),
    ("unsigned-update", _without("attempt", **{"as": "signed"})),
    ("flood", _without("action")),
    ("eavesdropping", _without("overheard")),
    ("eavesdropping", _no_suite),
    ("encryption-cost", _without("overheard")),
    ("encryption-cost", _without("test-point")),
    ("connections", _without("attempt")),
    ("connections", _declares_more),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), CANNOT)
def test_without_its_precondition_nothing_is_shown(name, change):
    recording = change(play(name))
    (requirement,) = JUDGED[name]
    found = measure_behaviour(
        requirement, [recording], profile=recording.device, confidence=0.95, floor=None,
        alarm=(expected_alarms(recording) or (None,))[0],
    )  # fmt: skip
    assert found.problems
    assert found.trials == ()
    assert verdict(recording).verdict is OPEN


def test_the_worst_trial_of_a_count_that_should_be_large_is_the_smallest():
    good, bad = play("connections"), play("connections", "accepts-further-client")
    found = measure_behaviour(
        "CON-1", [good, bad], profile=good.device, confidence=0.95, floor=None
    )
    assert (found.value, found.trials) == (0.0, (4.0, 0.0))
    stimulus = {r.session_id: achieved(r, None) for r in (good, bad)}
    judged = assess(
        CATALOGUE.get("CON-1"), good.device, "", [good, bad], stimulus=stimulus, floor=None,
        planned_n=2, test="t",
    )  # fmt: skip
    assert judged.verdict is FAIL
    assert "0" in judged.reason


def test_a_robot_without_security_executes_what_it_gets():
    """No layer at all: what was flipped and made up moves the drive."""
    bare = dataclasses.replace(light(ROBOT), functions=("motion", "standby-link"))
    with VirtualBench() as bench:
        session = Session("security", bare, library.find_scenario("tampering"), 7)
        found = verdict(bench.run(session, Nowhere()))
    assert found.verdict is FAIL


def test_one_seed_gives_one_recording_also_under_attack():
    first, again = play("tampering"), play.__wrapped__("tampering")
    assert recording_hash(first) == recording_hash(again)
    assert recording_hash(first) != recording_hash(play("tampering", seed=8))


@given(st.lists(st.integers(0, 9), unique=True, min_size=1), st.data())
def test_altered_commands_are_counted_bit_for_bit_once_and_in_order(numbers, data):
    sent = [(seq, 10 * seq - 50) for seq in sorted(numbers)]
    some = [c for c in sent if data.draw(st.booleans())]
    assert altered(sent, some) == 0
    assert altered(sent, [*some, *some]) == len(some)
    assert altered(sent, [(seq, value ^ 1) for seq, value in some]) == len(some)
    assert altered(sent, [(seq + 100, value) for seq, value in some]) == len(some)
    assert altered(sent, some[::-1]) == max(0, len(some) - 1)


def test_a_session_that_somebody_listens_to_is_the_same():
    """Tags computed and checked change nothing: neither a packet nor what the device does."""
    scenario = library.find_scenario("local-stop")
    listened = dataclasses.replace(
        scenario, actions=(*scenario.actions, Attack("listen", seconds=1.0).action("stop", 0.0))
    )
    found = []
    for each in (scenario, listened):
        with VirtualBench() as bench:
            recording = bench.run(Session("security", light(ROBOT), each, 7), Nowhere())
        ours = [e for e in recording.events if e.side != "bench" and "commands" not in e.name]
        found.append((recording.packets.rows.tobytes(), ours))
    assert found[0] == found[1]


def test_a_session_over_the_bytes_of_the_wire_is_the_same(monkeypatch):
    """Handshake, tags and bodies survive encoding, as on a bench with real packets."""
    plain = send = virtual_ports.VirtualPort.send
    sizes = {stream.code: stream.payload_bytes for stream in ROBOT.streams}
    tagged = []

    def over_the_wire(self, now_ns, link, message):
        again = decode(encode(message, sizes[message.stream]))
        tagged.append(again.tag != 0)
        plain(self, now_ns, link, again)

    rows = []
    for intact, way in ((True, send), (False, over_the_wire)):
        monkeypatch.setattr(virtual_ports.VirtualPort, "intact", intact)
        monkeypatch.setattr(virtual_ports.VirtualPort, "send", way)
        with VirtualBench() as bench:
            session = Session("security", light(ROBOT), library.find_scenario("local-stop"), 7)
            recording = bench.run(session, Nowhere())
        rows.append((recording.packets.rows.tobytes(), recording.events))
    assert rows[0] == rows[1]
    assert sum(tagged) > 0.99 * len(tagged)


def test_what_only_a_late_bench_may_have_disturbed_fails_nobody():
    healthy = play("connections")
    slowest_s = max(e.value["delay_max_s"] for e in healthy.named("attempt"))
    limits = {**healthy.device.limits, "command_delay_s": 0.9 * slowest_s}
    narrow = dataclasses.replace(healthy.device, limits=limits)
    disturbed = dataclasses.replace(healthy, device=narrow)
    health = dataclasses.replace(healthy.health, lateness_s={"max": 0.005})
    assert con_1(disturbed, None)[0] < 4
    with pytest.raises(Cannot, match=r"up to 5\.0 ms late"):
        con_1(dataclasses.replace(disturbed, health=health), None)
    for defect in ("further-client-disturbs", "accepts-further-client"):
        found = dataclasses.replace(play("connections", defect), health=health)
        assert con_1(found, None)[0] == 0


def test_a_hello_that_nobody_heard_is_not_called_replayed():
    notes = []

    class Port:
        def at(self, t_ns, call):
            call(t_ns)

        def inject(self, now_ns, link, way, message):
            pass

        def note(self, now_ns, name, value):
            notes.append((name, value.get("as")))

    attacker = Attacker(ROBOT, ("primary", "standby"), Port(), 7)
    attacker.begin(0, Attack("connect", "replayed"))
    assert notes == [("attack-begins", "replayed"), ("attempt", "none")]


def test_a_command_that_left_at_the_very_end_is_no_reason_to_show_nothing():
    recording = play("tampering")
    rows = recording.packets.rows
    at_tap = (
        (rows["tap"] == TAPS.index("doctor")) & (rows["direction"] == 0) & (rows["stream"] == 1)
    )
    last = np.flatnonzero(at_tap)[-1]
    cut = dataclasses.replace(recording, packets=PacketTable(np.delete(rows, last)))
    assert sec_5(cut, None)[0] == 0
    forged = rows.copy()
    forged["seq"][last] += 7  # the operator's side knows of no such command
    with pytest.raises(Cannot, match="commands are known"):
        sec_5(dataclasses.replace(recording, packets=PacketTable(forged)), None)
    more = np.concatenate([rows, rows[last : last + 1]])
    with pytest.raises(Cannot, match="commands are known"):
        sec_5(dataclasses.replace(recording, packets=PacketTable(more)), None)
