"""The virtual bench: a discrete-event scheduler drives sans-I/O devices over modelled links.

Deterministic: one seed, one recording. Times are integer nanoseconds of a virtual clock that
starts at zero; nothing here reads a real clock.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.benches.attacker import THIRD_PARTY, Attacker
from bench.benches.base import Sink
from bench.benches.live import LiveView
from bench.devices import registry
from bench.devices.ports import Endpoint, Message, payload_bytes
from bench.devices.profile import HEADERS_BYTES, DeviceProfile
from bench.errors import InputError
from bench.network.addresses import READDRESSED, address_changes, moved_link
from bench.network.attacks import attack_of, attacks_of
from bench.network.impairment import DIRECTIONS
from bench.network.laws import FATES, DirectionLaw
from bench.network.scenario import Schedule, Side
from bench.sessions.exposing import exposure_events
from bench.sessions.packets import NO_LINK, ROW, TAPS, PacketTable, merge, packed
from bench.sessions.recording import AppliedChange, Event, Health, Recording, Session
from bench.units import NS_PER_S

UNDECLARED_BYTES = 242
"""Captured size of a packet of a stream that the profile does not name."""

_ARRAY_BURST = 24
_FLUSH_NS = NS_PER_S
_SHOW_NS = 5 * NS_PER_S


class VirtualBench:
    """Runs sessions on a virtual clock. Needs no privileges and leaves nothing behind."""

    name = "virtual"
    backend = "virtual link"

    @property
    def offers(self) -> frozenset[str]:
        """Nothing besides."""
        return frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def run(self, session: Session, sink: Sink) -> Recording:
        """Carry a session out; rows and events go to ``sink`` as they come."""
        world = _World(session, sink)
        world.run()
        return Recording(
            session_id=session.id,
            scenario=session.scenario.name,
            bench=self.name,
            backend=self.backend,
            device=session.device,
            schedule=world.schedule,
            packets=world.packets(),
            events=tuple(world.events),
            changes=world.changes(),
            health=world.health(),
        )


class _World:
    """One session: clock, event queue, links, both sides of the device, and the recorder."""

    def __init__(self, session: Session, sink: Sink) -> None:
        self.session = session
        self.sink = sink
        self.schedule: Schedule = session.schedule()
        self.profile: DeviceProfile = session.device
        self.now = 0
        self.queue: list[tuple[Any, ...]] = []
        self.count = 0
        self.events: list[Event] = []
        self.live = LiveView(session, self.schedule, _SHOW_NS)
        self.rows: list[tuple[int, int, int, int, int, int, int]] = []
        self.chunks: list[NDArray[np.void]] = []
        self.kept: list[NDArray[np.void]] = []
        self.laws = [
            [self._law(link, direction) for link in self.schedule.links] for direction in DIRECTIONS
        ]
        sizes = {stream.code: stream.frame_bytes for stream in self.profile.streams}
        self.sizes = [sizes.get(code, UNDECLARED_BYTES) for code in range(256)]
        attacks = attacks_of(self.schedule.actions)
        moves = address_changes(self.schedule.actions, self.schedule.links)
        if attacks and moves:
            raise InputError(
                "has attacks and a change of address",
                remedy="write a scenario for each",
                field="actions",
                value=moves[0][0].name,
            )
        kind = _AttackedPort if attacks else _MovingPort if moves else _VirtualPort
        doctor, patient = kind(self, "doctor"), kind(self, "patient")
        self.ports = (doctor, patient)
        self.attacker: Attacker | None = None
        if attacks:
            seed, links = session.seed_of_trial, self.schedule.links
            self.attacker = Attacker(self.profile, links, _AttackerPort(self), seed)
        self.sides: dict[Side, Endpoint] = {
            "doctor": registry.build(self.profile, "doctor", doctor),
            "patient": registry.build(self.profile, "patient", patient),
        }
        doctor.connect(self.sides["patient"])
        patient.connect(self.sides["doctor"])

    def _law(self, link: str, direction: Any) -> DirectionLaw:
        return DirectionLaw(
            self.schedule.of(link, direction),
            seed=self.session.seed_of_trial,
            name=f"{link}/{direction}",
        )

    def at(self, t_ns: int, call: Callable[[int], None]) -> None:
        self.count += 1
        heappush(self.queue, (t_ns, self.count, call))

    def event(self, event: Event) -> None:
        self.events.append(event)
        self.sink.event(event)

    def run(self) -> None:
        for endpoint in self.sides.values():
            endpoint.start(0)
        self._schedule_bench()
        queue, end = self.queue, self.schedule.end_ns
        while queue:
            entry = heappop(queue)
            now = entry[0]
            if now > end:
                break
            if len(entry) == 3:
                entry[2](now)
            else:
                entry[2](now, *entry[3:])
        self._flush(self.schedule.end_ns)

    def _schedule_bench(self) -> None:
        for window in self.schedule.windows:
            value = {"name": window.name, "role": window.role}
            step = Event(window.start_ns, "bench", "bench", "step", value)
            self.at(window.start_ns, lambda _, step=step: self.event(step))  # type: ignore[misc]
        for event in exposure_events(self.session, self.schedule):
            self.at(event.t_ns, lambda _, event=event: self.event(event))  # type: ignore[misc]
        for action in self.schedule.actions:
            self.at(action.t_ns, lambda now, a=action: self._act(now, a.side, a.name))  # type: ignore[misc]
        self.at(_FLUSH_NS, self._tick)

    def _act(self, now_ns: int, side: Side, name: str) -> None:
        attack = attack_of(name)
        if attack is not None and self.attacker is not None:
            self.attacker.begin(now_ns, attack)
            return
        self.event(Event(now_ns, side, "bench", "action", {"name": name}))
        link = moved_link(name)
        if link is None:
            self.sides[side].operate(now_ns, name)
            return
        port = self.ports[side == "patient"]
        assert isinstance(port, _MovingPort)
        port.move(now_ns, self.schedule.links.index(link))

    def _tick(self, now_ns: int) -> None:
        self._flush(now_ns)
        self.at(now_ns + _FLUSH_NS, self._tick)

    def _flush(self, now_ns: int) -> None:
        for port in self.ports:
            port.flush(now_ns)
        if self.rows:
            self.chunks.append(packed(self.rows))
            self.rows.clear()
        if self.chunks:
            part = np.concatenate(self.chunks)
            part = part[part["t_ns"] <= self.schedule.end_ns]
            self.chunks.clear()
            if len(part):
                self.kept.append(part)
                self.sink.packets(part)
                self.live.add(part)
        progress = self.live.progress(now_ns)
        if progress is not None:
            self.sink.progress(progress)

    def packets(self) -> PacketTable:
        return merge(self.kept)

    def changes(self) -> tuple[AppliedChange, ...]:
        return tuple(
            AppliedChange(c.t_ns, c.link, c.direction, c.impairment.describe(), c.t_ns, c.t_ns)
            for c in self.schedule.changes
        )

    def health(self) -> Health:
        counters = {}
        for index, direction in enumerate(DIRECTIONS):
            for link, law in zip(self.schedule.links, self.laws[index], strict=True):
                name = f"{link}/{direction}"
                counters[f"{name}/accepted"] = law.accepted
                for what in ("copies", "damaged", "skipped"):
                    counters[f"{name}/{what}"] = getattr(law, what)
                for fate, count in law.fates.items():
                    counters[f"{name}/{FATES[fate]}"] = count
        zero = {"p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}
        return Health(lateness_s=zero, counters=counters | self._astray(), notes=self._notes())

    def _astray(self) -> dict[str, int]:
        """Packets to an address that the other side had no more, by link and direction."""
        return {
            f"{link}/{DIRECTIONS[way]}/old_address": count
            for way, port in enumerate(self.ports)
            if isinstance(port, _MovingPort)
            for link, count in zip(self.schedule.links, port.astray, strict=True)
        }

    def _notes(self) -> tuple[str, ...]:
        if self.attacker is None:
            return ()
        return (THIRD_PARTY,)


def _arrivals(law: DirectionLaw, due_ns: int) -> tuple[int, ...]:
    """When the packet offered last arrives, and its copy; never where it arrives damaged.

    The receiver's checksum (UDP, TLS) throws a damaged packet away, and so do the taps.
    """
    if law.flips:
        due_ns = -1
    return (due_ns, law.copy_due)


class _VirtualPort:
    """The port of one side: its sends meet the links' laws, its rows the recorder.

    ``intact``: nobody alters what passes (:mod:`bench.devices.security`).
    """

    intact = True

    def __init__(self, world: _World, side: Side) -> None:
        self._world = world
        self._side = side
        self._direction = 1 if side == "patient" else 0
        self._tap = TAPS.index(side)
        self._far_tap = TAPS.index("patient" if side == "doctor" else "doctor")
        self._laws = world.laws[self._direction]
        self._sizes = world.sizes
        self._queue = world.queue
        self._actuator = TAPS.index("actuator")
        self.at = world.at

    def flush(self, now_ns: int) -> None:
        """Hand over what was kept back to be told together."""

    def connect(self, peer: Endpoint) -> None:
        self._receive = peer.receive
        self._receive_burst = peer.receive_burst

    def _size(self, message: Message) -> int:
        """Captured bytes of a packet that may be padded beyond its stream's size."""
        declared = self._sizes[message.stream]
        return payload_bytes(message, declared - HEADERS_BYTES) + HEADERS_BYTES

    def send(self, now_ns: int, link: int, message: Message) -> None:
        world = self._world
        stream, seq = message[0], message[1]
        size = self._sizes[stream] if message[4] is None else self._size(message)
        rows = world.rows
        rows.append((now_ns, self._tap, self._direction, link, stream, seq, size))
        law = self._laws[link]
        due = law.offer(now_ns, size)
        for arrival in (due,) if law.ordinary else _arrivals(law, due):
            if arrival >= 0:
                rows.append((arrival, self._far_tap, self._direction, link, stream, seq, size))
                world.count += 1
                heappush(self._queue, (arrival, world.count, self._receive, link, message))

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        size = self._sizes[message.stream]
        if count >= _ARRAY_BURST and self._laws[link].ordinary_at(now_ns):
            last, received = self._send_array(now_ns, link, message, count, size)
        else:
            last, received = self._send_each(now_ns, link, message, count, size)
        if received:
            world = self._world
            world.count += 1
            entry = (last, world.count, self._receive_burst, link, message, received, count)
            heappush(self._queue, entry)

    def _send_each(
        self, now_ns: int, link: int, message: Message, count: int, size: int
    ) -> tuple[int, int]:
        rows, law = self._world.rows, self._laws[link]
        stream, first = message.stream, message.seq
        last = received = 0
        for seq in range(first, first + count):
            rows.append((now_ns, self._tap, self._direction, link, stream, seq, size))
            due = law.offer(now_ns, size)
            arrivals = (due,) if law.ordinary else _arrivals(law, due)
            for arrival in arrivals:
                if arrival >= 0:
                    rows.append((arrival, self._far_tap, self._direction, link, stream, seq, size))
            if arrivals[0] >= 0:  # a second copy adds nothing to a burst
                received += 1
                last = max(last, arrivals[0])
        return last, received

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
        self._world.chunks += [rows, arrived]
        return (int(arrived["t_ns"].max()), len(arrived)) if len(arrived) else (0, 0)

    def follow(self, now_ns: int, link: int) -> None:
        """No address changes in this session."""

    def actuate(self, now_ns: int, message: Message) -> None:
        row = (now_ns, self._actuator, 0, NO_LINK, message[0], message[1], 0)
        self._world.rows.append(row)

    def contact(self, now_ns: int, name: str, value: Any) -> None:
        self._world.event(Event(now_ns, self._side, "contact", name, value))

    def signal(self, now_ns: int, name: str, value: Any) -> None:
        self._world.event(Event(now_ns, self._side, "signal", name, value))

    def log(self, now_ns: int, name: str, value: Any) -> None:
        self._world.event(Event(now_ns, self._side, "log", name, value))


