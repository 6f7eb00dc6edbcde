"""The line protocol of the contact box, a small microcontroller (``docs/contact_box.ino``).

Lines of ASCII at 115200 bit/s, each ending with ``*``, two hexadecimal digits (the exclusive or of
all bytes before the ``*``, as in NMEA 0183) and CR LF.

To the box      ``<id> <word> <arguments>``; the id, 0 to 999, comes back with the answer:
                ``ID`` (who), ``PING`` (the time), ``SET <output> <0|1>``, ``GET`` (all levels)
From the box    ``<number> <t_us> <word> <arguments>``; the number counts all lines modulo 65536,
                ``t_us`` is the box's clock, microseconds modulo 2^32, when it happened:
                ``OK <id> …`` and ``NO <id> <reason>``: answers
                ``E <input> <0|1>``: an input has changed; every edge, nothing is debounced
                ``H <levels> <dropped>``: every 100 ms: inputs (hexadecimal, input 0 in bit 0) and
                how many edges could not be sent since power-on
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from operator import xor

NUMBERS, CLOCK_US, IDS = 1 << 16, 1 << 32, 1000
HEARTBEAT_S = 0.1
MAKER, MODEL = "telemed-bench", "contact-box-1"
_LINE = re.compile(r"^(\d{1,5}) (\d{1,10}) ([A-Z]{1,8})((?: \S+)*)$")


@dataclass(frozen=True, slots=True)
class Said:
    """A line from the box; ``t_us`` as the box wrote it."""

    number: int
    t_us: int
    word: str
    arguments: tuple[str, ...]


def sealed(text: str) -> bytes:
    """A line as it is sent."""
    return f"{text}*{reduce(xor, text.encode('ascii'), 0):02X}\r\n".encode("ascii")


def opened(line: bytes) -> str:
    """The text of a line.

    Raises:
        ValueError: its checksum is missing or wrong: bytes were lost or changed.
    """
    body, star, digits = line.strip().rpartition(b"*")
    if not star or digits != f"{reduce(xor, body, 0):02X}".encode():
        raise ValueError(f"{line!r} has a wrong checksum")
    return body.decode("latin-1")


def said(line: bytes) -> Said:
    """A line from the box.

    Raises:
        ValueError: it is none.
    """
    match = _LINE.match(opened(line))
    if match is None:
        raise ValueError(f"{line!r} is no line of a contact box")
    number, t_us = int(match[1]), int(match[2])
    if number >= NUMBERS or t_us >= CLOCK_US:
        raise ValueError(f"{line!r} has a number out of range")
    return Said(number, t_us, match[3], tuple(match[4].split()))
