"""The ports of the virtual bench: what a side sends meets the laws of the links, and the recorder.

A session has the plainest that it can have: no attacker looks on and no address changes unless it
has one.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.benches.virtual_rows import ACTED, kind_of
from bench.devices.ports import Endpoint, Message, payload_bytes
from bench.devices.profile import HEADERS_BYTES
from bench.network.addresses import READDRESSED
from bench.network.laws import DirectionLaw
from bench.network.scenario import Side
from bench.sessions.packets import NO_LINK, ROW, TAPS
from bench.sessions.recording import Event

if TYPE_CHECKING:
    from bench.benches.virtual import World

_ARRAY_BURST = 24


def _arrivals(law: DirectionLaw, due_ns: int) -> tuple[int, int]:
    """When the packet offered last arrives, and its copy; never where it arrives damaged.

    The receiver's checksum (UDP, TLS) throws a damaged packet away, and so do the taps.
    """
    if law.flips:
        due_ns = -1
    return (due_ns, law.copy_due)


class VirtualPort:
    """The port of one side: its sends meet the links' laws, its rows the recorder.

    ``intact``: nobody alters what passes (:mod:`bench.devices.security`).
    """

    intact = True

    def __init__(self, world: World, side: Side) -> None:
        self._world = world
        self._side = side
        self._direction = 1 if side == "patient" else 0
        self._tap = TAPS.index(side)
        self._far_tap = TAPS.index("patient" if side == "doctor" else "doctor")
        self._laws = world.laws[self._direction]
        self._sizes = world.sizes
        self._queue = world.queue
        self._notes = world.notes
        self._note, self._next_number = world.notes.crossings.extend, world.next_number
        self._acted = [kind_of(ACTED, NO_LINK, code, 0) for code in range(len(world.sizes))]
        way = self._direction
        self._plain = [
            [(size, kind_of(way, link, code, size)) for code, size in enumerate(world.sizes)]
            for link in range(len(self._laws))
        ]
        self.at = world.at

    def flush(self, now_ns: int) -> None:
        """Hand over what was kept back to be told together."""

    def connect(self, peer: Endpoint) -> None:
        """Have what this side sends arrive at ``peer``."""
        self._receive = peer.receive
        self._receive_burst = peer.receive_burst

    def _size(self, message: Message) -> int:
        """Captured bytes of a packet that may be padded beyond its stream's size."""
        declared = self._sizes[message.stream]
        return payload_bytes(message, declared - HEADERS_BYTES) + HEADERS_BYTES

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Send a packet now; see :class:`bench.devices.ports.Port`."""
        stream = message[0]
        size, kind = self._plain[link][stream]
        if message[4] is not None and (padded := self._size(message)) != size:
            size, kind = padded, kind_of(self._direction, link, stream, padded)
        law = self._laws[link]
        due = law.offer(now_ns, size)
        copy_ns = -1
        if not law.ordinary:
            due, copy_ns = _arrivals(law, due)
        self._note((now_ns, due, kind, message[1]))
        if due >= 0:
            heappush(self._queue, (due, self._next_number(), self._receive, link, message))
        if copy_ns >= 0:
            self._note_copy(copy_ns, link, message, message[1], size)
            heappush(self._queue, (copy_ns, self._next_number(), self._receive, link, message))

    def _note_copy(self, due_ns: int, link: int, message: Message, seq: int, size: int) -> None:
        row = (due_ns, self._far_tap, self._direction, link, message.stream, seq, size)
        self._notes.singles.append(row)

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """Send ``count`` packets, numbered from the message's, at once."""
        size = self._sizes[message.stream]
        if not self._laws[link].ordinary_at(now_ns):
            send = self._send_each
        elif count < _ARRAY_BURST:
            send = self._send_few
        else:
            send = self._send_array
        last, received = send(now_ns, link, message, count, size)
        if received:
            number = self._next_number()
            entry = (last, number, self._receive_burst, link, message, received, count)
            heappush(self._queue, entry)

    def _send_each(
        self, now_ns: int, link: int, message: Message, count: int, size: int
    ) -> tuple[int, int]:
        law, note, first = self._laws[link], self._note, message.seq
        _, kind = self._plain[link][message.stream]
        last = received = 0
        for seq in range(first, first + count):
            due, copy_ns = _arrivals(law, law.offer(now_ns, size))
            if copy_ns >= 0:  # of no use to a burst
                self._note_copy(copy_ns, link, message, seq, size)
            note((now_ns, due, kind, seq))
            if due >= 0:
                received += 1
                last = max(last, due)
        return last, received

    def _send_few(
        self, now_ns: int, link: int, message: Message, count: int, size: int
    ) -> tuple[int, int]:
        offer, first = self._laws[link].offer, message.seq
        _, kind = self._plain[link][message.stream]
        dues = [offer(now_ns, size) for _ in range(count)]
        notes = zip(repeat(now_ns), dues, repeat(kind), range(first, first + count), strict=False)
        self._note(chain.from_iterable(notes))
        arrived = dues if min(dues) >= 0 else [due for due in dues if due >= 0]
        return max(arrived, default=0), len(arrived)

    def _send_array(
        self, now_ns: int, link: int, message: Message, count: int, size: int
    ) -> tuple[int, int]:
        due = self._laws[link].offer_burst(now_ns, np.full(count, size, dtype=np.int64))
        rows = np.empty(count, dtype=ROW)
        rows["t_ns"], rows["tap"], rows["direction"] = now_ns, self._tap, self._direction
        rows["link"], rows["stream"], rows["size"] = link, message.stream, size
        rows["seq"] = np.arange(message.seq, message.seq + count)
        arrived = rows.copy()
        arrived["t_ns"], arrived["tap"] = due, self._far_tap
        arrived = arrived[due >= 0]
        self._notes.arrays += [rows, arrived]
        return (int(arrived["t_ns"].max()), len(arrived)) if len(arrived) else (0, 0)

    def follow(self, now_ns: int, link: int) -> None:
        """No address changes in this session."""

    def actuate(self, now_ns: int, message: Message) -> None:
        """The drive executes a command."""
        self._note((now_ns, -1, self._acted[message[0]], message[1]))

    def contact(self, now_ns: int, name: str, value: Any) -> None:
        """Something outside of the device shows a value."""
        self._world.event(Event(now_ns, self._side, "contact", name, value))

    def signal(self, now_ns: int, name: str, value: Any) -> None:
        """The device gives a signal that a witness of it sees."""
        self._world.event(Event(now_ns, self._side, "signal", name, value))

    def log(self, now_ns: int, name: str, value: Any) -> None:
        """The device says something of itself."""
        self._world.event(Event(now_ns, self._side, "log", name, value))


