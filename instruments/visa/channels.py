"""What a driver talks through: a live session, or a plan that only prints.

A driver never looks at which of the two it has, so that a plan shows the very commands that a run
would send.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from instruments.visa.errors import BadAnswer
from instruments.visa.guards import Guard
from instruments.visa.readings import Reading, Taint
from instruments.visa.resources import Identity

Check = Callable[[str], str]
"""What is wrong with an answer, in words; empty where nothing is. May raise InstrumentError."""


class Channel(Protocol):
    """Transactions with one instrument."""

    @property
    def role(self) -> str:
        """The instrument's role."""

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Every taint since the session was opened."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """One transaction. Steps nest.

        Nobody else speaks meanwhile. The outermost drains the error queue before and after.

        Raises:
            Reported: the error queue was not empty.
        """

    def command(self, text: str) -> None:
        """Send a command that has no answer."""

    def query(self, text: str, within_s: float | None = None) -> str:
        """Send a query; its answer without the terminator. ``within_s``: another deadline.

        Raises:
            DeadlinePassed, LinkLost: the session was made anew, the step is tainted.
            Tainted: the step was tainted before.
        """

    def confirm(self, text: str, check: Check, shown: str, within_s: float | None = None) -> None:
        """Send a query whose answer must pass ``check``; ``shown``: what it must be, for plans.

        Raises:
            NotApplied: it does not.
        """

    def read(
        self,
        text: str,
        what: str,
        unit: str,
        parse: Callable[[str, str], float],
        within_s: float | None = None,
    ) -> Reading:
        """Measure: ``parse(answer, role)`` gives the value. What goes wrong is in the reading."""

    def poll(self, text: str, check: Check, shown: str, every_s: float, within_s: float) -> None:
        """Ask again and again until the answer passes ``check``.

        Raises:
            NotApplied: it never did.
        """

    def settle(self) -> None:
        """Make ready for the safe state: a broken session anew, old errors dropped and recorded.

        Raises:
            Broken: it cannot be made anew.
        """

    def force(self, text: str) -> None:
        """Send a command whatever the error queue holds; for switching off only."""

    def declare(self, key: str, apply: Callable[[], None] | None, first: bool = False) -> None:
        """Say how a state is reached again, should the session have to be made anew.

        ``apply`` sets and confirms it; None forgets it. ``first``: before all that are not.
        """


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a kind of instrument is asked who it is and what went wrong.

    ``errors``: the query of the error queue; empty where there is none: then the model is asked
    again after each step, to see that answers still belong to their questions.
    ``blank_lines``: whether empty lines may stand before an answer.
    ``compound``: whether two queries may stand in one message (IEEE 488.2-1992, 7.3.2).
    """

    name: str
    identify: tuple[str, ...]
    identity: Callable[[tuple[str, ...], str], Identity]
    errors: str = ""
    blank_lines: bool = False
    compound: bool = False
    source: str = ""

    def guard(self, text: str, alone: bool, turn: int) -> Guard | None:
        """The questions for errors that a query can carry along; None: it must stand for itself.

        Common queries do: nothing may follow ``*IDN?`` (IEEE 488.2-1992, 10.14.3). So do those for
        errors. Compound messages are sent as they were written.

        Args:
            alone: no step is around it: errors are asked for before it, too.
            turn: how many guarded messages there were.
        """
        plain = "?" in text and ";" not in text and not text.startswith("*")
        if not (self.compound and self.errors and plain) or "ERR" in text.upper():
            return None
        return Guard(self.errors, alone, 1 + turn % 2)


def _idn(answers: tuple[str, ...], role: str) -> Identity:
    parts = [part.strip() for part in answers[0].split(",", 3)]
    if len(parts) != 4:
        raise BadAnswer(role, f"answers *IDN? with {answers[0]!r}, which has no four fields")
    return Identity(*parts)


SCPI = Dialect(
    "SCPI",
    ("*IDN?",),
    _idn,
    "SYST:ERR?",
    compound=True,
    source="IEEE 488.2-1992, 10.14 (*IDN?); SCPI-99 vol. 2, 21.8 (SYSTem:ERRor[:NEXT]?)",
)
