"""STAMP on real sockets: kernel timestamps, a reflector under odd packets, a path that is known."""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import random
import select
import socket
import struct
import threading
import time

import numpy as np
import pytest

from bench.studies.probe_figures import figures
from instruments.probes.kernel_stamps import (
    Departure,
    Refusal,
    ask_for_details,
    ask_for_stamps,
    notices,
    receive,
)
from instruments.probes.prober import Prober
from instruments.probes.probing import NOT_SENT, Session
from instruments.probes.reflecting import Reflector
from instruments.probes.reflector import ReflectorSockets
from instruments.probes.stamp_packets import decode_reflected
from instruments.probes.stamp_time import ErrorEstimate

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

MS, S = 1_000_000, 1_000_000_000
ESTIMATE = ErrorEstimate.of(0.001, synchronised=False)


class Stopper:
    """A thread that ends when told; readable is the end."""

    def __init__(self, work):
        self._read, self._write = os.pipe()
        self._thread = threading.Thread(target=work, args=(self,), daemon=True)
        self._thread.start()

    def fileno(self):
        return self._read

    def stop(self):
        os.write(self._write, b"!")
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.close(self._read)
        os.close(self._write)


@contextlib.contextmanager
def reflecting(address="127.0.0.1", **options):
    """A reflector on a free port: (its sockets, itself)."""
    mirror = Reflector(**{"stateful": True, "error": lambda: ESTIMATE} | options)
    with ReflectorSockets(address, 0) as sockets:
        thread = Stopper(lambda stop: sockets.serve(mirror, stop))
        try:
            yield sockets, mirror
        finally:
            thread.stop()


class Relay:
    """Between a sender and a reflector: loses, delays and copies packets by their number.

    ``there`` and ``back`` give, for the number of a packet (the sender's), the delays in ns of
    its copies; ``behind``: which packet waits for which other one to be ahead. ``held_ns`` says
    how long each was really held, at least.
    """

    def __init__(self, port, there, back, behind=()):
        self._ways = (there, back)
        self._behind, self._kept = dict(behind), {}
        self._near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._near.bind(("127.0.0.1", 0))
        self._far.connect(("127.0.0.1", port))
        for sock in (self._near, self._far):
            sock.setblocking(False)
        self._sender = None
        self._heap, self._count = [], 0
        self.held_ns = ({}, {})
        self.port = self._near.getsockname()[1]
        self._thread = Stopper(self._serve)

    def close(self):
        self._thread.stop()
        self._near.close()
        self._far.close()

    def _serve(self, stop):
        while True:
            now = time.monotonic_ns()
            while self._heap and self._heap[0][0] <= now:
                _, _, way, number, came, data = heapq.heappop(self._heap)
                held = time.monotonic_ns() - came
                self.held_ns[way][number] = min(held, self.held_ns[way].get(number, held))
                if way == 0:
                    self._far.send(data)
                else:
                    self._near.sendto(data, self._sender)
            pause = (self._heap[0][0] - now) / S if self._heap else 10
            ready = select.select([stop, self._near, self._far], [], [], max(0, pause))[0]
            if stop in ready:
                return
            for way, sock in enumerate((self._near, self._far)):
                while sock in ready:
                    try:
                        data, address = sock.recvfrom(65536)
                    except OSError:
                        break
                    came = time.monotonic_ns()
                    if way == 0:
                        self._sender = address
                    (number,) = struct.unpack_from("!I", data, 24 if way else 0)
                    if way == 0 and number in self._behind:
                        self._kept[self._behind[number]] = (number, came, data)
                        continue
                    for delay in self._ways[way](number):
                        self._push(came + delay, way, number, came, data)
                    if way == 0 and number in self._kept:
                        self._push(came + 1, way, *self._kept.pop(number))

    def _push(self, due, way, number, came, data):
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, way, number, came, data))


@contextlib.contextmanager
def relayed(port, there, back, **options):
    relay = Relay(port, there, back, **options)
    try:
        yield relay
    finally:
        relay.close()


