"""Link and network headers of every kind, of many packets at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Bytes, Ints, Records, numbers
from bench.captures.walking import Mask

Hashes = NDArray[np.uint64]

TCP, UDP = 6, 17

_ETHERNET, _COOKED, _COOKED2, _RAW, _LOOP = (1,), (113,), (276,), (12, 14, 101, 228, 229), (0, 108)
_TAGS = (0x8100, 0x88A8, 0x9100)
_IPV4, _IPV6 = 0x0800, 0x86DD
_EXTENSIONS = (0, 43, 44, 51, 60, 135)
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_EXTENSIONS, _MOST_TAGS = 8, 4


@dataclass(slots=True, eq=False)
class Network:
    """What the network header says, per packet; arrays of shape ``(n,)``.

    ``at``: where the transport header starts. ``payload``: bytes behind the network header.
    ``ends``: shape ``(n, 4)``: source (high, low), destination (high, low). ``part``: 0 for a whole
    packet, else what tells which fragment it is. ``whole``: false where there is no IP header, or
    it is cut.
    """

    at: Ints
    payload: Ints
    protocol: Ints
    version: Ints
    ends: Hashes
    ip_id: Ints
    part: Ints
    whole: Mask

    @property
    def later(self) -> Mask:
        """Fragments but the first, which have no transport header."""
        found: Mask = np.where(self.version == 4, self.part & 0x1FFF, (self.part & 0xFFFF) >> 3) > 0
        return found

    @property
    def fragment(self) -> Mask:
        """Fragments; an IPv6 fragment header may also head a whole packet (RFC 6946)."""
        found: Mask = np.where(self.version == 4, self.part, self.part & 0xFFFF) != 0
        return found


def be(buffer: Bytes, at: Ints, kind: str = "u2") -> Ints:
    """Numbers in network order; places behind the buffer read its last bytes."""
    return numbers(buffer, np.clip(at, 0, len(buffer) - 8), ">", kind).astype(np.int64)


def network_start(buffer: Bytes, records: Records, end: Ints) -> tuple[Ints, Ints]:
    """Where the IP header starts, and 4 or 6, or 0 where there is none."""
    at, link = records.at, records.link
    if bool(np.all(link == _ETHERNET[0])):
        start, kind = at + 14, be(buffer, at + 12)
        if bool(np.all(kind == _IPV4)):
            right = (be(buffer, start, "u1") >> 4 == 4) & (start < end)
            return start, np.where(right, 4, 0)
    start, kind = at.copy(), np.zeros_like(at)
    for links, skip, place in ((_ETHERNET, 14, 12), (_COOKED, 16, 14), (_COOKED2, 20, 0)):
        rows = np.isin(link, links)
        start[rows] = at[rows] + skip
        kind[rows] = be(buffer, at[rows] + place)
    for _ in range(_MOST_TAGS):
        tagged = np.flatnonzero(np.isin(kind, _TAGS) & (start + 4 <= end))
        if not len(tagged):
            break
        kind[tagged] = be(buffer, start[tagged] + 2)
        start[tagged] += 4
    start[np.isin(link, _LOOP)] += 4
    version = be(buffer, start, "u1") >> 4
    bare = np.isin(link, _RAW + _LOOP)
    kind = np.where(bare, np.select([version == 4, version == 6], [_IPV4, _IPV6], 0), kind)
    found = np.select([(kind == _IPV4) & (version == 4), (kind == _IPV6) & (version == 6)], [4, 6])
    return start, np.where(start < end, found, 0)


def network(buffer: Bytes, start: Ints, kind: Ints, end: Ints) -> Network:
    """Read the IP headers; ``whole`` is false where there is none or it is cut."""
    n = len(start)
    zero = np.zeros(n, dtype=np.int64)
    found = Network(
        start.copy(), zero.copy(), zero.copy(), kind, np.zeros((n, 4), dtype=np.uint64),
        zero.copy(), zero.copy(), kind > 0,
    )  # fmt: skip
    _ipv4(buffer, found, np.flatnonzero((kind == 4) & (start + 20 <= end)), start, end)
    _ipv6(buffer, found, np.flatnonzero((kind == 6) & (start + 40 <= end)), start, end)
    found.whole &= (found.protocol > 0) & (found.at <= end) & (found.payload >= 0)
    return found


def _ipv4(buffer: Bytes, found: Network, rows: Ints, start: Ints, end: Ints) -> None:
    at = start[rows]
    header = (be(buffer, at, "u1") & 15) * 4
    total = be(buffer, at + 2)
    # A host that leaves segmentation to its card shows 0 for what exceeds 64 KiB.
    total = np.where(total == 0, end[rows] - at, total)
    found.at[rows] = at + header
    found.payload[rows] = np.where(header >= 20, total - header, -1)
    found.protocol[rows] = be(buffer, at + 9, "u1")
    found.ip_id[rows] = be(buffer, at + 4)
    found.part[rows] = be(buffer, at + 6) & 0x3FFF  # more fragments, and the offset
    found.ends[rows, 1] = be(buffer, at + 12, "u4").astype(np.uint64)
    found.ends[rows, 3] = be(buffer, at + 16, "u4").astype(np.uint64)


def _ipv6(buffer: Bytes, found: Network, rows: Ints, start: Ints, end: Ints) -> None:
    at = start[rows]
    left, following = be(buffer, at + 4), be(buffer, at + 6, "u1")
    left = np.where(left == 0, end[rows] - at - 40, left)
    for column in range(4):
        found.ends[rows, column] = numbers(buffer, at + 8 + 8 * column, ">", "u8")
    place, part = at + 40, np.zeros_like(at)
    for _ in range(_MOST_EXTENSIONS):
        inside = (
            np.isin(following, _EXTENSIONS) & (left > 0) & (place + 8 <= end[rows]) & (part < 8)
        )
        more = np.flatnonzero(inside)
        if not len(more):
            break
        here, code = place[more], following[more]
        length = (be(buffer, here + 1, "u1") + 1) * 8
        length = np.where(code == _AUTHENTICATION, (be(buffer, here + 1, "u1") + 2) * 4, length)
        length = np.where(code == _FRAGMENT, 8, length)
        # offset in units of 8 bytes from bit 3, more fragments in bit 0
        offset = be(buffer, here + 2) | (be(buffer, here + 4, "u4") << 16)
        part[more] = np.where(code == _FRAGMENT, offset, part[more])
        following[more] = be(buffer, here, "u1")
        place[more] += length
        left[more] -= length
    cut = np.isin(following, _EXTENSIONS) & (part < 8)
    found.at[rows], found.part[rows] = place, part
    found.payload[rows] = np.where(cut, -1, left)
    found.protocol[rows] = np.where(following == 0, 255, following)
