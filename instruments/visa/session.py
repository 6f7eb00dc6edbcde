"""A session with one instrument: every transaction locked, checked and recorded.

After a timeout nothing is gone on with: the session is made anew (``instruments.visa.reopening``)
and the step in which it happened is *tainted*: nothing measured in it gives a number.
"""

from __future__ import annotations

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
)
from instruments.visa.guards import Guard, Guarded, entry_code
from instruments.visa.lines import Line
from instruments.visa.locks import ResourceLock
from instruments.visa.readings import Reading, Taint
from instruments.visa.reopening import Reopening
from instruments.visa.resources import Identity, Resource
from instruments.visa.transcript import Transcript
from instruments.visa.wires import Connector, connect

_MOST_ERRORS = 64
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
        self.found: tuple[str, ...] = ()
        self._sleep = sleep
        self._lock = ResourceLock(resource.role, resource.lock_name, resource.wait_s, lock_folder)
        self._owner = threading.RLock()
        self._line = Line(resource, transcript, dialect, connector)
        self._anew = Reopening(self._line, self._errors)
        self._steps: list[str] = []
        self._step_from = 0
        self._turn = 0
        self._seen_empty = False  # the last answer said that the error queue is; nothing since

    @property
    def role(self) -> str:
        """The instrument's role."""
        return self.resource.role

    @property
    def identity(self) -> Identity:
        """Who answered."""
        return self._anew.identity

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Every taint since the session was opened."""
        return tuple(self._anew.taints)

    @property
    def declared(self) -> tuple[str, ...]:
        """The keys of the declared state, in the order in which it would be set again."""
        return self._anew.declared

    def __enter__(self) -> Self:
        """Take the instrument, open it, verify who it is and empty its error queue.

        Old errors are recorded and not raised: they must not keep a safe state from being reached
        after a run that was killed.

        Raises:
            Busy, Unreachable, WrongIdentity, Reported: it cannot be used; it is let go again.
        """
        self._lock.__enter__()
        self._anew.identity = Identity("", "")
        try:
            with self._owner:
                self._anew.open()
                self.found = self._errors()
            for text in self.found:
                self._line.record("note", f"error queue when opened: {text}")
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
        self._line.close("is not open")
        self._lock.__exit__(kind, value, trace)

    # ---- steps -------------------------------------------------------------

    def step(self, name: str) -> AbstractContextManager[None]:
        """One transaction; see :class:`~instruments.visa.channels.Channel`."""
        return self._step(name)

    def _take(self) -> None:
        """Take the session for this thread; whoever takes it releases ``_owner``."""
        if not self._owner.acquire(timeout=_THREADS_WAIT_S):
            raise Busy(self.role, f"another thread has held it for {_THREADS_WAIT_S:g} s")

    @property
    def _outside(self) -> bool:
        """No step is open, nor is the session being made anew."""
        return not self._steps and not self._anew.active

    @contextmanager
    def _step(self, name: str, drains: bool = True) -> Iterator[None]:
        """``drains``: False where its only question itself asks for errors, before and behind."""
        self._take()
        outermost = self._outside
        self._steps.append(name)
        try:
            if outermost:
                self._step_from = len(self._anew.taints)
            if outermost and drains:
                self._refuse_before(name)
            try:
                yield
            except BaseException as error:
                if outermost:
                    self._note_errors(error, name)
                raise
            if outermost and drains:
                self._refuse_after(name)
        finally:
            self._steps.pop()
            self._owner.release()

    def _refuse_before(self, name: str) -> None:
        """Without an error queue: nothing was asked since the last step, so nothing may come.

        Over HTTP each answer has a connection of its own, which may lead to another instrument.
        """
        if self.dialect.errors or self.resource.is_http:
            self._refuse_errors(f"before {name}")
        else:
            self._refuse_stray()

    def _refuse_after(self, name: str) -> None:
        if self._seen_empty:
            self._refuse_stray()
        else:
            self._refuse_errors(f"after {name}")

    def _refuse_errors(self, when: str) -> None:
        found = self._errors()
        if found:
            raise Reported(self.role, when, found)

    def _note_errors(self, error: BaseException, name: str) -> None:
        """What the instrument reports about a step that failed goes with that failure."""
        if not self._line.is_open:
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
            answer = self._exchange(self.dialect.errors, None)
            code = entry_code(answer)
            if code is None:
                raise self._slipped(
                    f"answers {self.dialect.errors} with {answer!r}: no error entry"
                )
            if code == 0:
                return tuple(entries)
            entries.append(answer.strip())
        raise Reported(self.role, "does not become empty", tuple(entries))

    def _see_identity(self) -> None:
        """One of its questions, in turn: an answer too many or too few fits none of them."""
        self._turn += 1
        asked = self._turn % len(self.dialect.identify)
        answers = list(self._line.said)
        try:
            answers[asked] = self._exchange(self.dialect.identify[asked], None)
            found = self.dialect.identity(tuple(answers), self.role)
        except BadAnswer as error:
            raise self._slipped(error.problem) from error
        if found != self.identity:
            raise self._slipped(f"now answers as {found.model!r}, {found.serial!r}")

    # ---- transactions ------------------------------------------------------

    def command(self, text: str) -> None:
        """Send a command that has no answer."""
        with self._step(text):
            self._exchange(text, None, answered=False)

    def query(self, text: str, within_s: float | None = None) -> str:
        """Send a query; its answer."""
        self._take()
        try:
            guard = self.dialect.guard(text, True, self._turn) if self._outside else None
            with self._step(text, drains=guard is None):
                self._refuse_tainted(text)
                return self._ask(text, within_s, guard)
        finally:
            self._owner.release()

    def confirm(self, text: str, check: Check, shown: str, within_s: float | None = None) -> None:
        """Send a query whose answer must pass ``check``."""
        with self._step(text):
            self._refuse_tainted(text)
            guard = self.dialect.guard(text, False, self._turn)
            found = self._found(text, within_s, guard)
            reported = self._reported(f"after {self._steps[0]}", found.after)
            try:
                problem = check(found.answer)
                if problem:
                    raise NotApplied(self.role, f"{text} answers {found.answer!r}: {problem}")
            except InstrumentError as error:
                if reported is not None:
                    error.add_note(str(reported))
                raise
            if reported is not None:
                raise reported

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
        self._take()
        try:
            alone = self._outside
            guard = self.dialect.guard(text, alone, self._turn)
            with self._step(f"{what} ({text})", drains=not (alone and guard is not None)):
                from_here = self._step_from
                try:
                    self._refuse_stray()
                    value = parse(self._ask(text, within_s, guard), self.role)
                except (DeadlinePassed, LinkLost, Desynchronised, NotAResult, BadAnswer) as error:
                    missing = error.problem
                taints = tuple(self._anew.taints[from_here:])
                return Reading(self.role, what, value, unit, missing, taints)
        finally:
            self._owner.release()

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
            if not self._line.is_open:
                self.revive()
                return
            try:
                found = self._errors()
            except Broken:
                self.revive()
            except Reported as error:
                self._line.record("note", f"before the safe state: {error.problem}")
            else:
                for text in found:
                    self._line.record("note", f"before the safe state: {text}")

    def force(self, text: str) -> None:
        """Send a command whatever the error queue holds."""
        with self._owner:
            self._exchange(text, None, answered=False)

    def declare(self, key: str, apply: Callable[[], None] | None, first: bool = False) -> None:
        """Say how a state is reached again; see :class:`~instruments.visa.channels.Channel`."""
        with self._owner:
            self._anew.declare(key, apply, first)

    def revive(self) -> None:
        """Make the session anew. Raises: Broken: it is not possible."""
        with self._owner:
            self._anew.revive()

    def mark(self) -> int:
        """A place in :attr:`taints`, for :meth:`since`."""
        return len(self._anew.taints)

    def since(self, mark: int) -> tuple[Taint, ...]:
        """The taints since a mark: those of a measurement of several steps."""
        return tuple(self._anew.taints[mark:])

    # ---- asking ------------------------------------------------------------

    def _refuse_stray(self) -> None:
        """What has come unasked would be taken for the next question's answer."""
        stray = self._line.stray()
        if stray.strip(b"\r\n ") or (stray and not self.dialect.blank_lines):
            raise self._slipped(f"{stray!r} came unasked")

    def _refuse_tainted(self, text: str) -> None:
        taints = self._anew.taints[self._step_from :]
        if taints and not self._anew.active:
            raise Tainted(self.role, f"{text} not asked in this step: {taints[0].cause}")

    def _exchange(self, text: str, within_s: float | None, answered: bool = True) -> str:
        self._seen_empty = False
        try:
            return self._line.exchange(text, within_s, answered)
        except (DeadlinePassed, LinkLost) as failed:
            for entry in self._fault(failed.problem):
                failed.add_note(f"{self.role}: error queue after opening anew: {entry}")
            raise

    def _found(self, text: str, within_s: float | None, guard: Guard | None) -> Guarded:
        """Ask; with a guard, for errors in the same message."""
        if guard is None:
            return Guarded((), self._exchange(text, within_s), ())
        self._turn += 1
        answer = self._exchange(guard.message(text), within_s)
        found = guard.split(answer)
        if found is None:
            raise self._slipped(f"answers {guard.message(text)} with {answer!r}")
        self._seen_empty = not found.after
        return found

    def _ask(self, text: str, within_s: float | None, guard: Guard | None) -> str:
        """The answer alone. Raises: Reported: the error queue was not empty."""
        found = self._found(text, within_s, guard)
        reported = self._reported(f"before {text}", found.before, found.after)
        reported = reported or self._reported(f"after {text}", found.after)
        if reported is not None:
            raise reported
        if guard is not None and guard.first:
            self._refuse_stray()  # no further question of this step would show an answer too many
        return found.answer

    def _reported(
        self, when: str, found: tuple[str, ...], further: tuple[str, ...] = ()
    ) -> Reported | None:
        """The entries that came with an answer, and all that are left; None where none came."""
        return Reported(self.role, when, (*found, *further, *self._errors())) if found else None

    def _slipped(self, problem: str) -> Desynchronised:
        """Answers may not belong to their questions: make the session anew."""
        error = Desynchronised(self.role, problem)
        for entry in self._fault(problem):
            error.add_note(f"{self.role}: error queue after opening anew: {entry}")
        return error

    def _fault(self, cause: str) -> tuple[str, ...]:
        return self._anew.fault(cause, self._steps[0] if self._steps else "")


Sessions = Mapping[str, Session]
"""By role."""
