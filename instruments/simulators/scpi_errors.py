"""The errors of SCPI-1999 volume 2, chapter 21: numbers, texts, and their bit in the ESR."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

TEXTS: Mapping[int, str] = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -124: "Too many digits",
    -131: "Invalid suffix",
    -138: "Suffix not allowed",
    -141: "Invalid character data",
    -151: "Invalid string data",
    -161: "Invalid block data",
    -171: "Invalid expression",
    -200: "Execution error",
    -221: "Settings conflict",
    -222: "Data out of range",
    -224: "Illegal parameter value",
    -230: "Data corrupt or stale",
    -256: "File name not found",
    -310: "System error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
}
QUEUE_LENGTH = 30


class ScpiError(Exception):
    """A command is refused.

    Args:
        code: number of the error; negative ones are SCPI's own.
        text: of an error that :data:`TEXTS` does not have.
        about: what it is about; shown after the text, as instruments do.
    """

    def __init__(self, code: int, about: str = "", *, text: str | None = None) -> None:
        self.code = code
        words = TEXTS.get(code, "Device-specific error") if text is None else text
        about = "".join(c for c in about if c.isprintable() and c != '"')[:80]
        self.text = f"{words};{about}" if about else words
        super().__init__(f'{code},"{self.text}"')


def esr_bit(code: int) -> int:
    """The bit of the standard event status register (IEEE 488.2, 11.5.1) that an error sets."""
    for low, bit in ((-199, 5), (-299, 4), (-399, 3), (-499, 2)):
        if low <= code <= low + 99:
            return 1 << bit
    return 1 << 3


class ErrorQueue:
    """First in, first out, bounded; a full queue ends with −350 and loses what comes after."""

    def __init__(self, length: int = QUEUE_LENGTH) -> None:
        self._length = length
        self._errors: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._errors)

    def put(self, error: ScpiError) -> None:
        """Append an error."""
        if len(self._errors) < self._length:
            self._errors.append(str(error))
        else:
            self._errors[-1] = str(ScpiError(-350))

    def take(self) -> str:
        """The oldest error, or no error."""
        return self._errors.popleft() if self._errors else str(ScpiError(0))

    def clear(self) -> None:
        """Forget all."""
        self._errors.clear()
