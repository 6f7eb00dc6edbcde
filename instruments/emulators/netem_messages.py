"""Netlink messages about netem qdiscs, over one socket that stays open (rtnetlink(7)).

A message is made once, ahead of its time; to send it and to read the kernel's answer is all that
a change then costs. Everything acts on the current network namespace.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from dataclasses import dataclass

from instruments.emulators.base import EmulatorError
from instruments.emulators.netem_state import NetemState, attributes, pack, unpack

HANDLE = 0x10000
"""Of every netem qdisc made here."""

PARENT_ROOT, PARENT_INGRESS, HANDLE_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000

_NEWQDISC, _GETQDISC, _ERROR = 36, 38, 2
_REQUEST, _ACK, _ECHO, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x8, 0x200, 0x400
_NLMSG, _TCMSG = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII")
_SEQUENCE = struct.Struct("=I")
_SEQUENCE_AT = 8
_KIND, _OPTIONS, _STATS2 = 1, 2, 7
_BASIC, _QUEUE, _PKT64 = 1, 3, 8
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_EXT_MESSAGE, _CAPPED, _HAS_ATTRIBUTES = 1, 0x100, 0x200
_ANSWER_S = 2
_ANSWER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class QdiscCounters:
    """A qdisc's counters, in packets: passed, dropped, waiting now, put first (requeued).

    ``waiting_bytes``: of those that wait, as captured.
    """

    sent: int
    dropped: int
    waiting: int
    requeued: int
    waiting_bytes: int = 0


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def _message(kind: int, flags: int, body: bytes) -> bytearray:
    return bytearray(_NLMSG.pack(16 + len(body), kind, _REQUEST | flags, 0, 0) + body)


def change_message(index: int, options: bytes, flags: int = 0) -> bytearray:
    """What gives the netem qdisc of an interface its whole new state (a packed one)."""
    body = _TCMSG.pack(0, index, HANDLE, PARENT_ROOT, 0)
    body += _attribute(_KIND, b"netem\0") + _attribute(_OPTIONS, options)
    return _message(_NEWQDISC, _ACK | flags, body)


class QdiscSocket:
    """Makes, changes and reads netem qdiscs; every answer is waited for, two seconds at most."""

    def __init__(self) -> None:
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        for option in (_CAP_ACK, _EXT_ACK):  # errors in words, without our own message
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
        waiting = struct.pack("@ll", _ANSWER_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, waiting)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Close the socket; qdiscs stay."""
        self._socket.close()

    def add_netem(self, index: int, state: NetemState) -> None:
        """Make netem the interface's root qdisc.

        Raises:
            EmulatorError: no right to, or the kernel has no netem.
        """
        message = change_message(index, pack(state), _CREATE | _EXCLUSIVE)
        self._ask(message, "cannot add netem")

    def change(self, message: bytearray) -> None:
        """Send a change (:func:`change_message`); returns when the kernel has confirmed it.

        Raises:
            EmulatorError: the kernel refused it.
        """
        self._ask(message, "cannot change netem")

    def read(self, index: int) -> tuple[bytes, QdiscCounters]:
        """The options (packed) and counters of the interface's netem qdisc.

        Raises:
            EmulatorError: the interface has none.
        """
        found = self._get(index, HANDLE, PARENT_ROOT, f"interface {index} has no netem qdisc")
        if found.get(_KIND) != b"netem\0":
            raise EmulatorError(f"interface {index} has no netem qdisc")
        return found[_OPTIONS], _counters(found)

    def state(self, index: int) -> tuple[NetemState, QdiscCounters]:
        """The same, options unpacked.

        Raises:
            EmulatorError: the interface has none.
        """
        options, counters = self.read(index)
        return unpack(options), counters

    def arrivals(self, index: int) -> int:
        """Packets that have come in through the interface's ingress qdisc.

        Raises:
            EmulatorError: the interface has none.
        """
        reason = f"interface {index} has no ingress qdisc"
        return _counters(self._get(index, HANDLE_INGRESS, PARENT_INGRESS, reason)).sent

    def _get(self, index: int, handle: int, parent: int, reason: str) -> dict[int, bytes]:
        body = _TCMSG.pack(0, index, handle, parent, 0)
        answer = self._ask(_message(_GETQDISC, _ECHO, body), reason)
        return attributes(answer[_TCMSG.size :])

    def _ask(self, message: bytearray, what: str) -> bytes:
        """Send a message; the body of its answer, empty for a mere confirmation.

        Raises:
            EmulatorError: ``what``, and why.
        """
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        _SEQUENCE.pack_into(message, _SEQUENCE_AT, self._sequence)
        try:
            self._socket.send(message)
            while True:
                data = self._socket.recv(_ANSWER_BYTES)
                length, kind, flags, sequence, _ = _NLMSG.unpack_from(data)
                if sequence == self._sequence:
                    break
        except OSError as error:
            raise EmulatorError(f"{what}: {_said(error.errno or 0)}") from error
        if kind != _ERROR:
            return data[_NLMSG.size : length]
        (number,) = struct.unpack_from("=i", data, _NLMSG.size)
        if number:
            raise EmulatorError(f"{what}: {_said(-number, _words(data[:length], flags))}")
        return b""


def _words(data: bytes, flags: int) -> str:
    """The kernel's own explanation in an error message, where it gives one."""
    if not flags & _HAS_ATTRIBUTES:
        return ""
    start = _NLMSG.size + 4
    (length,) = struct.unpack_from("=I", data, start)
    start += _NLMSG.size if flags & _CAPPED else length
    text = attributes(data[start:]).get(_EXT_MESSAGE, b"").rstrip(b"\0")
    return text.decode(errors="replace")


def _counters(found: dict[int, bytes]) -> QdiscCounters:
    stats = attributes(found[_STATS2])
    (sent,) = struct.unpack_from("=I", stats[_BASIC], 8)
    if _PKT64 in stats:
        (sent,) = struct.unpack_from("=Q", stats[_PKT64])
    waiting, waiting_bytes, dropped, requeued = struct.unpack_from("=4I", stats[_QUEUE])
    return QdiscCounters(sent, dropped, waiting, requeued, waiting_bytes)


def _said(number: int, words: str = "") -> str:
    """What the kernel answered, for people."""
    if number in (errno.ENOENT, errno.EOPNOTSUPP):
        return "this kernel does not have it"
    if number == errno.EPERM:
        return "not permitted (needs root or a user namespace)"
    if number == errno.EAGAIN:
        return f"no answer within {_ANSWER_S} s"
    return f"{os.strerror(number)} ({words})" if words else os.strerror(number)
