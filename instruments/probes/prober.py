"""A Session-Sender on a real socket: sends on time, and listens."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from instruments.emulators.clocks import RealtimeMap
from instruments.probes.kernel_stamps import (
    Departure,
    ask_for_details,
    ask_for_stamps,
    notices,
    receive,
)
from instruments.probes.probing import Session
from instruments.probes.reflector import Stop
from instruments.probes.stamp_time import ErrorEstimate

_AT_ONCE = 64
_BUFFER_BYTES = 4 << 20
_LOOK_NS = 1_000_000_000
"""How often the clock is looked at, and whoever watches is told."""

_LAST_STAMPS_NS = 20_000_000
"""How long the kernel's stamp of the last departure is waited for, once all is answered."""

_PASSING = (errno.EAGAIN, errno.ENOBUFS, errno.EPERM)
"""The packet did not go; the next one may."""


class Unreachable(Exception):
    """The kernel takes no packet to that address at all; ``reason`` is what it said."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(slots=True)
class ProberCounts:
    """What happened to the socket.

    Attributes:
        refused: what came back instead of answers (ICMP), by errno's name.
        failed: packets that the kernel did not take, by errno's name.
        overflowed: answers that this socket had no room for.
        clock_steps, largest_step_ns: steps of CLOCK_REALTIME while it ran.
        ended_ns: CLOCK_MONOTONIC at the end; ``started_ns``: at the start of the schedule.
        interrupted: whether it ended before its time.
    """

    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    overflowed: int = 0
    clock_steps: int = 0
    largest_step_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    interrupted: bool = False


class Prober:
    """The socket of a sender, connected to a reflector, and its loop.

    Args:
        place: family, and address as of getaddrinfo.
        error: gives the error estimate of the timestamps now.

    Raises:
        Unreachable: no route to that address.
    """

    def __init__(
        self,
        family: int,
        place: tuple[object, ...],
        error: Callable[[], ErrorEstimate],
    ) -> None:
        self.counts = ProberCounts()
        self._error = error
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._socket.connect(place)
            ask_for_details(self._socket, errors=True)
            self.stamps_granted = ask_for_stamps(self._socket, departures=True)
        except OSError as error:
            self._socket.close()
            raise Unreachable(error) from error
        self._stamped_from = 0
        """The sequence number of the packet that the kernel counts as its 0th."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    @property
    def source(self) -> tuple[str, int]:
        """The sender's address and port."""
        name = self._socket.getsockname()
        return str(name[0]), int(name[1])

    def run(
        self,
        session: Session,
        *,
        start_ns: int,
        wait_ns: int,
        stop: Stop,
        tell: Callable[[Session], None] = lambda session: None,
    ) -> None:
        """Send every packet when it is due and wait for the answers.

        Ends once all are answered, ``wait_ns`` after the last packet, or when ``stop`` is
        readable.

        Args:
            session: the packets.
            start_ns: CLOCK_MONOTONIC, time zero of the schedule.
            wait_ns: how long an answer may take.
            stop: ends it at once.
            tell: is called about once a second.

        Raises:
            Unreachable: the kernel takes no such packet at all (too large).
        """
        clock = RealtimeMap()
        self.counts.started_ns = start_ns
        look_ns = start_ns + _LOOK_NS
        ends_ns: int | None = None
        while True:
            now_ns = time.monotonic_ns()
            if not session.finished and now_ns >= _due_ns(session, start_ns):
                self._send(session, _due_ns(session, start_ns))
            if session.finished:
                ends_ns = now_ns + wait_ns if ends_ns is None else ends_ns
                if session.answered == session.next:
                    ends_ns = min(ends_ns, now_ns + _LAST_STAMPS_NS)
                if now_ns >= ends_ns:
                    break
            if now_ns >= look_ns:
                look_ns = now_ns + _LOOK_NS
                clock.refresh()
                tell(session)
            next_ns = _due_ns(session, start_ns) if ends_ns is None else ends_ns
            pause_s = max(0, min(next_ns, look_ns) - time.monotonic_ns()) / 1e9
            if stop in select.select([stop, self._socket], [], [], pause_s)[0]:
                self.counts.interrupted = True
                break
            self._drain(session)
        self._drain(session)
        clock.refresh()
        self.counts.clock_steps, self.counts.largest_step_ns = clock.steps, clock.largest_step_ns
        self.counts.ended_ns = time.monotonic_ns()

    def _send(self, session: Session, due_ns: int) -> None:
        error = self._error()
        late_ns = time.monotonic_ns() - due_ns
        t_ns = time.time_ns()
        packet = session.packet(t_ns, error)
        for _ in range(2):
            try:
                self._socket.send(packet)
            except OSError as problem:
                number = problem.errno or 0
                # About an earlier packet, or for want of room: the kernel's count of departures
                # may or may not have gone on, so it begins anew.
                self._read_notices(session)
                self._stamped_from = session.next
                ask_for_stamps(self._socket, departures=True)
                if number in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                    continue  # the answer to an earlier one; it is told once
                if number not in _PASSING:
                    raise Unreachable(problem) from problem
                self._fail(session, number, t_ns, late_ns)
                return
            session.sent(t_ns, late_ns)
            return
        self._fail(session, number, t_ns, late_ns)

    def _fail(self, session: Session, number: int, t_ns: int, late_ns: int) -> None:
        self.counts.failed[errno.errorcode.get(number, os.strerror(number))] += 1
        session.sent(t_ns, late_ns, taken=False)
        self._stamped_from = session.next

    def _drain(self, session: Session) -> None:
        """Read what waits: answers, stamps of departures, refusals."""
        for _ in range(_AT_ONCE):
            try:
                came = receive(self._socket)
            except OSError:
                continue  # a refusal: its details are in the error queue
            if came is None:
                break
            self.counts.overflowed = max(self.counts.overflowed, came.overflowed)
            session.take(came.data, came.t_ns, kernel=came.place == "kernel", ttl=came.ttl)
        self._read_notices(session)

    def _read_notices(self, session: Session) -> None:
        for notice in notices(self._socket):
            if isinstance(notice, Departure):
                session.departed(self._stamped_from + notice.number, notice.t_ns)
            else:
                self.counts.refused[errno.errorcode.get(notice.errno, "unknown")] += 1


def _due_ns(session: Session, start_ns: int) -> int:
    return start_ns + int(session.due_ns[session.next])
