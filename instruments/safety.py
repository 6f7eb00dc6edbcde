"""The safe state, on every way out: RF off, attenuators at their most, supplies off, all verified.

It is a context manager and never a step of a test. It makes everything safe when it is entered too:
a run that was killed could not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from instruments.visa.channels import Channel
from instruments.visa.errors import InstrumentError, NotSafe

_ATTEMPTS = 2
_entered = 0


def entered() -> int:
    """How many safe states are entered, or debts open: what ends by force waits for these."""
    return _entered


@contextmanager
def owing() -> Iterator[None]:
    """While something else must be given back on the way out: what ends by force waits for it."""
    global _entered
    _entered += 1
    try:
        yield
    finally:
        _entered -= 1


class Safeable(Protocol):
    """An instrument that has a safe state."""

    @property
    def channel(self) -> Channel:
        """Its channel."""

    def make_safe(self) -> None:
        """Reach the safe state and verify it by queries. Raises: InstrumentError."""


class SafeState:
    """Makes instruments safe on entering and on leaving, whatever happens in between.

    Args:
        instruments: in the order in which they are made safe: what emits first.
    """

    def __init__(self, instruments: Sequence[Safeable]) -> None:
        self._instruments = tuple(instruments)

    def __enter__(self) -> Self:
        """Make all safe.

        Raises:
            NotSafe: one could not be, or not be verified; the others are.
        """
        global _entered
        _entered += 1
        try:
            self.make_safe()
        except BaseException:
            _entered -= 1
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make all safe.

        Raises:
            NotSafe: as on entering; what ended the block is its context.
        """
        global _entered
        try:
            self.make_safe()
        finally:
            _entered -= 1

    def make_safe(self) -> None:
        """Make every one safe, also where another cannot be, also when interrupted meanwhile.

        Raises:
            NotSafe: at least one could not be, or not be verified; it says which and why.
        """
        problems: list[str] = []
        interrupted: BaseException | None = None
        for instrument in self._instruments:
            failure = ""
            for _ in range(_ATTEMPTS):
                try:
                    instrument.make_safe()
                except InstrumentError as error:
                    failure = str(error)
                except BaseException as error:  # Ctrl-C: this one and the others come first
                    interrupted = error
                    failure = f"{instrument.channel.role}: interrupted"
                else:
                    failure = ""
                    break
            if failure:
                problems.append(failure)
        if problems:
            role = problems[0].partition(":")[0]
            raise NotSafe(role, "not verified to be safe: " + "; ".join(problems)) from interrupted
        if interrupted is not None:
            raise interrupted
