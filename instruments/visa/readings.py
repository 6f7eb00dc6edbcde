"""What an instrument answers: numbers, what is not a number, and what is tainted."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from instruments.visa.errors import BadAnswer, NotAResult, Tainted

_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")

NO_RESULT = frozenset({"NAV", "INV", "OFL", "UFL", "OFF", "NCAP", "NAN", "INF", "-INF", "NINF"})
"""Words in the place of a number. NAV, INV, OFL, UFL, NCAP, OFF: R&S CMW manuals, "Common Elements
of Commands, values"; NAN, INF, NINF: SCPI-99 vol. 1, 7.2.1."""

_LEVELS_DBM = (-300.0, 100.0)
"""Beyond any receiver's noise and any transmitter's power: a number that no measurement gives."""

_NO_RESULT_FROM = 9.9e37
"""SCPI-99 vol. 1, 7.2.1: ±9.9E37 stands for infinity, 9.91E37 for not a number."""


def number(text: str, role: str) -> float:
    """The number in an answer, which holds nothing else.

    Raises:
        NotAResult: the instrument says that it has none.
        BadAnswer: it is not a number.
    """
    word = text.strip().strip('"')
    if word.upper() in NO_RESULT or (word and set(word) <= set("-*")):
        raise NotAResult(role, f"answers {word!r}: no result")
    if not _NUMBER.match(word):
        raise BadAnswer(role, f"answers {text!r}, which is not a number")
    value = float(word)
    if not math.isfinite(value) or abs(value) >= _NO_RESULT_FROM:
        raise NotAResult(role, f"answers {word}: no result")
    return value


def numbers(text: str, role: str) -> tuple[float, ...]:
    """The numbers of an answer that lists them with commas; raises as :func:`number`."""
    return tuple(number(part, role) for part in text.split(","))


def level_dbm(text: str, role: str) -> float:
    """The level in an answer, dBm.

    Raises:
        NotAResult: the instrument has none, or the number lies where no level does.
        BadAnswer: it is not a number.
    """
    value = number(text, role)
    if not _LEVELS_DBM[0] <= value <= _LEVELS_DBM[1]:
        raise NotAResult(role, f"answers {text.strip()}, which is no level in dBm: no result")
    return value


def levels_dbm(text: str, role: str) -> tuple[float, ...]:
    """The levels of an answer that lists them with commas, dBm; raises as :func:`level_dbm`."""
    return tuple(level_dbm(part, role) for part in text.split(","))


@dataclass(frozen=True, slots=True)
class Taint:
    """Why what was measured around that time cannot be relied on.

    ``t_ns``: monotonic; ``step``: during which step; ``cause``: what happened.
    """

    role: str
    t_ns: int
    step: str
    cause: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured value, or why there is none; the unit is SI or dBm, dB.

    A reading that is tainted or has no value never gives a number: :meth:`number` is the only way
    to take it as one. ``value`` is for showing what came.
    """

    role: str
    what: str
    value: float | None
    unit: str
    missing: str = ""
    taints: tuple[Taint, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether there is a value that can be relied on."""
        return self.value is not None and not self.taints

    @property
    def reason(self) -> str:
        """Why it is not valid; empty where it is."""
        if self.taints:
            return f"{self.what}: " + "; ".join(taint.cause for taint in self.taints)
        return f"{self.what}: {self.missing}" if self.value is None else ""

    def number(self) -> float:
        """The value.

        Raises:
            Tainted: the session had to be made anew meanwhile.
            NotAResult: there is none.
        """
        if self.taints:
            raise Tainted(self.role, self.reason)
        if self.value is None:
            raise NotAResult(self.role, self.reason)
        return self.value

    def tainted_by(self, taints: tuple[Taint, ...]) -> Reading:
        """The same with further taints: those of other steps of one measurement."""
        return replace(self, taints=self.taints + taints)
