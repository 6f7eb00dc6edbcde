"""The main process's part of a session: takes reports as they come, and makes the recording."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.benches.base import BenchError, Sink
from bench.benches.live import LiveView
from bench.benches.local.channel import Incoming, Receiver, Sender
from bench.benches.local.conductor import Conductor
from bench.benches.local.summary import applied_changes, health
from bench.network.impairment import Direction, Impairment
from bench.network.scenario import Schedule
from bench.sessions.codec import to_json
from bench.sessions.exposing import exposure_events
from bench.sessions.packets import NO_LINK, ROW, TAPS, merge
from bench.sessions.recording import Event, Recording, Session
from bench.units import NS_PER_S

_START_WITHIN_S = 10.0
_GRACE_S = 5.0
_LAST_WORDS_S = 1.0
_LOOK_S = 0.1
_READ_BYTES = 1 << 18


class HostLink(Protocol):
    """The host process, as the collector sees it."""

    control: socket.socket

    def read(self) -> list[dict[str, Any]]:
        """What it says next. Raises ``BenchError`` when it is gone."""

    def last_words(self) -> str:
        """What it wrote to its standard error."""


class Collector:
    """One session from request to recording.

    Args:
        session: what is carried out.
        sink: where everything goes as it comes.
        host: the host process that was asked.
        channels: this end of the channel to every process of the session, by name.
        backend: what emulates the links.
        conductor: commands changes while the session runs; when it did is told at the end.
        bench: as the recording says.
    """

    def __init__(
        self,
        session: Session,
        sink: Sink,
        host: HostLink,
        channels: Mapping[str, socket.socket],
        backend: str,
        conductor: Conductor | None = None,
        bench: str = "local",
    ) -> None:
        self._bench = bench
        self._conductor = conductor
        self._orders = Sender(channels["emulator"]) if conductor is not None else None
        self._session = session
        self._schedule: Schedule = session.schedule()
        self._sink = sink
        self._host = host
        self._backend = backend
        self._receivers = {name: Receiver() for name in channels}
        self._done: dict[str, dict[str, Any]] = {}
        self._ready: dict[str, int] = {}
        self._rows: list[NDArray[np.void]] = []
        self._events: list[Event] = []
        self._notes: list[str] = []
        self._steps = list(self._schedule.windows)
        self._exposures = list(exposure_events(session, self._schedule))
        self._live = LiveView(session, self._schedule)
        self._t0_ns: int | None = None
        self._ended = False
        self._died: tuple[str, int, float] | None = None
        self._selector = selectors.DefaultSelector()
        for name, sock in channels.items():
            self._selector.register(sock, selectors.EVENT_READ, name)
        self._selector.register(host.control, selectors.EVENT_READ, None)

    @property
    def t0_ns(self) -> int:
        """The session's start, CLOCK_MONOTONIC; once it has started."""
        assert self._t0_ns is not None, "it has not started"
        return self._t0_ns

    def run(self) -> Recording:
        """Wait for everything, with a deadline.

        Raises:
            BenchError: a process failed, or the session did not start or end in time.
            OSError: a capture file could not be written.
        """
        with self._selector:
            began = time.monotonic()
            while not (self._ended and len(self._done) == len(self._receivers)):
                for key, _ in self._selector.select(_LOOK_S):
                    if key.data is None:
                        for said in self._host.read():
                            self._from_host(said)
                    else:
                        self._from_channel(key.data, key.fileobj)  # type: ignore[arg-type]
                self._tick()
                self._check(began)
        return self._recording()

    def _from_host(self, said: dict[str, Any]) -> None:
        if "started" in said:
            self._t0_ns = int(said["started"])
            if self._conductor is not None:
                self._conductor.begin(self._t0_ns, self._order)
        elif "notes" in said:
            self._notes += said["notes"]
        elif "died" in said:
            self._died = (said["died"], said["status"], time.monotonic())
        elif "ended" in said:
            self._ended = True
        elif "error" in said:
            raise BenchError(f"the session could not be set up\n{said['error']}")

    def _from_channel(self, name: str, sock: socket.socket) -> None:
        data = sock.recv(_READ_BYTES)
        if not data:
            self._selector.unregister(sock)
            return
        for message in self._receivers[name].feed(data):
            self._take(name, message)

    def _take(self, name: str, message: Incoming) -> None:
        data, blob = message
        if "error" in data:
            if name == "tap" and data.get("errno") is not None:
                raise OSError(data["errno"], f"capture file: {os.strerror(data['errno'])}")
            raise BenchError(f"the {name} process failed\n{data['error']}")
        if "rows" in data:
            self._packets(np.frombuffer(blob, dtype=ROW))
        if "executed" in data:
            self._packets(_actuator_rows(data["executed"]))
        side = "bench" if name == "attacker" else name
        for t_ns, origin, event, value in data.get("events", ()):
            self._event(Event(t_ns, side, origin, event, value))  # type: ignore[arg-type]
        if "ready" in data:
            self._ready[name] = data["ready"]
        if "done" in data:
            self._done[name] = data["done"]

    def _order(self, link: str, direction: Direction, at_ns: int, state: Impairment) -> None:
        """Called by the conductor's thread, the only one that writes to the emulator."""
        assert self._orders is not None
        self._orders.send({"change": [link, direction, at_ns, to_json(state)]})

    def _packets(self, rows: NDArray[np.void]) -> None:
        rows = rows[(rows["t_ns"] >= 0) & (rows["t_ns"] <= self._schedule.end_ns)]
        if len(rows):
            self._rows.append(rows)
            self._live.add(rows)
            self._sink.packets(rows)

    def _event(self, event: Event) -> None:
        self._events.append(event)
        self._sink.event(event)

    def _tick(self) -> None:
        """Steps as they begin, and the live display."""
        if self._t0_ns is None:
            return
        now_ns = time.monotonic_ns() - self._t0_ns
        if self._conductor is None:
            self._tell_until(now_ns)
        progress = self._live.progress(now_ns)
        if progress is not None:
            self._sink.progress(progress)

    def _tell_until(self, now_ns: int) -> None:
        while self._steps and self._steps[0].start_ns <= now_ns:
            step = self._steps.pop(0)
            value = {"name": step.name, "role": step.role}
            self._event(Event(step.start_ns, "bench", "bench", "step", value))
        while self._exposures and self._exposures[0].t_ns <= now_ns:
            self._event(self._exposures.pop(0))

    def _check(self, began: float) -> None:
        now = time.monotonic()
        if self._conductor is not None and self._conductor.problem:
            raise BenchError(self._conductor.problem)
        if self._died is not None and now - self._died[2] > _LAST_WORDS_S:
            name, status, _ = self._died
            how = f"signal {-status}" if status < 0 else f"status {status}"
            raise BenchError(f"the {name} process ended with {how}\n{self._host.last_words()}")
        if self._t0_ns is None:
            within_s = _START_WITHIN_S * (1 + ("attacker" in self._receivers))
            if now - began > within_s:
                raise BenchError(f"the session did not start within {within_s:g} s")
            return
        late = [name for name, ready in self._ready.items() if ready > self._t0_ns]
        if late:
            raise BenchError(f"{', '.join(late)} not ready at the session's start: host too busy")
        since_s = now - self._t0_ns / NS_PER_S
        missing = sorted(set(self._receivers) - set(self._ready))
        if missing and since_s > _LAST_WORDS_S and self._died is None:
            raise BenchError(f"{', '.join(missing)} not ready at the session's start")
        if since_s > self._schedule.end_ns / NS_PER_S + _GRACE_S:
            waiting = sorted(set(self._receivers) - set(self._done)) or ["host"]
            raise BenchError(f"the session did not end: no report from {', '.join(waiting)}")

    def _recording(self) -> Recording:
        if self._conductor is not None:
            self._session, self._schedule = self._conductor.end()
            self._steps = list(self._schedule.windows)
            self._exposures = list(exposure_events(self._session, self._schedule))
            self._tell_until(self._schedule.end_ns)
        # Stable: what one side says about one instant stays in the order in which it said it.
        events = sorted(self._events, key=lambda event: (event.t_ns, event.side))
        known = health(self._done)
        return Recording(
            session_id=self._session.id,
            scenario=self._session.scenario.name,
            bench=self._bench,
            backend=self._backend,
            device=self._session.device,
            schedule=self._schedule,
            packets=merge(self._rows),
            events=tuple(events),
            changes=applied_changes(self._schedule, self._done["emulator"]),
            health=replace(known, notes=(*known.notes, *self._notes)),
        )


def _actuator_rows(executed: list[tuple[int, int, int]]) -> NDArray[np.void]:
    actuator = TAPS.index("actuator")
    rows = [(t_ns, actuator, 0, NO_LINK, stream, seq, 0) for t_ns, stream, seq in executed]
    return np.array(rows, dtype=ROW)
