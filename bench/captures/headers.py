"""From captured bytes to columns: link, network and transport headers of many packets at once.

IEEE 802.3 with 802.1Q and 802.1ad tags, Linux cooked v1 and v2, BSD loopback, raw IP; IPv4 (RFC
791) with options, IPv6 (RFC 8200) with extension headers, fragments; UDP (RFC 768), TCP (RFC
9293), RTP (RFC 3550). Other protocols have no ports. What is no IP packet, or is cut before the
end of its headers, is left out and counted by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Bytes, Ints, Records, numbers

Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]

PAYLOAD_BYTES = 64
"""How many payload bytes at most tell one packet from another."""

ETHERNET_BYTES = 14

_ETHERNET, _COOKED, _COOKED2, _RAW, _LOOP = (1,), (113,), (276,), (12, 14, 101, 228, 229), (0, 108)
_TAGS = (0x8100, 0x88A8, 0x9100)
_IPV4, _IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17
_EXTENSIONS = (0, 43, 44, 51, 60, 135)
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_EXTENSIONS, _MOST_TAGS = 8, 4

_MIX = [
    np.uint64(value)
    for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)
]
_TAIL = np.array([(1 << 8 * count) - 1 for count in range(8)] + [2**64 - 1], dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The IP packets of one piece of a capture; arrays of shape ``(n,)``.

    ``flow``: hash of protocol, addresses and ports, one per direction. ``ends``: shape
    ``(n, 5)``, uint64: source (high, low), destination (high, low), and
    version, protocol and ports as ``version << 40 | protocol << 32 | source << 16 | destination``.
    ``key``: hash of what does not change on the path but for the IPv4 identification, which is
    ``ip_id`` (0 where there is none). ``head``: of UDP that could be RTP the first 8 bytes of the
    payload, in network order; of TCP ``sequence << 32 | acknowledgement``; else 0. ``tag``: the
    SSRC of RTP, ``flags << 24 | payload bytes`` of TCP (at most 2**24 - 1 of them), else 0.
    ``size``: bytes as an Ethernet frame. ``cut``: payload bytes captured, where that is fewer
    than ``PAYLOAD_BYTES`` and than the packet has; else ``PAYLOAD_BYTES``. ``short``: the payload
    was not captured whole. ``body``, ``count``: where the payload starts in the buffer, and how
    many bytes of it are there. ``datagram``: of IP fragments, what their datagram is known by
    (0 for whole packets), and ``later``: not the first fragment, so without ports.
    """

    t_ns: Ints
    flow: Hashes
    ends: Hashes
    key: Hashes
    ip_id: NDArray[np.uint16]
    head: Hashes
    tag: NDArray[np.uint32]
    size: NDArray[np.uint32]
    cut: NDArray[np.uint8]
    short: Mask
    body: Ints
    count: Ints
    datagram: Hashes
    later: Mask

    def __len__(self) -> int:
        return len(self.t_ns)


def mixed(values: Hashes, more: Hashes | np.uint64) -> Hashes:
    """Hash values with more values mixed in (multiply and shift, after SplitMix64)."""
    found = (values ^ more) * _MIX[0]
    found ^= found >> np.uint64(32)
    found *= _MIX[1]
    found ^= found >> np.uint64(29)
    return found


@dataclass(slots=True, eq=False)
class _Network:
    """What the network header says, per packet; ``at``: where the transport header starts."""

    at: Ints
    payload: Ints
    protocol: Ints
    version: Ints
    ends: Hashes
    ip_id: Ints
    part: Ints
    whole: Mask


