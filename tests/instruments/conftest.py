"""An anonymous network namespace to run a check in, and a wire of two veth pairs inside it.

The host may be busy. What a check needs of real time it measures by its own sender: when a
frame was meant to go, when it was made, when it had gone. :class:`HostTooSlow` says that the host
did not keep time, and the check is made again, a few times; a failed assertion never is.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_time import kept_no_time

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
ETHERTYPE = 0x88B5  # local experimental
SO_TIMESTAMPNS = 35
MS = 1_000_000


TRIES = 5
FILLER = bytes(range(256)) * 8


class NoNamespace(Exception):
    pass


class HostTooSlow(Exception):
    """The host did not keep the time that a check needs: nothing was shown."""


def enter_namespace() -> None:
    """Leave for a new network namespace (and user namespace, where not root)."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWUSER if uid else 0)):
        raise NoNamespace(os.strerror(ctypes.get_errno()))
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def prefer_timing() -> None:
    """Real-time scheduling where it is granted; what is forked from here asks for its own."""
    with contextlib.suppress(OSError):
        reset_on_fork = 0x40000000
        os.sched_setscheduler(0, os.SCHED_FIFO | reset_on_fork, os.sched_param(1))


def run_isolated(check: Callable[[], Any], within_s: float = 40.0) -> Any:
    """Run ``check`` in a forked child in its own namespace; its result, or its failure.

    Again (``TRIES`` at most) where it raised :class:`HostTooSlow`; skipped where it always did.
    """
    for _ in range(TRIES):
        kind, value = _in_child(check, within_s)
        if kind != "slow":
            break
    if kind == "slow":
        kept_no_time(f"{value}, {TRIES} times")
    if kind == "none":
        reason = f"no network namespaces here ({value}): run as root or allow user namespaces"
        if "local" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    if kind == "failed":
        pytest.fail(value)
    return value