class _AttackedPort(_VirtualPort):
    """The port of one side in a session with attackers: they stand behind its tap.

    What a command says is kept here as well, where the operator's side sends it and where the
    drive executes it.
    """

    intact = False

    def __init__(self, world: _World, side: Side) -> None:
        super().__init__(world, side)
        self._others = TAPS.index("third-party")
        self._watched = world.profile.stream(world.profile.watched).code
        self._sent: list[tuple[int, int]] = []
        self._executed: list[tuple[int, int]] = []

    def send(self, now_ns: int, link: int, message: Message) -> None:
        attacker = self._world.attacker
        assert attacker is not None
        if message.peer:
            self.carry(now_ns, link, message, (self._others,), attacker.receive)
            return
        stream, seq = message[0], message[1]
        row = (now_ns, self._tap, self._direction, link, stream, seq, self._size(message))
        self._world.rows.append(row)
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
                world.rows += [
                    (arrival, tap, self._direction, link, message.stream, message.seq, size)
                    for tap in taps
                ]
                world.count += 1
                call = receive or self._receive
                heappush(self._queue, (arrival, world.count, call, link, message))

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        attacker = self._world.attacker
        assert attacker is not None
        attacker.passing(now_ns, link, self._direction, message, count)
        super().send_burst(now_ns, link, message, count)

    def actuate(self, now_ns: int, message: Message) -> None:
        self._executed.append((message.seq, message.value))
        super().actuate(now_ns, message)

    def flush(self, now_ns: int) -> None:
        for name, kept in (("commands-sent", self._sent), ("commands-executed", self._executed)):
            if kept:
                self.contact(now_ns, name, [list(command) for command in kept])
                kept.clear()


