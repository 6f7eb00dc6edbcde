"""A laboratory of simulated instruments: made from a description, served by one event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.errors import InputError
from bench.network.radio.receivers import Reception, receive
from bench.network.radio.state import RadioState, joined
from bench.network.radio.world import World, arrivals
from instruments.simulators.faults import Fault, FaultPlan, Subject
from instruments.simulators.kinds import KINDS, kind_of, make
from instruments.simulators.place import Place
from instruments.simulators.server import Chatty, PtyServer, Served, TcpServer, Tell


@dataclass(frozen=True)
class Described:
    """One instrument of a laboratory, as asked for.

    Attributes:
        kind: a key of ``kinds.KINDS``.
        dialect: None: the kind's first.
        port: TCP port; 0: a free one.
        faults: that it has.
    """

    kind: str
    dialect: str | None = None
    port: int = 0
    faults: tuple[Fault, ...] = ()


def names(world: World, described: Mapping[str, Described]) -> set[str]:
    """All ports, emitters and receivers that there are."""
    ports = {
        f"{role}:{port}"
        for role, one in described.items()
        for names in KINDS[one.kind].ports.values()
        for port in names
    }
    return ports | set(world.emitters) | set(world.receivers)


def strangers(world: World, described: Mapping[str, Described]) -> list[str]:
    """Names in a world's paths and cells that nothing in the laboratory bears."""
    used: list[str] = list(world.cells)
    for path in world.paths:
        used += [path.source, path.receiver, *path.attenuators]
        used += [port for port, _ in path.switches]
    known = names(world, described)
    return sorted({name for name in used if name not in known})


@dataclass(frozen=True)
class Reachable:
    """How an instrument is reached.

    Attributes:
        kind: a key of ``kinds.KINDS``.
        resource: as VISA names it.
        url: for HTTP; None: it does not speak that.
    """

    kind: str
    resource: str
    url: str | None


class Lab:
    """Instruments in one world, without sockets yet.

    Args:
        described: the instruments by role.
        world: what couples them.
        strict: what an instrument does not understand ends the connection.
        tell: is told, as an event, what was refused.
        beside: what instruments that are not simulated do to the world.

    Raises:
        InputError: an instrument cannot be made.
    """

    def __init__(
        self,
        described: Mapping[str, Described],
        world: World | None = None,
        *,
        strict: bool = False,
        tell: Tell = lambda event: None,
        beside: Callable[[], RadioState] = RadioState,
    ) -> None:
        self.world = world or World()
        self._beside = beside
        self.instruments: dict[str, Subject] = {}
        self.served: dict[str, Served] = {}
        self._described = dict(described)
        for role, one in described.items():
            place = Place(role, self.world, self.state)
            instrument = make(one.kind, place, one.dialect, field=f"instruments.{role}.kind")
            self.instruments[role] = instrument
            if KINDS[one.kind].terminal and any(f.name == "refuse" for f in one.faults):
                raise InputError(
                    "refuses connections, and a terminal has none",
                    remedy="use mute",
                    field=f"faults of {role}",
                )
            wire = kind_of(one.kind).wire
            self.served[role] = Served(
                role, instrument, wire, FaultPlan(one.faults), strict=strict, tell=tell
            )

    def state(self) -> RadioState:
        """What all instruments do to the radio world now."""
        return joined([*(one.radio() for one in self.instruments.values()), self._beside()])

    def reception(self, receiver: str) -> Reception:
        """What a receiver makes of what arrives now.

        Raises:
            KeyError: no such receiver.
        """
        came = arrivals(self.world, self.state(), receiver)
        return receive(self.world.receivers[receiver], came)

    def servers(self, host: str = "127.0.0.1") -> dict[str, TcpServer | PtyServer]:
        """A bound socket or terminal for each instrument; none listens yet.

        Raises:
            InputError: a port is taken, or there is no right to it.
        """
        found: dict[str, TcpServer | PtyServer] = {}
        for role, served in self.served.items():
            one = self._described[role]
            try:
                if isinstance(served.instrument, Chatty):
                    found[role] = PtyServer(served, served.instrument)
                else:
                    found[role] = TcpServer(served, host, one.port)
            except OSError as error:
                for server in found.values():
                    server.close()
                raise InputError(
                    f"cannot listen ({error.strerror or error})",
                    remedy="give another port, or 0 for a free one",
                    field="port",
                    value=one.port,
                ) from error
        return found

    def reachable(self, servers: Mapping[str, TcpServer | PtyServer]) -> dict[str, Reachable]:
        """How each instrument is reached, by role."""
        found = {}
        for role, server in servers.items():
            kind = self._described[role].kind
            url = None
            if KINDS[kind].http and isinstance(server, TcpServer):
                url = f"http://127.0.0.1:{server.port}"
            found[role] = Reachable(kind, server.resource, url)
        return found


class RunningLab:
    """A laboratory served by a thread, as a context manager: for tests and for benches.

    Args:
        lab: the instruments.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.resources: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: dict[str, TcpServer | PtyServer] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        except BaseException:
            self._end()
            raise
        return self

    async def _start(self) -> None:
        self._servers = self.lab.servers()
        for server in self._servers.values():
            await server.start()
        for role, entry in self.lab.reachable(self._servers).items():
            self.resources[role] = entry.resource
            if entry.url is not None:
                self.urls[role] = entry.url

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        for server in self._servers.values():
            server.close()
        await asyncio.sleep(0)


async def serve_for_ever(lab: Lab, ready: Callable[[Mapping[str, Reachable]], None]) -> None:
    """Serve until cancelled; ``ready`` is told what ``Lab.reachable`` says once all listen."""
    servers = lab.servers()
    try:
        for server in servers.values():
            await server.start()
        ready(lab.reachable(servers))
        await asyncio.Event().wait()
    finally:
        for server in servers.values():
            server.close()
