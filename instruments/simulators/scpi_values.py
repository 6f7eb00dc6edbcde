"""What an argument may be, and how it is read back: numbers, booleans, choices, texts, blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Protocol

from instruments.simulators.scpi_errors import ScpiError
from instruments.simulators.scpi_syntax import Argument, Block, Expression, Figure, String, Word

Value = float | int | bool | str | bytes

_MULTIPLIERS = {
    "": 0, "K": 3, "G": 9, "T": 12, "M": -3, "MA": 6, "U": -6, "N": -9, "P": -12,
}  # fmt: skip
_MEGA = ("HZ", "OHM")
"""Units before which M means mega (IEEE 488.2, 7.7.3.4)."""

PLAIN_UNITS = ("DBM", "DB", "PCT", "DEG", "DBUV")
"""Units that take no multiplier."""


def suffixes(unit: str) -> Mapping[str, int]:
    """The suffixes that a unit allows, each with its power of ten."""
    if not unit:
        return {}
    if unit in PLAIN_UNITS:
        return {unit: 0}
    found = {f"{name}{unit}": power for name, power in _MULTIPLIERS.items()}
    if unit in _MEGA:
        found[f"M{unit}"] = 6
    return found


class Kind(Protocol):
    """What an argument may be."""

    def read(self, argument: Argument) -> Value:
        """The value of an argument.

        Raises:
            ScpiError: it is of another kind, or outside the range.
        """

    def show(self, value: Value) -> str:
        """The value as a response."""


def plain(value: float) -> str:
    """A number as R&S instruments return it: no exponent where none is needed, nothing lost."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value).upper()


def scientific(value: float) -> str:
    """A number as Keysight instruments return it (NR3)."""
    return f"{value:+.16E}"


@dataclass(frozen=True)
class Number:
    """Numeric data with a range; beyond it is −222 and changes nothing.

    Args:
        low, high: the range, in the unit.
        unit: ``HZ``, ``DBM``, ``S`` …; empty: none.
        resolution: to which a setting is rounded; 0: not rounded.
        default: what ``DEFault`` means.
        whole: returned as an integer.
        format: how a value is returned.
        words: further words, in capitals, as the value that they mean.
    """

    low: float
    high: float
    unit: str = ""
    resolution: float = 0.0
    default: float = 0.0
    whole: bool = False
    format: Callable[[float], str] = plain
    words: Mapping[str, float] = field(default_factory=dict)

    def named(self, word: str) -> float:
        """The value that a word stands for.

        Raises:
            ScpiError: the word stands for none.
        """
        for names, value in (
            (("MIN", "MINIMUM"), self.low),
            (("MAX", "MAXIMUM"), self.high),
            (("DEF", "DEFAULT"), self.default),
            *(((name,), value) for name, value in self.words.items()),
        ):
            if word in names:
                return value
        raise ScpiError(-104 if word in ("ON", "OFF") else -141, word)

    def read(self, argument: Argument) -> float:
        """The number in the unit, rounded to the resolution."""
        if isinstance(argument, Word):
            return self.named(argument.text)
        if not isinstance(argument, Figure):
            raise ScpiError(-104)
        value = argument.value
        if argument.suffix:
            known = suffixes(self.unit)
            if not known:
                raise ScpiError(-138, argument.suffix)
            if argument.suffix not in known:
                raise ScpiError(-131, argument.suffix)
            value = value.scaleb(known[argument.suffix])
        if not Decimal(repr(self.low)) <= value <= Decimal(repr(self.high)):
            raise ScpiError(-222)
        if self.resolution:
            step = Decimal(repr(self.resolution))
            value = (value / step).quantize(Decimal(1), ROUND_HALF_EVEN) * step
        return float(value)

    def show(self, value: Value) -> str:
        """The number, without its unit."""
        number = float(value)
        return str(round(number)) if self.whole else self.format(number)


@dataclass(frozen=True)
class Boolean:
    """``ON``, ``OFF`` or a number, which is off where it rounds to zero."""

    def read(self, argument: Argument) -> bool:
        """On or off."""
        if isinstance(argument, Word):
            if argument.text not in ("ON", "OFF"):
                raise ScpiError(-141, argument.text)
            return argument.text == "ON"
        if not isinstance(argument, Figure) or argument.suffix:
            raise ScpiError(-104)
        return bool(abs(argument.value) >= Decimal("0.5"))

    def show(self, value: Value) -> str:
        """1 or 0."""
        return "1" if value else "0"


@dataclass(frozen=True)
class Choice:
    """One of some words, written like ``CONTinuous``; returned in their short form."""

    words: tuple[str, ...]

    def read(self, argument: Argument) -> str:
        """The word's short form."""
        if not isinstance(argument, Word):
            raise ScpiError(-104)
        for word in self.words:
            if argument.text in forms(word):
                return forms(word)[0]
        raise ScpiError(-141, argument.text)

    def show(self, value: Value) -> str:
        """The short form."""
        return str(value)


@dataclass(frozen=True)
class Text:
    """String data; returned in quotes.

    Args:
        bare: a word without quotes is taken too.
    """

    bare: bool = False

    def read(self, argument: Argument) -> str:
        """The text."""
        if not isinstance(argument, String) and not (self.bare and isinstance(argument, Word)):
            raise ScpiError(-104)
        return argument.text

    def show(self, value: Value) -> str:
        """In double quotes, those inside doubled."""
        return '"' + str(value).replace('"', '""') + '"'


@dataclass(frozen=True)
class Data:
    """Arbitrary block data."""

    def read(self, argument: Argument) -> bytes:
        """The bytes."""
        if not isinstance(argument, Block):
            raise ScpiError(-104)
        return argument.data

    def show(self, value: Value) -> str:
        """As a definite block."""
        assert isinstance(value, bytes)
        return definite_block(value)


def definite_block(data: bytes) -> str:
    """``#<digits><length><data>``, one character for each byte (latin-1)."""
    length = str(len(data))
    return f"#{len(length)}{length}{data.decode('latin-1')}"


def forms(word: str) -> tuple[str, str]:
    """Short and long form of a word written like ``FREQuency``."""
    return "".join(c for c in word if not c.islower()), word.upper()


def channel_list(argument: Argument, count: int) -> tuple[int, ...]:
    """The channels of ``(@1)``, ``(@1,3)`` or ``(@1:3)``.

    Raises:
        ScpiError: no channel list (−104), or a channel that is not there (−222).
    """
    if not isinstance(argument, Expression) or not argument.text.startswith("@"):
        raise ScpiError(-104)
    channels: list[int] = []
    for piece in argument.text[1:].split(","):
        ends = [end.strip() for end in piece.split(":")]
        if len(ends) > 2 or not all(end.isascii() and end.isdigit() for end in ends):
            raise ScpiError(-171, argument.text)
        first, last = int(ends[0][:9]), int(ends[-1][:9])
        if not 1 <= first <= last <= count:
            raise ScpiError(-222, argument.text)
        channels.extend(range(first, last + 1))
    return tuple(channels)
