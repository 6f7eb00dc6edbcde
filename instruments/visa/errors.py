"""What can go wrong between the bench and an instrument: the bench's own fault, never the device's.

Every one of them ends a measurement as ERROR or INCONCLUSIVE; none of them carries a number.
"""

from __future__ import annotations


class InstrumentError(RuntimeError):
    """An instrument, or the way to it, failed.

    Args:
        role: the instrument's role in the bench (``generator``).
        problem: what happened, in a few words.
    """

    def __init__(self, role: str, problem: str) -> None:
        self.role = role
        self.problem = problem
        super().__init__(f"{role}: {problem}")


class Unreachable(InstrumentError):
    """Nobody answers at the address."""


class WrongIdentity(InstrumentError):
    """Another instrument than the configured one answers."""


class Busy(InstrumentError):
    """Somebody else uses the instrument."""


class DeadlinePassed(InstrumentError):
    """No answer, or half of one, within the deadline. The session has been made anew."""


class LinkLost(InstrumentError):
    """The instrument closed the connection. The session has been made anew."""


class Broken(InstrumentError):
    """The session could not be made anew; nothing is known of the instrument's state."""


class Desynchronised(InstrumentError):
    """An answer does not belong to its question."""


class Reported(InstrumentError):
    """The instrument's own error queue was not empty.

    Attributes:
        entries: what it held, as the instrument wrote it.
    """

    def __init__(self, role: str, when: str, entries: tuple[str, ...]) -> None:
        self.entries = entries
        super().__init__(role, f"error queue {when}: {'; '.join(entries)}")


class BadAnswer(InstrumentError):
    """The answer cannot be read as what was asked for."""


class NotAResult(InstrumentError):
    """The instrument says that it has no result (9.9E37, NAV, INV, OFL, UFL …)."""


class NotApplied(InstrumentError):
    """The instrument reads back something else than what was set."""


class Tainted(InstrumentError):
    """The value was taken in a transaction during which the session had to be made anew."""


class NotSafe(InstrumentError):
    """The safe state could not be reached, or not be verified."""


class Excess(InstrumentError):
    """A port would get more power than it bears."""


class NotWitnessed(InstrumentError):
    """An input cannot say whether anything happened: unplugged, stuck, silent, or not complete."""


class NoAnswer(InstrumentError):
    """A plan only prints what would be sent: there is no instrument to answer."""


class ReplayDiffers(InstrumentError):
    """What is played back asks for something else than what the transcript holds."""
