"""How the packets of one of a device's streams are told from all others in a capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SequenceField:
    """Where the application numbers its packets: an unsigned integer in the payload.

    ``offset``: byte of the payload at which it starts. ``bytes``: 1, 2, 4 or 8. ``order``: ``>``
    for network order, ``<`` for little endian.
    """

    offset: int
    bytes: int
    order: Literal[">", "<"] = ">"


@dataclass(frozen=True, slots=True)
class StreamRule:
    """One stream of a device, as it looks on the wire.

    ``protocol``: IP protocol number, 17 or 6. ``port``: destination port. ``magic``: the payload
    starts with these bytes (at most 8; empty: any). ``sequence``: the application's own number,
    where it has one. ``mask``: which bits of the magic count, as long as it; empty: all.
    ``segments``: over TCP, of segments that carry data alone, numbered by TCP's own sequence
    number (RFC 9293, 3.1): a segment that is sent again bears the same number.
    """

    name: str
    protocol: int
    port: int
    magic: bytes = b""
    sequence: SequenceField | None = None
    mask: bytes = b""
    segments: bool = False