class AttackedPort(VirtualPort):
    """The port of one side in a session with attackers: they stand behind its tap.

    What a command says is kept here as well, where the operator's side sends it and where the
    drive executes it.
    """

    intact = False

    def __init__(self, world: World, side: Side) -> None:
        super().__init__(world, side)
        self._others = TAPS.index("third-party")
        self._watched = world.profile.stream(world.profile.watched).code
        self._sent: list[tuple[int, int]] = []
        self._executed: list[tuple[int, int]] = []

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """As the plain port does, past the attackers."""
        attacker = self._world.attacker
        assert attacker is not None
        if message.peer:
            self.carry(now_ns, link, message, (self._others,), attacker.receive)
            return
        stream, seq = message[0], message[1]
        row = (now_ns, self._tap, self._direction, link, stream, seq, self._size(message))
        self._notes.singles.append(row)
        if self._direction == 0 and stream == self._watched:
            self._sent.append((seq, message.value))
        acted = attacker.passing(now_ns, link, self._direction, message)
        if acted is None:
            self.carry(now_ns, link, message, (self._far_tap,), self._receive)
            return
        changed, held_ns = acted
        taps = (self._far_tap, self._others)
        self.at(now_ns + held_ns, lambda now: self.carry(now, link, changed, taps, self._receive))

    def carry(
        self, now_ns: int, link: int, message: Message, taps: tuple[int, ...],
        receive: Callable[[int, int, Message], None] | None = None,
    ) -> None:  # fmt: skip
        """Put a packet on the link; where it arrives, ``taps`` see it."""
        world, size = self._world, self._size(message)
        law = self._laws[link]
        due = law.offer(now_ns, size)
        for arrival in (due,) if law.ordinary else _arrivals(law, due):
            if arrival >= 0:
                self._notes.singles += [
                    (arrival, tap, self._direction, link, message.stream, message.seq, size)
                    for tap in taps
                ]
                call = receive or self._receive
                heappush(self._queue, (arrival, world.next_number(), call, link, message))

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """As the plain port does; attackers see it pass."""
        attacker = self._world.attacker
        assert attacker is not None
        attacker.passing(now_ns, link, self._direction, message, count)
        super().send_burst(now_ns, link, message, count)

    def actuate(self, now_ns: int, message: Message) -> None:
        """As the plain port does, and keep what the command says."""
        self._executed.append((message.seq, message.value))
        super().actuate(now_ns, message)

    def flush(self, now_ns: int) -> None:
        """Tell what commands said since the last time."""
        for name, kept in (("commands-sent", self._sent), ("commands-executed", self._executed)):
            if kept:
                self.contact(now_ns, name, [list(command) for command in kept])
                kept.clear()