def columns(
    buffer: Bytes,
    records: Records,
    payload_bytes: int = PAYLOAD_BYTES,
    *,
    addresses: bool = True,
) -> Columns:
    """The columns of the IP packets among ``records``.

    Args:
        buffer: with at least 128 bytes behind the last record's.
        records: where the packets lie.
        payload_bytes: payload bytes that go into the key, at most ``PAYLOAD_BYTES``.
        addresses: whether addresses and ports go into the key.
    """
    end = records.at + records.captured
    start, kind = _network_start(buffer, records, end)
    found = _network(buffer, start, kind, end)
    ip_bytes = found.at + found.payload - start
    ports, body, later = _transport(buffer, found, end)
    keep = np.flatnonzero(found.whole)
    at, payload, end, body, part = (
        each[keep] for each in (found.at, found.payload, end, body, found.part)
    )
    protocol, version, size = found.protocol[keep], found.version[keep], ip_bytes[keep]
    ends = np.empty((len(keep), 5), dtype=np.uint64)
    ends[:, :4] = found.ends[keep]
    ends[:, 4] = ((version << 40) | (protocol << 32) | ports[keep]).astype(np.uint64)
    flow = np.zeros(len(keep), dtype=np.uint64)
    for place in range(5):
        flow = mixed(flow, ends[:, place])
    has, captured = np.maximum(at + payload - body, 0), np.maximum(end - body, 0)
    count = np.minimum(has, captured)
    later = later[keep]
    head, tag = _numbering(buffer, np.where(later, 0, protocol), at, body, count, has)
    key = flow if addresses else mixed(np.zeros_like(flow), protocol.astype(np.uint64))
    key = mixed(key, size.astype(np.uint64) | (part.astype(np.uint64) << np.uint64(32)))
    tcp = protocol == TCP
    key = mixed(key, np.where(tcp, mixed(head, tag >> np.uint32(24)), np.uint64(0)))
    key = _prefix(buffer, key, body, np.minimum(count, payload_bytes))
    cut = np.where(captured < np.minimum(has, PAYLOAD_BYTES), captured, PAYLOAD_BYTES)
    return Columns(
        records.t_ns[keep],
        flow,
        ends,
        key,
        found.ip_id[keep].astype(np.uint16),
        head,
        tag,
        (size + ETHERNET_BYTES).astype(np.uint32),
        cut.astype(np.uint8),
        captured < has,
        body,
        count,
        _datagrams(version, protocol, ends, part, found.ip_id[keep]),
        later,
    )


def _be(buffer: Bytes, at: Ints, kind: str = "u2") -> Ints:
    """Numbers in network order; places behind the buffer read its last bytes."""
    return numbers(buffer, np.clip(at, 0, len(buffer) - 8), ">", kind).astype(np.int64)


def _network_start(buffer: Bytes, records: Records, end: Ints) -> tuple[Ints, Ints]:
    """Where the IP header starts, and 4 or 6, or 0 where there is none."""
    at, link = records.at, records.link
    start, kind = at.copy(), np.zeros_like(at)
    for links, skip, place in ((_ETHERNET, 14, 12), (_COOKED, 16, 14), (_COOKED2, 20, 0)):
        rows = np.isin(link, links)
        start[rows] = at[rows] + skip
        kind[rows] = _be(buffer, at[rows] + place)
    for _ in range(_MOST_TAGS):
        tagged = np.flatnonzero(np.isin(kind, _TAGS) & (start + 4 <= end))
        if not len(tagged):
            break
        kind[tagged] = _be(buffer, start[tagged] + 2)
        start[tagged] += 4
    start[np.isin(link, _LOOP)] += 4
    version = _be(buffer, start, "u1") >> 4
    bare = np.isin(link, _RAW + _LOOP)
    kind = np.where(bare, np.select([version == 4, version == 6], [_IPV4, _IPV6], 0), kind)
    found = np.select([(kind == _IPV4) & (version == 4), (kind == _IPV6) & (version == 6)], [4, 6])
    return start, np.where(start < end, found, 0)


def _network(buffer: Bytes, start: Ints, kind: Ints, end: Ints) -> _Network:
    """Read the IP headers; ``whole`` is false where there is none or it is cut."""
    n = len(start)
    zero = np.zeros(n, dtype=np.int64)
    found = _Network(
        start.copy(), zero.copy(), zero.copy(), kind, np.zeros((n, 4), dtype=np.uint64),
        zero.copy(), zero.copy(), kind > 0,
    )  # fmt: skip
    _ipv4(buffer, found, np.flatnonzero((kind == 4) & (start + 20 <= end)), start, end)
    _ipv6(buffer, found, np.flatnonzero((kind == 6) & (start + 40 <= end)), start, end)
    found.whole &= (found.protocol > 0) & (found.at <= end) & (found.payload >= 0)
    return found


def _ipv4(buffer: Bytes, found: _Network, rows: Ints, start: Ints, end: Ints) -> None:
    at = start[rows]
    header = (_be(buffer, at, "u1") & 15) * 4
    total = _be(buffer, at + 2)
    # A host that leaves segmentation to its card shows 0 for what exceeds 64 KiB.
    total = np.where(total == 0, end[rows] - at, total)
    found.at[rows] = at + header
    found.payload[rows] = np.where(header >= 20, total - header, -1)
    found.protocol[rows] = _be(buffer, at + 9, "u1")
    found.ip_id[rows] = _be(buffer, at + 4)
    found.part[rows] = _be(buffer, at + 6) & 0x3FFF  # more fragments, and the offset
    found.ends[rows, 1] = _be(buffer, at + 12, "u4").astype(np.uint64)
    found.ends[rows, 3] = _be(buffer, at + 16, "u4").astype(np.uint64)


