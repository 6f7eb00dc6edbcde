"""The adapter for a real device's alarms over TCP, from the device or from a sensor.

::

    [device]
    alarms = "127.0.0.1:4010"       # where the bench listens
    side = "patient"
    witness = "self-reported"       # "independent": a light or sound sensor sends them
    protocol = "json-lines"         # "hl7": ORU^R40 over MLLP (:mod:`bench.benches.lab.alarms_hl7`)
    events = { MDC_EVT_COMM_ERR = "network-interrupted" }   # hl7: the profile's name of an event

A line of JSON is ``{"alarm": NAME, "priority": "high", "on": true}``. It counts when it arrives.
Silence is evidence only while somebody is connected: a session without a connection from its start
to its end is the bench's own error, and so is what cannot be read.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from bench.benches.base import BenchError
from bench.benches.lab.alarms_hl7 import Hl7Reader
from bench.errors import InputError
from bench.network.scenario import Side
from bench.sessions.recording import Event
from bench.tables import Table

PRIORITIES = ("high", "medium", "low")
_LONGEST_LINE = 1 << 16
_LOOK_S = 0.1
_MOST = 100_000

_ANSWER_S = 1.0
PROTOCOLS = ("json-lines", "hl7")

Witness = Literal["self-reported", "independent"]


@dataclass(frozen=True, slots=True)
class AlarmSource:
    """Where alarms come from; see the module."""

    host: str
    port: int
    side: Side
    witness: Witness
    protocol: str = PROTOCOLS[0]
    events: Mapping[str, str] = field(default_factory=dict)


def alarm_source(table: Table) -> AlarmSource:
    """The ``[device]`` table.

    Raises:
        InputError: it says what cannot be.
    """
    table.only(("alarms", "side", "witness"), ("protocol", "events"))
    host, _, port = table.text("alarms").rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        table.fail("alarms", "is no address", 'write it like "127.0.0.1:4010"')
    side = table.choice("side", ("patient", "doctor"))
    witness = table.choice("witness", ("self-reported", "independent"))
    protocol = table.choice("protocol", PROTOCOLS, PROTOCOLS[0])
    events = table.table("events")
    if events.data and protocol != "hl7":
        table.fail("events", "are those of HL7", 'give protocol = "hl7", or leave them out')
    return AlarmSource(
        host,
        int(port),
        "patient" if side == "patient" else "doctor",
        "independent" if witness == "independent" else "self-reported",
        protocol,
        {code: events.text(code) for code in events.data},
    )


class _Reader(Protocol):
    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any] | str, bytes]]:
        """Alarms, or why one cannot be read; each with what to answer. ValueError: give up."""


class _Lines:
    """Cuts a connection's bytes into lines of JSON; nothing is answered."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any] | str, bytes]]:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield _wrong(line) or json.loads(line), b""
        if len(self._buffer) > _LONGEST_LINE:
            raise ValueError("a line without an end")


@dataclass
class _Client:
    sock: socket.socket
    reader: _Reader


class Alarms:
    """Listens from entering to leaving, in a thread of its own.

    Args:
        source: where, and whose.

    Attributes:
        port: where it listens (0 was asked for: another).
    """

    def __init__(self, source: AlarmSource) -> None:
        self._source = source
        self.port = source.port
        self._came: list[tuple[int, Any]] = []
        self._problems: list[tuple[int, str]] = []
        self._connected: list[tuple[int, int]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            InputError: the address cannot be had.
        """
        source = self._source
        try:
            server = socket.create_server((source.host, source.port))
        except OSError as error:
            raise InputError(
                f"cannot listen there ({error.strerror or error})",
                remedy="give another address of this host",
                field="device.alarms",
                value=f"{source.host}:{source.port}",
            ) from error
        self.port = int(server.getsockname()[1])
        self._selector.register(server, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def events(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        """The alarms of a session.

        Args:
            t0_ns: its start, CLOCK_MONOTONIC.
            end_ns: its length.

        Raises:
            BenchError: nobody was connected all the time, or a line could not be read.
        """
        until_ns = t0_ns + end_ns
        for t_ns, problem in self._problems:
            if t0_ns <= t_ns <= until_ns:
                raise BenchError(f"the device's alarms cannot be read: {problem}")
        count, least = 0, 0
        for t_ns, change in self._connected:
            count += change
            least = count if t_ns <= t0_ns else min(least, count) if t_ns <= until_ns else least
        if least < 1:
            raise BenchError("the device's alarms were not connected for the whole session")
        origin: Literal["signal", "log"] = (
            "signal" if self._source.witness == "independent" else "log"
        )
        return tuple(
            Event(t_ns, self._source.side, origin, "alarm-signal", value)
            for t_ns, value in _changes(self._came, t0_ns, until_ns)
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                if key.data is None:
                    assert isinstance(key.fileobj, socket.socket)
                    sock, _ = key.fileobj.accept()
                    sock.settimeout(_ANSWER_S)
                    self._selector.register(sock, selectors.EVENT_READ, self._client(sock))
                    self._connected.append((time.monotonic_ns(), 1))
                else:
                    self._read(key.data)

    def _client(self, sock: socket.socket) -> _Client:
        hl7 = self._source.protocol == "hl7"
        return _Client(sock, Hl7Reader(self._source.events) if hl7 else _Lines())

    def _read(self, client: _Client) -> None:
        now, gone = time.monotonic_ns(), False
        try:
            data = client.sock.recv(_LONGEST_LINE)
            now, gone = time.monotonic_ns(), not data
            for came, answer in client.reader.feed(data):
                self._take(now, came)
                client.sock.sendall(answer)
        except OSError:
            gone = True
        except ValueError as error:
            self._problems.append((now, str(error)))
            gone = True
        if gone:
            self._selector.unregister(client.sock)
            client.sock.close()
            self._connected.append((now, -1))

    def _take(self, now_ns: int, came: dict[str, Any] | str) -> None:
        problem = "too many alarms" if len(self._came) >= _MOST else came
        if isinstance(problem, str):
            self._problems.append((now_ns, problem))
            return
        self._came.append((now_ns, problem))


def _changes(
    came: Sequence[tuple[int, dict[str, Any]]], t0_ns: int, until_ns: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What changed in a time, from its start; what was on when it began is told at 0.

    A device may tell again and again that an alarm goes on: that is no other signal.
    """
    known = {value["alarm"]: value for t_ns, value in came if t_ns < t0_ns}
    yield from [(0, value) for value in known.values() if value["on"]]
    for t_ns, value in came:
        if t0_ns <= t_ns <= until_ns and known.get(value["alarm"]) != value:
            known[value["alarm"]] = value
            yield t_ns - t0_ns, value


def _wrong(line: bytes) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return f"{line[:80]!r} is not JSON"
    if not isinstance(value, dict) or set(value) != {"alarm", "priority", "on"}:
        return f"{line[:80]!r} has not the keys alarm, priority, on"
    good = isinstance(value["alarm"], str) and isinstance(value["on"], bool)
    return "" if good and value["priority"] in PRIORITIES else f"{line[:80]!r} says what cannot be"
