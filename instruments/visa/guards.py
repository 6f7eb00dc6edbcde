"""A query and the questions for errors around it in one message: one round trip instead of three.

``SYST:ERR?;:POW?;:SYST:ERR?`` is answered ``0,"No error";-30;0,"No error"``: what the error queue
held before, the answer, and what it held after. Each message asks one or two times at its end, in
turn, so that an answer that has slipped from one question to the next never has the form that is
waited for. IEEE 488.2-1992, 7.3.2 (compound messages), 8.4.1 (responses of several units); SCPI-99
vol. 1, 6.2.4 (a colon goes back to the root).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTRY = r'[+-]?\d+\s*,\s*"(?:[^"]|"")*"'
_STRING = re.compile(r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'')


@dataclass(frozen=True, slots=True)
class Guarded:
    """What an answer told: entries of the error queue and the answer proper."""

    before: tuple[str, ...]
    answer: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """The questions around a query.

    Args:
        errors: the query of the error queue.
        first: whether it is asked before, too.
        last: how often it is asked behind.
    """

    errors: str
    first: bool
    last: int

    def message(self, text: str) -> str:
        """The whole message."""
        ask = self.errors.removeprefix(":")
        parts = [ask, f":{text.removeprefix(':')}"] if self.first else [text]
        return ";".join((*parts, *(f":{ask}",) * self.last))

    def answer(self, shown: str, entry: str) -> str:
        """The whole answer, for plans."""
        return ";".join((*((entry,) if self.first else ()), shown, *(entry,) * self.last))

    def split(self, answer: str) -> Guarded | None:
        """The parts of an answer; None where it has not the form of this message's."""
        match = _pattern(self.first, self.last).match(answer)
        if match is None or _STRING.sub("", match["answer"]).count(";"):
            return None
        if entry_code(match["answer"]) is not None:  # the entry of another message's form
            return None
        last = tuple(match[f"last{n}"] for n in range(self.last))
        before = (match["first"],) if self.first else ()
        return Guarded(_real(before), match["answer"], _real(last))


def _real(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Those that say an error: number 0 says that there is none."""
    return tuple(entry for entry in entries if int(entry.partition(",")[0]) != 0)


def _pattern(first: bool, last: int) -> re.Pattern[str]:
    head = f"(?P<first>{_ENTRY});" if first else ""
    tail = "".join(f";(?P<last{n}>{_ENTRY})" for n in range(last))
    return re.compile(f"{head}(?P<answer>.*?){tail}$", re.DOTALL)  # re keeps it compiled


def entry_code(text: str) -> int | None:
    """The number of an entry of the error queue; None where the text is none."""
    text = text.strip()
    return int(text.partition(",")[0]) if re.fullmatch(_ENTRY, text, re.DOTALL) else None