def _ipv6(buffer: Bytes, found: _Network, rows: Ints, start: Ints, end: Ints) -> None:
    at = start[rows]
    left, following = _be(buffer, at + 4), _be(buffer, at + 6, "u1")
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
        length = (_be(buffer, here + 1, "u1") + 1) * 8
        length = np.where(code == _AUTHENTICATION, (_be(buffer, here + 1, "u1") + 2) * 4, length)
        length = np.where(code == _FRAGMENT, 8, length)
        # offset in units of 8 bytes from bit 3, more fragments in bit 0
        offset = _be(buffer, here + 2) | (_be(buffer, here + 4, "u4") << 16)
        part[more] = np.where(code == _FRAGMENT, offset, part[more])
        following[more] = _be(buffer, here, "u1")
        place[more] += length
        left[more] -= length
    cut = np.isin(following, _EXTENSIONS) & (part < 8)
    found.at[rows], found.part[rows] = place, part
    found.payload[rows] = np.where(cut, -1, left)
    found.protocol[rows] = np.where(following == 0, 255, following)


def _transport(buffer: Bytes, found: _Network, end: Ints) -> tuple[Ints, Ints, Mask]:
    """Ports (source << 16 | destination), where the payload starts, and which are later fragments.

    Fragments but the first have no transport header.
    """
    v4 = found.version == 4
    later = np.where(v4, found.part & 0x1FFF, (found.part & 0xFFFF) >> 3) > 0
    udp = (found.protocol == UDP) & ~later
    tcp = (found.protocol == TCP) & ~later
    offset = (_be(buffer, found.at + 12, "u1") >> 4) * 4
    skip = np.select([udp, tcp], [8, np.maximum(offset, 20)], 0)
    header = np.select([udp, tcp], [8, 20], 0)
    found.whole &= found.at + header <= end
    ports = np.where(udp | tcp, _be(buffer, found.at, "u4"), 0)
    return ports, found.at + skip, later


def _datagrams(version: Ints, protocol: Ints, ends: Hashes, part: Ints, ip_id: Ints) -> Hashes:
    """What a fragment's datagram is known by: addresses and identification; 0 for whole packets."""
    found = np.zeros(len(part), dtype=np.uint64)
    rows = np.flatnonzero(np.where(version == 4, part, part & 0xFFFF) != 0)
    known = np.where(version == 4, protocol << 16 | ip_id, part >> 16)[rows].astype(np.uint64)
    for place in range(4):
        known = mixed(known, ends[rows, place])
    found[rows] = np.maximum(known, 1)
    return found


def _prefix(buffer: Bytes, key: Hashes, at: Ints, count: Ints) -> Hashes:
    """Mix the first ``count`` bytes from ``at`` into the key, 8 at a time."""
    most = int(count.max(initial=0))
    for place in range(0, most, 8):
        rows = np.flatnonzero(count > place)
        word = numbers(buffer, at[rows] + place, "<", "u8")
        word &= _TAIL[np.minimum(count[rows] - place, 8)]
        key[rows] = mixed(key[rows], word)
    return key


def _numbering(
    buffer: Bytes, protocol: Ints, at: Ints, body: Ints, count: Ints, has: Ints
) -> tuple[Hashes, NDArray[np.uint32]]:
    """``head`` and ``tag`` of TCP, and of UDP that can be RTP (RFC 3550, 5.1).

    Payload types 64 to 95 are RTCP (RFC 5761).
    """
    head, tag = np.zeros(len(at), dtype=np.uint64), np.zeros(len(at), dtype=np.uint32)
    first = _be(buffer, body)
    kind = first & 0x7F
    rtp = (protocol == UDP) & (count >= 12) & (first >> 14 == 2) & ((kind < 64) | (kind > 95))
    rows = np.flatnonzero(rtp)
    head[rows] = numbers(buffer, body[rows], ">", "u8")
    tag[rows] = _be(buffer, body[rows] + 8, "u4")
    rows = np.flatnonzero(protocol == TCP)
    head[rows] = numbers(buffer, at[rows] + 4, ">", "u8")
    tag[rows] = _be(buffer, at[rows] + 13, "u1") << 24 | np.minimum(has[rows], (1 << 24) - 1)
    return head, tag
