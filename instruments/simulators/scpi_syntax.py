"""The syntax of program messages (IEEE 488.2-1992, chapter 7; SCPI-1999 volume 1, chapter 6).

Bytes come in, program messages come out (:class:`Framer`), and a message becomes units: header,
query or not, arguments by their form. What the header and the arguments mean is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from instruments.simulators.scpi_errors import ScpiError

LONGEST_MESSAGE = 16 << 20
"""Bytes of one message, with its blocks. What is longer is refused with −363."""


@dataclass(frozen=True, slots=True)
class Word:
    """Character data, like ``MAX`` or ``ON``."""

    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """Decimal or non-decimal numeric data with the suffix as it was written (``""``: none)."""

    value: Decimal
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class String:
    """String data, without its quotes."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Arbitrary block data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expression:
    """Expression data, without its parentheses."""

    text: str


Argument = Word | Figure | String | Block | Expression


@dataclass(frozen=True, slots=True)
class Unit:
    """One program message unit.

    Attributes:
        header: the nodes from the root, as written, in capitals; ``("*RST",)`` for a common one.
        query: whether it ended with a question mark.
        arguments: in order.
        text: the whole unit as written.
    """

    header: tuple[str, ...]
    query: bool
    arguments: tuple[Argument, ...]
    text: str

    @property
    def common(self) -> bool:
        """A common command of IEEE 488.2."""
        return self.header[0].startswith("*")


class Framer:
    """Cuts a stream of bytes into messages: at line feeds that do not lie inside a block.

    A line feed also ends a message inside quotes: an instrument must not wait for ever.
    """

    def __init__(self, longest: int = LONGEST_MESSAGE) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._at = 0
        self._quote = 0
        self._plain = False
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The messages that are whole now, without their line feed; None for one too long."""
        self._buffer += data
        found: list[bytes | None] = []
        while (end := self._end()) is not None:
            found.append(None if self._skipping else bytes(self._buffer[:end]))
            self._start_after(end)
        if len(self._buffer) > self._longest + 16:
            self._skipping = True
            self._plain = True
            self._buffer.clear()
            self._at = 0
        return found

    def _start_after(self, end: int) -> None:
        del self._buffer[: end + 1]
        self._at = self._quote = 0
        self._plain = self._skipping = False

    def _end(self) -> int | None:
        """Where the first message ends; None as long as it has not."""
        while self._at < len(self._buffer):
            byte = self._buffer[self._at]
            if byte == 0x0A:
                return self._at
            if self._plain:
                self._at += 1
            elif self._quote:
                self._quote = 0 if byte == self._quote else self._quote
                self._at += 1
            elif byte in b"\"'":
                self._quote = byte
                self._at += 1
            elif byte == 0x23:  # "#"
                step = self._block()
                if step is None:
                    return None
                self._at += step
            else:
                self._at += 1
        return None

    def _block(self) -> int | None:
        """Bytes from "#" to the end of its block; 1 where it is none; None: not known yet."""
        rest = self._buffer[self._at + 1 : self._at + 11]
        if not rest:
            return None
        if rest[0] == 0x30:  # indefinite: up to the line feed
            self._plain = True
            return 1
        if rest[0] not in b"123456789":
            return 1
        digits = rest[0] - 0x30
        length = bytes(rest[1 : 1 + digits])
        if not (length.isdigit() or not length):
            return 1
        if len(length) < digits:
            return None
        return 2 + digits + int(length) if int(length) <= self._longest else 1


_HEADER = re.compile(r"(:?)(\*?[A-Za-z][A-Za-z0-9_]*(?::[A-Za-z][A-Za-z0-9_]*)*)(\?)?(?=\s|$)")
_DECIMAL = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]\s*[+-]?\d{1,5})?)\s*([A-Za-z%][A-Za-z0-9./*%^-]*)?$"
)
_NON_DECIMAL = re.compile(r"#(?:[Hh]([0-9A-Fa-f]+)|[Qq]([0-7]+)|[Bb]([01]+))$")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*$")
_BASES = (16, 8, 2)
_LONGEST_PLAIN = 255
"""Characters of a number or word (IEEE 488.2, 7.7.2.4.1: 255 digits)."""


def units(message: bytes) -> Iterator[Unit]:
    """The units of a message, one after the other; the compound-header rule is applied.

    Raises:
        ScpiError: a unit is not written as the standard asks; units before it came out.
    """
    path: tuple[str, ...] = ()
    for piece in _split(message.decode("latin-1"), ";"):
        if not piece.strip():
            continue
        unit = _unit(piece.lstrip(), path)
        if not unit.common:
            path = unit.header[:-1]
        yield unit


def _unit(text: str, path: tuple[str, ...]) -> Unit:
    match = _HEADER.match(text)
    if match is None:
        known = text[0].isalpha() or text[0] in ":*"
        raise ScpiError(-102 if known else -101, text)
    rooted, words, query = match.groups()
    header = tuple(words.upper().split(":"))
    if header[0].startswith("*"):
        if rooted or len(header) > 1:
            raise ScpiError(-102, text)
    elif not rooted:
        header = path + header
    rest = text[match.end() :].lstrip()
    pieces = _split(rest, ",") if rest else []
    return Unit(header, query is not None, tuple(_argument(p.lstrip()) for p in pieces), text)


def _split(text: str, separator: str) -> list[str]:
    """Cut at a separator that is in no string, block or expression."""
    pieces, start, at, depth = [], 0, 0, 0
    quote = ""
    while at < len(text):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#" and (length := _block_length(text, at)) is not None:
            at += length
            continue
        elif char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char == separator and not depth:
            pieces.append(text[start:at])
            start = at + 1
        at += 1
    return [*pieces, text[start:]]


def _block_length(text: str, at: int) -> int | None:
    """Characters of the block that begins at "#"; None where it is none."""
    if text[at + 1 : at + 2] == "0":
        return len(text) - at
    if not ("1" <= text[at + 1 : at + 2] <= "9"):
        return None
    digits = int(text[at + 1])
    length = text[at + 2 : at + 2 + digits]
    if len(length) < digits or not (length.isascii() and length.isdigit()):
        return None
    return 2 + digits + int(length)


def _argument(text: str) -> Argument:
    if text.startswith("#"):  # white space at its end may be data
        return _hash(text)
    text = text.rstrip()
    if not text:
        raise ScpiError(-109)
    if text[0] in "\"'":
        if len(text) < 2 or text[-1] != text[0]:
            raise ScpiError(-151, text)
        return String(text[1:-1].replace(text[0] * 2, text[0]))
    if text[0] == "(":
        if text[-1] != ")":
            raise ScpiError(-171, text)
        return Expression(text[1:-1].strip())
    if len(text) > _LONGEST_PLAIN:
        raise ScpiError(-124)
    if _WORD.match(text):
        return Word(text.upper())
    figure = _DECIMAL.match(text)
    if figure is None:
        raise ScpiError(-102, text)
    return Figure(Decimal("".join(figure[1].split())), (figure[2] or "").upper())


def _hash(text: str) -> Argument:
    match = _NON_DECIMAL.match(text.rstrip()) if len(text) <= _LONGEST_PLAIN else None
    if match is not None:
        for base, digits in zip(_BASES, match.groups(), strict=True):
            if digits:
                return Figure(Decimal(int(digits, base)))
    if text[1:2] == "0":
        return Block(text[2:].encode("latin-1"))
    length = _block_length(text, 0)
    if length is None or length > len(text) or text[length:].strip():
        raise ScpiError(-161)
    return Block(text[2 + int(text[1]) : length].encode("latin-1"))
