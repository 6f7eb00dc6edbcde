"""Endpoints for benchmarks: processes in network namespaces of their own that send and receive.

Frames carry a number and the time of their making (CLOCK_MONOTONIC ns), at bytes 16 and 24.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instruments.emulators.clocks import realtime_to_monotonic_ns
from instruments.emulators.interfaces import offloads_off
from instruments.emulators.ring import ReceiveRing
from instruments.emulators.sending import MOST, Sender
from instruments.emulators.timing import prefer_timing, set_timer_slack

_NEW_NETWORK = 0x40000000
_TICK_NS = 200_000
_PRECISE_PPS = 20_000
HEADER_BYTES = 32
ADDRESSES = ("10.77.0.1", "10.77.0.2")
_MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
_libc = ctypes.CDLL(None, use_errno=True)


def enter_namespace() -> None:
    """Leave for a new network namespace without IPv6.

    Raises:
        OSError: no right to (run as root).
    """
    if _libc.unshare(_NEW_NETWORK):
        error = ctypes.get_errno()
        raise OSError(error, f"no network namespace: {os.strerror(error)}; run as root")
    for name in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")


class Place:
    """A forked process in a network namespace of its own, which calls functions when told."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, parent)
        theirs.close()
        self.result()

    def start(self, function: Callable[..., Any], *values: Any) -> None:
        """Begin a call."""
        self._pipe.send((function, values))

    def result(self, within_s: float = 60.0) -> Any:
        """What the call gave.

        Raises:
            RuntimeError: it failed, or gave nothing in time.
        """
        if not self._pipe.poll(within_s):
            raise RuntimeError("an endpoint gave no result in time")
        ok, value = self._pipe.recv()
        if not ok:
            raise RuntimeError(value)
        return value

    def call(self, function: Callable[..., Any], *values: Any) -> Any:
        """Call and wait."""
        self.start(function, *values)
        return self.result()

    def end(self) -> None:
        """End the process."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _serve(pipe: Connection, parent: int) -> None:
    """A place's whole life; never returns."""
    try:
        _libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            enter_namespace()
            set_timer_slack()
            pipe.send((True, None))
            while True:
                function, values = pipe.recv()
                try:
                    answer = (True, function(*values))
                except Exception as error:
                    answer = (False, f"{type(error).__name__}: {error}")
                pipe.send(answer)
    except EOFError:
        pass
    finally:
        os._exit(0)


@contextlib.contextmanager
def wire(joined: bool = False, offloads: bool = False) -> Iterator[tuple[Place, Place]]:
    """Two places and what lies between them: ``pa``–``fa`` and ``fb``–``pb``.

    ``fa`` and ``fb`` are in the current namespace, for an emulator to join; with ``joined``,
    ``pa``–``pb`` is one veth pair instead, the floor. ``offloads`` are off unless asked for.
    """
    from pyroute2 import IPRoute

    places = (Place(), Place())
    pairs = [("pa", "pb")] if joined else [("pa", "fa"), ("pb", "fb")]
    try:
        with IPRoute() as route:
            for end, peer in pairs:
                route.link("add", ifname=end, kind="veth", peer={"ifname": peer})
            for name in () if joined else ("fa", "fb"):
                route.link("set", index=route.link_lookup(ifname=name)[0], state="up")
            for name, place in zip(("pa", "pb"), places, strict=True):
                index = route.link_lookup(ifname=name)[0]
                route.link("set", index=index, net_ns_pid=place.pid)
        for number, place in enumerate(places):
            place.call(settle, number, offloads)
        yield places
        if joined:
            return
        with IPRoute() as route:
            for name in ("fa", "fb"):
                for index in route.link_lookup(ifname=name):
                    route.link("del", index=index)
    finally:
        for place in places:
            place.end()


