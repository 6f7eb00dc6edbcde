"""A Session-Reflector on real sockets: waits for test packets and sends them back."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from instruments.probes.kernel_stamps import ask_for_details, ask_for_stamps, receive
from instruments.probes.reflecting import Reflector

_AT_ONCE = 64
"""Most packets of one socket before the others and the end are looked at."""

_BUFFER_BYTES = 4 << 20


class Stop(Protocol):
    """Something readable once it is time to end."""

    def fileno(self) -> int:
        """For select."""


@dataclass(slots=True)
class ReflectorPlaces:
    """Where stamps were taken, and what the network did not take.

    Attributes:
        received: stamps of arrivals, by place (``kernel``, ``userspace``).
        sent: stamps of departures; always userspace, because the stamp is in the packet itself.
        failed: answers that the kernel did not take, by errno's name.
    """

    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


class ReflectorSockets:
    """The sockets of a reflector, and its loop.

    Args:
        address: where to listen; None: everywhere, IPv4 and IPv6.
        port: UDP port; 0: a free one.

    Raises:
        OSError: no such address, port taken, or no right to it.
    """

    def __init__(self, address: str | None, port: int) -> None:
        self.places = ReflectorPlaces()
        self._sockets: list[socket.socket] = []
        try:
            if address is not None:
                self._open(address, port)
            else:
                self._open("0.0.0.0", port)
                with contextlib.suppress(OSError):  # a host without IPv6
                    self._open("::", self.port)
        except OSError:
            self.close()
            raise
        self.stamps_granted = all(
            [ask_for_stamps(sock, departures=False) for sock in self._sockets]
        )

    def _open(self, address: str, port: int) -> None:
        found = socket.getaddrinfo(
            address, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )
        family, kind, protocol, _, place = found[0]
        sock = socket.socket(family, kind, protocol)
        self._sockets.append(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ask_for_details(sock, errors=False)
        try:
            sock.bind(place)
        except OSError:
            self._sockets.remove(sock)
            sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the sockets back."""
        for sock in self._sockets:
            sock.close()

    @property
    def port(self) -> int:
        """The UDP port."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens."""
        return [str(sock.getsockname()[0]) for sock in self._sockets]

    def serve(self, reflector: Reflector, stop: Stop, until_ns: int | None = None) -> None:
        """Answer until ``stop`` is readable or the time (CLOCK_MONOTONIC) has come."""
        while True:
            left_s = None if until_ns is None else (until_ns - time.monotonic_ns()) / 1e9
            if left_s is not None and left_s <= 0:
                return
            ready = select.select([stop, *self._sockets], [], [], left_s)[0]
            if stop in ready:
                return
            for sock in self._sockets:
                for _ in range(_AT_ONCE if sock in ready else 0):
                    if not self._one(sock, reflector):
                        break

    def _one(self, sock: socket.socket, reflector: Reflector) -> bool:
        """One packet; False where none waits."""
        try:
            came = receive(sock)
        except OSError:
            return True  # about an answer that could not be delivered: it says nothing of this one
        if came is None:
            return False
        self.places.received[came.place] += 1
        answer = reflector.answer(
            came.data, came.source, ttl=came.ttl, received_ns=came.t_ns, now_ns=time.time_ns
        )
        if answer is None:
            return True
        try:
            sock.sendmsg([answer], came.info, 0, came.address)
            self.places.sent["userspace"] += 1
        except OSError as error:
            self.places.failed[errno.errorcode.get(error.errno or 0, "unknown")] += 1
        return True
