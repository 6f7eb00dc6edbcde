"""The port of a simulated device on real sockets: its sends, its timers, its reports."""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from heapq import heappush
from typing import Any

from bench.benches.local import kernel
from bench.benches.local.carriage import OPENERS, Carriage, Place
from bench.benches.local.carriage.credentials import Identity
from bench.benches.local.layout import address, other
from bench.devices.ports import Message
from bench.devices.power import POWER
from bench.devices.profile import DeviceProfile
from bench.devices.wire import encode
from bench.network.scenario import Side

FRAME_WAIT_NS = 20_000_000
"""A burst of which no packet came for this long is handed over as it is."""

UNDECLARED_PORT = 9
"""Where streams go that the profile does not name (discard, RFC 863)."""

UNDECLARED_PAYLOAD = 200


class LocalPort:
    """A :class:`bench.devices.ports.Port` over real sockets: a carriage per stream and link.

    ``queue``: the timers that wait, a heap of ``(t_ns, number, call)``. ``carriages``:
    ``(carriage, link, stream code)`` for the loop that receives. ``identity``: what the side shows
    where a carriage asks for certificates.
    """

    def __init__(
        self, profile: DeviceProfile, side: Side, links: int, identity: Identity | None = None
    ) -> None:
        self.queue: list[tuple[int, int, Callable[[int], None]]] = []
        self.carriages: list[tuple[Carriage, int, int]] = []
        self.send_errors = 0
        self.executed: list[tuple[int, int, int]] = []
        self.events: list[tuple[int, str, str, Any]] = []
        self._number = itertools.count().__next__
        self._sends: list[dict[int, Callable[[Message], object]]] = [{} for _ in range(links)]
        self._side = side
        self._hidden: list[socket.socket] = []
        self._powered = True
        self._streams = profile.streams
        self._payload = {stream.code: stream.payload_bytes for stream in profile.streams}
        for stream in profile.active_streams:
            for link in range(links):
                carriage = OPENERS[stream.carriage](Place(stream, link, side, self.at, identity))
                self.carriages.append((carriage, link, stream.code))
                self._sends[link][stream.code] = carriage.send

    def at(self, t_ns: int, call: Callable[[int], None]) -> None:
        """Call ``call(now_ns)`` once at ``t_ns``."""
        heappush(self.queue, (t_ns, self._number(), call))

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Send one packet on the link of that index."""
        code = message[0]
        send = self._sends[link].get(code) or self._undeclared(link, code)
        try:
            send(message)
        except OSError:
            # The bench lost a packet that the device meant to send: reported, never hidden.
            self.send_errors += 1

    def _undeclared(self, link: int, code: int) -> Callable[[Message], object]:
        """A port of its own for a stream that the profile does not name (a deliberate defect).

        Nobody listens there: the socket is not connected, so that the refusal is no send error.
        """
        size = self._payload.get(code, UNDECLARED_PAYLOAD)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((address(link, self._side), 0))
        self._hidden.append(sock)
        there = (address(link, other(self._side)), UNDECLARED_PORT)

        def send(message: Message) -> None:
            sock.sendto(encode(message, size), there)

        self._sends[link][code] = send
        return send

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """Send ``count`` packets of one stream together, numbered from ``message.seq``."""
        code, first, sent_ns, value, body, tag, _ = message
        send = self._sends[link][code]
        for seq in range(first, first + count):
            try:
                send(Message(code, seq, sent_ns, value, body, tag))
            except OSError:
                self.send_errors += 1

    def follow(self, now_ns: int, link: int) -> None:
        """Addresses are fixed here: its sockets are connected."""

    def faults(self) -> dict[str, int]:
        """What the carriages met, summed over the links: by ``stream/fault``."""
        names = {stream.code: stream.name for stream in self._streams}
        found: Counter[str] = Counter()
        for carriage, _, code in self.carriages:
            for fault, count in carriage.faults.items():
                found[f"{names[code]}/{fault}"] += count
        return dict(found)

    def flush(self) -> None:
        """Hand over what was kept back to be told together."""

    def actuate(self, now_ns: int, message: Message) -> None:
        """The drive executes a command."""
        self.executed.append((now_ns, message[0], message[1]))

    def contact(self, now_ns: int, name: str, value: Any) -> None:
        """A contact or encoder outside the device changes."""
        self.events.append((now_ns, "contact", name, value))
        if name == POWER:
            self._power(bool(value))

    def _power(self, on: bool) -> None:
        """The side has power or not: without it nothing of it leaves, whoever had more to send.

        So its kernel neither acknowledges nor sends again, and does not say that a connection is
        gone; what arrives meets nobody.
        """
        if on == self._powered:
            return
        self._powered = on
        if not on:
            self._cut_off(True)
        for carriage, _, _ in self.carriages:
            carriage.power(on)
        if on:
            self._cut_off(False)

    def _cut_off(self, on: bool) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for link in range(len(self._sends)):
                kernel.unreachable(control, address(link, other(self._side)), on=on)

    def signal(self, now_ns: int, name: str, value: Any) -> None:
        """A light or sound of the device changes."""
        self.events.append((now_ns, "signal", name, value))

    def log(self, now_ns: int, name: str, value: Any) -> None:
        """The device writes an entry to its own audit log."""
        self.events.append((now_ns, "log", name, value))


class Bursts:
    """Puts the packets of one stream on one link back together into the bursts they left in.

    A burst ends when all its packets are there, when a packet of a later one arrives, or when
    none came for :data:`FRAME_WAIT_NS`. Packets of a burst that has ended are not handed on.

    Args:
        count: packets per burst; burst ``n`` holds the sequence numbers from ``n * count``.
        at: asks for a call at a time.
        deliver: gets ``(now_ns, first message to arrive, received, count)``. For a burst that
            stayed incomplete ``now_ns`` is when that was known: a device's time never goes back.
    """

    def __init__(
        self,
        count: int,
        at: Callable[[int, Callable[[int], None]], None],
        deliver: Callable[[int, Message, int, int], None],
    ) -> None:
        self._count = count
        self._at = at
        self._deliver = deliver
        self._frame = -1
        self._first: Message | None = None
        self._seen = 0
        self._last_ns = 0
        self._waiting = False

    def packet(self, now_ns: int, message: Message) -> None:
        """One packet arrived."""
        frame, place = divmod(message.seq, self._count)
        if frame < self._frame or (frame == self._frame and self._first is None):
            return
        if frame > self._frame:
            self._close(now_ns)
            self._frame, self._first, self._seen = frame, message, 0
            if not self._waiting:
                self._waiting = True
                self._at(now_ns + FRAME_WAIT_NS, self._look)
        self._seen |= 1 << place
        self._last_ns = now_ns
        if self._seen == (1 << self._count) - 1:
            self._close(now_ns)

    def _close(self, now_ns: int) -> None:
        first = self._first
        if first is not None:
            self._first = None
            self._deliver(now_ns, first, self._seen.bit_count(), self._count)

    def _look(self, now_ns: int) -> None:
        self._waiting = False
        if self._first is None:
            return
        due = self._last_ns + FRAME_WAIT_NS
        if now_ns >= due:
            self._close(now_ns)
        else:
            self._waiting = True
            self._at(due, self._look)


def burst_sizes(profile: DeviceProfile) -> Mapping[int, int]:
    """Packets per burst of every active stream that sends bursts, by stream code."""
    return {s.code: s.packets for s in profile.active_streams if s.packets > 1}