def measured(port, count, *, interval_ns=2 * MS, wait_ns=2 * S, size=44, numbering="stateful"):
    """A session to that port: (figures, samples, counts)."""
    due = np.arange(count, dtype=np.int64) * interval_ns
    ours = Session(due, size=size, ssid=9, filling=random.Random(3))
    read, write = os.pipe()
    try:
        with Prober(socket.AF_INET, ("127.0.0.1", port), lambda: ESTIMATE) as prober:
            with open(read, "rb", closefd=False) as stop:
                prober.run(ours, start_ns=time.monotonic_ns(), wait_ns=wait_ns, stop=stop)
            counts = prober.counts
    finally:
        os.close(read)
        os.close(write)
    ran = counts.ended_ns - counts.started_ns
    found = figures(ours.samples(), wait_ns=wait_ns, ran_ns=ran, numbering=numbering)
    return found, ours.samples(), counts


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pair():
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.bind(("127.0.0.1", 0))
    far.connect(near.getsockname())
    for sock in (near, far):
        sock.setblocking(False)
    return near, far


@pytest.fixture(scope="module", autouse=True)
def stamping_kernel():
    """It begins to stamp some time after the first socket asked, and ends with the last one."""
    near, far = pair()
    with near, far:
        ask_for_stamps(near, departures=False)
        for _ in range(1000):
            far.send(b"x")
            select.select([near], [], [], 5)
            if receive(near).place == "kernel":
                break
            time.sleep(0.01)
        yield


def gathered(sock, wanted, within=5.0):
    found, deadline = [], time.monotonic() + within
    while len(found) < wanted and time.monotonic() < deadline:
        found += notices(sock)
    return found


# ---- kernel timestamps


def test_the_kernel_stamps_departure_and_arrival_between_ours():
    near, far = pair()
    with near, far:
        assert ask_for_stamps(near, departures=False)
        assert ask_for_stamps(far, departures=True)
        ask_for_details(near, errors=False)
        for number in range(5):
            before = time.time_ns()
            far.send(b"x" * 44)
            select.select([near], [], [], 5)
            came = receive(near)
            after = time.time_ns()
            (left,) = gathered(far, 1)
            assert isinstance(left, Departure)
            assert left.number == number
            assert came.place == "kernel"
            assert before <= left.t_ns <= came.t_ns <= after
            assert came.ttl == 64


def test_asked_again_the_kernel_counts_departures_from_0():
    near, far = pair()
    with near, far:
        ask_for_stamps(far, departures=True)
        far.send(b"x")
        gathered(far, 1)
        ask_for_stamps(far, departures=True)
        far.send(b"x")
        assert [each.number for each in gathered(far, 1)] == [0]


def test_without_stamps_of_the_kernel_userspace_is_said():
    near, far = pair()
    with near, far:
        before = time.time_ns()
        far.send(b"x")
        select.select([near], [], [], 5)
        came = receive(near)
        assert came.place == "userspace"
        assert before <= came.t_ns <= time.time_ns()
        assert receive(near) is None


def test_a_refusal_is_told_by_its_errno():
    near, far = pair()
    with far:
        near.close()
        ask_for_details(far, errors=True)
        far.send(b"x")
        assert gathered(far, 1) == [Refusal(errno.ECONNREFUSED, local=False)]


