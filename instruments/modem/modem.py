"""A cellular modem over a serial port: answers and unsolicited results kept apart.

Echo is on: only what follows the echo of a command can be its answer, so that an answer that comes
too late is never taken for the next command's. What comes unasked is an event with its own time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import serial

from bench.errors import InputError
from instruments.modem.parsing import (
    Registration,
    Sighting,
    is_registration_report,
    registration,
    serving_cells,
    signal_quality,
)
from instruments.visa.errors import (
    Broken,
    DeadlinePassed,
    InstrumentError,
    LinkLost,
    Reported,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.locks import ResourceLock
from instruments.visa.properties import Command, Verification
from instruments.visa.readings import Taint
from instruments.visa.resources import LONGEST_DEADLINE_S, Identity
from instruments.visa.transcript import Transcript

_AT = "3GPP TS 27.007"
_MOST_EVENTS = 100_000
_FINAL = ("OK", "ERROR", "+CME ERROR:", "+CMS ERROR:", "NO CARRIER", "BUSY", "NO ANSWER")
"""ITU-T V.250, 5.7.1; 3GPP TS 27.007, 9.2; TS 27.005, 3.2.5."""
_READ_S = 0.05
_RADIO_S = 15.0
"""Quectel EC2x&EG2x&EG9x&EM05 Series AT Commands Manual, AT+CFUN: maximum response time."""


@dataclass(frozen=True, slots=True)
class Event:
    """A line that came unasked, with the monotonic time of its end, ns."""

    t_ns: int
    line: str


class Modem:
    """A modem that speaks AT commands.

    Args:
        role: its role.
        port: the serial device.
        identity: who must answer.
        reply_s: deadline of one answer, s.
        transcript: where every byte goes.
        baud: bit/s.
        lock_folder: where lock files are.
        opener: opens the port, called as ``serial.Serial`` is.

    Attributes:
        events: what came unasked, in order.
        dropped: how many more there were than are kept; with any, the events are not all.
        sightings: the serving cells that were seen.
        taints: every answer that did not come in time.
    """

    family: ClassVar[str] = "modem"
    verified_on: ClassVar[tuple[Verification, ...]] = ()

    attention = Command("AT", "ITU-T V.250, 5.2.1 (command line prefix)")
    echo = Command("ATE1", "ITU-T V.250, 6.2.4 (E, command echo)")
    errors = Command("AT+CMEE=1", f"{_AT}, 9.1 (+CMEE)")
    lte_reports = Command("AT+CEREG=2", f"{_AT}, 10.1.22 (+CEREG)")
    nr_reports = Command("AT+C5GREG=2", f"{_AT}, 10.1.47 (+C5GREG)")
    lte_state = Command("AT+CEREG?", f"{_AT}, 10.1.22 (+CEREG)")
    radio_on = Command("AT+CFUN=1", f"{_AT}, 8.2 (+CFUN): full functionality")
    radio_off = Command("AT+CFUN=4", f"{_AT}, 8.2 (+CFUN): transmit and receive off")
    quality = Command("AT+CESQ", f"{_AT}, 8.69 (+CESQ)")
    serving = Command(
        'AT+QENG="servingcell"', "Quectel RG50xQ&RM5xxQ Series AT Commands Manual, AT+QENG"
    )
    who = (
        Command("AT+CGMI", f"{_AT}, 5.1 (+CGMI)"),
        Command("AT+CGMM", f"{_AT}, 5.2 (+CGMM)"),
        Command("AT+CGSN", f"{_AT}, 5.4 (+CGSN)"),
        Command("AT+CGMR", f"{_AT}, 5.3 (+CGMR)"),
    )

    def __init__(
        self,
        role: str,
        port: str,
        identity: Identity,
        reply_s: float,
        transcript: Transcript,
        *,
        baud: int = 115200,
        lock_folder: Path | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        opener: Callable[..., Any] = serial.Serial,
    ) -> None:
        """Raises: InputError: no deadline."""
        if not 0 < reply_s <= LONGEST_DEADLINE_S:
            raise InputError(
                "is no deadline",
                remedy=f"give more than 0 and at most {LONGEST_DEADLINE_S:g} s",
                field=f"instruments.{role}.reply_s",
                value=reply_s,
            )
        self.role, self._port, self._identity, self._reply_s = role, port, identity, reply_s
        self._transcript, self._baud, self._monotonic_ns = transcript, baud, monotonic_ns
        self._opener = opener
        self._lock = ResourceLock(role, str(Path(port).resolve()), folder=lock_folder)
        self._owner = threading.RLock()
        self._serial: Any = None
        self._reader: threading.Thread | None = None
        self._stop = threading.Event()
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._waiting: tuple[str, str] | None = None
        self._echoed = False
        self._broken = "is not open"
        self.identity = Identity("", "")
        self.events: list[Event] = []
        self.dropped = 0
        self.sightings: list[Sighting] = []
        self.taints: list[Taint] = []

    def __enter__(self) -> Self:
        """Open the port, verify who answers, and ask for reports of registration.

        Raises:
            Busy, Unreachable, WrongIdentity: it cannot be used; it is let go again.
        """
        self._lock.__enter__()
        try:
            self._open()
            self._prepare()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._reader is not None:
            self._reader.join(5)
            self._reader = None
        if self._serial is not None:
            self._serial.close()
            self._serial = None
            self._transcript.add(self.role, "close")
        self._broken = "is not open"
        self._lock.__exit__(kind, value, trace)

    def _open(self) -> None:
        try:
            self._serial = self._opener(
                self._port, self._baud, timeout=_READ_S, write_timeout=self._reply_s
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise Unreachable(self.role, f"cannot open {self._port} ({error})") from error
        self._transcript.add(self.role, "open")
        self._broken = ""
        self._stop.clear()
        self._reader = threading.Thread(target=self._read, name=f"modem {self.role}", daemon=True)
        self._reader.start()

    @classmethod
    def opening(cls) -> tuple[str, ...]:
        """What entering sends, for plans."""
        return tuple(
            one.text for one in (cls.echo, cls.errors, *cls.who, cls.lte_reports, cls.nr_reports)
        )

    def _prepare(self) -> None:
        try:
            self._exchange(self.echo.text, "", echo=False)
            self.command(self.errors.text)
            found = [self.command(one.text)[:1] for one in self.who]
        except (DeadlinePassed, LinkLost, Broken) as error:
            raise Unreachable(self.role, f"does not say who it is ({error.problem})") from error
        self.identity = Identity(*(one[0].strip('"') if one else "" for one in found))
        differs = self._identity.differs(self.identity)
        if differs:
            raise WrongIdentity(self.role, f"another modem answers: {differs}")
        self.command(self.lte_reports.text)
        with contextlib.suppress(Reported):  # an LTE modem has no +C5GREG
            self.command(self.nr_reports.text)

    # ---- reading -----------------------------------------------------------

    def _read(self) -> None:
        """The reader's thread: bytes to lines, lines to the waiting command or to events."""
        buffer = b""
        while not self._stop.is_set():
            try:
                chunk = self._serial.read(max(1, self._serial.in_waiting))
            except (serial.SerialException, OSError, TypeError):
                self._broken = "is broken: the port is gone"
                self._transcript.add(self.role, "lost", buffer)
                self._answers.put(None)
                return
            if not chunk:
                continue
            self._transcript.add(self.role, "rx", chunk)
            *lines, buffer = (buffer + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                if line.strip():
                    self._line(line.decode("latin-1").strip())

    def _line(self, line: str) -> None:
        waiting = self._waiting
        if waiting is None:
            self._event(line)
            return
        command, prefix = waiting
        if line == command:
            self._echoed = True
        elif self._echoed and (line.startswith(_FINAL) or _answers(line, prefix)):
            self._answers.put(line)
        else:
            self._event(line)

    def _event(self, line: str) -> None:
        if len(self.events) < _MOST_EVENTS:
            self.events.append(Event(self._monotonic_ns(), line))
        else:
            self.dropped += 1

    # ---- asking ------------------------------------------------------------

    def command(self, text: str, prefix: str = "", within_s: float | None = None) -> list[str]:
        """Send a command; the lines of its answer.

        Args:
            prefix: what these begin with; without one, lines that begin with no ``+``.
            within_s: another deadline, s.

        Raises:
            Reported: ERROR, or +CME ERROR with its number.
            DeadlinePassed: no final result in time. It is tainted, and in step again.
            Broken: it does not answer any more.
        """
        with self._owner:
            try:
                return self._exchange(text, prefix, within_s)
            except DeadlinePassed as error:
                self.taints.append(Taint(self.role, self._monotonic_ns(), text, error.problem))
                self._resynchronise(error)
                raise

    def _exchange(
        self, text: str, prefix: str, within_s: float | None = None, echo: bool = True
    ) -> list[str]:
        if self._broken:
            raise Broken(self.role, self._broken)
        while not self._answers.empty():
            self._answers.get_nowait()
        self._echoed = not echo
        self._waiting = (text, prefix)
        try:
            raw = f"{text}\r".encode("ascii")
            self._transcript.add(self.role, "tx", raw)
            self._serial.write(raw)
            return self._collected(text, self._reply_s if within_s is None else within_s)
        except (serial.SerialException, OSError) as error:
            self._broken = f"is broken: {error}"
            raise LinkLost(self.role, f"{text}: the port is gone") from error
        finally:
            self._waiting = None

    def _collected(self, text: str, within_s: float) -> list[str]:
        lines: list[str] = []
        deadline = time.monotonic() + within_s
        while True:
            try:
                line = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._transcript.add(self.role, "timeout")
                raise DeadlinePassed(
                    self.role, f"{text}: no answer within {within_s:g} s"
                ) from None
            if line is None:
                raise LinkLost(self.role, f"{text}: the port is gone")
            if line == "OK":
                return lines
            if line.startswith(_FINAL):
                raise Reported(self.role, f"after {text}", (line,))
            lines.append(line)

    def _resynchronise(self, cause: DeadlinePassed) -> None:
        """An empty command, echoed and answered, shows that nothing old is on its way."""
        try:
            for _ in range(2):
                self._exchange(self.attention.text, "")
        except InstrumentError as error:
            self._broken = f"is broken: {cause.problem}; then {error.problem}"
            raise Broken(self.role, self._broken) from error

    # ---- what it is for ----------------------------------------------------

    def signal(self) -> tuple[float | None, float | None]:
        """RSRP, dBm, and RSRQ, dB, of the LTE cell; None where it does not know."""
        lines = self.command(self.quality.text, "+CESQ:")
        return signal_quality(lines[0] if lines else "", self.role)

    def look(self) -> Sighting:
        """The serving cells now; kept in :attr:`sightings`. Quectel modems."""
        lines = self.command(self.serving.text, "+QENG:")
        seen = Sighting(self._monotonic_ns(), serving_cells(lines, self.role))
        self.sightings.append(seen)
        return seen

    def registered(self) -> Registration:
        """Its registration in LTE, as it answers."""
        lines = self.command(self.lte_state.text, "+CEREG:")
        return registration(lines[0] if lines else "", "+CEREG:", self.role)

    def set_radio(self, on: bool) -> None:
        """Its radio on or off; both make it report its registration, unasked."""
        self.command((self.radio_on if on else self.radio_off).text, within_s=_RADIO_S)

    def reports(self) -> list[tuple[int, Registration]]:
        """What it reported of its registration, unasked, with the time, ns."""
        return [
            (event.t_ns, registration(event.line, prefix, self.role))
            for event in list(self.events)
            for prefix in ("+CEREG:", "+C5GREG:")
            if event.line.startswith(prefix)
        ]


def _answers(line: str, prefix: str) -> bool:
    """Whether a line can be part of the answer that is waited for."""
    if not prefix:
        return not line.startswith(("+", "^", "RING", "RDY", "POWERED"))
    if prefix in ("+CEREG:", "+C5GREG:") and is_registration_report(line):
        return False
    return line.startswith(prefix)
