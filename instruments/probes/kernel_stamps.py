"""The kernel's timestamps of a UDP socket: SO_TIMESTAMPING, in software, CLOCK_REALTIME.

A stamp of the kernel is used where it arrives with the packet, and never assumed: every stamp
carries where it was taken, and the caller counts.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

SO_TIMESTAMPING = 37
_SO_RXQ_OVFL = 40
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE = 1 << 1, 1 << 3, 1 << 4
_OPT_ID, _OPT_TSONLY = 1 << 7, 1 << 11
_IP_TTL, _IP_PKTINFO, _IP_RECVERR, _IP_RECVTTL = 2, 8, 11, 12
_IPV6_RECVERR, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 25, 49, 50
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52
_FROM_ICMP, _FROM_ICMP6, _FROM_LOCAL, _FROM_STAMPING = 2, 3, 1, 4

_TIMESPEC = struct.Struct("@qq")
_EXTENDED_ERROR = struct.Struct("@IBBBBII")
_CONTROL_BYTES = 512
_NO_TTL = 255
"""Where the TTL cannot be told (RFC 8762, 4.3.1)."""

Place = Literal["kernel", "userspace"]
Ancillary = Iterable[tuple[int, int, bytes]]


@dataclass(frozen=True, slots=True)
class Datagram:
    """A packet as it arrived.

    ``t_ns``: when, CLOCK_REALTIME; ``place``: who took that time; ``ttl``: on arrival, 255 where
    unknown; ``info``: ancillary data that sends an answer from the address the packet came to;
    ``overflowed``: packets that this socket has had no room for so far.
    """

    data: bytes
    source: tuple[str, int]
    address: tuple[object, ...]
    t_ns: int
    place: Place
    ttl: int
    info: list[tuple[int, int, bytes]]
    overflowed: int


@dataclass(frozen=True, slots=True)
class Departure:
    """The kernel's stamp of the ``number``-th packet sent since the stamps were asked for."""

    number: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An ICMP message or a local error about a packet sent before; ``errno`` as of errno(3)."""

    errno: int
    local: bool


def ask_for_stamps(sock: socket.socket, *, departures: bool) -> bool:
    """Ask the kernel for stamps; whether it said yes (which promises none).

    Called again, it counts departures from 0 anew.
    """
    flags = _RX_SOFTWARE | _SOFTWARE
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        if departures:
            flags |= _TX_SOFTWARE | _OPT_ID | _OPT_TSONLY
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
    except OSError:
        return False
    return True


def ask_for_details(sock: socket.socket, *, errors: bool) -> None:
    """Ask for TTL, the address a packet came to, drops, and (``errors``) ICMP.

    What the kernel refuses is left out.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    if sock.family == socket.AF_INET6:
        level, wanted = socket.IPPROTO_IPV6, [_IPV6_RECVHOPLIMIT, _IPV6_RECVPKTINFO]
        wanted += [_IPV6_RECVERR] if errors else []
    else:
        level, wanted = socket.IPPROTO_IP, [_IP_RECVTTL, _IP_PKTINFO]
        wanted += [_IP_RECVERR] if errors else []
    for option in wanted:
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, 1)


def receive(sock: socket.socket, most: int = 65536) -> Datagram | None:
    """The next packet of a socket that does not block; None where there is none.

    Raises:
        OSError: what the kernel has to say about packets sent before.
    """
    try:
        data, ancillary, _, address = sock.recvmsg(most, _CONTROL_BYTES)
    except BlockingIOError:
        return None
    now_ns = time.time_ns()
    t_ns, ttl, info, overflowed = None, _NO_TTL, [], 0
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            t_ns = _stamp(value)
        elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
            overflowed = int.from_bytes(value[:4], sys.byteorder)
        elif (level, kind) in ((socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT)):
            ttl = int.from_bytes(value[:4], sys.byteorder)
        elif (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            # in_pktinfo: the interface is left to routing, the source is the address asked.
            info = [(level, kind, bytes(4) + value[4:8] + bytes(4))]
        elif (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            info = [(level, kind, value)]
    place: Place = "userspace" if t_ns is None else "kernel"
    t_ns = now_ns if t_ns is None else t_ns
    return Datagram(data, address[:2], address, t_ns, place, ttl & 0xFF, info, overflowed)


def notices(sock: socket.socket) -> Iterator[Departure | Refusal]:
    """What waits in the socket's error queue: stamps of departures, and refusals."""
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(64, _CONTROL_BYTES, socket.MSG_ERRQUEUE)
        except OSError:
            return
        found = _notice(ancillary)
        if found is not None:
            yield found


_ERRORS = ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))


def _notice(ancillary: Ancillary) -> Departure | Refusal | None:
    t_ns = error = None
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            t_ns = _stamp(value)
        elif (level, kind) in _ERRORS and len(value) >= _EXTENDED_ERROR.size:
            error = _EXTENDED_ERROR.unpack_from(value)
    if error is None:
        return None
    number, origin, data = error[0], error[1], error[6]
    if origin == _FROM_STAMPING:
        return None if t_ns is None else Departure(data, t_ns)
    if origin in (_FROM_ICMP, _FROM_ICMP6, _FROM_LOCAL):
        return Refusal(number, local=origin == _FROM_LOCAL)
    return None


def _stamp(value: bytes) -> int | None:
    """The software stamp of ``struct scm_timestamping``; None where the kernel left it empty."""
    if len(value) < _TIMESPEC.size:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack_from(value)
    return seconds * 1_000_000_000 + nanoseconds or None
