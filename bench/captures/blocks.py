"""Where the packets of a capture file lie: pcap and pcapng, walked record by record.

pcap after draft-ietf-opsawg-pcap, pcapng after draft-ietf-opsawg-pcapng. A walker looks at bytes
in memory and returns places; it keeps no packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.captures.walking import Mask, walk
from bench.units import NS_PER_S

Order = Literal["<", ">"]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MOST_PACKET = 1 << 20
"""A record that claims more bytes than this is damage, not a packet."""

MOST_BLOCK = 4 << 20
"""The same for a pcapng block of any kind."""

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, STATISTICS, PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6

_BYTE_ORDER = 0x1A2B3C4D
_END, _RESOLUTION, _OFFSET, _IF_DROP, _OS_DROP = 0, 9, 14, 5, 7
_MOST_NS = 1 << 62


class Damaged(Exception):
    """The bytes at ``at`` of the buffer are no record."""

    def __init__(self, at: int, why: str) -> None:
        self.at, self.why = at, why
        super().__init__(why)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Packets of one stretch of a buffer; arrays of shape ``(n,)``.

    ``at``: first captured byte in the buffer; ``captured``, ``length``: bytes kept and on the
    wire; ``link``: LINKTYPE_ numbers; ``t_ns``: ns since 1970.
    """

    at: Ints
    captured: Ints
    length: Ints
    link: Ints
    t_ns: Ints

    def __len__(self) -> int:
        return len(self.at)

    def select(self, rows: Ints | slice) -> Records:
        """Some of the packets."""
        return Records(
            self.at[rows], self.captured[rows], self.length[rows], self.link[rows], self.t_ns[rows]
        )

    def batches(self, count: int) -> Iterator[Records]:
        """The same packets, at most ``count`` at a time."""
        for start in range(0, len(self), count):
            yield self.select(slice(start, start + count))


@dataclass(slots=True)
class Interface:
    """One tap of a file. ``units`` per second of its stamps; ``drops``: packets it missed."""

    link: int
    units: int
    offset_s: int = 0
    drops: int = 0

    def ns(self, stamps: NDArray[np.uint64]) -> Ints:
        """Stamps in ns since 1970.

        Raises:
            Damaged: a time that no clock shows.
        """
        units = np.uint64(self.units)
        seconds, rest = stamps // units, stamps % units
        if len(seconds) and int(seconds.max()) + abs(self.offset_s) > _MOST_NS // NS_PER_S:
            raise Damaged(-1, "a time stamp no clock shows")
        if self.units <= NS_PER_S * 8:  # exact in 64 bits
            part = rest * np.uint64(NS_PER_S) // units
        else:
            part = (rest / (self.units / NS_PER_S)).astype(np.uint64)
        return (seconds.astype(np.int64) + self.offset_s) * NS_PER_S + part.astype(np.int64)


def numbers(buffer: Bytes, at: Ints, order: Order, kind: str = "u4") -> NDArray[np.uint64]:
    """The unsigned numbers at byte places ``at``, whatever their alignment."""
    return unaligned(buffer, order, kind)[at].astype(np.uint64)


def stretches(buffer: Bytes, at: Ints, size: int) -> Bytes:
    """The ``size`` bytes from each place, side by side; shape ``(n, size)``."""
    view = np.ndarray((max(0, len(buffer) - size + 1),), f"V{size}", buffer=buffer, strides=(1,))
    found: Bytes = view[at].view(np.uint8).reshape(len(at), size)
    return found


def unaligned(buffer: Bytes, order: Order, kind: str) -> NDArray[Any]:
    """The numbers that start at each byte of the buffer, as a view."""
    dtype = np.dtype(order + kind)
    count = max(0, len(buffer) - dtype.itemsize + 1)
    return np.ndarray((count,), dtype, buffer=buffer, strides=(1,))


def _signed(values: NDArray[np.uint64]) -> Ints:
    return values.astype(np.int64)


