"""Parts of the userspace emulator: counting lateness, tags, what the kernel refuses to send."""

import os
import pickle
import random
import signal
import struct
import time
from ctypes import string_at

import numpy as np
import pytest

from bench.network.impairment import CLEAN, Impairment
from bench.network.laws import NEVER
from benchmarks import traffic
from instruments.emulators.base import LinkPlan
from instruments.emulators.changelog import ChangeLog
from instruments.emulators.forwarder import Forwarder
from instruments.emulators.lateness import LatenessCounter, beyond_envelope
from instruments.emulators.ring import _tagged
from instruments.emulators.userspace import Options, UserspaceEmulator, _own_cores
from instruments.emulators.waiting import Block, InOrder
from instruments.emulators.workers import Commands

MS = 1_000_000


def test_lateness_counted_singly_and_as_arrays_is_the_same():
    rng = random.Random(3)
    values = [int(rng.paretovariate(0.6) * 500) for _ in range(20_000)]
    singly, arrays = LatenessCounter(), LatenessCounter()
    for value in values:
        singly.add(value)
    begin = 0
    while begin < len(values):
        count = rng.randint(0, 64)
        arrays.add_many(np.array(values[begin : begin + count], dtype=np.int64))
        begin += count
    found = singly.summary()
    assert found == arrays.summary()
    assert found.n == 20_000
    assert found.max_s == pytest.approx(max(values) * 1e-9)
    for share, got in ((0.5, found.p50_s), (0.99, found.p99_s)):
        exact = sorted(values)[int(share * len(values)) - 1] * 1e-9
        assert exact <= got <= max(exact + 1e-6, 2 * exact * (exact > 0.008))
    assert sum(count for _, count in found.histogram) == 20_000
    edges = [edge for edge, _ in found.histogram]
    assert edges == sorted(set(edges))
    assert singly.summary(histogram=False).histogram == ()


def test_nothing_late_is_said_as_nothing():
    assert LatenessCounter().summary().p99_s is None
    assert beyond_envelope(LatenessCounter().summary(), 0) == ""


def test_the_envelope_ends_where_one_percent_is_a_millisecond_late():
    for late, drops, inside in ((5, 0, True), (20, 0, False), (0, 1, False)):
        counter = LatenessCounter()
        for number in range(1000):
            counter.add(1_200_000 if number < late else 10_000)
        assert (beyond_envelope(counter.summary(), drops) == "") == inside


def test_a_tag_moves_what_an_open_checksum_points_at():
    frame = bytes(range(60))
    tag = b"\x81\x00\x61\x23"
    assert _tagged(frame, tag, 0) == frame[:12] + tag + frame[12:]
    open_checksum = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16)
    moved = _tagged(open_checksum + frame, tag, 10)
    assert struct.unpack("=BBHHHH", moved[:10]) == (1, 1, 58, 1448, 38, 16)
    assert moved[10:] == frame[:12] + tag + frame[12:]
    plain = bytes(10)
    assert _tagged(plain + frame, tag, 10)[:10] == plain


class Taker:
    """Stands in for a sender: what was sent when."""

    def __init__(self):
        self.sent = []

    def one_due(self, due_ns, now_ns, frame):
        self.sent.append((due_ns, frame))

    def many_due(self, due_ns, now_ns, addresses, sizes):
        places = zip(due_ns.tolist(), addresses.tolist(), sizes.tolist(), strict=True)
        self.sent += [(due, string_at(address, size)) for due, address, size in places]


def test_what_waits_in_order_goes_when_due_and_no_earlier():
    queue, taker, later = InOrder(), Taker(), time.monotonic_ns() + 3600 * 10**9
    data = np.arange(48, dtype=np.uint8).reshape(4, 12)
    starts = data.ctypes.data + 12 * np.arange(4, dtype=np.uint64)
    due = np.array([5, 6, later, later + 1])
    queue.add(3, b"first")
    queue.add_block(Block(due, data, starts, np.array([12, 10, 11, 12])))
    queue.add(later + 2, b"last")
    assert (len(queue), queue.head_ns()) == (6, 3)
    assert queue.release(taker) == 3
    rows = [bytes(row) for row in data]
    assert taker.sent == [(3, b"first"), (5, rows[0]), (6, rows[1][:10])]
    assert (len(queue), queue.head_ns()) == (3, later)
    assert queue.release(taker) == 0
    assert list(queue.take_all()) == [
        (later, rows[2][:11]),
        (later + 1, rows[3]),
        (later + 2, b"last"),
    ]
    assert (len(queue), queue.head_ns()) == (0, NEVER)


