"""A dry run: the commands that would be sent, in order, with nothing opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from instruments.visa.channels import SCPI, Check, Dialect
from instruments.visa.errors import NoAnswer
from instruments.visa.readings import Reading, Taint


class Plan:
    """A :class:`~instruments.visa.channels.Channel` without an instrument.

    Settings are checked as in a run: one out of range is refused here too.

    Args:
        role: the instrument's role.
        lines: where the lines go; instruments that share a list show the order among them.

    Attributes:
        lines: ``role: command``; what a query must answer stands behind ``->``.
    """

    def __init__(self, role: str, dialect: Dialect = SCPI, lines: list[str] | None = None) -> None:
        self.role = role
        self.dialect = dialect
        self.lines: list[str] = [] if lines is None else lines
        self.taints: tuple[Taint, ...] = ()
        self._depth = 0

    def _say(self, text: str) -> None:
        self.lines.append(f"{self.role}: {text}")

    def step(self, name: str) -> AbstractContextManager[None]:
        """One transaction."""
        return self._step()

    @contextmanager
    def _step(self) -> Iterator[None]:
        errors, no_error = self.dialect.errors, '0,"No error"'
        outermost = not self._depth
        if outermost and errors:
            self._say(f"{errors} -> {no_error}")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if outermost:
            for text in (errors,) if errors else self.dialect.identify:
                self._say(f"{text} -> {no_error if errors else 'as before'}")

    def command(self, text: str) -> None:
        """Would send a command."""
        with self._step():
            self._say(text)

    def query(self, text: str, within_s: float | None = None) -> str:
        """Would ask, and cannot go on from the answer.

        Raises:
            NoAnswer: always.
        """
        with self._step():
            self._say(f"{text} -> ?")
        raise NoAnswer(self.role, f"a plan has no answer to {text}")

    def confirm(self, text: str, check: Check, shown: str, within_s: float | None = None) -> None:
        """Would ask and demand ``shown``."""
        with self._step():
            self._say(f"{text} -> {shown}")

    def read(
        self,
        text: str,
        what: str,
        unit: str,
        parse: Callable[[str, str], float],
        within_s: float | None = None,
    ) -> Reading:
        """Would measure; the reading has no value."""
        with self._step():
            self._say(f"{text} -> {what} in {unit}")
        return Reading(self.role, what, None, unit, "only planned")

    def poll(self, text: str, check: Check, shown: str, every_s: float, within_s: float) -> None:
        """Would ask until ``shown``."""
        with self._step():
            self._say(f"{text} -> {shown} (every {every_s:g} s, within {within_s:g} s)")

    def settle(self) -> None:
        """Nothing: there is no session."""

    def force(self, text: str) -> None:
        """Would send a command without asking for errors first."""
        self._say(text)

    def declare(self, key: str, apply: Callable[[], None] | None, first: bool = False) -> None:
        """Nothing: there is no session to make anew."""
