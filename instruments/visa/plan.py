"""A dry run: the commands that would be sent, in order, with nothing opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from instruments.visa.channels import SCPI, Check, Dialect
from instruments.visa.errors import InstrumentError, NoAnswer
from instruments.visa.readings import Reading, Taint
from instruments.visa.resources import Identity

_NO_ERROR = '0,"No error"'


class Plan:
    """A :class:`~instruments.visa.channels.Channel` without an instrument.

    Settings are checked as in a run: one out of range is refused here too.

    Args:
        role: the instrument's role.
        lines: where the lines go; instruments that share a list show the order among them.
        http: whether it is reached over HTTP, where each answer has a connection of its own.

    Attributes:
        lines: ``role: command``; what a query must answer stands behind ``->``.
    """

    def __init__(
        self,
        role: str,
        dialect: Dialect = SCPI,
        lines: list[str] | None = None,
        *,
        http: bool = False,
    ) -> None:
        self.role = role
        self.dialect = dialect
        self.lines: list[str] = [] if lines is None else lines
        self.taints: tuple[Taint, ...] = ()
        self._http = http
        self._depth = 0
        self._turn = 0
        self._seen_empty = False

    def opening(self, identity: Identity) -> None:
        """What entering a session would send."""
        self._say(f"{self.dialect.identify[0]} -> {identity.manufacturer} {identity.model}")
        for text in self.dialect.identify[1:]:
            self._say(f"{text} -> {identity.serial or 'any'}")
        self._drain("any")

    def _drain(self, wanted: str) -> None:
        if self.dialect.errors:
            self._say(f"{self.dialect.errors} -> {wanted}")
            return
        self._turn += 1
        asked = self._turn % len(self.dialect.identify)
        self._say(f"{self.dialect.identify[asked]} -> as before")

    def _say(self, text: str) -> None:
        self._seen_empty = False
        self.lines.append(f"{self.role}: {text}")

    def step(self, name: str) -> AbstractContextManager[None]:
        """One transaction."""
        return self._step()

    @contextmanager
    def _step(self, drains: bool = True) -> Iterator[None]:
        outermost = not self._depth
        if outermost and drains and (self.dialect.errors or self._http):
            self._drain(_NO_ERROR)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if outermost and drains and not self._seen_empty:
            self._drain(_NO_ERROR)

    def _ask(self, text: str, wanted: str, guarded: bool, stepped: bool = False) -> None:
        """As a session asks: with the questions for errors around it, or without.

        ``stepped``: never with those before it, as within a step.
        """
        alone = not self._depth and not stepped
        guard = self.dialect.guard(text, alone, self._turn) if guarded else None
        with self._step(drains=guard is None or stepped):
            if guard is not None:
                self._turn += 1
                text, wanted = guard.message(text), guard.answer(wanted, _NO_ERROR)
            self._say(f"{text} -> {wanted}")
            self._seen_empty = guard is not None

    def command(self, text: str) -> None:
        """Would send a command."""
        with self._step():
            self._say(text)

    def query(self, text: str, within_s: float | None = None) -> str:
        """Would ask, and cannot go on from the answer.

        Raises:
            NoAnswer: always.
        """
        self._ask(text, "?", guarded=not self._depth)
        raise NoAnswer(self.role, f"a plan has no answer to {text}")

    def confirm(self, text: str, check: Check, shown: str, within_s: float | None = None) -> None:
        """Would ask and demand ``shown``."""
        self._ask(text, shown, guarded=True, stepped=True)

    def read(
        self,
        text: str,
        what: str,
        unit: str,
        parse: Callable[[str, str], float],
        within_s: float | None = None,
    ) -> Reading:
        """Would measure; the reading has no value."""
        self._ask(text, f"{what} in {unit}", guarded=True)
        return Reading(self.role, what, None, unit, "only planned")

    def poll(self, text: str, check: Check, shown: str, every_s: float, within_s: float) -> None:
        """Would ask until ``shown``."""
        with self._step():
            self._say(f"{text} -> {shown} (every {every_s:g} s, within {within_s:g} s)")

    def settle(self) -> None:
        """Would drop old errors."""
        self._drain("any")

    def force(self, text: str) -> None:
        """Would send a command without asking for errors first."""
        self._say(text)

    def declare(self, key: str, apply: Callable[[], None] | None, first: bool = False) -> None:
        """Nothing: there is no session to make anew."""


class Rehearsal(Plan):
    """A plan that goes on where an answer is needed.

    What was set reads back as it was set; all else that is asked for is answered ``0``: it says
    nothing of the instrument.
    """

    def __init__(
        self,
        role: str,
        dialect: Dialect = SCPI,
        lines: list[str] | None = None,
        *,
        http: bool = False,
    ) -> None:
        super().__init__(role, dialect, lines, http=http)
        self._known: dict[str, str] = {}

    def confirm(self, text: str, check: Check, shown: str, within_s: float | None = None) -> None:
        """Would ask and demand ``shown``: the answer from now on, where it is one and no words."""
        super().confirm(text, check, shown, within_s)
        with suppress(InstrumentError):
            if not check(shown):
                self._known[text] = shown

    def query(self, text: str, within_s: float | None = None) -> str:
        """Would ask; what was confirmed last, or 0."""
        known = self._known.get(text)
        self._ask(text, "?" if known is None else known, guarded=not self._depth)
        return "0" if known is None else known
