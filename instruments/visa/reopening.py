"""Opening, and opening anew: who answers, what was declared is set again, what is tainted.

A late answer would be taken for the next question's. So a timeout ends the connection: it is opened
anew, the identity verified, the declared state set again, and the step is tainted.
"""

from __future__ import annotations

from collections.abc import Callable

from instruments.visa.errors import (
    Broken,
    DeadlinePassed,
    InstrumentError,
    LinkLost,
    Reported,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.lines import Line
from instruments.visa.readings import Taint
from instruments.visa.resources import Identity


class Reopening:
    """What makes a session anew.

    Args:
        line: the connection.
        drain: empties the error queue and returns what it held.

    Attributes:
        active: while it is being made anew: what is asked then belongs to no step.
        identity: who answered when it was opened first.
        taints: every taint.
    """

    def __init__(self, line: Line, drain: Callable[[], tuple[str, ...]]) -> None:
        self._line, self._drain = line, drain
        self.active = False
        self.identity = Identity("", "")
        self.taints: list[Taint] = []
        self._declared: dict[str, tuple[bool, Callable[[], None]]] = {}

    @property
    def declared(self) -> tuple[str, ...]:
        """The keys of the declared state, in the order in which it would be set again."""
        return tuple(sorted(self._declared, key=lambda key: not self._declared[key][0]))

    def declare(self, key: str, apply: Callable[[], None] | None, first: bool) -> None:
        """Say how a state is reached again; None forgets it."""
        if self.active:
            return
        self._declared.pop(key, None)
        if apply is not None:
            self._declared[key] = (first, apply)

    def open(self) -> None:
        """Open the line and verify who answers.

        Raises:
            Unreachable, WrongIdentity: it cannot be used.
        """
        line = self._line
        line.open()
        try:
            found = line.who()
        except (DeadlinePassed, LinkLost, Broken) as error:
            line.close(f"is broken: {error.problem}")
            raise Unreachable(line.role, f"does not say who it is ({error.problem})") from error
        differs = line.resource.identity.differs(found)
        if not differs and self.identity.model and found != self.identity:
            differs = f"it is {found}, it was {self.identity}"
        if differs:
            raise WrongIdentity(line.role, f"another instrument answers: {differs}")
        self.identity = found

    def fault(self, cause: str, step: str) -> tuple[str, ...]:
        """Taint the step and make the session anew; what the error queue held then.

        Args:
            step: empty while it is opened: then there is nothing to make anew.

        Raises:
            Broken: it cannot be, or this happened while it was.
        """
        line = self._line
        self.taints.append(Taint(line.role, line.last_ns, step or "opening", cause))
        line.close(f"is broken: {cause}")
        if self.active or not step:
            raise Broken(line.role, line.why)
        return self.revive()

    def revive(self) -> tuple[str, ...]:
        """Open again, verify the identity, drop old errors and set the declared state again.

        Returns the old errors: they may say why an answer was missing.

        Raises:
            Broken: it is not possible; so is every further transaction until this succeeds.
        """
        line, was = self._line, self.active
        self.active = True
        try:
            line.close()
            self.open()
            old = self._drain()
            for text in old:
                line.record("note", f"error queue after opening anew: {text}")
            for key in self.declared:
                self._declared[key][1]()
            found = self._drain()
            if found:
                raise Reported(line.role, "after the state was set again", found)
        except InstrumentError as error:
            line.close(f"is broken: could not be made anew ({error.problem})")
            raise Broken(line.role, line.why) from error
        finally:
            self.active = was
        return old
