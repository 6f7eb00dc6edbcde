"""What became of one message."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What became of one message.

    Attributes:
        response: without its terminator; None: there is none.
        errors: what was wrong with it, for people.
        codes: the same as numbers of the instrument's own.
    """

    response: bytes | None = None
    errors: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
