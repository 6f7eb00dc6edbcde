"""What became of one message, and what strikes within one."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Strikes:
    """Faults that strike one command of a message that may hold several.

    Attributes:
        error: code and text that are in the queue once the command was carried out; None: none.
        error_on: that command; empty: the first that is not of the status.
        instead: what is answered instead; None: nothing is.
        instead_on: that query; empty: all but those of the status.
    """

    error: tuple[int, str] | None = None
    error_on: str = ""
    instead: str | None = None
    instead_on: str = ""


NOTHING = Strikes()


@dataclass
class Outcome:
    """What became of one message.

    Attributes:
        response: without its terminator; None: there is none.
        errors: what was wrong with it, for people.
        codes: the same as numbers of the instrument's own.
        struck: the faults that strike within a message have struck.
    """

    response: bytes | None = None
    errors: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    struck: bool = False
