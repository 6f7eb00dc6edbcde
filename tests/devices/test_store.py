"""Store and forward: whatever the network and the power do, every record arrives once, whole."""

import json
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.devices.store import (
    Forwarder,
    Inbox,
    Journal,
    Medium,
    StoreTraits,
    checksum,
    frame,
    packed,
    unframe,
)

RECORD = {"source": "pump", "serial": 0, "values": {"rate": 5}}


def record(serial):
    return {**RECORD, "serial": serial}


class World:
    """A journal and an inbox with a network between them that does what it is told."""

    def __init__(self, capacity=1000):
        self.capacity = capacity
        self.near, self.far = Medium(), Medium()
        self.journal, self.inbox = Journal(self.near, capacity), Inbox(self.far)
        self.to_far, self.to_near = deque(), deque()
        self.made, self.committed, self.arrived = 0, [], []

    def write(self):
        if not self.journal.writing and not self.journal.full:
            self.journal.begin(record(self.made))
            self.made += 1

    def commit(self):
        if self.journal.writing:
            self.committed.append(self.made - 1)
            self.journal.commit()

    def send(self):
        self.to_far.extend(packed(*entry) for entry in self.journal.pending())

    def send_last(self):
        self.to_far.extend([packed(*entry) for entry in self.journal.pending()][-1:])

    def acknowledge(self):
        self.to_near.append(self.inbox.expected)

    def carry(self):
        for queue, take in ((self.to_far, self.take), (self.to_near, self.journal.release)):
            if queue:
                take(queue.popleft())

    def take(self, body):
        accepted = self.inbox.accept(json.loads(json.dumps(body)))
        if accepted is not None:
            self.arrived.append(accepted)

    def lose(self):
        for queue in (self.to_far, self.to_near):
            if queue:
                queue.popleft()

    def double(self):
        for queue in (self.to_far, self.to_near):
            if queue:
                queue.append(queue[0])

    def reorder(self):
        self.to_far.rotate(1)
        self.to_near.rotate(1)

    def damage(self):
        if self.to_far:
            body = self.to_far.popleft()
            self.to_far.appendleft({**body, "values": {"rate": 6}})

    def outage(self):
        self.to_far.clear()
        self.to_near.clear()

    def cut_near(self):
        self.journal = Journal(self.near, self.capacity)

    def cut_far(self):
        self.inbox = Inbox(self.far)

    def settle(self):
        """A good network, for long enough."""
        self.commit()
        self.outage()
        while any(self.journal.pending()):
            self.send()
            self.acknowledge()
            for _ in range(len(self.to_far) + 1):
                self.carry()
            self.acknowledge()
            self.carry()


DEEDS = [name for name in vars(World) if name[0] != "_" and name not in ("take", "settle")]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(DEEDS), min_size=60, max_size=120))
def test_every_committed_record_arrives_exactly_once(deeds):
    world = World()
    for deed in deeds:
        getattr(world, deed)()
    world.settle()
    assert [found["serial"] for found in world.arrived] == world.committed
    assert all(found == record(found["serial"]) for found in world.arrived)
    assert [unframe(line) for line in world.far.lines] == world.arrived
    assert world.near.lines == []


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(["write", "commit", "send", "carry", "cut_near"]), max_size=60))
def test_a_journal_holds_no_more_than_its_capacity(deeds):
    world = World(capacity=3)
    for deed in deeds:
        getattr(world, deed)()
        assert len(world.near.lines) <= 3
    world.settle()
    assert [found["serial"] for found in world.arrived] == world.committed


def test_a_record_is_offered_only_once_it_is_safe():
    journal = Journal(Medium(), 10)
    journal.begin(record(0))
    assert list(journal.pending()) == []
    assert journal.commit() == 0
    assert list(journal.pending()) == [(0, record(0))]


def test_a_torn_record_is_dropped_and_its_number_used_again():
    medium = Medium()
    journal = Journal(medium, 10)
    journal.begin(record(0))
    journal.commit()
    journal.begin(record(1))
    assert unframe(medium.lines[-1]) is None
    again = Journal(medium, 10)
    assert list(again.pending()) == [(0, record(0))]
    again.begin(record(2))
    assert again.commit() == 1


@pytest.mark.parametrize(
    ("traits", "kept"),
    [
        (StoreTraits(keeps_without_power=False), []),
        (StoreTraits(checks_writing=False), [record(0), {}]),
    ],
)
def test_a_defective_journal_loses_or_invents(traits, kept):
    medium = Medium()
    journal = Journal(medium, 10)
    journal.begin(record(0))
    journal.commit()
    journal.begin(record(1))
    again = Journal(medium, 10, traits)
    assert [entry for _, entry in again.pending()] == kept


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_damage_to_a_frame_shows(place, value):
    line = bytearray(frame(RECORD))
    place %= len(line)
    if line[place] == value or value > 127:
        return
    line[place] = value
    assert unframe(bytes(line)) in (None, RECORD)
    assert unframe(frame(RECORD)) == RECORD
    assert checksum(RECORD) != checksum(record(1))


class Clock:
    """A port with timers and a log."""

    def __init__(self):
        self.timers, self.entries = [], []

    def at(self, t_ns, call):
        self.timers.append((t_ns, call))

    def log(self, now_ns, name, value):
        self.entries.append(name)

    def run_to(self, t_ns):
        while due := sorted((t for t in self.timers if t[0] <= t_ns), key=lambda t: t[0]):
            self.timers.remove(due[0])
            due[0][1](due[0][0])


MS = 1_000_000
LIMITS = {"record_write_s": 0.05, "record_retry_s": 0.2}


def forwarder(port, sent, capacity=100, traits=None):
    traits = traits or StoreTraits()
    found = Forwarder(
        Journal(Medium(), capacity, traits), traits, LIMITS, port,
        lambda now_ns, body: sent.append((now_ns // MS, body["n"])),
    )  # fmt: skip
    found.connection(0, True)
    found.start(0)
    return found


def test_a_record_leaves_when_written_and_again_until_acknowledged():
    port, sent = Clock(), []
    store = forwarder(port, sent)
    store.put(0, record(0))
    store.put(0, record(1))
    port.run_to(120 * MS)
    assert sent == [(50, 0), (100, 1)]
    store.acknowledged(1)
    port.run_to(450 * MS)
    assert sent[2:] == [(400, 1)]
    store.acknowledged(2)
    port.run_to(2000 * MS)
    assert len(sent) == 3


def test_nothing_is_sent_without_a_connection_and_all_of_it_after():
    port, sent = Clock(), []
    store = forwarder(port, sent)
    store.connection(0, False)
    for serial in range(30):
        store.put(0, record(serial))
    port.run_to(3000 * MS)
    assert sent == []
    store.connection(3000 * MS, True)
    port.run_to(3200 * MS)
    assert [number for _, number in sent] == list(range(20))


def test_a_record_without_a_place_is_told():
    port, sent = Clock(), []
    store = forwarder(port, sent, capacity=1)
    store.put(0, record(0))
    store.put(0, record(1))
    port.run_to(150 * MS)
    assert store.full
    assert port.entries == ["record-refused"]
    assert {number for _, number in sent} == {0}
