"""The contact box on its serial port: outputs that are read back, inputs that are recorded.

Every line carries a checksum and a number: what is lost is seen. A thread asks for the box's time
ten times a second, which also shows that it is still there.

The host's times are the stamps of the transcript: of what was sent, taken before it is, and of what
came, taken after it has. What is in the record when it is taken, or let go of, has a place in the
transcript too. So the transcript alone gives the same record again
(:mod:`instruments.contacts.played`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import serial

from bench.errors import InputError
from instruments.contacts.heard import Answer, Heard
from instruments.contacts.protocol import HEARTBEAT_S, IDS, sealed
from instruments.contacts.timing import Pair
from instruments.contacts.witness import KINDS, Input, Record
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
GONE = "the port is gone"

TAKEN = "its record is taken here"
FORGOTTEN = "what it said before its last heartbeat is let go of here"


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
        opener: opens the port, called as ``serial.Serial`` is.
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
        opener: Callable[..., Any] = serial.Serial,
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
        self._transcript, self._baud, self._opener = transcript, baud, opener
        self._lock = ResourceLock(role, str(Path(port).resolve()), folder=lock_folder)
        self._owner = threading.RLock()
        self._moment = threading.RLock()  # an entry of the transcript, and what comes of it
        self._serial: Any = None
        self._threads: list[threading.Thread] = []
        self._stop, self._deaf = threading.Event(), threading.Event()
        self._fault = "is not open"
        self._ids = 0
        self._clear(0)

    def _clear(self, opened_ns: int) -> None:
        self._answers: queue.Queue[Answer | None] = queue.Queue()
        self._heard = Heard(self.inputs, opened_ns, self._break)

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
        try:
            self._end()
            if self._serial is not None:
                self._serial.close()
                self._serial = None
                self._transcript.add(self.role, "close")
        finally:
            self._fault = self._fault or "is not open"
            self._lock.__exit__(kind, value, trace)

    def _end(self) -> None:
        """End the threads: the reader last, so that a comparison under way has its answer."""
        self._stop.set()
        for thread in reversed(self._threads):
            if thread is self._threads[0]:
                self._deaf.set()
            thread.join(self._reply_s + 5)
        self._threads.clear()

    def _open(self) -> None:
        try:
            self._serial = self._opener(
                self._port, self._baud, timeout=_READ_S, write_timeout=self._reply_s
            )
            self._serial.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            self._transcript.add(self.role, "lost")
            self._transcript.add(self.role, "note", str(error))
            raise Unreachable(self.role, f"cannot open {self._port} ({error})") from error
        self._clear(self._transcript.add(self.role, "open"))
        self._fault = ""
        self._stop.clear()
        self._deaf.clear()
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
        """The reader's thread."""
        while not self._deaf.is_set():
            try:
                chunk = self._serial.read(max(1, self._serial.in_waiting))
                silent_s = 0.0 if chunk else self._silent_s()
                if silent_s and not self._serial.in_waiting:  # else it was not this host's turn
                    self._lose(f"was silent for {silent_s:g} s: unplugged, or it has stopped")
                    return
            except (serial.SerialException, OSError, TypeError):
                self._lose(GONE)
                return
            if chunk:
                self._hear(chunk)

    def _silent_s(self) -> float:
        """How long it may be silent, where it has been for longer; else 0."""
        # Opening the port restarts many boards: the first line may take its time.
        most_s = _SILENT_S if self._heard.begun else self._reply_s
        for_ns = self._transcript.now_ns() - self._heard.last_ns
        return most_s if for_ns > most_s * 1e9 else 0.0

    def _hear(self, chunk: bytes) -> None:
        """What came: into the record, and answers to who waits for them."""
        with self._moment:
            now_ns = self._transcript.add(self.role, "rx", chunk)
            for answer in self._heard.take(chunk, now_ns):
                self._answers.put(answer)

    def _lose(self, why: str) -> None:
        """Nothing comes any more."""
        with self._moment:
            self._transcript.add(self.role, "lost", self._heard.buffer)
            self._break(why)

    def _break(self, why: str) -> None:
        """From now on nothing is believed; the first cause stays."""
        with self._moment:
            if not self._fault:
                self._fault = why
                self._transcript.add(self.role, "note", why)
            self._answers.put(None)

    def _keep_time(self) -> None:
        """The thread that compares the clocks."""
        while not self._stop.wait(HEARTBEAT_S) and not self._fault:
            with self._owner, self._telling_time():
                self._send(self.ping.text)
                self._answered(self.ping.text)

    @contextmanager
    def _telling_time(self) -> Iterator[None]:
        try:
            yield
        except InstrumentError as error:
            self._break(f"does not tell its time ({error.problem})")

    # ---- asking ------------------------------------------------------------

    def _ask(self, text: str) -> Answer:
        """Send a request; its answer, which also compares the clocks.

        Raises:
            Broken: nothing is believed any more.
            DeadlinePassed, LinkLost: and from then on it is broken.
            Reported: the box refuses.
        """
        with self._owner:
            self._send(text)
            return self._answered(text)

    def _send(self, text: str) -> None:
        with self._moment:
            if self._fault:
                raise Broken(self.role, self._fault)
            self._ids = (self._ids + 1) % IDS
            raw = sealed(f"{self._ids} {text}")
            self._heard.asked = str(self._ids), self._transcript.add(self.role, "tx", raw)
        try:
            self._serial.write(raw)
        except (serial.SerialException, OSError) as error:
            self._lose(GONE)
            raise LinkLost(self.role, f"{text}: {GONE}") from error

    def _answered(self, text: str) -> Answer:
        try:
            got = self._next_answer()
        except queue.Empty:
            got = self._last_answer(text)
        if got is None:
            raise LinkLost(self.role, f"{text}: {self._fault}")
        answer, pair = got
        if answer.word == "NO":
            raise Reported(self.role, f"after {text}", (" ".join(answer.arguments[1:]),))
        return answer, pair

    def _next_answer(self) -> Answer | None:
        """Raises: queue.Empty: none came in time."""
        return self._answers.get(timeout=self._reply_s)

    def _last_answer(self, text: str) -> Answer | None:
        """One that came in the last moment. Raises: DeadlinePassed: none did."""
        with self._moment:
            try:
                return self._answers.get_nowait()
            except queue.Empty:
                self._transcript.add(self.role, "timeout")
                self._break(f"{text}: no answer within {self._reply_s:g} s")
                raise DeadlinePassed(self.role, self._fault) from None

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

    def look(self) -> tuple[dict[str, int], Pair]:
        """The levels of all inputs and outputs, by name; and when, as :meth:`set`."""
        answer, pair = self._ask(self.all_levels.text)
        try:
            inputs, outputs = (int(text, 16) for text in answer.arguments[1:])
        except ValueError as error:
            raise BadAnswer(self.role, f"GET is answered with {answer.arguments}") from error
        found = {name: inputs >> one.number & 1 for name, one in self.inputs.items()}
        found |= {name: outputs >> one.number & 1 for name, one in self.outputs.items()}
        return found, pair

    def levels(self) -> dict[str, int]:
        """The levels of all inputs and outputs, by name."""
        return self.look()[0]

    def make_safe(self) -> None:
        """Every output to its safe level, verified; a broken box is opened anew."""
        if self._fault:
            self.__exit__(None, None, None)
            self.__enter__()
        for name, one in self.outputs.items():
            self.set(name, one.safe)

    def forget(self) -> None:
        """Let go of what was said before the last heartbeat, which the record then begins with."""
        with self._moment:
            self._transcript.add(self.role, "note", FORGOTTEN)
            self._heard.forget()

    def record(self) -> Record:
        """All that it said since it was opened."""
        with self._moment:
            self._transcript.add(self.role, "note", TAKEN)
            return self._heard.record(self._fault)
