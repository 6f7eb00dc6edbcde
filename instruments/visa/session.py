"""A session with one instrument: every transaction locked, checked and recorded.

A late answer would be taken for the next question's. So a timeout ends the connection: the session
is opened anew, the instrument's identity verified, its declared state set again, and the step in
which it happened is *tainted*: nothing measured in it gives a number.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from instruments.visa.channels import SCPI, Check, Dialect
from instruments.visa.errors import (
    BadAnswer,
    Broken,
    Busy,
    DeadlinePassed,
    Desynchronised,
    InstrumentError,
    LinkLost,
    NotApplied,
    NotAResult,
    Reported,
    Tainted,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.locks import ResourceLock
from instruments.visa.readings import Reading, Taint
from instruments.visa.resources import Identity, Resource
from instruments.visa.transcript import Transcript
from instruments.visa.wires import (
    Connector,
    Wire,
    WireFault,
    WireTimeout,
    connect,
    http_body,
    http_request,
)

_ERROR = re.compile(r'^([+-]?\d+)\s*,\s*"(.*)"$', re.DOTALL)
_MOST_ERRORS = 64
_MOST_BLANK = 8
_THREADS_WAIT_S = 60.0


class Session:
    """A :class:`~instruments.visa.channels.Channel` to a real (or simulated) instrument.

    Use it as a context manager. Any number of threads may share one: steps exclude each other.

    Args:
        resource: the configured instrument.
        transcript: where every byte goes.
        dialect: how it is asked who it is and what went wrong.
        connector: opens the wire.
        lock_folder: where lock files are; None: the usual place.
        sleep: waits between polls, s.

    Attributes:
        identity: who answered.
        found: what the error queue held when it was opened: of an earlier session.
    """

    def __init__(
        self,
        resource: Resource,
        transcript: Transcript,
        dialect: Dialect = SCPI,
        *,
        connector: Connector = connect,
        lock_folder: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.resource, self.dialect = resource, dialect
        self.identity = Identity("", "")
        self.found: tuple[str, ...] = ()
        self._transcript, self._connector, self._sleep = transcript, connector, sleep
        self._lock = ResourceLock(resource.role, resource.lock_name, resource.wait_s, lock_folder)
        self._owner = threading.RLock()
        self._wire: Wire | None = None
        self._broken = "is not open"
        self._recovering = False
        self._steps: list[str] = []
        self._taints: list[Taint] = []
        self._step_from = 0
        self._declared: dict[str, tuple[bool, Callable[[], None]]] = {}

    @property
    def role(self) -> str:
        """The instrument's role."""
        return self.resource.role

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Every taint since the session was opened."""
        return tuple(self._taints)

    @property
    def declared(self) -> tuple[str, ...]:
        """The keys of the declared state, in the order in which it would be set again."""
        return tuple(sorted(self._declared, key=lambda key: not self._declared[key][0]))

    def __enter__(self) -> Self:
        """Take the instrument, open it, verify who it is and empty its error queue.

        Old errors are recorded and not raised: they must not keep a safe state from being reached
        after a run that was killed.

        Raises:
            Busy, Unreachable, WrongIdentity, Reported: it cannot be used; it is let go again.
        """
        self._lock.__enter__()
        self.identity = Identity("", "")
        try:
            self._open()
            with self._owner:
                self.found = self._errors()
            for text in self.found:
                self._record("note", f"error queue when opened: {text}")
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
        self._close()
        self._broken = "is not open"
        self._lock.__exit__(kind, value, trace)

    # ---- steps -------------------------------------------------------------

    def step(self, name: str) -> AbstractContextManager[None]:
        """One transaction; see :class:`~instruments.visa.channels.Channel`."""
        return self._step(name)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        if not self._owner.acquire(timeout=_THREADS_WAIT_S):
            raise Busy(self.role, f"another thread has held it for {_THREADS_WAIT_S:g} s")
        outermost = not self._steps and not self._recovering
        self._steps.append(name)
        try:
            if outermost:
                self._step_from = len(self._taints)
                self._refuse_errors(f"before {name}")
            try:
                yield
            except BaseException as error:
                if outermost:
                    self._note_errors(error, name)
                raise
            if outermost:
                self._refuse_errors(f"after {name}")
        finally:
            self._steps.pop()
            self._owner.release()

    def _refuse_errors(self, when: str) -> None:
        found = self._errors()
        if found:
            raise Reported(self.role, when, found)

    def _note_errors(self, error: BaseException, name: str) -> None:
        """What the instrument reports about a step that failed goes with that failure."""
        if self._wire is None:
            return
        try:
            found = self._errors()
        except InstrumentError as further:
            error.add_note(str(further))
            return
        if found:
            error.add_note(str(Reported(self.role, f"after {name}", found)))

    def _errors(self) -> tuple[str, ...]:
        """Drain the error queue; without one, see that answers still belong to questions."""
        if not self.dialect.errors:
            self._see_identity()
            return ()
        entries: list[str] = []
        while len(entries) < _MOST_ERRORS:
            answer = self._ask(self.dialect.errors, None)
            match = _ERROR.match(answer.strip())
            if match is None:
                self._fault(f"{self.dialect.errors} was answered with {answer!r}")
                raise Desynchronised(
                    self.role, f"answers {self.dialect.errors} with {answer!r}: no error entry"
                )
            if int(match[1]) == 0:
                return tuple(entries)
            entries.append(answer.strip())
        raise Reported(self.role, "does not become empty", tuple(entries))

    def _see_identity(self) -> None:
        try:
            found = self._who()
        except BadAnswer as error:
            problem = error.problem
        else:
            if found == self.identity:
                return
            problem = f"now answers as {found.model!r}, {found.serial!r}"
        self._fault(problem)
        raise Desynchronised(self.role, problem)

    # ---- transactions ------------------------------------------------------

    def command(self, text: str) -> None:
        """Send a command that has no answer."""
        with self._step(text):
            self._exchange(text, None, answered=False)

    def query(self, text: str, within_s: float | None = None) -> str:
        """Send a query; its answer."""
        with self._step(text):
            self._refuse_tainted(text)
            return self._ask(text, within_s)

    def confirm(self, text: str, check: Check, shown: str, within_s: float | None = None) -> None:
        """Send a query whose answer must pass ``check``."""
        with self._step(text):
            answer = self.query(text, within_s)
            problem = check(answer)
            if problem:
                raise NotApplied(self.role, f"{text} answers {answer!r}: {problem}")

    def read(
        self,
        text: str,
        what: str,
        unit: str,
        parse: Callable[[str, str], float],
        within_s: float | None = None,
    ) -> Reading:
        """Measure; what goes wrong is in the reading."""
        value, missing = None, ""
        with self._step(f"{what} ({text})"):
            from_here = self._step_from
            try:
                self._refuse_stray()
                value = parse(self._ask(text, within_s), self.role)
            except (DeadlinePassed, LinkLost, Desynchronised, NotAResult, BadAnswer) as error:
                missing = error.problem
            return Reading(self.role, what, value, unit, missing, tuple(self._taints[from_here:]))

    def poll(self, text: str, check: Check, shown: str, every_s: float, within_s: float) -> None:
        """Ask until the answer passes ``check``: every ``every_s``, as often as fits."""
        problem = "was never asked"
        with self._step(f"wait for {shown}"):
            for attempt in range(int(within_s / every_s) + 1):
                if attempt:
                    self._sleep(every_s)
                answer = self.query(text)
                problem = check(answer)
                if not problem:
                    return
            raise NotApplied(
                self.role, f"{text} is not {shown} after {within_s:g} s: {answer!r}, {problem}"
            )

    def settle(self) -> None:
        """Make ready for the safe state; see :class:`~instruments.visa.channels.Channel`."""
        with self._owner:
            if self._wire is None:
                self.revive()
                return
            try:
                found = self._errors()
            except Broken:
                self.revive()
            except Reported as error:
                self._record("note", f"before the safe state: {error.problem}")
            else:
                for text in found:
                    self._record("note", f"before the safe state: {text}")

    def force(self, text: str) -> None:
        """Send a command whatever the error queue holds."""
        with self._owner:
            self._exchange(text, None, answered=False)

    def declare(self, key: str, apply: Callable[[], None] | None, first: bool = False) -> None:
        """Say how a state is reached again; see :class:`~instruments.visa.channels.Channel`."""
        with self._owner:
            if self._recovering:
                return
            self._declared.pop(key, None)
            if apply is not None:
                self._declared[key] = (first, apply)

    def _refuse_stray(self) -> None:
        """Before a measurement: what has come unasked would be taken for its answer."""
        stray = self._usable().stray()
        if stray:
            self._record("rx", stray)
            problem = f"{stray!r} came unasked"
            self._fault(problem)
            raise Desynchronised(self.role, problem)

    def _refuse_tainted(self, text: str) -> None:
        taints = self._taints[self._step_from :]
        if taints and not self._recovering:
            raise Tainted(self.role, f"{text} not asked in this step: {taints[0].cause}")

    def _ask(self, text: str, within_s: float | None) -> str:
        return self._exchange(text, within_s, answered=True)

    def _exchange(self, text: str, within_s: float | None, answered: bool) -> str:
        wire = self._usable()
        try:
            raw = self._encoded(text)
            self._record("tx", raw)
            wire.send(raw)
            if not answered:
                return ""
            return self._received(wire, self.resource.reply_s if within_s is None else within_s)
        except WireFault as fault:
            failed = self._recorded(fault, text)
        except InstrumentError:
            raise
        except BaseException:  # interrupted: the answer may still come, for another question
            self._close()
            self._broken = "is broken: interrupted within a transaction"
            raise
        self._fault(failed.problem)
        raise failed

    def _received(self, wire: Wire, within_s: float) -> str:
        for _ in range(_MOST_BLANK):
            raw = wire.receive(within_s)
            self._record("rx", raw)
            text = self._decoded(raw)
            if text or self.resource.is_http or not self.dialect.blank_lines:
                return text
        raise Desynchronised(self.role, f"sent {_MOST_BLANK} empty lines instead of an answer")

    def _encoded(self, text: str) -> bytes:
        if self.resource.is_http:
            return http_request(text, self.resource.address)
        return (text + self.resource.write_termination).encode("latin-1")

    def _decoded(self, raw: bytes) -> str:
        if self.resource.is_http:
            try:
                return http_body(raw)
            except ValueError as error:
                raise BadAnswer(self.role, f"the answer {error}") from error
        return raw.decode("latin-1").removesuffix(self.resource.read_termination).strip("\r\n ")

    def _record(self, kind: str, data: bytes | str = b"") -> None:
        self._transcript.add(self.role, kind, data)

    def _recorded(self, fault: WireFault, text: str) -> InstrumentError:
        """Write a fault down; what it means is the same when it is played back."""
        if isinstance(fault, WireTimeout):
            self._record("timeout", fault.partial)
            half = " (half of one came)" if fault.partial else ""
            return DeadlinePassed(self.role, f"{text}: {fault.cause}{half}")
        self._record("lost", fault.partial)
        self._record("note", fault.cause)
        return LinkLost(self.role, f"{text}: the connection is gone")

    # ---- opening, and opening anew -----------------------------------------

    def _usable(self) -> Wire:
        if self._wire is None:
            raise Broken(self.role, self._broken)
        return self._wire

    def _open(self) -> None:
        try:
            self._wire = self._connector(self.resource)
        except Unreachable as error:
            self._record("lost")
            self._record("note", error.problem)
            raise
        self._record("open")
        try:
            found = self._who()
        except (DeadlinePassed, LinkLost, Broken) as error:
            raise Unreachable(self.role, f"does not say who it is ({error.problem})") from error
        differs = self.resource.identity.differs(found)
        if not differs and self.identity.model and found != self.identity:
            differs = f"it is {found}, it was {self.identity}"
        if differs:
            raise WrongIdentity(self.role, f"another instrument answers: {differs}")
        self.identity = found

    def _who(self) -> Identity:
        answers = tuple(self._ask(text, None) for text in self.dialect.identify)
        return self.dialect.identity(answers, self.role)

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
            self._record("close")

    def _fault(self, cause: str) -> None:
        """Taint the step and make the session anew.

        Raises:
            Broken: it cannot be, or this happened while it was.
        """
        step = self._steps[0] if self._steps else "opening"
        t_ns = int(self._transcript.entries[-1]["t_ns"])
        self._taints.append(Taint(self.role, t_ns, step, cause))
        self._close()
        self._broken = f"is broken: {cause}"
        if self._recovering or not self._steps:
            raise Broken(self.role, self._broken)
        self.revive()

    def revive(self) -> None:
        """Open again, verify the identity, drop old errors and set the declared state again.

        Raises:
            Broken: it is not possible; so is every further transaction until this succeeds.
        """
        with self._owner:
            was = self._recovering
            self._recovering = True
            try:
                self._close()
                self._open()
                for text in self._errors():
                    self._record("note", f"error queue after opening anew: {text}")
                for key in self.declared:
                    self._declared[key][1]()
                self._refuse_errors("after the state was set again")
            except InstrumentError as error:
                self._close()
                self._broken = f"is broken: could not be made anew ({error.problem})"
                raise Broken(self.role, self._broken) from error
            finally:
                self._recovering = was

    def mark(self) -> int:
        """A place in :attr:`taints`, for :meth:`since`."""
        return len(self._taints)

    def since(self, mark: int) -> tuple[Taint, ...]:
        """The taints since a mark: those of a measurement of several steps."""
        return tuple(self._taints[mark:])


Sessions = Mapping[str, Session]
"""By role."""
