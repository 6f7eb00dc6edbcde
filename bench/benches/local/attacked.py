"""The port of a simulated device in a session with attacks.

Packets that come from other addresses than the other side's reach it too, and what commands say is
kept: where the operator's side sends them and where the drive executes them.
"""

from __future__ import annotations

import socket

from bench.benches.local.layout import address, peer_address
from bench.benches.local.port import LocalPort
from bench.devices.ports import Message
from bench.devices.profile import DeviceProfile
from bench.devices.wire import encode
from bench.network.scenario import Side

_RECEIVE_BYTES = 1 << 20


class AttackedPort(LocalPort):
    """A :class:`LocalPort` with an unconnected socket beside each connected one.

    The kernel hands a packet to the connected socket where its source is the other side (or says
    so), else to the unconnected one.

    Args:
        end_ns: the session's end; what is executed later is not in the recording.
    """

    def __init__(self, profile: DeviceProfile, side: Side, links: int, end_ns: int) -> None:
        super().__init__(profile, side, links)
        self._end_ns = end_ns
        self._watched = profile.stream(profile.watched).code
        self._ports = {stream.code: stream.port for stream in profile.streams}
        self._here: dict[tuple[int, int], socket.socket] = {}
        self._sent: list[tuple[int, int]] = []
        self._executed: list[tuple[int, int]] = []
        self._now_ns = 0
        if side == "patient":
            for stream in profile.active_streams:
                for link in range(links):
                    sock = _unconnected(address(link, side), stream.port)
                    self._here[link, stream.code] = sock
                    self.strangers.append((sock, link))

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Send one packet, to a further client where it is for one."""
        code = message.stream
        if message.peer:
            sock, there = (
                self._here[link, code],
                (peer_address(link, message.peer), self._ports[code]),
            )
            payload = encode(message, self._payload[code])
            self._put(lambda data: sock.sendto(data, there), payload)
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


def _unconnected(ip: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    sock.bind((ip, port))
    return sock
