"""Faults that a simulated instrument has on purpose: one table, and the plan of one instrument."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from bench.errors import InputError
from bench.network.radio.state import RadioState
from bench.units import duration_s
from instruments.simulators.outcome import NOTHING, Outcome, Strikes


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        takes: what its value is: ``time``, ``number``, ``error``, ``text``; empty: it has none.
        default: the value where none is given; None: it must be given.
        on: which messages it strikes where no command is named: ``query``, ``measurement``
            (queries but for those of the status), ``message`` (any), ``identity``, ``opc``,
            ``start``.
        meaning: for people.
    """

    takes: str
    default: str | None
    on: str
    meaning: str


FAULTS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "delay": FaultKind("time", None, "query", "the response comes so much later"),
        "late": FaultKind(
            "time",
            "",
            "query",
            "the response comes after that time, while others are answered; without a time: "
            "just before the response to the next message",
        ),
        "half": FaultKind("", "", "query", "half of the response, without its terminator"),
        "mute": FaultKind("", "", "query", "carried out, but no response ever"),
        "drop": FaultKind("", "", "message", "the connection closes, nothing is carried out"),
        "refuse": FaultKind(
            "time",
            "",
            "start",
            "connections are closed and refused for that time; without a time: for good",
        ),
        "reboot": FaultKind(
            "time",
            "0.2s",
            "message",
            "all settings go to their power-on values, connections close and are refused so long",
        ),
        "stuck": FaultKind("", "", "opc", "*OPC? is never answered"),
        "error": FaultKind(
            "error", "-310", "message", "after it was carried out, this error is in the queue"
        ),
        "identity": FaultKind(
            "text", "Another,Instrument,0,0", "identity", "identifies itself as another"
        ),
        "drift": FaultKind(
            "number",
            None,
            "message",
            "with each message what is emitted or measured moves on by so much (dB; V of a supply, "
            "ms of an oscilloscope), not what is read back",
        ),
        "no-result": FaultKind("text", "9.9E37", "measurement", "this instead of the response"),
    }
)
"""``--fault NAME[=VALUE][@COMMAND][xCOUNT]``."""

