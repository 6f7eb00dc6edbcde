"""A stream as UDP datagrams with the simulated devices' own header, one message each."""

from __future__ import annotations

import socket
from collections import Counter

from bench.benches.local.carriage.base import Place
from bench.benches.local.layout import address, other
from bench.devices.ports import Message, payload_bytes
from bench.devices.wire import decode, encode
from bench.network.scenario import Side

LARGEST_DATAGRAM = 65535

_RECEIVE_BYTES = 8 << 20
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32


class Datagram:
    """A :class:`~bench.benches.local.carriage.base.Carriage` over one connected UDP socket."""

    __slots__ = ("_recv", "_send", "_size", "_sock", "faults")

    def __init__(self, place: Place) -> None:
        self.faults: Counter[str] = Counter()
        self._sock = connected(place.link, place.side, place.stream.port)
        self._send, self._recv = self._sock.send, self._sock.recv
        self._size = place.stream.payload_bytes

    def fileno(self) -> int:
        """The socket's."""
        return self._sock.fileno()

    def send(self, message: Message) -> None:
        """Send one message as one datagram."""
        self._send(encode(message, payload_bytes(message, self._size)))

    def take(self) -> Message:
        """The message in the next datagram."""
        return decode(self._recv(LARGEST_DATAGRAM))

    def power(self, on: bool) -> None:
        """It has no connection that could end."""

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def connected(link: int, side: Side, port: int) -> socket.socket:
    """A UDP socket between the two sides, the same port at both, with much room for bursts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one for strangers may join it
    for forced, plain in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, _RECEIVE_BYTES)
        except PermissionError:  # a user namespace: as much as the host allows everybody
            sock.setsockopt(socket.SOL_SOCKET, plain, _RECEIVE_BYTES)
    sock.bind((address(link, side), port))
    sock.connect((address(link, other(side)), port))
    return sock
