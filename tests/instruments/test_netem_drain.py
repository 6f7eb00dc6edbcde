"""How long netem's end waits: by the law, bounded, ended by its user."""

import json
import os
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.network.impairment import CLEAN, Delay, Impairment, Slot
from instruments.emulators import netem_driver
from instruments.emulators.base import LinkPlan
from instruments.emulators.netem import NetemEmulator
from instruments.emulators.netem_drain import LONGEST_DRAIN_S, MARGIN_S, Waiting
from instruments.emulators.netem_law import longest_delay_s, netem_state
from instruments.emulators.netem_messages import QdiscCounters
from instruments.emulators.netem_state import unpack
from instruments.emulators.workers import Commands, Workers, send_event

MS, S = 1_000_000, 1_000_000_000
FRAME, OVERHEAD = 1000, 24


class Queue:
    """netem's queue by its law (sch_netem.c): when each packet is due, and its bytes."""

    def __init__(self):
        self.waiting, self.last = [], 0

    def add(self, t_ns, delay_ns, state, size):
        self.pass_time(t_ns)
        due = t_ns + delay_ns
        if state.rate:
            if self.waiting:
                due = max(due, max(self.waiting)[0])
            due += (size + state.overhead) * S // state.rate
        self.waiting.append((due, size))

    def pass_time(self, t_ns):
        self.waiting = [packet for packet in self.waiting if packet[0] > t_ns]

    def counters(self):
        return QdiscCounters(0, 0, len(self.waiting), 0, sum(size for _, size in self.waiting))

    def ends(self, t_ns):
        return max([due for due, _ in self.waiting], default=t_ns)


packets = st.lists(
    st.tuples(st.integers(0, 400), st.floats(-1, 1), st.integers(64, 1514)), max_size=12
)
states = st.tuples(
    st.integers(0, 2000), st.floats(0, 1), st.sampled_from([None, 0, 50_000, 1_000_000])
)


@settings(deadline=None)
@given(st.lists(st.tuples(states, packets), min_size=1, max_size=6))
def test_nothing_waits_longer_than_the_bound_whatever_came_before(phases):
    """Delays in ms, spread as a share of them, bytes/s (None: packets may overtake).

    Packets: gaps in ms, where in the spread, bytes.
    """
    queue, waits, now = Queue(), Waiting(), 0
    for (mean_ms, spread, rate), arrivals in phases:
        delay = Delay(mean_ms / 1e3, "uniform", spread * mean_ms / 1e3)
        order = "allow" if rate is None else "preserve"
        impairment = Impairment(delay, order, rate_bps=8 * rate if rate else None, queue_s=1e3)
        state = netem_state(impairment, packet_bytes=FRAME)
        for gap_ms, place, size in arrivals:
            now += gap_ms * MS
            delay_ns = round((delay.mean_s + place * delay.spread_s) * S)
            queue.add(now, delay_ns, state, size)
        queue.pass_time(now)
        waits.under(now, impairment, state, queue.counters())
        assert queue.ends(now) <= waits.end_ns(now, queue.counters()) + 2


def test_the_bound_follows_the_impairment():
    """It is not far from the truth either: delay, queue, and what was there before."""

    def bound(impairment, count, waits=None):
        waits = waits or Waiting()
        counters = QdiscCounters(0, 0, count, 0, count * FRAME)
        waits.under(10 * S, impairment, netem_state(impairment, packet_bytes=FRAME), counters)
        return (waits.end_ns(10 * S, counters) - 10 * S) / S

    assert bound(Impairment(Delay(30.0)), 0) == 0
    assert bound(CLEAN, 1) == pytest.approx(0, abs=1e-6)
    assert bound(Impairment(Delay(2.5)), 1) == pytest.approx(2.5, abs=1e-6)
    assert bound(Impairment(Delay(2.0, "normal", 0.25)), 1) == pytest.approx(3.0, abs=1e-6)
    assert bound(Impairment(slot=Slot(0.1, 0.4)), 5) == pytest.approx(0.4, abs=1e-6)
    queued = Impairment(Delay(0.5), rate_bps=0.8e6, queue_s=3.0)
    assert bound(queued, 100) == pytest.approx(0.5 + 100 * (FRAME + OVERHEAD) / 1e5, abs=1e-6)
    before = Waiting()
    before.under(
        9 * S, Impairment(Delay(2.5)), netem_state(Impairment(Delay(2.5))),
        QdiscCounters(0, 0, 1, 0, FRAME),
    )  # fmt: skip
    assert bound(Impairment(Delay(0.02)), 1, before) == pytest.approx(1.5, abs=1e-6)
    assert longest_delay_s(Impairment(Delay(2.5))) == 2.5


# The driver


@dataclass
class World:
    """A clock that goes on when somebody looks or waits, and a qdisc whose packets are due."""

    due_ns: list
    now_ns: int = 0
    look_ns: int = 100_000
    closes_ns: int | None = None

    def monotonic_ns(self):
        self.now_ns += 1000
        return self.now_ns

    def process_time(self):
        return 0.0

    def sleep(self, seconds):
        self.now_ns += round(seconds * S)


class Netlink:
    """``TrafficControl`` with qdiscs that only say what waits in the world."""

    def __init__(self, world):
        self.world, self.qdiscs, self.sent, self.index_of = world, self, [], {}

    def index(self, ifname):
        return self.index_of.setdefault(ifname, len(self.index_of) + 1)

    def add_netem(self, index, state):
        self.acting = state

    def join(self, one, other):
        return "nothing"

    def change(self, message):
        self.sent.append(message)

    def read(self, index):
        waiting = [due for due in self.world.due_ns if due > self.world.now_ns]
        self.world.now_ns += self.world.look_ns
        if index != 1:  # of the direction to the patient, where nothing goes
            waiting = []
        return b"", QdiscCounters(0, 0, len(waiting), 0, FRAME * len(waiting))

    def state(self, index):
        return self.acting, self.read(index)[1]


