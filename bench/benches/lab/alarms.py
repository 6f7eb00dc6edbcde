"""The adapter for a real device's alarms, from the device or from a sensor; here: over TCP.

::

    [device]
    alarms = "127.0.0.1:4010"       # where the bench listens
    side = "patient"
    witness = "self-reported"       # "independent": a light or sound sensor sends them
    protocol = "json-lines"         # "hl7": ORU^R40 over MLLP (:mod:`bench.benches.lab.alarms_hl7`)
    events = { MDC_EVT_COMM_ERR = "network-interrupted" }   # hl7: the profile's name of an event

A line of JSON is ``{"alarm": NAME, "priority": "high", "on": true}``. It counts when it arrives.
Silence is evidence only while somebody is connected: a session without a connection from its start
to its end is the bench's own error, and so is what cannot be read. Over a serial port
(``protocol = "serial-lines"``, ``alarms = "/dev/ttyUSB0"``) the file declares the form of a line:
:mod:`bench.benches.lab.alarms_serial`.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from bench.benches.lab.alarms_hl7 import Hl7Reader
from bench.benches.lab.alarms_serial import SerialAlarms
from bench.benches.lab.heard import PROTOCOLS, AlarmSource, Heard
from bench.benches.lab.lines import PRIORITIES, line_form
from bench.errors import InputError
from bench.tables import Table

_LONGEST_LINE = 1 << 16
_LOOK_S = 0.1
_ANSWER_S = 1.0


def alarm_source(table: Table) -> AlarmSource:
    """The ``[device]`` table.

    Raises:
        InputError: it says what cannot be.
    """
    table.only(("alarms", "side", "witness"), ("protocol", "events", "line"))
    protocol = table.choice("protocol", PROTOCOLS, PROTOCOLS[0])
    host, port = _address(table) if protocol != "serial-lines" else (table.text("alarms"), 0)
    side = table.choice("side", ("patient", "doctor"))
    witness = table.choice("witness", ("self-reported", "independent"))
    events = table.table("events")
    if events.data and protocol == "json-lines":
        table.fail("events", "are those of HL7", 'give protocol = "hl7", or leave them out')
    if ("line" in table.data) != (protocol == "serial-lines"):
        table.fail("line", 'belongs to protocol = "serial-lines"', "give both, or neither")
    return AlarmSource(
        host,
        port,
        "patient" if side == "patient" else "doctor",
        "independent" if witness == "independent" else "self-reported",
        protocol,
        {code: events.text(code) for code in events.data},
        line_form(table.table("line")) if "line" in table.data else None,
    )


def _address(table: Table) -> tuple[str, int]:
    host, _, port = table.text("alarms").rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        table.fail("alarms", "is no address", 'write it like "127.0.0.1:4010"')
    return host, int(port)


def listening(source: AlarmSource) -> Alarms | SerialAlarms:
    """What hears these alarms, to be entered."""
    return SerialAlarms(source) if source.protocol == "serial-lines" else Alarms(source)


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


class Alarms(Heard):
    """Listens from entering to leaving, in a thread of its own.

    Args:
        source: where, and whose.

    Attributes:
        port: where it listens (0 was asked for: another).
    """

    def __init__(self, source: AlarmSource) -> None:
        super().__init__(source)
        self.port = source.port
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
                self.take(now, came)
                client.sock.sendall(answer)
        except OSError:
            gone = True
        except ValueError as error:
            self.take(now, str(error))
            gone = True
        if gone:
            self._selector.unregister(client.sock)
            client.sock.close()
            self._connected.append((now, -1))


def _wrong(line: bytes) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return f"{line[:80]!r} is not JSON"
    if not isinstance(value, dict) or set(value) != {"alarm", "priority", "on"}:
        return f"{line[:80]!r} has not the keys alarm, priority, on"
    good = isinstance(value["alarm"], str) and isinstance(value["on"], bool)
    return "" if good and value["priority"] in PRIORITIES else f"{line[:80]!r} says what cannot be"