def _in_child(check: Callable[[], Any], within_s: float) -> tuple[str, Any]:
    """``("ok", result)``, or "none", "slow" or "failed" with its text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
            os.close(read)
            try:
                enter_namespace()
                prefer_timing()
                gc.freeze()  # a collection over all that pytest holds takes 50 ms
                answer = ("ok", check())
            except NoNamespace as error:
                answer = ("none", str(error))
            except HostTooSlow as error:
                answer = ("slow", str(error))
            except BaseException:
                answer = ("failed", traceback.format_exc())
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(write)
    data, deadline = b"", time.monotonic() + within_s
    try:
        while select.select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(read, 1 << 20)
            if not part:
                break
            data += part
        else:
            pytest.fail(f"not done within {within_s} s")
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    answer: tuple[str, Any] = pickle.loads(data)
    return answer


@dataclass(frozen=True)
class Sent:
    """A frame's number and when it was meant to go, was made, and had gone; CLOCK_MONOTONIC ns.

    It entered the emulator between ``made_ns`` and ``gone_ns``: on veth, sending is arriving.
    """

    number: int
    planned_ns: int
    made_ns: int
    gone_ns: int


def clock_shift_ns() -> int:
    """CLOCK_MONOTONIC minus CLOCK_REALTIME, hardly too large and never too small."""
    return min(
        (after - before, after - real)
        for before, real, after in (
            (time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(9)
        )
    )[1]


class Wire:
    """Two veth pairs: pa–fa and fb–pb. An emulator joins fa and fb; frames go in at pa or pb."""

    def __init__(self) -> None:
        from pyroute2 import IPRoute

        for name in ("all", "default"):
            with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        with IPRoute() as route:
            for end, peer in (("pa", "fa"), ("pb", "fb")):
                route.link("add", ifname=end, kind="veth", peer={"ifname": peer})
            for name in ("pa", "fa", "pb", "fb"):
                route.link("set", index=route.link_lookup(ifname=name)[0], state="up")
        self.a, self.b = self._socket("pa"), self._socket("pb")
        self.sent: list[Sent] = []
        self._shift_ns = clock_shift_ns()

    @staticmethod
    def too_slow(reason: str) -> HostTooSlow:
        """To raise: the host did not keep time, nothing was shown."""
        return HostTooSlow(reason)

    def _socket(self, ifname: str) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(263, 8, 1)  # PACKET_AUXDATA
        sock.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        sock.bind((ifname, 3))
        sock.setblocking(False)
        return sock

    @staticmethod
    def frame(number: int, size: int = 100, vlan: int | None = None) -> bytes:
        """A frame with ``number`` and the time of its making inside, ``size`` bytes in all."""
        tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
        head = b"\x02\0\0\0\0\x0b\x02\0\0\0\0\x0a" + tag + struct.pack("!H", ETHERTYPE)
        body = struct.pack("!IQ", number, time.monotonic_ns())
        start = number * 7 & 255
        return head + body + FILLER[start : start + size - len(head) - len(body)]

    def send(self, number: int, size: int = 100, planned_ns: int = 0) -> None:
        """Send a frame from ``pa`` and remember when."""
        frame = self.frame(number, size)
        self.a.send(frame)
        made = struct.unpack_from("!Q", frame, 18)[0]
        self.sent.append(Sent(number, planned_ns, made, time.monotonic_ns()))

    def kept_time(self, median_ns: int = 500_000, worst_ns: int = 10 * MS) -> None:
        """Demand that this process could send when it meant to: then others could run too."""
        late = sorted(sent.made_ns - sent.planned_ns for sent in self.sent)
        if late[len(late) // 2] > median_ns or late[-1] > worst_ns:
            found = f"{late[len(late) // 2] / MS:.1f} ms, at worst {late[-1] / MS:.1f} ms"
            raise HostTooSlow(f"the sender was late by {found}")

    def kept_all(self) -> None:
        """Demand that the receiving socket lost nothing and nobody stepped the clock."""
        for sock in (self.a, self.b):
            lost = struct.unpack("II", sock.getsockopt(263, 6, 8))[1]  # PACKET_STATISTICS
            if lost:
                raise HostTooSlow(f"{lost} frames did not fit the test's own socket")
        step = abs(clock_shift_ns() - self._shift_ns)
        if step > 10_000:
            raise HostTooSlow(f"the host's clock was stepped by {step} ns")

    def wait_received(
        self, sock: socket.socket, enough: Callable[[list[Any]], bool], within_s: float = 10.0
    ) -> list[tuple[int, int, int, bytes, int | None]]:
        """What arrives until that is ``enough`` (or the time is up: the caller will see)."""
        arrived, deadline = self.received(sock), time.monotonic() + within_s
        while not enough(arrived) and (left := deadline - time.monotonic()) > 0:
            select.select([sock], [], [], min(left, 0.1))
            arrived += self.received(sock)
        return arrived

    def received(self, sock: socket.socket) -> list[tuple[int, int, int, bytes, int | None]]:
        """What has arrived: (number, made ns, arrived ns, frame without tag, vlan tci)."""
        shift = clock_shift_ns()
        arrived = []
        while True:
            try:
                frame, extra, _, _ = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return arrived
            stamp, vlan = 0, None
            for level, kind, data in extra:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, ns = struct.unpack("qq", data)
                    stamp = seconds * 1_000_000_000 + ns
                elif level == 263 and struct.unpack_from("I", data)[0] & 0x10:
                    vlan = struct.unpack_from("H", data, 16)[0]
            number, made = struct.unpack_from("!IQ", frame, 14)
            arrived.append((number, made, stamp + shift, frame, vlan))


@pytest.fixture
def isolated() -> Callable[..., Any]:
    """Runs a function in a namespace of its own and gives its (picklable) result."""
    return run_isolated


@pytest.fixture
def wire() -> type[Wire]:
    """Makes a wire; call it inside the namespace."""
    return Wire