def test_drops_of_the_own_socket_are_told():
    near, far = pair()
    with near, far:
        ask_for_details(near, errors=False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(200):
            far.send(b"x" * 1000)
        while (came := receive(near)) is not None:
            pass
        far.send(b"x")
        select.select([near], [], [], 5)
        came = receive(near)
        assert came.overflowed > 100


# ---- the reflector


def test_odd_packets_get_no_answer_that_is_longer_and_the_reflector_goes_on():
    rng = random.Random(11)
    with reflecting() as (sockets, mirror), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as odd:
        odd.connect(("127.0.0.1", sockets.port))
        odd.settimeout(5)
        for size in [0, 1, 13, 40, 41, 43, 44, 45, 47, 48, 111, 112, 1400, 9000, 65_507]:
            for _ in range(4):
                asked = rng.randbytes(size)
                odd.send(asked)
                if size >= 41:
                    answer = odd.recv(65_536)
                    assert len(answer) == size
                    if size >= 44:
                        assert decode_reflected(answer).sender_time == int.from_bytes(asked[4:12])
        odd.setblocking(False)
        with pytest.raises(BlockingIOError):
            odd.recv(1)  # nothing more than one answer each
        assert mirror.counts.discarded == {"too short": 16}
        assert mirror.counts.reflected == 44
        assert sockets.places.received == {"kernel": 44 + 16}
        assert measured(sockets.port, 3)[0]["received"] == 3


def test_its_answer_comes_from_the_address_that_was_asked():
    with reflecting(None) as (sockets, _):
        for family, address in ((socket.AF_INET, "127.0.0.7"), (socket.AF_INET6, "::1")):
            if family == socket.AF_INET6 and "::" not in sockets.addresses:
                continue
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.sendto(bytes(44), (address, sockets.port))
                answer, source = sock.recvfrom(100)
                assert source[0] == address
                assert decode_reflected(answer).ttl == 64


def test_a_taken_port_and_a_foreign_address_are_errors():
    with reflecting() as (sockets, _), pytest.raises(OSError, match="in use"):
        ReflectorSockets("127.0.0.1", sockets.port)
    with pytest.raises(OSError, match="assign"):
        ReflectorSockets("192.0.2.1", 0)


# ---- both, and what is between


def test_a_clean_path_loses_nothing_and_every_stamp_is_the_kernels():
    with reflecting() as (sockets, _):
        found, samples, counts = measured(sockets.port, 100, size=300)
    assert (found["sent"], found["received"], found["lost"]) == (100, 100, 0)
    assert found["stamps"] == {
        "t1": {"kernel": 100, "userspace": 0},
        "t4": {"kernel": 100, "userspace": 0},
    }
    assert found["impossible"] == 0
    assert (samples.t1_ns[samples.sequence] <= samples.t2_ns).all()  # one clock
    assert (samples.t3_ns <= samples.t4_ns).all()
    assert found["clock_offset"]["low"] <= 0 <= found["clock_offset"]["high"]
    assert found["forward"]["ttl"] == found["backward"]["ttl"] == [64]
    assert (samples.late_ns >= 0).all()
    assert not counts.failed
    assert not counts.interrupted


def test_no_packet_goes_before_its_time():
    due = np.arange(20, dtype=np.int64) * 5 * MS
    with reflecting() as (sockets, _):
        began = time.time_ns()
        _, samples, _ = measured(sockets.port, 20, interval_ns=5 * MS)
    assert (samples.t1_ns - began >= due).all()


def test_a_path_that_is_known():
    lost_there, lost_back = {5, 6, 30}, {12, 31, 32}

    def there(number):
        if number in lost_there:
            return []
        return [20 * MS, 20 * MS] if number == 40 else [20 * MS]

    def back(number):
        if number in lost_back:
            return []
        return [35 * MS, 35 * MS] if number == 44 else [35 * MS]

    with reflecting() as (sockets, mirror), relayed(sockets.port, there, back) as relay:
        found, samples, _ = measured(relay.port, 60, interval_ns=4 * MS, wait_ns=3 * S)
        assert mirror.counts.reflected == 58
    assert (found["sent"], found["received"], found["lost"]) == (60, 54, 6)
    assert (found["forward"]["lost"], found["backward"]["lost"]) == (3, 3)
    assert found["lost_undecided"] == 0
    assert found["loss_periods"] == {"count": 3, "longest": 3}
    assert (found["forward"]["duplicated"], found["backward"]["duplicated"]) == (1, 1)
    for sequence in set(samples.sequence.tolist()):
        row = int(np.flatnonzero(samples.sequence == sequence)[0])
        t1, t2 = int(samples.t1_ns[sequence]), int(samples.t2_ns[row])
        t3, t4 = int(samples.t3_ns[row]), int(samples.t4_ns[row])
        assert t2 - t1 >= relay.held_ns[0][sequence] - MS // 1000 >= 20 * MS - MS // 1000
        assert t4 - t3 >= relay.held_ns[1][sequence] - MS // 1000
    assert found["round_trip"]["min"] >= 0.055


def test_overtaking_shows_in_its_direction():
    def at_once(number):
        return [0]

    with (
        reflecting() as (sockets, _),
        relayed(sockets.port, at_once, at_once, behind={10: 15}) as relay,
    ):
        found, samples, _ = measured(relay.port, 40)
    assert found["lost"] == 0
    assert found["forward"]["reordered"] == 1
    assert found["backward"]["reordered"] == 0
    held = samples.t2_ns[np.flatnonzero(samples.sequence == 10)[0]] - samples.t1_ns[10]
    assert held >= samples.t1_ns[15] - samples.t1_ns[10] > 0  # 10 ms, as the host keeps time
    assert found["round_trip"]["max"] >= 0.009


def test_nobody_there_is_told_and_waits_no_longer_than_asked():
    found, _, counts = measured(free_port(), 5, wait_ns=100 * MS)
    assert (found["sent"], found["received"], found["lost"]) == (5, 0, 5)
    assert set(counts.refused) == {"ECONNREFUSED"}
    assert found["round_trip"]["n"] == 0
    assert found["clock_offset"] is None


class Starting(Session):
    """A session whose 20th packet finds a reflector where there was none."""

    def __init__(self, port):
        due = np.arange(40, dtype=np.int64) * 2 * MS
        super().__init__(due, size=44, ssid=9, filling=random.Random(3))
        self._port, self.sockets, self.thread = port, None, None

    def packet(self, t_ns, error):
        if self.next == 20:
            mirror = Reflector(stateful=True, error=lambda: ESTIMATE)
            self.sockets = ReflectorSockets("127.0.0.1", self._port)
            self.thread = Stopper(lambda stop: self.sockets.serve(mirror, stop))
            t_ns = time.time_ns()
        return super().packet(t_ns, error)


def test_a_reflector_that_comes_later_is_found_and_stamps_stay_with_their_packets():
    ours = Starting(free_port())
    read, write = os.pipe()
    with (
        Prober(socket.AF_INET, ("127.0.0.1", ours._port), lambda: ESTIMATE) as prober,
        open(read, "rb") as stop,
    ):
        prober.run(ours, start_ns=time.monotonic_ns(), wait_ns=S, stop=stop)
    ours.thread.stop()
    ours.sockets.close()
    os.close(write)
    samples = ours.samples()
    assert samples.sequence.tolist() == list(range(20, 40))
    # One clock: a stamp of another packet would lie before its departure or after its arrival.
    t1 = samples.t1_ns[samples.sequence]
    assert (t1 <= samples.t2_ns).all()
    assert (np.diff(samples.t1_ns) > 0).all()
    assert samples.t1_kernel[samples.sequence].all()


class Slow(Session):
    """A session on a host that stalls for 40 ms while it makes the fourth packet."""

    def packet(self, t_ns, error):
        if self.next == 3:
            time.sleep(0.04)
        return super().packet(t_ns, error)


def driven(ours, port, wait_ns=200 * MS):
    read, write = os.pipe()
    with (
        Prober(socket.AF_INET, ("127.0.0.1", port), lambda: ESTIMATE) as prober,
        open(read, "rb") as stop,
    ):
        prober.run(ours, start_ns=time.monotonic_ns(), wait_ns=wait_ns, stop=stop)
    os.close(write)
    return ours.samples(), prober.counts


def test_lateness_is_told_and_moves_no_later_packet():
    due = np.arange(30, dtype=np.int64) * 5 * MS
    with reflecting() as (sockets, _):
        began = time.time_ns()
        samples, _ = driven(Slow(due, size=44, ssid=1, filling=random.Random(1)), sockets.port)
    assert samples.late_ns[4] >= 35 * MS
    assert samples.late_ns[8] >= 15 * MS
    assert (samples.late_ns >= 0).all()
    assert (samples.t1_ns - began >= due + samples.late_ns).all()  # the fourth one more


class Refusing(socket.socket):
    """A socket that fails at the third and the sixth packet, that one after it has gone."""

    sends = 0

    def send(self, data):
        self.sends += 1
        if self.sends == 6:
            super().send(data)
        if self.sends in (3, 6):
            raise OSError(errno.ENOBUFS, "no room")
        return super().send(data)


def test_where_the_kernel_takes_a_packet_not_stamps_stay_with_their_packets(monkeypatch):
    due = np.arange(12, dtype=np.int64) * 5 * MS
    ours = Session(due, size=44, ssid=1, filling=random.Random(1))
    with reflecting() as (sockets, _):
        monkeypatch.setattr("instruments.probes.prober.socket.socket", Refusing)
        samples, counts = driven(ours, sockets.port)
        monkeypatch.undo()
    assert counts.failed == {"ENOBUFS": 2}
    gone = [n for n in range(12) if n not in (2, 5)]
    assert np.flatnonzero(samples.t1_ns == NOT_SENT).tolist() == [2, 5]
    assert sorted(samples.sequence.tolist()) == gone
    assert samples.t1_kernel[gone].all()
    t1 = samples.t1_ns[samples.sequence]
    assert (t1 <= samples.t2_ns).all()
    assert (np.diff(samples.t1_ns[gone]) > 0).all()
    found = figures(samples, wait_ns=200 * MS, ran_ns=S)
    assert (found["sent"], found["received"], found["lost"]) == (10, 10, 0)
    assert found["ignored"] == {"never sent": 1}  # the kernel had said that it did not go