_WRITTEN = re.compile(r"([a-z-]+)(?:=([^@]*?))?(?:@(.+?))?(?:x(\d{1,6}))?$")
_ERROR = re.compile(r'([+-]?\d{1,5})(?:,"?([^"]*)"?)?$')
_FIELD = "--fault"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the plan.

    Attributes:
        name: a key of :data:`FAULTS`.
        number: its time in s, level in dB or error number; None: it has none.
        text: its text.
        command: the command that it strikes; empty: see ``FaultKind.on``.
        count: how often; None: always.
    """

    name: str
    number: float | None = None
    text: str = ""
    command: str = ""
    count: int | None = None


def read_fault(written: str, *, field: str = _FIELD, file: object = None) -> Fault:
    """A fault as people write it.

    Raises:
        InputError: it cannot be read.
    """
    match = _WRITTEN.match(written)
    kind = FAULTS.get(match[1]) if match else None
    if match is None or kind is None:
        raise InputError(
            "is no fault",
            remedy=f"write NAME[=VALUE][@COMMAND][xCOUNT], NAME one of {', '.join(FAULTS)}",
            field=field,
            value=written,
            file=file,
        )
    value = kind.default if match[2] is None else match[2]
    if value is None:
        _refuse(written, f"has no value ({kind.takes})", f"write {match[1]}=…", field, file)
    if match[2] is not None and not kind.takes:
        _refuse(written, "takes no value", f"write {match[1]}", field, file)
    if match[4] is not None and int(match[4]) == 0:
        _refuse(written, "strikes never", "give a count of 1 or more", field, file)
    number, text = _value(kind, value, written, field, file)
    return Fault(match[1], number, text, match[3] or "", int(match[4]) if match[4] else None)


def _refuse(written: str, problem: str, remedy: str, field: str, file: object) -> None:
    raise InputError(problem, remedy=remedy, field=field, value=written, file=file)


def _value(
    kind: FaultKind, value: str | None, written: str, field: str, file: object
) -> tuple[float | None, str]:
    assert value is not None
    if kind.takes == "time" and value:
        return duration_s(value, field=field, file=file), ""
    if kind.takes == "number":
        try:
            return _finite(value.removesuffix("dB")), ""
        except ValueError:
            _refuse(written, "is no number", "write it like drift=0.5dB", field, file)
    if kind.takes == "error":
        match = _ERROR.match(value)
        if match is None:
            _refuse(written, "is no error", 'write it like error=-310,"System error"', field, file)
        else:
            return float(match[1]), match[2] or ""
    return None, value if kind.takes == "text" else ""


class Subject(Protocol):
    """What a fault strikes: an instrument without input or output of its own."""

    identity: str
    offset: float

    def handle(self, message: bytes | None, strikes: Strikes = NOTHING) -> Outcome:
        """Carry out one message; one that holds several commands is struck by itself."""

    def sorts(self, message: bytes) -> frozenset[str]:
        """What a message is: ``query``, ``measurement``, ``identity``, ``opc``."""

    def meant(self, message: bytes, command: str) -> bool:
        """The message holds this command."""

    def inject(self, code: int, text: str) -> None:
        """Report an error that nothing caused."""

    def power_on(self) -> None:
        """As after the mains came back."""

    def radio(self) -> RadioState:
        """What it does to the radio world."""


@dataclass(slots=True)
class Answer:
    """What the connection does with a message's outcome.

    Attributes:
        outcome: of the message; None: it was not carried out.
        response: what is sent, without its terminator; None: nothing.
        after_s: how long the connection waits before it sends.
        apart_s: sent so much later while the connection goes on; infinite: before the next
            response.
        cut: only half of it, without its terminator.
        close: the connection ends.
        refuse_s: all connections end and are refused for so long; None: they are not.
    """

    outcome: Outcome | None = None
    response: bytes | None = None
    after_s: float = 0.0
    apart_s: float | None = None
    cut: bool = False
    close: bool = False
    refuse_s: float | None = None


class FaultPlan:
    """The faults of one instrument, with how often each may still strike.

    Args:
        faults: in order; of several of one name the first that fits strikes.
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._left = [[fault, fault.count] for fault in faults]

    def at_start(self) -> float | None:
        """How long connections are refused from the start; None: they are not."""
        for entry in self._left:
            fault = entry[0]
            assert isinstance(fault, Fault)
            if fault.name == "refuse" and not fault.command and entry[1] != 0:
                self._strike(entry)
                return _for_good(fault.number)
        return None

    def answer(self, subject: Subject, message: bytes | None) -> Answer:
        """Carry a message out, or not, as the plan has it."""
        if message is None or not self._left:
            outcome = subject.handle(message)
            return Answer(outcome, outcome.response)
        return self._faulty(subject, message)

    def _faulty(self, subject: Subject, message: bytes) -> Answer:
        sorts = subject.sorts(message)

        def take(name: str) -> Fault | None:
            return self._take(name, subject, message, sorts)

        if take("drop"):
            return Answer(close=True)
        if fault := take("reboot"):
            subject.power_on()
            return Answer(close=True, refuse_s=_for_good(fault.number))
        if fault := take("refuse"):
            return Answer(close=True, refuse_s=_for_good(fault.number))
        if fault := take("drift"):
            subject.offset += fault.number or 0.0
        error, instead = take("error"), take("no-result")
        outcome = self._carried_out(subject, message, take("identity"), _strikes(error, instead))
        if error and not outcome.struck:
            subject.inject(int(error.number or 0), error.text)
        answer = Answer(outcome, outcome.response)
        if outcome.response is None:
            return answer
        if instead and not outcome.struck:
            answer.response = instead.text.encode("latin-1", "replace")
        if take("stuck") or take("mute"):
            answer.response = None
        answer.cut = take("half") is not None
        if fault := take("delay"):
            answer.after_s = fault.number or 0.0
        if fault := take("late"):
            answer.apart_s = _for_good(fault.number)
        return answer

    def _carried_out(
        self, subject: Subject, message: bytes, fault: Fault | None, strikes: Strikes
    ) -> Outcome:
        if fault is None:
            return subject.handle(message, strikes)
        true, subject.identity = subject.identity, fault.text
        try:
            return subject.handle(message, strikes)
        finally:
            subject.identity = true

    def _take(
        self, name: str, subject: Subject, message: bytes, sorts: frozenset[str]
    ) -> Fault | None:
        """The fault of this name that strikes now; it is counted."""
        for entry in self._left:
            fault = entry[0]
            assert isinstance(fault, Fault)
            if fault.name != name or entry[1] == 0:
                continue
            if fault.command:
                strikes = subject.meant(message, fault.command)
            else:
                strikes = FAULTS[name].on in ("message", *sorts)
            if strikes:
                self._strike(entry)
                return fault
        return None

    @staticmethod
    def _strike(entry: list[Fault | int | None]) -> None:
        if isinstance(entry[1], int):
            entry[1] -= 1


def _strikes(error: Fault | None, instead: Fault | None) -> Strikes:
    return Strikes(
        (int(error.number or 0), error.text) if error else None,
        error.command if error else "",
        instead.text if instead else None,
        instead.command if instead else "",
    )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _for_good(number: float | None) -> float:
    return float("inf") if number is None else number
