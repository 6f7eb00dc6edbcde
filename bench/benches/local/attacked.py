"""The port of a simulated device in a session with attacks.

Packets that come from other addresses than the other side's reach it too, and what commands say is
kept: where the operator's side sends them and where the drive executes them.
"""

from __future__ import annotations

import socket
from collections import Counter

from bench.benches.local.carriage import Carriage, Place
from bench.benches.local.carriage.credentials import Identity
from bench.benches.local.layout import address, peer_address, peer_of
from bench.benches.local.payloads import payload_of, read
from bench.benches.local.port import LocalPort
from bench.devices.ports import Message
from bench.devices.profile import DeviceProfile
from bench.network.scenario import Side

_NO_STREAM = -1
"""Strangers' packets are handed on singly, whatever stream they say they are of."""
_RECEIVE_BYTES = 1 << 20
_LARGEST_DATAGRAM = 65535


class Strangers:
    """A :class:`~bench.benches.local.carriage.Carriage` of one stream to and from other addresses.

    An unconnected socket beside the connected one: the kernel hands it what does not come from the
    other side. A message's ``peer`` is who sent it, or who gets it.
    """

    def __init__(self, place: Place) -> None:
        self.faults: Counter[str] = Counter()
        self._stream, self._link = place.stream, place.link
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._sock.bind((address(place.link, place.side), place.stream.port))

    def fileno(self) -> int:
        """The socket's."""
        return self._sock.fileno()

    def send(self, message: Message) -> None:
        """Send one message to the further client that it is for."""
        there = peer_address(self._link, message.peer), self._stream.port
        self._sock.sendto(payload_of(message, self._stream), there)

    def take(self) -> Message:
        """The next message that arrived."""
        payload, (ip, _) = self._sock.recvfrom(_LARGEST_DATAGRAM)
        return read(payload, self._stream)._replace(peer=peer_of(ip))

    def power(self, on: bool) -> None:
        """It has no connection that could end."""

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class AttackedPort(LocalPort):
    """A :class:`LocalPort` that strangers reach as well.

    Args:
        end_ns: the session's end; what is executed later is not in the recording.
    """

    def __init__(
        self, profile: DeviceProfile, side: Side, links: int, identity: Identity | None = None,
        *, end_ns: int,
    ) -> None:  # fmt: skip
        super().__init__(profile, side, links, identity)
        self._end_ns = end_ns
        self._watched = profile.stream(profile.watched).code
        self._strangers: dict[tuple[int, int], Carriage] = {}
        self._sent: list[tuple[int, int]] = []
        self._executed: list[tuple[int, int]] = []
        self._now_ns = 0
        if side == "patient":
            for stream in profile.active_streams:
                for link in range(links):
                    strangers = Strangers(Place(stream, link, side, self.at))
                    self._strangers[link, stream.code] = strangers
                    self.carriages.append((strangers, link, _NO_STREAM))

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Send one packet, to a further client where it is for one."""
        code = message.stream
        if message.peer:
            try:
                self._strangers[link, code].send(message)
            except OSError:
                self.send_errors += 1
            return
        if self._side == "doctor" and code == self._watched:
            self._sent.append((message.seq, message.value))
            self._now_ns = now_ns
        super().send(now_ns, link, message)

    def actuate(self, now_ns: int, message: Message) -> None:
        """The drive executes a command."""
        if now_ns <= self._end_ns:
            self._executed.append((message.seq, message.value))
            self._now_ns = now_ns
        super().actuate(now_ns, message)

    def flush(self) -> None:
        """Tell what commands said, together."""
        for name, kept in (("commands-sent", self._sent), ("commands-executed", self._executed)):
            if kept:
                self.contact(self._now_ns, name, [list(command) for command in kept])
                kept.clear()