class MovingPort(VirtualPort):
    """The port of one side in a session in which an address changes.

    Addresses are numbered, by link: ``own`` is this side's, ``known`` where it sends to. A packet
    arrives where its address is still the other side's when it comes there.

    ``astray``: packets that did not arrive for that, by link.
    """

    def __init__(self, world: World, side: Side) -> None:
        super().__init__(world, side)
        count = len(world.schedule.links)
        self.own, self.known, self.astray = [0] * count, [0] * count, [0] * count
        self._moved_ns = [-1] * count
        self._source = [0] * count

    @property
    def _peer(self) -> MovingPort:
        peer = self._world.ports[1 - self._direction]
        assert isinstance(peer, MovingPort)
        return peer

    def move(self, now_ns: int, link: int) -> None:
        """Give this side another address."""
        self.own[link] += 1
        self._moved_ns[link] = now_ns

    def follow(self, now_ns: int, link: int) -> None:
        """Send from now on to where the packet came from that arrives just now."""
        if self.known[link] != self._source[link]:
            self.known[link] = self._source[link]
            where = {"link": self._world.schedule.links[link]}
            self._world.event(Event(now_ns, self._side, "bench", READDRESSED, where))

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """As the plain port does, to the address that this side knows."""
        for arrival in self._put(now_ns, link, message, 1):
            self._later(arrival[0], self._arrive, link, message, [arrival], 1)

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """As the plain port does, to the address that this side knows."""
        arrivals = self._put(now_ns, link, message, count)
        if arrivals:
            last_ns = max(arrivals)[0]
            self._later(last_ns, self._arrive_burst, link, message, arrivals, count)

    def _put(self, now_ns: int, link: int, message: Message, count: int) -> list[tuple[int, int]]:
        """Put packets on the link: when each would arrive, with its number."""
        rows, law, size = self._notes.singles, self._laws[link], self._size(message)
        arrivals = []
        for seq in range(message.seq, message.seq + count):
            rows.append((now_ns, self._tap, self._direction, link, message.stream, seq, size))
            due = law.offer(now_ns, size)
            for arrival in (due,) if law.ordinary else _arrivals(law, due):
                if arrival >= 0:
                    arrivals.append((arrival, seq))
        return arrivals

    def _later(
        self, due_ns: int, arrive: Callable[..., None], link: int, message: Message,
        arrivals: list[tuple[int, int]], count: int,
    ) -> None:  # fmt: skip
        way = self.known[link], self.own[link]
        number = self._next_number()
        entry = (due_ns, number, arrive, link, message, way, arrivals, count)
        heappush(self._queue, entry)

    def _there(
        self, link: int, message: Message, way: tuple[int, int], arrivals: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Those that find the other side where they were sent to; its tap sees them."""
        peer, (to, source), size = self._peer, way, self._size(message)
        left_ns = peer._moved_ns[link] if to == peer.own[link] - 1 else -1
        there = [a for a in arrivals if to == peer.own[link] or a[0] < left_ns]
        self.astray[link] += len(arrivals) - len(there)
        self._notes.singles += [
            (t_ns, self._far_tap, self._direction, link, message.stream, seq, size)
            for t_ns, seq in there
        ]
        if there:
            peer._source[link] = source
        return there

    def _arrive(
        self, now_ns: int, link: int, message: Message, way: tuple[int, int],
        arrivals: list[tuple[int, int]], count: int,
    ) -> None:  # fmt: skip
        for _ in self._there(link, message, way, arrivals):
            self._receive(now_ns, link, message)

    def _arrive_burst(
        self, now_ns: int, link: int, message: Message, way: tuple[int, int],
        arrivals: list[tuple[int, int]], count: int,
    ) -> None:  # fmt: skip
        there = self._there(link, message, way, arrivals)
        if there:
            received = len({seq for _, seq in there})
            self._receive_burst(now_ns, link, message, received, count)


class AttackerPort:
    """The way of attackers onto the links."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.at = world.at

    def inject(self, now_ns: int, link: int, way: int, message: Message) -> None:
        """Put a packet of an attacker on the link."""
        port = self._world.ports[way]
        assert isinstance(port, AttackedPort)
        port.carry(now_ns, link, message, (TAPS.index("third-party"),))

    def note(self, now_ns: int, name: str, value: Any) -> None:
        """Tell of an attack."""
        self._world.event(Event(now_ns, "bench", "bench", name, value))