def test_changes_known_and_met():
    hold = Impairment(hold=True)
    log = ChangeLog(((10, CLEAN), (20, hold), (30, hold)))
    assert (log.next_ns, log.open_ns, log.last_ns) == (10, 20, 30)
    log.meet(25)
    assert log.next_ns == 30
    assert [change.effective_ns for change in log.report(100)] == [None, 25, None]
    assert [change.commanded_ns for change in log.report(29)] == [10, 20, None]
    assert log.news() == [(1, 25)]
    assert log.news() == []
    log.add(35, 40, CLEAN)
    assert (log.open_ns, log.last_ns) == (1 << 62, 40)
    log.meet(41)
    assert log.news() == [(3, 41)]
    late = log.report(50)[3]
    assert (late.t_ns, late.commanded_ns, late.effective_ns) == (35, 40, 41)


def test_forwarders_get_cores_of_their_own_only_where_two_are_left(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5})
    assert _own_cores(2) == [5, 2]
    assert _own_cores(4) == [None] * 4


@pytest.mark.parametrize("count", [5, 40])
def test_no_packet_is_decided_before_a_command_that_preceded_it_is_heard(isolated, wire, count):
    """Also where the forwarder stood still right before it took the packets."""

    def check():
        link = wire()
        read, write = os.pipe()
        plan = LinkPlan("primary", "fa", "fb", (), (), 5)
        t0 = time.monotonic_ns()
        forwarder = Forwarder(plan, "to-doctor", t0, Options(), Commands(read))
        forwarder._hear(time.monotonic_ns())
        command = pickle.dumps(("change", time.monotonic_ns() - t0, Impairment(up=False)))
        os.write(write, len(command).to_bytes(4, "little") + command)
        time.sleep(0.005)
        for number in range(count):
            link.a.send(link.frame(number))
        while forwarder._take():
            pass
        report = forwarder.finish()
        return report.fates["down"], report.rx

    assert isolated(check) == (count, count)


@pytest.mark.parametrize("many", [False, True])
def test_frames_that_the_leaving_interface_refuses_are_counted(isolated, wire, many):
    def check():
        from pyroute2 import IPRoute

        link = wire()
        with IPRoute() as route:
            for name in ("fb", "pb"):
                route.link("set", index=route.link_lookup(ifname=name)[0], mtu=1000)
        emulator = UserspaceEmulator()
        emulator.start([LinkPlan("primary", "fa", "fb", (), (), 5)], time.monotonic_ns())
        if many:
            os.kill(emulator.pids[1], signal.SIGSTOP)
            time.sleep(0.05)
        for number in range(200):
            link.a.send(link.frame(number, 1400 if number % 10 == 3 else 100))
            if not many:
                time.sleep(0.0005)
        os.kill(emulator.pids[1], signal.SIGCONT)
        arrived = link.wait_received(link.b, lambda more: len(more) >= 180)
        direction = emulator.stop().direction("primary", "to-doctor")
        assert direction.balanced
        assert direction.lateness.n == direction.tx
        numbers = [number for number, *_ in arrived]
        return numbers, direction.tx, direction.tx_errors, direction.emulator_drops

    numbers, sent, errors, drops = isolated(check)
    assert numbers == [number for number in range(200) if number % 10 != 3]
    assert (sent, errors, drops) == (180, 20, 20)


def test_super_packets_pass_whole_and_are_named(isolated):
    def check():
        with traffic.wire(offloads=True) as (left, right):
            emulator = UserspaceEmulator(Options(super_packets=True))
            emulator.start([LinkPlan("primary", "fa", "fb", (), (), 5)], time.monotonic_ns())
            right.start(traffic.tcp_take, 0.5)
            left.start(traffic.tcp_give, 0.5)
            passed_bytes = right.result() * 0.5 / 8
            left.result()
            report = emulator.stop()
        direction = report.direction("primary", "to-doctor")
        assert direction.balanced
        assert direction.emulator_drops == 0
        assert direction.unfinished_checksums == 0
        return passed_bytes / direction.tx, report.notes

    size, notes = isolated(check)
    assert size > 2000  # no frame is that long: they were not cut
    assert "64 KB" in notes[0]