def settle(number: int, offloads: bool) -> None:
    """Addresses, neighbours, offloads of one end."""
    from pyroute2 import IPRoute

    name = ("pa", "pb")[number]
    with IPRoute() as route:
        index = route.link_lookup(ifname=name)[0]
        route.link("set", index=index, address=_MACS[number])
        route.link("set", index=index, state="up")
        route.addr("add", index=index, address=ADDRESSES[number], prefixlen=24)
        other = 1 - number
        route.neigh("replace", dst=ADDRESSES[other], lladdr=_MACS[other], ifindex=index)
    if not offloads:
        offloads_off(name)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender did: packets, how many fewer per second than asked, seconds."""

    count: int
    seconds: float

    @property
    def rate_pps(self) -> float:
        """Packets per second."""
        return self.count / self.seconds


def send(rate_pps: float, size: int, seconds: float, first: int = 0) -> Sent:
    """Send numbered frames from ``pa``, evenly or, above 5 k packets/s, in ticks of 200 µs.

    Up to 20 k packets/s with precedence, so that each goes when it was made.
    """
    if rate_pps <= _PRECISE_PPS:
        prefer_timing(1)
    sender = Sender("pa")
    tick_ns = max(_TICK_NS, round(1e9 / rate_pps))
    most = max(1, round(rate_pps * tick_ns * 1e-9))
    frames = np.zeros((most, max(size, HEADER_BYTES)), dtype=np.uint8)
    frames[:, :14] = np.frombuffer(b"\x02\0\0\0\0\x0b\x02\0\0\0\0\x0a\x88\xb5", np.uint8)
    frames[:, HEADER_BYTES:] = np.arange(frames.shape[1] - HEADER_BYTES) & 255
    fields = frames[:, 16:HEADER_BYTES].view(np.uint64)
    starts = frames.ctypes.data + np.arange(most, dtype=np.uint64) * np.uint64(frames.shape[1])
    sizes = np.full(most, size, dtype=np.int64)
    numbers = np.arange(most)
    now = time.monotonic_ns
    begin, number = now() + 1_000_000, first
    ticks = round(seconds * 1e9 / tick_ns)
    for tick in range(ticks):
        due = begin + tick * tick_ns
        if due - now() > 60_000:
            time.sleep(max(0, due - now() - 50_000) * 1e-9)
        while now() < due:
            pass
        for low in range(0, most, MOST):
            part = slice(low, low + MOST)
            fields[part, 0] = number + numbers[part]
            made = now()
            fields[part, 1] = made
            sender.many_due(np.full(len(sizes[part]), made), made, starts[part], sizes[part])
        number += most
    took_s = (now() - begin) * 1e-9
    sender.close()
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return Sent(sender.sent, took_s)


@dataclass(frozen=True, slots=True)
class Received:
    """Numbered frames that arrived, in order; arrays of shape (n,), ns of CLOCK_MONOTONIC."""

    number: NDArray[np.int64]
    made_ns: NDArray[np.int64]
    there_ns: NDArray[np.int64]
    dropped: int


_listening: list[ReceiveRing] = []


def listen() -> None:
    """Keep what arrives at ``pb`` from now on for :func:`receive` (16384 frames)."""
    _listening.append(ReceiveRing("pb", 16384))


def receive(count: int, within_s: float, quiet_s: float = 0.5) -> Received:
    """What has arrived since :func:`listen`, until ``count`` frames have or none for a while."""
    ring = _listening.pop()
    table = np.concatenate([np.empty((0, 3), np.int64), *_collect(ring, count, within_s, quiet_s)])
    _, dropped = ring.statistics()
    ring.close()
    there = table[:, 2] + realtime_to_monotonic_ns()
    return Received(table[:, 0], table[:, 1], there, dropped)


def _collect(
    ring: ReceiveRing, count: int, within_s: float, quiet_s: float
) -> list[NDArray[np.int64]]:
    parts: list[NDArray[np.int64]] = []
    seen, last = 0, time.monotonic()
    deadline = last + within_s
    while seen < count and time.monotonic() < deadline:
        batch = ring.peek(512)
        if batch is None:
            if seen and time.monotonic() - last > quiet_s:
                break
            select.select([ring], [], [], 0.05)
            time.sleep(0.0005)
            continue
        rows = batch.rows[:, batch.offset + 16 : batch.offset + HEADER_BYTES]
        fields = np.ascontiguousarray(rows).view(np.int64)
        parts.append(np.column_stack([fields, batch.stamp_ns]))
        ring.give_back(len(fields))
        seen += len(fields)
        last = time.monotonic()
    return parts


def counted() -> int:
    """Packets that ``pb`` has received, whoever took them."""
    with open("/proc/net/dev", encoding="ascii") as file:
        for line in file:
            name, _, counters = line.partition(":")
            if name.strip() == "pb":
                return int(counters.split()[1])
    raise RuntimeError("no pb here")


def tcp_take(seconds: float) -> float:
    """Accept one connection and take what comes; bit/s."""
    with socket.create_server((ADDRESSES[1], 5001)) as server:
        server.settimeout(10)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            total, begin = 0, time.monotonic()
            buffer = bytearray(1 << 20)
            while time.monotonic() - begin < seconds:
                got = connection.recv_into(buffer)
                if not got:
                    break
                total += got
            return 8 * total / (time.monotonic() - begin)


def tcp_give(seconds: float) -> None:
    """Connect and send as fast as it goes."""
    data = bytes(1 << 18)
    deadline = time.monotonic() + 5
    while True:
        try:
            connection = socket.create_connection((ADDRESSES[1], 5001), timeout=2)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    with connection, contextlib.suppress(OSError):
        end = time.monotonic() + seconds + 0.5
        while time.monotonic() < end:
            connection.sendall(data)