@dataclass(slots=True)
class PcapWalker:
    """Walks the records of a pcap file after its header of 24 bytes.

    ``header``: bytes before each packet: 16, or 24 in the files of a patched libpcap.
    """

    order: Order
    link: int
    units: int
    header: int = 16
    without_time: int = 0

    @property
    def interfaces(self) -> list[Interface]:
        """The one tap of the file."""
        return [Interface(self.link, self.units)]

    @property
    def dropped(self) -> int:
        """A pcap file does not tell what its tap missed."""
        return 0

    def walk(self, buffer: Bytes, end: int) -> tuple[list[Records], int]:
        """The whole records before ``end``, and where the first incomplete one starts.

        Raises:
            Damaged: bytes that are no record.
        """
        found = walk(_PcapRecords(buffer, end, self), end)
        return [self._records(buffer, found.places)], found.used

    def _records(self, buffer: Bytes, at: Ints) -> Records:
        fields = stretches(buffer, at, 16).view(self.order + "u4").astype(np.int64).T
        seconds, part, captured, length = fields
        wrong = (part >= self.units) | (captured > MOST_PACKET) | (length == 0)
        if wrong.any():
            raise Damaged(int(at[wrong][0]), "a record header that makes no sense")
        t_ns = seconds * NS_PER_S
        t_ns += part * (NS_PER_S // self.units)
        link = np.full(len(at), self.link, dtype=np.int64)
        return Records(at + self.header, captured, length, link, t_ns)


class _PcapRecords:
    """The records of a pcap file, as a chain."""

    def __init__(self, buffer: Bytes, end: int, walker: PcapWalker) -> None:
        self._data, self._end, self._order = buffer.data, end, walker.order
        self._units, self._header = walker.units, walker.header
        self._words: NDArray[np.uint32] = unaligned(buffer, walker.order, "u4")
        self._lengths = self._words[8:]
        self._day = int(self._words[0])

    def follow(self, at: int, stop: int, most: int) -> tuple[list[int], int]:
        """Walk one by one; as :meth:`bench.captures.walking.Chain.follow`."""
        length_of, data = struct.Struct(self._order + "I").unpack_from, self._data
        places: list[int] = []
        end, header = self._end, self._header
        while at < stop and at + header <= end and len(places) < most:
            following = at + header + length_of(data, at + 8)[0]
            if following > end:
                if following - at > MOST_PACKET:
                    raise Damaged(at, "a packet longer than any")
                break
            places.append(at)
            at = following
        return places, at

    def following(self, at: Ints) -> Ints:
        """Where the records end."""
        ends = at + self._header
        ends += self._lengths[at]
        return ends

    def candidates(self, at: Ints) -> Mask:
        """Headers with a time near the first one's, and lengths that a packet has."""
        found: Mask = self._words[at] - np.uint32(self._day) + np.uint32(1 << 16) < 1 << 17
        some = np.flatnonzero(found)
        at = at[some]
        part, kept, length = (self._words[at + place] for place in (4, 8, 12))
        found[some] = (part < self._units) & (kept <= length) & (length - 1 < MOST_PACKET)
        return found


class _Blocks:
    """The blocks of one section of a pcapng file, as a chain."""

    def __init__(self, buffer: Bytes, end: int, order: Order) -> None:
        self._data, self._end, self._order = buffer.data, end, order
        self._words: NDArray[np.uint32] = unaligned(buffer, order, "u4")
        self._lengths = self._words[4:]

    def follow(self, at: int, stop: int, most: int) -> tuple[list[int], int]:
        """Walk one by one; as :meth:`bench.captures.walking.Chain.follow`."""
        length_of, data = struct.Struct(self._order + "I").unpack_from, self._data
        places: list[int] = []
        end = self._end
        while at < stop and at + 12 <= end and len(places) < most:
            total = length_of(data, at + 4)[0]
            if total < 12 or total > MOST_BLOCK:
                raise Damaged(at, "a block length that makes no sense")
            if at + total > end:
                break
            places.append(at)
            at += total
        return places, at

    def following(self, at: Ints) -> Ints:
        """Where the blocks end."""
        return at + np.maximum(self._lengths[at], 12)

    def candidates(self, at: Ints) -> Mask:
        """Packet blocks whose two lengths are equal."""
        found: Mask = self._words[at] == PACKET
        some = np.flatnonzero(found)
        at = at[some]
        total = self._words[at + 4].astype(np.int64)
        behind = np.minimum(at + total, self._end) - 4
        found[some] = (total % 4 == 0) & (total >= 32) & (self._words[behind] == total)
        return found


@dataclass(slots=True)
class PcapngWalker:
    """Walks the blocks of a pcapng file, from its first.

    ``interfaces``: every tap that the file describes, over all sections. ``without_time``:
    simple packet blocks, which carry no time stamp and are left out.
    """

    order: Order = "<"
    interfaces: list[Interface] = field(default_factory=list)
    without_time: int = 0
    _section: int = 0

    @property
    def dropped(self) -> int:
        """Packets that the taps say they missed (interface statistics blocks)."""
        return sum(interface.drops for interface in self.interfaces)

    def walk(self, buffer: Bytes, end: int) -> tuple[list[Records], int]:
        """The packets of the whole blocks before ``end``, and where the first incomplete starts.

        Raises:
            Damaged: bytes that are no block.
        """
        if end >= 12 and struct.unpack_from(self.order + "I", buffer.data)[0] == SECTION:
            self._set_order(buffer.data, 0)
        try:
            found = walk(_Blocks(buffer, end, self.order), end, step=4)
        except Damaged:  # or a section of the other byte order
            return self._walk_one_by_one(buffer, end)
        at = found.places
        kinds = numbers(buffer, at, self.order)
        total = _signed(numbers(buffer, at + 4, self.order))
        wrong = (total < 12) | (total % 4 > 0) | (total > MOST_BLOCK)
        if wrong.any() or bool(np.any(kinds[1:] == SECTION)):
            return self._walk_one_by_one(buffer, end)
        packets = (kinds == PACKET) | (kinds == OLD_PACKET)
        for row in np.flatnonzero(~packets).tolist():
            self._other(int(kinds[row]), buffer.data, int(at[row]), int(total[row]))
        return [self._records(buffer, at[packets])], found.used

    def _walk_one_by_one(self, buffer: Bytes, end: int) -> tuple[list[Records], int]:
        found: list[Records] = []
        places: list[int] = []
        data, at = buffer.data, 0
        head = struct.Struct(self.order + "II").unpack_from
        while at + 12 <= end:
            kind, total = head(data, at)
            if kind == SECTION:
                found.append(self._records(buffer, np.array(places, dtype=np.int64)))
                places = []
                self._set_order(data, at)
                head = struct.Struct(self.order + "II").unpack_from
                total = head(data, at)[1]
            if total < 12 or total % 4 or total > MOST_BLOCK:
                raise Damaged(at, "a block length that makes no sense")
            if at + total > end:
                break
            if kind in (PACKET, OLD_PACKET):
                places.append(at)
            else:
                self._other(kind, data, at, total)
            at += total
        found.append(self._records(buffer, np.array(places, dtype=np.int64)))
        return found, at

    def _set_order(self, data: memoryview, at: int) -> None:
        magic = bytes(data[at + 8 : at + 12])
        for order in ("<", ">"):
            if struct.unpack(order + "I", magic)[0] == _BYTE_ORDER:
                self.order = "<" if order == "<" else ">"
                return
        raise Damaged(at, "a section header without byte order")

    def _other(self, kind: int, data: memoryview, at: int, total: int) -> None:
        if struct.unpack_from(self.order + "I", data, at + total - 4)[0] != total:
            raise Damaged(at, "a block whose two lengths differ")
        body = data[at + 8 : at + total - 4]
        if kind == SECTION:
            self._section = len(self.interfaces)
        elif kind == INTERFACE:
            if len(body) < 8:
                raise Damaged(at, "an interface without a link type")
            self.interfaces.append(self._interface(body, at))
        elif kind == SIMPLE_PACKET:
            self.without_time += 1
        elif kind == STATISTICS and len(body) >= 12:
            number = self._section + struct.unpack_from(self.order + "I", body)[0]
            if number < len(self.interfaces):
                options = self._options(body[12:])
                drops = [options[key] for key in (_IF_DROP, _OS_DROP) if key in options]
                self.interfaces[number].drops = sum(
                    struct.unpack(self.order + "Q", value)[0] for value in drops if len(value) == 8
                )

    def _interface(self, body: memoryview, at: int) -> Interface:
        options = self._options(body[8:])
        resolution = options.get(_RESOLUTION, b"\x06")[:1] or b"\x06"
        exponent = resolution[0] & 0x7F
        if exponent > (63 if resolution[0] & 0x80 else 18):
            raise Damaged(at, "a time resolution no clock has")
        units = 2**exponent if resolution[0] & 0x80 else 10**exponent
        offset = options.get(_OFFSET, bytes(8))
        offset_s = struct.unpack(self.order + "q", offset)[0] if len(offset) == 8 else 0
        return Interface(struct.unpack_from(self.order + "H", body)[0], units, offset_s)

    def _options(self, data: memoryview) -> dict[int, bytes]:
        found, at = {}, 0
        while at + 4 <= len(data):
            code, length = struct.unpack_from(self.order + "HH", data, at)
            if code == _END:
                break
            found[code] = bytes(data[at + 4 : at + 4 + length])
            at += 4 + length + (-length % 4)
        return found

    def _records(self, buffer: Bytes, at: Ints) -> Records:
        order = self.order
        total = _signed(numbers(buffer, at + 4, order))
        if (total < 32).any():
            raise Damaged(int(at[total < 32][0]), "a packet block without room for its fields")
        old = numbers(buffer, at, order) == OLD_PACKET
        short, wide = (numbers(buffer, at + 8, order, kind) for kind in ("u2", "u4"))
        number = _signed(np.where(old, short, wide)) + self._section
        captured, length = (_signed(numbers(buffer, at + place, order)) for place in (20, 24))
        wrong = (captured > total - 32) | (length == 0) | (number >= len(self.interfaces))
        wrong |= _signed(numbers(buffer, at + total - 4, order)) != total
        if wrong.any():
            raise Damaged(int(at[wrong][0]), "a packet block that makes no sense")
        stamps = numbers(buffer, at + 12, order) << np.uint64(32)
        stamps |= numbers(buffer, at + 16, order)
        link, t_ns = np.zeros_like(at), np.zeros_like(at)
        for which in np.unique(number).tolist():
            rows = number == which
            link[rows] = self.interfaces[which].link
            t_ns[rows] = self.interfaces[which].ns(stamps[rows])
        return Records(at + 28, captured, length, link, t_ns)