class _MovingPort(_VirtualPort):
    """The port of one side in a session in which an address changes.

    Addresses are numbered, by link: ``own`` is this side's, ``known`` where it sends to. A packet
    arrives where its address is still the other side's when it comes there.

    ``astray``: packets that did not arrive for that, by link.
    """

    def __init__(self, world: _World, side: Side) -> None:
        super().__init__(world, side)
        count = len(world.schedule.links)
        self.own, self.known, self.astray = [0] * count, [0] * count, [0] * count
        self._moved_ns = [-1] * count
        self._source = [0] * count

    @property
    def _peer(self) -> _MovingPort:
        peer = self._world.ports[1 - self._direction]
        assert isinstance(peer, _MovingPort)
        return peer

    def move(self, now_ns: int, link: int) -> None:
        """Give this side another address."""
        self.own[link] += 1
        self._moved_ns[link] = now_ns

    def follow(self, now_ns: int, link: int) -> None:
        if self.known[link] != self._source[link]:
            self.known[link] = self._source[link]
            where = {"link": self._world.schedule.links[link]}
            self._world.event(Event(now_ns, self._side, "bench", READDRESSED, where))

    def send(self, now_ns: int, link: int, message: Message) -> None:
        for arrival in self._put(now_ns, link, message, 1):
            self._later(arrival[0], self._arrive, link, message, [arrival], 1)

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        arrivals = self._put(now_ns, link, message, count)
        if arrivals:
            last_ns = max(arrivals)[0]
            self._later(last_ns, self._arrive_burst, link, message, arrivals, count)

    def _put(self, now_ns: int, link: int, message: Message, count: int) -> list[tuple[int, int]]:
        """Put packets on the link: when each would arrive, with its number."""
        rows, law, size = self._world.rows, self._laws[link], self._size(message)
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
        self._world.count += 1
        entry = (due_ns, self._world.count, arrive, link, message, way, arrivals, count)
        heappush(self._queue, entry)

    def _there(
        self, link: int, message: Message, way: tuple[int, int], arrivals: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Those that find the other side where they were sent to; its tap sees them."""
        peer, (to, source), size = self._peer, way, self._size(message)
        left_ns = peer._moved_ns[link] if to == peer.own[link] - 1 else -1
        there = [a for a in arrivals if to == peer.own[link] or a[0] < left_ns]
        self.astray[link] += len(arrivals) - len(there)
        self._world.rows += [
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


class _AttackerPort:
    """The way of attackers onto the links."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self.at = world.at

    def inject(self, now_ns: int, link: int, way: int, message: Message) -> None:
        port = self._world.ports[way]
        assert isinstance(port, _AttackedPort)
        port.carry(now_ns, link, message, (TAPS.index("third-party"),))

    def note(self, now_ns: int, name: str, value: Any) -> None:
        self._world.event(Event(now_ns, "bench", "bench", name, value))
