"""The contact box on its serial port: outputs that are read back, inputs that are recorded.

Every line carries a checksum and a number: what is lost is seen. The reader asks for the box's time
ten times a second, which also shows that it is still there.
"""

from __future__ import annotations

import queue
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import serial

from bench.errors import InputError
from instruments.contacts.protocol import (
    CLOCK_US,
    HEARTBEAT_S,
    IDS,
    NUMBERS,
    Said,
    said,
    sealed,
)
from instruments.contacts.timing import Pair
from instruments.contacts.witness import KINDS, Edge, Input, Record
from instruments.visa.errors import (
    BadAnswer,
    Broken,
    DeadlinePassed,
    InstrumentError,
    LinkLost,
    NotApplied,
    Reported,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.locks import ResourceLock
from instruments.visa.properties import Command, Verification
from instruments.visa.resources import LONGEST_DEADLINE_S, Identity
from instruments.visa.transcript import Transcript

_SKETCH = "docs/contact_box.ino"
_READ_S = 0.02
_SILENT_S = 4 * HEARTBEAT_S
_MOST_EDGES = 1_000_000


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the box.

    ``safe``: its level in the safe state (a stop button: pressed); ``seen_by``: the input that is
    active while it is 1, where one is wired behind it.
    """

    number: int
    safe: int
    seen_by: str = ""


class ContactBox:
    """A contact box. Use it as a context manager.

    Args:
        role: its role.
        port: the serial device.
        identity: who must answer.
        inputs, outputs: by name; numbers are those on the box.
        reply_s: deadline of one answer, s.
        transcript: where every byte goes.
        lock_folder: where lock files are.
    """

    family: ClassVar[str] = "contact-box"
    verified_on: ClassVar[tuple[Verification, ...]] = ()

    who = Command("ID", f"{_SKETCH}, answer: ID")
    ping = Command("PING", f"{_SKETCH}, answer: PING")
    set_output = Command("SET {output} {level}", f"{_SKETCH}, answer: SET")
    all_levels = Command("GET", f"{_SKETCH}, answer: GET")

    def __init__(
        self,
        role: str,
        port: str,
        identity: Identity,
        inputs: Mapping[str, Input],
        outputs: Mapping[str, Output],
        reply_s: float,
        transcript: Transcript,
        *,
        baud: int = 115200,
        lock_folder: Path | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Raises: InputError: no deadline, or an input of no known kind."""
        self.role, self.identity = role, Identity("", "")
        self.inputs, self.outputs = dict(inputs), dict(outputs)
        if not 0 < reply_s <= LONGEST_DEADLINE_S:
            self._refuse("reply_s", reply_s, "is no deadline", "give more than 0 s")
        for name, one in self.inputs.items():
            if one.kind not in KINDS:
                self._refuse(name, one.kind, "is no kind of input", f"use {', '.join(KINDS)}")
        self._port, self._expected, self._reply_s = port, identity, reply_s
        self._transcript, self._baud, self._monotonic_ns = transcript, baud, monotonic_ns
        self._lock = ResourceLock(role, str(Path(port).resolve()), folder=lock_folder)
        self._owner = threading.RLock()
        self._serial: Any = None
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._answers: queue.Queue[tuple[Said, int] | None] = queue.Queue()
        self._fault = "is not open"
        self._ids = 0
        self._clear()

    def _clear(self) -> None:
        self._edges: dict[str, list[Edge]] = {name: [] for name in self.inputs}
        self._beats: list[tuple[int, int]] = []
        self._pairs: list[Pair] = []
        self._number: int | None = None
        self._t_us: int | None = None
        self._heard_ns = self._monotonic_ns()

    def _refuse(self, field: str, value: object, problem: str, remedy: str) -> None:
        field = f"instruments.{self.role}.{field}"
        raise InputError(problem, remedy=remedy, field=field, value=value)

    @property
    def channel(self) -> Any:
        """What the safe state asks for the role."""
        return self

    def __enter__(self) -> Self:
        """Open the port and verify who answers.

        Raises:
            Busy, Unreachable, WrongIdentity: it cannot be used; it is let go again.
        """
        self._lock.__enter__()
        try:
            self._open()
            answer = self._identified()
            differs = self._expected.differs(answer)
            if differs:
                raise WrongIdentity(self.role, f"another box answers: {differs}")
            self.identity = answer
            self._start(self._keep_time, "time")
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
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()
        if self._serial is not None:
            self._serial.close()
            self._serial = None
            self._transcript.add(self.role, "close")
        self._fault = self._fault or "is not open"
        self._lock.__exit__(kind, value, trace)

    def _open(self) -> None:
        try:
            self._serial = serial.Serial(
                self._port, self._baud, timeout=_READ_S, write_timeout=self._reply_s
            )
            self._serial.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise Unreachable(self.role, f"cannot open {self._port} ({error})") from error
        self._transcript.add(self.role, "open")
        self._clear()
        self._fault = ""
        self._stop.clear()
        self._start(self._read, "reader")

    def _start(self, work: Callable[[], None], what: str) -> None:
        thread = threading.Thread(target=work, name=f"{self.role} {what}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _identified(self) -> Identity:
        try:
            parts = self._ask(self.who.text)[0].arguments[1:]
        except (DeadlinePassed, LinkLost, Broken) as error:
            raise Unreachable(self.role, f"does not say who it is ({error.problem})") from error
        if len(parts) != 4:
            raise WrongIdentity(self.role, f"says {parts} of itself, which are not four fields")
        return Identity(*parts)

    # ---- reading -----------------------------------------------------------

    def _read(self) -> None:
        """The reader's thread: bytes to lines, lines to answers, edges and heartbeats."""
        buffer, synchronised = b"", False
        while not self._stop.is_set():
            try:
                chunk = self._serial.read(max(1, self._serial.in_waiting))
            except (serial.SerialException, OSError, TypeError):
                self._break("the port is gone")
                return
            now_ns = self._monotonic_ns()
            if not chunk:
                # Opening the port restarts many boards: the first line may take its time.
                most_s = self._reply_s if self._number is None else _SILENT_S
                if now_ns - self._heard_ns > most_s * 1e9:
                    self._break(f"was silent for {most_s:g} s: unplugged, or it has stopped")
                    return
                continue
            self._transcript.add(self.role, "rx", chunk)
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                synchronised = self._line(line, now_ns, synchronised)

    def _line(self, line: bytes, now_ns: int, synchronised: bool) -> bool:
        """Take one line; the first one after opening may be the end of an older one."""
        try:
            one = said(line)
        except ValueError as error:
            if synchronised:
                self._break(f"the line is disturbed ({error})")
            return synchronised
        if self._number is not None and one.number != (self._number + 1) % NUMBERS:
            self._break(f"lines were lost between {self._number} and {one.number}")
        self._number, self._heard_ns = one.number, now_ns
        last = self._t_us
        t_us = one.t_us if last is None else last + _ahead(one.t_us, last)
        self._t_us = t_us if last is None else max(last, t_us)
        try:
            self._take(one, t_us, now_ns)
        except (ValueError, IndexError):
            self._break(f"says {line!r}")
        return True

    def _take(self, one: Said, t_us: int, now_ns: int) -> None:
        if one.word in ("OK", "NO"):
            self._answers.put((Said(one.number, t_us, one.word, one.arguments), now_ns))
        elif one.word == "E":
            for name, put in self.inputs.items():
                if put.number == int(one.arguments[0]):
                    self._edges[name].append(Edge(t_us, int(one.arguments[1])))
                    if len(self._edges[name]) > _MOST_EDGES:
                        self._break(f"{name}: more edges than can be kept")
        elif one.word == "H":
            if int(one.arguments[1]):
                self._break(f"has lost {one.arguments[1]} edges since it was switched on")
            self._beats.append((t_us, int(one.arguments[0], 16)))
        else:
            raise ValueError(one.word)

    def _break(self, why: str) -> None:
        """From now on nothing is believed; the first cause stays."""
        if not self._fault:
            self._fault = why
            self._transcript.add(self.role, "note", why)
        self._answers.put(None)

    def _keep_time(self) -> None:
        """The thread that compares the clocks."""
        while not self._stop.wait(HEARTBEAT_S) and not self._fault:
            try:
                self._ask(self.ping.text)
            except InstrumentError as error:
                self._break(f"does not tell its time ({error.problem})")

    # ---- asking ------------------------------------------------------------

    def _ask(self, text: str) -> tuple[Said, Pair]:
        """Send a request; its answer, which also compares the clocks.

        Raises:
            Broken: nothing is believed any more.
            DeadlinePassed, LinkLost: and from then on it is broken.
            Reported: the box refuses.
        """
        with self._owner:
            if self._fault:
                raise Broken(self.role, self._fault)
            self._ids = (self._ids + 1) % IDS
            before_ns = self._monotonic_ns()
            raw = sealed(f"{self._ids} {text}")
            self._transcript.add(self.role, "tx", raw)
            try:
                self._serial.write(raw)
            except (serial.SerialException, OSError) as error:
                self._break("the port is gone")
                raise LinkLost(self.role, f"{text}: the port is gone") from error
            answer, after_ns = self._answer(text)
            pair = Pair(before_ns, answer.t_us, after_ns)
            self._pairs.append(pair)
            if answer.word == "NO":
                raise Reported(self.role, f"after {text}", (" ".join(answer.arguments[1:]),))
            return answer, pair

    def _answer(self, text: str) -> tuple[Said, int]:
        try:
            got = self._answers.get(timeout=self._reply_s)
        except queue.Empty:
            self._transcript.add(self.role, "timeout")
            self._break(f"{text}: no answer within {self._reply_s:g} s")
            raise DeadlinePassed(self.role, self._fault) from None
        if got is None:
            raise LinkLost(self.role, f"{text}: {self._fault}")
        if got[0].arguments[:1] != (str(self._ids),):
            self._break(f"{text} was answered with {got[0]}")
            raise BadAnswer(self.role, self._fault)
        return got

    # ---- what it is for ----------------------------------------------------

    def set(self, name: str, level: int) -> Pair:
        """Set an output, and verify what the box reads back behind it.

        Returns when it happened: ``before_ns``, ``after_ns`` on the host's clock, ``t_us`` on the
        box's (:func:`~instruments.contacts.timing.stamp` gives the better time afterwards).

        Raises:
            InputError: no such output or level.
            NotApplied: the output does not follow.
        """
        if name not in self.outputs or level not in (0, 1):
            known = ", ".join(self.outputs)
            self._refuse(name, level, "is no output or level", f"use {known} and 0 or 1")
        number = self.outputs[name].number
        answer, pair = self._ask(self.set_output.with_(output=number, level=level))
        if answer.arguments[1:] != (str(level),):
            raise NotApplied(
                self.role, f"{name} was set to {level}, behind it is {answer.arguments}"
            )
        return pair

    def levels(self) -> dict[str, int]:
        """The levels of all inputs and outputs, by name."""
        answer, _ = self._ask(self.all_levels.text)
        try:
            inputs, outputs = (int(text, 16) for text in answer.arguments[1:])
        except ValueError as error:
            raise BadAnswer(self.role, f"GET is answered with {answer.arguments}") from error
        found = {name: inputs >> one.number & 1 for name, one in self.inputs.items()}
        return found | {name: outputs >> one.number & 1 for name, one in self.outputs.items()}

    def make_safe(self) -> None:
        """Every output to its safe level, verified; a broken box is opened anew."""
        if self._fault:
            self.__exit__(None, None, None)
            self.__enter__()
        for name, one in self.outputs.items():
            self.set(name, one.safe)

    def forget(self) -> None:
        """Let go of what was said before the last heartbeat, which the record then begins with.

        The reader goes on meanwhile: it only ever appends.
        """
        if not self._beats or not self._pairs:
            return
        at = len(self._beats) - 1
        first_us = self._beats[at][0]
        for edges in self._edges.values():
            del edges[: bisect_right(edges, first_us, key=lambda edge: edge.t_us)]
        known = bisect_right(self._pairs, first_us, key=lambda pair: pair.t_us)
        del self._pairs[: max(0, known - 1)]
        del self._beats[:at]

    def record(self) -> Record:
        """All that it said since it was opened."""
        edges = {name: tuple(found) for name, found in self._edges.items()}
        beats, pairs = tuple(self._beats), tuple(self._pairs)
        return Record(dict(self.inputs), edges, beats, pairs, self._fault)


def _ahead(now: int, last: int) -> int:
    """How far the box's clock has gone on; a line may be a little older than the one before it."""
    step = (now - last) % CLOCK_US
    return step - CLOCK_US if step > CLOCK_US // 2 else step
