"""The virtual bench: a discrete-event scheduler drives sans-I/O devices over modelled links.

Deterministic: one seed, one recording. Times are integer nanoseconds of a virtual clock that
starts at zero; nothing here reads a real clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from heapq import heappop, heappush
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.benches.attacker import THIRD_PARTY, Attacker
from bench.benches.base import Sink
from bench.benches.live import LiveView
from bench.benches.virtual_ports import AttackedPort, AttackerPort, MovingPort, VirtualPort
from bench.benches.virtual_rows import RowNotes
from bench.devices import registry
from bench.devices.ports import Endpoint
from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.network.addresses import address_changes, moved_link
from bench.network.attacks import attack_of, attacks_of
from bench.network.impairment import DIRECTIONS
from bench.network.laws import FATES, DirectionLaw
from bench.network.scenario import Schedule, Side
from bench.sessions.exposing import exposure_events
from bench.sessions.packets import PacketTable, joined
from bench.sessions.recording import AppliedChange, Event, Health, Recording, Session
from bench.units import NS_PER_S

UNDECLARED_BYTES = 242
"""Captured size of a packet of a stream that the profile does not name."""

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
        world = World(session, sink)
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


def _timers(
    queue: list[tuple[Any, ...]], next_number: Callable[[], int]
) -> Callable[[int, Callable[[int], None]], None]:
    """What enters timers into the queue, as :meth:`bench.devices.ports.Port.at`."""

    def at(t_ns: int, call: Callable[[int], None]) -> None:
        heappush(queue, (t_ns, next_number(), call))

    return at


class World:
    """One session: clock, event queue, links, both sides of the device, and the recorder."""

    def __init__(self, session: Session, sink: Sink) -> None:
        self.session = session
        self.sink = sink
        self.schedule: Schedule = session.schedule()
        self.profile: DeviceProfile = session.device
        self.now = 0
        self.queue: list[tuple[Any, ...]] = []
        self.next_number = itertools.count(1).__next__
        self.at = _timers(self.queue, self.next_number)
        self.events: list[Event] = []
        self.live = LiveView(session, self.schedule, _SHOW_NS)
        self.notes = RowNotes()
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
        kind = AttackedPort if attacks else MovingPort if moves else VirtualPort
        doctor, patient = kind(self, "doctor"), kind(self, "patient")
        self.ports = (doctor, patient)
        self.attacker: Attacker | None = None
        if attacks:
            seed, links = session.seed_of_trial, self.schedule.links
            self.attacker = Attacker(self.profile, links, AttackerPort(self), seed)
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

    def event(self, event: Event) -> None:
        """Record an event and tell it."""
        self.events.append(event)
        self.sink.event(event)

    def run(self) -> None:
        """Carry out everything that is due until the session ends."""
        for endpoint in self.sides.values():
            endpoint.start(0)
        self._schedule_bench()
        queue, end = self.queue, self.schedule.end_ns
        while queue:
            entry = heappop(queue)
            if entry[0] > end:
                break
            if len(entry) == 5:  # the usual ones without an intermediate tuple
                now, _, call, link, message = entry
                call(now, link, message)
            elif len(entry) == 3:
                now, _, call = entry
                call(now)
            else:
                now, _, call, *arguments = entry
                call(now, *arguments)
        self._flush(end, end + 1)

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
        assert isinstance(port, MovingPort)
        port.move(now_ns, self.schedule.links.index(link))

    def _tick(self, now_ns: int) -> None:
        self._flush(now_ns, now_ns)
        self.at(now_ns + _FLUSH_NS, self._tick)

    def _flush(self, now_ns: int, until_ns: int) -> None:
        for port in self.ports:
            port.flush(now_ns)
        part = self.notes.take(until_ns)
        if len(part):
            self.kept.append(part)
            self.sink.packets(part)
            self.live.add(part)
        progress = self.live.progress(now_ns)
        if progress is not None:
            self.sink.progress(progress)

    def packets(self) -> PacketTable:
        """All rows, in order of time."""
        return joined(self.kept)

    def changes(self) -> tuple[AppliedChange, ...]:
        """Every change of a link; here each takes effect when it is due."""
        return tuple(
            AppliedChange(c.t_ns, c.link, c.direction, c.impairment.describe(), c.t_ns, c.t_ns)
            for c in self.schedule.changes
        )

    def health(self) -> Health:
        """The bench's own work: what the links did with the packets."""
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
            if isinstance(port, MovingPort)
            for link, count in zip(self.schedule.links, port.astray, strict=True)
        }

    def _notes(self) -> tuple[str, ...]:
        if self.attacker is None:
            return ()
        return (THIRD_PARTY,)