class Told:
    """What the driver's poll sees: nothing, until the commands are closed."""

    def __init__(self, world, commands):
        self.world, self.commands = world, commands

    def poll(self, pause_ms):
        self.world.now_ns += round(pause_ms * MS)
        closes = self.world.closes_ns
        return [(0, 0)] if closes is not None and self.world.now_ns >= closes else []


def drain(monkeypatch, impairment, world):
    """A drain at 10 s of one link with this impairment: (seconds, told, notes, in flight)."""
    monkeypatch.setattr(netem_driver, "time", world)
    monkeypatch.setattr(netem_driver, "TrafficControl", lambda: Netlink(world))
    told, tell = os.pipe()
    os.close(tell)  # as soon as somebody looks: the end of the commands
    said, say = os.pipe()
    plan = LinkPlan("primary", "a", "b", ((0, CLEAN),), ((0, impairment),), 1)
    driver = netem_driver._Driver((plan,), 0, None, Commands(told), say)
    netlink = driver._control
    netlink.index("b")  # where what goes to the doctor leaves
    driver.set_up()
    netlink.acting = netem_state(impairment)
    for direction in driver._directions:
        direction.prepare()
    driver._change(driver._directions)
    driver._poll = Told(world, driver._commands)
    world.now_ns = 10 * S
    driver._drain()
    took_s = world.now_ns / S - 10
    report = driver.report()
    os.close(say)
    with os.fdopen(said) as lines:
        events = [json.loads(line) for line in lines]
    os.close(told)
    left = sum(entry["in_flight"] for entry in report["directions"])
    assert len(netlink.sent) == 4
    return took_s, events, [note for note in report["notes"] if "joined" not in note], left


def test_a_drain_lasts_until_the_last_has_left(monkeypatch):
    world = World([12 * S + 400 * MS])
    took_s, events, notes, left = drain(monkeypatch, Impairment(Delay(2.5)), world)
    assert 2.4 <= took_s < 2.45
    assert [event["event"] for event in events] == ["draining"]
    assert events[0]["waiting"] == 1
    assert events[0]["within_s"] == pytest.approx(2.5 + MARGIN_S, abs=0.01)
    assert (notes, left) == ([], 0)


def test_where_nothing_waits_nothing_is_waited_for(monkeypatch):
    took_s, events, notes, left = drain(monkeypatch, Impairment(Delay(30.0)), World([9 * S]))
    assert took_s < 0.01
    assert (events, notes, left) == ([], [], 0)


def test_what_the_law_does_not_explain_is_waited_for_a_second(monkeypatch):
    """An interface that stands still: the packet is due, and never leaves."""
    world = World([10**18])
    took_s, _, notes, left = drain(monkeypatch, Impairment(Delay(0.5)), world)
    assert 0.5 + MARGIN_S <= took_s < 0.55 + MARGIN_S
    assert left == 1
    assert len(notes) == 1
    assert notes[0].startswith("1 packets still waited in netem after 1.5 s and were dropped")
    assert "does not take them" in notes[0]


def test_no_drain_is_longer_than_a_minute(monkeypatch):
    world = World([100 * S, 101 * S])
    took_s, events, notes, left = drain(monkeypatch, Impairment(Delay(95.0)), world)
    assert LONGEST_DRAIN_S == 60
    assert LONGEST_DRAIN_S <= took_s < LONGEST_DRAIN_S + 0.1
    assert events[0]["within_s"] == LONGEST_DRAIN_S
    assert left == 2
    assert "the longest drain; the last was due after 95 s at most" in notes[0]


def test_the_end_of_the_commands_ends_a_drain(monkeypatch):
    world = World([40 * S], closes_ns=11 * S)
    took_s, _, notes, left = drain(monkeypatch, Impairment(Delay(30.0)), world)
    assert 1.0 <= took_s < 1.01
    assert left == 1
    assert notes[0].endswith("were dropped: interrupted again")


# The emulator's own side, with a driver that only speaks


class Impatient:
    def __init__(self):
        self.read, self.write = os.pipe()
        self.told = []

    def fileno(self):
        return self.read

    def draining(self, waiting, within_s):
        self.told.append((waiting, within_s))
        os.write(self.write, b"!")


def speaking(*events):
    """A job that says these when it is told something, then waits for the end and reports."""

    def job(stop_fd, report_fd):
        commands = Commands(stop_fd)
        send_event(report_fd, "ready")
        while not commands.closed:
            if commands.take():
                for event in events:
                    send_event(report_fd, event, waiting=3, within_s=600.0)
        send_event(report_fd, "report", report={"directions": [], "notes": ["cut"]})

    return job


def told_to_drain(patience, *events):
    emulator = NetemEmulator()
    emulator._workers = Workers()
    emulator._workers.add("driver", speaking(*events))
    emulator._workers.wait_ready()
    return emulator.stop(drain=True, patience=patience)


def test_who_has_no_patience_ends_the_drain():
    patience = Impatient()
    assert told_to_drain(patience, "draining").notes[0] == "cut"
    assert patience.told == [(3, 600.0)]


def test_who_has_patience_hears_of_a_drain_that_takes_time_only():
    patience = Impatient()
    assert told_to_drain(patience, "drained").notes[0] == "cut"
    assert patience.told == []
    assert told_to_drain(None, "draining", "drained").notes[0] == "cut"


def test_the_state_of_a_drain_delays_nothing():
    state = netem_driver.drained(netem_state(Impairment(Delay(2.5))))
    assert (unpack(netem_driver.pack(state)).latency_ns, state.loss) == (0, 0)
