"""Reading capture files in bounded pieces, also those larger than memory or still being written."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.captures.blocks import (
    MOST_BLOCK,
    SECTION,
    Bytes,
    Damaged,
    Interface,
    Order,
    PcapngWalker,
    PcapWalker,
    Records,
)
from bench.errors import InputError
from bench.units import NS_PER_S

PIECE = 2 * MOST_BLOCK
"""How many bytes are in memory at once."""

SLACK = 128
"""Bytes behind the end of the buffer that may be read (and mean nothing)."""

# magic numbers, with stamps per second, and bytes of a record's header
_PCAP = {
    0xA1B2C3D4: (1_000_000, 16),
    0xA1B23C4D: (1_000_000_000, 16),
    0xA1B2CD34: (1_000_000, 24),  # libpcap with Kuznetzov's patches
}
_PACKED = {b"\x1f\x8b": "gzip", b"(\xb5": "zstd", b"BZ": "bzip2", b"\xfd7": "xz"}


@dataclass(slots=True)
class CaptureReader:
    """The packets of one capture file, piece by piece.

    Iterate it once: each item is the buffer and the records in it, valid until the next. Then
    ``truncated`` tells whether the last record was cut (used up to there), ``dropped`` how many
    packets the taps say they missed, ``without_time`` how many had no time stamp and were left
    out, and ``resolution_s`` the coarsest step of the stamps. ``share_left``: how much of the file
    comes after the item, as a multiple of what has come.

    Iterating raises:
        InputError: no such file, empty, not a capture, or damaged; names file and remedy.
    """

    path: Path
    truncated: bool = field(default=False, init=False)
    dropped: int = field(default=0, init=False)
    without_time: int = field(default=0, init=False)
    resolution_s: float = field(default=0.0, init=False)
    share_left: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[tuple[Bytes, Records]]:
        try:
            with self.path.open("rb", buffering=0) as file:
                yield from self._pieces(file)
        except FileNotFoundError as error:
            raise self._error("no such file", "check the path of the capture") from error
        except OSError as error:
            raise self._error(f"cannot be read ({error.strerror})", "give a file") from error

    def _error(self, problem: str, remedy: str) -> InputError:
        return InputError(problem, remedy=remedy, file=self.path)

    def _pieces(self, file: BinaryIO) -> Iterator[tuple[Bytes, Records]]:
        buffer = np.zeros(PIECE + SLACK, dtype=np.uint8)
        room = buffer.data
        have = _fill(file, room, 0)
        walker, start = self._open(bytes(buffer[: min(have, 24)]))
        have -= start
        buffer[:have] = buffer[start : start + have].copy()
        place = start
        while True:
            have = _fill(file, room, have)
            try:
                found, used = walker.walk(buffer, have)
            except Damaged as damage:
                where = f" at byte {place + damage.at}" if damage.at >= 0 else ""
                raise self._error(
                    f"is damaged{where}: {damage.why}", "capture again, or cut the file before it"
                ) from damage
            size = os.fstat(file.fileno()).st_size
            self.share_left = max(0.0, size / max(1, place + used) - 1)
            self._note(walker.interfaces, walker.dropped, walker.without_time)
            for records in found:
                if len(records):
                    yield buffer, records
            if have < PIECE:  # the file ends here; what it grows later belongs to a later reading
                self.truncated = have > used
                return
            place += used
            have -= used
            buffer[:have] = buffer[used : used + have].copy()

    def _note(self, interfaces: list[Interface], dropped: int, without_time: int) -> None:
        self.dropped, self.without_time = dropped, without_time
        self.resolution_s = max((1 / min(each.units, NS_PER_S) for each in interfaces), default=0.0)

    def _open(self, head: bytes) -> tuple[PcapWalker | PcapngWalker, int]:
        """The walker for the file, and where it starts."""
        if not head:
            raise self._error("is empty", "capture again: not even a file header was written")
        for order in _ORDERS:
            magic = struct.unpack(order + "I", head[:4])[0] if len(head) >= 4 else 0
            if magic == SECTION:
                return PcapngWalker(), 0
            if magic in _PCAP and len(head) == 24:
                link = struct.unpack_from(order + "I", head, 20)[0] & 0xFFFF
                return PcapWalker(order, link, *_PCAP[magic]), 24
        if head[:2] in _PACKED:
            raise self._error(f"is packed ({_PACKED[head[:2]]})", "unpack it first")
        raise self._error(
            "is not a capture: neither pcap nor pcapng",
            "give a file as tcpdump -w or Wireshark writes it",
        )


_ORDERS: tuple[Order, Order] = ("<", ">")


def _fill(file: BinaryIO, room: memoryview, have: int) -> int:
    """Read until the buffer is full or the file ends; how much there is now."""
    while have < PIECE:
        count = file.readinto(room[have:PIECE])  # type: ignore[attr-defined]
        if not count:
            break
        have += count
    return have
